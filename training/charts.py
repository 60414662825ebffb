"""Simple charts drawn directly, with questions whose answers follow from the data."""
import real_values
from canvas import Canvas, choose_font
from thoughts import added, colours, compared, counted, extreme, subtracted
from words import categories, title as make_title

COLOURS = {"red": (214, 39, 40), "blue": (31, 119, 180), "green": (44, 160, 44), "orange": (255, 127, 14), "purple": (148, 103, 189),
           "brown": (140, 86, 75), "gray": (127, 127, 127), "pink": (227, 119, 194), "black": (20, 20, 20), "teal": (23, 150, 160)}
KINDS = {"bar": "bar chart", "hbar": "horizontal bar chart", "line": "line chart", "pie": "pie chart"}

REAL = 0.2  # share of training's charts whose values are real
END = 16  # pixels of a bar from its base on: in their middle its colour is read, near its name

LONG = ("Convert the chart to a table.", "Describe this image.")


class Chart:
    """The data of a chart; without labels its values are to be read off the axis, and are tenths of its top."""

    def __init__(self, r, most, test, easy=False, labelled=True):
        self.labelled = labelled
        self.kind = r.choice(["bar", "bar", "bar", "hbar", "line", "pie"] if labelled else ["bar", "bar", "line"])
        n = r.randint(2, most)
        self.names = categories(r, n, test, easy)
        top = r.choice([10, 20, 50, 100, 200, 500, 1000])
        self.top = top
        if not labelled:
            self.values = [str(r.randint(1, 10) * top // 10) for _ in range(n)]
        elif not easy and r.random() < 0.15:
            self.values = [f"{r.randint(1, top)}.{r.randint(0, 9)}" for _ in range(n)]
        else:
            self.values = [str(r.randint(1, top)) for _ in range(n)]
        if not test and not easy and labelled and r.random() < REAL:
            self.take_real(r, most)
        else:
            self._paint(r)
            self.title = make_title(r, test, easy)

    def _paint(self, r):
        n = len(self.names)
        distinct = r.random() < 0.5 or self.kind == "pie"
        self.colours = r.sample(list(COLOURS), n) if distinct else [r.choice(list(COLOURS))] * n

    def take_real(self, r, most, held_out=False):
        """Replaces what the chart shows by real values."""
        self.title, self.names, self.values = real_values.choose(r, most, held_out)
        self.top = real_values.top_of(self.values)
        self._paint(r)

    def numbers(self):
        return [float(v) for v in self.values]


def draw(r, chart, width, height, easy, test):
    """Draws the chart; sizes in pixels."""
    canvas = Canvas(width, height)
    small = 13 if width < 300 else 14
    face = r.randint(small, small + 3)
    label, heading = choose_font(r, face, easy, test), choose_font(r, face + r.randint(1, 3), easy, test)
    _drop_what_would_overlap(chart, label, width, height)
    if r.random() < 0.7:
        canvas.text((width // 2, 3), chart.title, heading, anchor="ma")
    else:
        canvas.text((6, 3), chart.title, heading)
    {"bar": _bars, "hbar": _horizontal_bars, "line": _line, "pie": _pie}[chart.kind](r, canvas, chart, label)
    return canvas


def _drop_what_would_overlap(chart, label, width, height):
    """Takes away the last categories until the labels have room, down to two."""
    def crowded():
        n = len(chart.names)
        if chart.kind in ("hbar", "pie"):
            return n * (label.size + 6) > height - label.size - 20
        widest = max(label.getlength(t) for t in chart.names + chart.values)
        return widest + 5 > (width - 60) / n
    while len(chart.names) > 2 and crowded():
        for column in (chart.names, chart.values, chart.colours):
            column.pop()


def _frame(canvas, label):
    width, height = canvas.image.size
    line = label.size + 5
    return 10, line + 8, width - 8, height - line - 2, line


def _axes(r, canvas, chart, label, top):
    """Ticks on the left, when there are any; returns the left edge of the plot."""
    left, _, right, bottom, _ = _frame(canvas, label)
    if r.random() < 0.6 or not chart.labelled:
        left += int(label.getlength(str(chart.top))) + 4
        steps = r.choice([2, 4, 5] if chart.labelled else [5, 10])
        for i in range(steps + 1):
            value = chart.top * i / steps
            if value != int(value):
                continue
            y = bottom - (bottom - top) * i / steps
            canvas.text((left - 4, y), str(int(value)), label, anchor="rm", read=False)
            canvas.draw.line((left, y, right, y), fill=(222, 222, 222))
    canvas.draw.line((left, bottom, right, bottom), fill=(0, 0, 0))
    if r.random() < 0.6:
        canvas.draw.line((left, top, left, bottom), fill=(0, 0, 0))
    return left


def _bars(r, canvas, chart, label):
    _, top, right, bottom, line = _frame(canvas, label)
    top += line
    left = _axes(r, canvas, chart, label, top)
    step, gap = (right - left) / len(chart.names), r.uniform(0.1, 0.25)
    for i, (name, value, colour) in enumerate(zip(chart.names, chart.values, chart.colours)):
        x0, x1 = left + step * (i + gap), left + step * (i + 1 - gap)
        y = bottom - (bottom - top) * float(value) / chart.top
        canvas.draw.rectangle((x0, y, x1, bottom), fill=COLOURS[colour])
        canvas.text(((x0 + x1) / 2, bottom + 3), name, label, anchor="ma")
        canvas.coloured(colour, (x0 + x1) / 2, (bottom + max(y, bottom - END)) / 2)
        if chart.labelled:
            canvas.text(((x0 + x1) / 2, y - 2), value, label, anchor="ms")


def _horizontal_bars(r, canvas, chart, label):
    _, top, right, _, line = _frame(canvas, label)
    bottom = canvas.image.size[1] - 4
    left = 8 + int(max(label.getlength(n) for n in chart.names)) + 4
    right -= int(label.getlength("0") * (len(str(chart.top)) + 3))
    step = (bottom - top) / len(chart.names)
    for i, (name, value, colour) in enumerate(zip(chart.names, chart.values, chart.colours)):
        y0, y1 = top + step * (i + 0.15), top + step * (i + 0.85)
        x = left + max(2, (right - left) * float(value) / chart.top)
        canvas.draw.rectangle((left, y0, x, y1), fill=COLOURS[colour])
        canvas.text((left - 4, (y0 + y1) / 2), name, label, anchor="rm")
        canvas.coloured(colour, (left + min(x, left + END)) / 2, (y0 + y1) / 2)
        canvas.text((x + 4, (y0 + y1) / 2), value, label, anchor="lm")


def _line(r, canvas, chart, label):
    _, top, right, bottom, line = _frame(canvas, label)
    top += line
    left = _axes(r, canvas, chart, label, top)
    step = (right - left) / len(chart.names)
    points = [(left + step * (i + 0.5), bottom - (bottom - top) * float(v) / chart.top) for i, v in enumerate(chart.values)]
    colour = COLOURS[chart.colours[0]]
    canvas.draw.line(points, fill=colour, width=r.choice([1, 2, 3]))
    for (x, y), name, value in zip(points, chart.names, chart.values):
        canvas.draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=colour)
        canvas.text((x, bottom + 3), name, label, anchor="ma")
        if chart.labelled:
            canvas.text((x, y - 6), value, label, anchor="ms")


def _pie(r, canvas, chart, label):
    width, height = canvas.image.size
    top = label.size + 14
    size = min(width * 0.5, height - top - 8)
    angle, total = r.uniform(0, 360), sum(chart.numbers())
    for i, (name, value, colour) in enumerate(zip(chart.names, chart.values, chart.colours)):
        end = angle + 360 * float(value) / total
        canvas.draw.pieslice((6, top, 6 + size, top + size), angle, end, fill=COLOURS[colour])
        angle = end
        y = top + 4 + i * (label.size + 6)
        canvas.draw.rectangle((size + 18, y, size + 28, y + 10), fill=COLOURS[colour])
        canvas.coloured(colour, size + 23, y + 5)
        canvas.text((size + 34, y + 5), f"{name} {value}", label, anchor="lm")


def table(chart):
    """The chart's table as `Convert the chart to a table.` answers it: a row a category."""
    return "\n".join(f"{name} | {value}" for name, value in zip(chart.names, chart.values))


def describe(chart):
    pairs = ", ".join(f"{name} {value}" for name, value in zip(chart.names, chart.values))
    return f'A {KINDS[chart.kind]} titled "{chart.title}": {pairs}.'


def questions(r, chart, most):
    """Up to `most` different (question, answer, thoughts): short ones in random order, then a long one; or a long one alone."""
    found = _about_the_whole(chart) + _about_values(r, chart)
    r.shuffle(found)
    long = [turn for turn in found if turn[0] in LONG]
    short = [turn for turn in found if turn[0] not in LONG]
    return long[:1] if r.random() < 0.2 else short[: most - 1] + long[:1]


def _about_the_whole(chart):
    return [("Convert the chart to a table.", table(chart), ()), ("Describe this image.", describe(chart), ()), ("What is the title of the chart?", chart.title, ()),
            ("How many categories are there?", str(len(chart.names)), (counted(chart.names),)), ("What type of chart is this?", KINDS[chart.kind], ())]


def _about_values(r, chart):
    names, values, numbers = chart.names, chart.values, chart.numbers()
    high, low = numbers.index(max(numbers)), numbers.index(min(numbers))
    i, j = r.sample(range(len(names)), 2)
    rows, highest, lowest = table(chart), extreme(names, values), extreme(names, values, lowest=True)
    found = [(f"What is the value of {names[k]}?", values[k], (rows,)) for k in r.sample(range(len(names)), min(2, len(names)))]
    found += [("What is the highest value?", values[high], (rows, highest)), ("What is the lowest value?", values[low], (rows, lowest))]
    if numbers.count(max(numbers)) == 1:
        found.append(("Which category has the highest value?", names[high], (rows, highest)))
    if numbers.count(min(numbers)) == 1:
        found.append(("Which category has the lowest value?", names[low], (rows, lowest)))
    if numbers[i] != numbers[j]:
        found.append((f"Is {names[i]} greater than {names[j]}?", "Yes" if numbers[i] > numbers[j] else "No", (rows, compared((names[i], values[i]), (names[j], values[j])))))
    if len(set(chart.colours)) == len(names) and chart.kind != "line":
        found.append((f"What is the color of {names[i]}?", chart.colours[i], (colours(names, chart.colours),)))
    if all("." not in v for v in values):
        pair, a, b = (names[i], names[j]), int(values[i]), int(values[j])
        found.append((f"What is the sum of {names[i]} and {names[j]}?", str(a + b), (rows, added(pair, [a, b]))))
        found.append((f"What is the difference between {names[i]} and {names[j]}?", str(abs(a - b)), (rows, subtracted(pair, a, b))))
    return found
