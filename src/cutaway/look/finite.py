"""Values that are no numbers: named where they come from."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from cutaway.errors import DataError
from cutaway.nets.subject import Subject


def refuse_nan(subject: Subject, inputs: Tensor, outputs: Mapping[str, Tensor]) -> None:
    """Raise where outputs are not finite, and say why: the inputs, the weights, or what they came to.

    Weights are read only then, so that looking at a sound model costs nothing more.

    Raises:
        DataError: the message names the first image, parameter or layer.
    """
    bad = next((name for name, value in outputs.items() if not _finite(value)), None)
    if bad is None:
        return
    for number, image in enumerate(inputs):
        if not _finite(image):
            raise DataError(
                f"Image {number} has NaN or infinite inputs; look at it and at the preprocessing."
            )
    refuse_nan_weights(subject)
    raise DataError(
        f"{subject.name}: {bad} gives NaN or infinite values, though weights and images are finite."
    )


def refuse_nan_weights(subject: Subject) -> None:
    """Raise where parameters or buffers are not finite.

    Raises:
        DataError: the message names the first one.
    """
    for name, value in (*subject.model.named_parameters(), *subject.model.named_buffers()):
        if not _finite(value):
            count = int((~value.isfinite()).sum())
            many = "1 value that is" if count == 1 else f"{count:,} values that are"
            raise DataError(
                f"{subject.name}: {name} has {many} NaN or infinite. Take weights from before it diverged."
            )


def _finite(value: Tensor) -> bool:
    return not (value.is_floating_point() or value.is_complex()) or bool(value.isfinite().all())
