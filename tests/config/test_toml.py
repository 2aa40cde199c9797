"""Experiments as TOML: what is written is read back, and a wrong file says where it is wrong."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cutaway.config import (
    AugmentConfig,
    DataConfig,
    Experiment,
    Fill,
    Fit,
    OptimiserKind,
    PreprocessKind,
    ScheduleKind,
    TrainConfig,
    catalogue,
    dump_experiment,
    load_experiment,
    load_study,
    parse_experiment,
)
from cutaway.config.section import Section
from cutaway.errors import ConfigError, NotFoundError
from cutaway.nets import find_net

TEXT = st.text(st.characters(exclude_categories=["Cs"]))  # surrogates are no UTF-8
AWKWARD = st.sampled_from(
    ['"', '"""', "'", "\\", "\\n", "\n", "\r\n", "\r", "\t", "#", "é", "×", "\x00", "\x7f"]
)
WILD = st.lists(AWKWARD | TEXT, max_size=8).map("".join)
SEEDS = st.integers(0, 2**32 - 1)
SHARES = st.floats(0, 1, exclude_max=True)
COUNTS = st.integers(0, 10**9)

SIDES = st.integers(1, 99_999)
AUGMENT = st.builds(
    AugmentConfig,
    jitter=st.integers(0, 4096),
    flip=st.booleans(),
    rotate=st.floats(0, 180),
    scale=SHARES,
    crop=st.floats(0, 1, exclude_min=True),
    fill=st.sampled_from(Fill),
)
DATA = st.builds(
    DataConfig,
    source=WILD.filter(bool),
    path=WILD,
    size=st.just("") | SIDES | st.builds("{}x{}".format, SIDES, SIDES),
    fit=st.sampled_from(Fit),
    pad=st.integers(0, 4096),
    channels=st.sampled_from([0, 1, 3]),
    validation=SHARES | COUNTS,
    test=SHARES | COUNTS,
    split_seed=SEEDS,
    train_images=SHARES | COUNTS,
    per_class=st.integers(0, 1_000_000),
    characters=WILD.filter(bool),
    skip_bad=st.booleans(),
    preprocess=st.sampled_from(PreprocessKind),
    augment=AUGMENT,
)
TRAIN = st.builds(
    TrainConfig,
    epochs=st.integers(0, 100_000),
    batch=st.integers(1, 1_000_000),
    optimiser=st.sampled_from(OptimiserKind),
    lr=st.floats(0, 1000),
    momentum=SHARES,
    nesterov=st.booleans(),
    beta1=SHARES,
    beta2=SHARES,
    weight_decay=st.floats(0, 100),
    schedule=st.sampled_from(ScheduleKind),
    warmup=SHARES,
    step_epochs=st.integers(1, 100_000),
    step_factor=st.floats(0, 1, exclude_min=True),
    label_smoothing=SHARES,
    device=st.sampled_from(["auto", "cpu", "cuda", "cuda:3"]),
    threads=st.integers(0, 1024),
)
EXPERIMENTS = st.builds(
    Experiment,
    name=WILD.filter(lambda text: 1 <= len(text) <= 80),
    seed=SEEDS,
    net=WILD.filter(str.strip),
    data=DATA,
    train=TRAIN,
)


@settings(deadline=None, max_examples=200)
@given(EXPERIMENTS)
def test_an_experiment_comes_back_from_toml(experiment: Experiment) -> None:
    assert parse_experiment(dump_experiment(experiment)) == experiment


@settings(deadline=None, max_examples=50)
@given(EXPERIMENTS)
def test_an_experiment_without_overrides_is_itself(experiment: Experiment) -> None:
    assert load_experiment(experiment) == experiment


def _written(section: Section) -> dict[str, Any]:
    """Names, and names below them, of all fields."""
    values = {name: getattr(section, name) for name in type(section).model_fields}
    return {n: _written(v) if isinstance(v, Section) else None for n, v in values.items()}


def _named(values: dict[str, Any]) -> dict[str, Any]:
    return {n: _named(v) if isinstance(v, dict) and v else None for n, v in values.items()}


def test_every_default_is_written_out_and_explained() -> None:
    text = dump_experiment(Experiment())
    read = tomllib.loads(text)
    assert _named(read) == _written(Experiment())
    for section in (DataConfig, AugmentConfig, TrainConfig):
        for field in section.model_fields.values():
            if field.annotation is AugmentConfig:
                continue  # a section of its own, whose fields are explained
            assert f"# {field.description}\n" in text


def test_a_net_is_written_a_layer_a_line() -> None:
    text = dump_experiment(Experiment(net="conv 3 3x3\nrelu"))
    assert 'net = """conv 3 3x3\nrelu\n"""' in text.replace('"""\n', '"""', 1)


@pytest.mark.parametrize("name", catalogue())
def test_every_built_in_experiment_loads_and_its_net_is_one(name: str) -> None:
    experiment = load_experiment(name)
    assert experiment.name == name
    assert find_net(experiment.net).layers


def test_the_main_job_is_built_in() -> None:
    assert "digits" in catalogue()


