"""The flow diagram: everything that it must say, and sizes that mean something."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations, pairwise
from xml.etree import ElementTree

import pytest

from cutaway.draw import flow_diagram
from cutaway.nets import ZOO, Layer, NetSpec, Plan, find_net, parse_net, plan

NET = (
    "eyes: conv 8 5x5 | maxpool 2 | relu | conv 32 3x3 | relu | maxpool 2"
    " | flatten | dense 100 | tanh | dense 10"
)


@pytest.fixture(scope="module")
def planned() -> Plan:
    return plan(parse_net(NET), (1, 28, 28))


@pytest.fixture(scope="module")
def svg(planned: Plan) -> ElementTree.Element:
    return ElementTree.fromstring(flow_diagram(planned))


def labels(svg: ElementTree.Element) -> list[str]:
    return ["".join(text.itertext()) for text in svg.iter("text")]


def test_every_layer_states_name_words_shape_and_parameters(svg: ElementTree.Element, planned: Plan) -> None:
    told = labels(svg)
    assert told[:2] == ["image input", "1×28×28"]
    for place, row in enumerate(planned.rows, 1):
        name, detail = told[2 * place : 2 * place + 2]
        assert name == f"{row.name} {row.layer.word.text()}"
        assert detail.split(" · ")[0] == "×".join(map(str, row.output_shape))
        found = re.search(r"· ([\d,]+) parameters", detail)
        assert (int(found[1].replace(",", "")) if found else 0) == row.parameters
    assert len(told) == 2 * (len(planned.rows) + 1)
    assert f"{planned.parameters:,} parameters" in svg.attrib["aria-label"]
    assert f"{len(planned.rows)} layers" in svg.attrib["aria-label"]


def test_parameters_are_those_of_arithmetic(svg: ElementTree.Element) -> None:
    told = dict(zip(labels(svg)[::2], labels(svg)[1::2], strict=True))
    assert told["eyes conv 8 5x5"].endswith(f"8×24×24 · {8 * 25 + 8} parameters")
    assert told["conv2 conv 32 3x3"].endswith(f"32×10×10 · {32 * 8 * 9 + 32:,} parameters")
    assert told["dense2 dense 10"].endswith(f"10 · {100 * 10 + 10:,} parameters")


def blocks(svg: ElementTree.Element) -> list[tuple[float, float, float, float]]:
    """x, y, width and height of each block."""
    keys = ("x", "y", "width", "height")
    return [tuple(float(rect.attrib[key]) for key in keys) for rect in svg.iter("rect")]  # type: ignore[misc]


def test_widths_follow_the_size_of_the_maps_and_heights_their_number(
    svg: ElementTree.Element, planned: Plan
) -> None:
    shapes = [planned.input_shape, *(row.output_shape for row in planned.rows)]
    maps = [(shape, block) for shape, block in zip(shapes, blocks(svg), strict=True) if len(shape) == 3]
    for one, a in maps:
        for other, b in maps:
            assert (one[2] < other[2]) == (a[2] < b[2])
            assert (one[0] < other[0]) == (a[3] < b[3])
    vectors = [(shape, block) for shape, block in zip(shapes, blocks(svg), strict=True) if len(shape) == 1]
    for wide, c in vectors:
        for narrow, d in vectors:
            assert wide[0] <= narrow[0] or c[2] >= d[2]
            assert c[3] == d[3]


@pytest.mark.parametrize("net", ["lenet-theano", "cifar-alves"])
def test_blocks_stand_one_below_another_inside_the_picture(net: str) -> None:
    shape = (3, 32, 32) if net == "cifar-alves" else (1, 28, 28)
    svg = ElementTree.fromstring(flow_diagram(plan(find_net(net), shape)))
    _, _, width, height = map(float, svg.attrib["viewBox"].split())
    bottom = 0.0
    for x, y, _, h in blocks(svg):
        assert y >= bottom
        assert x >= 0
        bottom = y + h
    text_left = min(float(text.attrib["x"]) for text in svg.iter("text"))
    assert max(x + w for x, _, w, _ in blocks(svg)) < text_left < width
    assert bottom <= height
    assert max(float(text.attrib["y"]) for text in svg.iter("text")) <= height


def test_very_large_images_and_very_long_vectors_still_fit() -> None:
    planned = plan(parse_net("conv 2000 3x3 | globalpool | flatten | dense 100000"), (3, 1000, 3000))
    svg = ElementTree.fromstring(flow_diagram(planned))
    for x, _, width, _ in blocks(svg):
        assert x >= 0
        assert width >= 6


def test_colours_tell_the_kinds_of_layers_apart(svg: ElementTree.Element, planned: Plan) -> None:
    fills = [rect.attrib["style"] for rect in svg.iter("rect")]
    kinds = [row.layer.word.stem for row in planned.rows]
    for kind in ("conv", "pool", "dense"):
        assert {fill for fill, k in zip(fills[1:], kinds, strict=True) if k == kind} == {
            f"fill:var(--{kind})"
        }


def test_names_are_escaped() -> None:
    row = plan(parse_net("dense 3"), (4,)).rows[0]
    odd = Layer('<b>&"x"', row.layer.word)
    odd_row = replace(row, layer=odd)
    svg = ElementTree.fromstring(flow_diagram(Plan(NetSpec((odd,)), (4,), (odd_row,))))
    assert labels(svg)[2] == '<b>&"x" dense 3'
    assert not list(svg.iter("b"))


# From here on: nets that branch.

TRUNK = 78.0
BRANCHED = [
    name for name in ZOO if any(row.branches for row in plan(find_net(name), ZOO[name].input_shape).rows)
]
WIDE = "inception 1000 1000-2000 1000-2000 1000 batchnorm wide 11 | residual 4096 stride 2x1 | residual 4096"


@cache
def picture(net: str) -> tuple[Plan, ElementTree.Element]:
    """A net of the zoo on its own input shape, or any other on 3×224×224; its plan and its drawing."""
    planned = plan(find_net(net), ZOO[net].input_shape if net in ZOO else (3, 224, 224))
    return planned, ElementTree.fromstring(flow_diagram(planned))


@dataclass(frozen=True)
class Box:
    """Something that takes up room, by its edges."""

    what: str
    left: float
    top: float
    right: float
    bottom: float

    @property
    def middle(self) -> float:
        return (self.left + self.right) / 2

    @property
    def centre(self) -> float:
        return (self.top + self.bottom) / 2

    def overlaps(self, other: Box) -> bool:
        across = self.left < other.right - 0.2 and other.left < self.right - 0.2
        return across and self.top < other.bottom - 0.2 and other.top < self.bottom - 0.2

    def holds(self, other: Box) -> bool:
        across = self.left <= other.left and other.right <= self.right
        return across and self.top <= other.top and other.bottom <= self.bottom


def rects(svg: ElementTree.Element, kind: str | None) -> list[Box]:
    """Layers (None), panels or bars."""
    boxes = []
    for rect in svg.iter("rect"):
        if rect.get("class") == kind:
            x, y, width, height = (float(rect.attrib[key]) for key in ("x", "y", "width", "height"))
            boxes.append(Box("".join(rect.itertext()) or "layer", x, y, x + width, y + height))
    return boxes


def circles(svg: ElementTree.Element) -> list[Box]:
    boxes = []
    for circle in svg.iter("circle"):
        x, y, r = (float(circle.attrib[key]) for key in ("cx", "cy", "r"))
        boxes.append(Box("plus", x - r, y - r, x + r, y + r))
    return boxes


def texts(svg: ElementTree.Element, fine: bool | None = None) -> list[Box]:
    """Labels, 0.6 of their size a letter; only the fine ones, or only the others."""
    boxes = []
    for text in svg.iter("text"):
        if fine is None or fine == (text.get("class") == "fine"):
            told, size = "".join(text.itertext()), 9.5 if text.get("class") == "fine" else 11.0
            x, y = float(text.attrib["x"]), float(text.attrib["y"])
            boxes.append(Box(told, x, y - 0.75 * size, x + 0.6 * size * len(told), y + 0.2 * size))
    return boxes


def pen(path: str) -> list[list[tuple[float, float]]]:
    """Where a path's strokes go, point by point; a curve is taken for a line."""
    strokes: list[list[tuple[float, float]]] = []
    x = y = 0.0
    for letter, given in re.findall(r"([MmHhVvLlq])([^A-Za-z]*)", path):
        numbers = [float(number) for number in re.findall(r"-?[\d.]+", given)]
        relative = letter.islower()
        match letter.lower():
            case "h":
                x = numbers[0] + x * relative
            case "v":
                y = numbers[0] + y * relative
            case _:
                x, y = numbers[-2] + x * relative, numbers[-1] + y * relative
        if letter.lower() == "m":
            strokes.append([])
        strokes[-1].append((round(x, 2), round(y, 2)))
        if letter == "l":  # an arrow's second half
            for dx, dy in zip(numbers[:-2:2], numbers[1:-2:2], strict=True):
                strokes[-1].append((round(x + dx, 2), round(y + dy, 2)))
    return strokes


