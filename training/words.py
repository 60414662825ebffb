"""Words, numbers and short phrases for rendered samples."""
import hashlib

_ALL = [w.strip() for w in open("/usr/share/dict/words", encoding="utf8")]
_ALL = [w for w in _ALL if w.isascii() and "'" not in w and 1 < len(w) < 12]


def _held_out(word):
    return hashlib.md5(word.lower().encode()).digest()[0] < 13  # about one word in twenty


TRAIN_WORDS = [w for w in _ALL if not _held_out(w)]
TEST_WORDS = [w for w in _ALL if _held_out(w)]
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
DAYS = "Mon Tue Wed Thu Fri Sat Sun".split()
CITIES = "Paris London Rome Berlin Oslo Madrid Tokyo Cairo Lima Delhi Seoul Boston Vienna Dublin Prague Athens".split()
FRUITS = "Apples Pears Plums Figs Grapes Melons Lemons Oranges Bananas Cherries Peaches Mangoes".split()
GOODS = "Coffee Tea Bread Milk Rice Sugar Books Shoes Phones Cars Bikes Tickets Rooms Energy Water Steel".split()
UNITS = ["per day", "per month", "by city", "by year", "in 2023", "in 2024", "sold", "by region", "in tons", "this week"]


def word(r, test=False):
    return r.choice(TEST_WORDS if test else TRAIN_WORDS)


def token(r, test=False):
    """A word or number as a document has it."""
    k, w = r.random(), word(r, test)
    if k < 0.55:
        return w if r.random() < 0.6 else w.capitalize()
    if k < 0.62:
        return w.upper()
    if k < 0.76:
        return str(r.randint(0, 10 ** r.randint(1, 5)))
    if k < 0.83:
        return f"{r.randint(0, 999)}.{r.randint(0, 99):02d}"
    if k < 0.88:
        return f"${r.randint(0, 99999):,}"
    if k < 0.91:
        return f"{r.randint(0, 100)}%"
    if k < 0.94:
        return f"{r.randint(1, 28):02d}/{r.randint(1, 12):02d}/{r.randint(1990, 2030)}"
    if k < 0.97:
        return w + r.choice([",", ".", ":", ";", "!", "?"])
    return r.choice(["(" + w + ")", "#" + str(r.randint(1, 999)), w + "-" + word(r, test), "&", "@" + w, "+" + str(r.randint(1, 99))])


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
