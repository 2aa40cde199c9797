"""Orientations of kernels made by hand: Gabor's, Sobel's, blobs; every answer from the formulas."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cutaway import Subject
from cutaway.errors import ConfigError, DataError, NotFoundError
from cutaway.look import Orientation, Tuning, kernel_orientation, orientation
from cutaway.look.tuning import Word

SIZE = 11


def gabor(angle: float, wavelength: float = 4.0, sigma: float = 2.0, phase: float = 0.0) -> Tensor:
    """exp(−r² / 2σ²) cos(2π d / λ + φ), with lines at an angle; less its mean, so that grey gives 0."""
    half = SIZE // 2
    rows = []
    for y in range(-half, half + 1):
        row = []
        for x in range(-half, half + 1):
            d = x * math.sin(math.radians(angle)) + y * math.cos(math.radians(angle))
            row.append(
                math.exp(-(x * x + y * y) / (2 * sigma**2)) * math.cos(2 * math.pi * d / wavelength + phase)
            )
        rows.append(row)
    found = torch.tensor(rows)
    return found - found.mean()


def padded(kernel: Sequence[Sequence[float]]) -> Tensor:
    margin = (SIZE - len(kernel)) // 2
    return F.pad(torch.tensor(kernel, dtype=torch.float32), [margin] * 4)


SOBEL = [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]
UP = [list(column) for column in zip(*SOBEL, strict=True)]
HAND_MADE: dict[str, tuple[Tensor, Word]] = {
    "Sobel, across": (padded(SOBEL), Word.VERTICAL),
    "Sobel, across, negative": (-padded(SOBEL), Word.VERTICAL),
    "Sobel, down": (padded(UP), Word.HORIZONTAL),
    "Prewitt, bright above on the right": (padded([[0, 1, 1], [-1, 0, 1], [-1, -1, 0]]), Word.FALLING),
    "Prewitt, bright above on the left": (padded([[1, 1, 0], [1, 0, -1], [0, -1, -1]]), Word.RISING),
    "a bright column": (padded([[-1, 2, -1]] * 3), Word.VERTICAL),
    "Laplace": (padded([[-1, -2, -1], [-2, 12, -2], [-1, -2, -1]]), Word.BLOB),
    "Laplace, negative": (padded([[1, 2, 1], [2, -12, 2], [1, 2, 1]]), Word.BLOB),
    "a checkerboard's corner": (padded([[1, 0, -1], [0, 0, 0], [-1, 0, 1]]), Word.NONE),
    "a mean": (torch.full((SIZE, SIZE), 1.0), Word.NONE),
    "nothing": (torch.zeros(SIZE, SIZE), Word.NONE),
    **{
        f"Gabor at {angle}°, phase {phase:.1f}": (gabor(angle, phase=phase), word)
        for phase in (0.0, math.pi / 2, 2.5)
        for angle, word in ((3, Word.HORIZONTAL), (45, Word.RISING), (80, Word.VERTICAL), (130, Word.FALLING))
    },
}
NAMES = list(HAND_MADE)
KERNELS = torch.stack([kernel for kernel, _ in HAND_MADE.values()])[:, None]


def _size(kernels: Tensor) -> tuple[int, int]:
    return kernels.shape[2], kernels.shape[3]


def convolving(kernels: Tensor, height: int = 24, width: int = 27) -> Subject:
    """A model that is one convolution, with biases that must not matter."""
    conv = nn.Conv2d(kernels.shape[1], len(kernels), _size(kernels), padding=kernels.shape[2] // 2)
    with torch.no_grad():
        conv.weight.copy_(kernels)
        conv.bias.copy_(torch.linspace(-3, 3, len(kernels)))  # type: ignore[union-attr]
    return Subject(nn.Sequential(conv), (kernels.shape[1], height, width))


@cache
def found() -> Tuning:
    return orientation(convolving(KERNELS)).layers["0"]


@pytest.mark.parametrize("name", NAMES)
def test_words_of_kernels_made_by_hand(name: str) -> None:
    assert found().words[NAMES.index(name)] == HAND_MADE[name][1]


@pytest.mark.parametrize("angle", [3, 45, 80, 130])
def test_the_preferred_orientation_is_that_of_the_gabor_kernel(angle: int) -> None:
    for phase in ("0.0", "1.6", "2.5"):
        preferred = float(found().preferred[NAMES.index(f"Gabor at {angle}°, phase {phase}")])
        assert abs((preferred - angle + 90) % 180 - 90) < 3


def slow_answer(kernel: Tensor, angle: float, wavelength: float, middle: tuple[int, int]) -> float:
    """The largest sum of a kernel's products with a grating over 8 phases, less that for even grey.

    Of pixels from 0 to 1, not rounded. The kernel stands around the pixel of the map's middle; what is
    beyond the border is 0.
    """
    turn, best = math.radians(angle), -math.inf
    height, width = 24, 27
    half = len(kernel) // 2
    for phase in range(8):
        total = 0.0
        for y in range(-half, half + 1):
            for x in range(-half, half + 1):
                row, column = middle[0] + y, middle[1] + x
                d = (column - (width - 1) / 2) * math.sin(turn) + (row - (height - 1) / 2) * math.cos(turn)
                wave = math.cos(2 * math.pi * d / wavelength + 2 * math.pi * phase / 8)
                total += float(kernel[y + half, x + half]) * wave / 2
        best = max(best, total)
    return best


def test_answers_are_sums_of_the_kernel_with_the_stimuli() -> None:
    stimuli = orientation(convolving(KERNELS[:1])).stimuli
    tuning = found()
    for name in ("Sobel, across", "Laplace", "a mean", "Gabor at 45°, phase 0.0", "Gabor at 130°, phase 2.5"):
        unit = NAMES.index(name)
        kernel = HAND_MADE[name][0]
        rounding = float(kernel.abs().sum()) / 255
        for angle in (0, 3, 8):
            for scale in (0, 2, 5):
                wanted = slow_answer(kernel, stimuli.angles[angle], stimuli.wavelengths[scale], (12, 13))
                assert float(tuning.answers[unit, 0, angle, scale]) == pytest.approx(wanted, abs=rounding)
        assert float(tuning.strength[unit]) > 10 * rounding


def test_answers_to_even_images_are_sums_of_the_kernel() -> None:
    sums = KERNELS.sum((1, 2, 3)) / 2
    torch.testing.assert_close(found().even[:, 0], sums.abs(), atol=0.01 * float(sums.abs().max()), rtol=0)


@pytest.mark.parametrize("sigma", [1.5, 2.0])
def test_the_width_of_a_gabor_kernel_is_that_of_its_spectrum(sigma: float) -> None:
    """Its answer to a wave of its own length, w from its angle, is exp(−4π² σ² (1 − cos w) / λ²)."""
    wanted = math.degrees(math.acos(1 - math.log(2) * 16 / (4 * math.pi**2 * sigma**2)))
    kernel = gabor(60, 4.0, sigma)[None, None]
    tuning = orientation(
        convolving(kernel), angles=tuple(range(0, 180, 5)), wavelengths=(4.0,), phases=16
    ).layers["0"]
    assert float(tuning.width[0]) == pytest.approx(wanted, abs=2)
    assert float(tuning.preferred[0]) == pytest.approx(60, abs=1)


@pytest.mark.parametrize("wavelength", [3.0, 4.5, 8.0])
def test_the_preferred_scale_is_that_of_the_gabor_kernel(wavelength: float) -> None:
    tuning = orientation(
        convolving(gabor(90, wavelength, 2.5)[None, None]), wavelengths=(3.0, 4.5, 8.0, math.inf)
    ).layers["0"]
    assert tuning.wavelengths[int(tuning.scale[0])] == wavelength


def test_a_kernel_of_opposite_colours_is_seen_in_one_of_them() -> None:
    edge = gabor(90)
    kernels = torch.stack(
        [
            torch.stack([edge, -edge, 0 * edge]),
            torch.stack([0 * edge, 0 * edge, edge]),
            torch.stack([edge, edge, edge]),
        ]
    )
    tuning = orientation(convolving(kernels)).layers["0"]
    assert tuning.words == [Word.VERTICAL] * 3
    names = [tuning.colours[at] for at in tuning.colour.tolist()]
    assert names[0] in {"channel 0", "channel 1"}
    assert names[2] == "all channels"
    # All channels vary the third one as channel 2 alone does.
    torch.testing.assert_close(tuning.answers[1, 0], tuning.answers[1, 3])
    assert tuning.answers[0, 0].abs().max() < 1e-4 * tuning.answers[0, 1].max()


def test_turning_the_kernels_turns_the_answers() -> None:
    plain = orientation(convolving(KERNELS, 25, 25)).layers["0"]
    turned = orientation(convolving(KERNELS.rot90(1, (2, 3)), 25, 25)).layers["0"]
    torch.testing.assert_close(turned.answers, plain.answers.roll(6, 2), atol=0.02, rtol=0.01)
    opposite = {
        Word.HORIZONTAL: Word.VERTICAL,
        Word.VERTICAL: Word.HORIZONTAL,
        Word.RISING: Word.FALLING,
        Word.FALLING: Word.RISING,
    }
    assert turned.words == [opposite.get(word, word) for word in plain.words]


class Deep(nn.Module):
    """Convolutions by modules, twice, and by a function; units without maps behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.eyes = nn.Conv2d(1, 4, SIZE, padding=SIZE // 2, bias=False)
        self.again = nn.Conv2d(4, 4, 1, bias=False)
        self.dense = nn.Linear(4, 3)
        with torch.no_grad():
            self.eyes.weight.copy_(torch.stack([gabor(a) for a in (0, 45, 90, 135)])[:, None])
            self.again.weight.copy_(torch.eye(4).roll(1, 0)[:, :, None, None])  # unit u hears unit u − 1

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(torch.relu(self.eyes(x)), 2)
        x = self.again(self.again(x))
        x = F.conv2d(x, torch.eye(4)[:, :, None, None] * 2)
        return self.dense(x.amax((2, 3)))  # type: ignore[no-any-return]


LINES = [Word.HORIZONTAL, Word.RISING, Word.VERTICAL, Word.FALLING]


def test_units_behind_other_layers_have_the_orientations_of_what_they_hear() -> None:
    result = orientation(Subject(Deep(), (1, 26, 30)))
    assert list(result.layers) == ["eyes", "again", "again@2", "conv2d@4"]
    for name, turn in {"eyes": 0, "again": 1, "again@2": 2, "conv2d@4": 2}.items():
        assert result.layers[name].words == [LINES[(unit - turn) % 4] for unit in range(4)]
    assert list(result.kernels) == ["eyes"]
    assert result.kernels["eyes"].shape == (4, 1, SIZE, SIZE)
    # Only the strength tells the function's doubled answers.
    torch.testing.assert_close(result.layers["conv2d@4"].strength, 2 * result.layers["again@2"].strength)


def test_units_without_maps_are_shown_the_same() -> None:
    result = orientation(Subject(Deep(), (1, 26, 30)), ["dense", "dense"])
    assert list(result.layers) == ["dense"]
    assert result.layers["dense"].answers.shape == (3, 1, 12, 7)
    assert result.kernels == {}


def test_a_model_of_a_fixed_batch_and_few_images_at_once_give_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = orientation(Subject(Deep(), (1, 20, 20)))
    fixed = orientation(Subject(Deep(), (1, 20, 20), batch=3))
    # The function has the name of its module.
    monkeypatch.setattr(sys.modules["cutaway.look.orientation"], "_AT_ONCE", 1)
    single = orientation(Subject(Deep(), (1, 20, 20)))
    for name in ("eyes", "conv2d@4"):
        for other in (fixed, single):
            torch.testing.assert_close(other.layers[name].answers, wanted.layers[name].answers)
            torch.testing.assert_close(other.layers[name].even, wanted.layers[name].even)


def slow_spectrum(kernel: Tensor, size: int) -> tuple[float, float]:
    """A kernel's orientation by sums over pixels and frequencies ``(C, h, w)``."""
    z, total = 0j, 0.0
    _, height, width = kernel.shape
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    for down in range(-size // 2, size // 2):
        for across in range(-size // 2, size // 2):
            if not 0 < math.hypot(down, across) <= size / 2:
                continue
            turn = 2 * math.pi * (down * y + across * x) / size
            power = 0.0
            for channel in kernel.double():
                power += float((channel * turn.cos()).sum()) ** 2 + float((channel * turn.sin()).sum()) ** 2
            theta = math.atan2(across, down)
            z += power * complex(math.cos(2 * theta), math.sin(2 * theta))
            total += power
    return math.degrees(math.atan2(z.imag, z.real)) / 2 % 180, abs(z) / total


def test_the_spectrum_of_a_kernel_is_its_sum_over_frequencies() -> None:
    kernels = torch.randn(4, 2, 5, 6, generator=torch.Generator().manual_seed(1))
    kernels[3] = torch.stack([gabor(30)[2:7, 2:8], gabor(30)[2:7, 2:8]])
    degrees, strengths = kernel_orientation(kernels)
    for unit, kernel in enumerate(kernels):
        wanted, strength = slow_spectrum(kernel, 32)
        assert abs((float(degrees[unit]) - wanted + 90) % 180 - 90) < 0.6  # half a wave a pixel comes once
        assert float(strengths[unit]) == pytest.approx(strength, abs=0.01)


@pytest.mark.parametrize("angle", range(0, 180, 15))
def test_the_spectrum_of_a_gabor_kernel_has_its_angle(angle: int) -> None:
    degrees, strengths = kernel_orientation(torch.stack([gabor(angle), gabor(angle, phase=1.0)])[:, None])
    assert ((degrees - angle + 90) % 180 - 90).abs().max() < 1
    assert (strengths > 0.85).all()


def test_spectra_of_kernels_without_an_orientation() -> None:
    degrees, strengths = kernel_orientation(
        torch.stack([HAND_MADE[name][0] for name in ("Laplace", "nothing")])[:, None]
    )
    assert strengths[0] < 1e-6
    assert strengths[1] == 0
    assert degrees[1].isnan()


def broken(name: str, value: float) -> Subject:
    subject = Subject(Deep(), (1, 16, 16), name="mine")
    with torch.no_grad():
        subject.model.get_parameter(name).view(-1)[0] = value
    return subject


Failing = Callable[[], Orientation]
ERRORS: dict[str, tuple[Failing, type[Exception], str]] = {
    "unknown layer": (
        lambda: orientation(Subject(Deep(), (1, 16, 16)), ["eyse"]),
        NotFoundError,
        'Did you mean "eyes"',
    ),
    "no layers": (lambda: orientation(Subject(Deep(), (1, 16, 16)), []), ConfigError, "no layers"),
    "NaN": (lambda: orientation(broken("eyes.weight", math.nan)), DataError, "mine: eyes.weight has 1 value"),
    "infinite": (lambda: orientation(broken("again.weight", math.inf)), DataError, "again.weight"),
    "no rows": (
        lambda: orientation(Subject(Whole(), (1, 16, 16)), ["flat"]),
        ConfigError,
        "not a row for each",
    ),
    "phases": (lambda: orientation(Subject(Deep(), (1, 16, 16)), phases=1), ConfigError, "phases"),
}


class Whole(nn.Module):
    """A layer that gives one value for all images."""

    def __init__(self) -> None:
        super().__init__()
        self.flat = nn.Flatten(0)

    def forward(self, x: Tensor) -> Tensor:
        return self.flat(x)[:3].expand(len(x), 3)  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", ERRORS)
def test_what_can_not_be_shown_is_told(name: str) -> None:
    look, error, told = ERRORS[name]
    with pytest.raises(error, match=told):
        look()
