"""The layers of a subject in the order of computing, and those worth looking at when nobody says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cutaway.errors import ConfigError
from cutaway.look.calls import Calls
from cutaway.look.modules import named_modules
from cutaway.nets.dropout import Dropout
from cutaway.nets.parts import parts
from cutaway.nets.subject import Subject, evaluating

_SAME_AS_BEFORE = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, Dropout, nn.Flatten, nn.Identity)

_PARAMETERS = (nn.ParameterList, nn.ParameterDict)

_LAYERS = frozenset(
    {
        *("conv1d", "conv2d", "conv3d", "conv_transpose2d", "linear", "add", "cat", "mul"),
        *("batch_norm", "layer_norm", "group_norm", "instance_norm", "local_response_norm"),
        *("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d", "lp_pool2d"),
        *("relu", "relu6", "leaky_relu", "prelu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus"),
        *("tanh", "sigmoid", "hardtanh", "hardswish", "hardsigmoid", "softmax", "log_softmax"),
    }
)
"""Functions that people would have written as a layer; indexing, views and arithmetic are none."""


@dataclass(frozen=True)
class LayerRow:
    """One value of a forward pass that can be looked at.

    Args:
        name: its address, as ``capture`` takes it: ``conv1``, ``act@2``, ``relu@3``, ``memory[0]``.
        kind: the module's class, or "function".
        shape: of what it gives for one image, without N.
        leaf: it is a module without children, or a function that no such module calls.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    leaf: bool


def layers(subject: Subject) -> list[LayerRow]:
    """Everything that can be looked at, found by applying the model to a black image, then to two.

    Modules that are applied several times have a row for each time. Of a tuple or dict each tensor
    has a row. What is not reached has none, nor what gives no row for each image.

    Raises:
        ConfigError: the model can't be applied to one image; see ``Subject.batch``.
    """
    rows = _surveyed(subject, 1)
    if subject.batch:
        return rows
    try:
        # What weights alone came to has one row for one image and for two.
        again = {row.name for row in _surveyed(subject, 2)}
    except ConfigError:  # a model of one image
        return rows
    return [row for row in rows if row.name in again]


def _surveyed(subject: Subject, images: int) -> list[LayerRow]:
    """The rows that a pass of so many black images has."""
    survey = _Survey(subject, images)
    inputs = subject.filled(subject.inputs(torch.zeros(images, *subject.input_shape, dtype=torch.uint8)))
    handles: list[Any] = []
    try:
        for name, module in survey.modules.items():
            handles.append(module.register_forward_pre_hook(survey.before))
            handles.append(module.register_forward_hook(survey.behind(name)))
        with (
            evaluating(subject.model),
            torch.random.fork_rng(),
            torch.no_grad(),
            subject.applying(images),
            Calls(set(_LAYERS), behind=survey.called),
        ):
            subject.model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return survey.rows


def visible_layers(subject: Subject) -> list[str]:
    """The names of all leaves of :func:`layers`, less those that change no value when looked at.

    Of a net that Cutaway built they are known without applying it.
    """
    if subject.plan is not None:
        return [
            name
            for name, module in subject.model.named_modules()
            if name and not list(module.children()) and not isinstance(module, _SAME_AS_BEFORE)
        ]
    quiet = {kind.__name__ for kind in _SAME_AS_BEFORE}
    return [row.name for row in layers(subject) if row.leaf and row.shape and row.kind not in quiet]


class _Survey:
    """Rows as they are found; how deep inside leaves the pass stands."""

    def __init__(self, subject: Subject, images: int) -> None:
        found = named_modules(subject.model)
        # A model without modules inside, such as a single layer, has only the calls of its functions.
        self.modules = {name: module for name, module in found.items() if name}
        self.batch = subject.batch or images
        self.rows: list[LayerRow] = []
        self.inside = 0
        self.applied: Counter[str] = Counter()

    def before(self, module: nn.Module, args: object) -> None:
        del args
        self.inside += _is_leaf(module)

    def behind(self, name: str) -> Callable[[nn.Module, object, object], None]:
        def note(module: nn.Module, args: object, output: object) -> None:
            del args
            leaf = _is_leaf(module)
            self.inside -= leaf
            self.applied[name] += 1
            times = self.applied[name]
            self.add(f"{name}@{times}" if times > 1 else name, type(module).__name__, output, leaf)

        return note

    def called(self, name: str, number: int, result: object) -> None:
        if not self.inside:
            self.add(f"{name}@{number}", "function", result, leaf=True)

    def add(self, name: str, kind: str, value: object, leaf: bool) -> None:
        """A row for a tensor, or one for each tensor inside."""
        if isinstance(value, Tensor):
            if value.dim() and len(value) == self.batch:
                self.rows.append(LayerRow(name, kind, tuple(value.shape[1:]), leaf))
            return
        for key, part in parts(value):
            self.add(f"{name}{key}", kind, part, leaf)


def _is_leaf(module: nn.Module) -> bool:
    # What runs inside a script is seen by no hook.
    if isinstance(module, torch.jit.ScriptModule):
        return True
    # Lists of parameters are modules too, but nothing runs in them; Keras keeps its weights in one.
    inside = [part for part in module.children() if not isinstance(part, _PARAMETERS)]
    return not inside and not getattr(module, "layers", None)
