"""Scores a nano model with the runtime itself, on fonts, words and seeds that training never saw.

Usage: python evaluate.py GLM4V_BINARY [MODEL_FOLDER] [--n 60] [--tasks line,chart,...] [--seed 20261124]. Without a folder the built-in model
is asked, without tasks all of them.
Prints one JSON object; `models/nano/README.md` shows it.
"""
import json
import os
import random
import subprocess
import sys
import tempfile

import charts
import matplotlib_charts
import photographs
import samples
import series_charts
import vega_charts
from canvas import TEST_FONTS, Canvas, choose_font, text_width
from words import LANGUAGES, token

SEED = 20261124


def line(r, language=None):
    """A single line, 12 to 28 px high glyphs, up to 40 characters."""
    size = r.randint(12, 28)
    font = choose_font(r, size, test=True)
    text = token(r, True, language)
    while len(longer := text + " " + token(r, True, language)) <= r.randint(8, 40):
        text = longer
    canvas = Canvas(int(text_width(font, text)) + 16, int(size * 1.5) + 4)
    canvas.text((8, 3), text, font)
    return canvas, [(samples.OCR, text)]


def line_abroad(r):
    """A single line of another language, most of its words with accents."""
    return line(r, r.choice(list(LANGUAGES)))


def paragraph(r):
    return samples.text_lines(r, 28 * r.randint(7, 12), 28 * r.randint(3, 6), test=True)


def chart(r):
    width, height = r.choice(samples.CHART_SIZES + samples.LARGE_CHART_SIZES)
    canvas, turns = samples.chart(r, width, height, test=True, turns=20)
    wanted = [t for t in turns if t[0] not in charts.LONG]
    return (canvas, [r.choice(wanted)]) if wanted else chart(r)


def chart_of_real_values(r):
    """The generator's chart of values that come from data sets which training never saw."""
    width, height = r.choice(samples.LARGE_CHART_SIZES)
    data = charts.Chart(r, 6, True)
    data.take_real(r, 6, held_out=True)
    canvas = charts.draw(r, data, width, height, False, True)
    wanted = [t for t in charts.questions(r, data, 20) if t[0] not in charts.LONG]
    return (canvas, [r.choice(wanted)]) if wanted else chart_of_real_values(r)


def chart_of_matplotlib(r):
    """A chart drawn by matplotlib in a style that training did not draw."""
    data = matplotlib_charts.data(r, True)
    canvas = Canvas(1, 1)
    canvas.image, *_ = matplotlib_charts.draw(r, data, r.choice([400, 448, 480]), r.choice([300, 336]), r.choice(TEST_FONTS))
    wanted = [t for t in charts.questions(r, data, 20) if t[0] not in charts.LONG]
    return (canvas, [r.choice(wanted)]) if wanted else chart_of_matplotlib(r)


def chart_of_vega(r):
    """A chart drawn by Vega-Lite in a theme that training did not draw."""
    width = r.choice([400, 448, 480])
    data = matplotlib_charts.data_or_series(r, True, width)
    canvas = Canvas(1, 1)
    canvas.image = vega_charts.draw(r, data, width, r.choice([300, 336]), r.choice(TEST_FONTS))
    wanted = [t for t in series_charts.questions(r, data, 20) if t[0] not in charts.LONG]
    return (canvas, [r.choice(wanted)]) if wanted else chart_of_vega(r)


def chart_of_series(r):
    """Grouped and stacked bars, several lines, scatter plots."""
    canvas, turns = samples.series_chart(r, *r.choice(samples.CHART_SIZES[2:]), test=True, turns=20)
    wanted = [t for t in turns if t[0] not in charts.LONG]
    return (canvas, [r.choice(wanted)]) if wanted else chart_of_series(r)


def chart_without_values(r):
    """Bars and lines whose values are to be read off the axis."""
    canvas, turns = samples.chart(r, *r.choice(samples.CHART_SIZES), test=True, turns=20, labelled=False)
    wanted = [t for t in turns if t[0] not in charts.LONG]
    return (canvas, [r.choice(wanted)]) if wanted else chart_without_values(r)


