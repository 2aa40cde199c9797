"""Edits of nets: what they do, what they leave alone, and what is told when they can't be done."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cutaway.errors import ConfigError, NotFoundError
from cutaway.nets import (
    PlanError,
    apply_edits,
    edited_plan,
    find_net,
    parse_edits,
    parse_net,
    plan,
    show_edits,
)
from cutaway.nets.edits import Edit, EditKind, mending_edits

Lines = list[tuple[str, str]]

NET = parse_net(
    "conv 4 5x5 | relu | maxpool 2 | eyes: conv 6 3x3 same | relu | maxpool 2 | dropout 0.5 | "
    "flatten | dense 20 | leakyrelu 0.2 | dense 10"
)
IMAGE = (1, 28, 28)


def lines(spec: Any) -> Lines:
    """Every layer's name and word."""
    return [(layer.name, layer.word.text()) for layer in spec.layers]


def changed(**words: str) -> Lines:
    """The net's layers with other words."""
    return [(name, words.get(name, word)) for name, word in lines(NET)]


def without(*names: str) -> Lines:
    return [(name, word) for name, word in lines(NET) if name not in names]


def behind(name: str, *new: tuple[str, str]) -> Lines:
    at = [layer.name for layer in NET.layers].index(name) + 1
    return [*lines(NET)[:at], *new, *lines(NET)[at:]]


CASES: dict[str, Lines] = {
    "": lines(NET),
    "-relu1": without("relu1"),
    "-relu2": without("relu2"),
    "-relu*": without("relu1", "relu2"),
    "-eyes": without("eyes"),
    "-*2": without("relu2", "pool2", "dense2"),
    "-relu1 -pool2": without("relu1", "pool2"),
    "-relu1, -pool2": without("relu1", "pool2"),
    "-pool2 -relu1": without("relu1", "pool2"),
    "-conv*": without("conv1", "eyes"),  # the word too, where the layer got a name
    "relu1=tanh": [("tanh1" if name == "relu1" else name, word) for name, word in changed(relu1="tanh")],
    "relu*=tanh": [
        (name.replace("relu", "tanh") if name.startswith("relu") else name, word)
        for name, word in changed(relu1="tanh", relu2="tanh")
    ],
    "pool1=maxpool 3 stride 2": changed(pool1="maxpool 3 stride 2"),
    "pool*=avgpool 2": changed(pool1="avgpool 2", pool2="avgpool 2"),
    "relu1=leakyrelu 0.1": [  # leakyrelu1 is taken
        ("leakyrelu2" if name == "relu1" else name, word) for name, word in changed(relu1="leakyrelu 0.1")
    ],
    "eyes=tanh": changed(eyes="tanh"),  # a name that a person gave stays
    "conv1.filters=3": changed(conv1="conv 3 5x5"),
    "conv1.kernel=3": changed(conv1="conv 4 3x3"),
    "conv1.kernel=3x5": changed(conv1="conv 4 3x5"),
    "conv1.padding=2": changed(conv1="conv 4 5x5 pad 2"),
    "conv1.pad=2x1": changed(conv1="conv 4 5x5 pad 2x1"),
    "conv1.stride=2": changed(conv1="conv 4 5x5 stride 2"),
    "conv1.same=true": changed(conv1="conv 4 5x5 same"),
    "conv1.padding=1 conv1.same=true": changed(conv1="conv 4 5x5 same"),
    "eyes.same=false": changed(eyes="conv 6 3x3"),
    "eyes.padding=1": changed(eyes="conv 6 3x3 pad 1"),
    "conv1.bias=False": changed(conv1="conv 4 5x5 nobias"),
    "conv*.filters=2": changed(conv1="conv 2 5x5", eyes="conv 2 3x3 same"),
    "pool1.size=3": changed(pool1="maxpool 3"),
    "pool1.window=3x2": changed(pool1="maxpool 3x2"),
    "pool1.stride=1": changed(pool1="maxpool 2 stride 1"),
    "pool1.stride=1 pool1.size=3": changed(pool1="maxpool 3 stride 1"),
    "pool1.ceil=true": changed(pool1="maxpool 2 ceil"),
    "dropout1.probability=.25": changed(dropout1="dropout 0.25"),
    "dropout1.p=2e-1": changed(dropout1="dropout 0.2"),
    "leakyrelu1.slope=0.1": changed(leakyrelu1="leakyrelu 0.1"),
    "dense*.units=7": changed(dense1="dense 7", dense2="dense 7"),
    "eyes+=batchnorm": behind("eyes", ("batchnorm1", "batchnorm")),
    "conv1+=conv 8 1x1 nobias": behind("conv1", ("conv2", "conv 8 1x1 nobias")),
    "..pool2": lines(NET)[:6],
    "..relu*": lines(NET)[:5],
    "..pool1 +flatten +dense 10": [*lines(NET)[:3], ("flatten2", "flatten"), ("dense3", "dense 10")],
    "+tanh": [*lines(NET), ("tanh1", "tanh")],
    "+dense 10": [*lines(NET), ("dense3", "dense 10")],
    "+leakyrelu 0.3 -relu1": [*without("relu1"), ("leakyrelu2", "leakyrelu 0.3")],
    "-relu1 relu2=tanh conv1.filters=3 eyes+=lrn 3 alpha 0.5 ..dropout1 +globalpool +flatten": [
        ("conv1", "conv 3 5x5"),
        ("pool1", "maxpool 2"),
        ("eyes", "conv 6 3x3 same"),
        ("lrn1", "lrn 3 alpha 0.5"),
        ("tanh2", "tanh"),
        ("pool2", "maxpool 2"),
        ("dropout1", "dropout 0.5"),
        ("pool3", "globalpool"),
        ("flatten2", "flatten"),
    ],
}


