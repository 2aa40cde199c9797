"""The page of E2: every way to see what is in a CIFAR-10 net."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from frequencies import high_share, picture, variation
from page import FOLDER, Claim, Page, Results, judged, made_line, runs_table, table
from torch import Tensor

from cutaway.draw import plot
from cutaway.draw.studies.wording import signed
from cutaway.look import (
    Adversarial,
    Compared,
    Decoded,
    Inverted,
    Maximized,
    Relevance,
    Retention,
    Robustness,
    Unnatural,
)
from cutaway.look.interval import wilson
from cutaway.study.findings.statistics import Difference, Estimate, estimate, paired

STUDY = "e2"

SMALL_EPS = 4.0
"""Pixel values of 256, L∞: a change that nobody sees."""

HALF = 0.5
"""A claim of what images do is about more than this share of them."""

RANKED = 0.8
"""Spearman's rank correlation with depth from which on an error grows: neighbours may be swapped."""

CONSERVED = 0.1
"""Relevance is conserved where what arrives in the pixels is off by at most this share of the logit."""

NONE, ALL, GENERATOR = "no prior", "all", "generator"

NOT_YET = "not measured yet"
TABLES = ("net", "frequencies", "said", "nothing", "deceived", "depth", "relevance", "runs", "made")


def page(results: Results) -> Page:
    """Tables, pictures and claims, from the results."""
    if not (results.folder / FOLDER / f"{STUDY}.json").is_file():
        return Page(dict.fromkeys((*TABLES, "claims"), NOT_YET), {})
    images = Gathered(results)
    inverted: Inverted = results.look("inverted")
    decoded: Decoded = results.look("decoded")
    kept: Retention = results.look("retention")
    relevance: Relevance = results.look("relevance")
    robust: Robustness = results.look("robustness")
    nothing, deceived = images.nothing, images.deceived
    tables = {
        "net": net_table(results),
        "frequencies": frequencies_table(images.groups()),
        "said": said_table(images.made),
        "nothing": nothing_table(nothing),
        "deceived": deceived_table(robust),
        "depth": depth_table(inverted, decoded, kept),
        "relevance": relevance_table(relevance),
        "runs": runs_table(results, STUDY),
        "made": made_line(results, STUDY),
    }
    groups = images.groups()
    claims = [
        high_frequencies(groups),
        priors_help(images.made),
        a_generator_is_natural(groups),
        nothing_is_a_class(nothing),
        small_changes_deceive(robust, deceived),
        lost_by_depth("Inversion: the deeper the layer, the more is lost.", inverted.pixel_error),
        lost_by_depth("Up-convolutional decoders: the same.", decoded.pixel_error),
        lost_linearly(kept),
        conserved(relevance),
    ]
    names = (
        "kernels", "maps", "class-priors", "unit-priors", "generator", "class-generator", "unit-generator",
        "inverted", "decoded", "retention", "deconvnet", "relevance", "unnatural", "adversarial",
        "robustness",
    )  # fmt: skip
    pictures = {name: plot(results.folder / FOLDER / f"{name}.npz") for name in names}
    return Page(tables, {**pictures, "frequencies": picture(groups)}, claims)


class Gathered:
    """All images that were made, and real ones to hold them against.

    Args:
        results: of the looks.
    """

    def __init__(self, results: Results) -> None:
        self.nothing: Unnatural = results.look("unnatural")
        self.deceived: Adversarial = results.look("adversarial")
        compared: list[Compared] = [results.look(name) for name in ("class-priors", "unit-priors")]
        generated = [results.look(name) for name in ("class-generator", "unit-generator")]
        self.made: dict[str, list[Maximized]] = {
            name: [one.results[name] for one in compared] for name in compared[0].results
        } | {GENERATOR: generated}

    def groups(self) -> dict[str, Tensor]:
        """Images from 0 to 1 by how they were made, the real ones first."""
        made = {name: torch.cat([one.images for one in some]) for name, some in self.made.items()}
        real, climbed = self.deceived.images / 255, self.nothing.images / 255
        return {"test images": real, "images of nothing, from grey": climbed, **made}


