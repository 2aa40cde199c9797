"""How the images of an epoch are cut into batches."""

from __future__ import annotations

from collections.abc import Sequence

from cutaway.errors import ConfigError
from cutaway.training.team import Team


def batch_bounds(images: int, batch: int) -> list[tuple[int, int]]:
    """Where each batch of an epoch begins and ends.

    The last one has what is left. A single image left over joins the batch before it: batch norm
    knows no deviation of one value.
    """
    starts = list(range(0, images, batch))
    if len(starts) > 1 and images - starts[-1] == 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], images], strict=True))


def check_shares(batches: Sequence[tuple[int, int]], team: Team, least: int = 1) -> None:
    """Every process should have an image of every batch, of the epoch's last one too; or ``least`` of them.

    Raises:
        ConfigError: there are more processes than images in a batch.
    """
    images = batches[-1][1] - batches[-1][0]
    if images < least * team.size:
        each = f", which need {least} each" if least > 1 else ""
        raise ConfigError(
            f"The last batch of an epoch has {images} images for {team.size} processes{each}. "
            "Choose another --train.batch."
        )
