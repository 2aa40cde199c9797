"""DeepLift's rescale rule against the paper's formulas by loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cutaway.errors import ConfigError
from cutaway.look.backward import PREDICTED, Target, deeplift, gradient_input

from .styles import IMAGES, SHAPE, STYLES, Plain, Style, close, subject_of


def pooled(
    given: Tensor, ground: Tensor, multipliers: Tensor, *, size: int = 2, stride: int = 2, padding: int = 0
) -> Tensor:
    """Multipliers of a max-pool's inputs, window by window, for images one by one.

    Of a window's change, what the image has gained belongs to the place of the image's maximum, what it has
    lost to that of the baseline's.
    """
    found = torch.zeros_like(given)
    for channel in range(given.shape[0]):
        for row in range(multipliers.shape[1]):
            for column in range(multipliers.shape[2]):
                places = [
                    (r, c)
                    for r in range(row * stride - padding, row * stride - padding + size)
                    for c in range(column * stride - padding, column * stride - padding + size)
                    if 0 <= r < given.shape[1] and 0 <= c < given.shape[2]
                ]
                now = max(places, key=lambda place: float(given[channel][place]))
                then = max(places, key=lambda place: float(ground[channel][place]))
                change = given[channel][now] - ground[channel][then]
                at = now if change > 0 else then
                difference = given[channel][at] - ground[channel][at]
                if abs(float(difference)) > 1e-9:
                    found[channel][at] += multipliers[channel, row, column] * change / difference
    return found


def by_hand(model: Plain, image: Tensor, ground: Tensor, unit: int) -> Tensor:
    """Contributions ``(x − x') m`` with multipliers from the top down, in float64."""
    layers = list(model.layers.double())
    now, then = [image.double()], [ground.double()]
    with torch.no_grad():
        for layer in layers:
            now.append(layer(now[-1][None])[0])
            then.append(layer(then[-1][None])[0])
        back = F.one_hot(torch.tensor(unit), 3).double()
        for number in range(len(layers) - 1, -1, -1):
            layer, x, y = layers[number], now[number], then[number]
            if isinstance(layer, nn.Conv2d):
                back = F.conv_transpose2d(back[None], layer.weight, padding=layer.padding)[0]  # type: ignore[arg-type]
            elif isinstance(layer, nn.Linear):
                back = back @ layer.weight
            elif isinstance(layer, nn.MaxPool2d):
                back = pooled(x, y, back)
            elif isinstance(layer, nn.Flatten):
                back = back.view_as(x)
            else:
                back = back * (now[number + 1] - then[number + 1]) / (x - y)
    return (now[0] - then[0]) * back


@pytest.mark.parametrize("act", [nn.ReLU, nn.Tanh, nn.Sigmoid, nn.ELU, nn.GELU, nn.SiLU, nn.LeakyReLU])
def test_contributions_are_those_of_the_rule_by_hand(act: type[nn.Module]) -> None:
    ground = IMAGES.flip(0) * 0.7 + 0.1
    subject = subject_of(Plain(act).double())
    found = deeplift(subject, IMAGES, [0, 2], baseline=ground)
    for place, unit in enumerate((0, 2)):
        for number in range(2):
            wanted = by_hand(Plain(act), IMAGES[number], ground[number], unit)
            close(found.maps[place, number], wanted, 1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 2},
        {"kernel_size": 3, "stride": 2},
        {"kernel_size": 3, "stride": 1, "padding": 1},
        {"kernel_size": 3, "stride": 2, "padding": 1},
    ],
)
def test_max_pools_with_windows_that_overlap(options: dict[str, int]) -> None:
    torch.manual_seed(2)
    pool = nn.MaxPool2d(**options)  # type: ignore[arg-type]
    size = pool(IMAGES).flatten(1).shape[1]
    head = nn.Linear(size, 3).double()
    model = nn.Sequential(pool, nn.Flatten(), head)
    ground = IMAGES.roll(1, 0).double()
    found = deeplift(subject_of(model), IMAGES, 1, baseline=ground)
    for number, image in enumerate(IMAGES.double()):
        multipliers = head.weight[1].detach().view(pool(image).shape)
        wanted = pooled(
            image,
            ground[number],
            multipliers,
            size=options["kernel_size"],
            stride=options.get("stride", options["kernel_size"]),
            padding=options.get("padding", 0),
        )
        close(found.maps[0, number], (image - ground[number]) * wanted, 1e-5)
    assert found.gap is not None
    assert found.gap.abs().max() < 1e-5


@pytest.mark.parametrize("baseline", ["black", "mean", "blur", "random"])
@pytest.mark.parametrize("kind", STYLES)
def test_a_map_adds_up_to_the_difference(kind: type[Style], baseline: Any) -> None:
    found = deeplift(
        subject_of(kind()), IMAGES, [0, PREDICTED, Target({1: 1.0}, "conv2d@2", "sum")], baseline=baseline
    )
    assert found.gap is not None
    assert found.gap.abs().max() < 1e-5 * found.values.abs().max()
    assert found.maps.flatten(2).sum(2).abs().max() > 1e-2


