"""How much memory there is, and how a batch is cut to fit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cutaway.config import Experiment, load_experiment
from cutaway.errors import ConfigError
from cutaway.nets import Plan, inference_memory, parse_net, plan, training_memory
from cutaway.training import room
from cutaway.training.room import PROGRAM, Room, find_room

CPU = torch.device("cpu")
PLAIN = plan(parse_net("conv 8 5x5 | relu | maxpool 2 | flatten | dense 10"), (1, 28, 28))
NORMED = plan(parse_net("conv 8 5x5 | eyes: batchnorm | relu | residual 8 | flatten | dense 10"), (1, 28, 28))
RESIDENT = 300 << 20


@pytest.fixture(autouse=True)
def _resident(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the process has taken already, the same on every machine."""
    monkeypatch.setattr(room, "resident_memory", lambda: RESIDENT)


def found(planned: Plan, spare: float, **recipe: Any) -> Room:
    """The room where ``spare`` bytes are left for the net, in a limit on the whole process."""
    memory = f"{int(spare / 0.95) + 1 + RESIDENT + PROGRAM}"
    experiment = load_experiment(Experiment(), {"train": {"memory": f'"{memory}"', **recipe}})
    return find_room(experiment.train, planned, CPU)


def takes(planned: Plan, images: int, states: int = 1) -> int:
    return training_memory(planned, images, states).total


def test_a_batch_that_fits_goes_whole() -> None:
    for batch in (1, 33, 128):
        found_room = found(PLAIN, takes(PLAIN, batch), batch=batch)
        assert found_room.microbatch == batch
        assert takes(PLAIN, batch) <= found_room.limit <= takes(PLAIN, batch) + 2
        assert not found_room.roomy


def test_a_byte_less_and_it_is_cut_in_two() -> None:
    assert found(PLAIN, takes(PLAIN, 33) - 4, batch=33).microbatch == 17


