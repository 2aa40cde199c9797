"""How the images of an epoch are cut into batches, and these into parts."""

from __future__ import annotations

from collections.abc import Sequence

from cutaway.config import TrainConfig
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


def parts(images: int, batch: int, microbatch: int) -> list[tuple[int, int]]:
    """Where each part of some images that go through together begins and ends; about equal, and mostly one.

    Args:
        images: of a batch, or of a process's share of it.
        batch: of the recipe.
        microbatch: images that fit in memory at once.
    """
    # A batch that fits whole stays so with the image that was left over and joined it: batch norm.
    count = 1 if microbatch >= batch else -(-images // microbatch)
    return [(at * images // count, (at + 1) * images // count) for at in range(count)]


def check_shares(batches: Sequence[tuple[int, int]], team: Team) -> None:
    """Every process should have an image of every batch, of the epoch's last one too.

    Raises:
        ConfigError: there are more processes than images in a batch.
    """
    images = batches[-1][1] - batches[-1][0]
    if images < team.size:
        raise ConfigError(
            f"The last batch of an epoch has {images} images for {team.size} processes. "
            "Choose another --train.batch."
        )


def check_norms(
    batches: Sequence[tuple[int, int]], norm: str | None, recipe: TrainConfig, microbatch: int
) -> None:
    """Where batch norm has one value of each image, no part of a batch should be one image alone.

    Args:
        batches: of an epoch.
        norm: the first such layer that learns; None for none.
        recipe: has the batch.
        microbatch: images that go through at once.

    Raises:
        ConfigError: a part is; of one value there is no deviation.
    """
    cut = [parts(end - begin, recipe.batch, microbatch) for begin, end in batches]
    if norm is None or all(end - begin > 1 for batch in cut for begin, end in batch):
        return
    mend = (
        "--train.batch"
        if max(len(batch) for batch in cut) == 1
        else "--train.batch, --train.microbatch or --memory"
    )
    raise ConfigError(
        f"{norm} has one value of each image in a channel, and one image alone, as some part of a batch of "
        f"{recipe.batch} is, has no deviation. Choose another {mend}."
    )
