"""Samples: an image whose sides training makes multiples of 20 pixels, glyph centres, and (prompt, answer) turns."""
import numpy as np
from PIL import Image, ImageFilter

import charts
import matplotlib_charts
import photographs
import series_charts
from canvas import Canvas, choose_font, colours, load_font, text_width
from words import token, word

OCR = "Text Recognition:"
DESCRIBE = "Describe this image."
UNIT = 20


def dense_text(r, easy, width=180, height=120, test=False):
    """A crop full of text, for the tower alone: every line filled, any offset."""
    background, ink = colours(r, easy)
    canvas = Canvas(width, height, background)
    y = r.randint(-4, 6)
    while y < height - 8:
        size = r.choice([16, 18]) if easy else r.randint(12, 24)
        font = choose_font(r, size, easy, test)
        x, line = r.randint(-6, 10), token(r, test)
        while text_width(font, line) < width - x:
            line += " " + token(r, test)
        canvas.text((x, y), line, font, ink)
        y += int(size * r.uniform(1.15, 1.7))
    return canvas


def text_lines(r, width, height, easy=False, test=False, sizes=(13, 24), most_words=30):
    """Whole lines of text that fit; the answer is what they say."""
    background, ink = colours(r, easy)
    canvas = Canvas(width, height, background)
    size = r.choice([16, 18]) if easy else r.randint(*sizes)
    font = choose_font(r, size, easy, test)
    pitch = int(size * r.uniform(1.2, 1.6))
    x, y = r.randint(2, 10), r.randint(1, max(1, min(8, height - pitch)))
    lines = []
    while y + size * 1.15 <= height and (not lines or y + pitch <= height):
        line = ""
        for _ in range(most_words):
            longer = (line + " " + token(r, test)).strip()
            if text_width(font, longer) > width - x - 3:
                break
            line = longer
            if r.random() < 0.06:
                break
        if line:
            canvas.text((x, y), line, font, ink)
            lines.append(line)
        elif not lines:
            line = word(r, test)[: max(2, int((width - x - 3) / size * 1.2))]
            canvas.text((x, y), line, font, ink)
            lines.append(line)
        y += pitch
    if not lines:
        return text_lines(r, width, height, easy, test, (12, 16), most_words)
    text = "\n".join(lines)
    return canvas, [(OCR, text)] if r.random() < 0.8 else [(DESCRIBE, f'Text: "{text}"')]


def single_line(r, width, height, test=False, most=40):
    """One line of up to `most` characters, at any size that fits, anywhere in the image."""
    background, ink = colours(r, False)
    canvas = Canvas(width, height, background)
    size = r.randint(12, max(12, min(28, int(height / 1.2))))
    font = choose_font(r, size, test=test)
    text = token(r, test)
    while len(longer := text + " " + token(r, test)) <= most and text_width(font, longer) < width - 6:
        text = longer
    while len(text) > 2 and text_width(font, text) > width - 4:
        text = text[:-1].strip()
    x = r.randint(2, max(2, min(12, int(width - text_width(font, text) - 2))))
    canvas.text((x, r.randint(0, max(0, height - int(size * 1.25)))), text, font, ink)
    return canvas, [(OCR, text)]


PHOTO = "A photograph."


def crop(r, photo, width, height):
    """A random part of a photograph, resized."""
    scale = r.uniform(0.15, 0.9)
    w, h = int(min(photo.width, photo.height * width / height) * scale), int(min(photo.height, photo.width * height / width) * scale)
    x, y = r.randint(0, photo.width - w), r.randint(0, photo.height - h)
    return photo.crop((x, y, x + w, y + h)).resize((width, height), Image.BICUBIC)


def without_text(r, width, height):
    """A crop of a photograph, a gradient, noise, a texture or a plain colour, with a short truth."""
    kind = r.choice(["photo", "photo", "gradient", "noise", "plain", "shapes"])
    canvas = Canvas(width, height, tuple(r.randint(0, 255) for _ in range(3)))
    if kind == "photo":
        canvas.image = crop(r, r.choice(photographs.seen()), width, height)
        answer = PHOTO
    elif kind == "gradient":
        a, b = (np.array([r.randint(0, 255) for _ in range(3)]) for _ in range(2))
        t = np.linspace(0, 1, width if r.random() < 0.5 else height)
        t = np.broadcast_to(t[None, :] if len(t) == width else t[:, None], (height, width))[..., None]
        canvas.image = Image.fromarray((a * (1 - t) + b * t).astype(np.uint8))
        answer = "A color gradient."
    elif kind == "noise":
        noise = np.random.default_rng(r.randrange(1 << 30)).integers(0, 256, (height, width, 3), dtype=np.uint8)
        canvas.image = Image.fromarray(noise).filter(ImageFilter.GaussianBlur(r.uniform(0, 4)))
        answer = "A texture."
    elif kind == "plain":
        answer = "A plain color."
    else:
        for _ in range(r.randint(1, 5)):
            x, y, s = r.randint(0, width), r.randint(0, height), r.randint(10, 80)
            box = (x, y, x + s, y + r.randint(10, 80))
            r.choice([canvas.draw.rectangle, canvas.draw.ellipse])(box, fill=tuple(r.randint(0, 255) for _ in range(3)))
        answer = "Colored shapes."
    return canvas, [(DESCRIBE, answer + " No text.")] if r.random() < 0.6 else [(OCR, "No text.")]


def drawn_chart(r, width, height, turns=7):
    """One of the charts that matplotlib or Vega drew beforehand, with questions of its own each time."""
    pixels, data, *drawn = r.choice(matplotlib_charts.drawn()[width, height])
    canvas = Canvas(1, 1)
    canvas.image = Image.fromarray(pixels)
    if drawn:
        font, texts, coloured = drawn
        for text, left, middle, length, is_tick in texts:
            canvas.mark(text, left, middle, length, load_font(font, 16), read=not is_tick)
        for colour in coloured:
            canvas.coloured(*colour)
    else:
        canvas.glyphs = None
    return canvas, series_charts.questions(r, data, turns)


def series_chart(r, width, height, test=False, turns=7):
    """A chart of several series, or a scatter plot."""
    data = series_charts.Scatter(r, test) if r.random() < 0.2 else series_charts.Series(r, 4, test)
    while isinstance(data, series_charts.Series) and series_charts.crowded(data, width):
        data = series_charts.Series(r, 4, test)
    return series_charts.draw(r, data, width, height, test), series_charts.questions(r, data, turns)


CHART_SIZES = [(224, 168), (252, 196), (280, 196), (308, 224), (336, 252)]
LARGE_CHART_SIZES = [(392, 308), (448, 336)]


def chart(r, width, height, easy=False, test=False, turns=7, labelled=True):
    most = 4 if width < 280 else 6 if width < 400 else 8
    data = charts.Chart(r, most, test, easy, labelled)
    canvas = charts.draw(r, data, width, height, easy, test)
    return canvas, charts.questions(r, data, turns)
