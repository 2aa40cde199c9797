"""One forward pass with its graph of gradients, to be asked for what targets depend on."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from cutaway.errors import ConfigError
from cutaway.look.backward.rules import Rules
from cutaway.look.backward.sealed import refuse_sealed, refuse_unseen
from cutaway.look.backward.target import Target
from cutaway.look.capture import recording
from cutaway.look.folding import Folding, folded
from cutaway.nets.subject import Subject, evaluating

INPUT = ""
"""The name of the model's input among layers."""


@dataclass(frozen=True)
class Graph:
    """A forward pass that can be walked backwards.

    Args:
        inputs: the model's input, ``(N, C, H, W)``.
        values: what the layers gave, by address; the input under ``INPUT``.
        edges: where those stand in the graph.
        logits: ``(N, K)``; None where the pass ended at the deepest layer.
        subject: for messages.
        overwritten: layers whose values the model changed in place afterwards.
        again: the same pass without operations in place, where that may help.
        seeds: those asked for so far, by the target's identity, which lives as long as they do.
    """

    inputs: Tensor
    values: Mapping[str, Tensor]
    edges: Mapping[str, GradientEdge]
    logits: Tensor | None
    subject: Subject
    overwritten: frozenset[str]
    again: Callable[[], Graph] | None = None
    seeds: dict[int, tuple[Target, Tensor]] = field(default_factory=dict, repr=False)

    @property
    def _logits(self) -> Tensor:
        if self.logits is None:
            raise RuntimeError("the pass ended before the logits")
        return self.logits

    def root(self, target: Target) -> Tensor:
        """What a target is read from: the logits, or a layer's output."""
        if target.layer is not None:
            return self.values[target.layer].detach()[: len(self.inputs)]
        return self._logits.detach()

    def value(self, target: Target) -> Tensor:
        """What the target comes to for each image, ``(N,)``."""
        return (self.seed(target) * self.root(target)).flatten(1).sum(1)

    def seed(self, target: Target) -> Tensor:
        """The target's derivative by its root, computed once."""
        if id(target) not in self.seeds:
            self.seeds[id(target)] = target, target.seed(self.root(target))
        return self.seeds[id(target)][1]

    def back(
        self, target: Target, seed: Tensor, of: Sequence[str] = (INPUT,), *, keep: bool = False
    ) -> list[Tensor]:
        """What arrives at layers when ``seed`` starts at the target's root: with no rules, a gradient.

        Args:
            target: names the root.
            seed: like the root.
            of: layers, or ``INPUT``.
            keep: the graph will be walked again.

        Raises:
            ConfigError: the target does not depend on the input by operations with a gradient.
        """
        edge = self._edge(target)
        whole = self._filled_up(target, seed)
        # A layer that is its own target has the seed itself.
        wanted = [name for name in of if name in self.edges]
        try:
            gradients = torch.autograd.grad(
                [edge],
                [self.edges[name] for name in wanted],
                [whole],
                retain_graph=keep,
                allow_unused=True,
            )
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            if self.again and "inplace operation" in str(error):
                return self.again().back(target, seed, of, keep=keep)
            if hidden := [name for name in wanted if name in self.overwritten]:
                raise ConfigError(_hidden(hidden[0])) from error
            reason = str(error).strip().partition("\n")[0].partition(". ")[0].rstrip(".:")
            raise ConfigError(f"{self.subject.name} can't be walked backwards: {reason}.") from error
        by_name = dict(zip(wanted, gradients, strict=True))
        if INPUT in by_name and by_name[INPUT] is None:
            raise ConfigError(self._cut(target))
        return [self._filled(name, by_name.get(name))[: len(self.inputs)] for name in of]

    def _edge(self, target: Target) -> GradientEdge:
        if target.layer is None:
            if not self._logits.requires_grad:
                raise ConfigError(self._cut(target))
            return get_gradient_edge(self._logits)
        if target.layer not in self.edges:
            raise ConfigError(self._cut(target))
        return self.edges[target.layer]

    def _filled_up(self, target: Target, seed: Tensor) -> Tensor:
        """A seed with zeros for the images that only fill the fixed batch of a model."""
        missing = 0 if target.layer is None else len(self.values[target.layer]) - len(self.inputs)
        return torch.cat([seed, seed.new_zeros(missing, *seed.shape[1:])]) if missing else seed

    def _filled(self, name: str, found: Tensor | None) -> Tensor:
        """A gradient, or zeros for a layer beside the way from the input to the target."""
        if found is not None:
            return found
        if name in self.overwritten:
            raise ConfigError(_hidden(name))
        return torch.zeros_like(self.values[name])

    def _cut(self, target: Target) -> str:
        what = f"{target.layer}" if target.layer else "its logits"
        return (
            f"{self.subject.name}: {what} can't be differentiated by the input. "
            "A .detach(), torch.no_grad() or a choice such as argmax stands between; take it out."
        )


