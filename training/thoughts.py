"""What the model writes before it answers a question about a chart: the numbers it needs, then the reckoning.

A decoder of four layers cannot find, compare and add in one token. So it writes the table down, as for
`Convert the chart to a table.`, and then steps of which each needs one or two things that stand close by: a number is
copied beside its name before it is used, numbers to be compared have four digits before the point, the winner of each
comparison is written out with its name, and sums run from the last digit to the first with their carries in between.
"""

DIGITS = 4


def before_answer(parts):
    """The thoughts of a turn as they stand before its answer; nothing for none."""
    return "<think>" + "\n".join(parts) + "</think>" if parts else ""


def padded(value):
    """`7` as `0007`, `7.5` as `0007.5`: numbers of one length compare from left to right."""
    whole, point, rest = value.partition(".")
    return whole.zfill(DIGITS) + point + rest


def colours(names, found):
    return "\n".join(f"{name} | {colour}" for name, colour in zip(names, found))


def counted(names):
    return "\n".join(f"{i + 1} {name}" for i, name in enumerate(names))


def sign(a, b):
    return "=" if float(a) == float(b) else "<" if float(a) < float(b) else ">"


def extreme(names, values, lowest=False):
    """One line a category: it, its value, how that stands to the best so far, and the best from there on.

    `Pears 0012>0007 Pears 0012`; the first line has nothing to compare with. Of equal values the first stays the best.
    """
    best, out = None, []
    for name, value in zip(names, values):
        line = f"{name} {padded(value)}"
        if best:
            line += sign(value, best[1]) + padded(best[1])
        if not best or (float(value) < float(best[1]) if lowest else float(value) > float(best[1])):
            best = name, value
        out.append(f"{line} {best[0]} {padded(best[1])}")
    return "\n".join(out)


def compared(a, b):
    """Two (name, value) as `Pears 0012`, `Figs 0130`, `0012<0130`, a line each."""
    return "\n".join(f"{name} {padded(value)}" for name, value in (a, b)) + f"\n{padded(a[1])}{sign(a[1], b[1])}{padded(b[1])}"


def _backwards(number):
    return str(number).zfill(DIGITS)[::-1]


def _columns(a, b, reckon):
    """From the last digit on: the digit of a, that of b, that of the result, and what is carried."""
    carry, out = 0, []
    for x, y in zip(_backwards(a), _backwards(b)):
        carry, digit = reckon(int(x), int(y), carry)
        out.append(f"{x}{y}{digit}{carry}")
    return " ".join(out)


def _plus(x, y, carry):
    return divmod(x + y + carry, 10)


def _minus(x, y, carry):
    return int(x < y + carry), (x - y - carry) % 10


def _named(names, numbers):
    return "\n".join(f"{name} {number}" for name, number in zip(names, numbers))


def added(names, numbers):
    """The numbers with their names, then sums one after another, digits backwards.

    12 + 130: `2100+0310`, then `2020 1340 0110 0000=2410`.
    """
    total, out = numbers[0], [_named(names, numbers)]
    for number in numbers[1:]:
        out.append(f"{_backwards(total)}+{_backwards(number)}\n{_columns(total, number, _plus)}={_backwards(total + number)}")
        total += number
    return "\n".join(out)


def subtracted(names, a, b):
    """The greater less the smaller, with what is borrowed: 130 - 12 as `0310-2100`, then `0281 3110 1010 0000=8110`."""
    high, low = max(a, b), min(a, b)
    steps = f"{padded(str(a))}{sign(a, b)}{padded(str(b))}\n{_backwards(high)}-{_backwards(low)}"
    return f"{_named(names, (a, b))}\n{steps}\n{_columns(high, low, _minus)}={_backwards(high - low)}"
