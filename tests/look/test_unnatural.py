"""Unnatural images against gradient ascent written out, and what must hold of every one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cutaway import Subject
from cutaway.data.preprocess import Preprocess
from cutaway.errors import ConfigError, DataError, NotFoundError
from cutaway.look.unnatural import unnatural
from cutaway.progress import Progress, listening

SHAPE = (2, 6, 6)
PREPROCESS = Preprocess((100.0, 120.0), (50.0, 70.0))


@pytest.fixture(scope="module")
def subject() -> Subject:
    torch.manual_seed(1)
    dense = nn.Linear(64, 3)
    with torch.no_grad():
        dense.weight *= 8  # so that pixels suffice to be sure
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), dense)
    return Subject(model, SHAPE, classes=("a", "b", "c"), preprocess=PREPROCESS)


def logits(subject: Subject, pixels: Tensor) -> Tensor:
    shift, scale = (torch.tensor(values).view(2, 1, 1) for values in (PREPROCESS.shift, PREPROCESS.scale))
    found: Tensor = subject.model.eval()((pixels - shift) / scale)
    return found


def slowly(
    subject: Subject, start: Tensor, number: int, *, step: float, wanted: float
) -> tuple[Tensor, list[float]]:
    """One class: climb its logit by steps of a fixed root of the mean square until it is sure."""
    x, trace = start.clone(), []
    while True:
        leaf = x.clone().requires_grad_()
        found = logits(subject, leaf)
        trace.append(float(found.detach().softmax(1)[0, number]))
        if trace[-1] >= wanted:
            with torch.no_grad():
                if float(logits(subject, x.round()).softmax(1)[0, number]) >= wanted:
                    return x.round(), trace
        (slope,) = torch.autograd.grad(found[0, number], leaf)
        x = (x + step * slope / slope.square().mean().sqrt()).clamp(0, 255)


@pytest.mark.parametrize(("start", "step"), [("grey", 2.0), ("noise", 5.0), ("black", 5.0)])
def test_climbs_step_by_step_until_it_is_sure(subject: Subject, start: Any, step: float) -> None:
    found = unnatural(subject, start=start, step=step, confidence=0.9, seed=4)
    assert found.classes.tolist() == [0, 1, 2]
    assert found.images.dtype == found.start.dtype == torch.float32
    assert bool(found.reached.all())
    assert not found.notes
    assert torch.equal(found.images, found.images.round())
    assert 0 <= float(found.images.min()) <= float(found.images.max()) <= 255
    with torch.no_grad():
        after, before = (logits(subject, one).softmax(1) for one in (found.images, found.start))
    torch.testing.assert_close(found.after, after, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.before, before, atol=1e-5, rtol=1e-4)
    for row in range(3):
        image, trace = slowly(subject, found.start[row : row + 1], row, step=step, wanted=0.9)
        assert int(found.steps[row]) == len(trace) - 1
        torch.testing.assert_close(
            found.confidence[row, : len(trace)], torch.tensor(trace), atol=1e-4, rtol=1e-3
        )
        assert bool(found.confidence[row, len(trace) :].isnan().all())
        # A value that lies halfway may be rounded to either side.
        assert float((found.images[row] - image[0]).abs().max()) <= 1
        change = found.images[row] - found.start[row]
        assert float(found.l2[row]) == pytest.approx(float(change.square().sum().sqrt()), rel=1e-5)
        assert float(found.linf[row]) == float(change.abs().max())
    assert found.confidence.shape[1] == int(found.steps.max()) + 1


def test_starts_are_what_they_are_called(subject: Subject) -> None:
    grey, black = (unnatural(subject, 0, start=name, steps=1).start for name in ("grey", "black"))
    assert grey.unique().tolist() == [128.0]
    assert black.unique().tolist() == [0.0]
    one, same, other = (unnatural(subject, 0, start="noise", steps=1, seed=seed).start for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert float(one.std()) > 50


def test_one_class_alone_is_the_same_as_among_others(subject: Subject) -> None:
    told: list[Progress] = []
    with listening(told.append):
        together = unnatural(subject, ["c", 0, "b"], confidence=0.8)
    assert together.classes.tolist() == [2, 0, 1]
    assert (told[0].total, told[-1].done) == (3, 3)
    alone = unnatural(subject, 0, confidence=0.8)
    assert int(alone.steps[0]) == int(together.steps[1])
    torch.testing.assert_close(alone.images[0], together.images[1], atol=1.0, rtol=0)


def test_an_image_to_begin_with(subject: Subject) -> None:
    pixels = torch.randint(256, (1, *SHAPE), generator=torch.Generator().manual_seed(2)).to(torch.uint8)
    found = unnatural(subject, 1, start=pixels)
    assert torch.equal(found.start, pixels.float())
    inputs = unnatural(subject, 1, start=torch.zeros(1, *SHAPE), step=0.05)
    assert inputs.unit == "input values"
    assert bool(inputs.reached.all())
    assert not torch.equal(inputs.images, inputs.images.round())
    already = unnatural(subject, 1, start=found.images[:1].to(torch.uint8))
    assert already.steps.tolist() == [0]
    assert torch.equal(already.images, found.images)


def test_it_is_sure_in_whole_pixels_too() -> None:
    """A net that a third of a grey value convinces: rounded, the image would be the start again."""
    dense = nn.Linear(72, 2)
    with torch.no_grad():
        dense.weight.copy_(torch.tensor([[0.0], [1.0]]).expand(2, 72))
        dense.bias.copy_(torch.tensor([0.0, -72.0 * 128]))
    subject = Subject(nn.Sequential(nn.Flatten(), dense), SHAPE, preprocess=lambda pixels: pixels.float())
    found = unnatural(subject, 1, step=0.3)
    assert float(found.confidence[0, 1]) > 0.99
    assert found.steps.tolist() == [2]
    assert bool(found.reached)
    assert torch.equal(found.images, torch.full((1, *SHAPE), 129.0))


def test_too_few_steps_are_told(subject: Subject) -> None:
    found = unnatural(subject, "b", steps=2, step=0.1, confidence=0.999)
    assert found.steps.tolist() == [2]
    assert not found.reached.any()
    assert found.notes[0].startswith("b has ")
    assert "after 2 steps" in found.notes[0]


def test_a_dead_net_is_told() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Threshold(1e9, 0.0), nn.Linear(72, 2))
    found = unnatural(Subject(model, SHAPE), 1)
    assert found.steps.tolist() == [0]
    assert "zero everywhere" in found.notes[0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"confidence": 0.0},
        {"confidence": 1.0},
        {"steps": 0},
        {"step": 0.0},
        {"start": "white"},
        {"start": torch.zeros(2, *SHAPE)},
        {"start": torch.zeros(1, 1, 6, 6)},
        {"classes": []},
    ],
)
def test_bad_arguments_are_refused(subject: Subject, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"should be|are none"):
        unnatural(subject, **wrong)


def test_classes_that_are_not_there_are_refused(subject: Subject) -> None:
    for one in (subject, Subject(subject.model, SHAPE)):
        with pytest.raises(NotFoundError, match="no class 3"):
            unnatural(one, 3)
    with pytest.raises(DataError, match="NaN"):
        unnatural(subject, 0, start=torch.full((1, *SHAPE), torch.nan))


def test_no_trace_is_left_also_after_an_error(subject: Subject) -> None:
    model, state = subject.model.train(), torch.get_rng_state()
    unnatural(subject, 0, start="noise", steps=2)
    with pytest.raises(NotFoundError):
        unnatural(subject, 9)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in model.modules())
    assert all(one.requires_grad and one.grad is None for one in model.parameters())
