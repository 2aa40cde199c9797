"""Weights from elsewhere as a run of their own, so that all looks work on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from cutaway.config import Experiment, load_experiment
from cutaway.data import Framing, Preprocess
from cutaway.data.images import told_apart
from cutaway.errors import ConfigError, CutawayError, DataError, NotFoundError
from cutaway.nets import ZOO, Shape, find_net, plan
from cutaway.nets.builder import build
from cutaway.nets.published import published_names
from cutaway.store.run import Run
from cutaway.store.saved import Card, save_weights
from cutaway.store.store import Store
from cutaway.training import Position


def import_weights(
    path: Path,
    net: str,
    store: Store,
    *,
    input_shape: Shape | None = None,
    classes: Sequence[str] = (),
    mean: Sequence[float] | None = None,
    deviation: Sequence[float] | None = None,
    name: str = "",
) -> Run:
    """A finished run with published weights.

    Args:
        path: a ``.safetensors`` file with the names of torchvision's models, or of a net built here.
        net: a name of the zoo, or notation.
        store: where the run is kept.
        input_shape: ``(C, H, W)``; the zoo's own when not given.
        classes: class names; "class 0" … when not given.
        mean: of each channel, pixels counted from 0 to 1; what the zoo's net was published with
            when not given, else 0.
        deviation: likewise; else 1.
        name: what the run is called; the net's name when not given.

    Raises:
        NotFoundError: there is no such file or net.
        DataError: the file is no safetensors file, or is damaged.
        ConfigError: the weights are another net's, or a number of classes or channels is wrong.
        StoreError: the store can't be written; then nothing is left behind.
    """
    tensors = _read(path)
    shape = input_shape or (ZOO[net].input_shape if net in ZOO else ())
    if len(shape) != 3:
        raise ConfigError("This net has no input of its own: give one, such as --input 3x224x224.")
    spec = find_net(net, _outputs(tensors))
    planned = plan(spec, shape)
    names = published_names(planned, {key: tuple(value.shape) for key, value in tensors.items()})
    state = build(planned, seed=0).state_dict()
    state |= {ours: tensors[theirs].to(state[ours].dtype) for ours, theirs in names.items()}
    labels = told_apart(classes) or tuple(f"class {number}" for number in range(planned.output_shape[0]))
    if len(labels) != planned.output_shape[0]:
        raise ConfigError(f"There are {len(labels)} class names but the net has {planned.output_shape[0]}.")
    published = (ZOO[net].mean, ZOO[net].deviation) if net in ZOO else ((), ())
    preprocess = _preprocess(shape[0], mean or published[0], deviation or published[1])
    values = {
        "name": name or net[:80],
        "net": spec.text(),
        "data": {"source": "none", "validation": 0},
        "train": {"epochs": 0},
    }
    run = store.create(load_experiment(Experiment(), values))
    channels, height, width = shape
    card = Card(
        run.id, spec.text(), (channels, height, width), labels, preprocess,
        Framing((channels, height, width)), Position(),
    )  # fmt: skip
    weights = {f"model.{key}": value for key, value in state.items()}
    try:
        for file in ("best", "last"):
            save_weights(run.folder / f"{file}.safetensors", weights, card)
    except CutawayError:
        store.remove(run)
        raise
    run.ledger.set_status(run.id, "finished", f"imported from {path.name}")
    return run


def _read(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise NotFoundError(f"There is no file {path}.")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
    except (OSError, SafetensorError) as error:
        pickled = path.suffix in {".pt", ".pth", ".bin", ".pkl"} or path.read_bytes()[:2] in {
            b"PK",
            b"\x80\x02",
        }
        if pickled:
            raise DataError(
                f"{path} is a pickle, which can run code and is never read here. Save its state dict with "
                "safetensors.torch.save_file first."
            ) from None
        raise DataError(f"{path} can't be read as safetensors ({error}).") from None


def _outputs(tensors: dict[str, torch.Tensor]) -> int | None:
    """How many classes the last dense layer of a published file has."""
    for name in ("fc.bias", "classifier.6.bias"):
        if name in tensors:
            return len(tensors[name])
    return None


def _preprocess(channels: int, mean: Sequence[float], deviation: Sequence[float]) -> Preprocess:
    mean, deviation = tuple(mean) or (0.0,) * channels, tuple(deviation) or (1.0,) * channels
    if len(mean) != channels or len(deviation) != channels:
        raise ConfigError(f"mean and deviation should have {channels} numbers, one for each channel.")
    if min(deviation) <= 0:
        raise ConfigError("every deviation should be above 0.")
    return Preprocess(tuple(255 * value for value in mean), tuple(255 * value for value in deviation))
