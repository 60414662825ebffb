"""Samples as documents have them: receipts, tables, and pages whose text is too small to be read."""
from canvas import Canvas, choose_font, colours, text_width
from words import GOODS, token, word

OCR = "Text Recognition:"
TABLE = "Table Recognition:"
DESCRIBE = "Describe this image."


def amount(r):
    return f"{r.randint(0, 10 ** r.randint(1, 3))}.{r.randint(0, 99):02d}"


def _fit(font, text, width):
    while len(text) > 2 and text_width(font, text) > width:
        text = text[:-1].strip()
    return text


def receipt(r, width, height, test=False):
    """A shop's name, goods with prices at the right edge, and their total."""
    background, ink = colours(r, r.random() < 0.7)
    canvas = Canvas(width, height, background)
    size = r.randint(13, 18)
    font, pitch = choose_font(r, size, test=test), int(size * r.uniform(1.25, 1.6))
    sign = r.choice(["", "", "$", "€"]) if r.random() < 0.5 else ""
    count = max(1, min(6, (height - 8) // pitch - 2))
    names = [_fit(font, r.choice(GOODS) if r.random() < 0.4 else word(r, test).capitalize(), width * 0.6) for _ in range(count)]
    prices = [amount(r) for _ in names]
    total = f"{sum(float(p) for p in prices):.2f}"
    shop = _fit(font, f"{word(r, test).capitalize()} {r.choice(['Store', 'Shop', 'Market', 'Cafe', 'Ltd', 'Inc.'])}", width - 12)
    rows = [(name, sign + price) for name, price in zip(names, prices)] + [(r.choice(["Total", "TOTAL", "Total:"]), sign + total)]
    y = r.randint(2, 6)
    canvas.text((width // 2, y), shop, font, ink, anchor="ma")
    for left, right in rows:
        y += pitch
        canvas.text((6, y), left, font, ink)
        canvas.text((width - 6, y), right, font, ink, anchor="ra")
    if r.random() < 0.5:
        return canvas, [(OCR, "\n".join([shop] + [f"{left} {right}" for left, right in rows]))]
    asked = r.randrange(count)
    turns = [("What is the total?", sign + total)]
    if names.count(names[asked]) == 1:
        turns.append((f"What is the price of {names[asked]}?", sign + prices[asked]))
    r.shuffle(turns)
    return canvas, turns


def table(r, width, height, test=False):
    """Rows and columns, ruled or not; the answer has a row a line."""
    canvas = Canvas(width, height)
    size = r.randint(13, 17)
    font = choose_font(r, size, test=test)
    columns = r.randint(2, 3 if width < 300 else 4)
    step = (width - 8) / columns
    pitch = int(size * r.uniform(1.35, 1.8))
    count = max(2, min(7, (height - 6) // pitch))
    cells = [[_cell(r, font, i, j, step, test) for j in range(columns)] for i in range(count)]
    ruled, y = r.random() < 0.6, 3
    for row in cells:
        if ruled:
            canvas.draw.line((4, y, width - 4, y), fill=(150, 150, 150))
        for j, text in enumerate(row):
            canvas.text((6 + step * j, y + (pitch - size) // 2 - 1), text, font)
        y += pitch
    if ruled:
        for j in range(columns + 1):
            canvas.draw.line((4 + step * j, 3, 4 + step * j, y), fill=(150, 150, 150))
        canvas.draw.line((4, y, width - 4, y), fill=(150, 150, 150))
    return canvas, [(TABLE, "\n".join(" | ".join(row) for row in cells))]


def _cell(r, font, i, j, width, test):
    if i == 0 or j == 0:
        text = word(r, test).capitalize()
    else:
        text = r.choice([amount(r), str(r.randint(0, 9999)), word(r, test), f"{r.randint(0, 100)}%"])
    return _fit(font, text, width - 8)


def page(r, width, height, test=False):
    """Columns of print too small to be read at this size; what it is can be said, and no more."""
    canvas = Canvas(width, height, tuple(r.randint(225, 255) for _ in range(3)) if r.random() < 0.5 else (255, 255, 255))
    columns = r.choice([1, 1, 2, 3])
    step = (width - 12) / columns
    font, ink = choose_font(r, r.randint(6, 9), test=test), tuple(r.randint(0, 80) for _ in range(3))
    pitch = int(font.size * r.uniform(1.2, 1.6)) + 1
    top = r.randint(6, 40)
    if top > 26:
        heading = choose_font(r, r.randint(14, 22), test=test)
        canvas.text((width // 2, 4), _fit(heading, " ".join(word(r, test) for _ in range(3)).capitalize(), width - 12), heading, ink, anchor="ma")
    for j in range(columns):
        for y in range(top, height - pitch, pitch):
            if r.random() < 0.06:
                continue
            line = token(r, test)
            while text_width(font, line) < (step - 10) * r.choice([1, 1, 1, 0.9, 0.5]) - 20:
                line += " " + token(r, test)
            canvas.text((6 + step * j, y), _fit(font, line, step - 8), font, ink)
    canvas.words = []
    canvas.glyphs = [glyph for glyph in canvas.glyphs if top > 26 and glyph[2] < 24]  # the small print is not to be spelt
    return canvas, [(DESCRIBE, "A page of text.")]
