"""A study: an experiment, variants of it, and the terms that all are trained under."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any, Self

from pydantic import field_validator, model_validator

from cutaway.config.section import Section, setting


class AutoKind(StrEnum):
    """Which variants a study makes by itself."""

    NONE = "none"
    ABLATE = "ablate"
    FREEZE = "freeze"


class StoppingKind(StrEnum):
    """Which trials a study ends before their budget is spent."""

    NONE = "none"
    HALVING = "halving"


class SplitKind(StrEnum):
    """The split whose scores a study reports."""

    TEST = "test"
    VALIDATION = "validation"


class VariantConfig(Section):
    """A ``[[variant]]`` of a study: what is other than in the base."""

    name: str = setting("", "what it is called; empty for its edits and fields", max_length=120)
    edits: str = setting(
        "", "edits of the net: -relu1 takes a layer out, relu*=tanh replaces, conv1.filters=3 changes"
    )
    set: dict[str, Any] = setting(
        {},
        'other fields of the experiment, by dotted name: { "train.lr" = 0.05, "train.freeze" = ["conv1"] }',
    )


class LookConfig(Section):
    """A ``[[look]]`` of a study: what is looked at when its trials have ended."""

    name: str = setting(
        "", "of its files; empty for the look's words", max_length=80, pattern=r"^[\w][\w.@-]*$|^$"
    )
    look: str = setting(
        "",
        "what stands behind `cutaway look`, without the run: maps --image 4 --layer conv1",
        min_length=1,
        validate_default=True,
    )
    of: str = setting("", "the variant whose first trial is looked into; empty for the base")

    @property
    def file(self) -> str:
        """The name of its files, without an ending."""
        return self.name or _file_name(self.look.strip())[:80]


class BudgetConfig(Section):
    """The ``[budget]`` of every trial; where none is given, the experiment's own epochs."""

    epochs: int = setting(0, "epochs of every trial; 0 for the experiment's", "epochs", ge=0, le=100_000)
    minutes: float = setting(0.0, "training time of every trial; 0 for any", "minutes", ge=0, le=1e6)
    images: int = setting(
        0, "training images that every trial is shown; 0 for all of its epochs", "images", ge=0, le=10**12
    )


class StoppingConfig(Section):
    """The ``[stopping]`` of trials that are not worth their budget."""

    rule: StoppingKind = setting(
        StoppingKind.NONE,
        "none: all are trained to the end; halving: at each rung those of the lowest validation error go on",
    )
    rungs: tuple[float, ...] = setting(
        (0.2,), "shares of the budget at which variants are compared, rising, above 0 and below 1"
    )
    keep: float = setting(
        0.25, "share of the variants that go on at each rung, rounded up; the base always does", gt=0, lt=1
    )

    @field_validator("rungs")
    @classmethod
    def _rising_shares(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if list(value) != sorted(set(value)) or any(not 0 < share < 1 for share in value):
            raise ValueError("should be rising shares above 0 and below 1, such as [0.1, 0.3]")
        return value


class Study(Section):
    """An experiment, variants of it, a number of seeds: all that decides a study's trials."""

    name: str = setting("study", "what the study is called", min_length=1, max_length=80)
    base: str = setting(
        "digits", "the experiment that is varied: a file, beside the study's, or a built-in one", min_length=1
    )
    experiment: dict[str, Any] = setting({}, "fields of the base that are replaced in all trials")
    auto: AutoKind = setting(
        AutoKind.NONE,
        "variants that are made: ablate: every layer that can be taken out, alone, and every stage; "
        "freeze: every layer random and frozen, alone and with all before it",
    )
    variant: tuple[VariantConfig, ...] = setting((), "variants")
    grid: dict[str, list[Any]] = setting(
        {}, "values of fields, by dotted name, of which all combinations are variants; edits is one of them"
    )
    seeds: int = setting(3, "trials of every variant, each with a seed of its own", ge=1, le=10_000)
    first_seed: int = setting(0, "the first of these seeds; the others follow it", ge=0, le=2**32 - 10_001)
    split: SplitKind = setting(SplitKind.TEST, "the split that errors are reported of; choices never see it")
    quick: dict[str, Any] = setting(
        {},
        "fields of the study, as tables or by dotted name, that `--quick` replaces for a small one",
    )
    budget: BudgetConfig = setting(BudgetConfig(), "what every trial may spend")
    stopping: StoppingConfig = setting(StoppingConfig(), "which trials end early")
    look: tuple[LookConfig, ...] = setting((), "what is looked at when all trials have ended")

    @field_validator("grid")
    @classmethod
    def _values_in_every_field(cls, value: dict[str, list[Any]]) -> dict[str, list[Any]]:
        empty = [name for name, values in value.items() if not values]
        if empty:
            raise ValueError(f"has no values for {empty[0]}")
        return value

    @field_validator("look")
    @classmethod
    def _a_file_for_each(cls, value: tuple[LookConfig, ...]) -> tuple[LookConfig, ...]:
        files = [look.file.lower() for look in value]
        twice = [file for file in files if files.count(file) > 1]
        if twice:
            raise ValueError(f'has two looks for the file "{twice[0]}". Give each a name of its own.')
        return value

    @model_validator(mode="after")
    def _a_look_beside_the_study(self) -> Self:
        own = {self.file.lower(), f"{self.file}-dynamics".lower()}
        taken = next((look.file for look in self.look if look.file.lower() in own), "")
        if taken:
            raise ValueError(
                f'look "{taken}" has the name of a file of the study itself. Give it another name.'
            )
        return self

    @property
    def file(self) -> str:
        """The name of the file that it is exported to, without an ending."""
        return _file_name(self.name)

    @property
    def every_seed(self) -> range:
        """The seeds of each variant's trials."""
        return range(self.first_seed, self.first_seed + self.seeds)


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.@-]+", "_", text)
