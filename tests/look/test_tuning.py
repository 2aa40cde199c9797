"""Tuning curves: every measure against its formula, on curves whose answer is known."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from cutaway.look.tuning import Tuning, Word

ANGLES = tuple(float(angle) for angle in range(0, 180, 15))
FINE = tuple(float(angle) for angle in range(0, 180, 3))


def tuning(curves: Sequence[Sequence[float]], even: float = 0.0, angles: Sequence[float] = ANGLES) -> Tuning:
    """Units with one colour and one scale."""
    answers = torch.tensor(curves)[:, None, :, None]
    return Tuning(answers, torch.full((len(curves), 1), even), angles, (4.0,), ("all channels",))


def bump(peak: float, sharp: float, angles: Sequence[float] = ANGLES) -> list[float]:
    """exp(k (cos 2(θ − θ₀) − 1)): the von Mises curve, 1 at its peak."""
    return [math.exp(sharp * (math.cos(2 * math.radians(angle - peak)) - 1)) for angle in angles]


def random_answers(seed: int, shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("peak", [0.0, 7.5, 20.0, 44.0, 90.0, 133.0, 171.0, 179.0])
def test_the_preferred_orientation_is_found_between_angles_and_around_the_end(peak: float) -> None:
    preferred = float(tuning([bump(peak, 1.0)]).preferred[0])
    assert 0 <= preferred < 180
    assert abs((preferred - peak + 90) % 180 - 90) < 0.5


def test_the_preferred_orientation_is_where_the_parabola_is_largest_also_at_uneven_angles() -> None:
    angles = (0.0, 10.0, 40.0, 60.0, 120.0, 160.0)
    for at in range(len(angles)):
        left = angles[at - 1] - 180 * (at == 0)
        right = angles[(at + 1) % len(angles)] + 180 * (at == len(angles) - 1)
        for share in (0.35, 0.5, 0.62):
            peak = left + share * (right - left)
            values = [0.0] * len(angles)
            for place, degrees in ((at - 1, left), (at, angles[at]), ((at + 1) % len(angles), right)):
                values[place] = 10 - ((degrees - peak) / 60) ** 2
            if max(values) != values[at]:
                continue
            found = float(tuning([values], angles=angles).preferred[0])
            assert found == pytest.approx(peak % 180, abs=0.01)


@pytest.mark.parametrize(("peak", "word"), [(0, "horizontal"), (45, "diagonal /"), (90, "vertical")])
def test_width_is_half_the_width_at_half_the_height(peak: float, word: str) -> None:
    for sharp in (1.0, 2.0, 5.0):
        # exp(k (cos 2w − 1)) = 1/2
        wanted = math.degrees(math.acos(1 - math.log(2) / sharp)) / 2
        found = tuning([bump(peak, sharp, FINE)], angles=FINE)
        assert float(found.width[0]) == pytest.approx(wanted, abs=0.5)
        assert found.words == [word]


def test_a_curve_that_does_not_fall_to_half_has_no_width() -> None:
    found = tuning([[1.0] * 12, [max(0.6, value) for value in bump(30, 3)], [0.0] * 12])
    assert found.width.isnan().all()


def slow_index(curve: Sequence[float], preferred: float) -> float:
    """(r − r⊥) / (r + r⊥), with curves read between the angles by a straight line."""

    def at(degrees: float) -> float:
        place = degrees % 180 / 15
        low, share = math.floor(place), place % 1
        return (1 - share) * max(curve[low % 12], 0) + share * max(curve[(low + 1) % 12], 0)

    along, across = at(preferred), at(preferred + 90)
    return (along - across) / (along + across)


def test_index_and_circular_variance_are_their_formulas() -> None:
    answers = random_answers(1, (20, 1, 12, 1)) + 0.3
    found = Tuning(answers, torch.zeros(20, 1), ANGLES, (4.0,), ("all channels",))
    for unit in range(20):
        curve = [max(float(value), 0) for value in answers[unit, 0, :, 0]]
        vector = sum(r * cmath.exp(2j * math.radians(a)) for r, a in zip(curve, ANGLES, strict=True))
        assert float(found.circular_variance[unit]) == pytest.approx(1 - abs(vector) / sum(curve), abs=1e-5)
        assert float(found.index[unit]) == pytest.approx(
            slow_index(curve, float(found.preferred[unit])), abs=1e-5
        )
        assert found.curves[unit].tolist() == pytest.approx(curve)


def test_extremes_of_index_and_variance() -> None:
    alone = [1.0] + [0.0] * 11
    found = tuning([[2.0] * 12, alone, [0.0] * 12])
    assert found.index.tolist() == pytest.approx([0, 1, 0])
    assert found.circular_variance.tolist() == pytest.approx([1, 0, 1], abs=1e-6)
    assert found.preferred[1] == 0
    assert found.preferred[2].isnan()


def test_a_curve_is_taken_at_the_scale_and_colour_of_the_strongest_answer_and_tuning() -> None:
    """Of the places within a tenth of the strongest answer, the one that is tuned most."""
    generator = torch.Generator().manual_seed(2)
    answers = torch.rand(30, 3, 12, 4, generator=generator) + torch.rand(30, 3, 1, 4, generator=generator)
    found = Tuning(answers, torch.zeros(30, 3), ANGLES, (3.0, 5.0, 9.0, math.inf), ("a", "b", "c"))
    for unit in range(30):
        strongest = float(answers[unit].max())
        best, place = -1.0, (0, 0)
        for colour in range(3):
            for scale in range(4):
                curve = [max(float(r), 0) for r in answers[unit, colour, :, scale]]
                vector = sum(r * cmath.exp(2j * math.radians(a)) for r, a in zip(curve, ANGLES, strict=True))
                if max(curve) >= 0.9 * strongest and abs(vector) / sum(curve) > best:
                    best, place = abs(vector) / sum(curve), (colour, scale)
        assert (int(found.colour[unit]), int(found.scale[unit])) == place
        assert found.curves[unit].tolist() == pytest.approx(answers[unit, place[0], :, place[1]].tolist())
        assert float(found.strength[unit]) == pytest.approx(strongest)
    assert len(set(zip(found.colour.tolist(), found.scale.tolist(), strict=True))) > 3


@pytest.mark.parametrize(
    ("curve", "even", "word"),
    [
        (bump(0, 2), 0.0, Word.HORIZONTAL),
        (bump(22, 2), 0.0, Word.HORIZONTAL),
        (bump(23, 2), 0.0, Word.RISING),
        (bump(45, 2), 0.0, Word.RISING),
        (bump(90, 2), 0.0, Word.VERTICAL),
        (bump(135, 2), 0.0, Word.FALLING),
        (bump(158, 2), 0.0, Word.HORIZONTAL),
        (bump(90, 2), 5.0, Word.VERTICAL),  # what a surface does says nothing of lines
        ([1.0] * 12, 0.0, Word.BLOB),
        ([1.0] * 12, 0.49, Word.BLOB),
        ([1.0] * 12, 0.51, Word.NONE),  # it answers evenness, so no blob
        ([0.0] * 12, 0.0, Word.NONE),
        ([-1.0] * 12, 0.0, Word.NONE),
        # Two orientations across each other: none is preferred, and it is no blob.
        ([1.0, 0, 0, 0, 0, 0, 1.0, 0, 0, 0, 0, 0], 0.0, Word.NONE),
        # A third: 2 to 1, either side of it.
        ([2.1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], 0.0, Word.HORIZONTAL),
        ([1.9, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], 0.0, Word.BLOB),
    ],
)
def test_words(curve: list[float], even: float, word: Word) -> None:
    assert tuning([curve], even).words == [word]


def test_rounding_errors_of_a_silent_unit_are_no_answer() -> None:
    found = tuning([bump(30, 2), [1e-6 * value for value in bump(90, 2)]])
    assert found.words == [Word.RISING, Word.NONE]
    assert found.strength.tolist() == pytest.approx([bump(30, 2)[2], 0])
    assert found.curves[1].tolist() == [0.0] * 12


@pytest.mark.parametrize("turn", [1, 3, 7, 11])
def test_turning_a_curve_turns_what_is_preferred_and_nothing_else(turn: int) -> None:
    curves = [bump(20, 1.5), bump(100, 4), [max(0.55, value) for value in bump(70, 3)]]
    turned = [[curve[(at - turn) % 12] for at in range(12)] for curve in curves]
    one, other = tuning(curves), tuning(turned)
    difference = (other.preferred - one.preferred - 15 * turn + 90) % 180 - 90
    assert difference.abs().max() < 1e-3
    measures: list[Callable[[Tuning], Tensor]] = [
        lambda t: t.width,
        lambda t: t.index,
        lambda t: t.circular_variance,
        lambda t: t.strength,
    ]
    for measure in measures:
        torch.testing.assert_close(measure(other), measure(one), equal_nan=True, atol=2e-3, rtol=0)
