"""Runs that are killed: SIGKILL at random moments of a training, resumed every time, then compared.

    python benchmarks/kills.py [--kills 500] [--every 10] [--seed 1] [--json FILE]

A small net learns from some hundred digits and keeps a checkpoint at nearly every step. It is killed
at a random moment and continued with `cutaway resume`, again and again until it is done; then the
next run begins, until all kills are dealt. After each kill the ledger passes SQLite's own check and
every checkpoint on the disk can be read; at the end of each run its weights, epochs and measurements
are compared bit for bit with those of a run that nobody disturbed.

Most processes are forks of this one, which has imported everything but has computed nothing and has
one thread: importing PyTorch takes far longer than this training. Every tenth (`--every`) is
the command line as a user starts it, from its first instruction on. What SIGKILL can't show is a loss
of power: the kernel still writes what it was given.
"""

from __future__ import annotations

import argparse
import collections
import importlib
import json
import os
import random
import select
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cutaway.store import Run, Store

TOML = """
name = "killed"
net = "conv 4 5x5 | maxpool 2 | relu | conv 6 3x3 | batchnorm | relu | dropout 0.2 | flatten | dense 10"

[data]
source = "idx"
path = "{folder}"
validation = 100

[data.augment]
shift = 2

[train]
epochs = 5
batch = 25
lr = 0.05
threads = 1
checkpoint_minutes = 0.00001
"""

IMAGES, TESTED = 500, 200
STARTING = 0.15
"""So many of the kills fall before training begins; the others within it."""
SHARE = 0.25
"""The longest that a training is let run, as a share of what an undisturbed one takes."""
ENOUGH = 10
"""So many problems end it: more tell nothing new."""
COMMANDS_NEED = ("cutaway.cli.progress", "cutaway.cli.train", "cutaway.store.tensorboard", "torch._dynamo")
"""Imported when a command runs, the last by PyTorch's optimisers: once, in place of once for every fork."""
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument(
        "--every", type=int, default=10, help="of so many kills one is the command line's; 0: none"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ |= dict.fromkeys(ONE_THREAD, "1")  # read when NumPy and PyTorch are imported
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), random.Random(options.seed), options.every)
        bench.deal(options.kills)
    facts = bench.facts()
    for name, value in facts.items():
        if name != "problems":
            print(f"{name:34} {value if isinstance(value, int) else f'{value:.2f}'}")
    print("\n".join(bench.problems) or "no problem was found")
    if options.json:
        options.json.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    sys.exit(1 if bench.problems else 0)


@dataclass
class Pace:
    """Seconds that an undisturbed process takes until its training begins, and until its end."""

    begin: float
    whole: float


