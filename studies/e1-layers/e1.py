"""E1: the layers of a LeNet on MNIST, after Peña, Rivera, Rodríguez, Ramirez and Grisales."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hidden import EXEMPLARS, Hidden, read_hidden
from learning import READINGS, agreed, in_order, layer_values, ranked, spread
from matplotlib.figure import Figure
from page import (
    Claim,
    Outcome,
    Page,
    Results,
    difference,
    judged,
    made_line,
    percent,
    row,
    rows,
    runs_table,
    table,
)
from scores import best_epoch, epochs_table, share, wrong
from sizes import shrinking, sizes_table
from torch import Tensor

import cutaway
from cutaway.draw.curves import plot_measure
from cutaway.draw.dynamics import plot_dynamic
from cutaway.draw.figures import INK
from cutaway.draw.palette import SIGNED
from cutaway.draw.panel import draw_image
from cutaway.draw.studies.wording import signed
from cutaway.look.interval import wilson
from cutaway.nets import Plan
from cutaway.store import EpochRow
from cutaway.study import BASE, Difference, Estimate, Measure, StudyTable, Trial
from cutaway.training import Measured

PUBLISHED, FIRST, FUTURE = "e1-published", "e1-random-first-layer", "e1-future-work"
"""The three studies."""

TRAIN_ERROR, VALIDATION_ERROR, TEST_ERROR = 0.0, 0.0092, 0.0090
BEST_ITERATION, ITERATIONS, STEPS = 22_100, 25_000, 100
"""Published; an epoch has 100 steps."""

MARGIN = (wilson(90, 10_000)[1] - wilson(90, 10_000)[0]) / 2
"""A first layer is good enough when it costs less than this share of the test images: half the 95 % interval
of the published error, 90 of 10 000. No smaller loss could have been seen by the authors."""

DRAWN = 10
"""Digits of claim (c)."""

LIKELY = 0.5
"""That ten digits are all right is what one may expect where it is more likely than not."""

PICTURE = math.sqrt(0.1)
"""Correlation of neighbouring weights from which a kernel is a picture: each tells a tenth of what its
neighbour is. Below, it is to the eye what noise is."""

CLEARER = 1 / 9
"""A unit stands more for one digit than before training when one more of its nine strongest images is one."""

SHRUNK = 0.8
"""Published: maps shrink by more than that."""

SEEN_EPOCHS = (1, 2, 5, 10, 20, 30, 50, 100, 150, 200, 250)
"""In the table of errors; published: they are flat from about 50 on."""

LAYERS = ("conv1", "conv2", "dense1", "dense2")

ORDER = (("conv2", "dense1"), ("dense1", "conv1"), ("dense1", "dense2"))
"""Published: of each pair the first learns more. The second conv, the hidden layer, the others."""

FILTER = {"conv1": 3, "conv2": 7}
"""Single filters that are shown; nothing speaks for these."""


def page(results: Results) -> Page:
    """Everything on the page, of those studies that were exported."""
    parts = {PUBLISHED: one_training, FIRST: random_first_layer, FUTURE: future_work}
    there = [name for name in parts if results.has(name)]
    made = [parts[name](results) for name in there]
    tables = {name: text for part in made for name, text in part.tables.items()}
    tables["made"], tables["runs"] = made_line(results, *there), runs_table(results, *there)
    return Page(
        tables,
        {name: figure for part in made for name, figure in part.pictures.items()},
        sorted((claim for part in made for claim in part.claims), key=lambda claim: claim.text),
        frozenset(
            {"published", "epochs", "layers", "first-layer", "hidden", "sizes", "future"} - set(tables)
        ),
    )


def one_training(results: Results) -> Page:
    """What the one long training shows."""
    (trial,) = results.study(PUBLISHED).base.trials
    plan = results.study(PUBLISHED).base.variant.plan
    if plan is None:
        raise ValueError(PUBLISHED)
    hidden = read_hidden(results)
    digits = results.facts("ten-digits")
    tables = {
        "published": published_table(trial),
        "epochs": epochs_table(trial.epochs, SEEN_EPOCHS),
        "hidden": hidden_table(hidden),
        "sizes": sizes_table(plan),
    }
    claims = [
        ten_right(digits["label"], digits["predicted"], best_epoch(trial.epochs)),
        no_pattern(hidden),
        shrunk(plan),
    ]
    return Page(tables, pictures(results, trial), claims)


def random_first_layer(results: Results) -> Page:
    """What five seeds show: which layer learns, and what a random first one costs."""
    runs, study = results.dynamics(FIRST)[BASE], results.study(FIRST)
    cells = [
        [one.variant.name, len(one.trials), percent(one), difference(one), _seconds(one.trials)]
        for one in rows(study)
    ]
    brief = {
        one.variant.name: one.differences[Measure.TOP1]
        for one in study.rows
        if one.variant.name.startswith("conv1 trained for")
    }
    never = row(study, "conv1 never trained").differences[Measure.TOP1]
    tables = {
        "layers": layers_table(runs, results.dynamics(PUBLISHED)[BASE]),
        "first-layer": table(["variant", "seeds>", "test error>", "difference, points>", "seconds>"], cells)
        + "\n\n![Differences to the net that is trained whole, with intervals](pictures/first-layer.png)",
    }
    claims = [most_learnt(runs), never_trained(never), briefly_trained(brief)]
    return Page(tables, {"first-layer": cutaway.plot(study)}, claims)


def future_work(results: Results) -> Page:
    """What the authors left for later."""
    study = results.study(FUTURE)
    shown = "![Differences of the variants to the published net, with intervals](pictures/future.png)"
    return Page({"future": f"{future_table(study)}\n\n{shown}"}, {"future": cutaway.plot(study)})


def pictures(results: Results, trial: Trial) -> dict[str, Figure]:
    """Those of the long training."""
    learnt = results.dynamics(PUBLISHED)[BASE][trial.seed]
    maps, digits = results.look("maps-of-a-4"), results.look("ten-digits")
    units = {name: results.look(name).only(range(10)) for name in EXEMPLARS.values()}
    return {
        "errors": plot_measure(trial.epochs, "top-1 error"),
        "gradients-weights": plot_dynamic(learnt, "weights"),
        "gradients-biases": plot_dynamic(learnt, "biases"),
        "maps": cutaway.plot(maps),
        "one-filter": one_filter(maps),
        "hidden-kernels": cutaway.plot(what_was_added(results.look("hidden-kernels"), 4), scale="unit"),
        **{name: cutaway.plot(found, bands=["top"]) for name, found in units.items()},
        "hidden-preferred": cutaway.plot(results.look("hidden-preferred")),
        "ten-digits": digits_figure(digits.images, results.facts("ten-digits")),
        "decoded": cutaway.plot(results.look("decoded")),
    }


# What was published, and what came.


def published_table(trial: Trial) -> str:
    """Errors and time beside the published ones; intervals are over the images."""
    best, last = best_epoch(trial.epochs), trial.epochs[-1]
    cells = [
        ["training error in the last epoch", f"{100 * TRAIN_ERROR:.0f} %", share(last, "train")],
        ["best validation error", f"{100 * VALIDATION_ERROR:.2f} %", share(best, "validation")],
        ["at iteration", f"{BEST_ITERATION:,} of {ITERATIONS:,}", _iteration(best, last)],
        ["test error there", f"{100 * TEST_ERROR:.2f} %", share(best, "test")],
        ["test error in the last epoch", "", share(last, "test")],
        [
            "time",
            "about 24 h on six cores of an i7-5930K; 17.27 min on a GTX 980 Ti",
            f"{trial.seconds / 60:.0f} min on one thread",
        ],
    ]
    return table(["", "published", "here, one seed"], cells)


def _iteration(best: EpochRow, last: EpochRow) -> str:
    return f"{STEPS * best.epoch:,} of {STEPS * last.epoch:,} (epoch {best.epoch})"


# (a) Which layer learns most.


def most_learnt(runs: Mapping[int, Mapping[int, Measured]]) -> Claim:
    """Claim (a), in every reading of "learns most"."""
    measured = {name: layer_values(runs, value, LAYERS) for name, value in READINGS.items()}
    outcomes = {name: in_order(values, ORDER) for name, values in measured.items()}
    told = [f"{name}: {ranked(values)}, {outcomes[name]}" for name, values in measured.items()]
    return Claim(
        "(a) The second conv layer learns most, then the hidden layer; the first and the last hardly change.",
        agreed(outcomes.values()),
        f"{len(runs)} seeds. {'; '.join(told)}",
    )


def layers_table(
    runs: Mapping[int, Mapping[int, Measured]], published: Mapping[int, Mapping[int, Measured]]
) -> str:
    """By layer: every measure over the seeds, and in the one long training."""
    found = {name: layer_values(runs, value, LAYERS) for name, value in READINGS.items()}
    long = {name: layer_values(published, value, LAYERS) for name, value in READINGS.items()}
    return table(
        ["layer", *(f"{name}>" for name in READINGS)],
        [
            [layer, *(f"{spread(found[name][layer])}; {long[name][layer][0]:.2g}" for name in READINGS)]
            for layer in LAYERS
        ],
    )


# (b) A random first layer.


def good_enough(found: Sequence[Difference]) -> Outcome:
    """Whether all differences of the error are below the margin, with their intervals."""
    if all(one.high < MARGIN for one in found):
        return Outcome.HELD
    return Outcome.FAILED if any(one.low > MARGIN for one in found) else Outcome.UNTOLD


def never_trained(found: Difference) -> Claim:
    """Claim (b), the layer kept as it was drawn."""
    return Claim(
        "(b) A random first layer is good enough: it need never be trained.",
        good_enough([found]),
        f"test error {_points(found)}; good enough is below +{100 * MARGIN:.2f}",
    )


def briefly_trained(found: Mapping[str, Difference]) -> Claim:
    """Claim (b), the layer trained for a while."""
    told = "; ".join(f"{name}: {_points(one)}" for name, one in found.items())
    return Claim(
        "(b) Or it is trained for 10 to 20 epochs only.",
        good_enough(list(found.values())),
        f"test error, {told}; good enough is below +{100 * MARGIN:.2f}",
    )


def _points(one: Difference) -> str:
    low, high = signed(100 * one.low), signed(100 * one.high)
    return f"{signed(100 * one.mean)} points ({low} to {high}, {one.count} seeds)"


# (c) Ten random digits.


def ten_right(labels: Sequence[str], predicted: Sequence[str], best: EpochRow) -> Claim:
    """Claim (c): the ten that were drawn, and how likely ten are all right."""
    right = sum(label == name for label, name in zip(labels, predicted, strict=True))
    low, high = wilson(wrong(best, "test"), best.scores["test"].images)
    chance, least, most = ((1 - error) ** DRAWN for error in (best.scores["test"].top1_error, high, low))
    every = right == len(labels)
    return Claim(
        "(c) Ten random test digits are all classified correctly.",
        judged(every and least > LIKELY, not every and most < LIKELY),
        f"{right} of the {len(labels)} drawn are right; {DRAWN} random ones all are with a probability of "
        f"{100 * chance:.0f} % ({100 * least:.0f} to {100 * most:.0f})",
    )


def digits_figure(images: Tensor, told: Mapping[str, Any]) -> Figure:
    """Two rows of digits, each with its class and what it is taken for."""
    figure = Figure(figsize=(6.4, 2.9), layout="constrained")
    panels = figure.subplots(2, 5).flat
    for axes, image, label, name in zip(panels, images, told["label"], told["predicted"], strict=True):
        draw_image(axes, image, f"{label}, taken for {name}")
    return figure


# (d) The hidden layer.


def no_pattern(hidden: Hidden) -> Claim:
    """Claim (d): to the eye, in the weights; and in what units answer to."""
    readings = [above(hidden.smooth["trained"], PICTURE), above(hidden.purer, CLEARER)]
    outcome = Outcome.UNTOLD
    if all(one is False for one in readings):
        outcome = Outcome.HELD
    elif all(readings):
        outcome = Outcome.FAILED
    words = {True: "a pattern", False: "none", None: "unclear"}
    return Claim(
        "(d) The hidden layer shows no interpretable pattern.",
        outcome,
        f"in the weights {words[readings[0]]}: neighbours correlate by {_between(hidden.smooth['trained'])}, "
        f"a picture needs {PICTURE:.2f}; in what units answer to {words[readings[1]]}: "
        f"{_between(hidden.pure['trained'])} of a unit's nine strongest digits are of one class, "
        f"{_between(hidden.purer)} more than before training, clearer is {CLEARER:.2f} more",
    )


def above(found: Estimate, line: float) -> bool | None:
    """Whether a mean is above a line; None where its interval has the line inside, or there is none."""
    return True if found.low > line else False if found.high < line else None


def hidden_table(hidden: Hidden) -> str:
    """Every reading, trained and random."""
    sides = ("trained", "random")
    read = [
        f"{100 * e:.1f} % ({100 * a:.1f} to {100 * b:.1f})"
        for e, a, b in (hidden.read[side] for side in sides)
    ]
    cells = [
        ["correlation of neighbouring weights", *(_between(hidden.smooth[side]) for side in sides)],
        ["the same, of what training added (w − w₀)", _between(hidden.smooth["what training added"]), ""],
        ["of the nine strongest digits, of one class", *(_between(hidden.pure[side]) for side in sides)],
        ["error of a linear probe on the layer", *read],
    ]
    return table(["", "trained>", "before training>"], cells)


def _between(found: Estimate) -> str:
    mean, low, high = (f"{round(value, 2) or 0:.2f}" for value in (found.mean, found.low, found.high))
    return f"{mean} ({low} to {high})".replace("-", "−")


# (e) How far maps shrink.


def shrunk(plan: Plan) -> Claim:
    """Claim (e), by the sides of maps and by their places."""
    begin, end, values, left = shrinking(plan)
    side, places = 1 - end / begin, 1 - (end / begin) ** 2
    smaller = [side > SHRUNK, places > SHRUNK]
    return Claim(
        "(e) Convs and pools shrink the image by more than 80 % on the way to the hidden layer.",
        Outcome.HELD if all(smaller) else Outcome.UNTOLD if any(smaller) else Outcome.FAILED,
        f"maps go from {begin}×{begin} to {end}×{end}: sides are {100 * side:.0f} % shorter, places "
        f"{100 * places:.0f} % fewer; but there are {left // end**2} maps, and values go from {values} to "
        f"{left} ({signed(100 * (left / values - 1), 0)} %)",
    )


# Future work.


def future_table(study: StudyTable) -> str:
    """Every variant with what it does to the error and what it takes."""
    cells = []
    for one in rows(study):
        planned = one.variant.plan
        found = one.differences.get(Measure.TOP1)
        cells.append(
            [
                one.variant.name,
                percent(one),
                difference(one),
                "" if found is None or math.isnan(found.adjusted) else f"{found.adjusted:.2g}",
                _seconds(one.trials),
                f"{statistics.fmean(trial.pretraining for trial in one.trials):.0f}",
                f"{planned.multiply_adds / 1e6:.2f}" if planned else "",
                f"{planned.parameters:,}" if planned else "",
            ]
        )
    return table(
        [
            "variant",
            "test error>",
            "difference, points>",
            "corrected p>",
            "seconds>",
            "of them pre-training>",
            "10⁶ multiply-adds>",
            "parameters>",
        ],
        cells,
    )


def _seconds(trials: Sequence[Trial]) -> str:
    return f"{statistics.fmean(trial.seconds for trial in trials):.0f}"


# Pictures.


def one_filter(maps: Any) -> Figure:
    """The image, and what one filter of each conv gives for it, trained and random."""
    figure = Figure(figsize=(5.4, 3.7), layout="constrained")
    grid = figure.subplots(len(maps.results), 1 + len(FILTER))
    for line, found, name in zip(grid, maps.results, maps.names, strict=True):
        draw_image(line[0], found.images[0], "trained" if name == "best" else name)
        for axes, (layer, unit) in zip(line[1:], FILTER.items(), strict=True):
            values = found.layers[layer][0, unit]
            most = float(max(one.layers[layer][0, unit].abs().max() for one in maps.results))
            axes.imshow(values.numpy(), cmap=SIGNED, vmin=-most, vmax=most, interpolation="nearest")
            axes.set_title(f"{layer}, filter {unit}  ±{most:.2g}", size=8, loc="left", color=INK)
            axes.set_axis_off()
    return figure


def what_was_added(found: Any, units: int) -> Any:
    """Kernels of the first units: trained, random, and their difference."""
    trained, random = (one.only(range(units)) for one in found.results)
    layers = {name: weights - random.layers[name] for name, weights in trained.layers.items()}
    added = replace(trained, layers=layers)
    return cutaway.look.beside([trained, random, added], ["trained", "random", "added"])
