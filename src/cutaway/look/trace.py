"""Traces: the operations between a layer and the logits, to be applied again to other values.

Operations are seen by a ``TorchFunctionMode``: those of modules, functions and methods alike, in the
order of their calls. What is recorded is in single assignment: an operation that works in place gives
a new slot. A model that takes another way than through tensors (a decision in Python, NumPy, an alias
that is written behind our back) can't be traced, and is told from others while it is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from cutaway.errors import ConfigError
from cutaway.look.operation import HERE, Function, Operation, Slot, Through, leaves, mapped
from cutaway.look.replacing import replacing


class UntraceableError(Exception):
    """A pass can't be applied again from the layer on; the message says why."""


@dataclass(frozen=True)
class Trace:
    """A forward pass from a layer on.

    Args:
        output: what the layer gave, ``(N, C, …)``.
        logits: what the model gave, ``(N, K)``.
        operations: those that lie between the two, in call order.
        start: the layer's output.
        end: the logits; None where they do not depend on the layer.
    """

    output: Tensor
    logits: Tensor
    operations: tuple[Operation, ...]
    start: Slot
    end: Slot | None


Forward = Callable[[Tensor], Tensor]
"""From inputs ``(N, C, H, W)`` to logits ``(N, K)``."""


def trace(model: nn.Module, forward: Forward, inputs: Tensor, layer: str | None) -> Trace:
    """Run a model and record what it does behind a layer.

    Args:
        model: in evaluation mode; gradients are off.
        forward: applies it.
        inputs: ``(N, C, H, W)``.
        layer: an address, as :class:`cutaway.look.Address` explains; None for the input itself.

    Raises:
        NotFoundError: there is no such layer.
        ConfigError: the pass does not reach the layer, or it gives no tensor.
        UntraceableError: the pass does not go through tensors alone.
    """
    recorder = _Recorder(copying=False)
    found = recorder.run(model, forward, inputs, layer)
    if recorder.stale_constant():
        # A value from before the layer was changed in place after it was used: keep copies instead.
        found = _Recorder(copying=True).run(model, forward, inputs, layer)
    return found


_METADATA = (
    *(
        "size",
        "dim",
        "ndimension",
        "stride",
        "numel",
        "nelement",
        "__len__",
        "element_size",
        "storage_offset",
    ),
    *("is_contiguous", "is_floating_point", "is_complex", "is_signed", "is_inference", "is_same_size"),
    *("get_device", "type", "__hash__"),
)
"""Methods that tell of a tensor's form, which is the same for all values, and not of its values."""


