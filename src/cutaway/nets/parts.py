"""What a module gives, where it is no plain tensor: tuples, lists and dicts in words."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


def parts(value: object) -> list[tuple[str, object]]:
    """What is in a tuple, list or dict, each with its way in, such as ``["logits"]``; empty for all else."""
    if isinstance(value, Mapping):
        return [(f'["{key}"]', part) for key, part in value.items()]
    return [(f"[{at}]", part) for at, part in enumerate(value)] if isinstance(value, tuple | list) else []


def told_value(value: object, name: str = "", most: int = 5) -> str:
    """A value's kind, and what is in it: ``dict (out["a"] 2×10, out["b"] 2×3)``."""
    if isinstance(value, Tensor):
        return told_shape(value)
    inside = parts(value)
    kind = type(value).__name__
    if not inside:
        return kind
    told = [
        f"{name}{key} {told_shape(part) if isinstance(part, Tensor) else type(part).__name__}"
        for key, part in inside[:most]
    ]
    return f"{kind} ({', '.join(told)}{', …' if len(inside) > most else ''})"


def told_shape(value: Tensor) -> str:
    """A tensor's shape: ``2×10``."""
    return "×".join(map(str, value.shape)) or "a single number"
