"""Times `glm4v score` on 100,000 predictions that it makes, with ANLS and with relaxed accuracy.

    cargo build --release
    python3 eval/scripts/time_scoring.py target/release/glm4v

Says the wall time, the processor time of the whole process, with reading and the interval, and the machine's load
before it; medians of five by turns.
"""

import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time

ITEMS = 100_000
ROUNDS = 5
WORDS = "invoice total amount paid company number street berlin 2019 42.5 17% tax date".split()


def spoiled(text, dice):
    """The text, or in every other case one with some letters changed."""
    letters = list(text)
    for place in range(len(letters)):
        if dice.random() < 0.2:
            letters[place] = dice.choice("abcdefghij ")
    return "".join(letters) if dice.random() < 0.5 else text


def texts(dice):
    references = [" ".join(dice.choices(WORDS, k=dice.randint(1, 4))) for _ in range(dice.randint(1, 3))]
    return spoiled(references[0], dice), references


def numbers(dice):
    right = round(dice.uniform(0, 5000), dice.randint(0, 2))
    return str(right * dice.choice([1, 1.04, 1.2])), [str(right)]


def write(file, make, seed):
    dice = random.Random(seed)
    for number in range(ITEMS):
        prediction, references = make(dice)
        file.write(json.dumps({"id": number, "prediction": prediction, "references": references}) + "\n")
    file.flush()


def run(program, metric, path):
    """Seconds on the clock and of the processors."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([program, "score", "--metric", metric, path], check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main():
    program = sys.argv[1]
    print("load average", *os.getloadavg(), "on", os.cpu_count(), "processors")
    with tempfile.TemporaryDirectory() as folder:
        cases = []
        for metric, make in [("anls", texts), ("relaxed_accuracy", numbers)]:
            path = os.path.join(folder, f"{metric}.jsonl")
            with open(path, "w", encoding="utf-8") as file:
                write(file, make, 7)
            cases.append((metric, path, []))
        for _ in range(ROUNDS):
            for metric, path, times in cases:
                times.append(run(program, metric, path))
        for metric, _, times in cases:
            wall, processor = (statistics.median(column) for column in zip(*times))
            print(f"{metric:20} {ITEMS} items   {wall:.2f} s   {processor:.2f} s of the processors")


if __name__ == "__main__":
    main()
