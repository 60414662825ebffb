"""Charts drawn by matplotlib, in styles that training never draws; for evaluation alone."""
import io

import matplotlib
from PIL import Image

import charts

matplotlib.use("Agg")
from matplotlib import font_manager, pyplot  # noqa: E402  the backend must be chosen first

STYLES = ["default", "ggplot", "seaborn-v0_8-whitegrid", "bmh", "fivethirtyeight"]


def draw(r, chart, width, height, font_file):
    """An RGB image of `width` x `height` pixels with each value written at its mark."""
    with pyplot.style.context(r.choice(STYLES)):
        name = font_manager.FontProperties(fname=font_file).get_name()
        font_manager.fontManager.addfont(font_file)
        pyplot.rcParams.update({"font.family": name, "font.size": r.randint(9, 11)})
        figure, axes = pyplot.subplots(figsize=(width / 100, height / 100), dpi=100)
        _marks(r, axes, chart)
        axes.set_title(chart.title)
        figure.tight_layout()
        out = io.BytesIO()
        figure.savefig(out, format="png")
        pyplot.close(figure)
    return Image.open(out).convert("RGB")


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