def _hidden(name: str) -> str:
    """Why nothing can be told of a layer whose values another one overwrites."""
    return (
        f"{name} is changed in place under another name, so nothing can be told of it; "
        "choose the layer behind it."
    )


Forward = Callable[[Tensor], Graph]


@contextmanager
def graphs(
    subject: Subject, layers: Sequence[str] = (), rules: Rules | None = None, *, to_end: bool = True
) -> Iterator[Forward]:
    """Inside, a function from inputs to a forward pass that can be walked backwards.

    The model is in evaluation mode and its parameters are frozen; behind, modes, buffers, requires-grad
    flags and the random state are as before, also after an error. Where a subject predicts by the mean
    over mirror images, the image alone is applied.

    Args:
        subject: any.
        layers: addresses whose values and gradients will be asked for.
        rules: for operations that propagate otherwise than by their gradient.
        to_end: whether logits are needed; without, the pass ends behind the deepest layer.

    Raises:
        NotFoundError: there is no such layer.
        ConfigError: a layer is not reached, or an operation has no rule.
    """
    layers = [name for name in dict.fromkeys(layers) if name != INPUT]
    if rules:
        refuse_sealed(subject.model, rules.method)
    with (
        torch.inference_mode(False),
        evaluating(subject.model),
        frozen(subject.model),
        torch.random.fork_rng(),
        torch.enable_grad(),
        recording(subject.model, layers) as record,
    ):
        careful: list[Rules] = []
        # Of our own nets it is known that no layer asks for maps in the default layout.
        folding = Folding(subject.model, layers, last=subject.plan is not None)

        def forward(inputs: Tensor) -> Graph:
            mode = rules or (careful[0] if careful else None)

            def again() -> Graph:
                # All that PyTorch needs in order to go back is kept, but in-place operations cost copies.
                careful.append(Rules("the gradient", {}, "gradient"))
                return forward(inputs)

            return made(inputs, mode, None if mode else functools.cache(again))

        def made(inputs: Tensor, mode: Rules | None, again: Callable[[], Graph] | None) -> Graph:
            leaf = inputs.detach().clone().requires_grad_()

            def apply() -> Tensor:
                if mode:
                    mode.begin()
                # A copy: the model may change its input in place.
                return subject.plain_logits(leaf.clone(memory_format=layout))

            layout = torch.preserve_format
            if folding.pairs and subject.plan is not None and leaf.dim() == 4:
                layout = torch.channels_last
            # Around the recording, which counts the model's calls and not those that rules make.
            with mode or nullcontext():
                recorded = folded(record, apply, folding, to_end=to_end)
            if rules and rules.otherwise == "refuse":
                ends = [] if recorded.result is None else [recorded.result.grad_fn]
                refuse_unseen(rules, [*ends, *(edge.node for edge in recorded.edges.values())])
            edges = {INPUT: get_gradient_edge(leaf), **recorded.edges}
            values = {INPUT: leaf, **recorded.values}
            _refuse_rows(values, len(leaf), subject.batch or len(leaf))
            return Graph(leaf, values, edges, recorded.result, subject, recorded.overwritten, again)

        yield forward


def _refuse_rows(values: Mapping[str, Tensor], count: int, filled: int) -> None:
    """Raise where a layer gives no row for each image."""
    for name, value in values.items():
        if name != INPUT and (not value.dim() or len(value) != filled):
            given = "×".join(map(str, value.shape)) or "one number"
            many = "1 image" if count == 1 else f"{count} images"
            raise ConfigError(
                f"{name} gives {given} for {many}, not a row for each image; choose another layer."
            )


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Inside, no parameter of a model asks for a gradient.

    Raises:
        ConfigError: parameters were made in inference mode, and can have no part in a gradient.
    """
    if any(parameter.is_inference() for parameter in model.parameters()):
        raise ConfigError(
            "The model's weights were made inside torch.inference_mode(), which knows no gradients; "
            "make or load the model outside."
        )
    asking = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in asking:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in asking:
            parameter.requires_grad_(True)


def float_inputs(subject: Subject, images: Tensor) -> Tensor:
    """The model's input for images, in the floating-point type of its parameters.

    Raises:
        ConfigError: the images have another shape than the subject takes.
    """
    inputs = subject.inputs(images).detach()
    kinds = (parameter.dtype for parameter in subject.model.parameters() if parameter.is_floating_point())
    return inputs.to(next(kinds, inputs.dtype if inputs.is_floating_point() else torch.float32))
