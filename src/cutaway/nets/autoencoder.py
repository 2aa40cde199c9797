"""An autoencoder: the first depths of a net, and their mirrors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from cutaway.config import derive
from cutaway.nets.builder import Net
from cutaway.nets.depths import Depth
from cutaway.nets.layout import channels_last
from cutaway.nets.mirror import Mirror, Switches, encode
from cutaway.nets.randomness import seeded


@dataclass(frozen=True)
class Code:
    """What a depth gives, with what its mirror needs beside.

    Args:
        value: ``(N, C, H, W)`` or ``(N, F)``.
        switches: of its max-pools.
    """

    value: Tensor
    switches: Switches


class Autoencoder:
    """Depths of a net one after another, and the way back through each.

    Args:
        net: its own modules encode; they are applied in the modes that they are in.
        depths: the first of the net, in order.
        seed: of the mirrors' first weights; each draws from a stream of its own.
        switched: unpool by switches.
    """

    def __init__(self, net: Net, depths: Sequence[Depth], seed: int, *, switched: bool = True) -> None:
        self.net = net
        self.depths = tuple(depths)
        self.mirrors = nn.ModuleList()
        for number, depth in enumerate(depths):
            before = depths[number - 1].rows if number else ()
            with seeded(derive(seed, "mirror", depth.layer)):
                self.mirrors.append(Mirror(depth, before, switched=switched))
        device = next(net.parameters()).device
        channels_last(self.mirrors.to(device))

    def encode(self, inputs: Tensor, first: int, last: int) -> list[Code]:
        """What the depths from ``first`` to ``last`` give, counted from 0, for the first one's input."""
        codes = []
        for depth in self.depths[first : last + 1]:
            inputs, switches = encode(self.net, depth, inputs)
            codes.append(Code(inputs, switches))
        return codes

    def decode(self, codes: Sequence[Code], first: int) -> Tensor:
        """The input of depth ``first``, from the last one's code and the switches of all on the way.

        Args:
            codes: of the depths from ``first`` on.
            first: counted from 0.
        """
        value = codes[-1].value
        for place in reversed(range(len(codes))):
            value = self.mirrors[first + place](value, codes[place].switches)
        return value
