"""Characters from fonts: told apart, within the frame, turned and scaled as far as is said."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from cutaway.config import DataConfig
from cutaway.data import Framing, Images, handwriting, load_source
from cutaway.data.glyphs import Glyphs, font_files
from cutaway.data.handwriting import write
from cutaway.errors import ConfigError, CutawayError, NotFoundError


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """The arrays are small: a second thread costs more than it gives."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def digits() -> Images:
    return load_source(DataConfig(source="drawn", per_class=60))


def test_digits_of_28_by_28_unless_it_is_said_otherwise(digits: Images) -> None:
    assert digits.classes == tuple("0123456789")
    assert digits.shape == (1, 28, 28)
    assert digits.split("train").labels.tolist() == [label for label in range(10) for _ in range(60)]
    assert digits.split("test").labels.bincount().tolist() == [12] * 10
    assert digits.split("train").pixels.dtype == torch.uint8


def test_500_images_of_each_character_and_100_for_testing() -> None:
    found = load_source(DataConfig(source="drawn", characters="x", size=12))
    assert [len(split) for split in found.splits.values()] == [500, 100]


def test_classes_stand_in_the_order_of_the_characters() -> None:
    found = load_source(DataConfig(source="drawn", characters="ba7é", per_class=2, test=0, size="20x32"))
    assert found.classes == ("b", "a", "7", "é")
    assert list(found.splits) == ["train"]
    assert found.shape == (1, 20, 32)


def test_the_same_seed_draws_the_same_bytes_and_no_image_twice(digits: Images) -> None:
    torch.set_num_threads(2)
    again = load_source(DataConfig(source="drawn", per_class=60))
    other = load_source(DataConfig(source="drawn", per_class=60, split_seed=1))
    for name, split in digits.splits.items():
        assert torch.equal(split.pixels, again.split(name).pixels)
        assert not (split.pixels == other.split(name).pixels).flatten(1).all(1).any()
    both = torch.cat([split.pixels for split in digits.splits.values()])
    assert len({image.numpy().tobytes() for image in both}) == len(both)


def test_a_character_looks_the_same_whatever_others_there_are_when_they_are_as_tall() -> None:
    one, two = (load_source(DataConfig(source="drawn", characters=c, per_class=3)) for c in ("38", "3"))
    # The scale within a font is the tallest and widest character's, which may move it by a pixel.
    first, second = one.split("train").pixels[:3].float(), two.split("train").pixels.float()
    assert (first - second).abs().mean() < 8


def test_making_images_leaves_the_global_randomness_and_threads_alone() -> None:
    torch.manual_seed(3)
    torch.set_num_threads(2)
    before = torch.random.get_rng_state()
    load_source(DataConfig(source="drawn", characters="1", per_class=2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.get_num_threads() == 2


def test_ink_is_light_on_black_and_stays_within_the_frame(digits: Images) -> None:
    pixels = digits.split("train").pixels[:, 0]
    edges = torch.cat((pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1]), 1)
    assert edges.max() <= 12
    peaks = pixels.flatten(1).amax(1)
    assert peaks.min() > 120
    assert peaks.float().std() > 15  # contrast varies
    # A digit covers a part of its frame, and no picture is blank or full.
    inked = (pixels > 80).float().mean((1, 2))
    assert inked.min() > 0.01
    assert inked.max() < 0.5


def test_what_a_person_draws_is_framed_like_these(digits: Images) -> None:
    """The ground is found to be black, although it has a little noise."""
    framing = Framing.measured(digits.split("train"))
    assert framing.ground == 0
    assert 14 <= framing.extent <= 22
    ground = digits.split("train").pixels[:, 0, :2].float()
    assert 0 < ground.mean() < 2


def test_the_nearest_training_image_has_the_same_digit(digits: Images) -> None:
    """Digits can be read: with 60 images of each, the nearest by pixels is right for most."""
    train, test = (digits.split(name) for name in ("train", "test"))
    nearest = torch.cdist(test.pixels.flatten(1).float(), train.pixels.flatten(1).float()).argmin(1)
    assert (train.labels[nearest] == test.labels).float().mean() > 0.6


# A bar of 4 by 32 pixels in a square of 64: one "glyph" whose place, turn and size can be measured.
BAR = torch.zeros(1, 64, 64)
BAR[0, 16:48, 30:34] = 1


def _plain(monkeypatch: pytest.MonkeyPatch, **ranges: object) -> None:
    """No jitter but what is named."""
    settings: dict[str, object] = {"_TURN": 0.0, "_SCALE": (1.0, 1.0), "_SLANT": 0.0, "_MOVE": 0.0, **ranges}
    for name, value in settings.items():
        monkeypatch.setattr(handwriting, name, value)


def _moments(
    count: int = 80, sides: tuple[int, int] = (56, 56), glyph: Tensor = BAR
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.float64]], ...]:
    """Centre (x, y), turn in degrees from upright and length of bars, from their moments."""
    ink = write(glyph, count, sides, 0)[:, 0].double().numpy()
    ink = np.where(ink > 30, ink, 0)
    y, x = np.mgrid[: sides[0], : sides[1]] + 0.5
    total = ink.sum((1, 2))
    cx, cy = (ink * x).sum((1, 2)) / total, (ink * y).sum((1, 2)) / total
    dx, dy = x - cx[:, None, None], y - cy[:, None, None]
    xx, yy, xy = ((ink * m).sum((1, 2)) / total for m in (dx * dx, dy * dy, dx * dy))
    turn = np.rad2deg(0.5 * np.arctan2(-2 * xy, yy - xx))
    longest = (xx + yy) / 2 + np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    return cx, cy, turn, np.sqrt(12 * longest)