@dataclass
class Process:
    """A ``cutaway`` under way; what it says goes to files."""

    pid: int
    out: Path
    err: Path

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for its end, or kill it behind so many seconds; whether it was killed.

        Raises:
            RuntimeError: it ended by itself and not well.
        """
        handle = os.pidfd_open(self.pid)
        if not select.select([handle], [], [], seconds)[0]:
            os.kill(self.pid, signal.SIGKILL)
        os.close(handle)
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        if code == -signal.SIGKILL:
            return True
        if code:
            raise RuntimeError(f"ended with {code}: {self.err.read_text('utf-8').strip()}")
        return False

    def told(self) -> list[dict[str, Any]]:
        """The events that it told; a line that was cut off is none."""
        if not self.out.exists():  # killed before its first instruction
            return []
        lines = self.out.read_text("utf-8").split("\n")[:-1]
        return [json.loads(line) for line in lines]


@dataclass
class Bench:
    """Deals kills and looks at what they left.

    Args:
        folder: for data, store and what processes say.
        moments: where the random moments come from.
        every: of so many processes one is the command line.
    """

    folder: Path
    moments: random.Random
    every: int
    problems: list[str] = field(default_factory=list)
    counts: collections.Counter[str] = field(default_factory=collections.Counter)
    hit: collections.Counter[str] = field(default_factory=collections.Counter)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        from cutaway.config import DataConfig
        from cutaway.data import load_images
        from cutaway.data.idx import write_idx
        from cutaway.store import Store

        for module in COMMANDS_NEED:
            importlib.import_module(module)
        images = load_images(DataConfig(validation=0))
        for prefix, split, count in (("train", "train", IMAGES), ("t10k", "test", TESTED)):
            part = images.split(split)
            write_idx(self.folder / f"{prefix}-images-idx3-ubyte.gz", part.pixels[:count, 0].contiguous())
            write_idx(self.folder / f"{prefix}-labels-idx1-ubyte.gz", part.labels[:count].byte())
        (self.folder / "killed.toml").write_text(TOML.format(folder=self.folder), encoding="utf-8")
        self.store: Store = Store(self.folder / "runs")
        self.paces: dict[bool, Pace] = {}

    def deal(self, kills: int) -> None:
        """Train undisturbed, by fork and by command line; then kill and resume until enough are dealt."""
        for real in (False, True) if self.every else (False,):
            self.paces[real] = self.pace(real)
        *others, expected = self.store.runs()
        for other in others:
            self.problems += differences(other, expected)
        begun = time.perf_counter()
        while self.counts["kills"] < kills and len(self.problems) < ENOUGH:
            self.run(kills, expected)
        self.seconds = time.perf_counter() - begun

    def pace(self, real: bool) -> Pace:
        """An undisturbed run."""
        begun = time.perf_counter()
        process = self.start(["train", str(self.folder / "killed.toml")], real)
        while not process.out.exists() or not process.out.stat().st_size:
            time.sleep(0.001)
        begin = time.perf_counter() - begun
        process.wait()
        return Pace(begin, time.perf_counter() - begun)

    def run(self, kills: int, expected: Run) -> None:
        """One run, killed again and again until it is done or enough kills are dealt."""
        run, known = None, {found.id for found in self.store.runs()}
        place = (0, 0)
        while True:
            self.counts["processes"] += 1
            real = bool(self.every) and self.counts["processes"] % self.every == 0
            command = ["resume", run.id] if run else ["train", str(self.folder / "killed.toml")]
            process = self.start(command, real)
            try:
                killed = process.wait(self.moment(real) if self.counts["kills"] < kills else None)
            except RuntimeError as error:
                self.problems.append(f"{' '.join(command)} {error}")
                return
            run = run or next((found for found in self.store.runs() if found.id not in known), None)
            if not killed:
                break
            self.counts["kills"] += 1
            self.counts["kills of the command line"] += real
            place = self.look(run, process.told(), place)
            if run and run.status == "finished":  # killed with nothing left to do but to end
                break
        assert run is not None
        self.counts["runs finished"] += 1
        self.problems += differences(run, expected)

    def moment(self, real: bool) -> float:
        """When to kill, in seconds from a process's beginning."""
        pace = self.paces[real]
        if self.moments.random() < STARTING:
            return self.moments.uniform(0, pace.begin)
        return pace.begin + self.moments.uniform(0, SHARE * (pace.whole - pace.begin))

    def look(self, run: Run | None, told: list[dict[str, Any]], place: tuple[int, int]) -> tuple[int, int]:
        """What a kill has left: all must be readable, and nothing that was reached may be lost."""
        from cutaway.errors import CutawayError
        from cutaway.store.saved import load_weights_file

        if run is None:
            self.hit["before there was a run"] += 1
            return place
        try:
            if (found := run.ledger.check()) != "ok":
                self.problems.append(f"{run.id}: the ledger is damaged: {found}")
            epochs = [row.epoch for row in run.epochs()]
            if run.status not in ("killed", "finished"):
                self.problems.append(f"{run.id}: its status is {run.status}")
            positions = {}
            for path in run.folder.glob("*.safetensors"):
                positions[path.stem] = load_weights_file(path)[1].position
                self.counts["checkpoints read"] += 1
        except CutawayError as error:
            self.problems.append(f"{run.id}: {error}")
            return place
        last = positions.get("last")
        reached = (last.epoch, last.step) if last else (0, 0)
        if reached < place:
            self.problems.append(f"{run.id}: fell back from {place} to {reached}")
        if epochs != list(range(1, len(epochs) + 1)) or not 0 <= len(epochs) - reached[0] <= 1:
            self.problems.append(f"{run.id}: epochs {epochs} beside a checkpoint at {reached}")
        self.hit[_moment(run, told, len(epochs) > reached[0])] += 1
        return reached

    def start(self, arguments: list[str], real: bool) -> Process:
        """A command, as a fork of this process or as a process of its own."""
        out, err = self.folder / "out", self.folder / "err"
        for path in (out, err):
            path.unlink(missing_ok=True)
        command = [*arguments, "--store", str(self.store.folder), "--events", "jsonl"]
        flags = os.O_CREAT | os.O_WRONLY
        if real:
            program = str(Path(sys.executable).with_name("cutaway"))
            opened = [(os.POSIX_SPAWN_OPEN, n, str(p), flags, 0o644) for n, p in ((1, out), (2, err))]
            return Process(
                os.posix_spawn(program, [program, *command], os.environ, file_actions=opened), out, err
            )
        threads = len(list(Path("/proc/self/task").iterdir()))
        assert threads == 1, f"a process with {threads} threads must not be forked"
        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                for number, path in ((1, out), (2, err)):
                    os.dup2(os.open(path, flags, 0o644), number)
                from cutaway.cli.app import main as cutaway

                code = cutaway(command)
            finally:
                os._exit(code)  # nothing of the parent's is to be tidied up here
        return Process(pid, out, err)

    def facts(self) -> dict[str, Any]:
        """What there is to tell."""
        found: dict[str, Any] = dict(self.counts)
        found |= {f"hit {name}": count for name, count in self.hit.most_common()}
        for real, pace in self.paces.items():
            name = "command line" if real else "fork"
            found |= {f"{name}: begins behind, s": pace.begin, f"{name}: a whole run, s": pace.whole}
        found["seconds"] = self.seconds
        found["seconds a kill"] = self.seconds / max(1, self.counts["kills"])
        return found | {"problems": self.problems}


