"""Which layers of a subject are worth looking at when nobody says."""

from __future__ import annotations

from torch import nn

from cutaway.nets.subject import Subject

_SAME_AS_BEFORE = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.Flatten, nn.Identity)


def visible_layers(subject: Subject) -> list[str]:
    """The names of all modules without children, less those that change no value when looked at."""
    return [
        name
        for name, module in subject.model.named_modules()
        if name and not list(module.children()) and not isinstance(module, _SAME_AS_BEFORE)
    ]
