"""Residual nets."""

from __future__ import annotations

from cutaway.nets.zoo.entry import IMAGENET, ZOO, ZooNet

ZOO.add("resnet18")(
    ZooNet(
        "eight residual blocks",
        'He et al., "Deep Residual Learning for Image Recognition", 2016, table 1',
        (3, 224, 224),
        """
        conv 64 7x7 stride 2 pad 3 nobias
        batchnorm
        relu
        maxpool 3 stride 2 pad 1
        residual 64
        residual 64
        residual 128 stride 2
        residual 128
        residual 256 stride 2
        residual 256
        residual 512 stride 2
        residual 512
        globalpool
        flatten
        dense 1000
        """,
        11_689_512,
        **IMAGENET,
    )
)

ZOO.add("resnet20")(
    ZooNet(
        "nine residual blocks for 32×32; shortcuts by 1×1 convs where the shape changes",
        'He et al., "Deep Residual Learning for Image Recognition", 2016, section 4.2, with option B',
        (3, 32, 32),
        """
        conv 16 3x3 pad 1 nobias
        batchnorm
        relu
        residual 16
        residual 16
        residual 16
        residual 32 stride 2
        residual 32
        residual 32
        residual 64 stride 2
        residual 64
        residual 64
        globalpool
        flatten
        dense 10
        """,
    )
)