def chart_table(r):
    width, height = r.choice(samples.CHART_SIZES)
    while True:
        canvas, turns = samples.chart(r, width, height, test=True, turns=20)
        tables = [t for t in turns if t[0] == "Convert the chart to a table."]
        if tables:
            return canvas, tables


def no_text(r):
    """Photographs that training never saw, or textures and the like; half and half."""
    width, height = 28 * r.randint(5, 12), 28 * r.randint(5, 10)
    if r.random() < 0.5:
        canvas = Canvas(width, height)
        canvas.image = samples.crop(r, r.choice(photographs.unseen()), width, height)
    else:
        canvas, _ = samples.without_text(r, width, height)
    return canvas, [(samples.OCR, "No text.")]


def ask(binary, model, image, prompt):
    command = [binary, "ask", image, "-p", prompt, "--json", "-q", "--temperature", "0", "--max-tokens", "1000"]
    done = subprocess.run(command + (["--model", model] if model else []), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["text"].strip()


def mapping_similarity(binary, pairs):
    """Mean F1 of the relative mapping similarity (Liu et al. 2022), by the runtime's own scorer."""
    lines = [json.dumps({"id": i, "prediction": found, "references": [wanted]}) for i, (found, wanted) in enumerate(pairs)]
    command = [binary, "score", "--metric", "chart_table:rms_per_point", "-", "--items", "--json"]
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, check=True)
    items = [json.loads(line) for line in done.stdout.splitlines()]
    return sum(item["score"]["f1"] for item in items if "id" in item) / len(pairs)


def edit_distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a):
        previous, row[0] = row[0], i + 1
        for j, y in enumerate(b):
            previous, row[j + 1] = row[j + 1], min(row[j + 1] + 1, row[j] + 1, previous + (x != y))
    return row[-1]


def cells(table):
    """The (name, value) pairs of a table."""
    return [tuple(p.strip() for p in row.split("|", 1)) for row in table.splitlines() if "|" in row]


def score(binary, pairs, task):
    n = len(pairs)
    exact = sum(a == b for a, b in pairs) / n
    if task in ("line", "line_abroad", "paragraph"):
        rate = sum(edit_distance(a, b) for a, b in pairs) / sum(len(b) for _, b in pairs)
        return {"n": n, "character_error_rate": round(rate, 4), "exact": round(exact, 3)}
    if task == "chart_table":
        similarity = mapping_similarity(binary, pairs)
        hits = sum(len(set(cells(a)) & set(cells(b))) for a, b in pairs)
        found, wanted = sum(len(cells(a)) for a, _ in pairs), sum(len(cells(b)) for _, b in pairs)
        return {"n": n, "relative_mapping_similarity_f1": round(similarity, 3), "exact_row_f1": round(2 * hits / max(1, found + wanted), 3), "exact": round(exact, 3)}
    return {"n": n, "exact": round(exact, 3)}


TASKS = [line, line_abroad, paragraph, chart, chart_of_real_values, chart_of_matplotlib, chart_of_vega, chart_of_series, chart_without_values, chart_table, no_text]


def main():
    binary = sys.argv[1]
    model = sys.argv[2] if len(sys.argv) > 2 and not sys.argv[2].startswith("--") else None
    n = int(sys.argv[sys.argv.index("--n") + 1]) if "--n" in sys.argv else 60
    seed = int(sys.argv[sys.argv.index("--seed") + 1]) if "--seed" in sys.argv else SEED
    asked = sys.argv[sys.argv.index("--tasks") + 1].split(",") if "--tasks" in sys.argv else [task.__name__ for task in TASKS]
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        for task in (task for task in TASKS if task.__name__ in asked):
            r = random.Random(seed)
            pairs = []
            for i in range(n):
                canvas, [(prompt, wanted, *_), *_] = task(r)
                image = os.path.join(folder, f"{task.__name__}_{i}.png")
                canvas.image.save(image)
                pairs.append((ask(binary, model, image, prompt), wanted))
            result[task.__name__] = score(binary, pairs, task.__name__)
            print(task.__name__, result[task.__name__], pairs[:3], file=sys.stderr, flush=True)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
