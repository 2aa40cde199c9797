"""``cutaway look decode`` and ``train-prior``: nets that learn to make images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from cutaway.cli.console import RunName
from cutaway.cli.look.maximize import prior_path
from cutaway.cli.look.view import ImageNames, Layers, Shown, SplitName, View, ViewOptions, file_name

if TYPE_CHECKING:
    from cutaway.look.optimising import Decoders

Steps = Annotated[int, Parameter(negative="")]
Seed = Annotated[int, Parameter(negative="")]

STEPS = 300
"""Of training decoders, where nobody says how many."""

DECODERS_FILE = "decoders.safetensors"
"""The decoders that ``cutaway look decode`` keeps among a run's looks."""


def decode(
    run: RunName,
    /,
    *,
    layer: Layers = None,
    image: ImageNames = ("0", "1", "2", "3", "4", "5"),
    split: SplitName = "test",
    shown: Shown = 0,
    steps: Annotated[int | None, Parameter(negative="")] = None,
    train: Annotated[bool, Parameter(negative="")] = False,
    seed: Annotated[int | None, Parameter(negative="")] = None,
    options: ViewOptions = ViewOptions(),
) -> None:
    """What a net that learnt to give images back makes of what each layer says.

    The decoders are kept with the run. They are trained when there are none yet, and anew when the run was
    trained further or other layers, steps or another seed are asked for.

    Parameters
    ----------
    steps
        of training, 64 images each; 300 when not given
    train
        train them anew
    seed
        of their weights and of the order of images; 0 when not given
    """
    from cutaway.look.optimising import decode as give_back
    from cutaway.look.optimising import save_decoders, train_decoders

    view = options.open(run)
    path = _path(view)
    decoders = None if train else _kept(path, view, layer, steps, seed)
    if decoders is None:
        wanted = STEPS if steps is None else steps
        decoders = train_decoders(view.subject, view.split("train"), layer, steps=wanted, seed=seed or 0)
        save_decoders(decoders, path)
    found = give_back(view.subject, decoders, view.images(image, split)).only(shown or len(image))
    view.answer(
        found,
        file_name("decode", [Path(name).stem for name in image], layer),
        {"image": found.originals, **{f"layer.{name}": value for name, value in found.layers.items()}},
        {
            "image": list(image),
            "decoders": str(path),
            "layers": {name: errors.tolist() for name, errors in found.pixel_error.items()},
        },
        [f"{name:14}  {float(errors.mean()):.3f}" for name, errors in found.pixel_error.items()],
    )


def _path(view: View) -> Path:
    """Where the decoders of these weights lie."""
    weights = view.options.weights
    name = DECODERS_FILE if weights == "best" else f"{weights}-{DECODERS_FILE}"
    return view.run.folder / "looks" / name


def _kept(
    path: Path, view: View, layers: Sequence[str] | None, steps: int | None, seed: int | None
) -> Decoders | None:
    """Those that were kept, where they are what is asked for."""
    from dataclasses import replace

    from cutaway.errors import NotFoundError
    from cutaway.look.optimising import load_decoders

    try:
        kept = load_decoders(path)
    except NotFoundError:
        return None
    made = max((len(losses) for losses in kept.losses.values()), default=0)
    if not kept.fit(view.subject) or steps not in {None, made} or seed not in {None, kept.seed}:
        return None
    if layers is None:
        return kept
    known = all(name in kept.nets for name in layers)
    return replace(kept, nets={name: kept.nets[name] for name in layers}) if known else None


def train_prior(
    run: RunName,
    /,
    *,
    steps: Steps = 1500,
    code: Annotated[int, Parameter(negative="")] = 32,
    seed: Seed = 0,
    options: ViewOptions = ViewOptions(),
) -> None:
    """Train a generator on the run's own images, for cutaway look maximize RUN --generator.

    The picture has images that it makes of codes drawn at random.

    Parameters
    ----------
    steps
        of training, 64 images each
    code
        numbers that an image is made from
    seed
        of weights, order and draws
    """
    from cutaway.look.optimising import generate, save_generator, train_generator

    view = options.open(run)
    made = train_generator(view.split("train"), steps=steps, code=code, seed=seed)
    path = prior_path(view)
    save_generator(made, path)
    first, last = float(made.losses[:20].mean()), float(made.losses[-20:].mean())
    found = generate(made, seed=seed, subject=view.subject.name)
    view.answer(
        found,
        "train-prior",
        {"images": found.images, "losses": found.losses},
        {"first_loss": first, "last_loss": last, "prior": str(path)},
        [f"loss {first:.0f} at the beginning, {last:.0f} at the end (nats an image)", str(path)],
    )
