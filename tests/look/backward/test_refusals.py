"""What can't be explained is said in a line or two, with its likely cause; models of others work."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cutaway import Subject
from cutaway.errors import ConfigError
from cutaway.look.backward import (
    Target,
    deconvnet,
    deeplift,
    gradcam,
    gradient_input,
    guided,
    integrated_gradients,
    lrp,
    saliency,
    smoothgrad,
)

from ..foreign_models import MODELS, FixedBatch, Logits, Noted, make
from .styles import IMAGES, SHAPE, Plain, close, subject_of, values

LOOKS: dict[str, Callable[..., Any]] = {
    "saliency": saliency,
    "gradient × input": gradient_input,
    "smoothgrad": lambda *args: smoothgrad(*args, samples=2),
    "integrated": lambda *args: integrated_gradients(*args, steps=2),
    "guided": guided,
    "deconvnet": deconvnet,
    "deeplift": lambda *args: deeplift(*args, otherwise="gradient"),
    "gradcam": gradcam,
    "lrp": lrp,
}
ALL = pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)


class Ended(nn.Module):
    """A net with something behind or in front of it."""

    def __init__(
        self, end: Callable[[Tensor], Tensor], start: Callable[[Tensor], Tensor] = lambda x: x
    ) -> None:
        super().__init__()
        self.inner, self.end, self.start = Plain(), end, start

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.inner(self.start(x)))


def switched_off(x: Tensor) -> Tensor:
    with torch.no_grad():
        return x * 2


CUT: dict[str, Callable[[], Ended]] = {
    "detached": lambda: Ended(lambda x: x.detach()),
    "data": lambda: Ended(lambda x: x.data),
    "no_grad": lambda: Ended(switched_off),
    "argmax": lambda: Ended(lambda x: F.one_hot(x.argmax(1), 3)),
    "rounded": lambda: Ended(lambda x: x.long().float()),
    "NumPy": lambda: Ended(lambda x: torch.from_numpy(x.detach().numpy())),
    "constant": lambda: Ended(lambda x: torch.ones(len(x), 3)),
    "cut in front": lambda: Ended(lambda x: x, lambda x: x.detach()),
}


@ALL
@pytest.mark.parametrize("name", CUT)
def test_a_model_that_is_not_differentiable_is_told(look: Callable[..., Any], name: str) -> None:
    with pytest.raises(
        ConfigError, match=r"net: its logits can't be differentiated by the input\. .*take it out"
    ):
        look(subject_of(CUT[name]()), IMAGES, 1)


@ALL
def test_so_is_a_layer_that_does_not_depend_on_the_image(look: Callable[..., Any]) -> None:
    class Beside(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.beside = nn.Conv2d(2, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + self.beside(torch.ones_like(x)).mean()  # type: ignore[no-any-return]

    with pytest.raises(ConfigError, match=r"net: beside can't be differentiated by the input"):
        look(subject_of(Beside()), IMAGES, Target({1: 1.0}, "beside"))


@ALL
def test_what_the_model_says_of_an_input_is_told(look: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match=r"net can't be applied to \d images?: .*shape"):
        look(subject_of(Ended(lambda x: x.view(7, 3))), IMAGES, Target({0: 1.0}))


def test_weights_of_inference_mode_are_told() -> None:
    with torch.inference_mode():
        model = Plain()
    with pytest.raises(ConfigError, match=r"weights were made inside torch\.inference_mode\(\)"):
        saliency(subject_of(model), IMAGES, 1)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_what_pytorch_says_of_the_way_back_is_told() -> None:
    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(_: Any, x: Tensor) -> Tensor:
            return x * 2

        @staticmethod
        def backward(_: Any, *arriving: Tensor) -> Tensor:
            raise RuntimeError("no way back. Really.")

    with pytest.raises(ConfigError, match=r"^net can't be walked backwards: no way back\.$"):
        saliency(subject_of(Ended(Broken.apply)), IMAGES, 1)


def dead(layer: int) -> Plain:
    """A net whose ReLU behind one layer is off for every image."""
    model = Plain().eval()
    bias = model.layers[layer].bias
    assert isinstance(bias, Tensor)
    with torch.no_grad():
        bias.fill_(-100)
    return model


@pytest.mark.parametrize(
    "name", ["saliency", "gradient × input", "smoothgrad", "integrated", "guided", "deeplift"]
)
@pytest.mark.parametrize(("layer", "behind"), [(0, "layers.1"), (3, "layers.4"), (6, "layers.7")])
def test_a_zero_map_names_the_layer_that_is_off(name: str, layer: int, behind: str) -> None:
    found = LOOKS[name](subject_of(dead(layer)), IMAGES, ["a", 1])
    assert (found.maps == 0).all()
    assert found.notes == tuple(
        f"{target}: the maps of 5 images (0, 1, 2, 3, 4) are zero everywhere. What goes back ends at "
        f"{behind}: units there are off or saturated, or weights are zero."
        for target in "ab"
    )


def test_only_the_images_whose_map_is_zero_are_named() -> None:
    model = Plain().eval()
    images = IMAGES.clone()
    with torch.no_grad():
        values(model.layers[0], "bias").fill_(0)
        values(model.layers[0]).abs_()
    images[1] = -images[1].abs()
    images[3:] = images[3:].abs()
    found = saliency(subject_of(model), images, 1)
    assert (found.maps[0, 1] == 0).all()
    assert (found.maps[0, 3] != 0).any()
    assert len(found.notes) == 1
    assert found.notes[0].startswith(
        "b: the map of image 1 is zero everywhere. What goes back ends at layers.1:"
    )
    assert not saliency(subject_of(model), images[3:], 1).notes


def test_weights_that_are_zero_and_sigmoids_that_are_saturated_are_named_too() -> None:
    model = Plain(nn.Sigmoid).eval()
    with torch.no_grad():
        values(model.layers[3]).zero_()
    assert "ends at layers.3" in saliency(subject_of(model), IMAGES, 1).notes[0]
    with torch.no_grad():
        values(model.layers[3], "bias").fill_(200)
    assert "ends at layers.4" in saliency(subject_of(model), IMAGES, 1).notes[0]
    assert "ends at layers.3" in saliency(subject_of(model), IMAGES, Target({1: 1.0}, "layers.3")).notes[0]


def test_functions_that_are_off_are_named_by_their_call() -> None:
    model = Ended(lambda x: F.relu(x - 100))
    assert "ends at relu@4" in saliency(subject_of(model), IMAGES, 1).notes[0]
    model = Ended(lambda x: x.sub_(100).relu_().add(1))
    assert "ends between inner.layers.8 and relu@4" in guided(subject_of(model), IMAGES, 1).notes[0]


def test_an_image_like_its_baseline_and_a_black_one_are_told() -> None:
    black = torch.zeros(1, *SHAPE)
    for found in (
        integrated_gradients(subject_of(Plain()), black, 1),
        deeplift(subject_of(Plain()), black, 1),
    ):
        assert "The image is like its baseline" in found.notes[0]
    assert "Its input is zero" in gradient_input(subject_of(Plain()), black, 1).notes[0]


@pytest.fixture
def _quiet_tracing() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript is on its way out
        yield


@pytest.mark.usefixtures("_quiet_tracing")
@pytest.mark.parametrize("kind", MODELS)
def test_models_of_others_have_gradients_and_activations(kind: type[Noted]) -> None:
    """The gradient against autograd without modes and hooks, on a model that leaves its values alone."""
    inputs = torch.randn(4, *Noted.shape, generator=torch.Generator().manual_seed(2))
    fixed = 4 if kind is FixedBatch else None
    subject = Subject(make(kind), Noted.shape, batch=fixed, output="logits" if kind is Logits else None)
    found = saliency(subject, inputs, [0, 1])
    cams = gradcam(subject, inputs, [0, 1])
    assert cams.layers
    model = make(kind).eval()
    for place in range(2):
        if kind.__name__ != "InPlace":  # PyTorch can't differentiate it
            leaf = inputs.clone().requires_grad_()
            given = model(leaf.clone())
            logits = given["logits"] if isinstance(given, dict) else given
            (wanted,) = torch.autograd.grad(logits[:, place].sum(), leaf)
            torch.testing.assert_close(found.maps[place], wanted, atol=1e-7, rtol=1e-4)
        for number in range(4):
            one = saliency(subject, inputs[number : number + 1], place).maps[0, 0]
            torch.testing.assert_close(found.maps[place, number], one, atol=1e-6, rtol=1e-4)
    for name, value in gradcam(subject, inputs[2:3], [0, 1]).layers.items():
        torch.testing.assert_close(cams.layers[name][:, 2], value[:, 0], atol=1e-6, rtol=1e-4)
    model.train()


def built(keras: Any, data_format: str) -> Subject:
    """Weights of its own, a net of this file's shape."""
    keras.utils.set_random_seed(4)
    form: dict[str, Any] = {"data_format": data_format}
    first = data_format == "channels_first"
    model = keras.Sequential(
        [
            keras.Input(SHAPE if first else (8, 8, 2)),
            keras.layers.Conv2D(4, 3, name="stem", activation="relu", **form),
            keras.layers.BatchNormalization(name="norm", axis=1 if first else -1),
            keras.layers.MaxPooling2D(name="pool", **form),
            keras.layers.GlobalAveragePooling2D(name="mean", **form),
            keras.layers.Dense(3, name="head"),
        ]
    )

    def prepared(pixels: Tensor) -> Tensor:
        values = pixels.float() / 255
        return values if first else values.permute(0, 2, 3, 1)

    return Subject(model, SHAPE, preprocess=prepared, name="keras")


def test_keras_models_have_the_same_maps_wherever_their_channels_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    import keras

    assert os.environ["KERAS_BACKEND"] == "torch"
    pixels = ((IMAGES + 0.5) * 127).to(torch.uint8)
    first, last = built(keras, "channels_first"), built(keras, "channels_last")
    for one, other in zip(first.model.parameters(), last.model.parameters(), strict=True):
        assert torch.equal(one, other)
    for look in (saliency, guided, deeplift, integrated_gradients):
        wanted = look(first, pixels, [0, 2])
        close(look(last, pixels, [0, 2]).maps, wanted.maps, 1e-5)
    leaf = (pixels.float() / 255).requires_grad_()
    (gradient,) = torch.autograd.grad(first.model(leaf, training=False)[:, 2].sum(), leaf)
    close(saliency(first, pixels, 2).maps[0], gradient, 1e-5)
    wanted_cams, cams = (
        gradcam(first, pixels, [0, 2], ["stem", "norm"]),
        gradcam(last, pixels, [0, 2], ["stem", "norm"]),
    )
    for name, value in wanted_cams.layers.items():
        close(cams.layers[name], value, 1e-5)