class _Recorder(TorchFunctionMode):
    """Records all operations that depend on what :meth:`begin` was given.

    Args:
        copying: keep copies of all values from before the layer, not references.
    """

    def __init__(self, copying: bool) -> None:
        super().__init__()
        self.copying = copying
        self.operations: list[Operation] = []
        self.output: Tensor | None = None
        # By id; the tensors are kept, so that no other one gets the same id.
        self.slots: dict[int, tuple[Tensor, Slot]] = {}
        self.slots_by_number: dict[int, Tensor] = {}
        self.producers: dict[int, Operation] = {}
        self.constants: list[tuple[Tensor, int]] = []
        self.tainted: set[int] = set()  # storages in which dependent values were changed in place
        self.forgotten: list[Tensor] = []  # views of those, kept so that their ids are not used again
        self.failure: UntraceableError | None = None
        self.count = 0

    def run(self, model: nn.Module, forward: Forward, inputs: Tensor, layer: str | None) -> Trace:
        with self, replacing(model, layer, self.begin) if layer is not None else nullcontext():
            logits = forward(inputs if layer is not None else self.begin(inputs))
        if self.failure:
            raise self.failure
        if self.output is None:
            raise ConfigError(f"The forward pass does not reach {layer}; choose another layer.")
        end = self._slot(logits)
        start = Slot(0, tuple(self.output.shape))
        needed = _reaching(self.operations, end) if end else ()
        return Trace(self.output, logits, tuple(needed), start, end)

    def begin(self, output: Tensor) -> Tensor:
        """The layer has given its output: from now on, what depends on it is recorded."""
        # A copy of its own, as a hook would give: the model may hold on to the original.
        self.output = output.clone()
        given = output.clone()
        self._add(given)
        return given

    def stale_constant(self) -> bool:
        """Whether a value that did not depend on the layer was changed after it was recorded."""
        return any(_version(tensor) != version for tensor, version in self.constants)

    def __torch_function__(
        self, func: Function, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.output is None:
            return func(*args, **kwargs)
        tensors = [leaf for leaf in leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        slots = [self._slot(tensor) for tensor in tensors]
        if not any(slots):
            return func(*args, **kwargs)
        if _may_write(func, kwargs) and slots[0] is None and isinstance(args[0], Tensor):
            # A constant that dependent values are written into: what it was before is needed.
            self.operations.append(self._copy(args[0]))
            slots[0] = self._slot(args[0])
        return self._record(func, args, kwargs, tensors)

    def _record(
        self, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[Tensor]
    ) -> Any:
        kept_args, kept_kwargs = mapped((args, kwargs), self._kept)
        versions = [_version(tensor) for tensor in tensors]
        before = [self._slot(tensor) for tensor in tensors]
        result = func(*args, **kwargs)
        given = [leaf for leaf in leaves(result) if isinstance(leaf, Tensor)]
        if not given and result is not None:
            name = getattr(func, "__name__", "")
            if name in _METADATA or name == "__get__":
                return result
            raise self._fail(f"values leave the tensors through {name or func}")
        through = self._through(func, (kept_args, kept_kwargs), tensors, versions, given)
        if through:
            self.operations.append(through)
            return result
        written: list[tuple[Slot, Slot]] = []
        stores: set[int] = set()
        for tensor, version, slot in zip(tensors, versions, before, strict=True):
            # Views count versions together: the first argument is what is written, ``x[0] = x[1]``.
            if _version(tensor) == version or _storage(tensor) in stores:
                continue
            stores.add(_storage(tensor))
            if slot is None:
                raise self._fail("dependent values are written into a tensor from elsewhere")
            self._forget_aliases(tensor)
            written.append((slot, self._add(tensor)))
        # What works in place gives its own argument, whose new slot is made already.
        ids = {
            id(tensor)
            for tensor, version in zip(tensors, versions, strict=True)
            if _version(tensor) != version
        }
        outputs = tuple(
            self.slots[id(tensor)][1] if id(tensor) in ids & self.slots.keys() else self._add(tensor)
            for tensor in given
        )
        operation = Operation(func, kept_args, kept_kwargs, outputs, tuple(written))
        self.operations.append(operation)
        if len(outputs) == 1:
            self.producers[outputs[0].number] = operation
        return result

    def _through(
        self,
        func: Function,
        arguments: tuple[tuple[Any, ...], dict[str, Any]],
        tensors: list[Tensor],
        versions: list[int],
        given: list[Tensor],
    ) -> Operation | None:
        """A write to a view of another value, as an operation that gives both anew; None for others."""
        changed = {id(t): t for t, version in zip(tensors, versions, strict=True) if _version(t) != version}
        slots = {key: self._slot(tensor) for key, tensor in changed.items()}
        view = tensors[0]
        slot = slots.get(id(view))
        # All changed tensors share the view's values; anything else is not understood here.
        if slot is None or any(other is not view for other in given):
            return None
        chain, root = self._views(slot)
        if not chain:
            return None
        whole = self.slots_by_number[root.number]
        self._forget_aliases(view)
        outputs = (self._add(view), self._add(whole))
        template = mapped(arguments, lambda leaf: HERE if isinstance(leaf, Slot) and leaf == slot else leaf)
        return Operation(Through(func, tuple(chain)), (root, *template), {}, outputs, ())

    def _views(self, slot: Slot) -> tuple[list[Operation], Slot]:
        """The operations that made a value a view of another one, from that one on, and that one."""
        chain: list[Operation] = []
        while made := self.producers.get(slot.number):
            inputs = made.inputs
            source = self.slots_by_number[inputs[0].number] if len(inputs) == 1 else None
            tensor = self.slots_by_number[slot.number]
            if source is None or made.written or source is tensor or _storage(source) != _storage(tensor):
                break
            chain.insert(0, made)
            slot = inputs[0]
        return chain, slot

    def _add(self, tensor: Tensor) -> Slot:
        """A new slot for a tensor."""
        slot = Slot(self.count, tuple(tensor.shape))
        self.count += 1
        self.slots[id(tensor)] = (tensor, slot)
        self.slots_by_number[slot.number] = tensor
        return slot

    def _slot(self, tensor: Tensor) -> Slot | None:
        """The slot of a tensor that depends on the layer."""
        if id(tensor) in self.slots:
            return self.slots[id(tensor)][1]
        if self.tainted and _storage(tensor) in self.tainted:
            raise self._fail("a tensor is read through another one that was written in place")
        return None

    def _kept(self, leaf: Any) -> Any:
        """An argument as it is recorded."""
        if not isinstance(leaf, Tensor):
            return leaf
        slot = self._slot(leaf)
        if slot is not None:
            return slot
        if isinstance(leaf, nn.Parameter):
            return leaf
        if self.copying:
            return leaf.clone()
        self.constants.append((leaf, _version(leaf)))
        return leaf

    def _copy(self, constant: Tensor) -> Operation:
        """The operation that gives a constant as it is now, as a value of its own."""
        now = constant.clone()
        return Operation(torch.clone, (now,), {}, (self._add(constant),), ())

    def _forget_aliases(self, tensor: Tensor) -> None:
        """After a write to a tensor, other views of its values are not what was recorded."""
        storage = _storage(tensor)
        aliases = [key for key, (other, _) in self.slots.items() if _storage(other) == storage]
        for key in aliases:
            if key != id(tensor):
                self.forgotten.append(self.slots.pop(key)[0])
        self.tainted.add(storage)

    def _fail(self, reason: str) -> UntraceableError:
        """What to raise; kept too, for models that catch exceptions."""
        self.failure = UntraceableError(reason)
        return self.failure


def _reaching(operations: list[Operation], end: Slot) -> list[Operation]:
    """The operations that the end depends on, in order."""
    needed = {end.number}
    kept: list[Operation] = []
    for operation in reversed(operations):
        gives = [*operation.outputs, *(after for _, after in operation.written)]
        if any(slot.number in needed for slot in gives):
            needed.update(slot.number for slot in operation.inputs)
            kept.append(operation)
    return kept[::-1]


def _may_write(func: Function, kwargs: Mapping[str, Any]) -> bool:
    """Whether a function by its name works in place: ``add_``, ``__setitem__``, ``__iadd__``."""
    name = getattr(func, "__name__", "")
    return (
        name == "__setitem__"
        or (name.endswith("_") and not name.endswith("__"))
        or (name.startswith("__i") and name not in {"__invert__", "__int__", "__index__"})
        or kwargs.get("inplace") is True
    )


def _version(tensor: Tensor) -> int:
    # Tensors of inference mode count no versions.
    return 0 if tensor.is_inference() else tensor._version


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
