"""Tables of real values, made of the data sets that vega_datasets and scikit-learn carry within themselves.

A table is (title, names, values as text): the mean of one column for each value of another one.
"""
import functools
import re

HELD_OUT = ["barley", "driving", "gapminder", "wine"]  # the data sets that training never sees
LONGEST_NAME, FEWEST, MOST_NAMES = 10, 2, 60


@functools.cache
def _frames():
    """(name, data frame) of each data set; one that does not load is left out."""
    from sklearn import datasets
    from vega_datasets import local_data
    found = []
    for name in sorted(local_data.list_datasets()):
        try:
            found.append((name, getattr(local_data, name.replace("-", "_"))()))
        except Exception:
            continue  # what is no table, or needs another package
    for name, load in (("iris", datasets.load_iris), ("wine", datasets.load_wine), ("breast_cancer", datasets.load_breast_cancer)):
        data = load(as_frame=True)
        kinds = [str(kind)[:LONGEST_NAME].capitalize() for kind in data.target_names]
        found.append((name, data.data.assign(Kind=[kinds[i] for i in data.target])))
    return found


def _readable(column):
    """A column's name in words: `Miles_per_Gallon`, `life_expect` and `sepalLength` have spaces then."""
    words = re.sub(r"\(.*?\)|[_\-.]", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", str(column))).split()
    return " ".join(words).capitalize()


def _names(frame, column):
    """What stands for each row on the axis, as text: a year of a date, a short name; None where a column has no such thing."""
    values = frame[column]
    if str(values.dtype).startswith("datetime"):
        return values.dt.year.astype(str) if values.dt.year.nunique() > 1 else values.dt.strftime("%b")
    if str(values.dtype) in ("object", "str", "string") or re.search("year|cylinders", str(column).lower()):
        names = values.astype(str)
        return names if names.str.len().max() <= 40 else None
    return None


def _written(values):
    """Numbers as a chart has them: whole, or with one decimal; in thousands or millions where they are large. None where they do not fit."""
    highest = max(values)
    scale, unit = next(((s, u) for s, u in ((1, ""), (1e3, " (thousands)"), (1e6, " (millions)"), (1e9, " (billions)")) if highest / s < 3000), (1, ""))
    numbers = [v / scale for v in values]
    if min(numbers) < (1 if highest / scale >= 30 else 0.1):
        return None
    return ([f"{v:.0f}" if highest / scale >= 30 else f"{v:.1f}" for v in numbers]), unit


@functools.cache
def tables(held_out=False):
    """The tables of each data set for training, or of each of those held out."""
    found = []
    for dataset, frame in _frames():
        if (dataset in HELD_OUT) != held_out:
            continue
        made = []
        for key in frame.columns:
            names = _names(frame, key)
            if names is None:
                continue
            for column in frame.select_dtypes("number").columns:
                if column != key and not re.search("^id$|year|lat|lon|fips|code|cluster", str(column).lower()):
                    means = frame[column].groupby(names, sort=False).mean().dropna()
                    made += _table(_readable(column), _readable(key), means)
        found += [made] if made else []
    return found


def _table(column, key, means):
    means = means[[0 < len(name) <= LONGEST_NAME and name.isascii() and "|" not in name for name in means.index]][:MOST_NAMES]
    written = _written(list(means)) if len(means) >= FEWEST else None
    if not written or len(set(written[0])) < 2:
        return []
    title = f"{column}{written[1]}"
    return [(f"{title} by {key.lower()}" if len(title) + len(key) < 22 else title[:28], list(means.index), written[0])]


def choose(r, most, held_out=False):
    """(title, names, values) of two to `most` rows that stand side by side in a table."""
    title, names, values = r.choice(r.choice(tables(held_out)))
    n = r.randint(2, min(most, len(names)))
    start = r.randint(0, len(names) - n)
    return title, names[start : start + n], values[start : start + n]


def top_of(values):
    """The axis's end: the lowest of 1, 2 or 5 times a power of ten that is not below the highest value."""
    return next(top for power in range(1, 5) for top in (10**power, 2 * 10**power, 5 * 10**power) if top >= max(map(float, values)))
