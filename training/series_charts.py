"""Charts of several series (grouped and stacked bars, several lines) and scatter plots, with their questions."""
import charts
from canvas import Canvas, choose_font
from thoughts import added, colours, counted, extreme
from words import CITIES, FRUITS, GOODS, categories, title as make_title, word

KINDS = {"grouped": "grouped bar chart", "stacked": "stacked bar chart", "lines": "line chart", "scatter": "scatter plot"}
AXES = ["Year", "Month", "Region", "City", "Product", "Price", "Weight", "Height", "Sales", "Count", "Time (s)", "Cost ($)", "Age", "Speed", "Distance (km)", "Share (%)"]
PALETTES = [["blue", "orange", "green"], ["red", "teal", "gray"], ["purple", "pink", "brown"]]


class Series:
    """Two or three series over the same categories; `values[s][c]` are integers, as text."""

    def __init__(self, r, most, test):
        self.kind = r.choice(["grouped", "grouped", "stacked", "stacked", "lines"])
        self.names = categories(r, r.randint(2, most), test)
        count = r.choice([2, 2, 3])
        pool = [n for n in r.choice([CITIES, FRUITS, GOODS, ["2021", "2022", "2023"], ["Men", "Women", "All"], None]) or words(r, test) if n not in self.names]
        if len(pool) < 2:  # the categories have taken the names of the series
            pool = [n for n in GOODS if n not in self.names]
        self.series = r.sample(pool, min(count, len(pool)))
        top = r.choice([10, 50, 100, 500])
        least = max(1, top // 3) if self.kind == "stacked" else 1  # a thin part has no room for its number
        self.values = [[str(r.randint(least, top)) for _ in self.names] for _ in self.series]
        colours = r.choice(PALETTES) if r.random() < 0.5 else r.sample([c for c in charts.COLOURS if c != "black"], 3)
        self.colours = colours[: len(self.series)]
        self.title = make_title(r, test)

    def numbers(self):
        return [[int(v) for v in row] for row in self.values]

    def top(self):
        """The highest mark's value."""
        columns = zip(*self.numbers())
        return max(sum(column) if self.kind == "stacked" else max(column) for column in columns)


class Scatter:
    """Points without values; what can be asked is what is written, and how many there are."""
    kind = "scatter"

    def __init__(self, r, test):
        self.title = make_title(r, test)
        self.x, self.y = r.sample(AXES, 2) if r.random() < 0.7 else [word(r, test).capitalize() for _ in range(2)]
        self.points = [(r.random(), r.random()) for _ in range(r.randint(3, 12))]
        self.colour = r.choice([c for c in charts.COLOURS if c != "black"])


def words(r, test):
    return sorted({w.capitalize() for w in (word(r, test) for _ in range(9)) if len(w) <= 8}) or GOODS


def draw(r, data, width, height, test):
    """Draws either; sizes in pixels."""
    canvas = Canvas(width, height)
    face = r.randint(13, 15)
    label, heading = choose_font(r, face, test=test), choose_font(r, face + r.randint(1, 2), test=test)
    canvas.text((width // 2, 3), data.title, heading, anchor="ma")
    top = heading.size + 10
    if isinstance(data, Scatter):
        _scatter(r, canvas, data, label, top)
    else:
        _legend(canvas, data, label, top)
        {"grouped": _grouped, "stacked": _stacked, "lines": _lines}[data.kind](r, canvas, data, label, top + label.size + 8)
    return canvas


def crowded(data, width, size=14):
    """Whether labels, numbers or the legend would run into one another at this width."""
    widest = max(len(t) for t in data.names)
    numbers = max(len(v) for row in data.values for v in row) * (len(data.series) if data.kind == "grouped" else 1)
    columns = zip(*data.numbers())
    if data.kind == "lines" and any(abs(a - b) < data.top() * 0.12 for column in columns for i, a in enumerate(column) for b in column[:i]):
        return True
    legend = sum(len(s) * size * 0.6 + 24 for s in data.series)
    return max(widest, numbers + 1) * size * 0.62 > (width - 24) / len(data.names) or legend > width - 16


def _legend(canvas, data, label, y):
    x = 10
    for name, colour in zip(data.series, data.colours):
        canvas.draw.rectangle((x, y + 3, x + 9, y + 12), fill=charts.COLOURS[colour])
        canvas.coloured(colour, x + 5, y + 8)
        canvas.text((x + 14, y), name, label)
        x += 14 + int(label.getlength(name)) + 10


def _plot(canvas, label, top):
    """Left, top, right and bottom of the plot, with its base line drawn."""
    width, height = canvas.image.size
    left, right, bottom = 12, width - 8, height - label.size - 9
    canvas.draw.line((left, bottom, right, bottom), fill=(0, 0, 0))
    return left, top + label.size, right, bottom


def _grouped(r, canvas, data, label, top):
    left, top, right, bottom = _plot(canvas, label, top)
    step = (right - left) / len(data.names)
    bar = step * r.uniform(0.75, 0.9) / len(data.series)
    for c, name in enumerate(data.names):
        middle = left + step * (c + 0.5)
        canvas.text((middle, bottom + 3), name, label, anchor="ma")
        for s, row in enumerate(data.values):
            x = middle + bar * (s - len(data.series) / 2)
            y = bottom - (bottom - top) * int(row[c]) / data.top()
            canvas.draw.rectangle((x, y, x + bar - 2, bottom), fill=charts.COLOURS[data.colours[s]])
            canvas.text((x + bar / 2 - 1, y - 2), row[c], label, anchor="ms")


def _stacked(r, canvas, data, label, top):
    left, top, right, bottom = _plot(canvas, label, top)
    step, gap = (right - left) / len(data.names), r.uniform(0.12, 0.25)
    for c, name in enumerate(data.names):
        x0, x1, base = left + step * (c + gap), left + step * (c + 1 - gap), bottom
        canvas.text(((x0 + x1) / 2, bottom + 3), name, label, anchor="ma")
        for s, row in enumerate(data.values):
            y = base - (bottom - top) * int(row[c]) / data.top()
            colour = charts.COLOURS[data.colours[s]]
            canvas.draw.rectangle((x0, y, x1, base), fill=colour)
            if base - y > label.size * 0.8:
                canvas.text(((x0 + x1) / 2, (y + base) / 2), row[c], label, (0, 0, 0) if sum(colour) > 330 else (255, 255, 255), anchor="mm")
            base = y


def _lines(r, canvas, data, label, top):
    left, top, right, bottom = _plot(canvas, label, top)
    step = (right - left) / len(data.names)
    for c, name in enumerate(data.names):
        canvas.text((left + step * (c + 0.5), bottom + 3), name, label, anchor="ma")
    for s, row in enumerate(data.values):
        colour = charts.COLOURS[data.colours[s]]
        points = [(left + step * (c + 0.5), bottom - (bottom - top) * int(v) / data.top()) for c, v in enumerate(row)]
        canvas.draw.line(points, fill=colour, width=r.choice([1, 2, 3]))
        for (x, y), value in zip(points, row):
            canvas.draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=colour)
            canvas.text((x, y - 5), value, label, colour, anchor="ms")


def _scatter(r, canvas, data, label, top):
    width, height = canvas.image.size
    left, right, bottom = 14, width - 14, height - label.size - 12
    canvas.text((6, top), data.y, label)
    top += label.size + 10
    canvas.draw.line((left - 4, top - 4, left - 4, bottom, right, bottom), fill=(0, 0, 0))
    canvas.text((width // 2, bottom + 4), data.x, label, anchor="ma")
    size = r.randint(3, 5)
    for x, y in data.points:
        px, py = left + 6 + x * (right - left - 12), top + y * (bottom - top - 8)
        canvas.draw.ellipse((px - size, py - size, px + size, py + size), fill=charts.COLOURS[data.colour])


def questions(r, data, most):
    """As `charts.questions`, which a simple chart is left to: short ones in random order, then a long one; or a long one alone."""
    if isinstance(data, charts.Chart):
        return charts.questions(r, data, most)
    short, long = _about_scatter(data) if isinstance(data, Scatter) else _about_series(r, data)
    r.shuffle(short)
    return [r.choice(long)] if r.random() < 0.2 else short[: most - 1] + [r.choice(long)]


def _about_scatter(data):
    short = [("What is the title of the chart?", data.title, ()), ("What type of chart is this?", KINDS["scatter"], ()),
             ("What is the label of the x axis?", data.x, ()), ("What is the label of the y axis?", data.y, ())]
    return short, [("Describe this image.", f'A scatter plot titled "{data.title}" of {data.y} against {data.x}.', ())]


def _about_series(r, data):
    numbers, rows = data.numbers(), table(data)
    cells = [(s, c) for s in range(len(data.series)) for c in range(len(data.names))]
    found = [(f"What is the value of {data.series[s]} in {data.names[c]}?", data.values[s][c], (rows,)) for s, c in r.sample(cells, min(3, len(cells)))]
    s, c = r.choice(cells)
    column, row = [n[c] for n in numbers], numbers[s]
    found += [("What is the title of the chart?", data.title, ()), ("What type of chart is this?", KINDS[data.kind], ()),
              ("How many series are there?", str(len(data.series)), ()), ("How many categories are there?", str(len(data.names)), (counted(data.names),)),
              (f"What is the color of {data.series[s]}?", data.colours[s], (colours(data.series, data.colours),)),
              (f"What is the sum of {data.names[c]}?", str(sum(column)), (rows, added(data.series, column)))]
    if row.count(max(row)) == 1:
        found.append((f"Which category has the highest value of {data.series[s]}?", data.names[row.index(max(row))], (rows, extreme(data.names, data.values[s]))))
    if column.count(max(column)) == 1:
        found.append((f"Which series has the highest value in {data.names[c]}?", data.series[column.index(max(column))], (rows, extreme(data.series, [v[c] for v in data.values]))))
    return found, [("Convert the chart to a table.", table(data), ()), ("Describe this image.", describe(data), ())]


def table(data):
    """A head with the series' names, then a row a category."""
    head = " | ".join(["Category", *data.series])
    return "\n".join([head] + [" | ".join([name, *values]) for name, *values in zip(data.names, *data.values)])


def describe(data):
    rows = "; ".join(f"{name} {', '.join(values)}" for name, *values in zip(data.names, *data.values))
    return f'A {KINDS[data.kind]} titled "{data.title}" of {", ".join(data.series)}: {rows}.'
