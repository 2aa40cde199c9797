"""Variants: what a study is made of, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from cutaway.config import Experiment, Study, load_experiment
from cutaway.errors import ConfigError, NotFoundError
from cutaway.nets import plan_net
from cutaway.study import BASE, Origin, Variant
from cutaway.study.expand import expand
from cutaway.study.stages import stages

NET = "conv 4 5x5 | maxpool 2 | tanh | conv 6 3x3 | tanh | flatten | dense 20 | tanh | dense 10"


def variants(images: int = 1000, **fields: Any) -> list[Variant]:
    base = load_experiment(Experiment(), {"net": NET, "train": {"epochs": 4}})

    def seen(experiment: Experiment) -> int:
        return int(experiment.data.train_images) or images

    return expand(Study.model_validate(fields), base, (1, 28, 28), 10, seen)


def names(found: list[Variant]) -> list[str]:
    return [variant.name for variant in found]


def test_ablation_takes_out_every_layer_that_can_go_and_every_stage() -> None:
    found = variants(auto="ablate")
    assert names(found) == [
        BASE,
        *(f"without {x}" for x in ("conv1", "pool1", "tanh1", "conv2", "tanh2", "dense1", "tanh3")),
        "without conv1, pool1 and tanh1",
        "without conv2 and tanh2",
        "without dense1 and tanh3",
    ]
    kinds = [variant.origin for variant in found]
    assert kinds == [Origin.BASE, *[Origin.ABLATE] * 7, *[Origin.STAGE] * 3]
    for variant in found[1:]:
        assert variant.plan is not None
        left = {row.name for row in variant.plan.rows}
        assert not left & set(variant.layers)
        assert len(left) == 9 - len(variant.layers)
        # The numbers are those of the net written down without these layers.
        assert variant.plan.multiply_adds == plan_net(variant.experiment.net, (1, 28, 28)).multiply_adds


def test_freezing_makes_every_layer_random_alone_and_with_all_before_it() -> None:
    found = variants(auto="freeze")
    wanted = [("conv1",), ("conv2",), ("dense1",), ("dense2",), ("conv1", "conv2")]
    assert [v.experiment.train.freeze for v in found[1:]] == [*wanted, ("conv1", "conv2", "dense1")]
    assert [v.layers for v in found[1:]] == [*wanted, ("conv1", "conv2", "dense1")]
    assert {v.origin for v in found[5:]} == {Origin.FREEZE_UP_TO}


def test_given_variants_change_net_recipe_and_data() -> None:
    found = variants(
        variant=[
            {"name": "relu", "edits": "tanh*=relu"},
            {"edits": "-tanh1 conv2.filters=3"},
            {"set": {"train.freeze": ["conv1"], "init.conv1": "he", "data.augment.shift": 2}},
            {"set": {"data": {"train_images": 0.5}, "pretrain.layers": ["conv1"]}},
        ]
    )
    assert names(found)[:3] == [BASE, "relu", "-tanh1 conv2.filters=3"]
    assert "tanh" not in found[1].experiment.net
    assert found[1].layers == ("tanh1", "tanh2", "tanh3")
    assert "conv 3 3x3" in found[2].experiment.net
    assert found[3].experiment.train.freeze == ("conv1",)
    assert found[3].experiment.init["conv1"] == "he"
    assert found[3].experiment.data.augment.shift == 2
    assert found[4].experiment.data.train_images == 0.5
    assert found[4].experiment.pretrain.layers == ("conv1",)


def test_a_grid_has_all_combinations_but_the_base() -> None:
    found = variants(grid={"train.lr": [0.1, 0.02], "edits": ["", "-tanh1"]})
    assert names(found) == [BASE, "-tanh1, train.lr 0.1", "train.lr 0.02", "-tanh1, train.lr 0.02"]


def test_terms_are_the_same_for_all() -> None:
    found = variants(auto="freeze", experiment={"data.train_images": 500}, budget={"epochs": 7, "minutes": 2})
    for variant in found:
        recipe = variant.experiment.train
        assert (recipe.epochs, recipe.minutes, recipe.threads) == (7, 2.0, 1)
        assert variant.experiment.data.train_images == 500


@pytest.mark.parametrize(("budget", "epochs"), [(1000, 1), (1001, 2), (2500, 3)])
def test_a_budget_of_images_is_as_many_epochs_as_it_takes(budget: int, epochs: int) -> None:
    found = variants(auto="freeze", budget={"images": budget})
    assert {variant.experiment.train.epochs for variant in found} == {epochs}


def test_a_budget_of_images_is_that_of_a_variant_with_fewer_images_too() -> None:
    found = variants(
        variant=[
            {"name": "few", "set": {"data.train_images": 50}},
            {"name": "more", "set": {"data.train_images": 800}},
            {"name": "slow", "set": {"train.lr": 0.01}},
        ],
        budget={"images": 2000},
    )
    assert {variant.name: variant.experiment.train.epochs for variant in found} == {
        BASE: 2,
        "few": 40,
        "more": 3,
        "slow": 2,
    }


def test_what_can_not_be_planned_is_said_and_the_rest_goes_on() -> None:
    found = variants(variant=[{"edits": "conv2.kernel=40"}, {"edits": "dense2.units=4"}, {"edits": "-tanh1"}])
    assert "its input is" in found[1].problem
    assert "Mended by" in found[1].problem
    assert "there are 10 classes" in found[2].problem
    assert not found[3].problem


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "has no variants"),
        ({"variant": [{"edits": "tanh1=tanh"}]}, "changes nothing"),
        ({"variant": [{"set": {"train.epochs": 4}}]}, "changes nothing"),
        ({"variant": [{}]}, "changes nothing"),
        ({"variant": [{"edits": "-tanh1"}, {"name": "again", "edits": "-tanh1"}]}, "are alike"),
        ({"variant": [{"edits": "-tanh1"}], "auto": "ablate"}, "are alike"),
        ({"variant": [{"name": "a", "edits": "-tanh1"}, {"name": "a", "edits": "-tanh2"}]}, "are called"),
        ({"variant": [{"name": BASE, "edits": "-tanh1"}]}, "are called"),
        ({"variant": [{"edits": "conv1"}]}, "is no edit of a net"),
        ({"variant": [{"set": {"train.rate": 1}}]}, 'unknown field "train.rate"'),
        ({"variant": [{"set": {"train.lr": -1}}]}, "greater than or equal to 0"),
        ({"variant": [{"set": {"seed": 3}}]}, "the study's own, for equal terms"),
        ({"variant": [{"set": {"train.epochs": 3}}], "budget": {"epochs": 2}}, "the study's budget"),
        ({"variant": [{"set": {"train.epochs": 3}}], "budget": {"images": 2000}}, "the study's budget"),
        ({"variant": [{"edits": "-tanh1", "set": {"net": "small"}}]}, "not both"),
        ({"grid": {"edits": [3]}}, "should have texts"),
        ({"experiment": {"train.freeze": "nothing"}, "auto": "ablate"}, "no layer with parameters"),
    ],
)
def test_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        variants(**fields)


def test_without_variants_the_base_is_trained_for_its_looks() -> None:
    (base,) = variants(look=[{"look": "maps"}])
    assert base.name == BASE


@pytest.mark.parametrize("of", ["nothing", "conv2.kernel=40"])
def test_a_look_at_what_is_not_trained_is_refused(of: str) -> None:
    with pytest.raises(NotFoundError, match=f'look "maps": there is no variant "{of}" that can be trained'):
        variants(variant=[{"edits": "conv2.kernel=40"}], look=[{"look": "maps", "of": of}])


def test_an_edit_that_names_no_layer_is_refused() -> None:
    with pytest.raises(NotFoundError, match=r'variant "-relu7".*There is no layer "relu7"'):
        variants(variant=[{"edits": "-relu7"}])


@pytest.mark.parametrize(
    ("net", "shape", "wanted"),
    [
        (NET, (1, 28, 28), [3, 2, 2]),
        ("vgg16", (3, 224, 224), [5, 5, 7, 7, 7, 3, 3]),
        (
            "conv 4 3x3 same stride 2 | relu | conv 4 3x3 same | relu | conv 8 3x3 same stride 2 | relu "
            "| globalpool | flatten | dense 10",
            (3, 32, 32),
            [4, 2],
        ),
        ("resnet18", (3, 224, 224), [4, 2, 2, 2, 2]),
        ("conv 4 3x3 | batchnorm | relu | flatten | dense 10", (1, 8, 8), [3]),
        ("flatten | dense 10", (1, 8, 8), []),
    ],
)
def test_stages(net: str, shape: tuple[int, int, int], wanted: list[int]) -> None:
    assert [len(stage) for stage in stages(plan_net(net, shape))] == wanted
