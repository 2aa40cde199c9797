"""Textures by formula: every shape against its definition, worked out pixel by pixel."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from cutaway.data.textures import TEXTURES
from cutaway.data.textures.canvas import Canvas, Plane

SIDES = (40, 48)
STEP = 1 / 12  # the side of a pixel, in periods
START = 0.27  # u of the first column; with it no pixel lies right on a border
MIDDLE = 0.3  # where `uniform` lands on its way from low to high


class Ruled(Canvas):
    """One frame whose scale, turn and place are known: pixel (y, x) lies at v = y/12, u = x/12 + 0.27."""

    def __init__(self) -> None:
        super().__init__(1, SIDES, torch.Generator().manual_seed(5))
        self.tables: list[Tensor] = []

    def uniform(self, low: float, high: float) -> Tensor:
        return torch.full((1, 1, 1), low + MIDDLE * (high - low))

    def plane(self, shortest: float, longest: float) -> Plane:
        v, u = torch.meshgrid(torch.arange(40.0) * STEP, torch.arange(48.0) * STEP + START, indexing="ij")
        return Plane(u[None], v[None], torch.full((1, 1, 1), STEP))


def _points() -> Iterator[tuple[int, int, float, float]]:
    for y, x in itertools.product(range(SIDES[0]), range(SIDES[1])):
        yield y, x, x * STEP + START, y * STEP


def _picture(value: Callable[[float, float], float]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    found = np.zeros(SIDES)
    for y, x, u, v in _points():
        found[y, x] = value(u, v)
    return found


def _at(low: float, high: float) -> float:
    return low + MIDDLE * (high - low)


def _soft(depth: float) -> float:
    """Half a pixel inside is covered, half a pixel outside is not."""
    return min(1.0, max(0.0, depth / STEP + 0.5))


def _off(x: float) -> float:
    """How far from the nearest whole number."""
    return min(x - math.floor(x), math.ceil(x) - x)


def _inside(u: float, v: float, box: tuple[float, float, float, float]) -> float:
    """How deep a point lies in a rectangle (left, top, width, height); negative outside."""
    left, top, wide, high = box
    return min(u - left, left + wide - u, v - top, top + high - v)


def _stripe(u: float, v: float) -> float:
    return _soft(max(_at(0.15, 0.35) - abs(u - k) for k in range(-1, 8)))


def _check(u: float, v: float) -> float:
    """Squares of half a period; light where the columns' and rows' numbers are both even or both odd."""
    signs = [2 * _soft(max(0.25 - abs(axis - k) for k in range(-1, 8))) - 1 for axis in (u, v)]
    return signs[0] * signs[1]


def _dot(u: float, v: float) -> float:
    middles = itertools.product(range(-1, 7), repeat=2)
    return _soft(_at(0.24, 0.36) - min(math.dist((u, v), middle) for middle in middles))


def _lattice(u: float, v: float) -> float:
    return _soft(_at(0.07, 0.13) - min(_off(u), _off(v)))


def _zigzag(u: float, v: float) -> float:
    """Lines at 45° that turn back every `length` rows."""
    length = _at(1.2, 2.2)
    way = v % (2 * length)
    swing = way if way < length else 2 * length - way
    return _soft(_at(0.17, 0.3) - _off((u + swing) / math.sqrt(2)))


def _waves(u: float, v: float) -> float:
    swing = _at(0.25, 0.45) * math.sin(2 * math.pi * v / _at(2.2, 3.2))
    return math.cos(2 * math.pi * (u + swing))


def _ring(u: float, v: float) -> float:
    row, column = int(_at(0.15, 0.85) * SIDES[0]), int(_at(0.15, 0.85) * SIDES[1])
    return math.cos(2 * math.pi * math.dist((u, v), (column * STEP + START, row * STEP)))


def _plaid(u: float, v: float) -> float:
    broad, narrow = _at(0.13, 0.2), _at(0.03, 0.05)
    bands = ((1.0, broad, 0.0), (0.8, narrow, 0.5), (-0.6, narrow, 0.0))
    return sum(share * _soft(half - _off(axis + place)) for axis in (u, v) for share, half, place in bands)


def _scale(u: float, v: float) -> float:
    """Discs laid from the last row to the first, as slates on a roof."""
    value = 0.0
    for row in range(12, -5, -1):
        # Neighbours in a row hardly overlap: each point belongs to the nearer one.
        rim = 0.52 - min(math.dist((u, v), (at - 0.5 * (row % 2), row / 2)) for at in range(-2, 9))
        shade = _soft(rim - 0.09) * (0.45 + 0.55 * rim / 0.52)
        value += (shade - value) * _soft(rim)
    return value


def _hexagon(u: float, v: float) -> float:
    """What lies nearer to its own middle than to any other, by more than the wall."""
    middles = [(float(i), j * math.sqrt(3)) for i in range(-2, 9) for j in range(-2, 5)]
    middles += [(i + 0.5, (j + 0.5) * math.sqrt(3)) for i in range(-2, 9) for j in range(-2, 5)]
    own, *others = sorted(middles, key=lambda middle: math.dist((u, v), middle))
    # On the line from the own middle to another one, the border stands half way.
    edge = min(
        math.dist(own, other) / 2
        - ((u - own[0]) * (other[0] - own[0]) + (v - own[1]) * (other[1] - own[1])) / math.dist(own, other)
        for other in others[:6]
    )
    return _soft(edge - _at(0.05, 0.1)) * (0.75 + 0.5 * edge)


def _woven(u: float, v: float, over: Callable[[int, int], bool], look: tuple[float, float]) -> float:
    """The thread below is laid first, then the one on top; each is round, and darker where it dives.

    `over` says for a column and a row whether the thread along the row lies on top; `look` is the
    shade of those along columns, and the gap.
    """
    column, row = math.floor(u), math.floor(v)
    on_top = over(column, row)
    value = 0.0
    for in_row in (not on_top, on_top):
        place, aside = (u, v - row) if in_row else (v, u - column)
        # Where its two crossings of this kind begin: walk back to the change.
        start = math.floor(place)
        before = over(start - 1, row) if in_row else over(column, start - 1)
        start -= before == on_top
        dive = abs(place - start - 1)  # 0 midway, 1 at both ends
        shade = 1.0 if in_row else look[0]
        lit = shade * (1 - 0.5 * (2 * (aside - 0.5)) ** 2) * (1 - 0.4 * dive)
        value += (lit - value) * _soft(0.5 - look[1] - abs(aside - 0.5))
    return value


def _weave(u: float, v: float) -> float:
    """Two by two: a chessboard whose squares are two threads wide."""
    return _woven(u, v, lambda column, row: column // 2 % 2 == row // 2 % 2, (0.7, _at(0.1, 0.16)))


def _twill(u: float, v: float) -> float:
    """Two over, two under; each row begins one thread further."""
    return _woven(u, v, lambda column, row: "oouu"[(column - row) % 4] == "o", (0.35, _at(0.06, 0.1)))


DEFINITIONS: dict[str, Callable[[float, float], float]] = {
    "grating": lambda u, v: math.cos(2 * math.pi * u),
    "stripes": _stripe,
    "checks": _check,
    "dots": _dot,
    "lattice": _lattice,
    "zigzag": _zigzag,
    "waves": _waves,
    "rings": _ring,
    "plaid": _plaid,
    "scales": _scale,
    "hexagons": _hexagon,
    "weave": _weave,
    "twill": _twill,
}


@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_texture_is_what_its_definition_says(name: str) -> None:
    found = TEXTURES[name](Ruled())[0]
    np.testing.assert_allclose(found, _picture(DEFINITIONS[name]), atol=2e-4)


def test_bricks_lie_in_running_bond() -> None:
    """Bricks of 2.2 by 1 drawn one by one, every other course half a brick aside."""
    found = TEXTURES["bricks"](Ruled())[0].numpy()
    wall = np.zeros(SIDES)
    owner = np.full(SIDES, -1)
    for number, (course, at) in enumerate(itertools.product(range(4), range(-2, 4))):
        left = (at - 0.5 * (course % 2)) * 2.2
        for y, x, u, v in _points():
            depth = _inside(u, v, (left, course, 2.2, 1))
            if depth >= 0:
                owner[y, x] = number
                wall[y, x] = _soft(depth - _at(0.07, 0.12))
    assert (owner >= 0).all()
    _check_pieces(found, wall, owner, (0.6, 1.0))


def test_herringbone_is_laid_of_blocks_across_and_along() -> None:
    """Blocks of 3 by 1 laid one by one: in each row one across, whose end one along stands beside."""
    found = TEXTURES["herringbone"](Ruled())[0].numpy()
    wall = np.zeros(SIDES)
    owner = np.full(SIDES, -1)
    number = 0
    for row, turn in itertools.product(range(-6, 10), range(-3, 4)):
        left = row + 6 * turn
        # Across from the row's own place; along from its right end, two rows up and this one.
        for box in ((left, row, 3, 1), (left + 3, row - 2, 1, 3)):
            number += 1
            for y, x, u, v in _points():
                depth = _inside(u, v, box)
                # Blocks do not overlap: no point lies deep in two.
                assert depth < 1e-6 or owner[y, x] in {-1, number} or wall[y, x] == 0
                if depth > 1e-6 or (depth >= 0 and owner[y, x] < 0):
                    owner[y, x] = number
                    wall[y, x] = _soft(depth - _at(0.06, 0.1))
    assert (owner >= 0).all()
    _check_pieces(found, wall, owner, (0.55, 1.0))


def _check_pieces(
    found: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    wall: np.ndarray[tuple[int, int], np.dtype[np.float64]],
    owner: np.ndarray[tuple[int, int], np.dtype[np.int64]],
    shades: tuple[float, float],
) -> None:
    """Every piece has one shade within bounds, the shades differ, and the joints are where they should be."""
    np.testing.assert_allclose((found > 1e-4), wall > 1e-4)
    inside = wall > 0.05
    ratio = np.where(inside, found / np.where(inside, wall, 1), 0)
    per_piece = []
    for piece in np.unique(owner[inside]):
        values = ratio[inside & (owner == piece)]
        assert np.ptp(values) < 2e-3
        assert shades[0] - 1e-3 <= values.mean() <= shades[1] + 1e-3
        per_piece.append(values.mean())
    assert len({round(value, 3) for value in per_piece}) > 0.8 * len(per_piece)


def test_cells_have_the_shade_of_the_nearest_point_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every square of the grid has one point; all of them are asked, not nine."""
    canvas = Ruled()
    made = [canvas.shades() for _ in range(3)]
    left = iter(made)
    monkeypatch.setattr(canvas, "shades", lambda: next(left))
    found = TEXTURES["cells"](canvas)[0].numpy()
    right, down, shade = ([float(table.table[0, n]) for n in range(1024)] for table in made)
    wrong = 0
    for y, x, u, v in _points():
        points = sorted(
            (math.dist((u, v), (i + 0.1 + 0.8 * right[n], j + 0.1 + 0.8 * down[n])), shade[n])
            for i, j in itertools.product(range(-2, 8), range(-2, 7))
            for n in [i % 32 + 32 * (j % 32)]
        )
        (near, own), (next_near, other) = points[:2]
        mixed = other + (own - other) * _soft((next_near - near) / 2)
        wrong += abs(found[y, x] - mixed) > 1e-3
    assert wrong <= 0.002 * found.size  # a corner's second point may lie beyond the nine


