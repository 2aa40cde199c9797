"""What targets come to, without gradients: for looks that change the image and read again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor

from cutaway.errors import ConfigError
from cutaway.look.backward.target import Target
from cutaway.look.capture import Recorded, recording
from cutaway.look.folding import Folding, folded
from cutaway.look.pooling import QuickPools
from cutaway.nets.subject import Subject, evaluating
from cutaway.training.allocator import freed_memory

AT_ONCE = 32
"""Changed images in a pass: on two cores 16 to 64 run equally fast."""

Roots = Callable[[Tensor], list[Tensor]]
"""From inputs ``(n, C, H, W)`` to what each target is read from: the logits, or a layer's output."""


@contextmanager
def readings(subject: Subject, targets: Sequence[Target]) -> Iterator[Roots]:
    """Inside, a function from inputs to the roots of some targets; the pass ends behind the deepest.

    The model is in evaluation mode, without gradients; behind, modes, buffers, hooks and the random
    state are as before, also after an error. Tensors are ordinary ones, not those of inference mode: a
    model may keep one for later, when it is trained.

    Args:
        subject: any; one that predicts by the mean over mirror images is applied to the image alone.
        targets: whose roots are read, in their order.

    Raises:
        NotFoundError: there is no such layer.
        ConfigError: a layer is not reached.
    """
    inner = [target.layer for target in targets if target.layer is not None]
    to_end = len(inner) < len(targets)
    # Every pass takes memory of the same sizes, as in a knockout.
    keeping: AbstractContextManager[object] = (
        freed_memory(kept=True) if subject.device.type == "cpu" else nullcontext()
    )
    folding = Folding(subject.model, inner, last=True)
    # Convolutions alone run half as long again in the default layout (six of them, 16 images of 32×32).
    layout = torch.channels_last
    with (
        keeping,
        torch.inference_mode(False),
        evaluating(subject.model),
        torch.random.fork_rng(),
        torch.no_grad(),
        recording(subject.model, list(dict.fromkeys(inner))) as record,
    ):

        def pass_over(inputs: Tensor) -> Recorded:
            kept = layout if inputs.dim() == 4 else torch.preserve_format

            def apply() -> Tensor:
                # A copy: the model may change its input in place.
                return subject.plain_logits(inputs.clone(memory_format=kept))

            with QuickPools():
                return folded(record, apply, folding, to_end=to_end)

        def roots(inputs: Tensor) -> list[Tensor]:
            nonlocal layout
            try:
                recorded = pass_over(inputs)
            except ConfigError as error:
                # A model may take views of its maps that only the default layout has.
                if layout is torch.preserve_format or "view" not in str(error):
                    raise
                layout = torch.preserve_format
                recorded = pass_over(inputs)
            return [
                recorded.result if target.layer is None else recorded.values[target.layer][: len(inputs)]
                for target in targets
            ]

        yield roots


def value(seed: Tensor, root: Tensor) -> Tensor:
    """What a target with this seed comes to for each image, ``(n,)`` float64."""
    return (seed * root).flatten(1).double().sum(1)
