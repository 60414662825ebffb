"""Gives the same pages to glm4v and to OmniDocBench's own scorer, and compares every part of the score.

    python compare_with_omnidocbench.py CHECKOUT --glm4v target/release/glm4v [--made-up 500] [--write FILE]

CHECKOUT is a clone of https://github.com/opendatalab/OmniDocBench (v1.5, commit ca630f0). Its demo pages with
the predictions beside them are scored, one by one and as a set, and pages that this script makes up, with
answers that go wrong in the ways of models. The scorer runs without its limit of 30 seconds a page, behind
which it would pair in another way, and without CDM, which needs TeX. `--write` keeps the made-up cases.

Needs: levenshtein lxml beautifulsoup4 apted==1.0.3 pylatexenc==3.0a33 numpy scipy pandas tabulate
func_timeout loguru tqdm matplotlib.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import types
from contextlib import redirect_stdout
from pathlib import Path

WORDS = "the of revenue 2019 total north company green α β Figure x_1 U.S. 12.5 (a) January % model-based don't 3/4".split()
CHINESE = "数据 处理 方法 的 公司 结果 表明 我们 一 年度报告 增长".split()
FORMULAS = [r"a = b + c", r"\frac{x}{y} = z_1", r"\sum_{i=1}^{n} x_i^2 \tag{3}", r"E = m c^2 .", r"\left( \mathbf{A} \right) x",
            r"\begin{array}{l} a = b \\ c = d \\ e \end{array}", r"\begin{array}{cc} a & b \\ c & d \end{array}",
            r"\alpha \quad \beta", r"f(x)\text{ if } x > 0", r"\int_0^1 g \, dx = \hspace{1em} 4", r"\hat y"]
TEXTS = ["text_block", "text_block", "text_block", "title", "reference", "code_txt"]
LEFT_OUT = ["figure_caption", "table_caption", "header", "footer", "page_number", "page_footnote", "equation_caption"]


def official_scorer(checkout):
    """A function of [(page, answer)] that gives the parts of the scorer's result."""
    sys.path.insert(0, str(checkout))
    for name in ["evaluate", "metrics.cdm_metric", "dataset.detection_dataset", "matplotlib", "matplotlib.pyplot"]:
        stub = types.ModuleType(name)
        stub.CDM = object
        sys.modules[name] = stub
    fonts = types.ModuleType("matplotlib.font_manager")
    fonts.FontProperties = lambda **_: None
    sys.modules["matplotlib.font_manager"] = fonts
    os.environ["TQDM_DISABLE"] = "1"
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        from dataset import end2end_dataset
    from metrics.cal_metric import call_Edit_dist, call_TEDS
    from metrics.show_result import get_page_split

    end2end_dataset.func_timeout = lambda _limit, function, args: function(*args)

    def edits(samples):
        if not (samples if isinstance(samples, list) else samples.samples):
            return None
        value = call_Edit_dist(samples).evaluate([], "score")[1]["Edit_dist"]["ALL_page_avg"]
        return float(value) if value == value else None

    def score(pages):
        with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
            folder = Path(folder)
            (folder / "result").mkdir()
            truth = []
            for at, (page, answer) in enumerate(pages):
                page = json.loads(json.dumps(page))
                page["page_info"] = {"image_path": f"page{at:04}.jpg", "page_attribute": {}}
                truth.append(page)
                (folder / f"page{at:04}.md").write_bytes(answer.encode())
            (folder / "truth.json").write_text(json.dumps(truth))
            before = os.getcwd()
            os.chdir(folder)
            try:
                found = end2end_dataset.End2EndDataset({"dataset": {
                    "ground_truth": {"data_path": "truth.json"}, "prediction": {"data_path": "."},
                    "match_method": "quick_match"}}).samples
                parts = {
                    "text_edit": edits(found["text_block"].samples),
                    "formula_edit": edits(found["display_formula"].samples),
                    "table_edit": edits(found["table"].samples),
                    "reading_order_edit": edits(found["reading_order"].samples),
                    "table_teds": None, "table_teds_structure": None,
                }
                if found["table"].samples:
                    tables, _ = call_TEDS(found["table"].samples).evaluate([], "score")
                    names = {f"page{at:04}": {} for at in range(len(pages))}
                    split = get_page_split(tables, names)
                    parts["table_teds"] = float(split["TEDS"]["ALL"])
                    parts["table_teds_structure"] = float(split["TEDS_structure_only"]["ALL"])
            finally:
                os.chdir(before)
        # Ours, as there is no CDM: the mean of the parts that there are.
        there = [1 - parts[name] for name in ["text_edit", "formula_edit"] if parts[name] is not None]
        there += [parts["table_teds"]] if parts["table_teds"] is not None else []
        parts["overall"] = 100 * sum(there) / max(len(there), 1)
        return parts

    return score


