"""The page of E5: what the filters of a small MNIST net learn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from flow import flow
from matplotlib.figure import Figure
from page import (
    FOLDER,
    Claim,
    Outcome,
    Page,
    Results,
    difference,
    judged,
    made_line,
    percent,
    rows,
    runs_table,
    table,
)

from cutaway.draw import plot
from cutaway.look import Activity, FeatureMaps, Kept, Orientation, Probe, Reading, Retention
from cutaway.look.interval import wilson
from cutaway.look.tuning import Word
from cutaway.nets import Plan
from cutaway.study import BASE
from cutaway.study.findings.statistics import Estimate, estimate

STUDY = "e5"
SMALL = "3, 6 and 12 filters"

PARAMETERS = {"conv1": 320, "conv2": 18_496, "conv3": 36_928}
"""Published, by convolution."""

SHAPES = {"relu1": "28×28×32", "pool1": "14×14×32", "relu2": "14×14×64", "pool2": "7×7×64", "relu3": "7×7×64"}
"""Published, behind the five layers: Keras counts a convolution and its ReLU as one."""

STAGES = ("relu1", "relu2", "relu3")
"""What the document calls the first, second and third convolution: with its ReLU."""

NEARLY = 0.05
"""Of the pixels' variance: where less than this is lost, nearly the whole digit is kept."""

MOST = 0.5
"""A layer detects edges where more than this share of its filters prefers one orientation."""

EDGES = (Word.VERTICAL, Word.HORIZONTAL, Word.RISING, Word.FALLING)

NOT_YET = "not measured yet"
TABLES = ("net", "errors", "orientation", "blank", "layers", "runs", "made")


def page(results: Results) -> Page:
    """Tables, pictures and claims, from the results."""
    if not (results.folder / FOLDER / f"{STUDY}.json").is_file():
        return Page(dict.fromkeys((*TABLES, "claims"), NOT_YET), {})
    study = results.study(STUDY)
    plan = study.base.variant.plan
    if plan is None:
        raise ValueError(study.base.variant.problem)
    tuned: dict[str, Orientation] = {
        name: results.look(f"orientation{end}")
        for name, end in (("trained", ""), ("random weights", "-random"), (SMALL, "-small"))
    }
    maps, small = results.look("image-227"), results.look("image-227-small")
    activity: Activity = results.look("activity")
    kept, kept_small = results.look("retention"), results.look("retention-small")
    read, read_small = results.look("probe"), results.look("probe-small")
    tables = {
        "net": net_table(plan),
        "errors": errors_table(results),
        "orientation": orientation_table(tuned),
        "blank": blank_table(maps, small, activity),
        "layers": layers_table(kept, kept_small, read, read_small),
        "runs": runs_table(results, STUDY),
        "made": made_line(results, STUDY),
    }
    claims = [
        counted(plan),
        keeps_the_digit(kept),
        detects_edges(tuned),
        carries_less(kept),
        carries_more(read),
        blank_for_the_image(maps),
        blank_for_all(activity),
    ]
    pictures = {
        "flow": flow(plan, "conv3"),
        **{
            name: plot(published(results.look(name)))
            for name in ("image-227", "image-227-small", "filter-25", "filter-7")
        },
        "orientation": plot(tuned["trained"]),
        "retention": plot(kept),
        "probe": plot(read),
        "blank": blank_picture(activity),
    }
    return Page(tables, pictures, claims)


# Tables


def net_table(plan: Plan) -> str:
    """The planner's summary beside the published one."""
    found, total = [], 0
    for one in plan.rows:
        total += one.parameters
        shape = "×".join(map(str, (*one.output_shape[1:], one.output_shape[0])))
        parameters = f"{one.parameters:,}" if one.parameters else ""
        published = ", ".join(
            told
            for told in (
                SHAPES.get(one.name, ""),
                f"{PARAMETERS[one.name]:,}" if one.name in PARAMETERS else "",
            )
            if told
        )
        found.append([one.name, f"`{one.layer.word.text()}`", shape, parameters, f"{total:,}", published])
    return table(["layer", "words", "output>", "parameters>", "up to here>", "published>"], found)


def errors_table(results: Results) -> str:
    """Every variant's test error, and its difference to the base."""
    study = results.study(STUDY)
    found = [
        [
            "32, 64 and 64 filters" if one.variant.name == BASE else one.variant.name,
            f"{one.parameters:,}",
            percent(one),
            difference(one),
            one.verdict.sentence if one.variant.name != BASE else "",
        ]
        for one in rows(study)
    ]
    return table(["net", "parameters>", "test error>", "against the first, points>", "verdict"], found)


