"""Words, numbers and short phrases for rendered samples."""
import functools
import hashlib

DICTIONARIES = "/usr/share/dict/"
LANGUAGES = {"french": "utf8", "ngerman": "utf8", "spanish": "utf8", "portuguese": "utf8", "polish": "utf8", "danish": "utf8", "swedish": "latin1"}
ACCENTED = "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝàáâãäåæçèéêëìíîïñòóôõöøùúûüýßŒœĄĆĘŁŃŚŹŻąćęłńśźż"


def _read(name, encoding="utf8"):
    """Words of a Debian word list that are not too long; ten thousand lines of it at most, evenly spread, or all of the English one."""
    lines = open(DICTIONARIES + name, encoding=encoding).read().split("\n")
    if name in LANGUAGES:
        lines = lines[:: max(1, len(lines) // 10_000)]
    return [w for w in map(str.strip, lines) if "'" not in w and 1 < len(w) < 12]


_ALL = [w for w in _read("american-english") if w.isascii()]


def _held_out(word):
    return hashlib.md5(word.lower().encode()).digest()[0] < 13  # about one word in twenty


TRAIN_WORDS = [w for w in _ALL if not _held_out(w)]
TEST_WORDS = [w for w in _ALL if _held_out(w)]
_ABROAD = {name: [w for w in _read(name, encoding) if all(c.isascii() or c in ACCENTED for c in w)] for name, encoding in LANGUAGES.items()}
TRAIN_ABROAD = {name: [w for w in found if not _held_out(w)] for name, found in _ABROAD.items()}
TEST_ABROAD = {name: [w for w in found if _held_out(w)] for name, found in _ABROAD.items()}
ABROAD = 0.12  # share of training's words that are of another language
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
DAYS = "Mon Tue Wed Thu Fri Sat Sun".split()
CITIES = "Paris London Rome Berlin Oslo Madrid Tokyo Cairo Lima Delhi Seoul Boston Vienna Dublin Prague Athens".split()
FRUITS = "Apples Pears Plums Figs Grapes Melons Lemons Oranges Bananas Cherries Peaches Mangoes".split()
GOODS = "Coffee Tea Bread Milk Rice Sugar Books Shoes Phones Cars Bikes Tickets Rooms Energy Water Steel".split()
UNITS = ["per day", "per month", "by city", "by year", "in 2023", "in 2024", "sold", "by region", "in tons", "this week"]


def word(r, test=False):
    """An English word, or in training one of another language now and then."""
    if not test and r.random() < ABROAD:
        return word_abroad(r, r.choice(list(LANGUAGES)))
    return r.choice(TEST_WORDS if test else TRAIN_WORDS)


def word_abroad(r, language, test=False):
    """A word of one of `LANGUAGES`, mostly one with an accent."""
    words = (TEST_ABROAD if test else TRAIN_ABROAD)[language]
    return next((w for w in (r.choice(words) for _ in range(3)) if not w.isascii()), r.choice(words))


def token(r, test=False, language=None):
    """A word or number as a document has it; the words are of one of `LANGUAGES`, or English in the main."""
    any_word = functools.partial(word_abroad, r, language, test) if language else functools.partial(word, r, test)
    k, w = r.random(), any_word()
    if k < 0.55:
        return w if r.random() < 0.6 else w.capitalize()
    if k < 0.62:
        return w.upper()
    if k < 0.76:
        return str(r.randint(0, 10 ** r.randint(1, 5)))
    if k < 0.83:
        return f"{r.randint(0, 999)}.{r.randint(0, 99):02d}"
    if k < 0.88:
        return amount(r, test and not language)
    if k < 0.91:
        return f"{r.randint(0, 100)}%"
    if k < 0.94:
        return f"{r.randint(1, 28):02d}/{r.randint(1, 12):02d}/{r.randint(1990, 2030)}"
    if k < 0.97:
        return w + r.choice([",", ".", ":", ";", "!", "?"])
    return r.choice(["(" + w + ")", "#" + str(r.randint(1, 999)), w + "-" + any_word(), "&", "@" + w, "+" + str(r.randint(1, 99))])


def amount(r, dollars=False):
    """Whole dollars, or as other countries write it."""
    if dollars or r.random() < 0.4:
        return f"${r.randint(0, 99999):,}"
    number = f"{r.randint(0, 99999):,}"
    return r.choice([f"€{number}", f"£{number}", f"¥{number}", f"{number.replace(',', '.')},{r.randint(0, 99):02d}€"])


def categories(r, n, test=False, easy=False):
    """`n` different labels of one kind; easy ones come from short lists."""
    k = r.random() * (0.6 if easy else 1)
    if k < 0.14:
        start = r.randint(0, 12 - n) if n <= 12 else 0
        return MONTHS[start:start + n]
    if k < 0.26 and n <= 7:
        start = r.randint(0, 7 - n)
        return DAYS[start:start + n]
    if k < 0.42:
        first = r.randint(1980, 2030 - n)
        return [str(y) for y in range(first, first + n)]
    if k < 0.6:
        return r.sample(r.choice([CITIES, FRUITS, GOODS]), n)
    names = []
    while len(names) < n:
        w = word(r, test)
        if len(w) <= 8 and w.capitalize() not in names:
            names.append(w.capitalize())
    return names


def title(r, test=False, easy=False):
    if easy or r.random() < 0.5:
        return f"{r.choice(GOODS)} {r.choice(UNITS)}"
    return " ".join(word(r, test) for _ in range(r.randint(1, 3))).capitalize()[:24]