def test_a_file_is_read_by_its_path(tmp_path: Path) -> None:
    file = tmp_path / "exp.toml"
    file.write_text('name = "mine"\n[train]\nlr = 0.5\n', encoding="utf-8")
    for path in (file, str(file)):
        experiment = load_experiment(path)
        assert (experiment.name, experiment.train.lr, experiment.train.batch) == ("mine", 0.5, 128)


def test_overrides_replace_single_fields_and_leave_the_others() -> None:
    base = load_experiment("digits")
    changed = load_experiment(base, {"train": {"lr": 0.05}, "seed": 7})
    assert changed.train == base.train.model_copy(update={"lr": 0.05})
    assert changed.seed == 7
    assert changed.data == base.data
    assert base.seed == 1


@pytest.mark.parametrize(
    ("section", "field", "text", "value"),
    [
        ("train", "lr", "0.05", 0.05),
        ("train", "lr", "1e-3", 0.001),
        ("train", "epochs", "7", 7),
        ("train", "batch", "1_000", 1000),
        ("train", "nesterov", "false", False),
        ("train", "schedule", "step", ScheduleKind.STEP),
        ("train", "schedule", '"step"', ScheduleKind.STEP),
        ("data", "validation", "0.1", 0.1),
        ("data", "path", "/a folder/with #", "/a folder/with #"),
        ("data", "path", "C:\\new", "C:\\new"),
        ("data", "path", "12", "12"),
        ("data", "path", "012", "012"),
        ("data", "path", "1e3", "1e3"),
        ("data", "path", "true", "true"),
        ("data", "path", "2026-11-22", "2026-11-22"),
        ("data", "path", '"a folder"', "a folder"),
    ],
)
def test_overrides_from_a_command_line_are_read_as_toml(
    section: str, field: str, text: str, value: object
) -> None:
    experiment = load_experiment(Experiment(), {section: {field: text}})
    assert getattr(getattr(experiment, section), field) == value


def test_a_name_and_a_study_s_folder_may_be_numbers(tmp_path: Path) -> None:
    assert load_experiment("digits", {"name": "7", "seed": "7"}).name == "7"
    file = tmp_path / "study.toml"
    file.write_text('base = "digits"\n[[variant]]\nset = { seed = 3 }\n', encoding="utf-8")
    found = load_study(file, {"data": {"path": "12", "pad": "2"}})
    assert found.experiment == {"data": {"path": "12", "pad": 2}}


@pytest.mark.parametrize(
    "net", ["conv 3 3x3 | flatten | dense 10", "conv 3 3x3\nflatten\ndense 10", "lenet-theano"]
)
def test_a_net_may_be_overridden_as_it_is_written(net: str) -> None:
    assert load_experiment("digits", {"net": net}).net == net


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[train]\nlr = -1", "train.lr should be greater than or equal to 0, not -1."),
        ("[train]\nlr = inf", "train.lr should be a finite number, not inf."),
        ("[train]\nmomentum = 1", "train.momentum should be less than 1, not 1."),
        ("[train]\nbatch = 0", "train.batch should be greater than or equal to 1, not 0."),
        ("seed = 4294967296", "seed should be less than or equal to 4294967295, not 4294967296."),
        ("[train]\noptimiser = 'sdg'", "train.optimiser should be 'sgd', 'adam' or 'adamw', not 'sdg'."),
        ("[train]\nler = 1", 'unknown field "train.ler". Did you mean "lr"?'),
        ("[trian]\nlr = 1", 'unknown field "trian". Did you mean "train"?'),
        ("[data]\nvalidation = 1.5", "data.validation should be a whole number of images, or a share"),
        ("data = 3", "data should be a valid dictionary"),
        ("name = 42", "name should be a valid string, not 42."),
        ("name = ''", "name String should have at least 1 character, not ''."),
        ("[train]\nepochs = 2\nepochs = 3", "exp.toml is no valid TOML: "),
        ("name = ", "exp.toml is no valid TOML: "),
        ("not TOML at all", "exp.toml is no valid TOML: "),
    ],
)  # fmt: skip
def test_a_wrong_file_says_what_is_wrong_in_two_lines(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "exp.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_experiment(file)
    assert message in str(caught.value)
    assert str(file) in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2


def test_broken_toml_says_where(tmp_path: Path) -> None:
    file = tmp_path / "exp.toml"
    file.write_text('name = "a"\nseed = = 3\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="line 2, column 8"):
        load_experiment(file)


def test_a_wrong_override_is_told_as_a_field_is() -> None:
    with pytest.raises(ConfigError, match=r'unknown field "train.ler". Did you mean "lr"\?'):
        load_experiment("digits", {"train": {"ler": "0.1"}})
    with pytest.raises(ConfigError, match=r"train\.lr should be a valid number"):
        load_experiment("digits", {"train": {"lr": "fast"}})


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "exp.toml"
    file.write_bytes(b"name = '\xff\xfe'")
    with pytest.raises(ConfigError, match="can't be read"):
        load_experiment(file)


def test_neither_file_nor_built_in() -> None:
    with pytest.raises(NotFoundError) as caught:
        load_experiment("digts")
    assert 'There is no file and no built-in experiment "digts". Did you mean "digits"?' in str(caught.value)
    with pytest.raises(NotFoundError):
        load_experiment(Path("/nowhere/exp.toml"))
