"""Charts drawn by matplotlib: some styles and fonts for training, drawn beforehand as it is slow, others for evaluation.

Usage: python matplotlib_charts.py FOLDER COUNT SEED. Writes FOLDER/WIDTHxHEIGHT_SEED.pickle for each size.
"""
import functools
import glob
import io
import os
import pickle
import random
import sys

import matplotlib
import numpy as np
from PIL import Image

import charts
import series_charts
from canvas import TRAIN_FONTS

matplotlib.use("Agg")
from matplotlib import font_manager, pyplot  # noqa: E402  the backend must be chosen first
from matplotlib.text import Text  # noqa: E402

STYLES = ["default", "ggplot", "seaborn-v0_8-whitegrid", "bmh", "fivethirtyeight"]
TRAIN_STYLES = ["classic", "seaborn-v0_8-darkgrid", "seaborn-v0_8-ticks", "seaborn-v0_8-white", "Solarize_Light2", "grayscale", "tableau-colorblind10", "dark_background"]
TRAIN_SIZES = [(336, 252), (392, 308), (448, 336)]
FOLDER = None  # of the charts drawn for training


def draw(r, chart, width, height, font_file, styles=STYLES):
    """An RGB image of `width` x `height` pixels with each value written at its mark, and what `_texts` and `_colours` find in it."""
    with pyplot.style.context(r.choice(styles)):
        name = font_manager.FontProperties(fname=font_file).get_name()
        font_manager.fontManager.addfont(font_file)
        pyplot.rcParams.update({"font.family": name, "font.size": r.randint(9, 11)})
        figure, axes = pyplot.subplots(figsize=(width / 100, height / 100), dpi=100)
        (_series if isinstance(chart, series_charts.Series) else _marks)(r, axes, chart)
        axes.set_title(chart.title)
        figure.tight_layout()
        out = io.BytesIO()
        figure.savefig(out, format="png")
        renderer = figure.canvas.get_renderer()
        texts, colours = _texts(figure, axes, chart, renderer, height), _colours(axes, chart, renderer, height)
        pyplot.close(figure)
    return Image.open(out).convert("RGB"), texts, colours


def _texts(figure, axes, chart, renderer, height):
    """What stands where: (text, left edge, middle of the line, width in pixels, whether it numbers the axis)."""
    values = axes.xaxis if chart.kind == "hbar" else axes.yaxis
    ticks = {id(text) for text in values.get_ticklabels()}
    found = []
    for text in figure.findobj(Text):
        if text.get_visible() and text.get_text() and text.get_rotation() == 0:
            box = text.get_window_extent(renderer)
            is_tick, plot = id(text) in ticks, axes.bbox
            x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
            along = plot.x0 - 3 <= x <= plot.x1 + 3 if chart.kind == "hbar" else plot.y0 - 3 <= y <= plot.y1 + 3
            shown = along if is_tick else box.x0 >= 0 and 0 <= box.y0 and box.y1 <= height
            if shown and box.width > 0:  # there are ticks outside of the plot, which are not drawn
                found.append((text.get_text(), box.x0, height - y, box.width, is_tick))
    return found


def _colours(axes, chart, renderer, height):
    """Where colours are told from: (name, x, y), in the legend or else at the bars' bases."""
    if axes.get_legend():
        boxes = [handle.get_window_extent(renderer) for handle in axes.get_legend().legend_handles]
        return [(colour, (box.x0 + box.x1) / 2, height - (box.y0 + box.y1) / 2) for colour, box in zip(chart.colours, boxes)]
    boxes = [bar.get_window_extent(renderer) for bar in axes.patches]
    if chart.kind == "bar":
        return [(colour, (box.x0 + box.x1) / 2, height - box.y0 - min(box.height, charts.END) / 2) for colour, box in zip(chart.colours, boxes)]
    return [(colour, box.x0 + min(box.width, charts.END) / 2, height - (box.y0 + box.y1) / 2) for colour, box in zip(chart.colours[::-1], boxes)]


