"""Published weights: the names that the common PyTorch models give theirs, and what they are here.

The layouts are those of torchvision's AlexNet and VGG (numbers in ``features`` and ``classifier``),
ResNet (``layer1.0.conv1``) and GoogLeNet (``inception3a.branch1.conv``). A file with a net's own
names is taken as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from string import ascii_lowercase

from cutaway.errors import ConfigError
from cutaway.nets.plan import LayerPlan, Plan
from cutaway.nets.words import BatchNorm, Conv, Dense, Flatten, Inception, MaxPool, Residual, Shape
from cutaway.registry import Registry

Pairs = Iterator[tuple[str, str]]
"""Our module's name, and the published one's."""

LAYOUTS: Registry[Callable[[Plan], Pairs]] = Registry("layout")

_VALUES = {
    Conv: ("weight", "bias"),
    Dense: ("weight", "bias"),
    BatchNorm: ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"),
}

_IGNORED = ("aux1.", "aux2.")
"""GoogLeNet's heads for training."""


def published_names(plan: Plan, shapes: Mapping[str, Shape]) -> dict[str, str]:
    """For each tensor of a built net the name of the published one.

    Args:
        plan: the net.
        shapes: the published tensors' names and shapes.

    Raises:
        ConfigError: they have no layout that is known here, or are another net's: the message
            names the first that is missing, left over or of another shape.
    """
    layout = layout_of(shapes)
    rows = {row.name: row for row in _weighted(plan.leaves())}
    modules = dict(LAYOUTS[layout](plan))
    for ours in rows:
        if ours not in modules:
            raise ConfigError(f"The weights are another net's: their layout has nothing for {ours}.")
    names = {
        f"{ours}.{value}": f"{theirs}.{value}"
        for ours, theirs in modules.items()
        for value in _values(rows[ours])
    }
    expected = _shapes(plan)
    optional = {name for name in names if name.endswith("num_batches_tracked")}
    for ours, theirs in names.items():
        if theirs not in shapes and ours not in optional:
            raise ConfigError(
                f"The weights are another net's: {theirs}, for {ours}, is missing.{_hint(plan, shapes)}"
            )
        if theirs in shapes and tuple(shapes[theirs]) != expected[ours]:
            found = "×".join(map(str, shapes[theirs]))
            wanted = "×".join(map(str, expected[ours]))
            raise ConfigError(f"The weights are another net's: {theirs} is {found}, but {ours} is {wanted}.")
    over = sorted(set(shapes) - set(names.values()))
    over = [name for name in over if not name.startswith(_IGNORED)]
    if over:
        raise ConfigError(f"The weights are another net's: {over[0]} has no place here.{_hint(plan, shapes)}")
    return {ours: theirs for ours, theirs in names.items() if theirs in shapes}


def layout_of(names: Mapping[str, Shape] | Sequence[str]) -> str:
    """The layout that names of tensors have.

    Raises:
        ConfigError: none that is known here.
    """
    marks = {
        "googlenet": "inception3a.",
        "resnet": "layer1.0.",
        "sequential": "features.0.",
    }
    for layout, mark in marks.items():
        if any(name.startswith(mark) for name in names):
            return layout
    if any(name.startswith(("conv1.", "dense1.", "residual1.", "inception1.")) for name in names):
        return "cutaway"
    first = next(iter(names), "nothing")
    raise ConfigError(
        f'These weights begin with "{first}"; known are the layouts of AlexNet, VGG, ResNet and GoogLeNet '
        "in torchvision, and Cutaway's own."
    )


@LAYOUTS.add("cutaway")
def _own(plan: Plan) -> Pairs:
    """The names of :func:`cutaway.nets.builder.build`."""
    for row in _weighted(plan.leaves()):
        yield row.name, row.name


