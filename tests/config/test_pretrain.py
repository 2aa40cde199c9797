"""The ``[pretrain]`` section: what it accepts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cutaway.config import (
    Experiment,
    PretrainConfig,
    PretrainMode,
    dump_experiment,
    load_experiment,
    parse_experiment,
)
from cutaway.errors import ConfigError

SECTIONS = st.builds(
    PretrainConfig,
    layers=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=4).map(tuple),
    mode=st.sampled_from(PretrainMode),
    epochs=st.integers(1, 100_000),
    batch=st.integers(1, 1_000_000),
    lr=st.floats(0, 1000, exclude_min=True),
    noise=st.floats(0, 1, exclude_max=True),
    switches=st.booleans(),
    images=st.integers(0, 1000),
)


@settings(deadline=None, max_examples=100)
@given(SECTIONS)
def test_it_comes_back_from_toml(section: PretrainConfig) -> None:
    experiment = Experiment(pretrain=section)
    assert parse_experiment(dump_experiment(experiment)) == experiment


def test_by_itself_nothing_is_pre_trained() -> None:
    assert Experiment().pretrain.layers == ()


@pytest.mark.parametrize("given_layers", ["conv*", ["conv*"], ("conv*",)])
def test_one_layer_needs_no_list(given_layers: object) -> None:
    assert PretrainConfig.model_validate({"layers": given_layers}).layers == ("conv*",)


@pytest.mark.parametrize(
    ("text", "layers"), [("*", ("*",)), ("[]", ()), ('["conv1", "dense1"]', ("conv1", "dense1"))]
)
def test_layers_from_a_command_line(text: str, layers: tuple[str, ...]) -> None:
    assert load_experiment(Experiment(), {"pretrain": {"layers": text}}).pretrain.layers == layers


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs = 0", "pretrain.epochs should be greater than or equal to 1, not 0."),
        ("batch = 0", "pretrain.batch should be greater than or equal to 1, not 0."),
        ("lr = 0", "pretrain.lr should be greater than 0, not 0."),
        ("noise = 1", "pretrain.noise should be less than 1, not 1."),
        ("images = -1", "pretrain.images should be greater than or equal to 0, not -1."),
        ("mode = 'greedy'", "pretrain.mode should be 'layer-wise' or 'stacked', not 'greedy'."),
        ("layers = 3", "pretrain.layers should be a valid tuple, not 3."),
        ("layer = 'conv1'", 'unknown field "pretrain.layer". Did you mean "layers"?'),
    ],
)
def test_what_it_refuses(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_experiment(f"[pretrain]\n{text}")
    assert message in str(caught.value)
