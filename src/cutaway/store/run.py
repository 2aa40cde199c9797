"""A run: what one training left behind."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from cutaway.config import Experiment, dump_experiment, parse_experiment
from cutaway.data import Images, load_images
from cutaway.disk import is_locked, write_file
from cutaway.errors import NotFoundError
from cutaway.nets import parse_net, plan
from cutaway.nets.builder import build
from cutaway.nets.layout import channels_last
from cutaway.nets.subject import Subject
from cutaway.store.ledger import EpochRow, Ledger, RunRow
from cutaway.store.saved import Card, load_weights_file
from cutaway.training import Checkpoint, Measured, load_weights, weights_only


@dataclass(frozen=True)
class Run:
    """A run in a store.

    Args:
        id: eight letters and digits.
        folder: has its experiment, weights and looks.
        ledger: the store's.
    """

    id: str
    folder: Path
    ledger: Ledger

    @property
    def row(self) -> RunRow:
        """The run as the ledger knows it now."""
        for row in self.ledger.runs():
            if row.id == self.id:
                return row
        raise NotFoundError(f"The run {self.id} was removed.")

    @property
    def status(self) -> str:
        """How it stands: the ledger's word, or "killed" for a running one that no process holds."""
        status = self.row.status
        return "killed" if status == "running" and not is_locked(self.folder) else status

    @property
    def experiment(self) -> Experiment:
        """The complete experiment."""
        return parse_experiment(self.row.experiment, f"the experiment of run {self.id}")

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """Image files that were left out of its data because they could not be read, with the reasons."""
        path = self.folder / "skipped.json"
        if not path.is_file():
            return []
        return [(entry["file"], entry["reason"]) for entry in json.loads(path.read_bytes())]

    def epochs(self) -> list[EpochRow]:
        """What was measured in each epoch."""
        return self.ledger.epochs(self.id)

    def measured(self) -> dict[int, Measured]:
        """How its layers learnt, by epoch."""
        return self.ledger.measured(self.id)

    def weights_path(self, which: str = "best") -> Path:
        """The file of the best or the last weights; the last where no epoch was finished.

        Raises:
            NotFoundError: the run has saved nothing yet.
        """
        for name in dict.fromkeys((which, "last")):
            path = self.folder / f"{name}.safetensors"
            if path.is_file():
                return path
        raise NotFoundError(
            f"The run {self.id} has saved no weights yet. Continue it: cutaway resume {self.id}"
        )

    def rewrite(self, experiment: Experiment) -> None:
        """Note that the run now follows another experiment, such as one with more epochs."""
        text = dump_experiment(experiment)
        self.ledger.set_experiment(self.id, text)
        write_file(self.folder / "experiment.toml", text.encode())

    def load(self, which: str = "last") -> tuple[Checkpoint, Card]:
        """The "best" or "last" checkpoint, and what it says of itself.

        Raises:
            NotFoundError: nothing was saved.
            StoreError: the file is damaged.
        """
        return load_weights_file(self.weights_path(which))

    def subject(self, which: str = "best") -> Subject:
        """The trained net, ready to be applied and looked into, with its "best" or "last" weights."""
        checkpoint, card = self.load(which)
        planned = plan(parse_net(card.net), card.input_shape)
        net = build(planned, seed=0)
        load_weights(weights_only(checkpoint.tensors), net)
        net.eval()
        channels_last(net)
        return Subject(
            net,
            card.input_shape,
            card.classes,
            card.preprocess,
            card.framing,
            planned,
            f"{self.experiment.name} {self.id}",
            card.mirror,
        )

    def images(self) -> Images:
        """The images that it learnt from and was scored on, in the same splits."""
        return load_images(self.experiment.data)
