"""The flow diagram: everything that it must say, and sizes that mean something."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from cutaway.draw import flow_diagram
from cutaway.nets import Layer, LayerPlan, NetSpec, Plan, find_net, parse_net, plan

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
    odd_row = LayerPlan(odd, (1, 4, 4), (3,), row.parameters, 0)
    svg = ElementTree.fromstring(flow_diagram(Plan(NetSpec((odd,)), (1, 4, 4), (odd_row,))))
    assert labels(svg)[2] == '<b>&"x" dense 3'
    assert not list(svg.iter("b"))