# Numbers


def correlation(values: Sequence[float]) -> float:
    """Spearman's rank correlation of values with their place: 1 where each is larger than the one before."""
    count = len(values)
    ranks = [sum(other < one for other in values) + (values.count(one) - 1) / 2 for one in values]
    middle = (count - 1) / 2
    above = sum((place - middle) * (rank - middle) for place, rank in enumerate(ranks))
    spread = sum((place - middle) ** 2 for place in range(count))
    across = sum((rank - middle) ** 2 for rank in ranks)
    return above / (spread * across) ** 0.5 if across else 0.0


def deeper(errors: Mapping[str, Tensor]) -> tuple[float, Difference]:
    """How an error goes with depth: its rank correlation, and the last layer's less the first's by image."""
    means = [float(one.mean()) for one in errors.values()]
    first, *_, last = (dict(enumerate(one.tolist())) for one in errors.values())
    return correlation(means), paired(last, first)


def share(found: Estimate) -> str:
    """A mean share and its interval, which shares do not leave."""
    return f"{found.mean:.0%} ({max(0.0, found.low):.0%} to {min(1.0, found.high):.0%})"


def around(values: Tensor, places: int = 3) -> str:
    """The mean over images and its interval."""
    found = estimate(values.tolist())
    return f"{found.mean:.{places}f} ({found.low:.{places}f} to {found.high:.{places}f})"


def percents(value: float, interval: tuple[float, float], places: int = 1) -> str:
    """A share with its interval."""
    return f"{value:.{places}%} ({interval[0]:.{places}%} to {interval[1]:.{places}%})"


def wrong(robust: Robustness, attack: str, at: int) -> str:
    """The share of images that an attack gets wrong at one of its radii."""
    low, high = robust.curves[attack].intervals[at].tolist()
    return percents(float(robust.curves[attack].errors[at]), (low, high))


# Tables


def net_table(results: Results) -> str:
    """The net's error, with the interval over test images: there is one seed."""
    base = results.study(STUDY).base
    (trial,) = base.trials
    found = []
    for split, score in trial.scores.items():
        interval = wilson(round(score.top1_error * score.images), score.images)
        found.append(
            [split, f"{score.images:,}", percents(score.top1_error, interval), f"{score.objective:.3f}"]
        )
    return table(["split", "images>", "top-1 error>", "cross-entropy>"], found)


def frequencies_table(groups: Mapping[str, Tensor]) -> str:
    """How rough images are, by how they were made."""
    found = [
        [name, len(images), around(variation(images)), share(estimate(high_share(images).tolist()))]
        for name, images in groups.items()
    ]
    return table(["images", "how many>", "total variation>", "high frequencies>"], found)


def said_table(made: Mapping[str, Sequence[Maximized]]) -> str:
    """What the net takes each maximised image for, and how surely; and how far its target got."""
    targets = [target for one in made[NONE] for target in one.targets]
    found = []
    for name, some in made.items():
        cells = []
        for one in some:
            for at in range(len(one.images)):
                sure, number = one.probabilities[at].max(0)
                reached = f"; {float(one.reached[at]):.3g}"
                if one.best_value is not None:
                    reached += f" ({float(one.best_value[at]):.3g})"
                cells.append(f"{one.classes[int(number)]} {float(sure):.0%}{reached}")
        found.append([name, *cells])
    return table(["prior", *targets], found)


def nothing_table(nothing: Unnatural) -> str:
    """Each class with the confidence in an image of nothing."""
    found = [
        [
            nothing.names[number],
            f"{float(nothing.before[at, number]):.1%}",
            f"{float(nothing.probability[at]):.1%}",
            int(nothing.steps[at]),
            f"{float(nothing.linf[at]):.0f}",
            f"{float((nothing.images[at] - nothing.start[at]).abs().mean()):.1f}",
        ]
        for at, number in enumerate(nothing.classes.tolist())
    ]
    heads = ["class", "of even grey>", "of the image>", "steps>", "largest change>", "mean change>"]
    return table(heads, found)