def ways(svg: ElementTree.Element, panel: Box) -> list[list[tuple[float, float]]]:
    """From fork to joint: the strokes in a panel that begin on its trunk and have an arrow."""
    found = [pen(path.attrib["d"]) for path in svg.iter("path")]
    inside = [way for way in found if panel.top < way[0][0][1] < panel.bottom]
    return [way[0] for way in inside if way[0][0][0] == TRUNK and len(way) > 1]


def inside(boxes: list[Box], panel: Box) -> list[Box]:
    return [box for box in boxes if panel.holds(box)]


def label(svg: ElementTree.Element, block: Box) -> str:
    """What stands to the right of a small block, its name."""
    level = [text for text in texts(svg, fine=False) if abs(text.centre - block.centre) < 7]
    return min((text for text in level if text.left > block.right), key=lambda text: text.left).what


@pytest.mark.parametrize("net", ZOO)
def test_every_leaf_is_named_exactly_once(net: str) -> None:
    planned, svg = picture(net)
    panels, names = rects(svg, "panel"), []
    heads = [(text.attrib["y"], span.text) for text in svg.iter("text") for span in text.iter("tspan")]
    for panel in panels:
        (head,) = [name for y, name in heads if panel.top < float(y) < panel.bottom]
        names += [f"{head}.{label(svg, block)}" for block in inside(rects(svg, None), panel)]
        names.append(f"{head}")
    names += [f"{name}" for y, name in heads if not any(p.top < float(y) < p.bottom for p in panels)]
    blocks = [row.name for row in planned.rows if row.branches]
    assert sorted(names) == sorted(["image", *blocks, *(leaf.name for leaf in planned.leaves())])
    assert len(rects(svg, None)) == 1 + len(list(planned.leaves()))