def test_without_jitter_a_glyph_stands_upright_in_the_middle_in_its_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The square of 64 becomes 20/28 of 56 pixels: a bar of 32 becomes one of 20."""
    _plain(monkeypatch)
    cx, cy, turn, length = _moments()
    np.testing.assert_allclose(cx, 28, atol=0.15)
    np.testing.assert_allclose(cy, 28, atol=0.15)
    np.testing.assert_allclose(turn, 0, atol=1)
    np.testing.assert_allclose(length, 20, atol=1.2)


def test_a_frame_that_is_not_square_keeps_the_glyph_undistorted(monkeypatch: pytest.MonkeyPatch) -> None:
    _plain(monkeypatch)
    cx, cy, _, length = _moments(10, (56, 90))
    np.testing.assert_allclose(cx, 45, atol=0.15)
    np.testing.assert_allclose(cy, 28, atol=0.15)
    np.testing.assert_allclose(length, 20, atol=1.2)


def test_turns_reach_15_degrees_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    _plain(monkeypatch, _TURN=15.0)
    _, _, turn, length = _moments(200)
    assert 13 < turn.max() < 16.5
    assert -16.5 < turn.min() < -13
    assert turn.std() == pytest.approx(30 / 12**0.5, rel=0.15)
    np.testing.assert_allclose(length, 20, atol=1.4)


def test_a_turn_bends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar across, with the same jitter as one upright, still stands at a right angle to it."""
    _plain(monkeypatch, _TURN=15.0)
    upright, across = (_moments(50, glyph=glyph)[2] for glyph in (BAR, BAR.transpose(1, 2)))
    np.testing.assert_allclose((across - upright) % 180, 90, atol=1.5)