def deceived_table(robust: Robustness) -> str:
    """The error by how far images may be changed."""
    found = [
        [f"{eps:g}", *(wrong(robust, name, at) for name in robust.curves)]
        for at, eps in enumerate(robust.eps)
    ]
    return table(["changed by at most", *(f"{name}>" for name in robust.curves)], found)


def depth_table(inverted: Inverted, decoded: Decoded, kept: Retention) -> str:
    """What each layer gives back, three ways."""
    found = [
        [
            layer,
            around(inverted.pixel_error[layer]),
            f"{float(inverted.feature_error[layer].mean()):.1%}",
            around(decoded.pixel_error[layer]),
            percents(kept.layers[layer].error, kept.layers[layer].interval),
        ]
        for layer in inverted.pixel_error
    ]
    heads = ["inversion: pixels>", "features>", "decoder: pixels>", "linear map: variance lost>"]
    return table(["layer", *heads], found)


def relevance_table(relevance: Relevance) -> str:
    """What arrives in the pixels of what the class's logit hands back."""
    totals = relevance.total()[0]
    found = [
        [at + 1, f"{float(value):.2f}", f"{float(total):.2f}", f"{float(total / value):.1%}"]
        for at, (value, total) in enumerate(zip(relevance.values[0], totals, strict=True))
    ]
    return table(["image", "logit>", "relevance of all pixels>", "share>"], found)


# Claims


def high_frequencies(groups: Mapping[str, Tensor]) -> Claim:
    """Without a prior, images are of high frequencies."""
    climbed = estimate(high_share(groups["images of nothing, from grey"]).tolist())
    real = estimate(high_share(groups["test images"]).tolist())
    plain = estimate(high_share(groups[NONE]).tolist())
    return Claim(
        "Images made by the gradient without a prior are of high frequencies, and unnatural.",
        judged(climbed.low > real.high, climbed.high < real.low),
        f"variance in waves above a quarter a pixel: {share(climbed)} in images of nothing begun at even "
        f"grey, {share(plain)} in those maximised from noise, {share(real)} in test images",
    )


def priors_help(made: Mapping[str, Sequence[Maximized]]) -> Claim:
    """Every prior takes high frequencies away, target by target, and leaves what was asked for.

    An even grey has none either: a prior that takes the target away has made nothing more natural.
    """
    found = {name: _smoother(made, name) for name in made if name != NONE}
    kept = {name: _beyond(made, name) for name in found}
    told = "; ".join(
        f"{name} {signed(100 * one.mean, 0)} ({signed(100 * one.low, 0)} to {signed(100 * one.high, 0)}), "
        f"{sum(kept[name])} of {len(kept[name])}"
        for name, one in found.items()
    )
    helps = [one.high < 0 and all(kept[name]) for name, one in found.items()]
    harms = [one.low > 0 or not all(kept[name]) for name, one in found.items()]
    return Claim(
        "Priors, each and all together, make them more natural.",
        judged(all(helps), any(harms)),
        "high frequencies against no prior, points, paired by target, and how many targets still come to "
        f"more than with any test image: {told}",
    )


def _beyond(made: Mapping[str, Sequence[Maximized]], name: str) -> list[bool]:
    """Of each target, whether its image comes to more than any image of the dataset."""
    most = [value for one in made[NONE] if one.best_value is not None for value in one.best_value.tolist()]
    reached = [value for one in made[name] for value in one.reached.tolist()]
    return [value > best for value, best in zip(reached, most, strict=True)]


def _smoother(made: Mapping[str, Sequence[Maximized]], name: str) -> Difference:
    """The share of high frequencies with a prior less that without, by target."""
    sides = [
        dict(enumerate(high_share(torch.cat([one.images for one in made[side]])).tolist()))
        for side in (name, NONE)
    ]
    return paired(sides[0], sides[1])


