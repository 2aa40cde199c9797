"""A generator as a prior: a small variational autoencoder learns what images look like.

Its code is changed in place of the pixels, so that what comes out looks like the images it learnt.

Source: Nguyen, Dosovitskiy, Yosinski, Brox, Clune, "Synthesizing the preferred inputs for neurons in neural
networks via deep generator networks", 2016; Kingma, Welling, "Auto-encoding variational Bayes", 2013.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cutaway.config import derive
from cutaway.data import Split
from cutaway.errors import ConfigError, DataError
from cutaway.look.optimising.upconv import UpConv
from cutaway.nets.randomness import seeded
from cutaway.progress import tracked

CODE = 32
"""Numbers of a code."""

BATCH = 64
RATE = 1e-3

_SAMPLED = 256
"""Images that a dataset is known by."""


class _Encoder(nn.Module):
    """An image to the mean and the logarithm of the variance of its code."""

    def __init__(self, image: tuple[int, int, int], code: int) -> None:
        super().__init__()
        channels, height, width = image
        halvings = max(1, round(math.log2(max(2.0, min(height, width) / 4))))
        steps: list[nn.Module] = []
        for number in range(halvings):
            after = 32 * min(4, 2**number)
            steps += [nn.Conv2d(channels, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
            channels, height, width = after, math.ceil(height / 2), math.ceil(width / 2)
        self.steps = nn.Sequential(*steps)
        self.leave = nn.Linear(channels * height * width, 2 * code)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        mean, spread = self.leave(self.steps(images).flatten(1)).chunk(2, 1)
        return mean, spread


@dataclass(frozen=True)
class Generator:
    """A decoder from codes to images, and what it learnt from.

    Args:
        net: ``(N, code)`` to ``(N, C, H, W)`` from 0 to 1; in evaluation mode.
        code: numbers of a code.
        image: ``(C, H, W)``.
        data: the fingerprint of the images it learnt from.
        losses: of each step's batch, ``(S,)``: squared error and divergence together, in nats an image.
        stopped: somebody ended the training.
    """

    net: UpConv
    code: int
    image: tuple[int, int, int]
    data: str
    losses: Tensor
    stopped: bool = False

    def refuse_other(self, split: Split) -> None:
        """Raise where the generator learnt from other images than these.

        Raises:
            ConfigError: the message says what to do.
        """
        if tuple(split.shape) != self.image or fingerprint(split) != self.data:
            raise ConfigError(
                "This generator was trained on other data. "
                "Train one on these images: cutaway look train-prior RUN."
            )


@dataclass(frozen=True)
class Generated:
    """What a generator learnt.

    Args:
        images: of codes drawn at random, ``(N, C, H, W)`` float32 from 0 to 1.
        losses: of each step's batch, ``(S,)``, in nats an image.
        subject: the name of whose images it learnt from.
    """

    images: Tensor
    losses: Tensor
    subject: str = ""


def generate(generator: Generator, count: int = 16, *, seed: int = 0, subject: str = "") -> Generated:
    """Images of codes ``z ~ N(0, 1)``: what the generator takes for images.

    Args:
        generator: from :func:`train_generator`.
        count: images, 1 or more.
        seed: of the codes.
        subject: the name of whose images it learnt from.

    Raises:
        ConfigError: the count is below 1.
    """
    if count < 1:
        raise ConfigError(f"count should be 1 or more, not {count}.")
    draws = torch.Generator().manual_seed(derive(seed, "generated codes"))
    with torch.no_grad():
        images = generator.net(torch.randn(count, generator.code, generator=draws))
    return Generated(images.float().cpu(), generator.losses, subject)


class GeneratorCanvas:
    """A code in place of pixels, held near what codes of real images are like.

    Args:
        generator: gives the images.
        count: of codes.
        seed: of the codes at the start.
        unlike: so many codes are drawn, and taken in turn; 1 for one that is the same for all.
    """

    def __init__(self, generator: Generator, count: int, seed: int = 0, unlike: int = 1) -> None:
        draws = torch.Generator().manual_seed(seed)
        self._net = generator.net
        self._longest = 1.5 * math.sqrt(generator.code)
        codes = 0.5 * torch.randn(unlike, generator.code, generator=draws)
        self.values = codes.repeat(-(-count // unlike), 1)[:count]

    def images(self) -> Tensor:
        """What the generator makes of the codes."""
        found: Tensor = self._net(self.values)
        return found

    def settle(self) -> None:
        """Shorten codes that are longer than those of nearly all images."""
        with torch.no_grad():
            length = self.values.norm(dim=1, keepdim=True).clamp_min(1e-12)
            self.values *= (self._longest / length).clamp_max(1.0)


@torch.inference_mode(False)  # whatever mode the caller is in: gradients are needed
def train_generator(
    train: Split,
    *,
    steps: int = 1500,
    code: int = CODE,
    seed: int = 0,
    watch: Callable[[int, float], bool | None] | None = None,
) -> Generator:
    """Train a variational autoencoder on images and keep its decoder.

    ``‖D(z) − x‖² / (2 · 0.1²) + KL(q(z | x) ‖ N(0, 1))``, z drawn from q.

    Args:
        train: images to learn from.
        steps: batches of 64 images.
        code: numbers of a code.
        seed: of weights, order and draws.
        watch: is told each step and its loss; ends the training by giving True.

    Raises:
        ConfigError: steps or code are below 1.
        DataError: there are no images.
    """
    if steps < 1 or code < 1:
        raise ConfigError(f"steps and code should be 1 or more, not {steps} and {code}.")
    if not len(train):
        raise DataError("There are no images to learn from; give one or more.")
    image = (train.shape[0], train.shape[1], train.shape[2])
    with seeded(derive(seed, "generator weights")):
        encoder, decoder = _Encoder(image, code), UpConv((code,), image)
    generator = torch.Generator().manual_seed(derive(seed, "generator"))
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], RATE, fused=True)
    losses: list[float] = []
    stopped = False
    with tracked("Training a generator", steps, "steps") as add, torch.enable_grad():
        for step in range(steps):
            chosen = torch.randint(len(train), (min(BATCH, len(train)),), generator=generator)
            wanted = train.batch(chosen).cpu().float() / 255
            mean, spread = encoder(wanted)
            draws = torch.randn(mean.shape, generator=generator)
            found = decoder(mean + draws * (spread / 2).exp())
            error = F.mse_loss(found, wanted, reduction="sum") / (2 * 0.1**2)
            divergence = (mean**2 + spread.exp() - 1 - spread).sum() / 2
            loss = (error + divergence) / len(wanted)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
            add(1)
            if watch and watch(step + 1, losses[-1]):
                stopped = step + 1 < steps
                break
    for parameter in decoder.parameters():
        parameter.requires_grad_(False)
    return Generator(decoder.eval(), code, image, fingerprint(train), torch.tensor(losses), stopped)


def fingerprint(split: Split) -> str:
    """What a dataset is known by: a digest of its size and of images taken evenly from it."""
    places = torch.linspace(0, len(split) - 1, min(_SAMPLED, len(split))).round().long()
    digest = hashlib.sha256(f"{len(split)} {tuple(split.shape)}".encode())
    digest.update(split.batch(places).cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]
