"""The main job, three times: `cutaway demo`'s experiment with seeds 1, 2 and 3, then the report.

    python benchmarks/digits.py [--seeds 3] [--json FILE]

Prints for each seed the errors of the best epoch by validation, the seconds of training, and those
of the whole process; then the means. The test error is read once, of the recipe as committed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GOALS = {"test_error": 0.0075, "training_seconds": 35, "total_seconds": 75}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    cutaway = str(Path(sys.executable).with_name("cutaway"))
    rows = []
    for seed in range(1, options.seeds + 1):
        with tempfile.TemporaryDirectory() as store:
            start = time.perf_counter()
            train = [cutaway, "train", "digits", "--seed", str(seed), "--store", store, "--json"]
            run = json.loads(subprocess.run(train, check=True, capture_output=True, text=True).stdout)
            subprocess.run([cutaway, "report", "last", "--store", store], check=True, capture_output=True)
            total = time.perf_counter() - start
        scores = run["best"]["scores"]
        rows.append(
            {
                "seed": seed,
                "validation_error": scores["validation"]["top1_error"],
                "test_error": scores["test"]["top1_error"],
                "training_seconds": run["seconds"],
                "total_seconds": total,
            }
        )
        print("  ".join(f"{key} {value:.4g}" for key, value in rows[-1].items()), flush=True)
    means = {key: statistics.mean(row[key] for row in rows) for key in rows[0] if key != "seed"}
    for key, value in means.items():
        goal = f"  (goal: at most {GOALS[key]:g})" if key in GOALS else ""
        print(f"mean {key:18} {value:.4g}{goal}")
    if options.json:
        options.json.write_text(json.dumps({"seeds": rows, "mean": means}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
