"""The report: one file, whole by itself, whose every number is the run's."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from cutaway.config import Experiment, load_experiment, parse_experiment
from cutaway.data.idx import write_idx
from cutaway.draw import report_run
from cutaway.draw.report import LARGEST
from cutaway.look import Answers, answers, feature_maps, kernels
from cutaway.store import Run, Store, train
from cutaway.training.learning import learning, sentences

_VOID = {"meta", "link", "img", "br", "hr", "input", "source"}


@dataclass
class Node:
    """An element, its text and its children."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    parts: list[Node | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(part if isinstance(part, str) else part.text for part in self.parts)

    def all(self, tag: str = "", **attributes: str) -> list[Node]:
        """Every element below, in order, with this tag and these attributes."""
        found: list[Node] = []
        for part in self.parts:
            if isinstance(part, Node):
                if tag in ("", part.tag) and attributes.items() <= part.attributes.items():
                    found.append(part)
                found += part.all(tag, **attributes)
        return found

    def one(self, tag: str, **attributes: str) -> Node:
        found = self.all(tag, **attributes)
        assert len(found) == 1, f"{len(found)} of {tag} {attributes}"
        return found[0]


class Tree(HTMLParser):
    """A page as nodes; a tag that is closed out of turn is an error."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.root = Node("")
        self._open = [self.root]
        self.feed(page)
        self.close()
        assert self._open == [self.root], f"not closed: {self._open[-1].tag}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attrs})
        self._open[-1].parts.append(node)
        if tag not in _VOID:
            self._open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open[-1].parts.append(Node(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open[-1].tag == tag, f"</{tag}> inside {self._open[-1].tag}"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        self._open[-1].parts.append(data)


@pytest.fixture(scope="session")
def page(trained: Run) -> str:
    return report_run(trained)


@pytest.fixture(scope="session")
def tree(page: str) -> Node:
    return Tree(page).root


@pytest.fixture(scope="session")
def said(trained: Run) -> Answers:
    return answers(trained.subject(), trained.images().split("test"))


def picture(uri: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    assert uri.startswith("data:image/png;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def rows(table: Node) -> list[list[str]]:
    return [[cell.text for cell in row.parts if isinstance(cell, Node)] for row in table.all("tr")]


def assert_self_contained(page: str) -> None:
    """Nothing is loaded, nothing is run, and every reference is to the page itself."""
    root = Tree(page).root
    for node in root.all():
        assert node.tag not in {"script", "iframe", "object", "embed", "base", "form", "video", "audio"}, (
            node.tag
        )
        for name, value in node.attributes.items():
            assert not name.startswith("on"), f"{node.tag} {name}"
            if name in {"src", "href", "xlink:href", "srcset", "action", "poster", "data", "background"}:
                assert value.startswith(("data:", "#")), f"{node.tag} {name}={value[:80]}"
        assert node.tag != "meta" or "http-equiv" not in node.attributes
    for target in re.findall(r"url\(([^)]*)\)", page):
        assert target.strip("'\" ").startswith("#"), target[:80]
    assert "@import" not in page
    ids = [node.attributes["id"] for node in root.all() if "id" in node.attributes]
    assert len(ids) == len(set(ids))
    links = [a.attributes["href"] for a in root.all("a")]
    assert {link.removeprefix("#") for link in links} <= set(ids)


def test_it_is_self_contained_and_small(page: str) -> None:
    assert_self_contained(page)
    assert page.startswith("<!doctype html>")
    assert len(page.encode()) < LARGEST == 10_000_000


def test_it_names_the_run_and_its_numbers(trained: Run, tree: Node, said: Answers) -> None:
    assert tree.one("h1").text == "small"
    assert trained.id in tree.one("header").text
    facts = {div.one("dt").text: div.one("dd").text for div in tree.one("dl").all("div")}
    assert facts["test error"] == f"{100 * said.error():.2f}%"
    assert facts["epochs"] == "2"
    best = [epoch for epoch in trained.epochs() if epoch.best][-1]
    assert facts["validation error"] == f"{100 * best.scores['validation'].top1_error:.2f}%"
    plan = trained.subject().plan
    assert plan is not None
    assert facts["parameters"] == f"{plan.parameters:,}"


def test_it_has_every_layer_of_the_net(trained: Run, tree: Node) -> None:
    plan = trained.subject().plan
    assert plan is not None
    section = tree.one("section", id="net")
    table = rows(section.one("table"))
    assert table[1:-1] == [
        [
            row.name,
            "×".join(map(str, row.output_shape)),
            f"{row.parameters:,}" if row.parameters else "",
            f"{row.multiply_adds:,}" if row.multiply_adds else "",
        ]
        for row in plan.rows
    ]
    totals = [sum(int(row[column].replace(",", "") or 0) for row in table[1:-1]) for column in (2, 3)]
    assert table[-1] == ["all", "", *(f"{total:,}" for total in totals)]
    flow = section.one("svg")
    for row in plan.rows:
        assert row.name in [span.text for span in flow.all("tspan")]


def test_it_has_the_score_of_every_epoch(trained: Run, tree: Node) -> None:
    section = tree.one("section", id="training")
    epochs = trained.epochs()
    best = max(epoch.epoch for epoch in epochs if epoch.best)
    assert len(section.all("svg")) == 2
    body = rows(section.one("tbody"))
    for row, epoch in zip(body, epochs, strict=True):
        assert row[0] == f"{epoch.epoch} ★" if epoch.epoch == best else str(epoch.epoch)
        numbers = [
            text
            for score in epoch.scores.values()
            for text in (
                f"{score.objective:.4f}",
                f"{100 * score.top1_error:.2f}",
                f"{100 * score.top5_error:.2f}",
            )
        ]
        assert row[1:-1] == numbers


def test_its_confusions_are_those_of_the_answers(tree: Node, said: Answers) -> None:
    table = rows(tree.one("table", **{"class": "confusion"}))
    assert table[0] == ["", *said.classes, "error"]
    counts = said.confusion
    for label, row in enumerate(table[1:]):
        assert row[0] == said.classes[label]
        assert [int(cell or 0) for cell in row[1:-1]] == counts[label].tolist()
        wrong = 1 - counts[label, label].item() / counts[label].sum().item()
        assert float(row[-1].rstrip("%")) == pytest.approx(100 * wrong, abs=0.006)


def test_its_mistakes_are_the_surest_ones_with_their_images(trained: Run, tree: Node, said: Answers) -> None:
    section = tree.one("section", id="mistakes")
    test = trained.images().split("test")
    mistakes = said.mistakes()
    items = section.all("li")
    assert len(items) == 30
    for item, mistake in zip(items, mistakes, strict=False):
        assert item.one("strong").text == f"{mistake.label} → {mistake.guess}"
        assert item.all("span")[0].text == f"{mistake.label_probability:.1%} → {mistake.confidence:.1%}"
        assert item.all("span")[1].text == f"№ {mistake.position}"
        np.testing.assert_array_equal(
            picture(item.one("img").attributes["src"]), test.pixels[mistake.position, 0]
        )
    assert f"{len(mistakes)} of 10,000 test images are wrong" in section.text


def test_it_has_the_kernels_of_every_convolution(trained: Run, tree: Node) -> None:
    found = kernels(trained.subject()).layers
    figures = tree.one("section", id="kernels").all("figure")
    assert [figure.one("strong").text for figure in figures] == list(found) == ["conv1", "conv2"]
    for figure, weights in zip(figures, found.values(), strict=True):
        filters, _, height, width = weights.shape
        assert f"{filters} filters of {height}×{width}" in figure.one("figcaption").text
        assert f"±{float(weights.abs().max()):.2f}" in figure.one("figcaption").text
        assert [text.text for text in figure.all("text")] == [str(unit) for unit in range(filters)]


def test_it_has_all_maps_of_one_image_of_each_class(trained: Run, tree: Node) -> None:
    subject, test = trained.subject(), trained.images().split("test")
    sections = tree.one("section", id="maps").all("details")
    assert len(sections) == 10
    numbers = []
    for label, section in enumerate(sections):
        summary = section.one("summary")
        found = re.search(r"^(\d) test image (\d+)$", summary.text.strip())
        assert found
        assert int(found[1]) == label
        number = int(found[2])
        numbers.append(number)
        assert test.labels[number] == label
        np.testing.assert_array_equal(picture(summary.one("img").attributes["src"]), test.pixels[number, 0])
    maps = feature_maps(subject, test.pixels[numbers])
    for place, section in enumerate(sections):
        figures = section.all("figure")
        assert [figure.one("strong").text for figure in figures] == list(maps.layers)
        for figure, (layer, values) in zip(figures, maps.layers.items(), strict=True):
            caption = figure.one("figcaption").text
            assert "×".join(map(str, values.shape[1:])) in caption
            # One scale for a layer over all images.
            assert f"±{float(values.abs().max()):.3g}" in caption
            assert len(figure.all("text")) == values.shape[1]
            blank = int(maps.blank(layer)[place].sum())
            assert len(figure.all("path")) == blank
            assert (f"{blank} of {values.shape[1]} blank" in caption) == bool(blank)


def test_an_image_of_each_class_is_one_that_was_recognised(tree: Node, said: Answers) -> None:
    for label, section in enumerate(tree.one("section", id="maps").all("details")):
        number = int(section.one("summary").text.split()[-1])
        assert said.probabilities[number].argmax() == label


def test_the_experiment_in_it_is_the_runs_own_and_complete(trained: Run, tree: Node) -> None:
    text = tree.one("pre").text
    assert parse_experiment(text) == trained.experiment
    for name in ("seed", "batch", "momentum", "split_seed", "train_images", "threads"):
        assert re.search(rf"^{name} = ", text, re.MULTILINE)


def test_maps_that_do_not_fit_are_left_out_and_said_so(trained: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cutaway.draw.report.run_report._MAPS_BUDGET", 60_000)
    monkeypatch.setattr("cutaway.draw.report.run_report._KERNELS_BUDGET", 2_000)
    page = report_run(trained)
    assert_self_contained(page)
    root = Tree(page).root
    maps = root.one("section", id="maps")
    shown = maps.all("details")
    assert 0 < len(shown) < 10
    assert sum(len(picture.attributes["href"]) for picture in maps.all("image")) < 60_000
    assert f"{10 - len(shown)} more images would not fit" in maps.text
    figures = root.one("section", id="kernels").all("figure")
    assert len(figures) == 2
    assert "too large for this page" in figures[1].text
    assert "cutaway look kernels" in figures[1].text
    assert sum(len(figure.all("svg")) for figure in figures) == 1


def noise_folder(folder: Path, size: int, count: int) -> Path:
    """A dataset whose pictures compress not at all."""
    generator = torch.Generator().manual_seed(8)

    def noise() -> Tensor:
        return torch.randint(256, (count, size, size), generator=generator).to(torch.uint8)

    labels = (torch.arange(count) % 4).to(torch.uint8)
    for prefix in ("train", "t10k"):
        write_idx(folder / f"{prefix}-images-idx3-ubyte", noise())
        write_idx(folder / f"{prefix}-labels-idx1-ubyte", labels)
    return folder


def test_large_images_do_not_make_it_too_large(tmp_path: Path) -> None:
    experiment = load_experiment(
        Experiment(),
        {
            "name": "large",
            "net": "conv 2 9x9 stride 4 | relu | globalpool | flatten | dense 4",
            "data": {"source": "idx", "path": str(noise_folder(tmp_path, 900, 12)), "validation": 4},
            "train": {"epochs": 0},
        },
    )
    run = train(experiment, store=Store(tmp_path / "runs"))
    page = report_run(run)
    assert len(page.encode()) < LARGEST
    assert_self_contained(page)
    assert Tree(page).root.one("section", id="mistakes").all("li")


@pytest.fixture(scope="module")
def lacking(tmp_path_factory: pytest.TempPathFactory) -> Node:
    """The report of a run with a class of no test image, epochs that were not scored, and no dynamics."""
    folder = tmp_path_factory.mktemp("lacking")
    generator = torch.Generator().manual_seed(4)
    for prefix, labels in (("train", [0, 1, 2] * 20), ("t10k", [0, 2] * 10)):
        pixels = torch.randint(256, (len(labels), 8, 8), generator=generator).to(torch.uint8)
        write_idx(folder / f"{prefix}-images-idx3-ubyte", pixels)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte", torch.tensor(labels, dtype=torch.uint8))
    experiment = load_experiment(
        Experiment(),
        {
            "net": "conv 2 3x3 | relu | flatten | dense 3",
            "data": {"source": "idx", "path": str(folder), "validation": 20},
            "train": {"epochs": 3, "batch": 10, "score_every": 2, "dynamics": 0},
        },
    )
    page = report_run(train(experiment, store=Store(folder / "runs")))
    assert_self_contained(page)
    return Tree(page).root


def test_a_class_without_test_images_has_no_error(lacking: Node) -> None:
    _, first, missing, last = rows(lacking.one("table", **{"class": "confusion"}))
    assert missing[1:] == ["", "", "", "none"]
    assert first[-1].endswith("%")
    assert last[-1].endswith("%")


def test_epochs_that_were_not_scored_have_blanks(lacking: Node) -> None:
    heads, names, *body = rows(lacking.one("section", id="training").one("table"))
    assert heads == ["", "train", "validation", "test", ""]
    assert len(names) == 1 + 3 * 3 + 1
    assert [[bool(cell) for cell in row] for row in body] == [
        [True] * 4 + [False] * 6 + [True],
        [True] * 11,
        [True] * 11,  # the last one is always scored
    ]


def test_without_measurements_it_says_so(lacking: Node) -> None:
    section = lacking.one("section", id="layers")
    assert "Nothing was measured of the layers: train.dynamics is 0" in section.text
    assert not section.all("svg")


def test_it_tells_how_layers_learnt(trained: Run, tree: Node) -> None:
    section = tree.one("section", id="layers")
    measured = trained.measured()
    # The words are those of the command.
    assert [item.text for item in section.all("li")] == sentences(measured)
    assert len(section.all("li")) >= 1
    labels = [picture.attributes["aria-label"] for picture in section.all("svg")]
    assert labels[0] == "steps of every layer, as a heat map"
    assert len(labels) == 4
    heat = section.all("svg")[0]
    assert len(heat.all("image")) >= 1
    texts = [text.text for text in heat.all("text")]
    layers, units = section.all("tbody")
    found = learning(measured)
    assert [name for name in texts if name in {one.layer for one in found}] == [one.layer for one in found]
    last = measured[max(measured)]
    for row, one in zip(rows(layers), found, strict=True):
        steps = [layers_[one.layer] for found_ in measured.values() for layers_ in found_.steps.values()]
        gradient = sum(step.weight_gradient for step in steps) / len(steps)
        final = [layers_[one.layer] for layers_ in last.steps.values()]
        update = sum(step.update for step in final) / len(final)
        assert (row[0], row[1], row[4]) == (one.layer, f"{gradient:.2g}", f"{update:.2g}")
        assert row[5] == f"{final[-1].distance:.2g}"
    assert rows(units) == [
        [name, str(one.units), str(one.dead), str(one.rare), str(one.saturated)]
        for name, one in last.units.items()
    ]


def test_pictures_of_layers_that_do_not_fit_are_left_out_and_said_so(
    trained: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cutaway.draw.report.run_report._DYNAMICS_BUDGET", 0)
    section = Tree(report_run(trained)).root.one("section", id="layers")
    assert not section.all("svg")
    assert "4 more pictures would not fit" in section.text
    assert f"cutaway runs show {trained.id} --layers -o FILE" in section.text


@pytest.fixture(scope="module")
def odd(small: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that is not trained, with a name that HTML would take for its own."""
    overrides = {"name": '<b>&"quoted"', "train": {"epochs": 0}}
    return train(load_experiment(small, overrides), store=Store(tmp_path_factory.mktemp("odd")))


def test_text_of_the_user_is_escaped(odd: Run) -> None:
    page = report_run(odd)
    assert_self_contained(page)
    root = Tree(page).root
    assert root.one("h1").text == '<b>&"quoted"'
    assert root.one("title").text.startswith('<b>&"quoted" ')
    assert not root.all("b")
    assert parse_experiment(root.one("pre").text) == odd.experiment


def test_an_untrained_run_has_a_report_too(odd: Run) -> None:
    root = Tree(report_run(odd)).root
    facts = {div.one("dt").text: div.one("dd").text for div in root.one("dl").all("div")}
    assert "epochs" not in facts
    assert float(facts["test error"].rstrip("%")) > 50
    assert len(root.one("section", id="maps").all("details")) == 10
