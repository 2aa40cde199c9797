"""The notation: text and net are one and the same, and a mistake is told with its place."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cutaway.errors import ConfigError
from cutaway.nets import WORDS, Layer, NotationError, Word, parse_net
from cutaway.nets import words as w

Draw = Any
COUNT = st.integers(1, 1_000_000)
PAIR = st.tuples(st.integers(1, 12), st.integers(1, 12))
PADDING = st.tuples(st.integers(0, 9), st.integers(0, 9))
ODD = st.tuples(st.sampled_from([1, 3, 5, 7, 11]), st.sampled_from([1, 3, 5, 7, 11]))
SHARE = st.floats(0, 1, exclude_max=True)
EPSILONS = st.floats(0, 1, exclude_min=True, exclude_max=True)
NUMBER = st.floats(0, 1_000_000) | st.sampled_from([1e-4, 0.75, 1.0, 2.0, 5e-5])


@st.composite
def _size(draw: Draw, pairs: st.SearchStrategy[tuple[int, int]]) -> tuple[str, tuple[int, int]]:
    """A size and one of the ways to write it."""
    height, width = draw(pairs)
    if height == width and draw(st.booleans()):
        return str(height), (height, width)
    return f"{height}x{width}", (height, width)


@st.composite
def _conv(draw: Draw) -> tuple[str, Word]:
    filters = draw(COUNT)
    written, kernel = draw(_size(PAIR))
    padding, stride, bias, same = (0, 0), (1, 1), True, False
    options = []
    match draw(st.sampled_from(["", "same", "valid", "pad"])):
        case "same":
            options.append("same")
            same = True
        case "valid":
            options.append("valid")
        case "pad":
            text, padding = draw(_size(PADDING))
            options.append(f"pad {text}")
    if draw(st.booleans()):
        text, stride = draw(_size(PAIR))
        options.append(f"stride {text}")
    if draw(st.booleans()):
        options.append("nobias")
        bias = False
    tail = " ".join(["", *draw(st.permutations(options))])
    return f"conv {filters} {written}{tail}", w.Conv(filters, kernel, padding, same, stride, bias)


@st.composite
def _pool(draw: Draw, name: str, kind: type[Any]) -> tuple[str, Word]:
    written, window = draw(_size(PAIR))
    stride, padding, options = window, (0, 0), []
    if draw(st.booleans()):
        text, stride = draw(_size(PAIR))
        options.append(f"stride {text}")
    if draw(st.booleans()):
        text, padding = draw(_size(PADDING))
        options.append(f"pad {text}")
    ceil = draw(st.booleans())
    options += ["ceil"] * ceil
    tail = " ".join(["", *draw(st.permutations(options))])
    return f"{name} {written}{tail}", kind(window, stride, padding, ceil)


@st.composite
def _inception(draw: Draw) -> tuple[str, Word]:
    one, before, three, ahead, wide, pool = (draw(COUNT) for _ in range(6))
    kernel, options = (5, 5), []
    if draw(st.booleans()):
        text, kernel = draw(_size(ODD))
        options.append(f"wide {text}")
    batchnorm = draw(st.booleans())
    options += ["batchnorm"] * batchnorm
    tail = " ".join(["", *draw(st.permutations(options))])
    return (
        f"inception {one} {before}-{three} {ahead}-{wide} {pool}{tail}",
        w.Inception(one, before, three, ahead, wide, pool, batchnorm, kernel),
    )


@st.composite
def _residual(draw: Draw) -> tuple[str, Word]:
    filters = draw(COUNT)
    if draw(st.booleans()):
        text, stride = draw(_size(PAIR))
        return f"residual {filters} stride {text}", w.Residual(filters, stride)
    return f"residual {filters}", w.Residual(filters)


@st.composite
def _lrn(draw: Draw) -> tuple[str, Word]:
    size = draw(st.none() | COUNT)
    given_ones = {name: draw(NUMBER) for name in draw(st.sets(st.sampled_from(["alpha", "beta", "k"])))}
    options = draw(st.permutations([f"{name} {value!r}" for name, value in given_ones.items()]))
    text = " ".join(["lrn", *([] if size is None else [str(size)]), *options])
    return text, w.LocalResponseNorm(**({} if size is None else {"size": size}), **given_ones)


def _bare(name: str, word: Word) -> st.SearchStrategy[tuple[str, Word]]:
    return st.just((name, word))


LAYERS: dict[str, st.SearchStrategy[tuple[str, Word]]] = {
    "conv": _conv(),
    "maxpool": _pool("maxpool", w.MaxPool),
    "avgpool": _pool("avgpool", w.AvgPool),
    "globalpool": _bare("globalpool", w.GlobalPool()),
    "relu": _bare("relu", w.ReLU()),
    "tanh": _bare("tanh", w.Tanh()),
    "sigmoid": _bare("sigmoid", w.Sigmoid()),
    "leakyrelu": _bare("leakyrelu", w.LeakyReLU(0.01))
    | SHARE.map(lambda slope: (f"leakyrelu {slope}", w.LeakyReLU(slope))),
    "gelu": _bare("gelu", w.GELU()),
    "batchnorm": _bare("batchnorm", w.BatchNorm(1e-5))
    | EPSILONS.map(lambda epsilon: (f"batchnorm {epsilon!r}", w.BatchNorm(epsilon))),
    "lrn": _lrn(),
    "inception": _inception(),
    "residual": _residual(),
    "dropout": SHARE.map(lambda p: (f"dropout {p}", w.Dropout(p))),
    "flatten": _bare("flatten", w.Flatten()),
    "dense": COUNT.map(lambda units: (f"dense {units}", w.Dense(units))),
}
"""For every word: a layer's text, and the word it should be read as."""

