"""Recording what layers give: the only place that registers hooks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge

from cutaway.errors import ConfigError
from cutaway.look.address import Address, parse_address
from cutaway.look.calls import Calls
from cutaway.look.modules import named_modules, refuse_second_names
from cutaway.look.pooling import QuickPools
from cutaway.nets.subject import evaluating
from cutaway.training.allocator import freed_memory

Pass = Callable[[Tensor], dict[str, Tensor]]
"""From a batch of inputs to the outputs of the layers asked for, by name."""


class _DeepestReached(BaseException):
    """Ends a forward pass; a base exception, so that no model's ``except Exception`` keeps it."""


@dataclass(frozen=True)
class Recorded:
    """One forward pass and what some layers gave in it.

    Args:
        values: by address, as they were when they were given.
        edges: where each stands in the graph of gradients; without those that have no gradient.
        overwritten: addresses whose values the model changed in place later on.
        result: what the pass itself gave; None where it ended behind the deepest layer.
    """

    values: dict[str, Tensor]
    edges: dict[str, GradientEdge]
    overwritten: frozenset[str]
    result: Any


Record = Callable[..., Recorded]
"""From a function that applies the model to what was recorded; with ``to_end=True`` the pass goes on
behind the deepest layer.
"""


@contextmanager
def capture(model: nn.Module, layers: Sequence[str]) -> Iterator[Pass]:
    """Inside, a function that runs the model up to the deepest of some layers and records them all.

    The model runs in evaluation mode and without gradients. Behind, hooks, modes, buffers and the
    random state are as before, also after an error. Freed memory stays with the process meanwhile: outputs
    that are held would otherwise cost fresh pages in every pass, a tenth of its time.

    Args:
        model: any module.
        layers: addresses, as :class:`cutaway.look.Address` explains: ``conv1``, ``act@2``,
            ``relu@3``, ``conv2:input``, ``memory[0]``, ``head["logits"]``. Of a layer that is applied
            several times, the first output is recorded unless the address says another.

    Yields:
        a function from inputs ``(N, C, H, W)`` to ``{layer: output}``, in the order of ``layers``.

    Raises:
        NotFoundError: there is no such layer.
        ConfigError: a layer was not reached, or gives something other than a tensor.
    """
    with (
        freed_memory(kept=True),
        recording(model, layers) as record,
        evaluating(model),
        torch.random.fork_rng(),
        torch.no_grad(),
    ):

        def run(inputs: Tensor) -> dict[str, Tensor]:
            with QuickPools():
                return record(lambda: model(inputs)).values

        yield run


@contextmanager
def recording(model: nn.Module, layers: Sequence[str]) -> Iterator[Record]:
    """Inside, a function that records layers while somebody applies the model, in whatever mode it is.

    Args:
        model: any module.
        layers: addresses, as for :func:`capture`.

    Raises:
        NotFoundError: there is no such layer.
        ConfigError: a layer was not reached, or gives something other than a tensor.
    """
    modules = named_modules(model)
    refuse_second_names(model, modules, layers)
    recorder = _Recorder([parse_address(layer, modules) for layer in dict.fromkeys(layers)])
    handles: list[Any] = []
    try:
        for name, addresses in recorder.by_module().items():
            handles += _watch(modules[name], addresses, recorder)
        for module in modules.values():
            if getattr(module, "inplace", False) is True:
                handles.append(module.register_forward_pre_hook(recorder.before_change))
                handles.append(module.register_forward_hook(recorder.behind_change))
        yield recorder.record
    finally:
        for handle in handles:
            handle.remove()


def _watch(module: nn.Module, addresses: Sequence[Address], recorder: _Recorder) -> list[Any]:
    """Hooks that record what one module is given and gives."""
    name = addresses[0].name
    given = [address for address in addresses if address.argument]
    gives = [address for address in addresses if not address.argument]

    def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        del module
        recorder.given[name] += 1
        recorder.keep_arguments(given, recorder.given[name], args, kwargs)

    def behind(module: nn.Module, args: object, output: object) -> None:
        del module, args
        recorder.gave[name] += 1
        recorder.keep(gives, recorder.gave[name], output)

    handles: list[Any] = []
    if given:
        handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
    if gives:
        handles.append(module.register_forward_hook(behind))
    return handles


