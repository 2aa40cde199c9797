"""The survey: every image once, in order, for all looks at once; what is wrong is named."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cutaway import Subject
from cutaway.data import Split
from cutaway.errors import ConfigError, DataError, NotFoundError
from cutaway.look.responses import Responses
from cutaway.look.survey import Survey, Surveyed, survey
from cutaway.progress import Progress, listening


class Net(nn.Module):
    """Dropout, batch norm and a layer that gives no row for each image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)
        self.norm = nn.BatchNorm2d(3)
        self.act = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)
        self.total = nn.Identity()
        self.dense = nn.Linear(48, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(self.act(self.norm(self.conv(x))))
        self.total(x.sum())
        return self.dense(x.flatten(1))  # type: ignore[no-any-return]


def make_subject(batch: int | None = None) -> Subject:
    torch.manual_seed(0)
    return Subject(Net().train(), (1, 6, 6), ("a", "b"), name="net", batch=batch)


def make_split(count: int) -> Split:
    generator = torch.Generator().manual_seed(1)
    store = torch.randint(256, (count + 3, 1, 6, 6), generator=generator).to(torch.uint8)
    index = torch.randperm(count + 3, generator=generator)[:count]
    return Split(store, torch.arange(count) % 3, index)


@dataclass
class Seen:
    """Everything that came by."""

    chunks: list[Responses] = field(default_factory=list)

    def see(self, found: Responses) -> None:
        self.chunks.append(found)

    def merge(self, other: Seen) -> None:
        self.chunks += other.chunks


class Watch:
    """A look that keeps all."""

    def begin(self, surveyed: Surveyed) -> Seen:
        return Seen()

    def finish(self, surveyed: Surveyed, kept: Seen) -> tuple[Surveyed, list[Responses]]:
        return surveyed, kept.chunks


def watched(subject: Subject, split: Split, **options: Any) -> tuple[Surveyed, list[Responses]]:
    found: tuple[Surveyed, list[Responses]] = survey(subject, split, [Watch()], **options)[0]
    return found


@pytest.mark.parametrize(("chunk", "batch"), [(None, None), (1, None), (4, None), (None, 4)])
def test_every_image_is_seen_once_in_order_in_evaluation_mode(chunk: int | None, batch: int | None) -> None:
    subject, split = make_subject(batch), make_split(10)
    told: list[Progress] = []
    with listening(told.append):
        surveyed, chunks = watched(subject, split, layers=["conv", "drop", "dense"], chunk=chunk)
    model = subject.model
    assert model.training
    assert all(module.training for module in model.modules())
    assert (told[-1].done, told[-1].total) == (10, 10)
    assert [len(found.numbers) for found in chunks] == {None: [10], 1: [1] * 10, 4: [4, 4, 2]}[chunk or batch]
    assert torch.cat([found.numbers for found in chunks]).tolist() == list(range(10))
    assert torch.equal(torch.cat([found.labels for found in chunks]), split.labels)
    model.eval()
    inputs = split.pixels / 255
    assert isinstance(model, Net)
    with torch.no_grad():
        rectified = model.norm(model.conv(inputs)).relu()
        wanted = {"conv": model.conv(inputs), "drop": rectified, "dense": model.dense(rectified.flatten(1))}
    for name, values in wanted.items():
        found = torch.cat([part.values[name] for part in chunks])
        torch.testing.assert_close(found, values.reshape(found.shape), rtol=1e-5, atol=1e-6)
    assert list(surveyed.sizes) == list(wanted)
    assert surveyed.units == 3 + 3 + 2
    assert surveyed.columns == {"conv": slice(0, 3), "drop": slice(3, 6), "dense": slice(6, 8)}
    assert surveyed.classes == ("a", "b", "2")  # the third has no name


@pytest.mark.parametrize("chunk", [3, 100])
def test_the_sample_is_drawn_once_for_all(chunk: int) -> None:
    split = make_split(50)
    surveyed, chunks = watched(make_subject(), split, layers=["conv"], sample=20, chunk=chunk)
    assert len(set(surveyed.sample.tolist())) == 20
    assert surveyed.sample.tolist() == sorted(surveyed.sample.tolist())
    assert torch.equal(torch.cat([found.numbers[found.sampled] for found in chunks]), surveyed.sample)
    again, _ = watched(make_subject(), split, layers=["dense"], sample=20)
    assert torch.equal(surveyed.sample, again.sample)
    everything, _ = watched(make_subject(), split, layers=["dense"])
    assert everything.sample.tolist() == list(range(50))


def test_parts_begin_where_they_are_told_to() -> None:
    subject, split = make_subject(), make_split(10)
    surveyed, chunks = watched(subject, split, layers=["conv"], sample=5)
    half = split.take(torch.arange(4, 10))
    kept = Survey(surveyed, [Watch()], 4).run(range(4, 10), half)[0]
    assert isinstance(kept, Seen)
    assert torch.cat([found.numbers for found in kept.chunks]).tolist() == list(range(4, 10))
    torch.testing.assert_close(
        torch.cat([found.values["conv"] for found in kept.chunks]), chunks[0].values["conv"][4:]
    )
    sampled = torch.cat([found.numbers[found.sampled] for found in kept.chunks])
    assert sampled.tolist() == [number for number in surveyed.sample.tolist() if number >= 4]


def test_as_many_images_run_at_once_as_their_maps_have_room(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("cutaway.look.survey")  # the function has its name
    monkeypatch.setattr(module, "_MAPS", 3 * 4 * (48 + 2))
    _, chunks = watched(make_subject(), make_split(10), layers=["conv", "dense"])
    assert [len(found.numbers) for found in chunks] == [3, 3, 3, 1]
    monkeypatch.setattr(module, "_MAPS", 1)
    _, chunks = watched(make_subject(), make_split(3), layers=["conv", "dense"])
    assert [len(found.numbers) for found in chunks] == [1, 1, 1]


def test_all_layers_that_change_a_value_are_seen_when_nobody_says() -> None:
    surveyed, _ = watched(make_subject(), make_split(2), layers=None)
    assert list(surveyed.sizes) == ["conv", "norm", "act", "dense"]


def poisoned(parameter: str) -> Subject:
    subject = make_subject()
    with torch.no_grad():
        subject.model.get_parameter(parameter).view(-1)[0] = torch.nan
    return subject


class Maxima(Watch):
    """Reads a summary, so that values are checked."""

    def begin(self, surveyed: Surveyed) -> Seen:
        return Reading()


class Reading(Seen):
    def see(self, found: Responses) -> None:
        _ = found.maxima


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        (lambda: watched(make_subject(), make_split(0)), DataError, "There are no images"),
        (
            lambda: watched(make_subject(), make_split(2), layers=["cnov"]),
            NotFoundError,
            'Did you mean "conv"',
        ),
        (lambda: watched(make_subject(), make_split(2), layers=[]), ConfigError, "net has no layers"),
        (
            lambda: watched(make_subject(), make_split(2), layers=["total"]),
            ConfigError,
            "total gives a single number for 1 image;",
        ),
        (lambda: watched(make_subject(), make_split(2), sample=0), ConfigError, "1 or more, not 0 and None"),
        (lambda: watched(make_subject(), make_split(2), chunk=0), ConfigError, "1 or more, not 500 and 0"),
        (
            lambda: survey(poisoned("conv.weight"), make_split(2), [Maxima()]),
            DataError,
            "net: conv.weight has 1 value that is NaN",
        ),
    ],
)
def test_what_is_wrong_is_named(call: Callable[[], object], error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        call()


def test_images_of_another_shape_are_refused() -> None:
    split = Split(torch.zeros(2, 3, 6, 6, dtype=torch.uint8), torch.tensor([0, 1]), torch.arange(2))
    with pytest.raises(ConfigError, match="images should be N×1×6×6, not 1×3×6×6"):
        watched(make_subject(), split)
