"""A run's report: one HTML file with everything in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import torch

from cutaway import __version__
from cutaway.data import Split
from cutaway.draw.curves import MEASURES, SPLIT_COLOURS, plot_measure
from cutaway.draw.diagram import flow_diagram
from cutaway.draw.dynamics import plot_dynamic
from cutaway.draw.embed import figure_svg, mosaic_svg, picture_uri
from cutaway.draw.mosaic import kernel_mosaic, map_mosaic
from cutaway.draw.report.page import INK_OF_PAGE, TEMPLATES
from cutaway.errors import ConfigError
from cutaway.look import Answers, FeatureMaps, answers, feature_maps, kernels
from cutaway.nets import describe
from cutaway.nets.subject import Subject
from cutaway.store import EpochRow, Run
from cutaway.training import Measured
from cutaway.training.learning import learning, sentences

_MAPS_BUDGET = 6_000_000
_KERNELS_BUDGET = 2_500_000
_MISTAKES_BUDGET = 1_000_000
_DYNAMICS_BUDGET = 250_000
_MOST_MISTAKES = 30
_MOST_CLASSES = 40
"""A confusion matrix of more classes is left to ``cutaway evaluate --json``."""


@dataclass(frozen=True)
class _Picture:
    """A drawing with its caption; ``svg`` is markup of our own making."""

    title: str
    detail: str
    svg: str


def report_run(run: Run) -> str:
    """The report of a run as HTML: no scripts, nothing from the network, at most 10 MB.

    Net with shapes and costs, curves, how every layer learnt, confusion matrix, the surest mistakes,
    kernels, the feature maps of one test image of each class, and the complete experiment.

    Args:
        run: with at least one checkpoint.

    Raises:
        NotFoundError: the run has saved no weights yet.
        StoreError: its checkpoint is damaged.
    """
    subject, images, epochs = run.subject(), run.images(), run.epochs()
    # A run may have been trained on all there is.
    held = next(name for name in ("test", "validation", "train") if name in images.splits)
    test = images.split(held)
    said = answers(subject, test)
    chosen = _one_of_each(said)
    maps, left_out = _maps(subject, images.classes, test, chosen)
    row = run.row
    return TEMPLATES.get_template("page.html.jinja").render(
        run=row,
        status=run.status,
        created=datetime.fromtimestamp(row.created, UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
        facts=_facts(subject, run, epochs, said, held),
        held={"train": "training"}.get(held, held),
        plan=subject.plan,
        describe=describe,
        flow=flow_diagram(subject.plan) if subject.plan else "",
        epochs=epochs,
        # Of an epoch that was not scored there is the training split alone.
        splits=list(dict.fromkeys(split for row in epochs for split in row.scores)),
        best_epoch=max((row.epoch for row in epochs if row.best), default=None),
        curves=_curves(epochs),
        layers=_layers(run.measured()),
        confusion=_confusion(said),
        mistakes=_mistakes(said, test),
        wrong=len(said.mistakes()),
        tested=len(test),
        kernels=_kernels(subject),
        maps=maps,
        left_out=left_out,
    )


def _facts(
    subject: Subject, run: Run, epochs: list[EpochRow], said: Answers, held: str
) -> list[tuple[str, str]]:
    """The numbers at the head of the page."""
    best = next((row for row in reversed(epochs) if row.best), None)
    facts = [(f"{held} error", f"{said.error():.2%}")]
    if best and held == "test" and "validation" in best.scores:
        facts.append(("validation error", f"{best.scores['validation'].top1_error:.2%}"))
    if subject.plan:
        facts.append(("parameters", f"{subject.plan.parameters:,}"))
    if len(epochs) and epochs[-1].epoch:
        facts.append(("epochs", f"{epochs[-1].epoch}"))
        facts.append(("training", f"{run.row.seconds:.1f} s"))
        images = sum(row.images_per_second * row.seconds for row in epochs)
        facts.append(("images a second", f"{images / run.row.seconds:,.0f}"))
    return facts


def _curves(epochs: list[EpochRow]) -> list[str]:
    if not epochs:
        return []
    colours = {colour: f"var(--{split})" for split, colour in SPLIT_COLOURS.items()} | INK_OF_PAGE
    return [figure_svg(plot_measure(epochs, measure), f"{measure} by epoch", colours) for measure in MEASURES]


_PARTS = {
    "steps": "steps of every layer, as a heat map",
    "units": "dead units of every layer by epoch",
    "weights": "gradients of weights by epoch",
    "biases": "gradients of biases by epoch",
}
"""The pictures of how layers learnt, what matters most first, and what each shows."""


def _layers(epochs: Mapping[int, Measured]) -> dict[str, Any] | None:
    """How every layer learnt, with pictures while there is room; None where nothing was measured."""
    if not epochs:
        return None
    pictures: list[str] = []
    room = _DYNAMICS_BUDGET
    for part, name in _PARTS.items():
        svg = figure_svg(plot_dynamic(epochs, part), name, INK_OF_PAGE)
        # Every measured step is a point of the curves.
        if len(svg) <= room:
            room -= len(svg)
            pictures.append(svg)
    units = next((found.units for _, found in sorted(epochs.items(), reverse=True) if found.units), {})
    return {
        "pictures": pictures,
        "left_out": len(_PARTS) - len(pictures),
        "rows": [
            [
                one.layer,
                *(
                    "" if math.isnan(value) else f"{value:.2g}"
                    for value in (
                        one.weight_gradient,
                        one.bias_gradient,
                        one.updates[0],
                        one.updates[-1],
                        one.distance,
                    )
                ),
                f"epoch {one.settled}" if one.settled else "",
            ]
            for one in learning(epochs)
        ],
        "units": units,
        "sentences": sentences(epochs),
    }


def _confusion(said: Answers) -> dict[str, Any] | None:
    """Cells with a count and a shade from 0 to 100: the root of the share of its row, in percent."""
    if len(said.classes) > _MOST_CLASSES:
        return None
    counts = said.confusion
    shares = counts / counts.sum(1, keepdim=True).clamp_min(1)
    shades = (shares.sqrt() * 100).round().int()
    rows = [
        {
            "name": name,
            "cells": list(zip(counts[i].tolist(), shades[i].tolist(), strict=True)),
            "error": f"{1 - float(shares[i, i]):.2%}" if int(counts[i].sum()) else "none",
        }
        for i, name in enumerate(said.classes)
    ]
    return {"classes": said.classes, "rows": rows}


def _mistakes(said: Answers, test: Split) -> list[dict[str, str]]:
    """The surest mistakes while there is room, with the image's own number."""
    shown: list[dict[str, str]] = []
    room = _MISTAKES_BUDGET
    for mistake in said.mistakes()[:_MOST_MISTAKES]:
        uri = picture_uri(test.batch(torch.tensor([mistake.position]))[0])
        room -= len(uri)
        if room < 0:
            break
        shown.append(
            {
                "uri": uri,
                "number": str(int(test.index[mistake.position])),
                "label": said.classes[mistake.label],
                "guess": said.classes[mistake.guess],
                "confidence": f"{mistake.confidence:.1%}",
                "own": f"{mistake.label_probability:.1%}",
            }
        )
    return shown


