"""A first layer that whitens, against patches cut out one by one."""

from __future__ import annotations

import pytest
import torch

from cutaway.config import Experiment, InitKind, load_experiment
from cutaway.errors import ConfigError
from cutaway.nets import parse_net, plan
from cutaway.nets.whitening import CHUNK, LEAST, patch_moment, whitening_kernels
from cutaway.training import prepare

NET = "conv 12 3x2 stride 2 nobias | relu | conv 4 3x3 | flatten | dense 10"
PLAN = plan(parse_net(NET), (1, 12, 10))
INPUTS = torch.randn(300, 1, 12, 10, generator=torch.Generator().manual_seed(1)).cumsum(2).cumsum(3)


def test_the_moment_is_that_of_patches_cut_out_one_by_one() -> None:
    patches = [
        image[:, top : top + 3, left : left + 2].flatten()
        for image in INPUTS.double()
        for top in range(12 - 3 + 1)
        for left in range(10 - 2 + 1)
    ]
    expected = torch.stack([torch.outer(patch, patch) for patch in patches]).mean(0)
    assert torch.allclose(patch_moment(PLAN, "conv1", INPUTS / 3, lambda images: 3 * images), expected)


def test_answers_are_uncorrelated_of_size_one_and_come_with_their_negatives() -> None:
    moment = patch_moment(PLAN, "conv1", INPUTS, torch.clone)
    kernels = whitening_kernels(moment, 12).double()
    assert torch.equal(kernels[6:], -kernels[:6])
    answers = kernels[:6] @ moment @ kernels[:6].T
    variances = torch.linalg.eigvalsh(moment).flip(0)
    assert torch.allclose(answers, torch.diag(variances / (variances + LEAST)), atol=1e-5)


def test_few_filters_are_those_along_which_patches_vary_most() -> None:
    moment = torch.diag(torch.tensor([1.0, 9.0, 4.0], dtype=torch.float64))
    found = whitening_kernels(moment, 3)
    assert found.tolist() == [
        pytest.approx([0, 1 / 3, 0], abs=1e-4),
        pytest.approx([0, 0, 1 / 2], abs=1e-4),
        pytest.approx([0, -1 / 3, 0], abs=1e-4),
    ]


def test_more_filters_than_directions_are_refused() -> None:
    with pytest.raises(ConfigError, match="at most 6 filters of patches with 3 values, not 7"):
        whitening_kernels(torch.eye(3, dtype=torch.float64), 7)


def test_patches_take_no_more_memory_for_large_images() -> None:
    """However large images are, few enough go through at once; one at least."""
    planned = plan(parse_net("conv 4 9x9 | flatten | dense 2"), (3, 160, 160))
    seen: list[int] = []

    def inputs(images: torch.Tensor) -> torch.Tensor:
        seen.append(len(images))
        return images

    patch_moment(planned, "conv1", torch.zeros(4, 3, 160, 160), inputs)
    assert sum(seen) == 4
    assert max(seen) * 4 * (3 * 9 * 9) * (160 * 160) <= max(CHUNK, 4 * (3 * 9 * 9) * (160 * 160))


@pytest.mark.parametrize("name", ["conv2", "dense1"])
def test_another_layer_than_the_first_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"sees the images; {name} does not"):
        patch_moment(PLAN, name, INPUTS, torch.clone)


def test_an_experiment_s_first_layer_whitens_its_own_images() -> None:
    values = {
        "net": "conv 8 2x2 nobias | relu | conv 4 3x3 stride 3 | relu | flatten | dense 10",
        "data": {"train_images": 60, "validation": 10, "test": 10},
        "init": {"conv1": "whiten", "conv2": "he"},
    }
    task = prepare(load_experiment(Experiment(), values))
    assert task.experiment.init["conv1"] is InitKind.WHITEN
    train = task.images.split("train")
    inputs = task.preprocess(train.batch(torch.arange(len(train))))
    patches = torch.stack(
        [
            image[:, top : top + 2, left : left + 2].flatten()
            for image in inputs
            for top in range(27)
            for left in range(27)
        ]
    ).double()
    kernels = task.build().get_parameter("conv1.weight").detach().flatten(1).double()
    answers = patches @ kernels[:4].T
    found = answers.T @ answers / len(answers)
    assert torch.allclose(found, torch.eye(4, dtype=torch.float64), atol=0.05)