def a_generator_is_natural(groups: Mapping[str, Tensor]) -> Claim:
    """A generator gives images that are no rougher than real ones."""
    made = estimate(high_share(groups[GENERATOR]).tolist())
    real = estimate(high_share(groups["test images"]).tolist())
    return Claim(
        "A generator network as the prior gives images like natural ones: no rougher.",
        judged(made.high < real.low, made.low > real.high),
        f"high frequencies: {share(made)}, in test images {share(real)}. It is a measure of roughness alone",
    )


def nothing_is_a_class(nothing: Unnatural) -> Claim:
    """The net is sure of images of nothing."""
    count, classes = int(nothing.reached.sum()), len(nothing.classes)
    interval = wilson(count, classes)
    return Claim(
        "Such images act as adversarial samples: the net is sure of what shows nothing.",
        judged(interval[0] > HALF, interval[1] < HALF),
        f"for {count} of {classes} classes an image of nothing has {nothing.wanted:.0%} or more "
        f"({interval[0]:.0%} to {interval[1]:.0%} of classes), after "
        f"{float(nothing.steps.double().mean()):.0f} steps on average",
    )


def small_changes_deceive(robust: Robustness, deceived: Adversarial) -> Claim:
    """A small change along the gradient deceives, where one at random does not."""
    at = robust.eps.index(SMALL_EPS)
    pgd, noise = robust.curves["pgd"], robust.curves["noise"]
    (low, high), (_, most) = pgd.intervals[at].tolist(), noise.intervals[at].tolist()
    first = int((deceived.success & ~deceived.already).sum())
    return Claim(
        f"Changes along the gradient of at most {SMALL_EPS:g} of 256 deceive the net.",
        judged(low > max(HALF, most), high < HALF),
        f"of {robust.images} test images wrong: {wrong(robust, 'pgd', at)} by gradient, "
        f"{wrong(robust, 'noise', at)} by noise of that size; in the picture "
        f"{first} of {len(deceived.success)} are taken for something else, "
        f"at {float(deceived.confidence[1].mean()):.0%} on average",
    )


def lost_by_depth(text: str, errors: Mapping[str, Tensor]) -> Claim:
    """The error grows with depth."""
    rank, found = deeper(errors)
    (first, start), *_, (last, end) = errors.items()
    return Claim(
        text,
        judged(found.low > 0 and rank >= RANKED, found.high < 0 or (found.low > 0 and rank <= 0)),
        f"error in pixels {float(start.mean()):.3f} at `{first}`, {float(end.mean()):.3f} at `{last}`: "
        f"{signed(found.mean, 3)} ({signed(found.low, 3)} to {signed(found.high, 3)}) over "
        f"{found.count} images; rank correlation with depth {signed(rank)}",
    )


def lost_linearly(kept: Retention) -> Claim:
    """The same for the best linear map, over many images."""
    (first, start), *_, (last, end) = kept.layers.items()
    rank = correlation([one.error for one in kept.layers.values()])
    apart = end.interval[0] > start.interval[1]
    return Claim(
        "The best linear reconstruction: the same (ours).",
        judged(apart and rank >= RANKED, end.interval[1] < start.interval[0] or (apart and rank <= 0)),
        f"variance lost {percents(start.error, start.interval)} at `{first}`, "
        f"{percents(end.error, end.interval)} at `{last}`, over {kept.test_images:,} images; "
        f"rank correlation with depth {signed(rank)}",
    )


def conserved(relevance: Relevance) -> Claim:
    """What arrives in the pixels is what was handed back."""
    shares = estimate((relevance.total()[0] / relevance.values[0].double()).tolist())
    inside = shares.low >= 1 - CONSERVED and shares.high <= 1 + CONSERVED
    return Claim(
        "Relevance is handed back conservatively.",
        judged(inside, shares.high < 1 - CONSERVED or shares.low > 1 + CONSERVED),
        f"{shares.mean:.0%} ({shares.low:.0%} to {shares.high:.0%}) of the logit arrive in the pixels, over "
        f"{shares.count} images; rule {relevance.composite}, in which biases take their part",
    )
