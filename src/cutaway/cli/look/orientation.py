"""``cutaway look orientation``."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from cutaway.cli.console import RunName
from cutaway.cli.look.view import Layers, ViewOptions, file_name, listed


def orientation(run: RunName, /, *, layer: Layers = None, options: ViewOptions = ViewOptions()) -> None:
    """Which edges and lines every unit answers: horizontal, vertical, diagonal, blobs, none.

    All convolutions when no layer is given. Units are shown gratings and edges of twelve orientations, no
    images.
    """
    import torch

    from cutaway.look import orientation as find_orientation

    view = options.open(run)
    result = find_orientation(view.subject, layer)
    arrays: dict[str, Any] = {
        "angles": torch.tensor(result.stimuli.angles),
        "wavelengths": torch.tensor(result.stimuli.wavelengths),
    }
    facts: dict[str, Any] = {}
    lines = []
    for name, tuning in result.layers.items():
        words = [str(word) for word in tuning.words]
        scales = [tuning.wavelengths[at] for at in tuning.scale.tolist()]
        measures = {
            "preferred": tuning.preferred,
            "width": tuning.width,
            "index": tuning.index,
            "circular_variance": tuning.circular_variance,
            "strength": tuning.strength,
        }
        arrays |= {
            f"{name}.answers": tuning.answers,
            f"{name}.even": tuning.even,
            f"{name}.curves": tuning.curves,
        }
        arrays |= {f"{name}.{measure}": values for measure, values in measures.items()}
        facts[name] = {
            "words": words,
            "wavelength": [None if scale == math.inf else scale for scale in scales],
            "colour": [tuning.colours[at] for at in tuning.colour.tolist()],
            **{measure: _plain(values.tolist()) for measure, values in measures.items()},
        }
        counts = Counter(words)
        lines += [
            f"{name}: {count} {word}: {listed([unit for unit, own in enumerate(words) if own == word])}"
            for word, count in counts.most_common()
        ]
    view.answer(
        result,
        file_name("orientation", layer),
        arrays,
        {"angles": list(result.stimuli.angles), "layers": facts},
        lines,
    )


def _plain(values: list[float]) -> list[float | None]:
    """NaN is no JSON: what there is not is null."""
    return [None if math.isnan(value) else value for value in values]