STEMS = {
    **{name: name for name in WORDS if not name.endswith("pool")},
    **dict.fromkeys(("maxpool", "avgpool", "globalpool"), "pool"),
}


@st.composite
def _nets(draw: Draw) -> tuple[str, list[tuple[str, Word, bool]]]:
    """A net's text with blanks, comments and bars anywhere, and the layers it should be read as."""
    text = ""
    expected: list[tuple[str, Word, bool]] = []
    counts: Counter[str] = Counter()
    for written, word in draw(st.lists(st.one_of(*LAYERS.values()), min_size=1, max_size=8)):
        stem = STEMS[written.split()[0]]
        counts[stem] += 1
        named = draw(st.booleans())
        # The letter in front keeps these apart from counted names, such as conv1.
        name = (
            f"X{len(expected)}_{draw(st.sampled_from(['', 'a', 'Z9']))}" if named else f"{stem}{counts[stem]}"
        )
        blanks = draw(st.sampled_from([" ", "  ", "\t"]))
        prefix = f"{name}:{draw(st.sampled_from(['', ' ']))}" if named else ""
        text += (
            draw(st.sampled_from(["", " ", "\n", "\n # relu | conv\n"]))
            + prefix
            + written.replace(" ", blanks)
        )
        text += draw(st.sampled_from(["\n", "|", " | ", "\r\n", "  # maxpool 2\n", "\n\n", "||"]))
        expected.append((name, word, named))
    return text, expected


def test_the_nets_below_use_every_word() -> None:
    assert LAYERS.keys() == set(WORDS) == STEMS.keys()


@settings(deadline=None, max_examples=300)
@given(_nets())
def test_a_text_is_read_as_it_is_meant_and_written_so_that_it_reads_the_same(
    made: tuple[str, list[tuple[str, Word, bool]]],
) -> None:
    text, expected = made
    net = parse_net(text)
    assert [(layer.name, layer.word, layer.named) for layer in net.layers] == expected
    again = parse_net(net.text())
    assert again == net
    assert again.text() == net.text()
    assert [layer.line for layer in again.layers] == list(range(1, len(expected) + 1))


