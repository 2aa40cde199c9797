"""What a model does behind a layer, for many variants of what the layer gives.

A variant is the layer's output with one unit replaced. Until units mix, a variant differs from the
unmodified pass in its own unit only, so two passes hold all variants (:mod:`cutaway.look.apart`). The
first convolution or dense layer behind is linear, and its output for a variant is a sum
(:mod:`cutaway.look.added`). Behind it, variants are a batch of batches (:mod:`cutaway.look.batched`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor

from cutaway.look.added import added
from cutaway.look.apart import Apart, apart
from cutaway.look.batched import batched
from cutaway.look.fused import fused
from cutaway.look.operation import Operation, Slot
from cutaway.look.trace import Trace

Values = dict[int, Any]
"""By the number of their slot: Apart, or tensors ``(V, …)``."""


class Suffix:
    """The operations behind a layer, ready to be applied to variants of its output.

    Args:
        trace: of one forward pass.
        replaced: the layer's output with every unit replaced.
    """

    def __init__(self, trace: Trace, replaced: Tensor) -> None:
        self._trace = trace
        self._apart: Values = {trace.start.number: Apart(trace.output, replaced)}
        rest = [operation for operation in trace.operations if not self._applied_apart(operation)]
        self._rest = fused(rest, trace.end) if trace.end else rest
        self._known: dict[int, Tensor] = {}
        self._last = {slot.number: at for at, op in enumerate(self._rest) for slot in op.inputs}

    @property
    def largest(self) -> int:
        """The most numbers that a value takes behind the point where units mix, for one variant."""
        shapes = [slot.shape for operation in self._rest for slot in operation.outputs]
        return max((math.prod(shape) for shape in shapes), default=self._trace.logits.numel())

    def unmodified(self) -> Tensor:
        """The model's own logits, computed again: ``(N, K)``."""
        return self._finish(lambda value: value.base[None].clone(), None, 1)[0]

    def whole(self) -> Tensor:
        """The logits with all units replaced at once: ``(N, K)``."""
        return self._finish(lambda value: value.replaced[None].clone(), None, 1)[0]

    def variants(self, units: Tensor) -> Tensor:
        """The logits with one unit replaced, for each of ``units`` ``(V,)``: ``(V, N, K)``."""
        return self._finish(lambda value: value.mixed(units), units, len(units))

    def _applied_apart(self, operation: Operation) -> bool:
        """Apply an operation to units that have not mixed yet; False where it would mix them."""
        found = [self._apart[slot.number] for slot in operation.inputs if slot.number in self._apart]
        if not found or len(found) < len(operation.inputs) or len(operation.outputs) != 1:
            return False
        result = apart(operation, found)
        if result is None:
            return False
        _store(self._apart, operation, [result])
        return True

    def _finish(self, full: Callable[[Apart], Tensor], units: Tensor | None, count: int) -> Tensor:
        """Apply what is left, where ``full`` gives the variants in full: ``(V, N, K)``."""
        end = self._trace.end
        if end is None:
            return self._trace.logits.expand(count, *self._trace.logits.shape)
        values = dict(self._apart)

        def taken(leaf: Any) -> Any:
            value = values[leaf.number] if isinstance(leaf, Slot) else leaf
            return full(value) if isinstance(value, Apart) else value

        for at, operation in enumerate(self._rest):
            inputs = operation.inputs
            sums = units is not None and len(inputs) == 1 and len(operation.outputs) == 1
            found = None
            if sums and units is not None:
                found = added(operation, values[inputs[0].number], units, self._known)
            _store(values, operation, batched(operation, taken, count) if found is None else [found])
            for slot in inputs:
                # What nobody reads any more makes room.
                if self._last[slot.number] == at and slot.number != end.number:
                    values.pop(slot.number, None)
        result: Tensor = taken(end)
        return result


def _store(values: Values, operation: Operation, found: Iterable[Any]) -> None:
    """Put the results of an operation in their slots; what it changed in place stands behind them."""
    changed = [after for _, after in operation.written if after not in operation.outputs]
    for slot, value in zip((*operation.outputs, *changed), found, strict=True):
        values[slot.number] = value