def test_a_slanted_glyph_is_turned_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slanting tilts an upright bar only: a bar across shows the turn alone, within its 15°."""
    _plain(monkeypatch, _TURN=15.0, _SLANT=0.2)
    (*_, upright, length), (*_, across, _) = (
        _moments(100, glyph=glyph) for glyph in (BAR, BAR.transpose(1, 2))
    )
    turn = (across % 180) - 90
    assert np.abs(turn).max() < 16.5
    # What is left for the slant reaches a fifth, both ways.
    lean = np.tan(np.deg2rad(upright - turn))
    assert 0.17 < lean.max() < 0.23
    assert -0.23 < lean.min() < -0.17
    np.testing.assert_allclose(length / np.hypot(1, lean), _moments(1)[3][0], rtol=0.1)


def test_ink_is_blurred_and_strengthened_at_random(monkeypatch: pytest.MonkeyPatch) -> None:
    """At one pixel of the frame for one of the glyph's square, so that each column is known.

    Two by two samples a pixel give the column beside a bar ⅛ of its ink and leave the outermost one
    ⅞. Blurring by (1, 2, 1) / 4 then raises the ⅛ by up to (2 · ⅛ + ⅞) / 4 − ⅛ = 0.156. A pen of 1.2
    to 1.8 times the strength and a brightness from 170 to 255 follow.
    """
    _plain(monkeypatch, _FIT=1.0)
    full, half = (write(BAR * ink, 400, (64, 64), 1)[:, 0, 20:44].float().mean(1) for ink in (1, 0.5))
    beside = full[:, 29] / full[:, 31]
    assert beside.min() == pytest.approx(0.125 * 1.2, abs=0.02)
    assert beside.max() == pytest.approx(0.281 * 1.8, abs=0.04)
    assert full[:, 31].min() == pytest.approx(170, abs=5)
    assert full[:, 31].max() == pytest.approx(255, abs=5)
    strength = half[:, 31] / full[:, 31] / 0.5
    assert strength.min() == pytest.approx(1.2, abs=0.08)
    assert strength.max() == pytest.approx(1.8, abs=0.08)


def test_sizes_reach_from_three_quarters_to_a_tenth_more(monkeypatch: pytest.MonkeyPatch) -> None:
    _plain(monkeypatch, _SCALE=(0.75, 1.1))
    length = _moments(200)[3]
    assert 15 - 0.8 < length.min() < 16
    assert 21.5 < length.max() < 22 + 1.2


def test_slants_lean_by_a_fifth_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    """An upright bar slanted by s leans by arctan s, and keeps its height."""
    _plain(monkeypatch, _SLANT=0.2)
    turn = _moments(200)[2]
    limit = np.rad2deg(np.arctan(0.2))
    assert limit - 1.5 < turn.max() < limit + 1.5
    assert -limit - 1.5 < turn.min() < -limit + 1.5


def test_moves_reach_an_eighth_in_both_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    _plain(monkeypatch, _MOVE=1 / 8)
    cx, cy, *_ = _moments(200)
    for centre in (cx, cy):
        assert 28 + 6.3 < centre.max() < 28 + 7.2
        assert 28 - 7.2 < centre.min() < 28 - 6.3
    assert abs(np.corrcoef(cx, cy)[0, 1]) < 0.25


def test_a_glyph_that_would_leave_the_frame_is_moved_back_or_made_smaller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _plain(monkeypatch, _MOVE=0.5, _SCALE=(4.0, 4.0))  # 80 pixels long in a frame of 56
    cx, cy, _, length = _moments(100)
    np.testing.assert_allclose(length, 52, atol=2)  # a margin of 2 at both ends
    np.testing.assert_allclose(cy, 28, atol=0.7)
    half = 52 * 4 / 32 / 2
    assert cx.min() == pytest.approx(2 + half, abs=0.7)
    assert cx.max() == pytest.approx(56 - 2 - half, abs=0.7)


def test_more_images_than_are_worked_on_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handwriting, "_AT_ONCE", 4)
    pixels = write(BAR, 10, (28, 28), 0)
    assert pixels.shape == (10, 1, 28, 28)
    assert len({image.numpy().tobytes() for image in pixels}) == 10
    assert write(BAR, 0, (28, 28), 0).shape == (0, 1, 28, 28)


def test_every_font_is_used() -> None:
    """Twelve squares of different widths stand for twelve fonts."""
    fonts = torch.zeros(12, 64, 64)
    for number in range(12):
        fonts[number, 16:48, 8 : 12 + 4 * number] = 1
    widths = (write(fonts, 300, (64, 64), 0)[:, 0] > 60).any(1).sum(1)
    assert widths.min() < 12
    assert widths.max() > 30
    assert len(widths.unique()) > 12


def test_the_fonts_have_letters_and_no_symbol_font_is_among_them() -> None:
    names = [path.stem for path in font_files()]
    assert len(names) >= 15
    assert names == sorted(names)
    assert {"DejaVuSans", "DejaVuSerif-Bold", "STIXGeneral", "cmr10"} <= set(names)
    unwanted = ("cmsy", "cmex", "cmmi", "STIXSiz", "STIXNonUni", "LastResort")
    assert [name for name in names if name.startswith(unwanted) or "Display" in name] == []


def test_glyphs_are_as_the_font_draws_them_on_one_baseline_and_scale() -> None:
    """Against Pillow's own drawing at the size that fits: "o" is lower than "O", "." lies at the bottom."""
    found = Glyphs.render("oO.g")
    count = len(found.of["O"])
    assert all(len(glyph) == count for glyph in (found.of["o"], found.of["O"]))
    font = ImageFont.truetype(next(path for path in font_files() if path.stem == "DejaVuSans"), 200)
    at = [path.stem for path in font_files()].index("DejaVuSans")

    def box(character: str) -> tuple[int, int, int, int]:
        picture = Image.new("L", (400, 400))
        ImageDraw.Draw(picture).text((100, 250), character, 255, font=font, anchor="ls")
        found = picture.getbbox()
        assert found
        return found

    large = {character: box(character) for character in "oO.g"}
    top, bottom = min(b[1] for b in large.values()), max(b[3] for b in large.values())
    scale = 64 / (bottom - top)
    for character, (left, up, right, down) in large.items():
        ink = found.of[character][at] > 0.3
        rows, columns = ink.any(1).nonzero().flatten(), ink.any(0).nonzero().flatten()
        assert int(rows[0]) == pytest.approx((up - top) * scale, abs=2)
        assert int(rows[-1]) + 1 == pytest.approx((down - top) * scale, abs=2)
        assert int(columns[0]) == pytest.approx(32 - (right - left) * scale / 2, abs=2)
        assert int(columns[-1]) + 1 == pytest.approx(32 + (right - left) * scale / 2, abs=2)


