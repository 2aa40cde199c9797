"""Published names: every tensor finds its place, and the logits are those of the plain model."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from cutaway.errors import ConfigError
from cutaway.nets import ZOO, find_net, parse_net, plan
from cutaway.nets.builder import build
from cutaway.nets.published import layout_of, published_names

from .published_models import VGG, GoogLeNet, ResNet18, alexnet, vgg

SMALL_VGG = (
    "conv 6 3x3 pad 1 | relu | maxpool 2 | conv 5 3x3 pad 1 | relu | conv 4 3x3 pad 1 | relu | maxpool 2"
    " | flatten | dense 9 | relu | dropout 0.5 | dense 9 | relu | dropout 0.5 | dense 7"
)


def _shapes(state: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items()}


def _randomised(model: nn.Module) -> nn.Module:
    """Also what batch norm has learnt and measured, so that a mix-up shows."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values, least in (
                (module.weight, 0.5),
                (module.bias, -0.5),
                (module.running_mean, -0.5),
                (module.running_var, 0.5),
            ):
                assert values is not None
                values.data = torch.rand(values.shape, generator=generator) + least
    return model.eval()


@pytest.mark.parametrize(
    ("net", "shape", "make"),
    [
        ("alexnet", (3, 224, 224), alexnet),
        ("resnet18", (3, 64, 96), ResNet18),
        ("googlenet-batchnorm", (3, 64, 64), GoogLeNet),
        (SMALL_VGG, (3, 8, 8), lambda: vgg([6, "M", 5, 4, "M"], 16, 9, 7)),
    ],
    ids=["alexnet", "resnet18", "googlenet", "vgg"],
)
def test_the_logits_are_those_of_the_plain_model(net: str, shape: tuple[int, int, int], make: type) -> None:
    model = _randomised(make())
    published = model.state_dict()
    planned = plan(find_net(net), shape)
    built = build(planned, seed=3).eval()
    names = published_names(planned, _shapes(published))
    missing = built.load_state_dict({ours: published[theirs] for ours, theirs in names.items()}, strict=True)
    assert not missing.missing_keys
    left_out = set(published) - set(names.values())
    assert all(name.startswith("aux1.") for name in left_out)
    images = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(built(images), model(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", VGG)
def test_every_vgg_s_tensors_find_their_places(name: str) -> None:
    with torch.device("meta"):
        published = vgg(VGG[name], 25088, 4096, 1000).state_dict()
        own = build(plan(find_net(name), (3, 224, 224)), 0).state_dict()
    names = published_names(plan(find_net(name), (3, 224, 224)), _shapes(published))
    assert set(names) == set(own)
    assert list(names.values()) == list(published)
    assert all(own[ours].shape == published[theirs].shape for ours, theirs in names.items())


@pytest.mark.parametrize("name", ["small", "resnet20", "lenet-5", "googlenet", "cifarnet"])
def test_a_net_s_own_names_are_taken_as_they_are(name: str) -> None:
    planned = plan(find_net(name), ZOO[name].input_shape)
    with torch.device("meta"):
        own = build(planned, 0).state_dict()
    assert published_names(planned, _shapes(own)) == {key: key for key in own}


def _resnet() -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return _shapes(ResNet18().state_dict())


def test_weights_of_another_net_are_told_by_the_first_that_is_wrong() -> None:
    planned = plan(find_net("resnet18"), (3, 224, 224))
    shapes = _resnet()
    short = {name: shape for name, shape in shapes.items() if name != "layer2.1.bn1.running_var"}
    with pytest.raises(
        ConfigError, match=r"layer2\.1\.bn1\.running_var, for residual4\.batchnorm1\.running_"
    ):
        published_names(planned, short)
    with pytest.raises(ConfigError, match=r"layer5\.0\.conv1\.weight has no place here"):
        published_names(planned, shapes | {"layer5.0.conv1.weight": (3,)})
    with pytest.raises(ConfigError, match=r"fc\.weight is 10×512, but dense1\.weight is 1000×512"):
        published_names(planned, shapes | {"fc.weight": (10, 512)})
    with pytest.raises(ConfigError, match="known are the layouts of AlexNet, VGG, ResNet and GoogLeNet"):
        published_names(planned, {"blocks.0.attn.qkv.weight": (3, 3)})
    with pytest.raises(ConfigError, match="another net's"):
        published_names(plan(find_net("resnet20"), (3, 32, 32)), shapes)
    for net in ("vgg16", "small", "googlenet-batchnorm", "lenet-5"):
        with pytest.raises(ConfigError, match="another net's"):
            published_names(plan(find_net(net), ZOO[net].input_shape), shapes)
    with torch.device("meta"):
        numbered = _shapes(alexnet().state_dict())
    for net in ("resnet18", "googlenet", "vgg16", "resnet20"):
        with pytest.raises(ConfigError, match="another net's"):
            published_names(plan(find_net(net), ZOO[net].input_shape), numbered)
    with pytest.raises(ConfigError, match="use --net googlenet-batchnorm"):
        published_names(
            plan(find_net("googlenet"), (3, 224, 224)),
            _shapes(GoogLeNet().state_dict()),
        )


def test_counts_of_batches_may_be_missing_as_in_old_files() -> None:
    shapes = {name: shape for name, shape in _resnet().items() if not name.endswith("num_batches_tracked")}
    names = published_names(plan(find_net("resnet18"), (3, 224, 224)), shapes)
    assert set(names.values()) == set(shapes)


def test_layouts_are_known_by_their_names() -> None:
    assert layout_of(["features.0.weight"]) == "sequential"
    assert layout_of(["conv1.weight", "layer1.0.conv1.weight"]) == "resnet"
    assert layout_of(["conv1.conv.weight", "inception3a.branch1.conv.weight"]) == "googlenet"
    assert layout_of([f"{row.name}.weight" for row in plan(parse_net("dense 3"), (4,)).rows]) == "cutaway"
