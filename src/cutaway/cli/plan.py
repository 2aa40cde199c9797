"""``cutaway plan``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from cutaway.cli.console import Json, say, say_json, say_table
from cutaway.errors import ConfigError

if TYPE_CHECKING:
    from cutaway.nets import Plan, Shape

_SHAPE = re.compile(r"([1-9]\d{0,6})x([1-9]\d{0,6})x([1-9]\d{0,6})\Z", re.ASCII)


def plan(
    net: str,
    /,
    *,
    input: Annotated[str | None, Parameter(name="--input", negative="")] = None,  # noqa: A002
    json: Json = False,
) -> None:
    """Shapes, parameters and multiply-adds of every layer, without building anything.

    Parameters
    ----------
    net
        a name of the zoo, notation such as "conv 20 5x5 | relu | flatten | dense 10", a file with
        notation, or an experiment
    input
        channels, height and width of an image, such as 1x28x28; the net's own when it has one
    """
    tell_plan(_planned(net, parse_shape(input) if input else None), json)


def tell_plan(planned: Plan, json: bool) -> None:
    """A plan as a table or an object."""
    if json:
        say_json(plan_facts(planned))
        return
    rows = [
        [
            row.name,
            row.layer.word.text(),
            "×".join(map(str, row.output_shape)),
            f"{row.parameters:,}" if row.parameters else "",
            f"{row.multiply_adds:,}" if row.multiply_adds else "",
            f"{row.output_bytes:,}",
        ]
        for row in planned.rows
    ]
    total = ["all", "", "", f"{planned.parameters:,}", f"{planned.multiply_adds:,}", ""]
    say(f"input {'×'.join(map(str, planned.input_shape))}")
    say_table(
        ["layer", "word", "output", "parameters>", "multiply-adds>", "bytes>"], [*rows, total], total=True
    )


def plan_facts(planned: Plan) -> dict[str, Any]:
    """A plan as plain values."""
    return {
        "input": list(planned.input_shape),
        "parameters": planned.parameters,
        "multiply_adds": planned.multiply_adds,
        "layers": [
            {
                "name": row.name,
                "word": row.layer.word.text(),
                "input": list(row.input_shape),
                "output": list(row.output_shape),
                "parameters": row.parameters,
                "multiply_adds": row.multiply_adds,
                "bytes": row.output_bytes,
            }
            for row in planned.rows
        ],
    }


def parse_shape(text: str) -> Shape:
    """``1x28x28`` as channels, height and width.

    Raises:
        ConfigError: it is none.
    """
    match = _SHAPE.match(text)
    if not match:
        raise ConfigError(f'--input should be channels, height and width, such as 1x28x28, not "{text}".')
    return tuple(map(int, match.groups()))


def _planned(net: str, shape: Shape | None) -> Plan:
    from cutaway.config import catalogue, load_experiment
    from cutaway.nets import ZOO, find_net
    from cutaway.nets import plan as plan_net

    if net.endswith(".toml") or (net in catalogue() and net not in ZOO):
        experiment = load_experiment(net)
        if shape is None and experiment.net not in ZOO:
            from cutaway.data import load_source

            shape = load_source(experiment.data).shape
        net = experiment.net
    elif Path(net).is_file():
        try:
            net = Path(net).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{net} can't be read as text: {error}.") from None
    if shape is None:
        if net.strip() not in ZOO:
            find_net(net)  # an unknown name is told before a missing shape
            raise ConfigError("This net has no input of its own: give one, such as --input 1x28x28.")
        shape = ZOO[net.strip()].input_shape
    return plan_net(find_net(net), shape)