def test_cracks_run_where_two_points_are_equally_near() -> None:
    """Without raggedness: a pixel is dark where the nearest points' distances differ by little."""
    canvas = Ruled()
    canvas.clouds = lambda slope, finest: torch.zeros(1, *SIDES)  # type: ignore[method-assign]
    made = [canvas.shades() for _ in range(3)]
    left = iter(made)
    canvas.shades = lambda: next(left)  # type: ignore[method-assign]
    found = TEXTURES["cracks"](canvas)[0].numpy()
    right, down = ([float(table.table[0, n]) for n in range(1024)] for table in made[:2])
    for y, x, u, v in _points():
        near = sorted(
            math.dist((u, v), (i + 0.1 + 0.8 * right[i % 32 + 32 * (j % 32)],
                               j + 0.1 + 0.8 * down[i % 32 + 32 * (j % 32)]))
            for i, j in itertools.product(range(-2, 8), range(-2, 7))
        )[:2]  # fmt: skip
        covered = _soft((near[1] - near[0]) / 2 - _at(0.05, 0.08))
        assert (found[y, x] == 0) == (covered == 0) or 0 < covered < 0.01
        assert 0.8 * covered - 1e-3 <= found[y, x] <= covered + 1e-3


class Noted(Canvas):
    """Five frames whose random numbers are written down."""

    def __init__(self) -> None:
        super().__init__(5, (24, 30), torch.Generator().manual_seed(8))
        self.drawn: list[list[float]] = []

    def uniform(self, low: float, high: float) -> Tensor:
        found = super().uniform(low, high)
        assert low <= found.min()
        assert found.max() <= high
        self.drawn.append(found.flatten().tolist())
        return found


