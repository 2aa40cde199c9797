"""Images that were optimised: what units prefer, what layers remember, what their decoders give back."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from cutaway.draw.figures import FAINT, INK, plot
from cutaway.draw.gallery import Row, draw_gallery, gallery_size, tidy
from cutaway.look.optimising import Caricature, Compared, Decoded, Generated, Inverted, Maximized, Walk

_ACROSS = 10
"""Images in a row."""

_CODES = 8
"""Images of random codes in a row."""

_CURVES = 1.9
"""Inches of the curves below the images."""

_PANEL = 2.8
"""Inches that the curves of one kind need across."""

_LINE = 0.1
"""Inches of another line of a title."""

_LETTERS = 14
"""Letters of a heading in an inch."""


@plot.register
def _(result: Maximized) -> Figure:
    """The images, each with its target, what it reaches, and what the net says; below, the way there."""
    titles = [_preferred(result, at) for at in range(len(result.images))]
    rows = [
        Row("", result.images[at : at + _ACROSS], titles[at : at + _ACROSS])
        for at in range(0, len(titles), _ACROSS)
    ]
    width, height = gallery_size(rows, _CURVES)
    figure = Figure(figsize=(width, height + 0.25 * len(rows)), layout="constrained")
    above, below = figure.subfigures(
        2, 1, height_ratios=(height + 0.25 * len(rows) - _CURVES, _CURVES), squeeze=False
    )[:, 0]
    draw_gallery(above, rows)
    axes = below.subplots()
    for at in range(len(result.images)):
        axes.plot(result.values[:, at].numpy(), linewidth=0.8, color=INK, alpha=0.6)
    tidy(axes, "what the target comes to", "steps")
    _head(figure, result.subject, _priors(result))
    return figure


@plot.register
def _(result: Compared) -> Figure:
    """A row for each prior, each image with its value and what the net takes it for."""
    rows = [
        Row(name, made.images, [_preferred(made, at) for at in range(len(made.images))])
        for name, made in result.results.items()
    ]
    width, height = gallery_size(rows)
    figure = Figure(figsize=(width, height + 0.25 * len(rows)), layout="constrained")
    draw_gallery(figure, rows)
    _head(figure, result.subject, "the same targets with other priors")
    return figure


def _preferred(result: Maximized, at: int) -> str:
    """The target; what it comes to, and the most of any image of the dataset; the class and how surely."""
    told = f"{result.targets[at]}\n{float(result.reached[at]):.3g}"
    if result.best_value is not None:
        told += f" (data {float(result.best_value[at]):.3g})"
    sure, number = result.probabilities[at].max(0)
    name = result.classes[int(number)] if result.classes else str(int(number))
    return f"{told}\n{name} {float(sure):.1%}"


def _priors(result: Maximized) -> str:
    names = ["a generator"] if result.generated else []
    names += [type(prior).__name__ for prior in result.recipe.priors]
    wobble = [] if result.recipe.wobble.still else ["Wobble"]
    return ", ".join([*names, *wobble]) or "no prior"


@plot.register
def _(result: Inverted) -> Figure:
    """The originals, then a row for each layer; below, the errors by depth."""
    told = f"images with the features of the originals, {result.distance}"
    return _by_depth(result, told, {"features": result.feature_error})


@plot.register
def _(result: Decoded) -> Figure:
    """The originals, then what the decoder of each layer gives back; below, the error by depth."""
    return _by_depth(result, "what decoders give back from each layer", {})


@plot.register
def _(result: Generated) -> Figure:
    """Images of codes drawn at random; below, the loss of each step."""
    rows = [Row("", result.images[first : first + _CODES]) for first in range(0, len(result.images), _CODES)]
    width, height = gallery_size(rows, _CURVES)
    figure = Figure(figsize=(width, height), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(height - _CURVES, _CURVES), squeeze=False)[:, 0]
    draw_gallery(above, rows)
    axes = below.subplots()
    axes.plot(range(1, len(result.losses) + 1), result.losses.numpy(), linewidth=0.8, color=INK)
    tidy(axes, "loss, nats an image", "steps")
    _head(figure, result.subject, "what a generator makes of codes drawn at random")
    return figure


@plot.register
def _(result: Caricature) -> Figure:
    """The originals, then what each layer sees in them, made stronger."""
    rows = [Row("image", result.originals)]
    for name, images in result.layers.items():
        told = [
            f"×{float(longer):.2g}, cos {float(alike):.2f}"
            for longer, alike in zip(result.strength[name], result.likeness[name], strict=True)
        ]
        rows.append(Row(name, images, told))
    figure = Figure(figsize=gallery_size(rows), layout="constrained")
    draw_gallery(figure, rows)
    _head(figure, result.subject, "caricatures: how long features are now, and how alike those before")
    return figure


@plot.register
def _(result: Walk) -> Figure:
    """The images on the way, with how far each is."""
    rows = [Row("", result.images, [f"{float(amount):.2f}" for amount in result.amounts])]
    figure = Figure(figsize=gallery_size(rows), layout="constrained")
    draw_gallery(figure, rows)
    where = f" in {result.layer}" if result.layer else ""
    _head(figure, result.subject, f"from {result.ends[0]} to {result.ends[1]}{where}")
    return figure


def _by_depth(result: Inverted | Decoded, told: str, others: Mapping[str, Mapping[str, Tensor]]) -> Figure:
    rows = _down(result) if len(result.originals) > len(result.layers) else _along(result)
    width, height = gallery_size(rows, _CURVES)
    lines = max((title.count("\n") for row in rows for title in row.titles), default=0)
    width, height = max(width, _PANEL * (1 + len(others))), height + lines * _LINE * len(rows)
    figure = Figure(figsize=(width, height), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(height - _CURVES, _CURVES), squeeze=False)[:, 0]
    draw_gallery(above, rows)
    panels = below.subplots(1, 1 + len(others), squeeze=False)[0]
    _errors(panels[0], result.pixel_error, "error in pixels, 0 to 1")
    for axes, (name, errors) in zip(panels[1:], others.items(), strict=True):
        _errors(axes, errors, f"relative error of the {name}")
    _head(figure, result.subject, told)
    return figure


def _down(result: Inverted | Decoded) -> list[Row]:
    """A column for each image, a row for each layer."""
    rows = [Row("image", result.originals)]
    for name, images in result.layers.items():
        rows.append(Row(name, images, [f"{float(error):.3f}" for error in result.pixel_error[name]]))
    return rows


def _along(result: Inverted | Decoded) -> list[Row]:
    """Few images: the layers stand beside each, in as many rows as they need."""
    rows: list[Row] = []
    for at, image in enumerate(result.originals):
        shown = [image, *(images[at] for images in result.layers.values())]
        told = ["image\n", *(f"{name}\n{float(result.pixel_error[name][at]):.3f}" for name in result.layers)]
        rows += [
            Row("", torch.stack(shown[first : first + _ACROSS]), told[first : first + _ACROSS])
            for first in range(0, len(shown), _ACROSS)
        ]
    return rows


def _errors(axes: Axes, errors: Mapping[str, Tensor], title: str) -> None:
    """A dot for each image and a line through the means, by depth."""
    names: Sequence[str] = list(errors)
    for place, name in enumerate(names):
        values = errors[name].tolist()
        axes.plot([place] * len(values), values, ".", color=FAINT, markersize=3)
    axes.plot(range(len(names)), [float(errors[name].mean()) for name in names], color=INK, linewidth=1)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_ylim(bottom=0)
    tidy(axes, title, "")


def _head(figure: Figure, subject: str, told: str) -> None:
    name = f"{subject}: " if subject else ""
    lines = textwrap.fill(f"{name}{told}", int(_LETTERS * figure.get_size_inches()[0]))
    figure.suptitle(lines, size=9, color=INK, parse_math=False, x=0.01, ha="left")