def orientation_table(tuned: Mapping[str, Orientation]) -> str:
    """Each word with the filters of the first layer that it is said of."""
    found = []
    for word in Word:
        cells: list[str] = []
        for at, one in enumerate(tuned.values()):
            units = [unit for unit, own in enumerate(one.layers["conv1"].words) if own == word]
            cells += [", ".join(map(str, units)) or "–"] if at == 0 else []
            cells.append(str(len(units)))
        found.append([f"`{word}`", *cells])
    heads = ["trained: filters", *(f"{name}>" for name in tuned)]
    return table(["answers", *heads], found)


def blank_table(maps: FeatureMaps, small: FeatureMaps, activity: Activity) -> str:
    """Blank maps by depth: for image 227, and over the training images."""
    found = []
    for layer, one in activity.layers.items():
        own, other = blank_units(maps, layer), blank_units(small, layer)
        share = blank_share(activity, layer)
        found.append(
            [
                layer,
                f"{len(own)} of {maps.layers[layer].shape[1]}",
                ", ".join(map(str, own)) or "–",
                f"{len(other)} of {small.layers[layer].shape[1]}",
                around(share),
                str(int(one.dead.sum())),
            ]
        )
    heads = [
        "image 227: blank>",
        "which",
        f"{SMALL}: blank>",
        "blank over all training images>",
        "dead units>",
    ]
    return table(["layer", *heads], found)


def layers_table(kept: Retention, kept_small: Retention, read: Probe, read_small: Probe) -> str:
    """What each layer has of the image and of the class, trained, random and small."""
    pixels = [between(kept.pixels), "", "", between(read.pixels), "", ""]
    found = [["pixels", *pixels]]
    found += [
        [
            layer,
            *(between(side[layer]) for side in (kept.layers, kept.random, kept_small.layers)),
            *(between(side[layer]) for side in (read.layers, read.random, read_small.layers)),
        ]
        for layer in kept.layers
    ]
    sides = ("", ", random weights", f", {SMALL}")
    heads = [f"{what}{side}>" for what in ("image lost", "class misread") for side in sides]
    return table(["layer", *heads], found)


# Claims


def counted(plan: Plan) -> Claim:
    """The parameters up to the third convolution."""
    found = {one.name: one.parameters for one in plan.rows if one.name in PARAMETERS}
    told = " + ".join(f"{value:,}" for value in found.values())
    wanted = f"{sum(PARAMETERS.values()):,}"
    outcome = Outcome.HELD if found == PARAMETERS else Outcome.FAILED
    return Claim(
        f"Up to the third convolution the net has {wanted} parameters.",
        outcome,
        f"{told} = {sum(found.values()):,}, by the planner",
    )


def keeps_the_digit(kept: Retention) -> Claim:
    """The first layer keeps nearly the whole digit."""
    first = kept.layers[STAGES[0]]
    low, high = first.interval
    return Claim(
        "The first layer keeps nearly the whole digit.",
        judged(high < NEARLY, low > NEARLY),
        f"a linear map rebuilds the pixels from `{STAGES[0]}` but for {between(first)} of their variance; "
        f"nearly: below {NEARLY:.0%}",
    )


def detects_edges(tuned: Mapping[str, Orientation]) -> Claim:
    """The first layer detects edges: most filters prefer an orientation."""
    told = {}
    for name, one in tuned.items():
        words = one.layers["conv1"].words
        told[name] = (sum(word in EDGES for word in words), len(words))
    count, units = told["trained"]
    low, high = wilson(count, units)
    found = Counter(str(word) for word in tuned["trained"].layers["conv1"].words if word in EDGES)
    others = "; ".join(
        f"{name}: {some} of {all_}" for name, (some, all_) in told.items() if name != "trained"
    )
    kinds = ", ".join(f"{number} `{word}`" for word, number in found.most_common())
    return Claim(
        "The first layer detects edges: vertical, horizontal and diagonal.",
        judged(low > MOST, high < MOST),
        f"{count} of {units} filters prefer one orientation ({low:.0%} to {high:.0%} of such filters): "
        f"{kinds}. {others}",
    )