def test_discs_fall_onto_each_other_one_by_one() -> None:
    canvas = Noted()
    found = TEXTURES["discs"](canvas)
    for frame in range(5):
        ground, size, *rest = [values[frame] for values in canvas.drawn]
        wanted = np.full((24, 30), ground)
        for radius, x, y, shade in zip(*(rest[at::4] for at in range(4)), strict=True):
            for row, column in itertools.product(range(24), range(30)):
                inside = radius * size * 24 / 64 - math.dist((column, row), (x, y))
                wanted[row, column] += (shade - wanted[row, column]) * min(1, max(0, inside + 0.5))
        np.testing.assert_allclose(found[frame], wanted, atol=1e-4)


def test_scratches_are_strokes_with_ends() -> None:
    """A pixel's depth in a stroke: the least distance to its four sides, a pixel's half added."""
    canvas = Noted()
    found = TEXTURES["scratches"](canvas)
    unit = 24 / 64
    for frame in range(5):
        drawn = [values[frame] for values in canvas.drawn]
        wanted = np.zeros((24, 30))
        for turn, x, y, half, thick, shade in zip(*(drawn[at::6] for at in range(6)), strict=True):
            for row, column in itertools.product(range(24), range(30)):
                turned = complex(column - x, row - y) * complex(math.cos(turn), -math.sin(turn))
                beyond = max(0.0, abs(turned.real) - half * unit)
                depth = thick * unit + 0.5 - max(abs(turned.imag), beyond)
                wanted[row, column] = max(wanted[row, column], shade * min(1, max(0, depth)))
        np.testing.assert_allclose(found[frame], wanted, atol=1e-4)