@pytest.mark.parametrize("name", WORDS)
@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_a_word_is_written_so_that_it_reads_the_same(name: str, data: st.DataObject) -> None:
    text, word = data.draw(LAYERS[name])
    (layer,) = parse_net(text).layers
    assert layer.word == word
    assert parse_net(word.text()).layers[0].word == word


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("conv 3 5 valid stride 1 pad 0", None),
        ("conv 3 5 valid stride 1", "conv 3 5x5"),
        ("conv 3 5 nobias stride 2 pad 1x1", "conv 3 5x5 pad 1 stride 2 nobias"),
        ("maxpool 2x2 stride 2 pad 0", "maxpool 2"),
        ("avgpool 3x2 stride 1", "avgpool 3x2 stride 1"),
        ("maxpool 3 ceil stride 3 pad 0", "maxpool 3 ceil"),
        ("maxpool 3 pad 1 ceil stride 2", "maxpool 3 stride 2 pad 1 ceil"),
        ("batchnorm 0.00001", "batchnorm"),
        ("batchnorm 1e-3", "batchnorm 0.001"),
        ("lrn 5 k 1 alpha 0.0001 beta .75", "lrn"),
        ("lrn 9 k 2 beta 0.5 alpha 1e-4", "lrn 9 beta 0.5 k 2.0"),
        ("lrn alpha 0.001", "lrn alpha 0.001"),
        ("inception 1 2-3 4-5 6 wide 5x5", "inception 1 2-3 4-5 6"),
        ("inception 1 2-3 4-5 6 wide 3 batchnorm", "inception 1 2-3 4-5 6 batchnorm wide 3"),
        ("inception 1 2-3 4-5 6 wide 1x7", "inception 1 2-3 4-5 6 wide 1x7"),
        ("residual 64 stride 1", "residual 64"),
        ("residual 64 stride 2x2", "residual 64 stride 2"),
        ("leakyrelu .01", "leakyrelu"),
        ("dropout 5e-1", "dropout 0.5"),
    ],
)
def test_defaults_are_left_out_of_the_text(text: str, short: str | None) -> None:
    if short is None:
        with pytest.raises(NotationError, match='"valid" and "pad" contradict each other'):
            parse_net(text)
    else:
        assert parse_net(text).text() == short


def test_unnamed_layers_are_called_by_kind_and_count() -> None:
    net = parse_net("conv 3 3x3 | maxpool 2 | relu\neyes: conv 4 3x3\navgpool 2\nconv 5 3x3 | globalpool")
    names = [layer.name for layer in net.layers]
    assert names == ["conv1", "pool1", "relu1", "eyes", "pool2", "conv3", "pool3"]


def test_lines_are_counted_with_empty_ones_and_comments() -> None:
    net = parse_net("\n# a comment\n relu | tanh # two\n\n gelu")
    assert [layer.line for layer in net.layers] == [3, 3, 5]


def test_a_net_differs_by_names_and_arguments_but_not_by_lines() -> None:
    assert parse_net("relu\ntanh") == parse_net("relu | tanh")
    assert parse_net("relu") != parse_net("a: relu")
    assert parse_net("dense 3") != parse_net("dense 4")
    assert Layer("relu1", w.ReLU()) != Layer("relu1", w.Tanh())


KNOWN_WORDS = (
    "Known: avgpool, batchnorm, conv, dense, dropout, flatten, gelu, globalpool, inception, leakyrelu, lrn, "
    "maxpool, relu, residual, sigmoid, tanh."
)

KERNEL, WINDOW = "a kernel size such as 5x5", "a window size such as 2"
THREE = "B-C, the maps before and of the 3×3 branch, such as 96-128"
WIDE = "D-E, the maps before and of the 5×5 branch, such as 16-32"
POOL = "the number of maps behind the pool"
EPSILON = "the number added to the variance"

