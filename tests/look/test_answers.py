"""Answers against plain loops over numbers."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from cutaway import Subject
from cutaway.data import Split
from cutaway.errors import ConfigError, DataError
from cutaway.look import Answers, answers, fgsm, rise, unnatural
from cutaway.store import Run


def some_answers(count: int = 200, classes: int = 7) -> Answers:
    """Random answers; a quarter of the rows have ties, as coarse probabilities do."""
    generator = torch.Generator().manual_seed(9)
    scores = torch.randn(count, classes, generator=generator) * 2
    scores[::4] = scores[::4].round()
    probabilities = scores.softmax(1)
    labels = torch.randint(classes, (count,), generator=generator)
    return Answers(probabilities, labels, tuple("abcdefg"[:classes]))


def order(row: list[float]) -> list[int]:
    """Classes from the likeliest down; of equal ones the first comes first."""
    return sorted(range(len(row)), key=lambda k: (-row[k], k))


def test_confusion_counts_like_a_loop() -> None:
    said = some_answers()
    counts = [[0] * 7 for _ in range(7)]
    for row, label in zip(said.probabilities.tolist(), said.labels.tolist(), strict=True):
        counts[label][order(row)[0]] += 1
    assert said.confusion.tolist() == counts
    assert said.confusion.dtype == torch.int64


@pytest.mark.parametrize("guesses", [1, 2, 5, 7])
def test_error_counts_like_a_loop(guesses: int) -> None:
    said = some_answers()
    rows = zip(said.probabilities.tolist(), said.labels.tolist(), strict=True)
    wrong = sum(label not in order(row)[:guesses] for row, label in rows)
    assert said.error(guesses) == pytest.approx(wrong / 200, abs=1e-12)


def test_objective_is_the_mean_negative_log_probability() -> None:
    said = some_answers()
    rows = zip(said.probabilities.tolist(), said.labels.tolist(), strict=True)
    wanted = math.fsum(-math.log(row[label]) for row, label in rows) / 200
    assert said.objective == pytest.approx(wanted, rel=1e-9)


def test_objective_stays_finite_where_a_class_was_ruled_out() -> None:
    said = Answers(torch.tensor([[1.0, 0.0]]), torch.tensor([1]), ("a", "b"))
    assert 80 < said.objective < 100


def test_mistakes_stand_in_the_order_of_their_confidence() -> None:
    said = some_answers()
    wanted = []
    for position, (row, label) in enumerate(
        zip(said.probabilities.tolist(), said.labels.tolist(), strict=True)
    ):
        guess = order(row)[0]
        if guess != label:
            wanted.append((position, label, guess, row[guess], row[label]))
    wanted.sort(key=lambda mistake: (-mistake[3], mistake[0]))
    found = [(m.position, m.label, m.guess, m.confidence, m.label_probability) for m in said.mistakes()]
    assert found == wanted
    assert len(found) == round(said.error() * 200)
    assert len(found) == int(said.confusion.sum() - said.confusion.trace())


def test_one_value_for_everything_is_not_called_right() -> None:
    """A dead net answers the same for all: only the first class may count as guessed."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 10))
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    labels = torch.arange(10).repeat(3)
    split = Split(torch.zeros(30, 1, 2, 2, dtype=torch.uint8), labels, torch.arange(30))
    said = answers(Subject(model, (1, 2, 2)), split)
    torch.testing.assert_close(said.probabilities, torch.full((30, 10), 0.1))
    assert said.error(1) == pytest.approx(0.9)
    assert said.error(5) == pytest.approx(0.5)
    assert said.error(10) == 0
    assert said.confusion[:, 0].tolist() == [3] * 10
    assert len(said.mistakes()) == 27
    assert list(said.classes) == [str(k) for k in range(10)]


def test_probabilities_are_the_softmax_of_the_logits_in_evaluation_mode() -> None:
    torch.manual_seed(3)
    dense = nn.Linear(4, 3)
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), dense).train()
    pixels = torch.randint(256, (5, 1, 2, 2), generator=torch.Generator().manual_seed(4)).to(torch.uint8)
    said = answers(
        Subject(model, (1, 2, 2), tuple("abc")), Split(pixels, torch.zeros(5).long(), torch.arange(5))
    )
    logits = pixels.flatten(1).double() / 255 @ dense.weight.double().T + dense.bias.double()
    wanted = logits.exp() / logits.exp().sum(1, keepdim=True)
    torch.testing.assert_close(said.probabilities.double(), wanted.detach(), atol=1e-6, rtol=1e-5)


def test_answers_of_a_run_equal_its_own_score(trained: Run) -> None:
    """The ledger's numbers come from the training's own path: other order of layers, other code."""
    said = answers(trained.subject(), trained.images().split("test"))
    best = [epoch for epoch in trained.epochs() if epoch.best][-1].scores["test"]
    assert said.error(1) == best.top1_error
    assert said.error(5) == best.top5_error
    assert said.objective == pytest.approx(best.objective, rel=1e-5)
    assert len(said.labels) == best.images == 10_000


def test_more_classes_than_the_subject_knows_are_refused() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    split = Split(torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 3]), torch.arange(2))
    with pytest.raises(DataError, match=r"more classes than model knows \(3\)"):
        answers(Subject(model, (1, 2, 2)), split)


def test_no_images_have_no_answers() -> None:
    nothing = Split(torch.zeros(0, 1, 2, 2, dtype=torch.uint8), torch.zeros(0).long(), torch.zeros(0).long())
    with pytest.raises(DataError, match="There are no images"):
        answers(Subject(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), (1, 2, 2)), nothing)


def _softmaxed(**fields: Any) -> tuple[Subject, Subject]:
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 5))
    return Subject(net, (1, 4, 4)), Subject(nn.Sequential(net, nn.Softmax(1)), (1, 4, 4), **fields)


def test_a_model_that_gives_probabilities_is_not_taken_for_an_unsure_one() -> None:
    _, wrong = _softmaxed()
    images = torch.randint(256, (7, 1, 4, 4), dtype=torch.uint8)
    for look in (
        lambda: wrong.predict(images),
        lambda: unnatural(wrong),
        lambda: fgsm(wrong, images, 4),
        lambda: rise(wrong, images[:1], samples=20, grid=3),
    ):
        with pytest.raises(ConfigError, match=r"gives probabilities, not logits.*probabilities=True"):
            look()


def test_a_model_that_is_said_to_give_probabilities_says_what_it_says() -> None:
    plain, said = _softmaxed(probabilities=True)
    images = torch.randint(256, (7, 1, 4, 4), dtype=torch.uint8)
    plain = replace(plain, model=next(said.model.children()))
    torch.testing.assert_close(said.predict(images), plain.predict(images))
    assert rise(said, images[:1], samples=20, grid=3).values.allclose(
        rise(plain, images[:1], samples=20, grid=3).values
    )


def test_logits_that_happen_to_be_shares_of_a_net_of_ours_are_taken(trained: Run) -> None:
    subject = trained.subject()
    subject.refuse_probabilities(torch.tensor([[0.25, 0.75], [0.5, 0.5]]))  # its plan says what it ends with


def test_certainty_costs_nothing_and_nothing_has_no_sign() -> None:
    sure = Answers(torch.eye(3), torch.arange(3), ("a", "b", "c"))
    assert f"{sure.objective:.4f}" == "0.0000"