def test_no_glyph_is_cut_off_by_its_square() -> None:
    """Ink right at an edge may be a rounded pixel; a stroke that is cut would leave full ink there."""
    for glyph in Glyphs.render("Wg|jQÅ_@").of.values():
        assert glyph.amax((1, 2)).min() > 0.5
        for edge in (glyph[:, 0], glyph[:, -1], glyph[:, :, 0], glyph[:, :, -1]):
            assert edge.sum(1).max() < 20


def test_only_fonts_that_have_a_character_draw_it() -> None:
    """Greek is in DejaVu and STIX, but not in Computer Modern, whose "<" is another sign."""
    found = Glyphs.render("aΩ<")
    assert len(found.of["a"]) == len(font_files())
    old = sum(path.stem.startswith("cm") for path in font_files())
    assert old >= 4
    assert len(found.of["Ω"]) == len(found.of["<"]) == len(font_files()) - old


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"path": "x"}, 'The source "drawn" makes its images and reads nothing: leave data.path empty.'),
        ({"characters": "01230"}, 'data.characters has "0" twice: each character is a class of its own.'),
        ({"size": "28x7"}, "Characters of 28x7 pixels can't be read: set data.size to 8x8 or more."),
        ({"characters": "a漢"}, 'No font draws "漢" (U+6F22): leave it out of data.characters.'),
        (
            {"characters": "a \u0378"},
            'No font draws " " (U+0020), "\u0378" (U+0378): leave it out of data.characters.',
        ),
    ],
)
def test_what_can_t_be_drawn_is_refused_by_name(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_source(DataConfig.model_validate({"source": "drawn", **fields}))
    assert str(caught.value) == message


@pytest.mark.parametrize("there", [True, False])
def test_matplotlib_s_fonts_may_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    class Spec:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr("importlib.util.find_spec", lambda name: Spec() if there else None)
    with pytest.raises(NotFoundError) as caught:
        font_files()
    assert isinstance(caught.value, CutawayError)
    assert str(caught.value) == "Matplotlib's fonts are missing. Install Matplotlib again."


def test_drawing_does_not_import_matplotlib() -> None:
    program = (
        "import sys\n"
        "from cutaway.config import DataConfig\n"
        "from cutaway.data import load_source\n"
        "load_source(DataConfig(source='drawn', characters='1', per_class=1))\n"
        "sys.exit('matplotlib' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
