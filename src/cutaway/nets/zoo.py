"""The zoo: nets by name, each with its source."""

from __future__ import annotations

from dataclasses import dataclass

from cutaway.errors import NotFoundError
from cutaway.nets.notation import NetSpec, parse_net
from cutaway.nets.words import WORDS, Shape
from cutaway.registry import Registry


@dataclass(frozen=True)
class ZooNet:
    """A known net.

    Args:
        summary: one line for lists.
        source: where it was published.
        input_shape: ``(C, H, W)`` that it was made for.
        text: its notation.
        parameters: the published number, where there is one.
    """

    summary: str
    source: str
    input_shape: Shape
    text: str
    parameters: int | None = None


ZOO: Registry[ZooNet] = Registry("net", NotFoundError)

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

ZOO.add("cifar-alves")(
    ZooNet(
        "five convs with ReLU, two of the pools of one value, for 32×32 colour",
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


def find_net(net: str) -> NetSpec:
    """The net that a text names or describes.

    Args:
        net: a name in the zoo, or notation.

    Raises:
        NotFoundError: one word that is neither in the zoo nor a word of the notation.
        NotationError: a mistake in the notation.
    """
    text = net.strip()
    if text in ZOO:
        return parse_net(ZOO[text].text)
    if text and len(text.split()) == 1 and text not in WORDS and not set("|:") & set(text):
        return parse_net(ZOO[text].text)  # raises: it names the nearest
    return parse_net(text)