def _marks(r, axes, chart):
    numbers = chart.numbers()
    colours = [tuple(v / 255 for v in charts.COLOURS[c]) for c in chart.colours]
    if chart.kind == "bar":
        axes.bar_label(axes.bar(chart.names, numbers, color=colours), chart.values)
    elif chart.kind == "hbar":
        axes.bar_label(axes.barh(chart.names[::-1], numbers[::-1], color=colours[::-1]), chart.values[::-1], padding=2)
        axes.margins(x=0.15)
    elif chart.kind == "line":
        axes.plot(chart.names, numbers, color=colours[0], marker=r.choice("osD^"))
        for i, value in enumerate(chart.values):
            axes.annotate(value, (i, numbers[i]), textcoords="offset points", xytext=(0, 6), ha="center")
        axes.margins(y=0.2)
    else:
        wedges, _ = axes.pie(numbers, colors=colours, startangle=r.randint(0, 360))
        axes.legend(wedges, [f"{n} {v}" for n, v in zip(chart.names, chart.values)], loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)


def _series(r, axes, chart):
    places, bottom = np.arange(len(chart.names)), np.zeros(len(chart.names))
    width = 0.84 / len(chart.series) if chart.kind == "grouped" else 0.7
    for i, (name, numbers, colour) in enumerate(zip(chart.series, chart.numbers(), chart.colours)):
        colour = tuple(v / 255 for v in charts.COLOURS[colour])
        if chart.kind == "lines":
            axes.plot(places, numbers, color=colour, marker="o", label=name)
            for x, value in enumerate(numbers):
                axes.annotate(str(value), (x, value), textcoords="offset points", xytext=(0, 5), ha="center")
        elif chart.kind == "grouped":
            axes.bar_label(axes.bar(places + width * (i - (len(chart.series) - 1) / 2), numbers, width, color=colour, label=name))
        else:
            axes.bar_label(axes.bar(places, numbers, width, bottom, color=colour, label=name), label_type="center")
            bottom += numbers
    axes.set_xticks(places, chart.names)
    axes.margins(y=0.25)
    axes.legend(fontsize=9, ncols=len(chart.series), loc="upper center", frameon=r.random() < 0.5)


def data_or_series(r, test, width):
    """A simple chart, or one of several series, whose labels have room."""
    while r.random() < 0.4:
        chart = series_charts.Series(r, 4, test)
        if not series_charts.crowded(chart, width - 60):
            return chart
    return data(r, test, 4 if width < 350 else 6)


def data(r, test, most=6):
    """A chart's data whose labels do not run into one another."""
    while True:
        chart = charts.Chart(r, most, test)
        if max(len(n) for n in chart.names) * len(chart.names) <= 40:
            return chart


@functools.cache
def drawn():
    """The charts drawn for training: for each size a list of (pixels, data), with (font, texts, colours) after it from `draw`; empty without a folder."""
    found = {}
    for path in sorted(glob.glob(os.path.join(FOLDER, "*.pickle"))) if FOLDER else []:
        width, height = os.path.basename(path).split("_")[0].split("x")
        with open(path, "rb") as file:
            found.setdefault((int(width), int(height)), []).extend(pickle.load(file))
    return found


def main():
    folder, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    os.makedirs(folder, exist_ok=True)
    r = random.Random(seed)
    for width, height in TRAIN_SIZES:
        made = []
        for _ in range(count // len(TRAIN_SIZES)):
            chart = data_or_series(r, False, width)
            font = r.choice(TRAIN_FONTS)
            image, *places = draw(r, chart, width, height, font, TRAIN_STYLES)
            made.append((np.asarray(image), chart, font, *places))
        with open(os.path.join(folder, f"{width}x{height}_{seed}.pickle"), "wb") as file:
            pickle.dump(made, file)


if __name__ == "__main__":
    main()
