"""Scores against loops that count one image at a time."""

from __future__ import annotations

import math

import pytest
import torch

from cutaway.data.images import make_split
from cutaway.training.score import Tally, evaluate, ranks


def slow_rank(logits: list[float], label: int) -> int:
    """The place of the label when classes are sorted by logit, equal ones by their number."""
    order = sorted(range(len(logits)), key=lambda k: (-logits[k], k))
    return order.index(label)


def test_ranks_are_places_in_the_sorted_logits() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randint(0, 4, (200, 7), generator=generator).float()  # many are equal
    labels = torch.randint(0, 7, (200,), generator=generator)
    expected = [slow_rank(row, label) for row, label in zip(logits.tolist(), labels.tolist(), strict=True)]
    assert ranks(logits, labels).tolist() == expected


def test_a_constant_net_is_right_on_its_first_class_only() -> None:
    labels = torch.arange(10)
    assert (ranks(torch.zeros(10, 10), labels) == 0).sum() == 1


def test_a_tally_over_batches_is_the_mean_over_images() -> None:
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(37, 10, generator=generator)
    labels = torch.randint(0, 10, (37,), generator=generator)
    tally = Tally(torch.device("cpu"))
    for part in (slice(0, 30), slice(30, 37)):
        own = torch.nn.functional.cross_entropy(logits[part], labels[part], reduction="none")
        tally.add(own, logits[part], labels[part])
    score = tally.score()
    assert score is not None
    objective = 0.0
    top1 = top5 = 0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        objective += math.log(sum(math.exp(value) for value in row)) - row[label]
        top1 += slow_rank(row, label) >= 1
        top5 += slow_rank(row, label) >= 5
    assert score.objective == pytest.approx(objective / 37, rel=1e-6)
    assert (score.top1_error, score.top5_error, score.images) == (top1 / 37, top5 / 37, 37)


def test_an_empty_tally_has_no_score() -> None:
    assert Tally(torch.device("cpu")).score() is None


def test_an_evaluation_can_be_stopped_between_chunks() -> None:
    split = make_split(torch.zeros(250, 1, 2, 2, dtype=torch.uint8), torch.zeros(250), 3, "here")
    asked = iter([False, True])
    assert evaluate(lambda x: x.flatten(1)[:, :3], lambda p: p.float(), split, lambda: next(asked)) is None
    score = evaluate(lambda x: x.flatten(1)[:, :3], lambda p: p.float(), split)
    assert score is not None
    assert score.images == 250
    assert score.objective == pytest.approx(math.log(3))