@pytest.mark.parametrize("net", [*ZOO, WIDE])
def test_nothing_overlaps_and_all_is_inside(net: str) -> None:
    _, svg = picture(net)
    _, _, width, height = map(float, svg.attrib["viewBox"].split())
    boxes = [*rects(svg, None), *rects(svg, "joint"), *circles(svg), *texts(svg)]
    boxes.sort(key=lambda box: box.top)
    for one, other in combinations(boxes, 2):
        assert not one.overlaps(other), (one, other)
    for box in [*boxes, *rects(svg, "panel")]:
        assert Box("sheet", 0, 0, width, height).holds(box), box
    for panel in rects(svg, "panel"):
        for box in boxes:
            assert panel.holds(box) or box.bottom < panel.top or box.top > panel.bottom, box


@pytest.mark.parametrize("net", [*ZOO, WIDE])
def test_no_line_crosses_a_text(net: str) -> None:
    _, svg = picture(net)
    strokes = [stroke for path in svg.iter("path") for stroke in pen(path.attrib["d"])]
    lines = [line for stroke in strokes for line in pairwise(stroke)]
    told = texts(svg)
    for (x, y), (to_x, to_y) in lines:
        box = Box("line", min(x, to_x) - 0.5, min(y, to_y) - 0.5, max(x, to_x) + 0.5, max(y, to_y) + 0.5)
        assert not [text for text in told if text.overlaps(box)], box


@pytest.mark.parametrize("net", BRANCHED)
def test_a_block_has_one_joint_of_its_kind(net: str) -> None:
    planned, svg = picture(net)
    blocks = [row for row in planned.rows if row.branches]
    panels = rects(svg, "panel")
    assert len(panels) == len(blocks)
    for row, panel in zip(blocks, panels, strict=True):
        pluses, bars = inside(circles(svg), panel), inside(rects(svg, "joint"), panel)
        told = [text.what for text in inside(texts(svg, fine=True), panel)]
        adds = row.layer.word.stem == "residual"
        assert (len(pluses), len(bars)) == ((1, 0) if adds else (0, 1))
        assert told.count("concat") == len(bars)
        for plus in pluses:
            marks = [path.attrib["d"] for path in svg.iter("path")]
            assert f"M{plus.middle - 3:.0f} {plus.centre:.1f}h6m-3 -3v6" in marks