@pytest.mark.parametrize("text", CASES)
def test_what_an_edit_does(text: str) -> None:
    before = NET.text()
    edited = apply_edits(NET, text)
    assert lines(edited) == CASES[text]
    assert parse_net(edited.text()) == edited
    assert apply_edits(NET, parse_edits(text)) == edited
    assert NET.text() == before
    # Each layer stands in a line of its own, which is what an error then tells.
    assert [layer.line for layer in edited.layers] == list(range(1, len(edited.layers) + 1))


def test_an_insertion_behind_several_layers_is_one_behind_each() -> None:
    edited = lines(apply_edits(NET, "conv*+=batchnorm 0.001"))
    assert edited[1] == ("batchnorm1", "batchnorm 0.001")
    assert edited[5] == ("batchnorm2", "batchnorm 0.001")
    assert len(edited) == len(NET.layers) + 2


def test_all_forms_are_parsed() -> None:
    assert parse_edits("-a b=tanh c.d=3x5 e+=dense 10 ..f +lrn 5 alpha 1e-4") == (
        Edit(EditKind.REMOVE, "a"),
        Edit(EditKind.REPLACE, "b", "tanh"),
        Edit(EditKind.CHANGE, "c", "3x5", "d"),
        Edit(EditKind.INSERT, "e", "dense 10"),
        Edit(EditKind.KEEP, "f"),
        Edit(EditKind.APPEND, value="lrn 5 alpha 1e-4"),
    )
    assert parse_edits("") == parse_edits(" ,  ") == ()


TEXTURES = find_net("textures-14")
LETTERS = {
    "-relu1": "cpcrpcrpcrpcgf",
    "-relu2": "crpcpcrpcrpcgf",
    "-relu3": "crpcrpcpcrpcgf",
    "-relu4": "crpcrpcrpcpcgf",
    "-pool1": "crcrpcrpcrpcgf",
    "-pool2": "crpcrcrpcrpcgf",
    "-relu2 -relu3 -relu4 -pool4": "crpcpcpccgf",
    "-conv4 -pool4": "crpcrpcrprcgf",
    "relu*=tanh": "ctpctpctpctpcgf",
}
"""The ablations of a net of texture classes; what is left, a letter for each word."""