@LAYOUTS.add("sequential")
def _sequential(plan: Plan) -> Pairs:
    """AlexNet and VGG: a number for every layer, those behind the flatten counted anew."""
    part, number = "features", 0
    for row in plan.rows:
        if isinstance(row.layer.word, Flatten):
            part, number = "classifier", 0
            continue
        if _has_weights(row):
            yield row.name, f"{part}.{number}"
        number += 1


@LAYOUTS.add("resnet")
def _resnet(plan: Plan) -> Pairs:
    """ResNet: a stem, four groups of blocks, a head."""
    group, place, filters = 0, 0, 0
    inside = {"conv3": "downsample.0", "batchnorm3": "downsample.1", "batchnorm1": "bn1", "batchnorm2": "bn2"}
    for row in plan.rows:
        word = row.layer.word
        if isinstance(word, Residual):
            place = place + 1 if word.filters == filters and group else 0
            group += place == 0
            filters = word.filters
            for leaf in _weighted(row.leaves()):
                name = leaf.layer.name
                yield leaf.name, f"layer{group}.{place}.{inside.get(name, name)}"
        elif _has_weights(row):
            yield row.name, {"conv1": "conv1", "batchnorm1": "bn1"}.get(row.name, "fc")


@LAYOUTS.add("googlenet")
def _googlenet(plan: Plan) -> Pairs:
    """GoogLeNet: three convs, blocks 3a to 5b by the pools between them, a head."""
    stage, letter, convs = 2, 0, 0
    branches = {"1": "branch1", "2": "branch2.0", "3": "branch2.1", "4": "branch3.0", "5": "branch3.1"}
    for row in plan.rows:
        word = row.layer.word
        if isinstance(word, MaxPool):
            # The first pool stands in the stem, every later one begins a stage.
            stage, letter = stage + (convs > 1), 0
        elif isinstance(word, Inception):
            block = f"inception{stage}{ascii_lowercase[letter % 26]}"
            letter += 1
            for leaf in _weighted(row.leaves()):
                kind = "conv" if isinstance(leaf.layer.word, Conv) else "bn"
                number = leaf.layer.name.removeprefix(leaf.layer.word.stem)
                yield leaf.name, f"{block}.{branches.get(number, 'branch4.1')}.{kind}"
        elif isinstance(word, Conv):
            convs += 1
            yield row.name, f"conv{convs}.conv"
        elif isinstance(word, BatchNorm):
            yield row.name, f"conv{convs}.bn"
        elif _has_weights(row):
            yield row.name, "fc"


def _weighted(rows: Iterator[LayerPlan]) -> Iterator[LayerPlan]:
    return (row for row in rows if _has_weights(row))


def _has_weights(row: LayerPlan) -> bool:
    return type(row.layer.word) in _VALUES


def _values(row: LayerPlan) -> tuple[str, ...]:
    word = row.layer.word
    values = _VALUES[type(word)]
    return values[:1] if isinstance(word, Conv) and not word.bias else values


def _shapes(plan: Plan) -> dict[str, Shape]:
    """The shape of every tensor of a built net."""
    found: dict[str, Shape] = {}
    for row in _weighted(plan.leaves()):
        word, outputs = row.layer.word, row.output_shape[0]
        kernel: Shape = (outputs, row.input_shape[0])
        if isinstance(word, Conv):
            kernel = (*kernel, *word.kernel)
        for value in _values(row):
            is_kernel = value == "weight" and not isinstance(word, BatchNorm)
            found[f"{row.name}.{value}"] = kernel if is_kernel else (outputs,)
        if isinstance(word, BatchNorm):
            found[f"{row.name}.num_batches_tracked"] = ()
    return found


def _hint(plan: Plan, shapes: Mapping[str, Shape]) -> str:
    """What another net of the zoo the weights may be for."""
    theirs = any(name.endswith("running_mean") for name in shapes)
    ours = any(isinstance(row.layer.word, BatchNorm) for row in plan.leaves())
    if theirs and not ours and layout_of(shapes) == "googlenet":
        return " They have batch norm: use --net googlenet-batchnorm."
    return ""
