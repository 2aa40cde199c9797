"""A cluster of two processes gives what one process gives."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from distributed import KilledWorker, LocalCluster
from torch import nn

from cutaway import Subject
from cutaway.data import Split
from cutaway.errors import DataError, LostProcessError, NotFoundError
from cutaway.look import FindExemplars, MeasureActivity, activity, exemplars, survey
from cutaway.look.exemplars import BANDS
from cutaway.look.survey import StreamingLook
from cutaway.progress import Progress, listening

COUNT = 41


def make_subject() -> Subject:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 3))
    return Subject(model.train(), (1, 8, 8), ("a", "b", "c"), name="net")


def make_split() -> Split:
    generator = torch.Generator().manual_seed(1)
    store = torch.randint(256, (COUNT + 9, 1, 8, 8), generator=generator).to(torch.uint8)
    index = torch.randperm(COUNT + 9, generator=generator)[:COUNT]
    return Split(store, torch.arange(COUNT) % 3, index)


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """Two processes of one thread, the dashboard at any free port."""
    options = {"dashboard_address": "127.0.0.1:0", "silence_logs": logging.CRITICAL}
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, **options) as cluster:
        yield cluster.scheduler_address


def test_two_processes_give_what_one_gives(scheduler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With chunks of 3 images and 2 chunks in a part there are seven parts."""
    monkeypatch.setattr("cutaway.look.cluster._CHUNKS", 2)
    subject, split = make_subject(), make_split()
    looks: list[StreamingLook[Any]] = [FindExemplars(4), MeasureActivity()]
    told: list[Progress] = []
    with listening(told.append):
        found = survey(subject, split, looks, sample=15, chunk=3, scheduler=scheduler)
    wanted = survey(subject, split, looks, sample=15, chunk=3)
    assert (told[-1].done, told[-1].total) == (COUNT, COUNT)
    assert subject.model.training
    assert all(not module._forward_hooks for module in subject.model.modules())
    for layer in ("0", "1", "4"):
        for band in BANDS:
            one, other = (result.layers[layer].band(band) for result in (found[0], wanted[0]))
            assert torch.equal(one.images, other.images), (layer, band)
            assert torch.equal(one.places, other.places)
            assert torch.equal(one.boxes, other.boxes)
            torch.testing.assert_close(one.values, other.values)
        one, other = (result.layers[layer] for result in (found[1], wanted[1]))
        assert torch.equal(one.fires, other.fires)
        assert torch.equal(one.blank, other.blank)
        torch.testing.assert_close(one.class_means, other.class_means)
        torch.testing.assert_close(one.maximum, other.maximum)
        torch.testing.assert_close(one.minimum, other.minimum)
        torch.testing.assert_close(one.correlation, other.correlation)


def test_each_look_alone_takes_a_scheduler(scheduler: str) -> None:
    subject, split = make_subject(), make_split()
    found = exemplars(subject, split, ["0"], count=2, scheduler=scheduler)
    assert torch.equal(
        found.layers["0"].top.images, exemplars(subject, split, ["0"], count=2).layers["0"].top.images
    )
    measured = activity(subject, split, ["4"], scheduler=scheduler).layers["4"]
    torch.testing.assert_close(measured.mean, activity(subject, split, ["4"]).layers["4"].mean)


def test_an_error_on_a_worker_is_told_as_here(scheduler: str) -> None:
    subject = make_subject()
    with torch.no_grad():
        subject.model.get_parameter("0.weight")[1, 0, 2, 2] = torch.nan
    with pytest.raises(DataError, match=r"net: 0\.weight has 1 value that is NaN"):
        exemplars(subject, make_split(), scheduler=scheduler)


def test_only_the_images_of_a_part_travel_with_it() -> None:
    """The model travels without any image, and a part without those of others."""
    from cutaway.look.cluster import _images, _without_images
    from cutaway.look.survey import _planned

    split = make_split()
    planned = _planned(make_subject(), split, [MeasureActivity()], ["0"], 5, 4)
    bare = _without_images(planned).surveyed.split
    assert len(bare) == 0
    assert bare.store.untyped_storage().nbytes() == 0
    part = _images(split, range(10, 14))
    assert torch.equal(part.pixels, split.pixels[10:14])
    assert torch.equal(part.labels, split.labels[10:14])
    assert part.store.untyped_storage().nbytes() == 4 * 64


def test_a_scheduler_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cutaway.look.cluster._WAIT", 0.2)
    with pytest.raises(NotFoundError, match=r"no Dask scheduler at tcp://127\.0\.0\.1:1 "):
        exemplars(make_subject(), make_split(), ["0"], scheduler="tcp://127.0.0.1:1")
    with pytest.raises(NotFoundError, match="no Dask scheduler at nonsense://here "):
        exemplars(make_subject(), make_split(), ["0"], scheduler="nonsense://here")


def test_a_cluster_without_workers_is_told() -> None:
    options = {"dashboard_address": "127.0.0.1:0", "silence_logs": logging.CRITICAL}
    with (
        LocalCluster(n_workers=0, processes=False, **options) as cluster,
        pytest.raises(NotFoundError, match="has no workers"),
    ):
        exemplars(make_subject(), make_split(), ["0"], scheduler=cluster.scheduler_address)


def test_workers_that_end_again_and_again_are_told(scheduler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Worker:
        address = "tcp://10.0.0.7:33"

    def killed(*_: object) -> None:
        raise KilledWorker("part", Worker, 3)  # type: ignore[arg-type]

    monkeypatch.setattr("cutaway.look.cluster._gather", killed)
    with pytest.raises(LostProcessError, match=r"end while they survey: tcp://10\.0\.0\.7:33 was the last"):
        exemplars(make_subject(), make_split(), ["0"], scheduler=scheduler)
