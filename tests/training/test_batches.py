"""Batches and their parts: nothing twice, nothing left out, and no image alone where batch norm needs two."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutaway.config import Experiment, load_experiment
from cutaway.errors import ConfigError
from cutaway.training import prepare, train
from cutaway.training.batches import batch_bounds, check_norms, parts

VECTORS = "conv 4 5x5 stride 3 | globalpool | flatten | dense 6 | batchnorm | dense 10"


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 60))
def test_parts_take_every_image_once_and_fit(images: int, batch: int, microbatch: int) -> None:
    found = parts(images, batch, microbatch)
    assert [at for begin, end in found for at in range(begin, end)] == list(range(images))
    sizes = [end - begin for begin, end in found]
    assert max(sizes) - min(sizes) <= 1
    assert len(found) == 1 if microbatch >= batch else max(sizes) <= microbatch


@given(st.integers(1, 120), st.integers(1, 40), st.integers(1, 40))
def test_an_image_alone_is_found(images: int, batch: int, microbatch: int) -> None:
    recipe = load_experiment(Experiment(), {"train": {"batch": batch}}).train
    bounds = batch_bounds(images, batch)
    alone = any(
        end - begin == 1 for one in bounds for begin, end in parts(one[1] - one[0], batch, microbatch)
    )
    check_norms(bounds, None, recipe, microbatch)
    if not alone:
        check_norms(bounds, "norm", recipe, microbatch)
        return
    with pytest.raises(ConfigError, match=r"^norm has one value of each image"):
        check_norms(bounds, "norm", recipe, microbatch)


def _prepared(small: Experiment, net: str = VECTORS, images: int = 40, **fields: Any) -> Any:
    values = {
        "net": net,
        "data": {"train_images": images, "validation": 20},
        "train": {"epochs": 1, **fields},
    }
    return prepare(load_experiment(small, values))


@pytest.mark.parametrize(
    ("fields", "mend"),
    [
        ({"batch": 1}, r"Choose another --train\.batch\.$"),
        ({"batch": 4, "microbatch": 1, "split_batchnorm": True}, "--train.microbatch or --memory"),
        ({"batch": 5, "microbatch": 2, "split_batchnorm": True}, "--train.microbatch or --memory"),
    ],
)
def test_one_image_has_no_deviation(small: Experiment, fields: dict[str, Any], mend: str) -> None:
    with pytest.raises(ConfigError, match=f"^batchnorm1 has one value of each image.*{mend}"):
        _prepared(small, **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"batch": 4, "microbatch": 2, "split_batchnorm": True},
        {"batch": 2},
        {"batch": 13},
        {"batch": 1, "freeze": ["batchnorm1"]},
        {"batch": 1, "epochs": 0},
    ],
)
def test_what_has_one_is_trained(small: Experiment, fields: dict[str, Any]) -> None:
    train(_prepared(small, **fields))


def test_a_norm_of_maps_needs_one_image_alone(small: Experiment) -> None:
    train(_prepared(small, "conv 4 5x5 stride 3 | batchnorm | flatten | dense 10", images=6, batch=1))
