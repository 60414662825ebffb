"""A drawing surface that remembers where each glyph stands."""
import functools
import glob
import random

from PIL import Image, ImageDraw, ImageFont

FAMILIES = ("dejavu", "liberation", "freefont", "roboto", "open-sans", "lato", "NotoSans-", "NotoSerif-", "NotoSansMono")
LEFT_OUT = ("Thin", "Hairline", "ExtraLight", "Math", "Condensed", "Black", "Oblique", "Italic", "Symbols")


def _font_files():
    files = sorted(glob.glob("/usr/share/fonts/truetype/**/*.ttf", recursive=True))
    files = [f for f in files if any(k in f for k in FAMILIES) and not any(k in f for k in LEFT_OUT)]
    random.Random(7).shuffle(files)
    return files


FONT_FILES = _font_files()
TEST_FONTS, TRAIN_FONTS = FONT_FILES[:6], FONT_FILES[6:]
EASY_FONTS = [f for f in TRAIN_FONTS if f.endswith(("DejaVuSans.ttf", "LiberationSans-Regular.ttf", "LiberationSerif-Regular.ttf", "Roboto-Regular.ttf", "OpenSans-Regular.ttf"))] or TRAIN_FONTS[:4]


@functools.lru_cache(maxsize=2000)
def load_font(path, size):
    return ImageFont.truetype(path, size)


NO_CHAR = ""  # what stands at a mark of which only the colour is told


class Canvas:
    """An RGB image of `width` x `height` pixels with a list of glyph centres.

    `glyphs` holds (character, x, y): the centre of the glyph's advance box, and the middle of the
    band between the line's baseline and its capital height, in pixels. `words` holds (word, place of its
    first glyph in `glyphs`) of what answers may repeat, in the order in which it was drawn. The name of a
    mark's colour is such a word too, its glyphs all `NO_CHAR` at the mark.
    """

    def __init__(self, width, height, background=(255, 255, 255)):
        self.image = Image.new("RGB", (width, height), background)
        self.draw = ImageDraw.Draw(self.image)
        self.glyphs, self.words = [], []

    def text(self, xy, text, font, fill=(0, 0, 0), anchor="la", read=True):
        """Draws one line of text, with Pillow's anchors; `read` says whether an answer may repeat it."""
        self.draw.text(xy, text, font=font, fill=fill, anchor=anchor)
        middle = self._baseline(xy[1], font, anchor[1]) - _capital_height(font.path, font.size) / 2
        width = text_width(font, text)
        self.mark(text, xy[0] - {"l": 0, "m": width / 2, "r": width}[anchor[0]], middle, width, font, read)

    def mark(self, text, left, middle, width, font, read=True):
        """Notes a line that stands in the image, `width` pixels wide, its glyphs as far apart as the font has them."""
        if read:
            start = len(self.glyphs)
            for word in text.split():
                self.words.append((word, start))
                start += len(word)
        scale, x = width / max(1, text_width(font, text)), left
        for char in text:
            advance = _advance(font, char) * scale
            if not char.isspace():
                self.glyphs.append((char, x + advance / 2, middle))
            x += advance

    def coloured(self, colour, x, y):
        """Notes that the mark of which `x`, `y` is a point has a colour, whose name an answer may tell."""
        self.words.append((colour, len(self.glyphs)))
        self.glyphs += [(NO_CHAR, x, y)] * len(colour)

    def fit(self, width, height):
        """Resizes the image and its glyph centres, as preprocessing does to an image of another size."""
        x, y = width / self.image.width, height / self.image.height
        self.image = self.image.resize((width, height), Image.BICUBIC)
        self.draw = ImageDraw.Draw(self.image)
        if self.glyphs is not None:
            self.glyphs = [(char, gx * x, gy * y) for char, gx, gy in self.glyphs]

    @staticmethod
    def _baseline(y, font, vertical):
        ascent, descent = font.getmetrics()
        return {"a": y + ascent, "s": y, "m": y + (ascent - descent) / 2, "d": y - descent, "b": y}[vertical]


@functools.lru_cache(maxsize=200000)
def _advance_of(path, size, char):
    return load_font(path, size).getlength(char)


@functools.lru_cache(maxsize=2000)
def _capital_height(path, size):
    return -load_font(path, size).getbbox("H", anchor="ls")[1]


def text_width(font, text):
    """Width in pixels without kerning; much faster than asking the font."""
    path, size = font.path, font.size
    return sum(_advance_of(path, size, char) for char in text)


def _advance(font, char):
    return _advance_of(font.path, font.size, char)


def colours(r, easy):
    """Background and foreground with enough contrast to be read."""
    if easy or r.random() < 0.6:
        return (255, 255, 255), (0, 0, 0)
    if r.random() < 0.6:
        return tuple(r.randint(215, 255) for _ in range(3)), tuple(r.randint(0, 90) for _ in range(3))
    background = tuple(r.randint(0, 255) for _ in range(3))
    dark = sum(background) / 3 < 128
    return background, tuple(r.randint(205, 255) if dark else r.randint(0, 50) for _ in range(3))


def choose_font(r, size, easy=False, test=False):
    return load_font(r.choice(TEST_FONTS if test else EASY_FONTS if easy else TRAIN_FONTS), size)
