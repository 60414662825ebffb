"""Where in the image each character of an answer stands, by the words that were drawn."""

AROUND = set(' \n"|;:<>')
SENTENCE = set(".,")


def _stands_alone(text, start, end):
    """Whether `text[start:end]` is a word by itself: `12` is one in `Jan 12, Feb`, and none in `12.5`."""
    before = start == 0 or text[start - 1] in AROUND
    after = text[end:end + 2]
    return before and (not after or after[0] in AROUND or after[0] in SENTENCE and (len(after) == 1 or after[1].isspace()))


def _find(text, word, start, taken):
    """The first place from `start` on where `word` stands alone and nothing has been found yet; -1 for none."""
    at = text.find(word, start)
    while at >= 0:
        if not taken[at] and _stands_alone(text, at, at + len(word)):
            return at
        at = text.find(word, at + 1)
    return -1


def of_characters(text, words):
    """For each character of `text` its glyph's place among the drawn ones, or -1. `words` are `Canvas.words`.

    Words come in the order in which they were drawn, and mostly are repeated in this order.
    """
    found, taken, cursor = [-1] * len(text), [False] * len(text), 0
    for word, glyph in words:
        at = _find(text, word, cursor, taken)
        at = _find(text, word, 0, taken) if at < 0 else at
        if at < 0:
            continue
        cursor = at + len(word)
        for i in range(len(word)):
            found[at + i], taken[at + i] = glyph + i, True
    return found
