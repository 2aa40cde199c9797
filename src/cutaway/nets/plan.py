"""The planner: what every layer of a net gives and costs, before any weight exists."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cutaway.errors import ConfigError
from cutaway.nets.notation import Layer, NetSpec
from cutaway.nets.words import Shape, ShapeError, describe

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
    """

    layer: Layer
    input_shape: Shape
    output_shape: Shape
    parameters: int
    multiply_adds: int

    @property
    def name(self) -> str:
        """The layer's name."""
        return self.layer.name

    @property
    def output_bytes(self) -> int:
        """The size of the output for one image, as 32-bit floats."""
        return math.prod(self.output_shape) * FLOAT_BYTES


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


def plan(spec: NetSpec, input_shape: Shape) -> Plan:
    """Shapes, parameters and multiply-adds of every layer.

    Args:
        spec: the net.
        input_shape: ``(C, H, W)`` of one image.

    Raises:
        ConfigError: a layer can't work on what the one before it gives; the message names the
            line, the layer, its input and the ways out.
    """
    rows: list[LayerPlan] = []
    shape = input_shape
    for layer in spec.layers:
        try:
            output = layer.word.output(shape)
        except ShapeError as error:
            raise ConfigError(_explain(layer, shape, rows, error)) from None
        rows.append(
            LayerPlan(layer, shape, output, layer.word.parameters(shape), layer.word.multiply_adds(shape))
        )
        shape = output
    return Plan(spec, input_shape, tuple(rows))


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
    return f"line {layer.line}: {layer.name} {message}"
