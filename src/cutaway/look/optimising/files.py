"""Decoders and generators kept in files: safetensors with a description in the header, nothing pickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from cutaway.disk import make_folder, write_file
from cutaway.errors import NotFoundError, StoreError
from cutaway.look.optimising.decode import Decoders
from cutaway.look.optimising.generator import Generator
from cutaway.look.optimising.upconv import WIDTH, UpConv

_KEY = "cutaway"


def save_decoders(decoders: Decoders, path: Path) -> None:
    """Keep decoders in a file; one that was there is replaced as a whole.

    Raises:
        StoreError: the file can't be written.
    """
    about = {
        "kind": "decoders",
        "image": decoders.image,
        "subject": decoders.subject,
        "seed": decoders.seed,
        "stopped": decoders.stopped,
        "weights": decoders.weights,
        "layers": {name: net.given for name, net in decoders.nets.items()},
        "width": next((net.width for net in decoders.nets.values()), WIDTH),
    }
    tensors = {f"loss.{name}": values for name, values in decoders.losses.items()}
    for name, net in decoders.nets.items():
        tensors |= {f"net.{name}.{key}": value for key, value in net.state_dict().items()}
    _write(path, tensors, about)


def load_decoders(path: Path) -> Decoders:
    """What :func:`save_decoders` kept.

    Raises:
        NotFoundError: there is no such file.
        StoreError: it is damaged, or holds something else.
    """
    tensors, about = _read(path, "decoders")
    image = _image(about)
    nets = {
        name: _net(tuple(given), image, tensors, f"net.{name}.", path, width=about.get("width", WIDTH))
        for name, given in about["layers"].items()
    }
    losses = {name: tensors[f"loss.{name}"] for name in nets}
    told = about["subject"], about["seed"], about["stopped"], about.get("weights", "")
    return Decoders(nets, losses, image, *told)


def save_generator(generator: Generator, path: Path) -> None:
    """Keep a generator in a file; one that was there is replaced as a whole.

    Raises:
        StoreError: the file can't be written.
    """
    about = {
        "kind": "generator",
        "code": generator.code,
        "image": generator.image,
        "data": generator.data,
        "stopped": generator.stopped,
    }
    tensors = {f"net.{key}": value for key, value in generator.net.state_dict().items()}
    _write(path, {**tensors, "losses": generator.losses}, about)


def load_generator(path: Path) -> Generator:
    """What :func:`save_generator` kept.

    Raises:
        NotFoundError: there is no such file.
        StoreError: it is damaged, or holds something else.
    """
    tensors, about = _read(path, "generator")
    image = _image(about)
    net = _net((about["code"],), image, tensors, "net.", path)
    return Generator(net, about["code"], image, about["data"], tensors["losses"], about["stopped"])


def _write(path: Path, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    make_folder(path.absolute().parent)
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_file(path.absolute(), save(plain, {_KEY: json.dumps(about)}))


def _read(path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if not path.is_file():
        raise NotFoundError(f"There is no {kind} in {path}; train it first.")
    try:
        with safe_open(path, "pt") as file:
            about: dict[str, Any] = json.loads((file.metadata() or {})[_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no mapping
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise StoreError(f"{path} can't be read as {kind}: {error}. Train it anew.") from error
    if about.get("kind") != kind:
        raise StoreError(f"{path} holds {about.get('kind', 'something else')}, not {kind}.")
    return tensors, about


def _image(about: dict[str, Any]) -> tuple[int, int, int]:
    channels, height, width = about["image"]
    return channels, height, width


def _net(
    given: tuple[int, ...],
    image: tuple[int, int, int],
    tensors: dict[str, Tensor],
    prefix: str,
    path: Path,
    *,
    width: int = WIDTH,
) -> UpConv:
    with torch.device("meta"):
        net = UpConv(given, image, width)
    own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    try:
        net.load_state_dict(own, assign=True)
    except RuntimeError as error:
        raise StoreError(f"{path} was written by another version of Cutaway. Train it anew.") from error
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    return net.eval()
