"""E2's page: verdicts flip when numbers do, and measures of images agree with slow ones."""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import build
import numpy as np
import pytest
import torch
from frequencies import high_share, picture, variation
from page import Outcome, Results
from torch import Tensor

from cutaway.look import Adversarial, Kept, Maximized, Recipe, Relevance, Retention, Robustness, Unnatural
from cutaway.look.robustness import Curve

e2 = build.module(build.ROOT / "e2-visualisation")

FLAT, ROUGH = 1.0, 3.0
"""Waves along a side of 8 pixels: an eighth and three eighths a pixel."""


def waves(count: int, across: float, fine: float = 0.0) -> Tensor:
    """Images of one wave, with as much of a fine one as asked for, a little other in each image."""
    places = torch.arange(8.0) / 8 * 2 * math.pi
    parts = [torch.cos(across * places) + (fine + 0.01 * at) * torch.cos(4 * places) for at in range(count)]
    return (0.5 + 0.2 * torch.stack(parts))[:, None, None, :].expand(-1, 1, 8, -1)


def slow_share(image: Tensor) -> float:
    """Every wave's power by its definition."""
    channels, height, width = image.shape
    fine = whole = 0.0
    for down in range(height):
        for across in range(width):
            length = math.hypot(min(down, height - down) / height, min(across, width - across) / width)
            power = sum(
                abs(
                    sum(
                        float(image[channel, y, x])
                        * cmath.exp(-2j * math.pi * (down * y / height + across * x / width))
                        for y in range(height)
                        for x in range(width)
                    )
                )
                ** 2
                for channel in range(channels)
            )
            whole += power if length > 0 else 0
            fine += power if length > 0.25 else 0
    return fine / whole


def test_high_frequencies_are_those_of_the_definition() -> None:
    images = torch.rand(2, 2, 5, 6, generator=torch.Generator().manual_seed(3))
    wanted = [slow_share(image) for image in images]
    assert high_share(images).tolist() == pytest.approx(wanted, rel=1e-9)
    assert high_share(waves(1, FLAT)).tolist() == pytest.approx([0], abs=1e-9)
    assert high_share(waves(1, ROUGH)).tolist() == pytest.approx([1])
    assert high_share(torch.full((1, 3, 4, 4), 0.5)).tolist() == [0]


