"""What the model writes before it answers a question about a chart: the numbers it needs, then the reckoning.

A decoder of four layers cannot find, compare and add in one token. So it writes the table down, as for
`Convert the chart to a table.`, and then steps of which each needs two numbers already written: numbers to be compared
have four digits before the point, and sums run from the last digit to the first, as carries do.
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


def running(values, lowest=False):
    """The highest (or lowest) value so far after each one, as `0007 0012 0012`."""
    best, out = None, []
    for value in values:
        if best is None or (float(value) < float(best) if lowest else float(value) > float(best)):
            best = value
        out.append(padded(best))
    return " ".join(out)


def compared(a, b):
    """`0012<0130`"""
    sign = "=" if float(a) == float(b) else "<" if float(a) < float(b) else ">"
    return padded(a) + sign + padded(b)


def _backwards(number):
    return str(number).zfill(DIGITS)[::-1]


def added(numbers):
    """Sums one after another, digits backwards: 12 + 130 + 9 as `2100+0310=2410+9000=1510`."""
    total, out = numbers[0], _backwards(numbers[0])
    for number in numbers[1:]:
        total += number
        out += f"+{_backwards(number)}={_backwards(total)}"
    return out


def subtracted(a, b):
    """The greater less the smaller: 12 and 130 as `0012<0130` and `0310-2100=8110`."""
    high, low = max(a, b), min(a, b)
    return f"{compared(str(a), str(b))}\n{_backwards(high)}-{_backwards(low)}={_backwards(high - low)}"
