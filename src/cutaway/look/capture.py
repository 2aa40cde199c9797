"""Recording what layers give: the only place that registers hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import torch
from torch import Tensor, nn

from cutaway.errors import ConfigError, NotFoundError, nearest
from cutaway.nets.subject import evaluating

Pass = Callable[[Tensor], dict[str, Tensor]]
"""From a batch of inputs to the outputs of the layers asked for, by name."""


class _DeepestReached(BaseException):
    """Ends a forward pass; a base exception, so that no model's ``except Exception`` keeps it."""


@contextmanager
def capture(model: nn.Module, layers: Sequence[str]) -> Iterator[Pass]:
    """Inside, a function that runs the model up to the deepest of some layers and records them all.

    The model runs in evaluation mode and without gradients. Behind, hooks, modes, buffers and the
    random state are as before, also after an error. Of a layer that is applied several times, the
    first output is recorded.

    Args:
        model: any module.
        layers: dotted names as in ``named_modules()``.

    Yields:
        a function from inputs ``(N, C, H, W)`` to ``{layer: output}``, in the order of ``layers``.

    Raises:
        NotFoundError: there is no such layer.
        ConfigError: a layer was not reached, or gives something other than a tensor.
    """
    modules = dict(model.named_modules())
    for layer in layers:
        if layer not in modules or not layer:
            known = [name for name in modules if name]
            raise NotFoundError(f'There is no layer "{layer}".{nearest(layer, known)}')
    recorder = _Recorder(len(set(layers)))
    handles = []
    try:
        for layer in set(layers):
            handles.append(modules[layer].register_forward_hook(recorder.hook(layer)))  # noqa: PERF401
        with evaluating(model), torch.random.fork_rng(), torch.no_grad():
            yield lambda inputs: recorder.outputs(model, inputs, layers)
    finally:
        for handle in handles:
            handle.remove()


class _Recorder:
    """Outputs by layer, and the versions that they had when they were recorded."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.copying = False
        self.found: dict[str, Tensor] = {}
        self.versions: dict[str, int] = {}

    def hook(self, layer: str) -> Callable[[nn.Module, object, object], None]:
        """A forward hook that records ``layer`` and stops behind the last one wanted."""

        def record(module: nn.Module, args: object, output: object) -> None:
            del module, args
            if not isinstance(output, Tensor):
                raise ConfigError(f"{layer} gives {type(output).__name__}, not a tensor; choose another.")
            if layer not in self.found:
                # Tensors of inference mode count no versions, so they are copied at once.
                copying = self.copying or output.is_inference()
                self.found[layer] = output.clone() if copying else output
                if not copying:
                    self.versions[layer] = output._version
            if len(self.found) == self.wanted:
                raise _DeepestReached

        return record

    def outputs(self, model: nn.Module, inputs: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """One forward pass; a second one with copies where a later operation worked in place."""
        self._run(model, inputs)
        if any(self.found[name]._version != version for name, version in self.versions.items()):
            self.copying = True
            self._run(model, inputs)
        missing = [layer for layer in layers if layer not in self.found]
        if missing:
            raise ConfigError(f"The forward pass does not reach {missing[0]}; choose another layer.")
        return {layer: self.found[layer] for layer in layers}

    def _run(self, model: nn.Module, inputs: Tensor) -> None:
        self.found, self.versions = {}, {}
        with suppress(_DeepestReached):
            model(inputs)