def _kernels(subject: Subject) -> list[_Picture]:
    try:
        found = kernels(subject)
    except ConfigError:
        return []
    pictures: list[_Picture] = []
    room = _KERNELS_BUDGET
    for layer, weights in found.layers.items():
        filters, channels, height, width = weights.shape
        mosaic = kernel_mosaic(weights)
        slices = "" if channels == 1 else f", each of {channels} slices"
        title = f"{filters} filters of {height}×{width}{slices}"
        svg = mosaic_svg(mosaic, mosaic.limit, f"Kernels of {layer}: {title}")
        room -= len(svg)
        if room < 0:
            pictures.append(_Picture(layer, f"{title}: too large for this page. cutaway look kernels", ""))
            room += len(svg)
        else:
            pictures.append(_Picture(layer, f"{title}; ±{mosaic.limit:.2f}", svg))
    return pictures


def _one_of_each(said: Answers) -> list[int]:
    """For each class its first test image that is recognised; its first one where none is."""
    right = said.probabilities.argmax(1) == said.labels
    chosen = []
    for label in range(len(said.classes)):
        members = (said.labels == label).nonzero().flatten()
        good = members[right[members]]
        if len(members):
            chosen.append(int(good[0] if len(good) else members[0]))
    return chosen


def _maps(
    subject: Subject, classes: Sequence[str], test: Split, chosen: list[int]
) -> tuple[list[dict[str, Any]], int]:
    """All feature maps of the chosen images while there is room, and how many had none.

    One image's maps at a time: those of a large net for all classes would not fit in memory.
    """
    limits: dict[str, float] = {}
    for position in chosen:
        for layer, values in feature_maps(subject, test.batch(torch.tensor([position]))).layers.items():
            limits[layer] = max(limits.get(layer, 0.0), float(values.abs().max()))
    sections: list[dict[str, Any]] = []
    room = _MAPS_BUDGET
    for place, position in enumerate(chosen):
        image = test.batch(torch.tensor([position]))
        found = feature_maps(subject, image)
        pictures = [_map_picture(found, layer, limits[layer]) for layer in limits]
        uri = picture_uri(image[0])
        room -= len(uri) + sum(len(picture.svg) for picture in pictures)
        if room < 0:
            return sections, len(chosen) - place
        sections.append(
            {
                "name": classes[int(test.labels[position])],
                "number": int(test.index[position]),
                "uri": uri,
                "pictures": pictures,
            }
        )
    return sections, 0


def _map_picture(found: FeatureMaps, layer: str, limit: float) -> _Picture:
    maps, blank = found.layers[layer][0], found.blank(layer)[0]
    shape = "×".join(map(str, maps.shape))
    silent = int(blank.sum())
    told = f"{shape}; ±{limit:.3g}" + (f"; {silent} of {len(maps)} blank" if silent else "")
    return _Picture(layer, told, mosaic_svg(map_mosaic(maps, blank), limit, f"Feature maps of {layer}"))