MISTAKES = [
    ("", 1, 1, "a net needs at least one layer, such as: dense 10"),
    ("# dense 10", 1, 1, "a net needs at least one layer, such as: dense 10"),
    ("||", 1, 1, "a net needs at least one layer, such as: dense 10"),
    ("relu\n rellu", 2, 2, f'there is no word "rellu". Did you mean "relu"? {KNOWN_WORDS}'),
    ("relu\n  relu | Conv 3 3x3", 2, 10, f'there is no word "Conv". Did you mean "conv"? {KNOWN_WORDS}'),
    ("conv", 1, 5, "expected the number of filters after conv, found the end of the line."),
    ("conv | relu", 1, 5, "expected the number of filters after conv, found the end of the line."),
    ("conv  # 20 5x5", 1, 5, "expected the number of filters after conv, found the end of the line."),
    ("conv 20", 1, 8, "expected a kernel size such as 5x5 after conv, found the end of the line."),
    ("conv x 5x5", 1, 6, 'expected the number of filters, found "x".'),
    ("conv 5x5 20", 1, 6, 'expected the number of filters, found "5x5".'),
    ("conv -3 5x5", 1, 6, 'expected the number of filters, found "-3".'),
    ("conv ٣ 5x5", 1, 6, 'expected the number of filters, found "٣".'),
    ("conv 0 5x5", 1, 6, "0 is out of range; from 1 to 1,000,000 is possible."),
    ("conv 1000001 5x5", 1, 6, "1000001 is out of range; from 1 to 1,000,000 is possible."),
    ("conv 3 0x5", 1, 8, "0x5 is out of range; from 1 to 1,000,000 is possible."),
    ("conv 3 5x", 1, 8, 'expected a kernel size such as 5x5, found "5x".'),
    (
        *("conv 3 5×5", 1, 8),
        'expected a kernel size such as 5x5, found "5×5". Write the sign as the letter "x".',
    ),
    *(
        (
            *(f"{word} 5{sign}5", 1, len(word) + 2),
            f'expected {what}, found "5{sign}5". Write the sign as the letter "x".',
        )
        for word, what in (("conv 3", KERNEL), ("maxpool", WINDOW), ("avgpool", WINDOW))
        for sign in ("×", "х", "χ", "Χ", "Х", "X", "*")  # times, Cyrillic, Greek, capitals of them
    ),
    (
        *("conv 3 3x3 stride 2×2", 1, 19),
        'expected a number for stride, found "2×2". Write the sign as the letter "x".',
    ),
    (
        *("residual 3 stride 2х1", 1, 19),
        'expected a number for stride, found "2х1". Write the sign as the letter "x".',
    ),
    ("conv 3 5✕5", 1, 8, 'expected a kernel size such as 5x5, found "5✕5".'),
    ("conv 3 ５x５", 1, 8, 'expected a kernel size such as 5x5, found "５x５".'),
    ("conv 3 5x5x5", 1, 8, 'expected a kernel size such as 5x5, found "5x5x5".'),
    ("conv 3 -5x5", 1, 8, 'expected a kernel size such as 5x5, found "-5x5".'),
    ("conv 3 5x-5", 1, 8, 'expected a kernel size such as 5x5, found "5x-5".'),
    ("conv 3 5x0", 1, 8, "5x0 is out of range; from 1 to 1,000,000 is possible."),
    ("conv 3 1e999", 1, 8, 'expected a kernel size such as 5x5, found "1e999".'),
    ("conv inf 3x3", 1, 6, 'expected the number of filters, found "inf".'),
    ("conv 3 5x5 pad -1", 1, 16, 'expected a number for pad, found "-1".'),
    ("conv 3 5x5 stride -2", 1, 19, 'expected a number for stride, found "-2".'),
    ("conv 3 5x5 stride inf", 1, 19, 'expected a number for stride, found "inf".'),
    ("conv 3 5x5 stride", 1, 18, "expected a number for stride after conv, found the end of the line."),
    (
        *("conv 3 5x5 smae", 1, 12),
        'conv has no option "smae". Did you mean "same"? Known: nobias, pad, same, stride, valid.',
    ),
    ("conv 3 5x5 same same", 1, 17, '"same" stands twice.'),
    ("conv 3 5x5 pad 1 pad 2", 1, 18, '"pad" stands twice.'),
    ("conv 3 5x5 pad 2 same", 1, 22, '"same" and "pad" contradict each other; keep one.'),
    ("conv 3 5x5 same valid", 1, 22, '"same" and "valid" contradict each other; keep one.'),
    ("conv 3 5x5 stride 0", 1, 20, "stride is 0; it should be at least 1."),
    ("conv 3 5x5 stride 1x0", 1, 22, "stride is 0; it should be at least 1."),
    ("conv 3 5x5 stride same", 1, 19, 'expected a number for stride, found "same".'),
    ("conv 3 5x5 pad 1000001", 1, 16, "pad should be at most 1,000,000."),
    ("maxpool", 1, 8, "expected a window size such as 2 after maxpool, found the end of the line."),
    ("maxpool 0", 1, 9, "0 is out of range; from 1 to 1,000,000 is possible."),
    ("maxpool 2x0", 1, 9, "2x0 is out of range; from 1 to 1,000,000 is possible."),
    ("avgpool -2", 1, 9, 'expected a window size such as 2, found "-2".'),
    ("maxpool 2 stride 0", 1, 19, "stride is 0; it should be at least 1."),
    ("maxpool 2 ceil ceil", 1, 16, '"ceil" stands twice.'),
    ("maxpool 2 ceil 1", 1, 16, 'maxpool has no option "1". Known: ceil, pad, stride.'),
    ("globalpool ceil", 1, 12, 'globalpool takes nothing more, found "ceil".'),
    ("maxpool two", 1, 9, 'expected a window size such as 2, found "two".'),
    (
        *("avgpool 2 strid 1", 1, 11),
        'avgpool has no option "strid". Did you mean "stride"? Known: ceil, pad, stride.',
    ),
    ("inception", 1, 10, "expected the number of 1×1 maps after inception, found the end of the line."),
    ("inception 96-128", 1, 11, 'expected the number of 1×1 maps, found "96-128".'),
    ("inception 64", 1, 13, f"expected {THREE} after inception, found the end of the line."),
    ("inception 64 96x128 16-32 32", 1, 14, f'expected {THREE}, found "96x128".'),
    ("inception 64 96 128 16-32 32", 1, 14, f'expected {THREE}, found "96".'),
    ("inception 64 96-128-160 16-32 32", 1, 14, f'expected {THREE}, found "96-128-160".'),
    ("inception 64 96–128 16-32 32", 1, 14, f'expected {THREE}, found "96–128".'),
    ("inception 64 96-128", 1, 20, f"expected {WIDE} after inception, found the end of the line."),
    ("inception 64 96-128 32", 1, 21, f'expected {WIDE}, found "32".'),
    ("inception 64 96-128 16x32 32", 1, 21, f'expected {WIDE}, found "16x32".'),
    ("inception 64 96-128 16-32", 1, 26, f"expected {POOL} after inception, found the end of the line."),
    ("inception 64 96-128 16-32 | relu", 1, 26,
     f"expected {POOL} after inception, found the end of the line."),
    ("inception 64 96-128 16-32 batchnorm", 1, 27, f'expected {POOL}, found "batchnorm".'),
    ("inception 0 1-1 1-1 1", 1, 11, "0 is out of range; from 1 to 1,000,000 is possible."),
    ("inception 1 0-1 1-1 1", 1, 13, "0-1 is out of range; from 1 to 1,000,000 is possible."),
    ("inception 1 1-1 1-1000001 1", 1, 17, "1-1000001 is out of range; from 1 to 1,000,000 is possible."),
    ("inception 1 1-1 1-1 0", 1, 21, "0 is out of range; from 1 to 1,000,000 is possible."),
    ("inception 1 1-1 1-1 1 wide 4", 1, 29, "wide should be odd, such as 3 or 5."),
    ("inception 1 1-1 1-1 1 wide 3x2", 1, 31, "wide should be odd, such as 3 or 5."),
    ("inception 1 1-1 1-1 1 wide 2x3", 1, 31, "wide should be odd, such as 3 or 5."),
    ("inception 1 1-1 1-1 1 wide 0", 1, 29, "wide should be odd, such as 3 or 5."),
    ("inception 1 1-1 1-1 1 wide -3", 1, 28, 'expected a number for wide, found "-3".'),
    ("inception 1 1-1 1-1 1 wide", 1, 27,
     "expected a number for wide after inception, found the end of the line."),
    ("inception 1 1-1 1-1 1 wide 3 wide 3", 1, 30, '"wide" stands twice.'),
    (
        *("inception 1 1-1 1-1 1 batchnrm", 1, 23),
        'inception has no option "batchnrm". Did you mean "batchnorm"? Known: batchnorm, wide.',
    ),
    ("residual", 1, 9, "expected the number of filters after residual, found the end of the line."),
    ("residual 0", 1, 10, "0 is out of range; from 1 to 1,000,000 is possible."),
    ("residual 64 stride 0", 1, 21, "stride is 0; it should be at least 1."),
    ("residual 64 2", 1, 13, 'residual has no option "2". Known: stride.'),
    ("lrn alpha", 1, 10, "expected a number for alpha after lrn, found the end of the line."),
    ("lrn 5 k", 1, 8, "expected a number for k after lrn, found the end of the line."),
    ("lrn alpha beta 1", 1, 11, 'expected a number for alpha, found "beta".'),
    ("lrn alpha -1", 1, 11, 'expected a number for alpha, found "-1".'),
    ("lrn alpha 1e999", 1, 11, 'expected a number for alpha, found "1e999".'),
    ("lrn beta inf", 1, 10, 'expected a number for beta, found "inf".'),
    ("lrn k nan", 1, 7, 'expected a number for k, found "nan".'),
    ("lrn k 1000001", 1, 7, 'expected a number for k, found "1000001".'),
    ("lrn alpha 1 k 2 alpha 1", 1, 17, '"alpha" stands twice.'),
    (
        *("lrn alhpa 1", 1, 5),
        'lrn has no option "alhpa". Did you mean "alpha"? Known: alpha, beta, k.',
    ),
    ("lrn alpha 1 5", 1, 13, 'lrn has no option "5". Known: alpha, beta, k.'),
    ("lrn 0", 1, 5, "0 is out of range; from 1 to 1,000,000 is possible."),
    ("lrn 5.5", 1, 5, 'expected the number of channels, found "5.5".'),
    ("lrn -5", 1, 5, 'lrn has no option "-5". Known: alpha, beta, k.'),
    ("batchnorm 1", 1, 11, f'expected {EPSILON}, above 0 and below 1, found "1".'),
    ("batchnorm inf", 1, 11, f'expected {EPSILON}, above 0 and below 1, found "inf".'),
    ("batchnorm -1e-5", 1, 11, f'expected {EPSILON}, above 0 and below 1, found "-1e-5".'),
    ("batchnorm 0.1 0.1", 1, 15, 'batchnorm takes nothing more, found "0.1".'),
    ("dense inf", 1, 7, 'expected the number of units, found "inf".'),
    ("leakyrelu inf", 1, 11, 'expected the slope below zero, from 0 to below 1, found "inf".'),
    ("relu 3", 1, 6, 'relu takes nothing more, found "3".'),
    ("flatten dense 10", 1, 9, 'flatten takes nothing more, found "dense".'),
    ("leakyrelu 0.1 0.2", 1, 15, 'leakyrelu takes nothing more, found "0.2".'),
    ("leakyrelu 1", 1, 11, 'expected the slope below zero, from 0 to below 1, found "1".'),
    ("dropout", 1, 8, "expected the probability to drop a value after dropout, found the end of the line."),
    ("dropout 1", 1, 9, 'expected the probability to drop a value, from 0 to below 1, found "1".'),
    ("dropout 1e999", 1, 9, 'expected the probability to drop a value, from 0 to below 1, found "1e999".'),
    ("dropout -0.5", 1, 9, 'expected the probability to drop a value, from 0 to below 1, found "-0.5".'),
    ("dropout nan", 1, 9, 'expected the probability to drop a value, from 0 to below 1, found "nan".'),
    ("dropout 50%", 1, 9, 'expected the probability to drop a value, from 0 to below 1, found "50%".'),
    ("dense", 1, 6, "expected the number of units after dense, found the end of the line."),
    ("dense 1.5", 1, 7, 'expected the number of units, found "1.5".'),
    ("dense 10 20", 1, 10, 'dense takes nothing more, found "20".'),
    ("eyes:", 1, 6, "expected a word after eyes:, such as conv or relu."),
    ("eyes: | relu", 1, 6, "expected a word after eyes:, such as conv or relu."),
    ("9a: relu", 1, 1, '"9a" is no name: use letters, digits and _, a letter first.'),
    ("relu | a.b: relu", 1, 8, '"a.b" is no name: use letters, digits and _, a letter first.'),
    ("é: relu", 1, 1, '"é" is no name: use letters, digits and _, a letter first.'),
    (": relu", 1, 1, '"" is no name: use letters, digits and _, a letter first.'),
    ("a: relu\n\n tanh | a: gelu", 3, 9, 'there is a layer "a" already, in line 1.'),
    ("relu2: tanh\nrelu\nrelu", 3, 1, 'there is a layer "relu2" already, in line 1.'),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "column", "problem"), MISTAKES)
