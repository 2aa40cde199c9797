"""The VGG nets."""

from __future__ import annotations

from cutaway.nets.zoo.entry import IMAGENET, ZOO, ZooNet

_SOURCE = (
    'Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2015, '
)


def _vgg(*stages: tuple[int, ...]) -> str:
    """Stages of 3×3 convs, a pool behind each, and three dense layers."""
    lines = []
    for stage in stages:
        for filters in stage:
            lines += [f"conv {filters} 3x3 pad 1", "relu"]
        lines.append("maxpool 2")
    lines += [
        "flatten",
        "dense 4096",
        "relu",
        "dropout 0.5",
        "dense 4096",
        "relu",
        "dropout 0.5",
        "dense 1000",
    ]
    return "\n".join(lines)


ZOO.add("vgg11")(
    ZooNet(
        "eight convs in five stages, three dense layers",
        _SOURCE + "configuration A",
        (3, 224, 224),
        _vgg((64,), (128,), (256, 256), (512, 512), (512, 512)),
        132_863_336,
        **IMAGENET,
    )
)

ZOO.add("vgg13")(
    ZooNet(
        "ten convs in five stages, three dense layers",
        _SOURCE + "configuration B",
        (3, 224, 224),
        _vgg((64, 64), (128, 128), (256, 256), (512, 512), (512, 512)),
        133_047_848,
        **IMAGENET,
    )
)

ZOO.add("vgg16")(
    ZooNet(
        "thirteen convs in five stages, three dense layers",
        _SOURCE + "configuration D",
        (3, 224, 224),
        _vgg((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3),
        138_357_544,
        **IMAGENET,
    )
)

ZOO.add("vgg19")(
    ZooNet(
        "sixteen convs in five stages, three dense layers",
        _SOURCE + "configuration E",
        (3, 224, 224),
        _vgg((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4),
        143_667_240,
        **IMAGENET,
    )
)
