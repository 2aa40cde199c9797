"""Logits of images with covered windows, where only what a window moves is computed again.

The first layers of a net see little of an image at a time: a window of 5×5 moves 9×9 of 32×32 places behind
two convolutions of 3×3. Such patches go through together, each with the unchanged image's maps around it
(:mod:`cutaway.look.backward.patches`), until most of the maps is moved; from there on they are whole. For six
convolutions over 32×32 pixels and 49 windows that is half of the multiplications.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cutaway.errors import CutawayError
from cutaway.look.backward.patches import Region, Sliding, padded, sliding
from cutaway.look.batched import batched
from cutaway.look.functions import (
    BATCH_NORM,
    CONV,
    EACH,
    JOIN,
    LINEAR,
    MAPS,
    MEAN,
    SHAPE,
    TWO,
    TWO_IN_PLACE,
    argument,
)
from cutaway.look.fused import fused, pool_pairs
from cutaway.look.operation import Operation, Slot, mapped
from cutaway.look.trace import Trace, UntraceableError, trace
from cutaway.nets.subject import Subject

Window = tuple[slice, slice]
"""Rows and columns."""

_WHOLE = 0.8
"""Patches that are a larger share of the maps than this cost more than whole maps."""

_WORTH = 0.8
"""Patches must leave at least a fifth of the multiplications out."""

_ROUNDING = 64
"""How far logits by patches may be from the model's own, in units of the last place of the largest."""

_LEAST = 8
"""Windows in a batch at least."""

_MOST = 64
"""And at most."""

_FAILURES = (UntraceableError, RuntimeError, TypeError, ValueError, LookupError, AttributeError)
"""What does not come apart is computed as a whole, and tells there what is its own fault."""

_ROOM = 64 << 20
"""Bytes of the largest value for one batch of windows."""

_KNOWN = EACH | LINEAR | MAPS | SHAPE | MEAN | JOIN | TWO | TWO_IN_PLACE | BATCH_NORM | CONV | {pool_pairs}
"""All else would be applied to one window after the other."""


@dataclass(frozen=True)
class _Window:
    """A sliding window, what it sees of padded maps for the patches behind it, and where those before lie."""

    sliding: Sliding
    seen: Region
    inside: Region


@dataclass(frozen=True)
class _Step:
    """An operation, and how patches go through it.

    Args:
        operation: from a trace of one image.
        inputs: the values that it reads.
        window: slides over the patches' maps; None for what changes each number by itself.
        region: where all windows' patches lie behind it; None where it takes whole maps.
    """

    operation: Operation
    inputs: tuple[Slot, ...]
    window: _Window | None = None
    region: Region | None = None


