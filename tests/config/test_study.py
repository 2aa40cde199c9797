"""Studies as TOML: read, written out, refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from cutaway.config import Study, dump_study, load_study, parse_study
from cutaway.errors import ConfigError, NotFoundError

TEXT = """
name = "two"
base = "mine.toml"
seeds = 5
auto = "ablate"

[experiment]
data.train_images = 20000

[budget]
epochs = 2

[[variant]]
edits = "tanh*=relu"

[[variant]]
name = "still"
set = { "train.freeze" = ["conv1"] }

[grid]
"train.lr" = [0.1, 0.01]
edits = ["", "-pool1"]

[stopping]
rule = "halving"
"""


def test_what_is_written_out_is_read_back() -> None:
    study = parse_study(TEXT)
    assert study.seeds == 5
    assert study.every_seed == range(5)
    assert study.experiment == {"data": {"train_images": 20000}}
    assert [variant.edits for variant in study.variant] == ["tanh*=relu", ""]
    text = dump_study(study)
    assert parse_study(text) == study
    assert dump_study(parse_study(text)) == text
    for section in (Study, type(study.budget), type(study.stopping)):
        for name, field in section.model_fields.items():
            assert name in text
            assert field.description


def test_a_base_is_looked_for_beside_the_study(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(TEXT)
    assert load_study(tmp_path / "study.toml").base == "mine.toml"
    (tmp_path / "mine.toml").write_text("")
    assert load_study(tmp_path / "study.toml").base == str(tmp_path.resolve() / "mine.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeds = 0", "seeds should be greater than or equal to 1"),
        ("stopping.rungs = [0.5, 0.25]", "rising shares"),
        ("stopping.rungs = [1.0]", "rising shares"),
        ('grid = { "train.lr" = [] }', "no values for train.lr"),
        ('auto = "all"', "auto should be"),
        ("sed = 1", 'unknown field "sed"'),
        ("[[variant]]\nedit = 1", "unknown field"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_study(text)


def test_no_such_file() -> None:
    with pytest.raises(NotFoundError, match="no study file"):
        load_study("nothing.toml")


def test_quick_and_fields_replace_what_the_file_has(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(
        TEXT.replace("data.train_images", '"data.train_images"')
        + '\n[quick]\nseeds = 2\n"budget.epochs" = 1\n"experiment.data.train_images" = 100\n'
    )
    whole = load_study(path, {"data": {"path": "x"}})
    assert (whole.name, whole.seeds, whole.budget.epochs) == ("two", 5, 2)
    assert whole.experiment == {"data": {"train_images": 20000, "path": "x"}}  # as tables
    quick = load_study(path, {"train": {"lr": "0.5"}}, quick=True)
    assert (quick.name, quick.seeds, quick.budget.epochs) == ("two, quick", 2, 1)
    assert quick.experiment == {"data": {"train_images": 100}, "train": {"lr": 0.5}}
    assert quick.variant == whole.variant
    path.write_text(TEXT)
    with pytest.raises(ConfigError, match="no quick one"):
        load_study(path, quick=True)


@pytest.mark.parametrize("name", ["mine", "mine-dynamics", "Mine"])
def test_a_look_does_not_take_the_study_s_own_file(name: str) -> None:
    with pytest.raises(ValidationError, match="has the name of a file of the study itself"):
        Study.model_validate({"name": "mine", "look": [{"look": "kernels", "name": name}]})
    assert (
        Study.model_validate({"name": "mine", "look": [{"look": "kernels", "name": "other"}]}).file == "mine"
    )


def test_strings_of_a_quick_one_stay_strings(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text('[quick]\n"experiment.data.characters" = "147"\nseeds = 2\n')
    assert load_study(path, quick=True).experiment["data"]["characters"] == "147"


@pytest.mark.parametrize("field", ["seed", "name"])
def test_what_a_study_has_of_its_own_is_not_replaced(tmp_path: Path, field: str) -> None:
    path = tmp_path / "study.toml"
    path.write_text("seeds = 2\n")
    with pytest.raises(ConfigError, match=f"--{field}: a study has its own"):
        load_study(path, {field: "3"})
    assert load_study(path, {"weights_seed": "3"}).experiment["weights_seed"] == 3