def test_the_gap_is_what_a_plain_gradient_lacks() -> None:
    class Squared(Plain):
        def forward(self, x: Tensor) -> Tensor:
            found = super().forward(x)
            return found * found

    model = Squared().eval()
    found = deeplift(subject_of(model), IMAGES, 1, otherwise="gradient")
    with torch.no_grad():
        wanted = model(IMAGES)[:, 1] - model(torch.zeros(1, *SHAPE))[0, 1]
    assert found.gap is not None
    torch.testing.assert_close(found.gap[0], wanted - found.maps[0].flatten(1).sum(1), atol=1e-6, rtol=1e-4)
    assert found.gap.abs().max() > 1e-4


def test_of_a_linear_model_it_is_the_gradient_times_the_difference() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(27, 3))
    close(deeplift(subject_of(model), IMAGES, 1).maps, gradient_input(subject_of(model), IMAGES, 1).maps)


def test_units_that_do_not_change_have_their_gradient() -> None:
    """A quotient of nothing by nothing: where image and baseline agree, but not after a later sum."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Tanh(), nn.Flatten(), nn.Linear(128, 3))
    ground = IMAGES.clone()
    ground[:, 0, 0, 0] += 0.25
    found = deeplift(subject_of(model), IMAGES, 1, baseline=ground)
    assert found.maps.isfinite().all()
    assert (found.maps[0, :, 0, 0, 0] != 0).all()
    assert int((found.maps != 0).sum()) == len(IMAGES)


class Middle(nn.Module):
    """Something between a convolution and a dense layer."""

    def __init__(self, middle: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.conv = nn.Conv2d(2, 4, 3)
        self.head = nn.Linear(144, 3)
        self.middle = middle

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.middle(self.conv(x)).reshape(len(x), -1))  # type: ignore[no-any-return]


LINEAR: dict[str, Callable[[Tensor], Tensor]] = {
    "halves": lambda x: x / 2,
    "turned round": lambda x: 1 - x,
    "minus": lambda x: -x,
    "masked": lambda x: x.masked_fill(torch.eye(6).bool(), 0.5),
    "constant": lambda x: x * torch.arange(6) + torch.ones(6),
    "idle dropout": lambda x: F.dropout(x, 0.5, training=False),
    "changed behind": lambda x: torch.relu(x) + x.add_(1),
    "changed in front": lambda x: torch.tanh(x.mul_(3).sub_(0.1)),
    "a view of it": lambda x: torch.cat([x[:, :2].relu_(), x[:, 2:]], 1),
}


@pytest.mark.parametrize("name", LINEAR)
def test_what_may_stand_between(name: str) -> None:
    found = deeplift(subject_of(Middle(LINEAR[name])), IMAGES, 1)
    assert found.gap is not None
    assert found.gap.abs().max() < 1e-6


REFUSED: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "squares": (lambda x: x * x, "mul"),
    "quotients": (lambda x: x / (x.amax() + 1), "div"),
    "inverse": (lambda x: 1 / (x + 9), "div"),
    "floors": (lambda x: torch.div(x, 0.1, rounding_mode="floor"), "div"),
    "products": (lambda x: x @ x, "matmul"),
    "softmax": (lambda x: x.softmax(1), "softmax"),
    "layer norm": (lambda x: F.layer_norm(x, (6, 6)), "layer_norm"),
    "the batch's statistics": (lambda x: F.batch_norm(x, None, None, training=True), "batch_norm"),
    "dropout that is on": (lambda x: F.dropout(x, 0.5), "dropout"),
    "a limit that depends": (lambda x: torch.clamp(x, max=x.mean()), "clamp"),
    "a mask": (lambda x: x * (x > 0), "mul by a value"),
    "exp": (torch.exp, "exp"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_rule_is_refused_by_name(name: str) -> None:
    middle, told = REFUSED[name]
    with pytest.raises(ConfigError, match=rf"DeepLift has no rule for {told}"):
        deeplift(subject_of(Middle(middle)), IMAGES, 1)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_hidden_script_is_found() -> None:
    script = torch.jit.trace(torch.relu, torch.ones(1, 4, 6, 6))

    def middle(x: Tensor) -> Tensor:
        return script(x) * 2  # type: ignore[no-any-return]

    with pytest.raises(ConfigError, match=r"DeepLift has no rule for .* runs as a script"):
        deeplift(subject_of(Middle(middle)), IMAGES, 1)


def test_a_model_that_takes_another_way_for_the_image_is_refused() -> None:
    def middle(x: Tensor) -> Tensor:
        return x.tanh() if float(x.detach().std()) > 0.12 else x.sigmoid()

    assert float(Middle(nn.Identity()).conv(IMAGES).detach().std()) > 0.12
    with pytest.raises(ConfigError, match="the model takes another way for it"):
        deeplift(subject_of(Middle(middle)), IMAGES, 1)