def _moment(run: Run, told: list[dict[str, Any]], ahead: bool) -> str:
    """Where a kill struck."""
    if not told:
        return "while it started"
    if ahead:
        return "between ledger and checkpoint"
    if any(run.folder.glob(".*.tmp")):
        return "while a file was written"
    last = told[-1]
    if last["event"] == "finished":
        return "behind the last epoch"
    if last["event"] == "step" and last["step"] == told[0]["epoch_steps"]:
        return "while it scored"
    return "between two steps"


def differences(run: Run, expected: Run) -> list[str]:
    """What of a finished run is not as in another one, bit for bit."""
    import torch

    found = [] if run.status == "finished" else [f"its status is {run.status}"]
    for name in ("last", "best"):
        (mine, card), (theirs, other) = run.load(name), expected.load(name)
        if card.position != other.position:
            found.append(f"{name} is of {card.position}, not {other.position}")
        if mine.tensors.keys() != theirs.tensors.keys():
            found.append(f"{name} has other tensors")
        else:
            odd = [n for n, value in mine.tensors.items() if not torch.equal(value, theirs.tensors[n])]
            found += [f"{name}: {', '.join(odd)} differ"] if odd else []
    mine_rows, their_rows = (
        [(row.epoch, row.lr, row.best, row.scores) for row in one.epochs()] for one in (run, expected)
    )
    found += [] if mine_rows == their_rows else ["its epochs differ"]
    # NaN, where nothing is measured, equals nothing, but is written alike.
    found += [] if repr(run.measured()) == repr(expected.measured()) else ["its measurements differ"]
    left = [path.name for path in run.folder.glob(".*.tmp")]
    found += [f"{', '.join(left)} were left"] if left else []
    return [f"{run.id}: {one}" for one in found]


if __name__ == "__main__":
    main()