class _Recorder:
    """Values by address, and the versions that they had when they were recorded."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self.addresses = addresses
        self.copied: set[str] = set()
        self.rebased: set[str] = set()
        self.to_end = False
        self.functions: defaultdict[str, list[Address]] = defaultdict(list)
        for address in addresses:
            if address.is_call:
                self.functions[address.name].append(address)
        self._forget()

    def _forget(self) -> None:
        self.found: dict[str, Tensor] = {}
        self.edges: dict[str, GradientEdge] = {}
        self.versions: dict[str, int] = {}
        self.memories: defaultdict[int, list[str]] = defaultdict(list)
        self.lent: list[tuple[Tensor, Tensor, int] | None] = []
        self.given: Counter[str] = Counter()
        self.gave: Counter[str] = Counter()

    def by_module(self) -> dict[str, list[Address]]:
        """The addresses of modules, by the module's name."""
        found: defaultdict[str, list[Address]] = defaultdict(list)
        for address in self.addresses:
            if not address.is_call:
                found[address.name].append(address)
        return found

    def keep(self, addresses: Sequence[Address], number: int, value: object) -> None:
        """Record what one application gave where it was asked for, and stop behind the last one."""
        for address in addresses:
            if address.call == number:
                self._record(address.text, address.tensor(value))
        if len(self.found) == len(self.addresses) and not self.to_end:
            raise _DeepestReached

    def keep_arguments(
        self, addresses: Sequence[Address], number: int, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> None:
        """Record what one application is given; keywords count behind the others."""
        values = [*args, *kwargs.values()]
        for address in addresses:
            if address.call != number:
                continue
            if address.argument > len(values):
                raise ConfigError(
                    f"There is no {address.text}: {address.name} is given {len(values)} arguments."
                )
            self.keep([address], number, values[address.argument - 1])

    def _record(self, name: str, value: Tensor) -> None:
        if value.grad_fn is not None:
            # get_gradient_edge() calls a function on the value, which a mode around may take for the model's.
            self.edges[name] = GradientEdge(value.grad_fn, value.output_nr)
        # Tensors of inference mode count no versions, so they are copied at once.
        if name in self.copied or value.is_inference():
            self.found[name] = value.detach().clone()
            return
        self.found[name] = value
        self.versions[name] = value._version
        self.memories[value.untyped_storage().data_ptr()].append(name)

    def before_change(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Copy what a module that works in place is about to overwrite."""
        del module
        self.lent.append(None)
        if not self.memories or not args or not isinstance(args[0], Tensor):
            return None
        names = self.memories.pop(args[0].untyped_storage().data_ptr(), ())
        for name in names:
            if self.found[name]._version == self.versions[name]:
                self.found[name] = self.found[name].detach().clone()
                self.versions[name] = self.found[name]._version
        if not names or not args[0]._is_view() or args[0].grad_fn is None:
            return None
        # A view that is changed gets another operation, of its base, and the way back would pass by the one
        # that was recorded: a copy is changed in its place.
        copy = args[0].clone()
        self.lent[-1] = args[0], copy, copy._version
        self.rebased.update(names)
        return (copy, *args[1:])

    def behind_change(self, module: nn.Module, args: object, output: object) -> None:
        """Change what a copy was changed for: somebody may read it."""
        del module, args, output
        lent = self.lent.pop()
        if lent is None:
            return
        value, copy, version = lent
        if copy._version != version:  # a module that is called so need not change what it is given
            value.copy_(copy)

    def record(self, forward: Callable[[], Any], *, to_end: bool = False) -> Recorded:
        """One forward pass; a second one with copies where a function worked in place on a value."""
        self.to_end = to_end
        result = self._run(forward)
        changed = {name for name, version in self.versions.items() if self.found[name]._version != version}
        if changed:
            self.copied |= changed
            result = self._run(forward)
        found = {address.text: self.found[address.text] for address in self.addresses}
        recorded = Recorded(found, self.edges, frozenset(self.copied | self.rebased), result)
        self._forget()
        return recorded

    def _run(self, forward: Callable[[], Any]) -> Any:
        self._forget()
        calls = Calls(set(self.functions), self._before_call, self._behind_call) if self.functions else None
        inside: AbstractContextManager[object] = calls or nullcontext()
        result = None
        with suppress(_DeepestReached), inside:
            result = forward()
        for address in self.addresses:
            if address.text not in self.found:
                raise ConfigError(self._missed(address, calls))
        return result

    def _before_call(self, name: str, number: int, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        given = [address for address in self.functions[name] if address.argument]
        self.keep_arguments(given, number, args, kwargs)

    def _behind_call(self, name: str, number: int, result: object) -> None:
        self.keep([address for address in self.functions[name] if not address.argument], number, result)

    def _missed(self, address: Address, calls: Calls | None) -> str:
        times = max(self.given[address.name], self.gave[address.name])
        if address.is_call and calls:
            times = calls.counts[address.name]
        if times:
            often = "once" if times == 1 else f"{times} times"
            return f"The forward pass does not reach {address.text}: it applies {address.name} only {often}."
        hint = "choose another layer"
        if address.is_call:
            hint = "cutaway.look.layers(subject) lists what it calls"
        return f"The forward pass does not reach {address.text}; {hint}."
