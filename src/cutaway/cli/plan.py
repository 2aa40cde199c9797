"""``cutaway plan``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from cutaway.cli.console import Json, say, say_json, say_table
from cutaway.errors import ConfigError

if TYPE_CHECKING:
    from cutaway.nets import LayerPlan, NetSpec, Plan, Shape

_SHAPE = re.compile(r"([1-9]\d{0,6})x([1-9]\d{0,6})x([1-9]\d{0,6})\Z", re.ASCII)

PROCESS = 400 << 20
"""What Python, PyTorch and a small dataset take before a net is there."""

_STATES = {"sgd": 1, "adam": 2, "adamw": 2}

Text = Annotated[str | None, Parameter(negative="")]
Number = Annotated[int | None, Parameter(negative="")]
Flag = Annotated[bool, Parameter(negative="")]


def plan(
    net: str,
    /,
    *,
    input: Annotated[str | None, Parameter(name="--input", negative="")] = None,  # noqa: A002
    classes: Number = None,
    edit: Annotated[str | None, Parameter(negative="", allow_leading_hyphen=True)] = None,
    batch: Number = None,
    memory: Text = None,
    optimiser: Annotated[str, Parameter(negative="")] = "sgd",
    blocks: Flag = False,
    json: Json = False,
) -> None:
    """What every layer of a net gives and costs, and what training it takes, without building anything.

    Parameters
    ----------
    net
        a name of the zoo, notation such as "conv 20 5x5 | relu | flatten | dense 10", a file with
        notation, or an experiment
    input
        channels, height and width of an image, such as 1x28x28; the net's own when it has one
    classes
        outputs of a net of the zoo
    edit
        change the net first, such as "-relu1 -pool2" or "relu*=tanh conv1.filters=3"
    batch
        images in a training step: its memory is told
    memory
        a limit such as 4GiB for the whole process: the micro-batch that fits is told
    optimiser
        sgd (with momentum), adam or adamw: what it remembers takes memory
    blocks
        show the layers inside blocks too
    """
    from cutaway.nets import ZOO, edited_plan, plan_net, show_edits

    if optimiser not in _STATES:
        raise ConfigError(f'--optimiser should be sgd, adam or adamw, not "{optimiser}".')
    if batch is not None and batch < 1:
        raise ConfigError(f"--batch should be at least 1, not {batch}.")
    if classes is not None and classes < 1:
        raise ConfigError(f"--classes should be at least 1, not {classes}.")
    spec, shape = _found(net, parse_shape(input) if input else None, classes)
    planned = (
        edited_plan(spec, edit, shape) if edit else plan_net(net if net in ZOO else spec, shape, classes)
    )
    step = _Step(planned, batch or 1, _STATES[optimiser], _limit(memory)) if batch or memory else None
    if json:
        edits = {"edited": planned.spec.text()} if edit else {}
        say_json(plan_facts(planned) | edits | ({"step": step.facts()} if step else {}))
        return
    if edit:
        say(f"{show_edits(spec, planned.spec)}\n")
    tell_plan(planned, blocks=blocks)
    if step:
        say(f"\n{step.text()}")


def tell_plan(planned: Plan, *, blocks: bool = False) -> None:
    """A plan as a table, and its heaviest layers."""
    rows = []
    for row in planned.rows:
        rows.append(_cells(row))
        inner = list(row.leaves()) if blocks and row.branches else []
        rows += [[f"  {cells[0]}", *cells[1:]] for cells in map(_cells, inner)]
    total = ["all", "", "", f"{planned.parameters:,}", f"{planned.multiply_adds:,}", "", ""]
    say(f"input {'×'.join(map(str, planned.input_shape))}")
    heads = ["layer", "word", "output", "parameters>", "multiply-adds>", "bytes>", "field>"]
    say_table(heads, [*rows, total], total=True)
    for line in heaviest(planned):
        say(line)


def heaviest(planned: Plan) -> list[str]:
    """The layers that take most, a line for each measure, blocks opened."""
    measures: dict[str, Callable[[LayerPlan], int]] = {
        "multiply-adds": lambda row: row.multiply_adds,
        "parameters": lambda row: row.parameters,
        "output bytes": lambda row: row.output_bytes,
    }
    lines = []
    for name, measure in measures.items():
        leaves = sorted(planned.leaves(), key=measure, reverse=True)
        whole = sum(map(measure, leaves))
        told = [f"{row.name} {measure(row) / whole:.0%}" for row in leaves[:3] if measure(row)]
        if told:
            lines.append(f"most {name}: {', '.join(told)}")
    return lines


def plan_facts(planned: Plan) -> dict[str, Any]:
    """A plan as plain values."""
    return {
        "input": list(planned.input_shape),
        "parameters": planned.parameters,
        "multiply_adds": planned.multiply_adds,
        "layers": [_facts(row) for row in planned.rows],
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


@dataclass(frozen=True)
class _Step:
    """What a training step takes, and how it fits a limit."""

    planned: Plan
    batch: int
    states: int
    limit: int | None

    @property
    def fitting(self) -> int:
        """Images that fit at once, at most the batch."""
        from cutaway.nets.memory import fitting_batch

        if self.limit is None:
            return self.batch
        return fitting_batch(self.planned, self.batch, self.limit - PROCESS, self.states)

    def facts(self) -> dict[str, Any]:
        from cutaway.nets.memory import inference_memory, training_memory

        training = training_memory(self.planned, self.batch, self.states)
        parts = ("weights", "optimiser", "gradients", "saved", "workspace", "total")
        facts: dict[str, Any] = {
            "batch": self.batch,
            "training": {part: getattr(training, part) for part in parts},
            "inference": inference_memory(self.planned, self.batch).total,
        }
        if self.limit is not None:
            facts |= {"memory": self.limit, "process": PROCESS, "microbatch": self.fitting}
        return facts

    def text(self) -> str:
        from cutaway.config import show_bytes

        facts = self.facts()
        parts = {name: show_bytes(size) for name, size in facts["training"].items()}
        images = "one image" if self.batch == 1 else f"{self.batch:,} images"
        told = [
            f"a training step of {images} takes {parts.pop('total')}: "
            + ", ".join(f"{name} {size}" for name, size in parts.items()),
            f"a forward pass of {images} takes {show_bytes(facts['inference'])}",
        ]
        if self.limit is not None:
            told.append(self._fit(show_bytes(self.limit), show_bytes(PROCESS)))
        return "\n".join(told)

    def _fit(self, limit: str, process: str) -> str:
        from cutaway.nets.words import BatchNorm

        inside = f"in {limit}, of which the process itself takes about {process},"
        if not self.fitting:
            return f"{inside} not even one image fits: take a smaller net or image"
        if self.fitting >= self.batch:
            return f"{inside} the batch fits whole"
        parts = -(-self.batch // self.fitting)
        each = -(-self.batch // parts)
        told = f"{inside} {self.fitting:,} images fit at once: {parts} micro-batches of {each:,}"
        normed = any(isinstance(row.layer.word, BatchNorm) for row in self.planned.leaves())
        return f"{told}, but batch norm needs the batch whole" if normed else f"{told}, same gradient"


def _limit(memory: str | None) -> int | None:
    from cutaway.config import parse_bytes

    if memory is None:
        return None
    try:
        return parse_bytes(memory)
    except ValueError as error:
        raise ConfigError(f'--memory {error}, not "{memory[:40]}".') from None


def _cells(row: LayerPlan) -> list[str]:
    height, width = row.field.size
    return [
        row.name,
        row.layer.word.text(),
        "×".join(map(str, row.output_shape)),
        f"{row.parameters:,}" if row.parameters else "",
        f"{row.multiply_adds:,}" if row.multiply_adds else "",
        f"{row.output_bytes:,}",
        f"{height}×{width}",
    ]


def _facts(row: LayerPlan) -> dict[str, Any]:
    field = row.field
    facts = {
        "name": row.name,
        "word": row.layer.word.text(),
        "input": list(row.input_shape),
        "output": list(row.output_shape),
        "parameters": row.parameters,
        "multiply_adds": row.multiply_adds,
        "bytes": row.output_bytes,
        "field": {"size": list(field.size), "jump": list(field.jump), "start": list(field.start)},
    }
    if row.branches:
        facts["branches"] = [[_facts(inner) for inner in branch] for branch in row.branches]
        facts["tail"] = [_facts(inner) for inner in row.tail]
    return facts


def _found(net: str, shape: Shape | None, classes: int | None) -> tuple[NetSpec, Shape]:
    """The net that is meant, and the input that it is planned on."""
    from cutaway.config import catalogue, load_experiment
    from cutaway.nets import ZOO, find_net

    if net.endswith(".toml") or (net in catalogue() and net not in ZOO):
        experiment = load_experiment(net)
        net = experiment.net
        if shape is None or (classes is None and net.strip() in ZOO):
            from cutaway.data import load_source

            images = load_source(experiment.data)
            shape, classes = shape or images.shape, classes or len(images.classes)
    spec = find_net(net, classes)
    if shape is None and net.strip() not in ZOO:
        raise ConfigError("This net has no input of its own: give one, such as --input 1x28x28.")
    return spec, shape or ZOO[net.strip()].input_shape
