"""A run: what one training left behind."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from cutaway.config import Experiment, dump_experiment, parse_experiment
from cutaway.data import Images, division, load_images
from cutaway.disk import is_locked, write_file
from cutaway.errors import ConfigError, DataError, NotFoundError
from cutaway.nets import parse_net, plan
from cutaway.nets.builder import build
from cutaway.nets.layout import channels_last
from cutaway.nets.subject import Subject
from cutaway.store.ledger import EpochRow, Ledger, PretrainRow, RunRow
from cutaway.store.reconstructions import load_reconstructions
from cutaway.store.saved import Card, load_weights_file, read_card
from cutaway.training import Checkpoint, Measured, Reconstruction, load_weights, weights_only
from cutaway.training.task import first_moments, first_net, whitens


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

    def pretraining(self) -> list[PretrainRow]:
        """The epochs of its pre-training, depth by depth; none where there was none."""
        return self.ledger.pretrain_epochs(self.id)

    def reconstructions(self) -> dict[str, Reconstruction]:
        """What came back of images from each pre-trained depth, by its layer, in the order of the net.

        Raises:
            StoreError: a file of them is damaged.
        """
        return load_reconstructions(self.folder)

    def weights_path(self, which: str = "best") -> Path:
        """The file of the "best" or the "last" weights, or of those of an epoch that was kept.

        Where no epoch was finished the best ones are the last. The checkpoint before the last, which
        stands in where that one is damaged, is "previous".

        Raises:
            NotFoundError: the run has saved nothing yet, or not these.
            ConfigError: there is no such choice.
        """
        if which.isdecimal():
            kept = self.kept()
            if int(which) in kept:
                return kept[int(which)]
            told = ", ".join(map(str, kept)) or "none yet"
            raise NotFoundError(
                f"The run {self.id} has not kept the weights of epoch {which}. It has those of: {told}."
            )
        if which not in ("best", "last", "previous"):
            raise ConfigError(
                f'weights should be best, last, random or the number of an epoch, not "{which}".'
            )
        for name in ("best", "last") if which == "best" else (which,):
            path = self.folder / f"{name}.safetensors"
            if path.is_file():
                return path
        raise NotFoundError(self._nothing_saved(which))

    def _nothing_saved(self, which: str) -> str:
        """Why there are no weights, and what gives some."""
        if which == "previous":
            return f"The run {self.id} has no checkpoint before its last one."
        row = next((row for row in self.ledger.runs() if row.id == self.id), None)
        if row and row.status == "diverged":
            return (
                f"The run {self.id} diverged before it saved any weights ({row.reason}).\n"
                "Train it with a lower learning rate, as a new run: "
                f"cutaway train {self.folder / 'experiment.toml'}"
            )
        return f"The run {self.id} has saved no weights yet. Continue it: cutaway resume {self.id}"

    def kept(self) -> dict[int, Path]:
        """The files of weights that are there, by the number of epochs they learnt for."""
        found = {}
        # Of two files of one epoch the one that stays is named.
        for path in sorted(
            self.folder.glob("*.safetensors"), key=lambda path: path.name.startswith("epoch-")
        ):
            position = read_card(path).position
            if not position.step:
                found[position.epoch] = path
        return dict(sorted(found.items()))

    def rewrite(self, experiment: Experiment) -> None:
        """Note that the run now follows another experiment, such as one with more epochs."""
        text = dump_experiment(experiment)
        self.ledger.set_experiment(self.id, text)
        write_file(self.folder / "experiment.toml", text.encode())

    def load(self, which: str = "last") -> tuple[Checkpoint, Card]:
        """The "best", "last" or "previous" checkpoint, and what it says of itself.

        Raises:
            NotFoundError: nothing was saved.
            StoreError: the file is damaged.
        """
        return load_weights_file(self.weights_path(which))

    def subject(self, which: str = "best") -> Subject:
        """The net, ready to be applied and looked into.

        Args:
            which: "best" or "last" weights, "random" for those before training, or the number of an
                epoch that was kept, such as "3".

        Raises:
            NotFoundError: the run has no such weights.
            ConfigError: there is no such choice.
            StoreError: the file is damaged.
        """
        random = which == "random"
        checkpoint, card = self.load("last" if random else which)
        planned = plan(parse_net(card.net), card.input_shape)
        if random:
            experiment, moments = self.experiment, {}
            if whitens(experiment):
                moments = first_moments(experiment, planned, self.images().split("train"), card.preprocess)
            net = first_net(experiment, planned, moments)
        else:
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
            f"{self.experiment.name} {self.id}" + _addition(which),
            card.mirror,
            shifted=card.shifted,
        )

    def images(self) -> Images:
        """The images that it learnt from and was scored on, in the same splits.

        Raises:
            DataError: they were changed since.
            and what :func:`cutaway.data.load_images` raises.
        """
        images = load_images(self.experiment.data)
        self.check_images(images)
        return images

    def check_images(self, images: Images) -> None:
        """Check that images are divided as they were: one more or less, and all splits are drawn anew.

        Raises:
            DataError: they are divided otherwise.
        """
        known = self.row.images
        if known and division(images) != known:
            raise DataError(
                f"The images of run {self.id} have changed since it was begun, and are divided otherwise: "
                "some that it learnt from may be in the test split.\n"
                f"Put them back as they were, or train anew: cutaway train {self.folder / 'experiment.toml'}"
            )


def _addition(which: str) -> str:
    """What a subject's name has behind the run's: nothing for the best weights."""
    if which == "best":
        return ""
    return f", epoch {which}" if which.isdecimal() else f", {which}"