def made_up(draw):
    """A page and an answer."""
    chinese = draw.random() < 0.3
    words = lambda low, high: ("" if chinese else " ").join(draw.choices(CHINESE if chinese else WORDS, k=draw.randint(low, high)))
    blocks = []
    for at in range(draw.randint(0, 7)):
        kind = draw.choices(["text", "left out", "formula", "table", "figure"], [10, 3, 4, 2, 1])[0]
        block = {"anno_id": at, "order": at if draw.random() < 0.9 else None}
        if kind == "formula":
            formula = draw.choice(FORMULAS)
            block.update(category_type="equation_isolated", latex=draw.choice(["$${}$$", "\\[{}\\]", "$$\n{}\n$$"]).format(formula), order=at)
        elif kind == "table":
            rows = [[words(1, 3) for _ in range(draw.randint(1, 3))] for _ in range(draw.randint(1, 3))]
            html = "<table>" + "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows) + "</table>"
            block.update(category_type="table", html=html, latex="\\begin{tabular}{c}" + " & ".join(rows[0]) + "\\end{tabular}", rows=rows)
        else:
            category = draw.choice(TEXTS if kind == "text" else LEFT_OUT if kind == "left out" else ["figure"])
            text = words(1, 14)
            if draw.random() < 0.15:
                text += draw.choice([" $x^2$", " \\(\\alpha_1\\) or", " $5$", " \n new", " $", " ..."])
            block.update(category_type=category, text=draw.choice([text, text, text, "..."]) if draw.random() < 0.2 else text)
        blocks.append(block)
    texts = [block["anno_id"] for block in blocks if block["category_type"] in TEXTS and block["order"] is not None]
    relations = []
    for _ in range(draw.choice([0, 0, 1, 2])):
        if len(texts) > 1:
            pair = draw.sample(texts, 2)
            relations.append({"relation_type": "truncated", "source_anno_id": pair[0], "target_anno_id": pair[1]})
    page = {"layout_dets": [{k: v for k, v in block.items() if k != "rows"} for block in blocks], "extra": {"relation": relations}}
    return page, answered(draw, blocks, words)