def test_noise_has_all_waves_alike() -> None:
    noise = torch.randn(40, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert float(high_share(noise).mean()) == pytest.approx(1 - math.pi / 16, abs=0.01)


def test_variation_is_the_mean_step_between_neighbours() -> None:
    image = torch.tensor([[[[0.0, 0.3], [0.4, 0.4]]]])
    # steps down and right: (0.4, 0.3), (0.1, 0), (0, 0), (0, 0): lengths 0.5, 0.1, 0, 0
    assert float(variation(image)) == pytest.approx(0.15, abs=1e-4)


def test_rank_correlation_by_hand() -> None:
    assert e2.correlation([1.0, 2.0, 5.0]) == pytest.approx(1)
    assert e2.correlation([5.0, 2.0, 1.0]) == pytest.approx(-1)
    assert e2.correlation([1.0, 3.0, 2.0, 4.0]) == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert e2.correlation([2.0, 2.0, 2.0]) == 0
    # ranks 0.5, 0.5, 2 against 0, 1, 2: covariance 1.5, spreads 2 and 1.5
    assert e2.correlation([1.0, 1.0, 2.0]) == pytest.approx(1.5 / math.sqrt(2 * 1.5))


def groups(climbed: float, generated: float = 0.0) -> dict[str, Tensor]:
    return {
        "test images": waves(4, FLAT, 0.3),
        "images of nothing, from grey": waves(4, FLAT, climbed),
        "no prior": waves(3, ROUGH),
        "generator": waves(3, FLAT, generated),
    }


@pytest.mark.parametrize(
    ("climbed", "outcome"), [(2.0, Outcome.HELD), (0.0, Outcome.FAILED), (0.3, Outcome.UNTOLD)]
)
def test_images_without_a_prior_against_real_ones(climbed: float, outcome: Outcome) -> None:
    assert e2.high_frequencies(groups(climbed)).outcome is outcome


@pytest.mark.parametrize(
    ("generated", "outcome"), [(0.05, Outcome.HELD), (2.0, Outcome.FAILED), (0.31, Outcome.UNTOLD)]
)
def test_a_generators_images_against_real_ones(generated: float, outcome: Outcome) -> None:
    assert e2.a_generator_is_natural(groups(0.0, generated)).outcome is outcome


def maximized(images: Tensor, *, data: bool = True) -> Maximized:
    count = len(images)
    return Maximized(
        images,
        tuple(f"unit {at}" for at in range(count)),
        torch.tensor([[1.0] * count, [6.0] * count]),
        torch.tensor([[0.25, 0.75]]).expand(count, 2),
        torch.full((count,), 2.0) if data else None,
        None,
        ("cat", "dog"),
        Recipe(1),
    )


@pytest.mark.parametrize(
    ("prior", "outcome"), [(0.0, Outcome.HELD), (3.0, Outcome.FAILED), (1.0, Outcome.UNTOLD)]
)
def test_priors_are_judged_target_by_target(prior: float, outcome: Outcome) -> None:
    plain = [maximized(waves(2, FLAT, 1.0)), maximized(waves(1, FLAT, 1.005))]
    all_ = [maximized(waves(2, FLAT, prior)), maximized(waves(1, FLAT, prior))]
    claim = e2.priors_help({"no prior": plain, "all": all_})
    assert claim.outcome is outcome
    assert "all " in claim.evidence


def test_a_prior_that_takes_the_target_away_makes_nothing_more_natural() -> None:
    plain = [maximized(waves(2, FLAT, 1.0)), maximized(waves(1, FLAT, 1.005))]
    smooth = [maximized(waves(2, FLAT, 0.0)), maximized(waves(1, FLAT, 0.0))]
    lost = [replace(one, values=torch.ones_like(one.values)) for one in smooth]
    assert e2.priors_help({"no prior": plain, "tv": smooth}).outcome is Outcome.HELD
    claim = e2.priors_help({"no prior": plain, "tv": smooth, "all": lost})
    assert claim.outcome is Outcome.FAILED
    assert "0 of 3" in claim.evidence
    # One that makes it rougher, beside one that helps.
    rough = [maximized(waves(2, FLAT, 3.0)), maximized(waves(1, FLAT, 3.0))]
    assert e2.priors_help({"no prior": plain, "tv": smooth, "clip": rough}).outcome is Outcome.FAILED


def test_what_the_net_says_of_each_image() -> None:
    made = {"no prior": [maximized(waves(2, FLAT))], "generator": [maximized(waves(2, FLAT), data=False)]}
    lines = e2.said_table(made).splitlines()
    assert lines[0] == "| prior | unit 0 | unit 1 |"
    assert lines[2] == "| no prior | dog 75%; 6 (2) | dog 75%; 6 (2) |"
    assert lines[3] == "| generator | dog 75%; 6 | dog 75%; 6 |"


def nothing(reached: int, classes: int = 10) -> Unnatural:
    after = torch.full((classes, classes), 0.001)
    after[range(reached), range(reached)] = 0.995
    images = torch.full((classes, 3, 4, 4), 130.0)
    return Unnatural(
        images, torch.full_like(images, 128.0), torch.arange(classes), torch.full((classes, classes), 0.1),
        after, torch.full((classes,), 7), torch.zeros(classes, 8), 0.99, "pixel values",
        tuple(map(str, range(classes))),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("reached", "outcome"), [(10, Outcome.HELD), (1, Outcome.FAILED), (6, Outcome.UNTOLD)]
)
def test_images_of_nothing(reached: int, outcome: Outcome) -> None:
    claim = e2.nothing_is_a_class(nothing(reached))
    assert claim.outcome is outcome
    assert f"for {reached} of 10 classes" in claim.evidence
    assert "| 0 | 10.0% | 99.5% | 7 | 2 | 2.0 |" in e2.nothing_table(nothing(reached)).splitlines()


def robust(pgd: int, noise: int, images: int = 200) -> Robustness:
    def curve(wrong: int) -> Curve:
        return Curve(torch.stack([torch.arange(images) < 40, torch.arange(images) < wrong]))

    return Robustness((0.0, 4.0), {"noise": curve(noise), "pgd": curve(pgd)}, "linf", images, 10)


def deceived() -> Adversarial:
    images = torch.zeros(2, 3, 4, 4)
    before, after = torch.tensor([[0.9, 0.1]] * 2), torch.tensor([[0.2, 0.8], [0.6, 0.4]])
    done = torch.tensor([True, False])
    return Adversarial(
        images, images, before, after, torch.zeros(2, dtype=torch.int64), False, done,
        torch.tensor([False, False]), "PGD", 4.0, "linf", "pixel values", ("cat", "dog"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("pgd", "noise", "outcome"),
    [
        (180, 45, Outcome.HELD),
        (60, 45, Outcome.FAILED),
        (105, 45, Outcome.UNTOLD),
        (180, 178, Outcome.UNTOLD),  # noise does the same
    ],
)
def test_small_changes(pgd: int, noise: int, outcome: Outcome) -> None:
    claim = e2.small_changes_deceive(robust(pgd, noise), deceived())
    assert claim.outcome is outcome
    assert "1 of 2 are taken for something else, at 70% on average" in claim.evidence
    assert f"| 4 | {noise / 200:.1%} (" in e2.deceived_table(robust(pgd, noise))


def by_layer(*means: float, spread: float = 0.01) -> dict[str, Tensor]:
    """Errors of four images for each layer; the spread is other in each layer."""
    return {
        f"conv{at}": mean + spread * torch.tensor([0.0, 1.0, -1.0, 0.5]).roll(at)
        for at, mean in enumerate(means)
    }


@pytest.mark.parametrize(
    ("errors", "outcome"),
    [
        (by_layer(0.1, 0.2, 0.3, 0.4), Outcome.HELD),
        (by_layer(0.1, 0.3, 0.2, 0.4), Outcome.HELD),  # neighbours may be swapped
        (by_layer(0.4, 0.3, 0.2, 0.1), Outcome.FAILED),
        (
            by_layer(0.1, 0.4, 0.3, 0.2),
            Outcome.UNTOLD,
        ),  # the last is above the first, but it goes up and down
        (by_layer(0.1, 0.1001, 0.1002, 0.1003, spread=0.5), Outcome.UNTOLD),
    ],
)
def test_errors_by_depth(errors: dict[str, Tensor], outcome: Outcome) -> None:
    assert e2.lost_by_depth("deeper is less.", errors).outcome is outcome


def linear(*errors: float) -> Retention:
    layers = {f"conv{at}": Kept(one, (one - 0.01, one + 0.01), 4, 0.1) for at, one in enumerate(errors)}
    return Retention(Kept(0, (0, 0), 4, 0.1), layers, layers, torch.zeros(0), {}, 50, 100)


@pytest.mark.parametrize(
    ("errors", "outcome"),
    [((0.1, 0.2, 0.3), Outcome.HELD), ((0.3, 0.2, 0.1), Outcome.FAILED), ((0.1, 0.1, 0.11), Outcome.UNTOLD)],
)
def test_linear_reconstructions_by_depth(errors: Sequence[float], outcome: Outcome) -> None:
    assert e2.lost_linearly(linear(*errors)).outcome is outcome


@pytest.mark.parametrize(
    ("total", "outcome"), [(9.8, Outcome.HELD), (6.0, Outcome.FAILED), (9.0, Outcome.UNTOLD)]
)
def test_relevance_is_conserved(total: float, outcome: Outcome) -> None:
    maps = torch.full((1, 3, 1, 2, 5), total / 10) * torch.tensor([0.99, 1.0, 1.01]).view(1, 3, 1, 1, 1)
    relevance = Relevance(torch.zeros(3, 1, 2, 5), maps, torch.full((1, 3), 10.0), ("predicted",), "LRP")
    assert e2.conserved(relevance).outcome is outcome
    assert f"| 2 | 10.00 | {total:.2f} | {total / 10:.1%} |" in e2.relevance_table(relevance).splitlines()


def test_nothing_is_claimed_without_results(tmp_path: Path) -> None:
    made = e2.page(Results(tmp_path))
    assert not made.pictures
    assert set(made.tables.values()) == {"not measured yet"}


def test_the_picture_has_a_dot_for_each_image() -> None:
    (axes,) = picture(groups(0.5)).axes
    dots = [line for line in axes.lines if line.get_marker() == "."]
    assert [len(np.asarray(line.get_xdata())) for line in dots] == [4, 4, 3, 3]
    assert np.asarray(dots[2].get_xdata()).tolist() == pytest.approx(
        (100 * high_share(waves(3, ROUGH))).tolist()
    )
