"""The planner: what every layer of a net gives and costs, before any weight exists."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from cutaway.errors import ConfigError
from cutaway.nets.field import ReceptiveField
from cutaway.nets.notation import NetSpec
from cutaway.nets.words import Block, Dense, Layer, Shape, ShapeError, describe

FLOAT_BYTES = 4


@dataclass(frozen=True)
class LayerPlan:
    """A layer's shapes and cost, for one image.

    Args:
        layer: the layer as described.
        input_shape: ``(C, H, W)`` or ``(F,)``.
        output_shape: likewise.
        parameters: trained values.
        multiply_adds: multiplications followed by an addition; biases are not counted.
        field: the receptive field of the output.
        branches: the layers inside a block, branch by branch; empty for any other word.
        tail: the layers of a block behind the joint.
        prefix: the name of the block that it stands in, and a dot.
    """

    layer: Layer
    input_shape: Shape
    output_shape: Shape
    parameters: int
    multiply_adds: int
    field: ReceptiveField
    branches: tuple[tuple[LayerPlan, ...], ...] = ()
    tail: tuple[LayerPlan, ...] = ()
    prefix: str = ""

    @property
    def name(self) -> str:
        """The layer's name, as in ``named_modules()``: dotted inside a block."""
        return self.prefix + self.layer.name

    @property
    def output_bytes(self) -> int:
        """The size of the output for one image, as 32-bit floats."""
        return math.prod(self.output_shape) * FLOAT_BYTES

    def leaves(self) -> Iterator[LayerPlan]:
        """The layers inside a block in the order of computing; itself for any other word."""
        if not self.branches:
            yield self
        for chain in (*self.branches, self.tail):
            for row in chain:
                yield from row.leaves()


@dataclass(frozen=True)
class Plan:
    """A net on an input shape: a row for each layer, in order."""

    spec: NetSpec
    input_shape: Shape
    rows: tuple[LayerPlan, ...]

    @property
    def output_shape(self) -> Shape:
        """The shape of the logits for one image."""
        return self.rows[-1].output_shape

    @property
    def parameters(self) -> int:
        """Trained values of all layers."""
        return sum(row.parameters for row in self.rows)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of all layers, for one image."""
        return sum(row.multiply_adds for row in self.rows)

    def leaves(self) -> Iterator[LayerPlan]:
        """All layers in the order of computing, those inside blocks in place of the blocks."""
        for row in self.rows:
            yield from row.leaves()


class PlanError(ConfigError):
    """A net that can't work on an input shape.

    Args:
        message: names the line, the layer, its input and the ways out, and repeats the line.
        layer: the name of the layer that fails.
    """

    def __init__(self, message: str, layer: str) -> None:
        super().__init__(message)
        self.layer = layer


def plan(spec: NetSpec, input_shape: Shape) -> Plan:
    """Shapes, parameters, multiply-adds and receptive field of every layer.

    Args:
        spec: the net.
        input_shape: ``(C, H, W)`` of one image.

    Raises:
        PlanError: a layer can't work on what the one before it gives.
    """
    height, width = (input_shape[1], input_shape[2]) if len(input_shape) == 3 else (1, 1)
    field = ReceptiveField.of_image(height, width)
    rows: list[LayerPlan] = []
    shape = input_shape
    for layer in spec.layers:
        try:
            row = _row(layer, shape, field, "")
        except ShapeError as error:
            raise PlanError(_explain(layer, shape, rows, error), layer.name) from None
        rows.append(row)
        shape, field = row.output_shape, row.field
    return Plan(spec, input_shape, tuple(rows))


def _row(layer: Layer, shape: Shape, field: ReceptiveField, prefix: str) -> LayerPlan:
    word = layer.word
    output = word.output(shape)
    parameters, multiply_adds = word.parameters(shape), word.multiply_adds(shape)
    branches: tuple[tuple[LayerPlan, ...], ...] = ()
    tail: tuple[LayerPlan, ...] = ()
    if isinstance(word, Block):
        inside = f"{prefix}{layer.name}."
        *chains, last = word.chains(shape)
        branches = tuple(_chain(chain, shape, field, inside) for chain in chains)
        ends = [chain[-1] if chain else None for chain in branches]
        field = ReceptiveField.union([end.field if end else field for end in ends])
        joined = word.joined([end.output_shape if end else shape for end in ends])
        tail = _chain(last, joined, field, inside)
    elif isinstance(word, Dense):
        field = field.of_all()
    elif window := word.window(shape):
        field = field.through(window, (output[1], output[2]))
    return LayerPlan(layer, shape, output, parameters, multiply_adds, field, branches, tail, prefix)


def _chain(
    layers: tuple[Layer, ...], shape: Shape, field: ReceptiveField, prefix: str
) -> tuple[LayerPlan, ...]:
    rows: list[LayerPlan] = []
    for layer in layers:
        rows.append(_row(layer, shape, field, prefix))
        shape, field = rows[-1].output_shape, rows[-1].field
    return tuple(rows)


def _explain(layer: Layer, shape: Shape, rows: list[LayerPlan], error: ShapeError) -> str:
    """The error with the shapes around it, and the pool that could go, if one shrank the input."""
    before = f"after {rows[-1].name}" if rows else "the image itself"
    told = describe(shape)
    told = f"{told[:-1]}, {before})" if told.endswith(")") else f"{told} ({before})"
    pools = [row for row in rows if row.layer.word.stem == "pool" and row.input_shape != row.output_shape]
    drop = f", or drop {pools[-1].name}" if pools else ", or a larger image"
    message = str(error).format(input=told, drop=drop)
    # Problems without the placeholder state the bare shape; it becomes the told one.
    message = message.replace(f"its input is {describe(shape)}.", f"its input is {told}.")
    return f"{layer.place}: {layer.name} {message}\n    {layer.text()}"
