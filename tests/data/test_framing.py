"""The framing: a picture of any size and polarity is set as the training images stand."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cutaway.config import DataConfig, Fit
from cutaway.data import Framing, Images, Split, load_source
from cutaway.errors import DataError


@pytest.fixture(scope="module")
def digits() -> Images:
    return load_source(DataConfig())


@pytest.fixture(scope="module")
def framing(digits: Images) -> Framing:
    return Framing.measured(digits.split("train"))


def _split(pixels: Tensor) -> Split:
    return Split(pixels, torch.zeros(len(pixels), dtype=torch.int64), torch.arange(len(pixels)))


def _page(digit: Tensor, times: int, top: int, left: int, *, dark: bool) -> Tensor:
    """A digit ``(28, 28)``, enlarged, somewhere on a page of 260×400, dark on light or light on dark."""
    large = F.interpolate(digit[None, None].float(), scale_factor=times, mode="bilinear", align_corners=False)
    page = torch.zeros(1, 260, 400, dtype=torch.uint8)
    side = 28 * times
    page[0, top : top + side, left : left + side] = large[0, 0].round().to(torch.uint8)
    return 255 - page if dark else page


def _correlation(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack((one.flatten(), other.flatten())).double())[0, 1])


def test_mnist_s_digits_stand_as_its_makers_wrote(framing: Framing) -> None:
    """Scaled to 20 pixels, the centre of mass in the middle of 28: at 14, where pixel 0 is at 0."""
    assert framing.shape == (1, 28, 28)
    assert framing.ground == 0
    assert framing.extent == 20
    assert framing.by_mass
    assert framing.centre == pytest.approx((14, 14), abs=0.1)


@pytest.mark.parametrize("dark", [True, False])
def test_a_digit_on_a_page_comes_back_as_it_was(digits: Images, framing: Framing, dark: bool) -> None:
    originals = digits.split("test").pixels[:60, 0]
    places = [(3, 5), (80, 200), (0, 232), (60, 9)]
    alike = []
    for number, digit in enumerate(originals):
        top, left = places[number % 4]
        framed, notes = framing(_page(digit, 4 + number % 3, top, left, dark=dark))
        assert framed.shape == (1, 28, 28)
        assert framed.dtype == torch.uint8
        assert notes[0] == ("dark on light: inverted" if dark else "light on dark")
        assert notes[1] == "400×260 pixels: figure set in 28×28"
        alike.append(_correlation(framed[0], digit))
    # A digit that is set a pixel aside correlates at 0.7 or less; one in place, scaled by up to a
    # twentieth, at 0.9 or more. A few lie on the border between two pixels.
    assert sorted(alike)[len(alike) // 2] > 0.95
    assert sum(value > 0.9 for value in alike) >= 0.7 * len(alike)


def test_size_and_place_on_the_page_make_no_difference(digits: Images, framing: Framing) -> None:
    digit = digits.split("test").pixels[0, 0]
    found = [framing(_page(digit, times, 2, left, dark=True))[0] for times in (4, 6, 9) for left in (1, 120)]
    assert all(_correlation(found[0], other) > 0.97 for other in found[1:])


def test_contrast_makes_no_difference(digits: Images, framing: Framing) -> None:
    page = _page(digits.split("test").pixels[0, 0], 5, 20, 30, dark=True)
    faint = (200 - (255 - page.float()) * 0.3).round().to(torch.uint8)  # grey on grey paper
    assert _correlation(framing(page)[0], framing(faint)[0]) > 0.99
    assert int(framing(faint)[0].max()) > 230


def test_an_image_that_stands_as_it_should_is_left_alone(digits: Images, framing: Framing) -> None:
    digit = digits.split("test").pixels[0]
    framed, notes = framing(digit)
    assert torch.equal(framed, digit)
    assert notes == ("light on dark",)


def test_an_image_of_the_right_size_but_dark_on_light_is_inverted(digits: Images, framing: Framing) -> None:
    digit = digits.split("test").pixels[0]
    framed, notes = framing(255 - digit)
    assert notes[0] == "dark on light: inverted"
    assert _correlation(framed, digit) > 0.95


def test_nets_that_learnt_dark_on_light_get_that(digits: Images) -> None:
    framing = Framing.measured(_split(255 - digits.split("train").pixels[:500]))
    assert framing.ground == 255
    digit = digits.split("test").pixels[0, 0]
    framed, notes = framing(_page(digit, 5, 10, 40, dark=True))
    assert notes[0] == "dark on light"
    assert _correlation(framed[0], 255 - digit) > 0.9
    framed, notes = framing(_page(digit, 5, 10, 40, dark=False))
    assert notes[0] == "light on dark: inverted"
    assert _correlation(framed[0], 255 - digit) > 0.9


def test_figures_centred_by_their_box_are_told_from_those_centred_by_mass() -> None:
    """Wedges whose box is centred and whose mass is not, heavy above, below, left or right."""
    images = torch.zeros(40, 1, 21, 21, dtype=torch.uint8)
    wedge = torch.ones(11, 11).tril().mul(255).to(torch.uint8)
    for number, image in enumerate(images):
        image[0, 5:16, 5:16] = torch.rot90(wedge, number % 4)
    framing = Framing.measured(_split(images))
    assert not framing.by_mass
    assert framing.extent == 11
    assert framing.centre == (10, 10)
    page = torch.zeros(1, 100, 100, dtype=torch.uint8)
    page[0, 20:75, 30:85] = torch.ones(55, 55).tril().mul(255).to(torch.uint8)
    framed, _ = framing(page)
    assert _correlation(framed, images[0]) > 0.95


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("size", [(28, 28), (100, 60), (1, 1), (2, 9)])
def test_a_blank_picture_is_refused(framing: Framing, value: int, size: tuple[int, int]) -> None:
    with pytest.raises(DataError, match="there is nothing on it"):
        framing(torch.full((1, *size), value, dtype=torch.uint8))


def test_a_picture_with_faint_noise_counts_as_blank(framing: Framing) -> None:
    noise = torch.randint(120, 130, (1, 90, 90), generator=torch.Generator().manual_seed(0))
    with pytest.raises(DataError, match="there is nothing on it"):
        framing(noise.to(torch.uint8))


@pytest.mark.parametrize("size", [(1, 400), (400, 1), (2, 2), (3, 3), (5, 900)])
def test_pictures_of_odd_sizes_are_set_too(framing: Framing, size: tuple[int, int]) -> None:
    picture = torch.full((1, *size), 255, dtype=torch.uint8)
    picture[0, size[0] // 2, size[1] // 2] = 0
    framed, _ = framing(picture)
    assert framed.shape == (1, 28, 28)
    assert int(framed.max()) > 200


def test_a_stroke_that_becomes_one_column_keeps_what_is_in_it(framing: Framing) -> None:
    picture = torch.full((1, 100, 40), 255, dtype=torch.uint8)
    picture[0, 10:90, 20:22] = 0
    picture[0, 40:60] = 255
    framed, _ = framing(picture)
    column = framed[0, :, framed[0].sum(0).argmax()].tolist()
    first = next(row for row, value in enumerate(column) if value)
    # Eighty rows become twenty: at the ends of each piece a filter blurs.
    wanted = [255] * 7 + [0] * 4 + [255] * 7
    found = column[first : first + 20]
    assert [found[row] for row in (*range(7), *range(8, 12), *range(13, 20))] == pytest.approx(wanted, abs=40)


def test_colour_images_fill_their_frame() -> None:
    images = torch.randint(0, 256, (20, 3, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    framing = Framing.measured(_split(images))
    assert framing == Framing((3, 8, 8))
    framed, notes = framing(images[0])
    assert torch.equal(framed, images[0])
    assert notes == ()


def test_grey_photographs_fill_their_frame(digits: Images) -> None:
    images = torch.randint(0, 256, (50, 1, 9, 9), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    assert Framing.measured(_split(images)).ground == -1
    # One in five digits on another ground is too many for a common one.
    mixed = digits.split("train").pixels[:100].clone()
    mixed[::5] = 255 - mixed[::5]
    assert Framing.measured(_split(mixed)).ground == -1


def test_images_without_any_figure_fill_their_frame() -> None:
    assert Framing.measured(_split(torch.zeros(5, 1, 9, 9, dtype=torch.uint8))) == Framing((1, 9, 9))


@pytest.mark.parametrize(("height", "width"), [(40, 100), (100, 40), (8, 9), (4, 2)])
def test_a_photograph_is_scaled_by_its_shorter_side_and_cut_in_the_middle(height: int, width: int) -> None:
    # Brightness grows from left to right and from top to bottom: what is kept can be read from it.
    down = torch.linspace(0, 250, height).view(1, -1, 1).expand(1, height, width)
    across = torch.linspace(0, 250, width).view(1, 1, -1).expand(1, height, width)
    picture = torch.cat((down, across, across)).round().to(torch.uint8)
    framed, notes = Framing((3, 8, 8))(picture)
    assert framed.shape == (3, 8, 8)
    assert notes == (f"{width}×{height} pixels scaled to 8×8",)
    for values, size in ((framed[0].float().mean(1), height), (framed[1].float().mean(0), width)):
        # The centres of 8 pixels lie 7/8 of what is kept apart; a pixel of the picture is a step.
        step = 250 / (size - 1)
        assert float(values.mean()) == pytest.approx(125, abs=250 * 0.5 / 8 + 1)  # half a pixel
        wanted = min(250, step * min(height, width) * 7 / 8)
        assert float(values[-1] - values[0]) == pytest.approx(
            wanted, abs=8
        )  # less at the edges, where a filter ends


def _middle(values: list[int]) -> int:
    return sorted(values)[(len(values) - 1) // 2]


def _ground(picture: Tensor) -> list[int]:
    """The lower middle of the outermost pixels, channel by channel."""
    _, height, width = picture.shape
    places = [
        (y, x) for y in range(height) for x in range(width) if y in {0, height - 1} or x in {0, width - 1}
    ]
    return [_middle([int(channel[y, x]) for y, x in places]) for channel in picture]


def _photographs(side: int) -> Split:
    random = torch.Generator().manual_seed(0)
    return _split(torch.randint(0, 256, (9, 3, side, side), generator=random).to(torch.uint8))


def test_the_framing_knows_how_the_training_images_were_fitted(digits: Images) -> None:
    train = digits.split("train")
    assert Framing.of(train, DataConfig()) == Framing.measured(train)
    framing = Framing.of(_photographs(12), DataConfig(size="8x8", fit=Fit.PAD, pad=2))
    assert framing == Framing((3, 12, 12), fit=Fit.PAD, pad=2)
    assert Framing.from_json(json.loads(json.dumps(framing.to_json()))) == framing
    older = {name: value for name, value in framing.to_json().items() if name not in {"fit", "pad"}}
    assert Framing.from_json(older) == Framing((3, 12, 12))


def test_a_photograph_is_brought_as_the_training_images_were() -> None:
    """Eight rows of sixteen columns, to a square: cut, or halved and set on their ground, or distorted."""
    picture = torch.randint(0, 256, (3, 8, 16), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    config = DataConfig(size="8x8")
    crop, notes = Framing.of(_photographs(8), config)(picture)
    assert torch.equal(crop, picture[:, :, 4:12])
    assert notes == ("16×8 pixels scaled to 8×8",)
    pad, _ = Framing.of(_photographs(8), config.model_copy(update={"fit": Fit.PAD}))(picture)
    assert pad[:, :2].flatten(1).unique(dim=1).flatten().tolist() == _ground(pad[:, 2:6])
    assert torch.equal(pad[:, :2], pad[:, 6:])
    stretch, _ = Framing.of(_photographs(8), config.model_copy(update={"fit": Fit.STRETCH}))(picture)
    # Halving under a triangle: an eighth, three, three and an eighth of four columns.
    wide = picture.float()
    inner = (wide[..., 1:-3:2] + 3 * wide[..., 2:-2:2] + 3 * wide[..., 3:-1:2] + wide[..., 4::2]) / 8
    torch.testing.assert_close(stretch[..., 1:-1].float(), inner, atol=0.51, rtol=0)


@pytest.mark.parametrize("size", [(8, 8), (8, 16), (5, 5)])
def test_a_border_is_put_around_a_photograph_as_around_the_training_images(size: tuple[int, int]) -> None:
    picture = torch.randint(0, 256, (3, *size), generator=torch.Generator().manual_seed(2)).to(torch.uint8)
    framed, notes = Framing.of(_photographs(12), DataConfig(size="8x8", pad=2))(picture)
    assert framed.shape == (3, 12, 12)
    assert notes == (f"{size[1]}×{size[0]} pixels scaled to 8×8",)
    inside = framed[:, 2:-2, 2:-2]
    if size[0] == 8:
        left = (size[1] - 8) // 2
        assert torch.equal(inside, picture[:, :, left : left + 8])
    for channel, value in zip(framed, _ground(inside), strict=True):
        sides = (channel[:2], channel[-2:], channel[:, :2], channel[:, -2:])
        assert {int(pixel) for side in sides for pixel in side.flatten()} == {value}


@pytest.mark.parametrize("fitted", [True, False])
def test_it_comes_back_from_json(framing: Framing, fitted: bool) -> None:
    made = framing if fitted else Framing((3, 8, 8))
    assert Framing.from_json(json.loads(json.dumps(made.to_json()))) == made


def test_figures_of_many_sizes_and_places_are_not_framed() -> None:
    """How large a spot is, and where, may be what the class depends on."""
    generator = torch.Generator().manual_seed(1)
    images = torch.zeros(200, 1, 32, 32, dtype=torch.uint8)
    for image in images:
        top, left, size = torch.randint(0, 16, (3,), generator=generator).tolist()
        image[0, 1 + top : 3 + top + size % 14, 1 + left : 3 + left + size % 14] = 200
    split = Split(images, torch.zeros(200, dtype=torch.int64), torch.arange(200))
    framing = Framing.measured(split)
    assert framing == Framing((1, 32, 32), ground=0)
    picture, notes = framing(images[3])
    assert torch.equal(picture, images[3])
    assert notes == ()
    # On other paper they are inverted, but stay where they are; an empty one stays empty.
    picture, notes = framing(255 - images[3])
    assert torch.equal(picture, images[3])
    assert notes == ("inverted",)
    assert framing(torch.zeros(1, 32, 32, dtype=torch.uint8))[1] == ()


def test_letters_of_many_heights_are_framed() -> None:
    split = load_source(DataConfig(source="drawn", characters="AaBbCc")).split("train")
    framing = Framing.measured(split)
    assert framing.extent > 0
    assert framing(255 - split.batch(torch.tensor([0]))[0])[1][0].endswith("inverted")
