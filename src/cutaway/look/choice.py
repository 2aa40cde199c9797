"""A choice of units: which of them each layer has, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cutaway.errors import ConfigError, NotFoundError


def chosen_units(numbers: Mapping[str, Sequence[int]], units: Sequence[int]) -> dict[str, list[int]]:
    """The places of some units in each layer, such as those of filter 25 in all layers.

    Layers that have none of them, as the last ones often have not, are left out.

    Args:
        numbers: for each layer the numbers of the units that it shows, in their places.
        units: those that are asked for, in the order that they are to have.

    Raises:
        ConfigError: none is asked for.
        NotFoundError: no layer has such a unit.
    """
    if not units:
        raise ConfigError("units should be one or more numbers, from 0; there are none.")
    places = {layer: {number: at for at, number in enumerate(shown)} for layer, shown in numbers.items()}
    for unit in units:
        if not any(unit in known for known in places.values()):
            widest = max(numbers, key=lambda layer: len(numbers[layer]))
            raise NotFoundError(
                f"There is no unit {unit}: those of {widest} are numbered from {min(numbers[widest])} "
                f"to {max(numbers[widest])}."
            )
    wanted = list(dict.fromkeys(units))
    found = {layer: [known[unit] for unit in wanted if unit in known] for layer, known in places.items()}
    return {layer: at for layer, at in found.items() if at}
