"""Grad-CAM by its formula, of every layer at once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from cutaway import Subject
from cutaway.errors import ConfigError, NotFoundError
from cutaway.look import capture
from cutaway.look.backward import Target, gradcam, guided, guided_gradcam

from .styles import IMAGES, PIXELS, SHAPE, STYLES, Modules, Plain, Style, close, subject_of, values

ADDRESSES = ["relu@1", "max_pool2d@1", "conv2d@2", "cat@1"]
"""Values that every way of writing the net has, but for one."""


def by_formula(model: Plain, number: int, unit: int) -> Tensor:
    """``max(0, Σ_k α_k A_k)`` of layer ``number``, map by map, ``(N, h, w)``."""
    found = []
    for image in IMAGES:
        maps = model.layers[: number + 1](image[None]).detach().requires_grad_()
        logit = model.layers[number + 1 :](maps)[0, unit]
        (grads,) = torch.autograd.grad(logit, maps)
        cam = torch.zeros(maps.shape[2:])
        for k in range(maps.shape[1]):
            cam += grads[0, k].mean() * maps[0, k].detach()
        found.append(cam.clamp_min(0))
    return torch.stack(found)


def test_every_layer_has_what_the_formula_gives() -> None:
    model = Plain().eval()
    found = gradcam(subject_of(model), IMAGES, [0, "c"])
    assert list(found.layers) == [f"layers.{number}" for number in range(5)]
    assert (found.targets, found.values.shape) == (("a", "c"), (2, 5))
    for number in range(5):
        for place, unit in enumerate((0, 2)):
            wanted = by_formula(model, number, unit)
            torch.testing.assert_close(found.layers[f"layers.{number}"][place], wanted, atol=1e-8, rtol=1e-4)
        assert (found.layers[f"layers.{number}"] > 0).any()


def test_there_is_one_pass_forward_and_one_back_for_each_target() -> None:
    model = Plain().eval()
    passes = {"forward": 0, "back": 0}

    def count(way: str) -> None:
        passes[way] += 1

    model.layers[0].register_forward_hook(lambda *_: count("forward"))
    model.layers[3].register_forward_hook(
        lambda *args: (
            args[2].register_hook(lambda _: count("back")) and None if args[2].requires_grad else None
        )
    )
    gradcam(subject_of(model), IMAGES, [0, 1])
    assert passes["back"] == 2
    assert passes["forward"] == 3  # two black images and one: to find the layers, then the pass itself


def test_a_layer_is_enlarged_by_interpolation() -> None:
    found = gradcam(subject_of(Plain()), IMAGES, 1, ["layers.2"])
    wide = found.enlarged("layers.2")
    assert wide.shape == (1, 5, 8, 8)
    small = found.layers["layers.2"]
    # Pixel 3 lies a quarter from the centre of cell 1 to that of cell 2.
    torch.testing.assert_close(wide[..., 0, 3], 0.75 * small[..., 0, 1] + 0.25 * small[..., 0, 2])


@pytest.mark.parametrize("kind", STYLES[1:4])
def test_a_net_has_the_same_maps_however_it_is_written(kind: type[Style]) -> None:
    names = ADDRESSES if kind is not STYLES[2] else ADDRESSES[:3]
    if kind is STYLES[1]:
        names = ADDRESSES[:3]  # joined by concat
    wanted = gradcam(subject_of(Modules()), IMAGES, [0, 2], names)
    found = gradcam(subject_of(kind()), IMAGES, [0, 2], names)
    for name in names:
        torch.testing.assert_close(found.layers[name], wanted.layers[name], atol=1e-7, rtol=1e-4)
    assert (wanted.layers["relu@1"] > 0).any()


def test_a_batch_is_its_images() -> None:
    subject = subject_of(Modules())
    many = IMAGES.repeat(8, 1, 1, 1)
    whole = gradcam(subject, many, 1)
    assert list(whole.layers)[:2] == ["first", "norm"]
    for number in (0, 31, 33):
        alone = gradcam(subject, many[number : number + 1], 1)
        for name, value in alone.layers.items():
            torch.testing.assert_close(whole.layers[name][:, number], value[:, 0], atol=1e-7, rtol=1e-4)


def test_a_unit_of_a_layer_is_a_target_too() -> None:
    model = Plain().eval()
    found = gradcam(subject_of(model), IMAGES, Target({2: 1.0}, "layers.3", "sum"), ["layers.1"])
    maps = model.layers[:2](IMAGES).detach().requires_grad_()
    (grads,) = torch.autograd.grad(model.layers[2:4](maps)[:, 2].sum(), maps)
    wanted = (grads.mean((2, 3), keepdim=True) * maps.detach()).sum(1).clamp_min(0)
    close(found.layers["layers.1"][0], wanted, 1e-5)


def test_channels_may_come_last() -> None:
    class Inner(nn.Module):
        def __init__(self, layer: nn.Module) -> None:
            super().__init__()
            self.layer = [layer]  # no module of its own

        def forward(self, x: Tensor) -> Tensor:
            return self.layer[0](x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)  # type: ignore[no-any-return]

    class Last(nn.Module):
        """As a library that keeps channels last: modules take and give ``(N, h, w, C)``."""

        def __init__(self) -> None:
            super().__init__()
            self.kept = Plain().eval()
            self.stem, self.act, self.pool = (Inner(self.kept.layers[number]) for number in (0, 1, 2))

        def forward(self, x: Tensor) -> Tensor:
            x = self.pool(self.act(self.stem(x))).permute(0, 3, 1, 2)
            return self.kept.layers[3:](x)  # type: ignore[no-any-return]

    last = Subject(Last().eval(), SHAPE, preprocess=lambda pixels: (pixels.float() / 255).permute(0, 2, 3, 1))
    wanted = gradcam(subject_of(Plain()), PIXELS, 1).layers
    found = gradcam(last, PIXELS, 1, ["stem", "act", "conv2d@1"]).layers
    for name, other in (("stem", "layers.0"), ("act", "layers.1"), ("conv2d@1", "layers.0")):
        close(found[name], wanted[other], 1e-5)
    # Four maps of four by four.
    with pytest.raises(ConfigError, match=r"pool gives 4×4×4: its sizes don't tell .* such as conv2d@1"):
        gradcam(last, PIXELS, 1, ["pool"])


def test_guided_gradcam_is_the_product() -> None:
    subject = subject_of(Plain())
    found = guided_gradcam(subject, IMAGES, [0, 1], "layers.1")
    lines = guided(subject, IMAGES, [0, 1])
    cams = gradcam(subject, IMAGES, [0, 1], ["layers.1"]).enlarged("layers.1")
    for channel in range(2):
        close(found.maps[:, :, channel], lines.maps[:, :, channel] * cams)
    assert found.method == "guided Grad-CAM"
    last = guided_gradcam(subject, IMAGES, [0, 1])
    assert torch.equal(last.maps, guided_gradcam(subject, IMAGES, [0, 1], "layers.4").maps)


def test_a_product_that_is_zero_says_which_factor_is() -> None:
    model = Plain().eval()
    with torch.no_grad():  # every derivative by the last maps is negative
        values(model.layers[6]).copy_(-values(model.layers[6]).abs())
        values(model.layers[6], "bias").fill_(9)
        values(model.layers[8]).abs_()
    found = guided_gradcam(subject_of(model), IMAGES, 1)
    assert (found.maps == 0).all()
    lines = guided(subject_of(model), IMAGES, 1)
    assert found.notes[: len(lines.notes)] == lines.notes
    assert (lines.maps == 0).flatten(2).all(2).sum() + len(found.notes) > 0
    assert any("zero everywhere" in note for note in found.notes)


def test_layers_without_maps_are_refused() -> None:
    subject = subject_of(Plain())
    with pytest.raises(ConfigError, match=r"layers\.6 gives 6 for an image, not maps"):
        gradcam(subject, IMAGES, 1, ["layers.6"])
    with pytest.raises(NotFoundError, match=r'no layer "layers\.9"'):
        gradcam(subject, IMAGES, 1, ["layers.9"])
    with pytest.raises(ConfigError, match="net has no layers with maps"):
        gradcam(subject, IMAGES, 1, [])
    dense = subject_of(nn.Sequential(nn.Flatten(), nn.Linear(128, 3)))
    for look in (gradcam, guided_gradcam):
        with pytest.raises(ConfigError, match="net has no layers with maps; Grad-CAM needs one"):
            look(dense, IMAGES, 1)


class _Views(nn.Module):
    """Maps that are a view, changed in place behind it: by a module whose result is used, or dropped."""

    def __init__(self, *, inplace: bool, dropped: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.dense, self.view, self.relu = nn.Linear(27, 64), nn.Unflatten(1, (4, 4, 4)), nn.ReLU(inplace)
        self.conv, self.out = nn.Conv2d(4, 5, 3), nn.Linear(20, 3)
        self.dropped = dropped

    def forward(self, x: Tensor) -> Tensor:
        maps = self.view(self.dense(x.flatten(1)))
        if self.dropped:
            self.relu(maps)
        else:
            maps = self.relu(maps)
        found: Tensor = self.out(self.conv(maps).flatten(1))
        return found


def test_a_view_that_a_module_changes_in_place_has_its_gradient() -> None:
    images = torch.randint(256, (2, 3, 3, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    wanted, found = (
        gradcam(Subject(_Views(inplace=inplace).eval(), (3, 3, 3)), images, [0, 1], ["view", "relu"])
        for inplace in (False, True)
    )
    for name, maps in wanted.layers.items():
        assert (maps > 0).any()
        torch.testing.assert_close(found.layers[name], maps)
    dropped = Subject(_Views(inplace=True, dropped=True).eval(), (3, 3, 3))
    torch.testing.assert_close(
        dropped.predict(images), Subject(_Views(inplace=False).eval(), (3, 3, 3)).predict(images)
    )
    with pytest.raises(ConfigError, match="view is changed in place under another name"):
        gradcam(dropped, images, [0], ["view"])
    with capture(dropped.model, ["view", "conv:input"]) as outputs:
        found_values = outputs(dropped.inputs(images))
    assert (found_values["view"] < 0).any()
    assert torch.equal(found_values["conv:input"], found_values["view"].relu())


class _Called(nn.Module):
    """A module that is called in place and does not change what it is given."""

    inplace = True

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc = nn.Linear(36, width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu_(self.fc(x))


class _Caller(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.conv, self.block, self.out = nn.Conv2d(1, 4, 3), _Called(width), nn.Linear(36 + width, 3)

    def forward(self, x: Tensor) -> Tensor:
        flat = self.conv(x).flatten(1)
        found: Tensor = self.out(torch.cat([self.block(flat), flat], 1))
        return found


@pytest.mark.parametrize("width", [36, 7])
def test_a_module_that_is_only_called_in_place_changes_nothing(width: int) -> None:
    subject = Subject(_Caller(width).eval(), (1, 5, 5))
    images = torch.randint(256, (2, 1, 5, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    found = gradcam(subject, images, [0], ["conv"])
    with torch.no_grad():
        torch.testing.assert_close(found.values[0].float(), subject.logits(subject.inputs(images))[:, 0])