@pytest.mark.parametrize("text", LETTERS)
def test_the_ablations_of_textures_14(text: str) -> None:
    planned = edited_plan(TEXTURES, text, (1, 64, 64))
    words = [row.layer.word.text().split()[0] for row in planned.rows]
    assert "".join({"maxpool": "p", "globalpool": "g"}.get(word, word[0]) for word in words) == LETTERS[text]
    assert planned.output_shape == (25,)
    removed = {name[1:] for name in text.split() if name.startswith("-")}
    stay = [(name, word) for name, word in lines(TEXTURES) if name not in removed and "=" not in text]
    assert lines(planned.spec) == (stay or [(n.replace("relu", "tanh"), w.replace("relu", "tanh"))
                                            for n, w in lines(TEXTURES)])  # fmt: skip
    assert parse_net(planned.spec.text()) == planned.spec
    assert find_net("textures-14") == TEXTURES


# Random nets and random edits, against a plain model of lines. ------------------------------------

WORDS_AND_VALUES = ["conv 2 3x3", "conv 3 1x1 nobias", "relu", "tanh", "maxpool 2", "avgpool 3 stride 1",
                    "leakyrelu 0.5", "dropout 0.25", "batchnorm", "lrn 3 k 2.0", "gelu", "residual 4",
                    "inception 1 1-1 1-1 1"]  # fmt: skip


@st.composite
def nets(draw: Any) -> Any:
    """A few layers, some with a name of their own."""
    words = draw(st.lists(st.sampled_from(WORDS_AND_VALUES), min_size=1, max_size=9))
    named = draw(st.lists(st.booleans(), min_size=len(words), max_size=len(words)))
    pairs = enumerate(zip(words, named, strict=True))
    return parse_net("\n".join(f"n{at}_: {word}" if name else word for at, (word, name) in pairs))


@st.composite
def edits_of(draw: Any, names: list[str]) -> Edit:
    kind = draw(st.sampled_from([k for k in EditKind if k is not EditKind.CHANGE]))
    name = draw(st.sampled_from([*names, *(f"{name.rstrip('0123456789')}*" for name in names)]))
    value = draw(st.sampled_from(WORDS_AND_VALUES))
    if kind in {EditKind.REMOVE, EditKind.KEEP}:
        return Edit(kind, name)
    return Edit(kind, "" if kind is EditKind.APPEND else name, value)


def model(before: Lines, edit: Edit) -> list[tuple[str | None, str]]:
    """The layers after one edit, straight from the module's description; None for a new layer's name."""

    def hit(name: str, word: str) -> bool:
        is_word = edit.name.endswith("*") and word.split(maxsplit=1)[0] == edit.name[:-1]
        return fnmatchcase(name, edit.name) or is_word

    after: list[tuple[str | None, str]] = []
    last = max((at for at, line in enumerate(before) if hit(*line)), default=-1)
    for at, (name, word) in enumerate(before):
        match edit.kind:
            case EditKind.REMOVE if hit(name, word):
                continue
            case EditKind.KEEP if at > last:
                continue
            case EditKind.REPLACE if hit(name, word):
                after.append((None, edit.value))
                continue
        after.append((name, word))
        if edit.kind is EditKind.INSERT and hit(name, word):
            after.append((None, edit.value))
    return [*after, (None, edit.value)] if edit.kind is EditKind.APPEND else after


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_random_edits_of_random_nets(data: st.DataObject) -> None:
    spec = data.draw(nets())
    before = lines(spec)
    edit = data.draw(edits_of([name for name, _ in before]))
    wanted = model(before, edit)
    if not wanted:
        with pytest.raises(ConfigError, match="leave no layer"):
            apply_edits(spec, [edit])
        return
    edited = apply_edits(spec, [edit])
    found = lines(edited)
    assert [word for _, word in found] == [word for _, word in wanted]
    for (name, _), (kept, _) in zip(found, wanted, strict=True):
        assert kept in (None, name)
    assert len({name for name, _ in found}) == len(found)
    assert parse_net(edited.text()) == edited
    assert lines(spec) == before


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_the_text_of_edits_parses_to_the_same(data: st.DataObject) -> None:
    names = [layer.name for layer in data.draw(nets()).layers]
    edits = tuple(data.draw(st.lists(edits_of(names), max_size=5)))
    assert parse_edits(" ".join(edit.text() for edit in edits)) == edits
    assert parse_edits(" , ".join(edit.text() for edit in edits)) == edits