def test_a_mistake_is_told_with_line_column_and_what_was_expected(
    text: str, line: int, column: int, problem: str
) -> None:
    with pytest.raises(NotationError) as caught:
        parse_net(text)
    assert (caught.value.line, caught.value.column) == (line, column)
    # The line itself is repeated, where there is one.
    repeated = f"\n    {text.splitlines()[line - 1]}" if text else ""
    assert str(caught.value) == f"line {line}, column {column}: {problem}{repeated}"


def test_a_mistake_in_a_net_is_a_wrong_description() -> None:
    assert issubclass(NotationError, ConfigError)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x" * 200_001, "a net of over 200,000 characters; is this a net?"),
        ("conv 3 3x3\n" * 1_000_000, "a net of over 200,000 characters; is this a net?"),
        ("\n" * 10_000_000, "a net of over 200,000 characters; is this a net?"),
        ("relu|" * 2_001, "more than 2,000 layers; is this a net?"),
        ("relu|" * 10_000, "line 1, column 1: more than 2,000 layers; is this a net?"),
        ("relu\n" * 10_000, "line 2001, column 1: more than 2,000 layers; is this a net?"),
    ],
)
def test_what_is_far_too_long_for_a_net_is_refused_without_repeating_it(text: str, message: str) -> None:
    with pytest.raises(NotationError) as caught:
        parse_net(text)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300


