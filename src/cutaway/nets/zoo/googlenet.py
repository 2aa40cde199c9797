"""GoogLeNet."""

from __future__ import annotations

from cutaway.nets.zoo.entry import ZOO, ZooNet

ZOO.add("googlenet")(
    ZooNet(
        "nine inception blocks, without the auxiliary heads",
        'Szegedy et al., "Going Deeper with Convolutions", 2015, table 1',
        (3, 224, 224),
        """
        conv 64 7x7 stride 2 pad 3
        relu
        maxpool 3 stride 2 ceil
        lrn
        conv 64 1x1
        relu
        conv 192 3x3 pad 1
        relu
        lrn
        maxpool 3 stride 2 ceil
        inception 64 96-128 16-32 32
        inception 128 128-192 32-96 64
        maxpool 3 stride 2 ceil
        inception 192 96-208 16-48 64
        inception 160 112-224 24-64 64
        inception 128 128-256 24-64 64
        inception 112 144-288 32-64 64
        inception 256 160-320 32-128 128
        maxpool 3 stride 2 ceil
        inception 256 160-320 32-128 128
        inception 384 192-384 48-128 128
        globalpool
        dropout 0.4
        flatten
        dense 1000
        """,
    )
)

ZOO.add("googlenet-batchnorm")(
    ZooNet(
        "GoogLeNet with batch norm and 3×3 in its wide branch, as its PyTorch weights are",
        'Szegedy et al., "Going Deeper with Convolutions", 2015, table 1, as published for PyTorch',
        (3, 224, 224),
        """
        conv 64 7x7 stride 2 pad 3 nobias
        batchnorm 0.001
        relu
        maxpool 3 stride 2 ceil
        conv 64 1x1 nobias
        batchnorm 0.001
        relu
        conv 192 3x3 pad 1 nobias
        batchnorm 0.001
        relu
        maxpool 3 stride 2 ceil
        inception 64 96-128 16-32 32 batchnorm wide 3
        inception 128 128-192 32-96 64 batchnorm wide 3
        maxpool 3 stride 2 ceil
        inception 192 96-208 16-48 64 batchnorm wide 3
        inception 160 112-224 24-64 64 batchnorm wide 3
        inception 128 128-256 24-64 64 batchnorm wide 3
        inception 112 144-288 32-64 64 batchnorm wide 3
        inception 256 160-320 32-128 128 batchnorm wide 3
        maxpool 2 ceil
        inception 256 160-320 32-128 128 batchnorm wide 3
        inception 384 192-384 48-128 128 batchnorm wide 3
        globalpool
        dropout 0.2
        flatten
        dense 1000
        """,
        6_624_904,
        mean=(0.5, 0.5, 0.5),
        deviation=(0.5, 0.5, 0.5),
    )
)
