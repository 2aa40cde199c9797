"""Relevance by the papers' formulas, one number after another, in Python's floats.

A layer is a table of weights ``w[i][j]`` from every input i to every output j, so that each formula of
Bach et al. (2015), Montavon et al. (2017, 2019), Lapuschkin et al. (2019) and Andéol et al. (2021) can
stand here as it is printed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Table = list[list[float]]
Vector = list[float]


def dense_table(weight: Tensor) -> Table:
    """``w[i][j]`` of ``nn.Linear``."""
    weight = weight.detach()
    return [[float(weight[j, i]) for j in range(weight.shape[0])] for i in range(weight.shape[1])]


def conv_table(
    weight: Tensor,
    size: tuple[int, int, int],
    *,
    stride: int = 1,
    padding: tuple[int, int] = (0, 0),
    dilation: int = 1,
    groups: int = 1,
) -> tuple[Table, tuple[int, int, int]]:
    """``w[i][j]`` of a convolution with zeros ``padding`` before and behind, and its outputs' size."""
    channels, height, width = size
    weight = weight.detach()
    outputs, _, rows, columns = weight.shape
    reach = [dilation * (side - 1) + 1 for side in (rows, columns)]
    out = (
        outputs,
        (height + sum(padding) - reach[0]) // stride + 1,
        (width + sum(padding) - reach[1]) // stride + 1,
    )
    table = [[0.0] * math.prod(out) for _ in range(math.prod(size))]
    for o, r, c, k, a, b in itertools.product(
        *map(range, out), range(channels // groups), range(rows), range(columns)
    ):
        row, column = r * stride + a * dilation - padding[0], c * stride + b * dilation - padding[0]
        channel = o // (outputs // groups) * (channels // groups) + k
        if 0 <= row < height and 0 <= column < width:
            i = (channel * height + row) * width + column
            table[i][(o * out[1] + r) * out[2] + c] += float(weight[o, k, a, b])
    return table, out


def transposed_table(
    weight: Tensor,
    size: tuple[int, int, int],
    *,
    stride: int = 1,
    padding: int = 0,
    beyond: int = 0,
    dilation: int = 1,
    groups: int = 1,
) -> tuple[Table, tuple[int, int, int]]:
    """``w[i][j]`` of a transposed convolution: every input is stamped into the outputs."""
    channels, height, width = size
    weight = weight.detach()
    _, per_group, rows, columns = weight.shape
    out = (
        per_group * groups,
        (height - 1) * stride - 2 * padding + dilation * (rows - 1) + beyond + 1,
        (width - 1) * stride - 2 * padding + dilation * (columns - 1) + beyond + 1,
    )
    table = [[0.0] * math.prod(out) for _ in range(math.prod(size))]
    for k, r, c, o, a, b in itertools.product(
        *map(range, size), range(per_group), range(rows), range(columns)
    ):
        row, column = r * stride + a * dilation - padding, c * stride + b * dilation - padding
        output = k // (channels // groups) * per_group + o
        if 0 <= row < out[1] and 0 <= column < out[2]:
            table[(k * height + r) * width + c][(output * out[1] + row) * out[2] + column] += float(
                weight[k, o, a, b]
            )
    return table, out


Handed = Callable[[Table, Vector, Vector, Vector], Vector]
"""From weights, biases, inputs and the outputs' relevance to that of the inputs."""


def _plus(value: float) -> float:
    return max(value, 0.0)


def _minus(value: float) -> float:
    return min(value, 0.0)


def _result(w: Table, b: Vector, x: Vector, j: int) -> float:
    return sum(x[i] * w[i][j] for i in range(len(x))) + b[j]


def epsilon_rule(epsilon: float) -> Handed:
    """Bach et al. (2015), equation 58; with ε = 0 equation 56."""

    def handed(w: Table, b: Vector, x: Vector, relevance: Vector) -> Vector:
        found = [0.0] * len(x)
        for j in range(len(b)):
            z = _result(w, b, x, j)
            below = z + (epsilon if z >= 0 else -epsilon)
            for i in range(len(x)):
                if below:
                    found[i] += x[i] * w[i][j] / below * relevance[j]
        return found

    return handed


def alpha_beta_rule(alpha: float, beta: float) -> Handed:
    """Bach et al. (2015), equation 60, with the biases in both sums."""

    def handed(w: Table, b: Vector, x: Vector, relevance: Vector) -> Vector:
        found = [0.0] * len(x)
        for j in range(len(b)):
            above = sum(_plus(x[i] * w[i][j]) for i in range(len(x))) + _plus(b[j])
            below = sum(_minus(x[i] * w[i][j]) for i in range(len(x))) + _minus(b[j])
            for i in range(len(x)):
                z = x[i] * w[i][j]
                if above:
                    found[i] += alpha * _plus(z) / above * relevance[j]
                if below:
                    found[i] -= beta * _minus(z) / below * relevance[j]
        return found

    return handed


def gamma_rule(gamma: float, epsilon: float) -> Handed:
    """Montavon et al. (2019), table 10.2, and for negative sums Andéol et al. (2021)."""

    def handed(w: Table, b: Vector, x: Vector, relevance: Vector) -> Vector:
        found = [0.0] * len(x)
        for j in range(len(b)):
            part = _plus if _result(w, b, x, j) >= 0 else _minus
            each = [x[i] * w[i][j] + gamma * part(x[i] * w[i][j]) for i in range(len(x))]
            below = sum(each) + b[j] + gamma * part(b[j])
            below += epsilon if below >= 0 else -epsilon
            for i in range(len(x)):
                found[i] += each[i] / below * relevance[j]
        return found

    return handed


def flat_rule(w: Table, b: Vector, x: Vector, relevance: Vector) -> Vector:
    """Lapuschkin et al. (2019): all inputs of an output alike; no input has a weight of exactly 0 here."""
    found = [0.0] * len(x)
    for j in range(len(b)):
        inputs = [i for i in range(len(x)) if w[i][j] != 0]
        for i in inputs:
            found[i] += relevance[j] / len(inputs)
    return found


def box_rule(low: Vector, high: Vector, epsilon: float) -> Handed:
    """Montavon et al. (2017), equation 17."""

    def handed(w: Table, b: Vector, x: Vector, relevance: Vector) -> Vector:
        found = [0.0] * len(x)
        for j in range(len(b)):
            each = [
                x[i] * w[i][j] - low[i] * _plus(w[i][j]) - high[i] * _minus(w[i][j]) for i in range(len(x))
            ]
            below = sum(each) + epsilon
            for i in range(len(x)):
                found[i] += each[i] / below * relevance[j]
        return found

    return handed


def channel_biases(bias: Tensor | None, out: Sequence[int]) -> Vector:
    """The bias of every output of a convolution."""
    area = math.prod(out[1:])
    return [0.0 if bias is None else bias[o].item() for o in range(out[0]) for _ in range(area)]


def vector(values: Tensor) -> Vector:
    """As floats, in order."""
    return values.flatten().tolist()


def results(w: Table, b: Vector, x: Vector) -> Vector:
    """What the layer gives."""
    return [_result(w, b, x, j) for j in range(len(b))]


def maxima(values: Vector, size: tuple[int, int, int], side: int) -> tuple[Vector, list[int]]:
    """Max-pooling without overlap, and the place that each maximum comes from."""
    channels, height, width = size
    found, places = [], []
    for k, r, c in itertools.product(range(channels), range(height // side), range(width // side)):
        window = [
            (k * height + r * side + a) * width + c * side + b
            for a, b in itertools.product(range(side), repeat=2)
        ]
        places.append(max(window, key=lambda place: values[place]))
        found.append(values[places[-1]])
    return found, places


def stacked(*vectors: Vector) -> Tensor:
    """Vectors as rows, in float64."""
    return torch.tensor(vectors, dtype=torch.float64)
