"""How long the command line takes to answer: median wall time of fresh processes.

    python benchmarks/startup.py [--runs 15] [--json FILE]

``import cutaway`` is timed inside the process, less Python's own start.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

IMPORT = "import time; start = time.perf_counter(); import cutaway; print(time.perf_counter() - start)"
GOALS_MS = {"import cutaway": 50, "cutaway --help": 300}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import cutaway": [sys.executable, "-c", IMPORT],
        "cutaway --help": [str(Path(sys.executable).with_name("cutaway")), "--help"],
        "cutaway plan lenet-theano": [str(Path(sys.executable).with_name("cutaway")), "plan", "lenet-theano"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(options.runs):
        for name, command in commands.items():
            start = time.perf_counter()
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            seconds = time.perf_counter() - start
            times[name].append(float(done.stdout) if name == "import cutaway" else seconds)
    table = {name: round(1000 * statistics.median(found), 1) for name, found in times.items()}
    for name, milliseconds in table.items():
        goal = f"  (goal: under {GOALS_MS[name]} ms)" if name in GOALS_MS else ""
        print(f"{name:28} {milliseconds:7.1f} ms{goal}")
    if options.json:
        options.json.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