def spoilt(draw, text):
    """A text with some letters wrong."""
    letters = list(text)
    for _ in range(draw.choice([0, 0, 1, 2, len(letters) // 3])):
        if letters:
            at = draw.randrange(len(letters))
            letters[at:at + 1] = draw.choice([[], ["e"], [letters[at], "x"]])
    return "".join(letters)


def answered(draw, blocks, words):
    """What a model would make of the blocks."""
    pieces = []
    for block in blocks:
        if draw.random() < 0.1 or block["category_type"] == "figure":
            pieces += ["![figure](a.png)"] if draw.random() < 0.3 else []
            continue
        if "latex" in block and "html" not in block:
            formula = block["latex"].replace("$", "").replace("\\[", "").replace("\\]", "").strip()
            form = draw.choice(["$${}$$", "$$\n{}\n$$", "\\[{}\\]", "${}$", "\\({}\\)", "{}", "so ${}$ is"])
            if "array" in formula and draw.random() < 0.4 and "{l}" in formula:
                pieces += [f"$${line.strip()}$$" for line in formula[16:-12].split("\\\\")]
            else:
                pieces.append(form.replace("{}", spoilt(draw, formula)))
        elif "rows" in block:
            pieces.append(table(draw, block))
        else:
            text = spoilt(draw, block["text"])
            if block["category_type"] == "title":
                text = draw.choice(["# ", "## ", "\\title{", "\\section*{"]) + text
                text += "}" if text.startswith("\\") else ""
            elif block["category_type"] == "code_txt" and draw.random() < 0.7:
                text = f"```python\n{text}\n``` "
            pieces.append(text)
            if draw.random() < 0.25 and len(text) > 8:
                cuts = sorted(draw.sample(range(1, len(text)), draw.choice([1, 1, 2])))
                pieces[-1:] = [text[start:end] for start, end in zip([0] + cuts, cuts + [len(text)])]
    if draw.random() < 0.2:
        draw.shuffle(pieces)
    if draw.random() < 0.2:
        pieces.insert(draw.randint(0, len(pieces)), draw.choice([words(2, 6), "________", "<html>", "|a|", "Note:", "$$", "| one | row |"]))
    gap = lambda: "\n" if draw.random() < 0.15 else "\n\n"
    answer = "".join(piece + gap() for piece in pieces) if draw.random() < 0.85 else "\n".join(pieces)
    return f"```markdown\n{answer}\n```" if draw.random() < 0.1 else answer


def table(draw, block):
    rows = [[spoilt(draw, cell) if draw.random() < 0.3 else cell for cell in row] for row in block["rows"]]
    if draw.random() < 0.3 and len(rows) > 1:
        rows.pop()
    form = draw.choices(["html", "markdown", "latex", "broken"], [5, 4, 1, 1])[0]
    if form == "html":
        head = draw.choice(["td", "th"])
        html = draw.choice(["<table>", "<table border='1'>", "<table>\n"])
        for at, row in enumerate(rows):
            tag = head if at == 0 else "td"
            html += "<tr>" + "".join(f"<{tag}>{draw.choice(['{}', '{}', '<b>{}</b>', 'x<br>{}']).format(cell)}</{tag}>" for cell in row) + "</tr>"
        return html + "</table>" + (f"<table><tr><td>{rows[0][0]}</td></tr></table>" if draw.random() < 0.2 else "")
    if form == "markdown":
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        lines.insert(1, "|" + "---|" * len(rows[0]))
        if draw.random() < 0.2:
            lines[-1] = lines[-1].replace(" ", ": ", 1)
        return "\n".join(lines)
    if form == "latex":
        inner = "\\begin{tabular}{c}" + " \\\\ ".join(" & ".join(row) for row in rows) + "\\end{tabular}"
        return draw.choice(["\\begin{table}" + inner + "\\end{table}", inner])
    return "<table><tr><td>" + rows[0][0]


def demo(checkout):
    folder = checkout / "demo_data"
    for page in json.loads((folder / "omnidocbench_demo/OmniDocBench_demo.json").read_text()):
        name = Path(page["page_info"]["image_path"]).name[:-4]
        answer = folder / "end2end" / f"{name}.md"
        if answer.exists():
            yield page, answer.read_text(), name


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("checkout", type=Path)
    arguments.add_argument("--glm4v", default="target/release/glm4v")
    arguments.add_argument("--made-up", type=int, default=500)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--write", type=Path, help="keep the made-up cases here")
    options = arguments.parse_args()
    score = official_scorer(options.checkout.resolve())
    lines = []

    def case(name, pages, written=False):
        try:
            found, error = score(pages), None
        except (Exception, SystemExit) as raised:
            found, error = None, type(raised).__name__
        line = {"id": name, "metric": "omnidocbench", "variant": "official",
                "prediction": [answer for _, answer in pages],
                "references": [[json.dumps(page, ensure_ascii=False)] for page, _ in pages],
                "score": found, "scorer": "OmniDocBench v1.5, ca630f0"}
        if error:
            line["error"] = error
        lines.append((line, written))

    real = list(demo(options.checkout))
    for page, answer, name in real:
        case(name, [(page, answer)])
    if real:
        case("all demo pages", [(page, answer) for page, answer, _ in real])
    draw = random.Random(options.seed)
    for at in range(options.made_up):
        count = 1 if draw.random() < 0.8 else draw.randint(2, 4)
        case(f"made up {at}", [made_up(draw) for _ in range(count)], True)
    if options.write:
        with open(options.write, "w") as file:
            for line, written in lines:
                if written and "error" not in line:
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        for line, _ in lines:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
        file.flush()
        raised = sum("error" in line for line, _ in lines)
        print(f"{len(lines)} cases, {len(real)} real pages; the scorer raises on {raised}", flush=True)
        sys.exit(subprocess.run([options.glm4v, "score", "--goldens", file.name]).returncode)


if __name__ == "__main__":
    main()
