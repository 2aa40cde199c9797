"""Decoders: nets that learn to give an image back from what a layer says of it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from cutaway.config import derive
from cutaway.data import Split
from cutaway.errors import ConfigError, DataError
from cutaway.look.capture import capture
from cutaway.look.optimising.upconv import UpConv
from cutaway.look.stream import chosen_layers
from cutaway.nets.randomness import seeded
from cutaway.nets.subject import Subject
from cutaway.progress import tracked

BATCH = 64
RATE = 3e-3

WIDTH = 16
"""Channels of a decoder's largest maps. 32 take three times as long a step: behind the last rectifiers of a
LeNet 200 of them ended at an error of 0.113, and 300 with these at 0.110 in half the time.
"""


@dataclass(frozen=True)
class Decoders:
    """A trained decoder for each of some layers.

    Args:
        nets: by layer, on the CPU, in evaluation mode.
        losses: for each layer the mean square error of each step's batch, ``(S,)``.
        image: ``(C, H, W)`` of what they give.
        subject: the name of the subject whose layers they read.
        seed: of their weights and of the order of images.
        stopped: somebody ended the training.
        weights: what the subject's weights are known by, as :func:`weights_sum` gives it.
    """

    nets: Mapping[str, UpConv]
    losses: Mapping[str, Tensor]
    image: tuple[int, int, int]
    subject: str = ""
    seed: int = 0
    stopped: bool = False
    weights: str = ""

    def fit(self, subject: Subject) -> bool:
        """Whether they learnt from a subject's own weights, and not from what it had earlier or later."""
        return self.weights == weights_sum(subject)


def weights_sum(subject: Subject) -> str:
    """A checksum of a model's parameters and buffers, eight hexadecimal digits."""
    found = 0
    for name, value in sorted(subject.model.state_dict().items()):
        found = zlib.crc32(name.encode(), found)
        if isinstance(value, Tensor):
            flat = value.detach().cpu().contiguous().reshape(-1)
            found = zlib.crc32(flat.view(torch.uint8).numpy().data, found)
    return f"{found:08x}"


@dataclass(frozen=True)
class Decoded:
    """What is given back of some images from each layer.

    Args:
        originals: ``(N, C, H, W)`` float32 from 0 to 1.
        layers: for each layer what its decoder gives, likewise.
        pixel_error: for each layer the root of the mean square difference, ``(N,)``; of more images than
            are kept where :meth:`only` left some out.
        subject: the subject's name.
    """

    originals: Tensor
    layers: Mapping[str, Tensor]
    pixel_error: Mapping[str, Tensor]
    subject: str = ""

    def only(self, count: int) -> Decoded:
        """The same with the first ``count`` images alone; errors stay those of all.

        Raises:
            ConfigError: the count is below 1.
        """
        if count < 1:
            raise ConfigError(f"shown should be 1 or more, not {count}.")
        layers = {name: images[:count].clone() for name, images in self.layers.items()}
        return replace(self, originals=self.originals[:count].clone(), layers=layers)


@torch.inference_mode(False)  # whatever mode the caller is in: gradients are needed
def train_decoders(
    subject: Subject,
    train: Split,
    layers: Sequence[str] | None = None,
    *,
    steps: int = 300,
    seed: int = 0,
    watch: Callable[[int, Mapping[str, float]], bool | None] | None = None,
) -> Decoders:
    """Train an up-convolutional net for each layer: ``argmin Σ ‖D(φ(x)) − x‖²``, all in one pass over images.

    Args:
        subject: whose layers are read; it is not changed.
        train: images to learn from.
        layers: addresses; all that change a value when not given.
        steps: batches of 64 images.
        seed: of weights and order.
        watch: is told each step and the layers' errors; ends the training by giving True.

    Raises:
        ConfigError: there are no steps, or the images do not fit.
        DataError: there are no images.
        NotFoundError: there is no such layer.

    Source: Dosovitskiy, Brox, "Inverting visual representations with convolutional networks", 2015.
    """
    if steps < 1:
        raise ConfigError(f"steps should be 1 or more, not {steps}.")
    if not len(train):
        raise DataError("There are no images to learn from; give one or more.")
    names = chosen_layers(subject, layers)
    subject.refuse_shape(train.batch(torch.arange(1)))
    generator = torch.Generator().manual_seed(derive(seed, "decoders"))
    losses: dict[str, list[float]] = {name: [] for name in names}
    stopped = False
    with capture(subject.model, names) as outputs:
        shapes = {
            name: tuple(value.shape[1:])
            for name, value in outputs(subject.filled(subject.inputs(train.batch(torch.arange(1))))).items()
        }
        with seeded(derive(seed, "decoder weights")):
            nets = {
                name: UpConv(shape, subject.input_shape, WIDTH).to(subject.device)
                for name, shape in shapes.items()
            }
        optimisers = {
            name: torch.optim.Adam(net.parameters(), RATE, fused=True) for name, net in nets.items()
        }
        with tracked("Training decoders", steps, "steps") as add:
            for step in range(steps):
                chosen = torch.randint(
                    len(train), (subject.batch or min(BATCH, len(train)),), generator=generator
                )
                pixels = train.batch(chosen).to(subject.device)
                wanted = pixels.float() / 255
                given = outputs(subject.inputs(pixels))
                for name, net in nets.items():
                    rate = RATE * min(1.0, 2 * (1 - step / steps))  # constant, then down to zero
                    losses[name].append(_learn(net, optimisers[name], given[name], wanted, rate))
                add(1)
                if watch and watch(step + 1, {name: values[-1] for name, values in losses.items()}):
                    stopped = step + 1 < steps
                    break
    return Decoders(
        {name: net.eval().cpu() for name, net in nets.items()},
        {name: torch.tensor(values) for name, values in losses.items()},
        subject.input_shape,
        subject.name,
        seed,
        stopped,
        weights_sum(subject),
    )


def _learn(
    net: UpConv, optimiser: torch.optim.Optimizer, given: Tensor, wanted: Tensor, rate: float
) -> float:
    """One step; the batch's error."""
    with torch.enable_grad():
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss = F.mse_loss(net(given.detach().clone().float()), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return float(loss.detach())


def decode(subject: Subject, decoders: Decoders, images: Tensor) -> Decoded:
    """What each layer's decoder makes of images.

    Args:
        subject: the one that the decoders were trained for.
        decoders: from :func:`train_decoders`.
        images: ``(N, C, H, W)`` uint8 pixels.

    Raises:
        ConfigError: the images are no pixels or do not fit, or the decoders were trained for other weights.
        NotFoundError: the subject has no such layer.
    """
    if images.is_floating_point():
        raise ConfigError("decode takes uint8 pixels, for what comes back is compared with pixels.")
    subject.refuse_shape(images)
    if not decoders.fit(subject):
        raise ConfigError(
            f"The decoders were trained for other weights than {subject.name} has. Train decoders for these."
        )
    names = list(decoders.nets)
    parts: dict[str, list[Tensor]] = {name: [] for name in names}
    with capture(subject.model, names) as outputs:
        for pixels in images.split(subject.batch or BATCH):
            given = outputs(subject.filled(subject.inputs(pixels)))
            for name, net in decoders.nets.items():
                parts[name].append(net(given[name][: len(pixels)].float().cpu()))
    originals = images.float() / 255
    joined = {name: torch.cat(found) for name, found in parts.items()}
    errors = {name: (value - originals).square().flatten(1).mean(1).sqrt() for name, value in joined.items()}
    return Decoded(originals, joined, errors, subject.name)