@pytest.mark.parametrize("net", [*BRANCHED, WIDE])
def test_every_branch_leads_from_the_fork_through_its_layers_to_the_joint(net: str) -> None:
    planned, svg = picture(net)
    blocks = [row for row in planned.rows if row.branches]
    for row, panel in zip(blocks, rects(svg, "panel"), strict=True):
        small = inside(rects(svg, None), panel)
        (joint,) = inside([*circles(svg), *rects(svg, "joint")], panel)
        trunk = next(
            stroke
            for path in svg.iter("path")
            if (stroke := pen(path.attrib["d"]))[0][0] == (TRUNK, panel.top)
        )
        assert {x for stroke in trunk for x, _ in stroke} == {TRUNK}
        fork, (after, end) = trunk[0][1], [y for _, y in trunk[1]]
        assert end == pytest.approx(panel.bottom, abs=0.11)  # both are rounded
        assert after == pytest.approx(joint.centre, abs=0.11)
        found = ways(svg, panel)
        assert len(found) == len(row.branches)
        for way, chain in zip(found, row.branches, strict=True):
            assert way[0] == fork
            column = max((x for x, _ in way), key=lambda x: abs(x - TRUNK))
            on = [box for box in small if abs(box.middle - column) < 0.2 and box.bottom < joint.top]
            assert [box.what.split(" · ")[0] for box in on] == [layer.name for layer in chain]
            down = [y for x, y in way if abs(x - column) < 0.2]
            assert all(min(down) < box.top and box.bottom < max(down) for box in on)
            x, y = way[-1]
            assert joint.left <= x <= joint.right
            assert y == pytest.approx(joint.centre if x == joint.right else joint.top, abs=1.2)
        below = [box.what.split(" · ")[0] for box in small if box.top > joint.bottom]
        assert below == [layer.name for layer in row.tail]


def test_a_shortcut_is_a_line_beside_the_layers() -> None:
    planned, svg = picture("resnet18")
    rows = [row for row in planned.rows if row.branches]
    lines = 0
    for row, panel in zip(rows, rects(svg, "panel"), strict=True):
        column = max(x for way in ways(svg, panel) for x, _ in way)
        small = [box for box in inside(rects(svg, None), panel) if box.left < column < box.right]
        assert len(small) == len(row.branches[1])
        assert all(box.right < column for box in inside(rects(svg, None), panel) if box not in small)
        lines += not small
    assert lines == 5


@pytest.mark.parametrize("net", BRANCHED)
def test_the_same_branch_has_the_same_place_everywhere(net: str) -> None:
    _, svg = picture(net)
    columns = {tuple(way[2][0] for way in ways(svg, panel)) for panel in rects(svg, "panel")}
    assert len(columns) == 1
    (middles,) = columns
    assert list(middles) == sorted(set(middles))


@pytest.mark.parametrize("net", BRANCHED)
def test_a_block_states_its_name_words_shape_and_parameters(net: str) -> None:
    planned, svg = picture(net)
    blocks = [row for row in planned.rows if row.branches]
    for row, panel in zip(blocks, rects(svg, "panel"), strict=True):
        first = min(box.top for box in inside(rects(svg, None), panel))
        head = [text.what for text in inside(texts(svg), panel) if text.bottom < first]
        assert " ".join(head[:-1]) == f"{row.name} {row.layer.word.text()}"
        shape = "×".join(map(str, row.output_shape))
        assert head[-1] == f"{shape} · {row.parameters:,} parameters"
    assert f"{len(planned.rows)} layers, {planned.parameters:,} parameters" in svg.attrib["aria-label"]


@pytest.mark.parametrize("net", BRANCHED)
def test_a_layer_inside_tells_all_of_itself_when_pointed_at(net: str) -> None:
    planned, svg = picture(net)
    told = [title.text or "" for title in svg.iter("title")]
    layers = [leaf for row in planned.rows if row.branches for leaf in row.leaves()]
    for leaf, title in zip(layers, told, strict=True):
        name, words, shape, *cost = title.split(" · ")
        assert (name, words) == (leaf.name, leaf.layer.word.text())
        assert shape == "×".join(map(str, leaf.output_shape))
        assert cost == ([f"{leaf.parameters:,} parameters"] if leaf.parameters else [])
    assert sum(leaf.parameters for leaf in planned.leaves()) == planned.parameters


def test_small_blocks_have_short_labels() -> None:
    _, svg = picture("googlenet")
    first = inside(texts(svg), rects(svg, "panel")[0])
    assert [text.what for text in first[2:]] == [
        *("concat", "conv1", "1×1 ×64", "relu1"),
        *("conv2", "1×1 ×96", "relu2", "conv3", "3×3 ×128", "relu3"),
        *("conv4", "1×1 ×16", "relu4", "conv5", "5×5 ×32", "relu5"),
        *("pool1", "maxpool 3×3", "conv6", "1×1 ×32", "relu6"),
    ]
    planned, svg = picture("residual 8 stride 2x1")
    (panel,) = rects(svg, "panel")
    assert planned.output_shape == (8, 112, 224)
    gists = [text.what for text in inside(texts(svg, fine=True), panel)][1:]
    assert gists == ["3×3 ×8 stride 2×1", "3×3 ×8", "1×1 ×8 stride 2×1"]


