"""LeNets: digits, grey."""

from __future__ import annotations

from cutaway.nets.zoo.entry import ZOO, ZooNet

ZOO.add("lenet-theano")(
    ZooNet(
        "LeNet with tanh, pooling before the activation",
        'The Theano deep learning tutorial; Peña et al., "Analysis of the Layers in Convolutional '
        'Neural Network in the Context of Text Recognition"',
        (1, 28, 28),
        """
        conv 20 5x5
        maxpool 2
        tanh
        conv 50 5x5
        maxpool 2
        tanh
        flatten
        dense 500
        tanh
        dense 10
        """,
        431_080,
    )
)

ZOO.add("lenet-5")(
    ZooNet(
        "LeNet-5 in its common dense form: plain mean pools, the third conv sees all maps",
        'LeCun et al., "Gradient-based Learning Applied to Document Recognition", 1998; '
        "there pools have weights and the third layer sees some maps only",
        (1, 32, 32),
        """
        conv 6 5x5
        tanh
        avgpool 2
        conv 16 5x5
        tanh
        avgpool 2
        conv 120 5x5
        tanh
        flatten
        dense 84
        tanh
        dense 10
        """,
        61_706,
    )
)
