"""What looks that optimise share on the command line: how images are changed, and by which priors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from cutaway.look.optimising import Prior, Recipe

Amount = Annotated[float | None, Parameter(negative="")]
Count = Annotated[int | None, Parameter(negative="")]


@Parameter(name="*")
@dataclass(frozen=True)
class RecipeOptions:
    """How images are changed step by step.

    Args:
        steps: how many; the look's own number when not given
        rate: how far a step goes
        stepper: plain gradient, momentum, or Adam
        canvas: pixels, or the waves that an image is made of
        l2: weight of the distance from grey
        pnorm: weight of the 6-norm of that distance, which holds back extremes
        tv: weight of the total variation: neighbours become alike
        blur: standard deviation in pixels of a blur every four steps
        clip: share of pixels that are made grey after each step, those nearest to grey first
        clip-by: which pixels: by norm, gradient or contribution
        jitter: pixels that the image is shifted by before each step, at most
        scale: share that it is scaled by, at most
        rotate: degrees that it is turned by, at most
        seed: of the start and of all that is random
    """

    steps: Count = None
    rate: Amount = None
    stepper: Annotated[Literal["gradient", "momentum", "adam"], Parameter(negative="")] = "adam"
    canvas: Annotated[Literal["pixels", "fourier"], Parameter(negative="")] = "pixels"
    l2: Amount = None
    pnorm: Amount = None
    tv: Amount = None
    blur: Amount = None
    clip: Amount = None
    clip_by: Annotated[Literal["norm", "gradient", "contribution"], Parameter(negative="")] = "norm"
    jitter: Annotated[int, Parameter(negative="")] = 0
    scale: Annotated[float, Parameter(negative="")] = 0.0
    rotate: Annotated[float, Parameter(negative="")] = 0.0
    seed: Annotated[int, Parameter(negative="")] = 0

    def priors(self) -> dict[str, Prior]:
        """The priors asked for, by their option.

        Raises:
            ConfigError: a weight is negative.
        """
        from cutaway.look.optimising import L2, Blur, Clip, PNorm, TotalVariation

        made: dict[str, Prior | None] = {
            "l2": None if self.l2 is None else L2(self.l2),
            "pnorm": None if self.pnorm is None else PNorm(self.pnorm),
            "tv": None if self.tv is None else TotalVariation(self.tv),
            "blur": None if self.blur is None else Blur(self.blur),
            "clip": None if self.clip is None else Clip(self.clip, self.clip_by),
        }
        return {name: prior for name, prior in made.items() if prior is not None}

    def recipe(self, start: Recipe, priors: dict[str, Prior] | None = None) -> Recipe:
        """A recipe with what was asked for in place of the look's own.

        Args:
            start: the look's own.
            priors: in place of those asked for.

        Raises:
            ConfigError: a value is out of range.
        """
        from dataclasses import replace

        from cutaway.look.optimising import Wobble

        chosen = self.priors() if priors is None else priors
        return replace(
            start,
            steps=start.steps if self.steps is None else self.steps,
            rate=start.rate if self.rate is None else self.rate,
            stepper=self.stepper,
            canvas=self.canvas,
            priors=tuple(chosen.values()) or start.priors,
            wobble=Wobble(self.jitter, self.scale, self.rotate),
            seed=self.seed,
        )


RECIPE = RecipeOptions()
