"""What comes back of images: errors against a sum over every value, and which images are kept."""

from __future__ import annotations

import pytest
import torch

from cutaway.data import Preprocess, Split
from cutaway.data.images import make_split
from cutaway.nets import parse_net, plan
from cutaway.nets.autoencoder import Autoencoder
from cutaway.nets.builder import build
from cutaway.nets.depths import find_depths
from cutaway.training import reconstruction
from cutaway.training.reconstruction import judging_split, reconstructed, reconstruction_errors

PREPROCESS = Preprocess((120.0, 90.0), (60.0, 50.0))


def images(count: int) -> Split:
    pixels = torch.randint(
        0, 256, (count, 2, 9, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(count)
    )
    return make_split(pixels, torch.zeros(count, dtype=torch.int64), 1, "test")


def made() -> Autoencoder:
    net = build(
        plan(parse_net("conv 3 3x3 | relu | maxpool 2 | conv 4 2x2 | flatten | dense 3"), (2, 9, 8)), 0
    ).eval()
    return Autoencoder(net, find_depths(net.plan, ["*"]), 0)


@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_errors_are_means_over_all_values(chunk: int) -> None:
    autoencoder, split = made(), images(11)
    found = {
        origin: reconstruction_errors(autoencoder, PREPROCESS, split, (origin, 1), origin=origin, chunk=chunk)
        for origin in (0, 1)
    }
    inputs = PREPROCESS(split.pixels)
    with torch.no_grad():
        codes = autoencoder.encode(inputs, 0, 1)
        through = [autoencoder.decode(codes[:end], 0) for end in (1, 2)]
        own = autoencoder.decode(codes[1:], 1)
    expected = [float((one - inputs).double().square().mean()) for one in through]
    assert found[0] == pytest.approx(expected, rel=1e-5)
    assert found[1] == pytest.approx([float((own - codes[0].value).double().square().mean())], rel=1e-5)


def test_stopped_there_is_no_result() -> None:
    asked = iter([False, True])
    arguments = (made(), PREPROCESS, images(11), (0, 1))
    assert reconstruction_errors(*arguments, origin=0, chunk=4, stop=lambda: next(asked)) is None


def test_the_images_that_are_kept_are_taken_evenly() -> None:
    split = images(11)
    originals, found = reconstructed(made(), PREPROCESS, split, 0, 3)
    assert torch.equal(originals, split.pixels[[0, 5, 10]])
    assert found.shape == originals.shape
    assert found.dtype == torch.uint8
    for count, kept in ((0, 0), (1, 1), (11, 11), (50, 11)):
        originals, found = reconstructed(made(), PREPROCESS, split, 1, count)
        assert len(originals) == len(found) == kept


def test_without_validation_a_sample_of_the_training_images_judges(monkeypatch: pytest.MonkeyPatch) -> None:
    train, held = images(20), images(5)
    assert judging_split({"train": train, "validation": held}) == ("validation", held)
    name, split = judging_split({"train": train})
    assert (name, len(split)) == ("train", 20)
    monkeypatch.setattr(reconstruction, "SAMPLE", 4)
    _, split = judging_split({"train": train})
    assert split.index.tolist() == [0, 6, 12, 19]