def covering(subject: Subject, inputs: Tensor, grounds: Tensor, places: Sequence[Window]) -> Covering | None:
    """How to compute covered images by patches; None where that can't be, or would not pay.

    Args:
        subject: its model is in evaluation mode; gradients are off.
        inputs: the first images that will be asked for, ``(n, C, H, W)``.
        grounds: what covers them, likewise.
        places: the windows.
    """
    exact = inputs.dtype in (torch.float32, torch.float64) and inputs.device.type == "cpu"
    if subject.batch or not exact or tuple(inputs.shape[1:]) != tuple(subject.input_shape):
        return None
    # The trace is of a covered image, so that the model itself says what must come out.
    number = min(len(places) // 2, _LEAST - 1)
    covered = inputs[:1].clone()
    covered[0, :, *places[number]] = grounds[0, :, *places[number]]
    state = torch.get_rng_state()
    try:
        found = Covering(trace(subject.model, subject.plain_logits, covered, None), places, number)
        # A model that draws random numbers draws others in each pass; a trace has those of one.
        same = torch.equal(torch.get_rng_state(), state)
    except (CutawayError, *_FAILURES):
        return None
    finally:
        torch.set_rng_state(state)
    return found if same and found.pays else None


class Covering:
    """A net, ready to be applied to images with covered windows.

    Args:
        found: a trace of one image, from the input on.
        places: the windows.
        number: the window that was covered in it.

    Raises:
        UntraceableError: the logits do not depend on the image.
    """

    def __init__(self, found: Trace, places: Sequence[Window], number: int) -> None:
        if found.end is None:
            raise UntraceableError("the logits don't depend on the image")
        self._start, self._end, self._places = found.start, found.end, places
        self._known: tuple[int, Tensor] | None = (number, found.logits)
        starts, stops = (
            [torch.tensor([getattr(part, edge) for part in axis]) for axis in zip(*places, strict=True)]
            for edge in ("start", "stop")
        )
        self._starts, self._stops = starts, stops
        height, width = found.start.shape[2:]
        self._regions = {found.start.number: Region.covering(starts, stops, (height, width))}
        self._steps = [self._step(one) for one in fused(found.operations, found.end)]
        self._last = {slot.number: at for at, step in enumerate(self._steps) for slot in step.inputs}
        self._clean: dict[int, Tensor] = {}
        self._around: dict[int, Tensor] = {}

    @property
    def pays(self) -> bool:
        """Whether patches leave out enough."""
        if not any(step.region for step in self._steps):
            return False
        works = [(_work(step.operation), step.region.share if step.region else 1.0) for step in self._steps]
        less = sum(work * share for work, share in works) <= _WORTH * sum(work for work, _ in works)
        return less and all(step.operation.function in _KNOWN for step in self._steps)

    @property
    def at_once(self) -> int:
        """How many windows in a batch."""
        largest = max(
            _product(step.operation.outputs[0].shape) * (step.region.share if step.region else 1)
            for step in self._steps
        )
        return max(_LEAST, min(_MOST, int(_ROOM / (4 * largest))))

    def all(
        self,
        inputs: Tensor,
        grounds: Tensor,
        add: Callable[[int], None],
        read: Callable[[Tensor, Tensor], Tensor],
    ) -> Tensor | None:
        """What is read of all images with each window covered, ``(T, n · W)``, image by image.

        None where an operation can't be applied to patches after all, or the first batch does not give the
        model's own logits for the image that was traced.

        Args:
            inputs: ``(n, C, H, W)``.
            grounds: what covers them, likewise.
            add: is told of how many windows.
            read: from logits ``(V, K)`` and the numbers of their images to ``(T, V)``: all logits would take
                more memory than the maps.
        """
        found, numbers = [], torch.arange(len(self._places))
        many = max(1, int(_ROOM / self._kept))
        firsts = range(0, len(inputs), many)
        for first, some, behind in zip(firsts, inputs.split(many), grounds.split(many), strict=True):
            parts = torch.cartesian_prod(torch.arange(len(some)), numbers).split(self.at_once)
            for at, part in enumerate(parts):
                try:
                    if at == 0:
                        self._unchanged(some)
                    logits = self._logits(behind, *part.unbind(1))
                except _FAILURES:
                    return None
                if not self._holds(logits):
                    return None
                found.append(read(logits, part[:, 0].to(inputs.device) + first))
                add(len(part))
        return torch.cat(found, 1)

    def _holds(self, logits: Tensor) -> bool:
        """Whether the first batch has the logits that the model gave; asked once."""
        if self._known is None:
            return True
        number, wanted = self._known
        self._known = None
        room = _ROUNDING * torch.finfo(wanted.dtype).eps * float(wanted.abs().max())
        return bool(((logits[number] - wanted[0]).abs() <= room).all())

    @property
    def _kept(self) -> int:
        """Bytes of one unchanged image's maps."""
        return sum(8 * _product(step.operation.outputs[0].shape) for step in self._steps if step.region)

    def _unchanged(self, inputs: Tensor) -> None:
        """Compute the maps of unchanged images ``(n, C, H, W)``, which patches stand in."""
        self._around = {}
        values: dict[int, Tensor] = {self._start.number: inputs[:, None]}
        last = max(at for at, step in enumerate(self._steps) if step.region is not None)
        for at, step in enumerate(self._steps[: last + 1]):
            operation = step.operation

            def taken(leaf: Any, copied: bool = bool(operation.written)) -> Any:
                value = values[leaf.number] if isinstance(leaf, Slot) else leaf
                return value.clone() if copied and isinstance(leaf, Slot) else value

            if step.window:
                maps = values[step.inputs[0].number].flatten(0, 1)
                self._around[at] = padded(step.window.sliding, maps)
            (found,) = batched(operation, taken, len(inputs))
            values[operation.outputs[0].number] = found
        self._clean = {number: value.flatten(0, 1) for number, value in values.items() if value.dim() == 5}

    def _logits(self, grounds: Tensor, images: Tensor, numbers: Tensor) -> Tensor:
        """Logits ``(V, K)`` of some of the unchanged images with a window covered each.

        Args:
            grounds: what covers them, ``(n, C, H, W)``.
            images: which image, ``(V,)`` int64.
            numbers: which window, likewise.
        """
        count = len(images)
        values: dict[int, Tensor] = {}
        patches = {self._start.number: self._covered(grounds, images, numbers)}

        def whole(leaf: Any) -> Any:
            if not isinstance(leaf, Slot):
                return leaf
            if leaf.number not in values:
                maps = self._clean[leaf.number][images]
                self._regions[leaf.number].put(maps, patches[leaf.number], numbers)
                values[leaf.number] = maps[:, None]
            return values[leaf.number]

        for at, step in enumerate(self._steps):
            operation, gives = step.operation, step.operation.outputs[0].number
            if step.region is None:
                (values[gives],) = batched(operation, whole, count)
            elif step.window is None:
                args = mapped(
                    operation.args, lambda leaf: patches[leaf.number] if isinstance(leaf, Slot) else leaf
                )
                patches[gives] = operation.function(*args, **operation.kwargs)
            else:
                around = step.window.seen.cut(self._around[at], images, numbers)
                step.window.inside.put(around, patches[step.inputs[0].number], numbers)
                patches[gives] = step.window.sliding.apply(around)
            for slot in step.inputs:
                if self._last[slot.number] == at and slot != self._end:
                    values.pop(slot.number, None)
                    patches.pop(slot.number, None)
        whole(self._end)
        return values[self._end.number][:, 0]

    def _covered(self, grounds: Tensor, images: Tensor, numbers: Tensor) -> Tensor:
        """The patches of the image itself; of a window that the edge cuts, the rest stays."""
        region, own = self._regions[self._start.number], self._clean[self._start.number]
        inside = region.between(self._starts, self._stops, numbers)
        return torch.where(inside, region.cut(grounds, images, numbers), region.cut(own, images, numbers))

    def _step(self, operation: Operation) -> _Step:
        """How patches go through an operation; where they lie behind it is kept."""
        inputs = tuple(operation.inputs)
        here = self._regions.get(inputs[0].number) if len(inputs) == 1 else None
        simple = len(operation.outputs) == 1 and all(
            after in operation.outputs for _, after in operation.written
        )
        if not simple:
            raise UntraceableError("an operation gives several values")
        if here is None:
            return _Step(operation, inputs)
        slides, shape = sliding(operation), operation.outputs[0].shape
        if slides:
            region = here.through(slides, (shape[2], shape[3]))
            seen = region.seen(slides)
            inside = here.within(seen, slides)
            if inside is None or region.share > _WHOLE:
                return _Step(operation, inputs)
            step = _Step(operation, inputs, _Window(slides, seen, inside), region)
        elif _is_each(operation):
            region = here
            step = _Step(operation, inputs, None, region)
        else:
            return _Step(operation, inputs)
        self._regions[operation.outputs[0].number] = region
        return step


def _is_each(operation: Operation) -> bool:
    """Whether an operation does the same to every place of some maps."""
    function, shape = operation.function, operation.inputs[0].shape
    if len(shape) != 4 or operation.outputs[0].shape != shape or operation.kwargs.get("memory_format"):
        return False
    if not isinstance(operation.args[0], Slot) and function not in TWO:
        return False
    if function in BATCH_NORM:
        return not argument(operation, 5, "training", False)
    others = [one for one in (*operation.args, *operation.kwargs.values()) if isinstance(one, Tensor)]
    alike = all(one.dim() < 5 and tuple(one.shape[-2:]) in ((), (1,), (1, 1)) for one in others)
    return function in EACH | TWO | TWO_IN_PLACE and alike


def _work(operation: Operation) -> int:
    """Multiplications of an operation, for one image."""
    if operation.function not in CONV | LINEAR:
        return 0
    kernel: Tensor = argument(operation, 1, "weight", None)[0]
    return _product(operation.outputs[0].shape) * kernel.numel()


def _product(shape: Sequence[int]) -> int:
    return int(torch.Size(shape).numel())
