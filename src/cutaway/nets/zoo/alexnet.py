"""AlexNet."""

from __future__ import annotations

from cutaway.nets.zoo.entry import IMAGENET, ZOO, ZooNet

ZOO.add("alexnet")(
    ZooNet(
        "five convs, three dense layers, in one column",
        'Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014',
        (3, 224, 224),
        """
        conv 64 11x11 stride 4 pad 2
        relu
        maxpool 3 stride 2
        conv 192 5x5 pad 2
        relu
        maxpool 3 stride 2
        conv 384 3x3 pad 1
        relu
        conv 256 3x3 pad 1
        relu
        conv 256 3x3 pad 1
        relu
        maxpool 3 stride 2
        flatten
        dropout 0.5
        dense 4096
        relu
        dropout 0.5
        dense 4096
        relu
        dense 1000
        """,
        61_100_840,
        **IMAGENET,
    )
)