@given(st.integers(1, 40), st.integers(1, 300))
@settings(max_examples=60, deadline=None)
def test_parts_are_as_few_as_fit_and_about_equal(fitting: int, batch: int) -> None:
    recipe = {"batch": batch, "microbatch": fitting}
    experiment = load_experiment(Experiment(), {"train": recipe})
    microbatch = find_room(experiment.train, PLAIN, CPU).microbatch
    least = -(-batch // min(fitting, batch))
    sizes = [len(range(begin, min(begin + microbatch, batch))) for begin in range(0, batch, microbatch)]
    assert max(sizes) <= fitting
    assert len(sizes) <= least
    # The smallest number that does in so many parts: none is much smaller than the others.
    assert -(-batch // max(1, microbatch - 1)) > least or microbatch == 1


@pytest.mark.parametrize("fitting", [1, 2, 5, 16, 32])
def test_memory_decides_the_parts(fitting: int) -> None:
    found_room = found(PLAIN, takes(PLAIN, fitting), batch=33)
    parts = -(-33 // fitting)
    assert found_room.microbatch == -(-33 // parts)
    assert takes(PLAIN, found_room.microbatch) <= found_room.limit


@pytest.mark.parametrize(
    ("recipe", "states"),
    [
        ({"optimiser": "sgd", "momentum": 0}, 0),
        ({"optimiser": "sgd"}, 1),
        ({"optimiser": "adam"}, 2),
        ({"optimiser": "adamw", "momentum": 0}, 2),
    ],
)
def test_what_the_optimiser_remembers_is_counted(recipe: dict[str, Any], states: int) -> None:
    assert found(PLAIN, takes(PLAIN, 33, states), batch=33, **recipe).microbatch == 33
    assert found(PLAIN, takes(PLAIN, 33, states) - 4, batch=33, **recipe).microbatch == 17


def test_not_even_one_image() -> None:
    with pytest.raises(ConfigError, match=r"One image needs .* in training, but .* are left") as caught:
        found(PLAIN, takes(PLAIN, 1) - 4, batch=33)
    assert "Give more --memory, or take a smaller net or image." in str(caught.value)
    assert "\n" not in str(caught.value)


def test_less_memory_than_the_process_has_taken() -> None:
    experiment = load_experiment(Experiment(), {"train": {"memory": "100MiB"}})
    with pytest.raises(ConfigError, match="but the process itself takes all there is"):
        find_room(experiment.train, PLAIN, CPU)


def test_batch_norm_is_not_cut() -> None:
    with pytest.raises(ConfigError) as caught:
        found(NORMED, takes(NORMED, 20), batch=33)
    message = str(caught.value)
    assert "A batch of 33 does not fit, 17 would; but eyes takes its mean over the whole batch." in message
    for way in ("--train.batch 17", "more --memory", "--train.split_batchnorm true"):
        assert way in message
    assert "\n" not in message
    # Each way out is one.
    assert found(NORMED, takes(NORMED, 20), batch=17).microbatch == 17
    assert found(NORMED, takes(NORMED, 33), batch=33).microbatch == 33
    assert found(NORMED, takes(NORMED, 20), batch=33, split_batchnorm=True).microbatch == 17


def test_batch_norm_inside_a_block_is_seen() -> None:
    planned = plan(parse_net("residual 8 | flatten | dense 10"), (1, 8, 8))
    with pytest.raises(ConfigError, match=r"but residual1\.batchnorm1 takes its mean"):
        found(planned, takes(planned, 20), batch=33)


def test_a_microbatch_that_was_asked_for() -> None:
    whole = 10 * takes(PLAIN, 33)
    assert found(PLAIN, whole, batch=33, microbatch=7).microbatch == 7
    assert found(PLAIN, whole, batch=33, microbatch=30).microbatch == 17
    assert found(PLAIN, whole, batch=33, microbatch=33).microbatch == 33
    assert found(PLAIN, whole, batch=33, microbatch=1000).microbatch == 33
    # Also where fewer images would fit: a run is continued with the sums that it began with.
    assert found(PLAIN, takes(PLAIN, 3), batch=33, microbatch=7).microbatch == 7
    with pytest.raises(ConfigError, match="7 would; but eyes"):
        found(NORMED, 10 * takes(NORMED, 33), batch=33, microbatch=7)


def test_scoring_goes_in_chunks_that_fit() -> None:
    limit = takes(PLAIN, 20)
    chunk = found(PLAIN, limit, batch=20).chunk
    assert 20 < chunk < 100
    assert inference_memory(PLAIN, chunk).total <= limit + 2 < inference_memory(PLAIN, chunk + 1).total
    assert found(PLAIN, 100 * limit, batch=20).chunk == 100
    assert found(PLAIN, takes(PLAIN, 1), batch=20).chunk >= 1


def test_scoring_takes_no_more_than_a_step_unless_that_is_little() -> None:
    for batch in (1, 33, 128, 400, 4000):
        chunk = found(PLAIN, 1 << 39, batch=batch).chunk
        assert 100 <= chunk <= 500
        inside = inference_memory(PLAIN, chunk).total <= takes(PLAIN, batch)
        assert inside or chunk == 100
        assert chunk == 500 or inference_memory(PLAIN, chunk + 1).total > takes(PLAIN, batch)
    assert found(PLAIN, 1 << 39, batch=1).chunk == 100
    assert found(PLAIN, 1 << 39, batch=4000).chunk == 500


def test_freed_memory_is_kept_where_twice_as_much_is_there() -> None:
    chunk = found(PLAIN, 1 << 39, batch=128).chunk
    most = max(takes(PLAIN, 128), inference_memory(PLAIN, chunk).total + 4 * PLAIN.parameters)
    assert not found(PLAIN, 2 * most - 4, batch=128).roomy
    assert found(PLAIN, 2 * most, batch=128).roomy


def test_auto_is_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load_experiment(Experiment(), {"train": {"batch": 33}}).train
    monkeypatch.setattr(room, "free_memory", lambda: 10 << 30)
    whole = find_room(recipe, PLAIN, CPU)
    assert whole.limit == int(0.95 * ((10 << 30) - PROGRAM))
    assert (whole.microbatch, whole.chunk, whole.roomy) == (33, 100, True)
    # What the process has taken is not free any more: it is not taken off twice.
    monkeypatch.setattr(room, "free_memory", lambda: PROGRAM + int(takes(PLAIN, 20) / 0.95) + 1)
    assert find_room(recipe, PLAIN, CPU).microbatch == 17
    monkeypatch.setattr(room, "free_memory", lambda: 0)
    with pytest.raises(ConfigError, match="but the process itself takes all there is"):
        find_room(recipe, PLAIN, CPU)


# A GPU holds the images, too. ----------------------------------------------------------------------

GPU = torch.device("cuda")


@pytest.mark.parametrize(
    ("images", "holds"), [(0, True), (4 << 20, True), (6 << 20, False), (9 << 30, False)]
)
def test_a_gpus_room_is_what_its_images_leave(
    monkeypatch: pytest.MonkeyPatch, images: int, *, holds: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (10 << 20, 80 << 30))
    recipe = load_experiment(Experiment(), {"train": {"batch": 1000}}).train
    found_room = find_room(recipe, PLAIN, GPU, images)
    assert found_room.holds_images is holds
    assert found_room.limit == int(0.95 * (10 << 20)) - (images if holds else 0)
    assert takes(PLAIN, found_room.microbatch) <= found_room.limit
