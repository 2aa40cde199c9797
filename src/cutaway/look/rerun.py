"""Running a model again with one unit of a layer replaced, for many units: as little of it as possible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cutaway.errors import ConfigError
from cutaway.look.replacing import replacing
from cutaway.look.suffix import Suffix
from cutaway.look.trace import Trace, UntraceableError, trace
from cutaway.nets.parts import told_shape
from cutaway.nets.subject import Subject


@dataclass(frozen=True)
class Rerun:
    """Logits of a model with units replaced.

    Args:
        unmodified: ``(N, K)``.
        units: with one unit replaced, ``(U, N, K)``.
        whole: with all units of the layer replaced, ``(N, K)``.
        reason: why whole passes were needed; empty where the part behind the layer was enough.
    """

    unmodified: Tensor
    units: Tensor
    whole: Tensor
    reason: str = ""


def rerun(subject: Subject, inputs: Tensor, layer: str, units: Tensor, values: Tensor) -> Rerun:
    """The logits with one unit of a layer replaced by a number, for each of some units.

    One pass is recorded, and what lies behind the layer is computed for many units at once. Before it
    is believed, it must give the model's own logits when nothing is replaced, and those of a whole
    pass with the unit replaced that changes most; otherwise every unit takes a whole pass.

    Args:
        subject: its model is in evaluation mode; gradients are off.
        inputs: ``(N, C, H, W)``.
        layer: an address, as :class:`cutaway.look.Address` explains.
        units: ``(U,)`` int64, from 0.
        values: what each unit of the layer is set to, ``(C,)``.

    Raises:
        NotFoundError: there is no such layer.
        ConfigError: the layer does not give ``(N, C, …)``, is not reached, or the model gives no logits.
    """
    if subject.views.count > 1:
        return _mean(
            [
                (weight, rerun(subject.plain, view, layer, units, values))
                for weight, view in subject.views.of(inputs)
            ]
        )
    units, values = units.to(inputs.device), values.to(inputs.device)
    state = torch.get_rng_state()
    try:
        found = trace(subject.model, subject.logits, inputs, layer)
        return _behind(found, _Whole(subject, inputs, layer, values, state), units)
    except UntraceableError as error:
        reason = str(error)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        # What PyTorch can't apply to a batch of batches; the model itself is run below and tells what
        # is its own fault.
        reason = f"an operation can't be applied again: {str(error).splitlines()[0]}"
    whole = _Whole(subject, inputs, layer, values, state)
    return replace(whole.all(units), reason=reason)


def _mean(views: Sequence[tuple[float, Rerun]]) -> Rerun:
    """A pass for each view of the images; the logits are their weighted mean."""
    return Rerun(
        torch.stack([weight * one.unmodified for weight, one in views]).sum(0),
        torch.stack([weight * one.units for weight, one in views]).sum(0),
        torch.stack([weight * one.whole for weight, one in views]).sum(0),
        next((one.reason for _, one in views if one.reason), ""),
    )


class _Whole:
    """Whole passes with units replaced.

    Args:
        subject: its model is in evaluation mode.
        inputs: ``(N, C, H, W)``.
        layer: an address.
        values: ``(C,)``.
        state: of the random numbers, the same for all passes: a model may draw in evaluation mode too.
    """

    def __init__(self, subject: Subject, inputs: Tensor, layer: str, values: Tensor, state: Tensor) -> None:
        self.subject, self.inputs, self.layer, self.values = subject, inputs, layer, values
        self.state = state

    def logits(self, units: Tensor | None) -> Tensor:
        """The logits with some units replaced at once, all of them for None: ``(N, K)``."""

        def change(output: Tensor) -> Tensor:
            changed = self.replaced(output)
            if units is None:
                return changed
            kept = output.clone()
            kept[:, units] = changed[:, units]
            return kept

        torch.set_rng_state(self.state)
        with replacing(self.subject.model, self.layer, change):
            return self.subject.logits(self.inputs)

    def replaced(self, output: Tensor) -> Tensor:
        """A layer's output with every unit replaced."""
        if output.dim() < 2 or output.shape[1] != len(self.values):
            told = told_shape(output)
            raise ConfigError(f"{self.layer} gives {told}, not N×{len(self.values)}; choose another layer.")
        shape = (1, -1, *[1] * (output.dim() - 2))
        return self.values.to(output.dtype).view(shape).expand_as(output).contiguous()

    def all(self, units: Tensor) -> Rerun:
        """Everything by whole passes, one after the other."""
        none = self.logits(units[:0])
        parts = [self.logits(unit[None]) for unit in units]
        joined = torch.stack(parts) if parts else none[None][:0]
        return Rerun(none, joined, self.logits(None))


def _behind(found: Trace, whole: _Whole, units: Tensor) -> Rerun:
    """Everything by what lies behind the layer."""
    suffix = Suffix(found, whole.replaced(found.output))
    _check(suffix.unmodified(), found.logits, "unmodified")
    change = (whole.replaced(found.output) - found.output).transpose(0, 1).flatten(1).norm(dim=1)
    most = change.argmax()[None]
    _check(suffix.variants(most)[0], whole.logits(most), "with a unit replaced")
    # Variants in one batch: few enough to stay in the processor's cache.
    size = max(1, _ROOM // (suffix.largest * found.output.element_size()))
    parts = [suffix.variants(part) for part in units.split(size)]
    joined = torch.cat(parts) if parts else found.logits[None][:0]
    return Rerun(found.logits, joined, suffix.whole())


def _check(found: Tensor, wanted: Tensor, what: str) -> None:
    """Raise where logits computed again are not the model's own."""
    if not wanted.isfinite().all():
        return  # the caller says so; NaN is equal to nothing
    room = 200 * torch.finfo(wanted.dtype).eps * float(wanted.abs().max().clamp_min(1e-6))
    if found.shape != wanted.shape or not bool(((found - wanted).abs() <= room).all()):
        raise UntraceableError(f"the operations behind the layer don't give its logits again, {what}")


_ROOM = 16 << 20
"""Bytes of the largest value for one batch of variants."""