LONG = "a" * 90_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dense" * 30_000, 'line 1, column 1: there is no word "'),
        (f"{LONG}: relu|{LONG}", 'line 1, column 90008: there is no word "'),
        (f"é{LONG}: relu", "line 1, column 1: "),
        (f"conv {'9' * 90_000} 3x3", "line 1, column 6: expected the number of filters, found "),
        (f"conv 3 {'9' * 90_000}x3", f"line 1, column 8: expected {KERNEL}, found "),
        (f"conv 3 3x3 {LONG}", 'line 1, column 12: conv has no option "'),
        (f"inception 1 {'9' * 90_000}-3", f"line 1, column 13: expected {THREE}, found "),
        (f"lrn {LONG}", 'line 1, column 5: lrn has no option "'),
        (f"lrn k {'9' * 90_000}", "line 1, column 7: expected a number for k, found "),
        (f"relu {LONG}", 'line 1, column 6: relu takes nothing more, found "'),
        (f"{LONG}:", "expected a word after "),
        (f"{LONG}: relu|{LONG}: relu", "there is a layer "),
    ],
)
def test_a_mistake_with_a_long_word_is_told_without_repeating_all_of_it(text: str, message: str) -> None:
    with pytest.raises(NotationError) as caught:
        parse_net(text)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 400


@settings(deadline=None)
@given(st.text(max_size=80))
def test_any_text_is_a_net_or_a_mistake(text: str) -> None:
    _net_or_mistake(text)


OTHER_PIECES = "0 1 5 5x5 3x 96-128 -1 1e-3 .5 same stride pad ceil wide alpha beta k : | # a: 5×5 ² ٣"
PIECES = st.sampled_from([*WORDS, *OTHER_PIECES.split()])


@settings(deadline=None, max_examples=300)
@given(st.lists(PIECES, max_size=12).map(" ".join))
def test_any_pieces_of_the_notation_are_a_net_or_a_mistake(text: str) -> None:
    _net_or_mistake(text)


def _net_or_mistake(text: str) -> None:
    try:
        net = parse_net(text)
    except NotationError as error:
        assert error.line >= 1  # noqa: PT017  not every text is a mistake
        assert error.column >= 1  # noqa: PT017
    else:
        assert parse_net(net.text()) == net
