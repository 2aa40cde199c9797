"""Small nets for small images."""

from __future__ import annotations

from cutaway.nets.zoo.entry import ZOO, ZooNet

ZOO.add("small")(
    ZooNet(
        "three convs with batch norm, pooled first: 0.5 % on MNIST in half a minute",
        "ours",
        (1, 28, 28),
        """
        # Pools stand before batch norm and activation, which then have a quarter of the values to do.
        # Convs need no bias where batch norm subtracts the mean.
        conv 24 5x5 nobias
        maxpool 2
        batchnorm
        relu
        conv 48 3x3 nobias
        maxpool 2
        batchnorm
        relu
        conv 96 3x3 nobias
        batchnorm
        relu
        flatten
        dense 10
        """,
    )
)

ZOO.add("filters-32-64-64")(
    ZooNet(
        "three 3×3 convs with ReLU; a head of 64 units",
        "Siddikov, final assignment on MNIST feature maps (the head is ours)",
        (1, 28, 28),
        """
        conv 32 3x3 same
        relu
        maxpool 2
        conv 64 3x3 same
        relu
        maxpool 2
        conv 64 3x3 same
        relu
        flatten
        dense 64
        relu
        dense 10
        """,
    )
)

ZOO.add("filters-3-6-12")(
    ZooNet(
        "the same with 3, 6 and 12 filters",
        "Siddikov, final assignment on MNIST feature maps, third variant (the head is ours)",
        (1, 28, 28),
        """
        conv 3 3x3 same
        relu
        maxpool 2
        conv 6 3x3 same
        relu
        maxpool 2
        conv 12 3x3 same
        relu
        flatten
        dense 64
        relu
        dense 10
        """,
    )
)

ZOO.add("cifar-alves")(
    ZooNet(
        "five convs with ReLU, three of the pools of one value, for 32×32 colour",
        'Alves, "Understanding ConvNets (CNN)"',
        (3, 32, 32),
        """
        conv 128 3x3 same
        relu
        maxpool 2
        conv 128 3x3
        relu
        maxpool 2
        dropout 0.25
        conv 64 2x2
        relu
        maxpool 1
        conv 32 2x2
        relu
        maxpool 1
        conv 32 2x2
        relu
        maxpool 1
        dropout 0.25
        flatten
        dense 64
        relu
        dense 10
        """,
    )
)

ZOO.add("cifarnet")(
    ZooNet(
        "two convs with local response normalisation, two hidden dense layers",
        'The TensorFlow tutorial "Convolutional Neural Networks", after Krizhevsky (cuda-convnet), on crops',
        (3, 24, 24),
        """
        conv 64 5x5 same
        relu
        maxpool 3 stride 2 ceil
        lrn 9 alpha 0.001
        conv 64 5x5 same
        relu
        lrn 9 alpha 0.001
        maxpool 3 stride 2 ceil
        flatten
        dense 384
        relu
        dense 192
        relu
        dense 10
        """,
        1_068_298,
    )
)

ZOO.add("textures-14")(
    ZooNet(
        "four stages of conv, ReLU and pool, a 1×1 conv in place of a dense layer; 64×64 grey",
        'Campo Viñas, Amaya, Franky, "Convolutional Neural Networks for Image Classification" (the widths '
        "are ours); the mean over places lets stages be taken out",
        (1, 64, 64),
        """
        conv 20 5x5
        relu
        maxpool 2
        conv 50 5x5
        relu
        maxpool 2
        conv 500 4x4
        relu
        maxpool 2
        conv 500 4x4
        relu
        maxpool 2
        conv 25 1x1
        globalpool
        flatten
        """,
    )
)
