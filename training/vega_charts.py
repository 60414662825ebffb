"""Charts drawn by Vega-Lite (vl-convert), some themes for training, drawn beforehand, and others for evaluation.

Usage: python vega_charts.py FOLDER COUNT SEED. Writes FOLDER/WIDTHxHEIGHT_vegaSEED.pickle for each size.
"""
import io
import os
import pickle
import random
import sys

import numpy as np
from PIL import Image, ImageFont

import charts
import matplotlib_charts
import series_charts
from canvas import TRAIN_FONTS

THEMES = ["ggplot2", "vox", "quartz"]
TRAIN_THEMES = [None, None, "excel", "fivethirtyeight", "latimes", "googlecharts", "powerbi", "urbaninstitute"]
_registered = set()


def draw(r, chart, width, height, font_file, themes=THEMES):
    """An RGB image of `width` x `height` pixels with each value written at its mark."""
    import vl_convert
    folder = os.path.dirname(font_file)
    if folder not in _registered:
        vl_convert.register_font_directory(folder)
        _registered.add(folder)
    spec = _series(chart) if isinstance(chart, series_charts.Series) else _simple(r, chart)
    spec |= {"width": width, "height": height, "autosize": {"type": "fit", "contains": "padding"}, "title": chart.title, "background": "white",
             "config": {"font": ImageFont.truetype(font_file, 12).getname()[0], "axis": {"labelFontSize": r.randint(11, 13), "labelAngle": 0, "title": None},
                        "legend": {"labelFontSize": 12, "title": None}, "title": {"fontSize": r.randint(14, 16)}, "text": {"fontSize": r.randint(11, 13)}}}
    png = vl_convert.vegalite_to_png(spec, vl_version="5.20", theme=r.choice(themes))
    return Image.open(io.BytesIO(png)).convert("RGB")


def _hex(name):
    return "#%02x%02x%02x" % charts.COLOURS[name]


def _simple(r, chart):
    rows = [{"name": n, "value": v, "text": t, "colour": _hex(c)} for n, v, t, c in zip(chart.names, chart.numbers(), chart.values, chart.colours)]
    if chart.kind == "pie":
        return _pie(rows, chart)
    name = {"field": "name", "type": "nominal", "sort": None}
    value = {"field": "value", "type": "quantitative"}
    colour = {"field": "colour", "type": "nominal", "scale": None}
    if chart.kind == "hbar":
        marks, axes, label = {"type": "bar"}, {"y": name, "x": value}, {"align": "left", "dx": 4}
    else:
        marks = {"type": "bar"} if chart.kind == "bar" else {"type": "line", "point": True, "color": _hex(chart.colours[0])}
        axes, label = {"x": name, "y": value}, {"baseline": "bottom", "dy": -4}
    drawn = {"mark": marks, "encoding": {} if chart.kind == "line" else {"color": colour}}
    return {"data": {"values": rows}, "encoding": axes, "layer": [drawn, {"mark": {"type": "text", "color": "black", **label}, "encoding": {"text": {"field": "text"}}}]}


def _pie(rows, chart):
    for row in rows:
        row["name"] = f"{row['name']} {row['text']}"
    scale = {"domain": [row["name"] for row in rows], "range": [row["colour"] for row in rows]}
    return {"data": {"values": rows}, "mark": "arc", "encoding": {"theta": {"field": "value", "type": "quantitative"}, "color": {"field": "name", "type": "nominal", "sort": None, "scale": scale}}}


def _series(chart):
    rows = [{"name": n, "series": s, "value": int(v), "place": i} for i, (s, row) in enumerate(zip(chart.series, chart.values)) for n, v in zip(chart.names, row)]
    scale = {"domain": chart.series, "range": [_hex(c) for c in chart.colours]}
    encoding = {"x": {"field": "name", "type": "nominal", "sort": None}, "y": {"field": "value", "type": "quantitative"},
                "color": {"field": "series", "type": "nominal", "sort": None, "scale": scale}, "order": {"field": "place"}}
    text = {"type": "text", "baseline": "bottom", "dy": -2}
    if chart.kind == "grouped":
        encoding["xOffset"] = {"field": "series", "sort": None}
    if chart.kind == "stacked":
        encoding["y"]["stack"] = "zero"
        text = {"type": "text", "baseline": "middle"}
        inside = {"y": {**encoding["y"], "bandPosition": 0.5}, "color": {"value": "black"}, "detail": {"field": "series"}}
    else:
        inside = {}
    mark = {"type": "line", "point": True} if chart.kind == "lines" else {"type": "bar"}
    return {"data": {"values": rows}, "encoding": encoding, "layer": [{"mark": mark}, {"mark": text, "encoding": {"text": {"field": "value"}, **inside}}]}


def main():
    folder, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    os.makedirs(folder, exist_ok=True)
    r = random.Random(seed)
    sizes = matplotlib_charts.TRAIN_SIZES
    for width, height in sizes:
        made = []
        for _ in range(count // len(sizes)):
            chart = matplotlib_charts.data_or_series(r, False, width)
            made.append((np.asarray(draw(r, chart, width, height, r.choice(TRAIN_FONTS), TRAIN_THEMES)), chart))
        with open(os.path.join(folder, f"{width}x{height}_vega{seed}.pickle"), "wb") as file:
            pickle.dump(made, file)


if __name__ == "__main__":
    main()