def _calm(canvas: Canvas) -> Canvas:
    """Without clouds, so that what they disturb can be seen."""
    canvas.clouds = lambda slope, finest: torch.zeros(1, *SIDES)  # type: ignore[method-assign]
    return canvas


def test_marble_s_veins_lie_a_period_apart() -> None:
    found = TEXTURES["marble"](_calm(Ruled()))[0]
    np.testing.assert_allclose(found, _picture(lambda u, v: abs(math.sin(math.pi * u)) ** 0.5), atol=2e-3)


def test_wood_darkens_over_a_ring_and_falls_back_at_its_end() -> None:
    canvas = Ruled()
    table = canvas.shades()
    canvas.shades = lambda: table  # type: ignore[method-assign]
    found = TEXTURES["wood"](_calm(canvas))[0]

    def wood(u: float, v: float) -> float:
        ring = (u + 0.5 * math.sin(v * _at(0.25, 0.45) + _at(0, 6.3))) % 1
        level = (ring / 0.8) ** 2 if ring < 0.8 else (1 - ring) * 5
        streak = math.floor(u * 9)
        along = math.floor(v * 0.7 + streak * 0.37)
        return level + 0.35 * float(table.table[0, streak % 32 + 32 * (along % 32)])

    wrong = np.abs(found.numpy() - _picture(wood)) > 1e-3
    assert wrong.mean() < 0.01  # single precision may take a neighbouring streak


def test_a_labyrinth_has_one_width_in_all_directions() -> None:
    """Nearly all power lies at one frequency, 1/7 to 1/13 of a reference pixel, all around."""
    canvas = Noted()
    found = TEXTURES["labyrinth"](canvas).numpy()
    fy, fx = np.meshgrid(np.fft.fftfreq(24) * 24 / 64, np.fft.fftfreq(30) * 24 / 64, indexing="ij")
    for frame, period in zip(found, canvas.drawn[0], strict=True):
        power = np.abs(np.fft.fft2(frame)) ** 2
        near = np.abs(np.hypot(fx, fy) * period - 1) < 0.3
        assert power[near].sum() > 0.75 * power.sum()
    assert np.abs(found).max() <= 1
    assert np.median(np.abs(found)) > 0.8  # two levels with soft edges


def test_a_soft_edge_covers_as_much_of_a_pixel_as_lies_inside() -> None:
    plane = Ruled().plane(1, 1)
    edge = 1.37
    fine = (np.arange(1000) + 0.5) / 1000 - 0.5
    for x, covered in enumerate(plane.cover(edge - plane.u)[0, 0].tolist()):
        inside = (x * STEP + START + fine * STEP < edge).mean()
        assert covered == pytest.approx(inside, abs=2e-3)
