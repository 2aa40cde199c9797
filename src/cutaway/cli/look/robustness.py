"""``cutaway look robustness``."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from cyclopts import Parameter

from cutaway.cli.console import RunName
from cutaway.cli.look.adversarial import NormName
from cutaway.cli.look.knockout import Source
from cutaway.cli.look.view import ViewOptions, file_name

AttackName = Literal["noise", "fgsm", "pgd"]
Count = Annotated[int, Parameter(negative="")]


def robustness(
    run: RunName,
    /,
    *,
    eps: Annotated[list[float] | None, Parameter(negative="")] = None,
    attack: Annotated[list[AttackName] | None, Parameter(negative="")] = None,
    norm: NormName = "linf",
    images: Count = 200,
    steps: Count = 10,
    split: Source = "test",
    seed: Count = 0,
    options: ViewOptions = ViewOptions(),
) -> None:
    """How many images the net gets wrong when each may be changed a little: the error by how little.

    Parameters
    ----------
    eps
        how far images may be changed, in pixel values; give it again for more; 0 to 32 when not given
    attack
        noise, fgsm or pgd; give it again for more; all when not given
    images
        how many are attacked, each class in proportion
    steps
        of pgd
    seed
        of the images' choice, the noise and pgd's starts
    """
    from cutaway.look.features import sample
    from cutaway.look.robustness import EPS
    from cutaway.look.robustness import robustness as find

    view = options.open(run)
    attacks = attack or get_args(AttackName)
    found = find(
        view.subject,
        sample(view.split(split), images, seed),
        eps or EPS,
        attacks=attacks,
        norm=norm,
        steps=steps,
        seed=seed,
    )
    import torch

    arrays: dict[str, Any] = {"eps": torch.tensor(found.eps, dtype=torch.float64)}
    facts: dict[str, Any] = {}
    lines = []
    for name, curve in found.curves.items():
        arrays |= {
            f"{name}.wrong": curve.wrong,
            f"{name}.errors": curve.errors,
            f"{name}.intervals": curve.intervals,
        }
        facts[name] = {
            "errors": curve.errors.tolist(),
            "intervals": curve.intervals.tolist(),
            "half": found.half(name),
        }
        told = ", ".join(
            f"{one:g}: {error:.1%}" for one, error in zip(found.eps, curve.errors.tolist(), strict=True)
        )
        lines.append(f"{name}: {told}")
    view.answer(
        found,
        file_name("robustness", attack, [] if norm == "linf" else [norm]),
        arrays,
        {
            "split": split,
            "images": found.images,
            "norm": norm,
            "steps": steps,
            "eps": list(found.eps),
            "attacks": facts,
        },
        [f"wrong of {found.images:,} {split} images, by how far they may be changed ({norm})", *lines],
    )
