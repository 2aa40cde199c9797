"""What a training step and a forward pass take in memory, from the plan alone.

The step is played through on paper: every tensor that PyTorch would take is put on a tape and
taken off again when the last that needs it is done, and the most that ever lay on it is the
prediction. Which operation keeps what for its backward pass is written beside each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from cutaway.nets.plan import FLOAT_BYTES, LayerPlan, Plan
from cutaway.nets.schedule import Step, Way, is_even, is_paired, steps
from cutaway.nets.words import (
    GELU,
    AvgPool,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    LeakyReLU,
    LocalResponseNorm,
    MaxPool,
    ReLU,
    Sigmoid,
    Tanh,
)


@dataclass(frozen=True)
class Memory:
    """Bytes at the fullest moment.

    Args:
        weights: of all layers.
        optimiser: what it remembers of each weight.
        gradients: of the weights, as far as there are any at that moment.
        saved: outputs kept for the backward pass; in a forward pass alone, the layer's input.
        workspace: gradients of maps, and what single operations need beside.
    """

    weights: int
    optimiser: int
    gradients: int
    saved: int
    workspace: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.optimiser + self.gradients + self.saved + self.workspace


def training_memory(plan: Plan, batch: int, states: int = 1) -> Memory:
    """The most that a training step takes.

    Args:
        plan: a net on an input shape.
        batch: images that go through at once.
        states: numbers that the optimiser remembers for each weight: 0 for plain SGD, 1 with
            momentum, 2 for Adam.
    """
    tape = _Tape(batch, training=True)
    tape.take(batch * math.prod(plan.input_shape))  # the pixels as bytes
    image = tape.tensor(math.prod(plan.input_shape) * FLOAT_BYTES, wants_gradient=False)
    logits, nodes = tape.forward(plan.rows, image)
    tape.backward(nodes, tape.take(logits.size))
    weights = plan.parameters * FLOAT_BYTES
    return Memory(weights, states * weights, *tape.fullest)


def inference_memory(plan: Plan, batch: int) -> Memory:
    """The most that a forward pass without gradients takes."""
    tape = _Tape(batch, training=False)
    tape.take(batch * math.prod(plan.input_shape))
    image = tape.tensor(math.prod(plan.input_shape) * FLOAT_BYTES, wants_gradient=False)
    tape.forward(plan.rows, image)
    return Memory(plan.parameters * FLOAT_BYTES, 0, *tape.fullest)


def fitting_batch(plan: Plan, batch: int, limit: int, states: int = 1, *, training: bool = True) -> int:
    """The largest number of images, at most ``batch``, whose step fits in ``limit`` bytes; 0 for none.

    Args:
        plan: a net on an input shape.
        batch: images in the whole batch.
        limit: bytes.
        states: as for :func:`training_memory`.
        training: a training step; otherwise a forward pass alone.
    """

    def fits(images: int) -> bool:
        memory = training_memory(plan, images, states) if training else inference_memory(plan, images)
        return memory.total <= limit

    low, high = 0, batch
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


@dataclass(eq=False)
class _Tensor:
    """Bytes on the tape, by how many they are held, and whether a gradient will reach them."""

    size: int
    wants_gradient: bool
    holders: int = 1
    saved: bool = False


@dataclass
class _Node:
    """An operation to be undone.

    Args:
        gradient: bytes of the gradient that it makes for its input; None passes the given one on.
        saved: what it kept.
        parameters: bytes of its weights' gradients.
        workspace: bytes that it takes and gives back.
        branches: for a joint, what leads to it.
    """

    gradient: int | None
    saved: list[_Tensor] = field(default_factory=list)
    parameters: int = 0
    workspace: int = 0
    branches: list[list[_Node]] = field(default_factory=list)


class _Tape:
    """What lies in memory now, and how it was divided when it was most.

    Args:
        batch: images.
        training: whether operations keep what their backward pass needs.
    """

    def __init__(self, batch: int, *, training: bool) -> None:
        self.batch = batch
        self.training = training
        self.live = self.saved = self.gradients = self.most = 0
        self.fullest = (0, 0, 0)

    def take(self, size: int) -> int:
        """Bytes are taken."""
        self.live += size
        if self.live > self.most:
            self.most = self.live
            self.fullest = (self.gradients, self.saved, self.live - self.gradients - self.saved)
        return size

    def give(self, size: int) -> None:
        """Bytes are given back."""
        self.live -= size

    def pass_by(self, size: int) -> None:
        """Bytes are taken and given back at once."""
        self.give(self.take(size))

    def tensor(self, size: int, *, wants_gradient: bool) -> _Tensor:
        """A new tensor of so many bytes an image, held once."""
        return _Tensor(self.take(self.batch * size), wants_gradient)

    def hold(self, tensor: _Tensor) -> _Tensor:
        """The same tensor, held once more."""
        tensor.holders += 1
        return tensor

    def save(self, tensor: _Tensor) -> _Tensor:
        """The same tensor, held for the backward pass."""
        if not tensor.saved:
            tensor.saved = True
            self.saved += tensor.size
        return self.hold(tensor)

    def drop(self, tensor: _Tensor) -> None:
        """One holder less; the last gives the bytes back."""
        tensor.holders -= 1
        if not tensor.holders:
            self.give(tensor.size)
            self.saved -= tensor.size if tensor.saved else 0

    # Forward ------------------------------------------------------------------------------------

    def forward(self, chain: Sequence[LayerPlan], given: _Tensor) -> tuple[_Tensor, list[_Node]]:
        """A chain of layers on a tensor that its caller holds: the output and what undoes it."""
        now, nodes = self.hold(given), []
        for step in steps(chain):
            after, node = self.block(step.row, now) if step.way is Way.BLOCK else self.layer(step, now)
            if after.wants_gradient and self.training:
                nodes.append(node)
            self.drop(now)
            now = after
        return now, nodes

    def layer(self, step: Step, given: _Tensor) -> tuple[_Tensor, _Node]:
        """One step that is no block."""
        row, keep = step.row, _kept(step) if self.training else _taken(step)
        if keep.is_view:
            return self.hold(given), _Node(None)
        node = _Node(given.size if given.wants_gradient else 0)
        wants = given.wants_gradient or row.parameters > 0
        kept = self.training and wants
        if kept and keep.extra:
            node.saved.append(self.save(self.tensor(keep.extra, wants_gradient=False)))
        elif keep.extra:
            self.take(self.batch * keep.extra)
        self.pass_by(self.batch * keep.forward)
        after = self.tensor(row.output_bytes, wants_gradient=wants)
        if keep.extra and not kept:
            self.give(self.batch * keep.extra)
        if step.way is Way.BIAS:
            return after, _Node(None)
        if kept:
            node.saved += [self.save(given)] if keep.input else []
            node.saved += [self.save(after)] if keep.output else []
        node.parameters = row.parameters * FLOAT_BYTES
        node.workspace = self.batch * keep.backward
        return after, node

    def block(self, row: LayerPlan, given: _Tensor) -> tuple[_Tensor, _Node]:
        """Branches, their joint and the tail, as one node."""
        ends, branches = [], []
        for branch in row.branches:
            end, nodes = self.forward(branch, given)
            ends.append(end)
            branches.append(nodes)
        shape = row.tail[0].input_shape if row.tail else row.output_shape
        joint = self.tensor(math.prod(shape) * FLOAT_BYTES, wants_gradient=True)
        for end in ends:
            self.drop(end)
        after, tail = self.forward(row.tail, joint)
        self.drop(joint)
        return after, _Node(given.size, branches=[*branches, tail])

    # Backward -----------------------------------------------------------------------------------

    def backward(self, nodes: list[_Node], gradient: int) -> int:
        """Undo a chain, given the bytes of the gradient behind it; those of the one before it."""
        for node in reversed(nodes):
            if node.branches:
                gradient = self.undo_block(node, gradient)
                continue
            before = gradient if node.gradient is None else self.take(node.gradient)
            self.gradients += node.parameters
            self.take(node.parameters)
            self.pass_by(node.workspace)
            for tensor in node.saved:
                self.drop(tensor)
            if node.gradient is not None:
                self.give(gradient)
            gradient = before
        return gradient

    def undo_block(self, node: _Node, gradient: int) -> int:
        """The branches one after another; the gradient behind the joint stays until the last."""
        *branches, tail = node.branches
        behind = self.backward(tail, gradient)
        total = 0
        for branch in reversed(branches):
            # A branch begins with a part of what lies there, and ends with a gradient of its own.
            mine = self.backward(branch, self.take(0)) if branch else 0
            self.give(mine if total else 0)
            total = total or mine
        self.give(behind)
        return total


@dataclass(frozen=True)
class _Kept:
    """What an operation keeps for its backward pass, and takes in passing; bytes an image.

    Args:
        input: its input is kept.
        output: its output is kept.
        extra: other values that are kept.
        forward: workspace of the forward pass.
        backward: workspace of the backward pass.
        is_view: the output is the input, seen differently.
    """

    input: bool = False
    output: bool = False
    extra: int = 0
    forward: int = 0
    backward: int = 0
    is_view: bool = False


def _kept(step: Step) -> _Kept:  # noqa: PLR0911  one for each kind of operation
    row, word = step.row, step.row.layer.word
    size = math.prod(row.input_shape) * FLOAT_BYTES
    match word:
        case _ if step.way is Way.BIAS:
            return _Kept()
        case Conv() if step.way is Way.WINOGRAD:
            return _winograd(row)
        case Conv() if step.way is Way.UNFOLDED:
            return _unfolded(row, word)
        case Conv() if not is_even(row):
            return _Kept(extra=size)  # a padded copy
        case Conv() | Dense() | AvgPool() | BatchNorm() | GELU() | LeakyReLU():
            return _Kept(input=True)
        case MaxPool():
            # Where each maximum stood, as a 64-bit number.
            return _Kept(input=True, extra=2 * row.output_bytes)
        case ReLU() | Tanh() | Sigmoid():
            return _Kept(output=True)
        case Dropout():
            return _Kept(extra=size, forward=size // 2)  # the factors; the draws and what they decide
        case LocalResponseNorm():
            padded = size + size // row.input_shape[0] * (word.size - 1)
            return _Kept(input=True, extra=padded + 2 * size, forward=size, backward=3 * size)
        case Flatten():
            channels, *places = row.input_shape
            return _Kept(is_view=channels == 1 or math.prod(places) == 1)
        case _:
            return _Kept()


def _taken(step: Step) -> _Kept:
    """What an operation takes where nothing is kept for a backward pass."""
    word = step.row.layer.word
    if step.way is Way.WINOGRAD:
        return _Kept()  # computed directly then
    if isinstance(word, MaxPool) and is_paired(word):
        return _Kept(extra=2 * step.row.output_bytes)  # the larger of each two rows
    if isinstance(word, LocalResponseNorm):
        return _Kept(
            forward=3 * math.prod(step.row.input_shape) * FLOAT_BYTES
        )  # the mean of squares, α·, k +
    if isinstance(word, Dropout):
        return _Kept(is_view=True)
    return _kept(step)


def _winograd(row: LayerPlan) -> _Kept:
    """Transformed tiles: 36 values for each 4×4 of the output, and what making them takes."""
    (filters, *outside), channels = row.output_shape, row.input_shape[0]
    tiles, padded, whole = _tiles(outside)
    size, out = math.prod(row.input_shape), math.prod(row.output_shape)
    # Tiles are cut out of a padded copy, copied side by side and transformed; behind the products
    # the tiles are laid together, and cut to size where they hang over.
    forward = max(
        channels * (padded + 36 * tiles), filters * 68 * tiles if whole < 1 else filters * 52 * tiles + out
    )
    # Behind, the gradient is cut into tiles; those of the input are laid together in room for one more.
    blocks = math.prod(4 * (-(-places // 4) + 1) for places in outside)
    backward = max(
        filters * 68 * tiles,
        filters * 36 * tiles + channels * (36 * tiles + max(36 * tiles, blocks)) - size,
    )
    extra = channels * 36 * tiles
    return _Kept(extra=extra * FLOAT_BYTES, forward=forward * FLOAT_BYTES, backward=backward * FLOAT_BYTES)


def _unfolded(row: LayerPlan, word: Conv) -> _Kept:
    """Windows laid out in rows, once forwards and once behind, where their gradient stands beside them."""
    (channels, *inside), outside = row.input_shape, row.output_shape[1:]
    around = word.window(row.input_shape).before
    padded = channels * math.prod(size + 2 * pad for size, pad in zip(inside, around, strict=True))
    rows = channels * math.prod(word.kernel) * math.prod(outside)
    forward = rows + (padded if any(around) else 0)
    backward = rows + padded - math.prod(row.input_shape)  # the input's gradient lies in the padded one
    return _Kept(input=True, forward=forward * FLOAT_BYTES, backward=backward * FLOAT_BYTES)


def _tiles(places: Sequence[int]) -> tuple[int, int, float]:
    """How many tiles of 4×4 cover an output, the places of the padded input, and the share wanted."""
    down, across = -(-places[0] // 4), -(-places[1] // 4)
    return down * across, (4 * down + 2) * (4 * across + 2), math.prod(places) / (16 * down * across)
