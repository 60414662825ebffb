"""Scores the same answers with glm4v and with lmms-eval's own code, and shows both figures.

    pip install lmms-eval
    python eval/scripts/compare_with_lmms_eval.py target/release/glm4v [RUN...]

Makes small ChartQA, DocVQA and OCRBench sets in their published shapes, lets a server on loopback
answer them, rightly, nearly or wrongly, runs `glm4v eval run` with lmms-eval's prompts and metric,
and gives each answer to the functions that lmms-eval's tasks name. Each RUN, the folder of a run of
one of these tasks, is compared too. Exit code 1 when any sample or figure differs.
"""

import contextlib
import io
import json
import random
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

from lmms_eval.api.metrics import anls
from lmms_eval.tasks.chartqa.utils import chartqa_process_results
from lmms_eval.tasks.ocrbench.utils import ocrbench_aggregate_accuracy, ocrbench_process_results

COUNT = 1000
METRICS = {
    "chartqa": "relaxed_accuracy:lmms_eval",
    "docvqa": "anls:lmms_eval",
    "ocrbench": "ocrbench_v1:lmms_eval",
}
WORDS = "total Invoice no. 12 Émile Straße 3,500 $45.10 12.5% 2019 North-East ＡＢ 　x² O'Neil 東京 yes".split(" ")
# One pixel.
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c4944415408d763f8ffff3f0005fe02fea735810b0000000049454e44ae426082"
)
OCRBENCH_TYPES = {
    "Regular Text Recognition": "IIIT5K",
    "Scene Text-centric VQA": "TextVQA",
    "Doc-oriented VQA": "docVQA",
    "Key Information Extraction": "SROIE",
    "Handwritten Mathematical Expression Recognition": "HME100k",
}


def some_text(rng):
    return " ".join(rng.choices(WORDS, k=rng.randint(1, 4)))


def number(rng):
    value = rng.choice([rng.uniform(0, 5000), rng.uniform(0, 1), rng.randint(0, 100)])
    return rng.choice([f"{value:.2f}", str(round(value)), f"{value:.1f}%"])


def nearly(rng, text):
    """The text as models spoil it."""
    letters = list(text)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(letters) + 1)
        letters[at : at + rng.randint(0, 1)] = rng.choice(["", "x", " ", "\n", "7", "."])
    return "".join(letters)


def make(folder):
    """Writes the sets; gives the answer to each question."""
    rng = random.Random(0)
    answers = {}
    (folder / "chartqa/png").mkdir(parents=True)
    (folder / "docvqa").mkdir()
    (folder / "ocrbench/OCRBench_Images").mkdir(parents=True)
    for place in ["chartqa/png", "docvqa", "ocrbench/OCRBench_Images"]:
        (folder / place / "a.png").write_bytes(PIXEL)
    charts, documents, texts = [], [], []
    for at in range(COUNT):
        right = rng.choice([number, some_text])(rng)
        charts.append({"imgname": "a.png", "query": f"chart {at}?", "label": right})
        near = nearly(rng, right)
        if right.replace(".", "").isdigit():
            near = str(float(right) * rng.choice([1.04, 1.05, 1.06, -1]))
        answers[f"chart {at}?"] = rng.choice([right, near, number(rng), f" {right}"])

        several = [some_text(rng) for _ in range(rng.randint(1, 3))]
        documents.append({"questionId": at, "question": f"document {at}?", "image": "a.png", "answers": several})
        right = rng.choice(several)
        answers[f"document {at}?"] = rng.choice([right.lower(), nearly(rng, right), right + "  ", some_text(rng)])

        several = [some_text(rng) for _ in range(rng.randint(1, 2))]
        kind = rng.choice(list(OCRBENCH_TYPES))
        texts.append({"dataset_name": OCRBENCH_TYPES[kind], "type": kind, "question": f"text {at}?", "image_path": "a.png", "answers": several})
        right = rng.choice(several)
        answers[f"text {at}?"] = rng.choice([f"It says {right}.", right.upper(), nearly(rng, right), right.replace(" ", "\n")])
    (folder / "chartqa/test_human.json").write_text(json.dumps(charts))
    (folder / "docvqa/val_v1.0_withQT.json").write_text(json.dumps({"data": documents}))
    (folder / "ocrbench/OCRBench.json").write_text(json.dumps(texts))
    return answers


def serve(answers):
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            prompt = request["messages"][0]["content"][-1]["text"]
            message = {"content": answers[prompt.split("\n")[0]]}
            body = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/v1"


def theirs(task, sample, answer):
    """The score that lmms-eval gives an answer, and what its aggregation takes."""
    references = sample["references"]
    if task == "chartqa":
        doc = {"type": "human_test", "answer": references[0]}
        score = chartqa_process_results(doc, [answer])["relaxed_overall"]
        return score, score
    if task == "docvqa":
        score = anls(references, [answer])["anls"]
        return score, score
    metadata = sample["metadata"]
    doc = {"answer": references, "dataset": metadata.get("dataset_name", ""), "question_type": metadata["question_type"]}
    result = ocrbench_process_results(doc, [answer])["ocrbench_accuracy"]
    return result["score"], result


def aggregate(task, results, folder):
    if task == "ocrbench":
        with contextlib.redirect_stdout(io.StringIO()):
            return ocrbench_aggregate_accuracy(results, SimpleNamespace(output_path=str(folder))) * 1000
    return sum(results) / len(results)


def compare(program, name, run, folder):
    """Prints both figures of a run; whether they and all samples are equal."""
    task = json.loads((run / "run.json").read_text())["identity"]["task"]
    command = [program, "eval", "rescore", run, "--metric", METRICS[task], "--json"]
    ours = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    samples = {}
    for line in (run / "responses.jsonl").open(encoding="utf-8"):
        sample = json.loads(line)
        samples[sample["index"]] = sample
    differing, results = 0, []
    for item in ours["items"]:
        score, result = theirs(task, samples[item["index"]], item["answer"])
        results.append(result)
        differing += abs(score - item["score"]) > 1e-9
    figure = aggregate(task, results, folder)
    equal = differing == 0 and abs(figure - ours["all"]["score"]) < 1e-9
    print(f"{name:<24} {len(results):>5} samples   glm4v {ours['all']['score']:<22} lmms-eval {figure:<22} {differing} samples differ")
    return equal


def main():
    program, *runs = sys.argv[1:]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        endpoint = serve(make(folder))
        equal = []
        for task in METRICS:
            run = folder / "runs" / task
            command = [program, "eval", "run", task, "--data", folder / task, "--output", run, "--preset", "lmms-eval"]
            command += ["--endpoint", endpoint, "--model", "spoiler", "-q"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            equal.append(compare(program, task, run, folder))
        equal += [compare(program, Path(run).name, Path(run), folder) for run in runs]
    sys.exit(0 if all(equal) else 1)


if __name__ == "__main__":
    main()