def carries_less(kept: Retention) -> Claim:
    """Deeper maps carry less of the image."""
    first, last = kept.layers[STAGES[0]], kept.layers[STAGES[-1]]
    return Claim(
        "Deeper maps carry less of the image.",
        judged(last.interval[0] > first.interval[1], last.interval[1] < first.interval[0]),
        "image lost: " + ", ".join(f"`{name}` {between(kept.layers[name])}" for name in STAGES),
    )


def carries_more(read: Probe) -> Claim:
    """Deeper maps carry more of the class."""
    first, last = read.layers[STAGES[0]], read.layers[STAGES[-1]]
    return Claim(
        "Deeper maps carry more of the class.",
        judged(last.interval[1] < first.interval[0], last.interval[0] > first.interval[1]),
        f"class misread: pixels {between(read.pixels)}, "
        + ", ".join(f"`{name}` {between(read.layers[name])}" for name in STAGES)
        + f"; with random weights `{STAGES[-1]}` {between(read.random[STAGES[-1]])}",
    )


def blank_for_the_image(maps: FeatureMaps) -> Claim:
    """More maps are blank with depth, for the image looked at."""
    shares = []
    for layer in STAGES:
        count, units = len(blank_units(maps, layer)), maps.layers[layer].shape[1]
        shares.append((f"`{layer}` {count} of {units}", wilson(count, units)))
    (_, first), (_, last) = shares[0], shares[-1]
    return Claim(
        "More maps are blank with depth: for test image 227.",
        judged(last[0] > first[1], last[1] < first[0]),
        ", ".join(f"{told} ({low:.0%} to {high:.0%})" for told, (low, high) in shares),
    )


def blank_for_all(activity: Activity) -> Claim:
    """More maps are blank with depth, over the dataset."""
    shares = {layer: blank_share(activity, layer) for layer in STAGES}
    first, last = shares[STAGES[0]], shares[STAGES[-1]]
    return Claim(
        "More maps are blank with depth: over all training images.",
        judged(last.low > first.high, last.high < first.low),
        ", ".join(f"`{layer}` {around(share)}" for layer, share in shares.items())
        + f"; {activity.images:,} images, intervals over units",
    )


# Numbers


def published(maps: FeatureMaps) -> FeatureMaps:
    """The maps of the five layers that the document shows."""
    layers = {layer: maps.layers[layer] for layer in SHAPES if layer in maps.layers}
    units = {layer: maps.units[layer] for layer in layers if layer in maps.units}
    return FeatureMaps(maps.images, layers, maps.subject, units)


def blank_units(maps: FeatureMaps, layer: str) -> list[int]:
    """The units whose map of the first image is the same everywhere."""
    numbers: Sequence[int] = maps.numbers(layer)
    return [numbers[at] for at, empty in enumerate(maps.blank(layer)[0].tolist()) if empty]


def blank_share(activity: Activity, layer: str) -> Estimate:
    """The share of blank maps: mean and interval over the layer's units."""
    return estimate(activity.layers[layer].blank.tolist(), 1 / activity.images)


def around(share: Estimate) -> str:
    """A share with its interval, which shares do not leave."""
    return f"{share.mean:.1%} ({max(0.0, share.low):.1%} to {min(1.0, share.high):.1%})"


def between(found: Kept | Reading) -> str:
    """An error with its interval over the test images."""
    low, high = found.interval
    return f"{found.error:.1%} ({low:.1%} to {high:.1%})"


# Pictures


def blank_picture(activity: Activity) -> Figure:
    """A dot for each unit, and the mean with its interval, by depth."""
    figure = Figure(figsize=(5.2, 2.8), layout="constrained")
    axes = figure.subplots()
    for at, (layer, one) in enumerate(activity.layers.items()):
        values = sorted((100 * one.blank).tolist())
        spread: list[Any] = [at - 0.3 + 0.6 * place / max(1, len(values) - 1) for place in range(len(values))]
        axes.plot(spread, values, ".", color="#8a8a8a", markersize=3)
        share = blank_share(activity, layer)
        low, high = 100 * max(0.0, share.low), 100 * min(1.0, share.high)
        axes.errorbar(
            [at], [100 * share.mean], yerr=[[100 * share.mean - low], [high - 100 * share.mean]],
            color="#b2182b", marker="o", markersize=4, capsize=3, linewidth=1.2,
        )  # fmt: skip
    axes.set_xticks(range(len(activity.layers)), list(activity.layers), size=8)
    axes.set_ylabel("% of images for which\na unit's map is blank", size=8)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title("a dot a unit; red: mean and its 95 % interval over units", size=8, loc="left")
    return figure