@pytest.mark.parametrize("text", ["conv1.filters=3", "x.kernel=3x5", "relu*.slope=.1", "a+=lrn 5 alpha 1e-4"])
def test_an_edits_text_is_as_it_was_written(text: str) -> None:
    (edit,) = parse_edits(text)
    assert edit.text() == text


# Mistakes. ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("relu1", '"relu1" is no edit of a net'),
        ("dense 10", '"dense" is no edit'),
        ("-", '"-" is no edit'),
        ("+", '"+" is no edit'),
        ("..", '".." is no edit'),
        (".relu1", '".relu1" is no edit'),
        ("+=tanh", '"+=tanh" is no edit'),
        ("=tanh", '"=tanh" is no edit'),
        ("relu1=", '"relu1=" is no edit'),
        ("-relu1 3", '"3" is no edit'),
        ("-relu1=tanh", '"-relu1=tanh" is no edit'),
        ("conv1.filters=0", "0 is out of range; from 1 to 1,000,000"),
        ("conv1.filters=-1", 'filters should be a whole number, not "-1"'),
        ("conv1.filters=many", 'filters should be a whole number, not "many"'),
        ("conv1.filters=3x3", 'filters should be a whole number, not "3x3"'),
        ("conv1.filters=9999999", "out of range"),
        ("conv1.kernel=3.5", "kernel should be a size such as 3 or 3x5"),
        ("conv1.kernel=0", "0 is out of range"),
        ("conv1.stride=0", "stride is 0"),
        ("conv1.same=yes", "same should be true or false"),
        ("dropout1.p=1", "the probability to drop a value, from 0 to below 1"),
        ("dropout1.p=-0.5", "p should be a number"),
        ("dropout1.p=nan", "p should be a number"),
        ("conv1.filter=3", 'Did you mean "filters"?'),
        ("relu1.slope=3", 'relu1 has no argument "slope"'),
        ("relu1=tanhh", 'there is no word "tanhh". Did you mean "tanh"?'),
        ("relu1=conv", "expected the number of filters"),
        ("relu1=tanh|relu", "should be one layer without a name"),
        ("+dense", "expected the number of units"),
        ("-*", "leave no layer"),
    ],
)
def test_mistakes_are_told(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        apply_edits(NET, text)
    message = str(caught.value)
    assert told in message
    assert "\n" not in message
    assert len(message) < 300


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("-rel1", 'There is no layer "rel1". Did you mean "relu1"?'),
        ("-relu3", "Known: conv1, "),
        ("EYES=tanh", 'Did you mean "eyes"?'),
        ("..pool3", 'There is no layer "pool3". Did you mean "pool'),
        ("sigmoid*=tanh", 'There is no layer "sigmoid*"'),
        ("gone.filters=3", 'There is no layer "gone"'),
        ("gone+=relu", 'There is no layer "gone"'),
        ("-relu1 -relu1", 'There is no layer "relu1"'),
    ],
)
def test_an_unknown_layer_is_answered_with_the_nearest(text: str, told: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        apply_edits(NET, text)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


# The layer would keep the name that it has, or get one of its word: the name given here is lost.
def test_a_name_in_an_edits_word_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        apply_edits(NET, "relu1=x: tanh")
    assert "without a name" in str(caught.value)


# What can't be planned, and what mends it. --------------------------------------------------------

WAYS = re.compile(r"\n    Mended by: (.*)\Z")


def ways_in(message: str) -> list[str]:
    found = WAYS.search(message)
    return found[1].split(", or ") if found else []


@pytest.mark.parametrize(
    ("net", "text", "failing", "ways"),
    [
        # The last 4×4 kernel meets a map of 2×2, and what it gives must still be pooled.
        (TEXTURES.text(), "pool1.size=3", "conv4", ["conv4.same=true", "conv4.kernel=1", "-conv4"]),
        # One halving too many, and no other kernel would do.
        (TEXTURES.text(), "conv1+=maxpool 2", "conv4", ["-pool1", "-pool6"]),
        ("conv 4 3x3 | flatten | dense 10", "-flatten1", "dense1", ["conv1+=flatten", "-dense1"]),
        ("flatten | dense 10", "flatten1+=conv 3 3x3", "conv1", ["-conv1", "-flatten1"]),
        ("conv 4 7x7 | flatten | dense 10", "conv1+=maxpool 24", "pool1", ["pool1.size=7", "-pool1"]),
    ],
)
def test_what_would_mend_it_is_told(net: str, text: str, failing: str, ways: list[str]) -> None:
    shape = (1, 64, 64) if net == TEXTURES.text() else IMAGE
    spec = parse_net(net)
    with pytest.raises(PlanError) as caught:
        edited_plan(spec, text, shape)
    assert caught.value.layer == failing
    assert failing in str(caught.value).splitlines()[0]
    told = ways_in(str(caught.value))
    if failing != "pool1":
        assert told[: len(ways)] == ways[: len(told)]
    assert set(ways) & set(told)
    for way in told:
        # Written behind the edits, as a person would try it.
        edited_plan(spec, f"{text} {way}", shape)


def test_where_no_single_edit_mends_it_none_is_told() -> None:
    spec = parse_net("flatten | tanh | conv 2 3x3 | maxpool 2 | conv 3 3x3 | flatten | flatten | dense 10")
    broken = apply_edits(spec, "tanh1+=flatten")
    assert mending_edits(broken, IMAGE) == []
    with pytest.raises(PlanError) as caught:
        edited_plan(spec, "tanh1+=flatten", IMAGE)
    assert "Mended" not in str(caught.value)


def test_a_net_that_can_be_planned_needs_no_mending() -> None:
    assert mending_edits(NET, IMAGE) == []


SHRINKING = ["conv 2 3x3", "conv 2 5x5", "conv 3 4x4", "maxpool 2", "maxpool 3 stride 2", "flatten", "relu",
             "dense 3"]  # fmt: skip


@given(st.lists(st.sampled_from(SHRINKING), min_size=2, max_size=9), st.integers(4, 14), st.integers(1, 3))
@settings(max_examples=150, deadline=None)
def test_every_way_that_is_told_mends(words: list[str], size: int, most: int) -> None:
    spec = parse_net("\n".join(words))
    shape = (1, size, size)
    try:
        plan(spec, shape)
    except PlanError as error:
        failing = error.layer
    else:
        assume(False)
    ways = mending_edits(spec, shape, most)
    assert len(ways) <= most
    assert len(set(ways)) == len(ways)
    for way in ways:
        plan(apply_edits(spec, way), shape)
    with pytest.raises(PlanError) as caught:
        edited_plan(spec, "", shape)
    assert caught.value.layer == failing
    assert str(caught.value).count("\n") <= 2
    assert ways_in(str(caught.value))[:most] == ways[:most]


def test_the_difference_is_shown() -> None:
    shown = show_edits(TEXTURES, apply_edits(TEXTURES, "-relu1 pool2=avgpool 2")).splitlines()
    assert "- relu1: relu" in shown
    assert "- pool2: maxpool 2" in shown
    assert "+ pool2: avgpool 2" in shown
    assert "  conv1: conv 20 5x5" in shown
    assert sum(line[0] == " " for line in shown) == len(TEXTURES.layers) - 2
    assert {line[0] for line in shown} == {" ", "-", "+"}