@pytest.mark.parametrize("net", BRANCHED)
def test_small_blocks_follow_the_size_of_the_maps_and_their_number(net: str) -> None:
    planned, svg = picture(net)
    layers = [leaf for row in planned.rows if row.branches for leaf in row.leaves()]
    small = [box for panel in rects(svg, "panel") for box in inside(rects(svg, None), panel)]
    for (one, a), (other, b) in combinations(zip(layers, small, strict=True), 2):
        channels, height = (
            one.output_shape[0] - other.output_shape[0],
            (a.bottom - a.top) - (b.bottom - b.top),
        )
        size, width = one.output_shape[-1] - other.output_shape[-1], (a.right - a.left) - (b.right - b.left)
        assert (height > 0.05) - (height < -0.05) == (channels > 0) - (channels < 0)
        assert (width > 0.05) - (width < -0.05) == (size > 0) - (size < 0)


def test_kinds_have_their_colours_inside_blocks_too() -> None:
    _, svg = picture("googlenet")
    fills: dict[str, set[str]] = {}
    for rect in svg.iter("rect"):
        if found := re.match(r"inception\d\.([a-z]+)", "".join(rect.itertext())):
            fills.setdefault(found[1], set()).add(rect.attrib["style"])
    assert fills == {
        "conv": {"fill:var(--conv)"},
        "pool": {"fill:var(--pool)"},
        "relu": {"fill:var(--other)"},
    }


@pytest.mark.parametrize("net", ZOO)
def test_only_the_page_gives_colours(net: str) -> None:
    _, svg = picture(net)
    styles = {part for element in svg.iter() for part in element.get("style", "").split(";") if part}
    known = {f"fill:var(--{name})" for name in ("conv", "pool", "dense", "other", "tint", "fine")}
    assert styles <= known | {"stroke:var(--fine)"}
    assert not [element for element in svg.iter() if element.get("fill") or element.get("stroke")]


@pytest.mark.parametrize("net", ZOO)
def test_it_is_narrow_enough_for_a_phone(net: str) -> None:
    width = float(picture(net)[1].attrib["viewBox"].split()[2])
    assert 420 <= width <= 430  # 390 points show type of 9.5 at 8 or more


def test_names_are_escaped_inside_blocks() -> None:
    row = plan(parse_net("residual 3"), (3, 8, 8)).rows[0]
    odd = '<b>&"x"'
    (first, *rest), shortcut = row.branches
    branches = ((replace(first, layer=Layer(odd, first.layer.word), prefix=f"{odd}."), *rest), shortcut)
    block = replace(row, layer=Layer(odd, row.layer.word), branches=branches)
    svg = ElementTree.fromstring(flow_diagram(Plan(NetSpec((block.layer,)), (3, 8, 8), (block,))))
    assert labels(svg)[2] == f"{odd} residual 3"
    assert odd in labels(svg)[3:]
    assert (next(svg.iter("title")).text or "").startswith(f"{odd}.{odd} · conv 3 3x3")
    assert not list(svg.iter("b"))


def test_long_names_widen_the_sheet_rather_than_leave_it() -> None:
    for text in (f"{'n' * 70}: conv 3 3x3", f"{'m' * 70}: inception 64 96-128 16-32 32"):
        planned = plan(parse_net(text), (3, 8, 8))
        svg = ElementTree.fromstring(flow_diagram(planned))
        width = float(svg.attrib["viewBox"].split()[2])
        assert 420 < max(told.right for told in texts(svg)) < width
        assert labels(svg)[2].startswith(f"{planned.rows[0].name} {planned.rows[0].layer.word.stem}")


def test_two_thousand_layers_take_less_than_a_second() -> None:
    shape = (8, 32, 32)
    planned = plan(parse_net(" | ".join(["residual 8"] * 300 + ["relu"] * 200)), shape)
    assert len(list(planned.leaves())) == 2000
    began = time.perf_counter()
    svg = flow_diagram(planned)
    assert time.perf_counter() - began < 1
    assert len(rects(ElementTree.fromstring(svg), None)) == 2001
