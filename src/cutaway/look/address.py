"""Addresses: how one of the values that flow through a forward pass is named."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cutaway.errors import ConfigError, NotFoundError, nearest
from cutaway.nets.parts import parts, told_value

Key = int | str

_PART = re.compile(r"""\[(?:(-?\d+)|"([^"]*)"|'([^']*)')\]""")
_PARTS = re.compile(rf"""(?:{_PART.pattern})+$""")
_INPUT = re.compile(r":input(\d*)$")
_CALL = re.compile(r"@(\d+)$")

_MANY = 20
"""More names than these are not listed in a message of two lines."""


@dataclass(frozen=True)
class Address:
    """One value of a forward pass.

    =====================  =================================================================
    ``stem.conv1``         what a module gives: its dotted name as in ``named_modules()``
    ``act@2``              what it gives when it is applied for the second time
    ``relu@3``             what the third call of a function gives, whoever calls it: see
                           :mod:`cutaway.look.calls`
    ``stem.conv1:input``   what it is given: its first argument; ``:input2`` is the second one
    ``memory[0]``          a part of a tuple or list, also ``[1][0]``; ``head["logits"]`` of a dict
    =====================  =================================================================

    Args:
        text: as it was asked for.
        name: of a module, or of a function.
        is_call: it is a function's.
        call: which application counts, from 1.
        argument: which argument, from 1; 0 for what comes out.
        parts: the way into a tuple or dict.
    """

    text: str
    name: str
    is_call: bool = False
    call: int = 1
    argument: int = 0
    parts: tuple[Key, ...] = ()

    def tensor(self, value: object) -> Tensor:
        """The tensor that the address names in what a module or function gave.

        Raises:
            ConfigError: there is something else; the message names what there is.
        """
        whole = _PARTS.sub("", self.text) if self.parts else self.text
        found: Any = value
        for key in self.parts:
            try:
                found = found[key]
            except (LookupError, TypeError):
                raise ConfigError(
                    f"There is no {self.text}: {whole} gives {told_value(value, whole)}."
                ) from None
        if not isinstance(found, Tensor):
            told, choice = told_value(found, self.text), "one of its parts" if parts(found) else "another"
            raise ConfigError(f"{self.text} gives {told}, not a tensor; choose {choice}.")
        return found


def parse_address(text: str, modules: Mapping[str, nn.Module]) -> Address:
    """What ``text`` names in a model of these modules.

    A module's name counts before a function's, and the longest module's name that fits counts.

    Raises:
        NotFoundError: there is neither such a module nor such a function.
    """
    rest, argument, call = text, 0, 1
    path: tuple[Key, ...] = ()
    if rest not in modules and (match := _PARTS.search(rest)):
        rest, path = rest[: match.start()], _keys(match[0])
    if rest not in modules and (match := _INPUT.search(rest)):
        rest, argument = rest[: match.start()], int(match[1] or 1)
    counted = None if rest in modules else _CALL.search(rest)
    if counted:
        rest, call = rest[: counted.start()], int(counted[1])
    if rest and call and rest in modules:
        return Address(text, rest, False, call, argument, path)
    if counted and call and is_function(rest):
        return Address(text, rest, True, call, argument, path)
    if counted and not call:
        raise NotFoundError(f"There is no {text}: calls are counted from 1.")
    raise NotFoundError(f'There is no layer "{text}".{_hint(rest, modules)}')


def is_function(name: str) -> bool:
    """Whether PyTorch has a function of that name."""
    return any(callable(getattr(home, name, None)) for home in (F, torch, Tensor))


def _keys(text: str) -> tuple[Key, ...]:
    return tuple(int(m[1]) if m[1] else m[2] or m[3] or "" for m in _PART.finditer(text))


def _hint(name: str, modules: Mapping[str, nn.Module]) -> str:
    """The end of the message: the nearest name, and where all of them are told."""
    if is_function(name):
        return f" Functions are named by their call: {name}@1 is the first one's."
    known = [module for module in modules if module]
    if len(known) <= _MANY:
        return nearest(name, known)
    return (
        f"{nearest(name, known).partition(' Known:')[0]} cutaway.look.layers(subject) lists all {len(known)}."
    )
