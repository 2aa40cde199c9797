"""The zoo: nets that were published, with their published sizes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from cutaway.errors import ConfigError, NotFoundError
from cutaway.nets import ZOO, NotationError, PlanError, Shape, find_net, parse_net, plan
from cutaway.nets.builder import build


def _parameters(name: str, layers: int | None = None) -> int:
    return sum(row.parameters for row in plan(find_net(name), ZOO[name].input_shape).rows[:layers])


PUBLISHED = {
    # Models whose weights are published; the numbers are those of torchvision's documentation.
    "alexnet": 61_100_840,
    "vgg11": 132_863_336,
    "vgg13": 133_047_848,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "googlenet-batchnorm": 6_624_904,
    "resnet18": 11_689_512,
    # The Theano tutorial's net, and LeNet-5 with a dense third layer.
    "lenet-theano": 431_080,
    "lenet-5": 61_706,
    "cifarnet": 1_068_298,
    # "7 million" and "0.27 million" in their papers; counted by hand to the last one.
    "googlenet": 6_998_552,
    "resnet20": 272_474,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_nets_have_as_many_parameters_as_published(name: str) -> None:
    assert _parameters(name) == PUBLISHED[name]
    if name not in {"googlenet", "resnet20"}:
        assert ZOO[name].parameters == PUBLISHED[name]


def test_numbers_are_promised_only_where_a_literal_here_confirms_them() -> None:
    assert {name for name in ZOO if ZOO[name].parameters is not None} <= set(PUBLISHED)


def test_lenet_5_by_hand() -> None:
    """LeCun et al., 1998, with all maps connected, and pools without weights."""
    convs = 6 * (25 + 1) + 16 * (6 * 25 + 1) + 120 * (16 * 25 + 1)
    assert _parameters("lenet-5") == convs + 84 * (120 + 1) + 10 * (84 + 1)


def test_resnet20_by_hand() -> None:
    """19 convs of 3×3 and two of 1×1, each with a scale and a shift, and a dense layer of 64 to 10."""
    convs = 3 * 16 * 9 + 6 * 16 * 16 * 9 + (16 * 32 + 5 * 32 * 32) * 9 + (32 * 64 + 5 * 64 * 64) * 9
    shortcuts = 16 * 32 + 32 * 64
    norms = 2 * (7 * 16 + 7 * 32 + 7 * 64)
    assert _parameters("resnet20") == convs + shortcuts + norms + 650


def test_the_three_convs_have_as_many_parameters_as_published() -> None:
    assert _parameters("filters-32-64-64", layers=7) == 55_744
    assert [layer.name for layer in find_net("filters-32-64-64").layers][6] == "conv3"


CLASSES = {
    **dict.fromkeys(ZOO, 10),
    **dict.fromkeys(["alexnet", "vgg11", "vgg13", "vgg16", "vgg19"], 1000),
    **dict.fromkeys(["googlenet", "googlenet-batchnorm", "resnet18"], 1000),
    "textures-14": 25,
}


@pytest.mark.parametrize("name", ZOO)
def test_every_net_says_what_it_is_and_gives_its_classes(name: str) -> None:
    net = ZOO[name]
    assert net.summary
    assert net.source
    assert plan(parse_net(net.text), net.input_shape).output_shape == (CLASSES[name],)


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("classes", [1, 7, 1000])
def test_every_net_takes_any_number_of_classes(name: str, classes: int) -> None:
    shape, plain, found = ZOO[name].input_shape, find_net(name), find_net(name, classes)
    assert found == plain.with_outputs(classes)
    assert plan(found, shape).output_shape == (classes,)
    # Only the last layer with weights is another one.
    changed = [at for at, (old, new) in enumerate(zip(plain.layers, found.layers, strict=True)) if old != new]
    weighted = [at for at, row in enumerate(plan(plain, shape).rows) if row.parameters]
    assert changed == ([] if classes == CLASSES[name] else weighted[-1:])
    assert [layer.name for layer in found.layers] == [layer.name for layer in plain.layers]
    assert find_net(name) == plain
    assert parse_net(found.text()) == found


def test_a_named_last_layer_keeps_name_place_and_options() -> None:
    net = parse_net("conv 4 3x3\neyes: conv 5 2x3 pad 1 stride 2 nobias | relu | globalpool | flatten")
    other = net.with_outputs(9)
    assert other.text().splitlines()[1] == "eyes: conv 9 2x3 pad 1 stride 2 nobias"
    assert [layer.place for layer in other.layers] == [layer.place for layer in net.layers]
    assert other == parse_net(net.text().replace("conv 5", "conv 9"))
    assert net == parse_net(net.text())


def test_a_net_without_weights_stays_as_it_is() -> None:
    assert parse_net("relu | flatten").with_outputs(3) == parse_net("relu | flatten")


OTHER_SIZES = [
    ("lenet-theano", (3, 20, 31)),
    ("lenet-5", (1, 32, 40)),
    ("small", (3, 32, 32)),
    ("filters-32-64-64", (1, 5, 9)),
    ("filters-3-6-12", (3, 64, 64)),
    ("cifar-alves", (1, 28, 28)),
    ("cifarnet", (3, 32, 32)),
    ("textures-14", (3, 76, 130)),
    ("alexnet", (3, 63, 63)),
    ("vgg11", (1, 32, 32)),
    ("vgg13", (3, 32, 45)),
    ("vgg16", (3, 32, 32)),
    ("vgg19", (3, 64, 64)),
    ("googlenet", (3, 47, 48)),
    ("googlenet-batchnorm", (3, 32, 32)),
    ("resnet18", (1, 1, 1)),
    ("resnet18", (3, 32, 32)),
    ("resnet20", (1, 28, 28)),
]


@pytest.mark.parametrize(("name", "shape"), OTHER_SIZES)
def test_another_size_is_planned_and_built_where_the_layers_allow(name: str, shape: Shape) -> None:
    planned = plan(find_net(name), shape)
    assert planned.output_shape == (CLASSES[name],)
    with torch.device("meta"):
        net = build(planned, 0).eval()
        assert net(torch.empty(2, *shape)).shape == (2, CLASSES[name])


TOO_SMALL = [
    ("alexnet", (3, 32, 32), "pool3 has a 3×3 window but its input is 1×1 (256 channels, after relu5). "
     "Use a window of at most 1×1, a pad, or drop pool2.", "maxpool 3 stride 2"),
    ("alexnet", (3, 62, 62), "pool3 has a 3×3 window but its input is 2×2 (256 channels, after relu5). "
     "Use a window of at most 2×2, a pad, or drop pool2.", "maxpool 3 stride 2"),
    ("lenet-5", (1, 28, 28), "conv3 has a 5×5 kernel but its input is 4×4 (16 channels, after pool2). "
     'Use a kernel of at most 4×4, "same" padding, or drop pool2.', "conv 120 5x5"),
    ("vgg16", (3, 32, 31), "pool5 has a 2×2 window but its input is 2×1 (512 channels, after relu13). "
     "Use a window of at most 2×1, a pad, or drop pool4.", "maxpool 2"),
    ("cifar-alves", (3, 8, 8), "conv3 has a 2×2 kernel but its input is 1×1 (128 channels, after dropout1). "
     'Use a kernel of at most 1×1, "same" padding, or drop pool2.', "conv 64 2x2"),
    ("textures-14", (1, 28, 28), "pool3 has a 2×2 window but its input is 1×1 (500 channels, after relu3). "
     "Use a window of at most 1×1, a pad, or drop pool2.", "maxpool 2"),
    ("resnet20", (64,), "conv1 takes maps but its input is a vector of 64 (the image itself). "
     "Move it before the flatten.", "conv 16 3x3 pad 1 nobias"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "shape", "message", "line"), TOO_SMALL)
def test_a_size_too_small_is_told(name: str, shape: Shape, message: str, line: str) -> None:
    with pytest.raises(PlanError) as caught:
        plan(find_net(name), shape)
    place, told = str(caught.value).split(": ", 1)
    assert told == f"{message}\n    {line}"
    match = re.match(r"line ([0-9]+)(, column [0-9]+)?\Z", place)
    assert match is not None
    assert ZOO[name].text.splitlines()[int(match[1]) - 1].strip() == line
    assert caught.value.layer == message.split(maxsplit=1)[0]


@pytest.mark.parametrize(
    ("net", "place"), [("alexnet", "line 13: pool3"), ("relu\n  conv 4 40x40", "line 2: conv1")]
)
def test_an_indented_layer_is_told_by_its_line_alone(net: str, place: str) -> None:
    with pytest.raises(PlanError) as caught:
        plan(find_net(net), (3, 32, 32))
    assert str(caught.value).startswith(place)


@pytest.mark.parametrize("name", ZOO)
def test_a_name_gives_the_net_blank_ends_or_not(name: str) -> None:
    assert find_net(name) == find_net(f" {name}\n") == parse_net(ZOO[name].text)


@pytest.mark.parametrize("text", ["relu", "relu|tanh", "eyes:relu", "conv 3 3x3\nrelu", "flatten|dense 10"])
def test_notation_gives_the_net_that_it_describes(text: str) -> None:
    assert find_net(text) == parse_net(text)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(NotFoundError) as caught:
        find_net("lenet-thano")
    assert str(caught.value).startswith('There is no net "lenet-thano". Did you mean "lenet-theano"? Known: ')


@pytest.mark.parametrize("text", ["", "  \n", "dense", "rellu 3", "eyes:rellu", "conv 3 3x3 | flaten"])
def test_a_mistake_in_the_notation_is_told_as_one(text: str) -> None:
    with pytest.raises(NotationError):
        find_net(text)


@pytest.mark.parametrize("name", ["pool", "relu", "lenet-5"])
def test_a_file_gives_its_net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """By path always; by name where neither a net nor a word is called so."""
    wanted = parse_net("eyes: conv 3 3x3 | relu\nflatten\ndense 4")
    path = tmp_path / name
    path.write_text("# mine: it sees\n\n" + wanted.text(), encoding="utf-8")
    assert find_net(path) == find_net(str(path)) == wanted
    assert find_net(path, classes=7) == wanted  # classes are the zoo's business
    assert [layer.line for layer in find_net(path).layers] == [3, 4, 5, 6]
    monkeypatch.chdir(tmp_path)
    by_name = {"pool": wanted, "relu": parse_net("relu"), "lenet-5": parse_net(ZOO["lenet-5"].text)}
    assert find_net(name) == by_name[name]
    assert find_net(Path(name)) == wanted


def test_a_file_with_a_blank_in_its_name(tmp_path: Path) -> None:
    path = tmp_path / "my net.txt"
    path.write_text("relu", encoding="utf-8")
    assert find_net(str(path)) == find_net(path) == parse_net("relu")


def test_a_list_of_layers_gives_its_net() -> None:
    wanted = parse_net("conv 3 3x3 | a: relu | flatten | dense 4")
    assert find_net(["conv 3 3x3", "a: relu", "flatten", "dense 4"]) == wanted
    assert find_net(("conv 3 3x3 | a: relu", "flatten", "dense 4"), classes=9) == wanted
    assert find_net(["relu"]) == parse_net("relu")
    assert [layer.line for layer in find_net(["relu", "# no layer", "tanh"]).layers] == [1, 3]
    with pytest.raises(NotationError, match=r'^line 2, column 1: there is no word "tanhh"'):
        find_net(["relu", "tanhh"])
    with pytest.raises(NotationError, match=r"^line 1, column 1: a net needs at least one layer"):
        find_net([])
    with pytest.raises(NotationError, match=r"^line 2001, column 1: more than 2,000 layers"):
        find_net(["relu"] * 10_000)


def test_a_net_is_left_as_it_is() -> None:
    net = parse_net("flatten | dense 4")
    assert find_net(net) is net
    assert find_net(net, classes=9) is net
    assert find_net("flatten | dense 4", classes=9) == net


def test_files_that_can_t_be_read_as_text_are_told(tmp_path: Path) -> None:
    binary = tmp_path / "net.pt"
    binary.write_bytes(b"PK\x03\x04\xff\xfe\x00\x80" * 100)
    folder = tmp_path / "folder"
    folder.mkdir()
    for path, why in (
        (binary, "'utf-8' codec can't decode"),
        (folder, "Is a directory"),
        (tmp_path / "missing.txt", "No such file or directory"),
        (Path("x" * 5_000), "File name too long"),
    ):
        with pytest.raises(ConfigError) as caught:
            find_net(path)
        assert str(caught.value).startswith(f"{path} can't be read as text: ")
        assert why in str(caught.value)
    with pytest.raises(ConfigError, match="can't be read as text: 'utf-8' codec"):
        find_net(str(binary))


@pytest.mark.parametrize("text", ["missing.txt", "/nowhere/net.txt", ".", "/", "x" * 5_000, "a\0b"])
def test_a_word_that_is_neither_net_nor_file_is_told_as_an_unknown_net(text: str) -> None:
    with pytest.raises(NotFoundError, match=r"^There is no net "):
        find_net(text)


def test_a_file_that_is_no_net_is_refused_by_its_length(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("1,2,3\n" * 2_000_000, encoding="utf-8")
    with pytest.raises(NotationError, match="a net of over 200,000 characters; is this a net"):
        find_net(path)


def test_a_path_that_none_can_be_is_told() -> None:
    with pytest.raises(ConfigError):
        find_net(Path("a\0b"))


def test_a_file_that_begins_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "net.txt"
    path.write_bytes("relu\r\ntanh".encode("utf-8-sig"))
    assert find_net(path) == parse_net("relu | tanh")
