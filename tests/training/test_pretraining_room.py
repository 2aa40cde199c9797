"""The memory of pre-training: enough is asked for, and a batch is cut where there is less."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from cutaway.config import PretrainConfig, PretrainMode
from cutaway.data import Preprocess
from cutaway.errors import ConfigError
from cutaway.nets import Plan, Shape, parse_net, plan
from cutaway.nets.autoencoder import Autoencoder
from cutaway.nets.builder import build
from cutaway.nets.depths import find_depths
from cutaway.nets.layout import channels_last
from cutaway.training.pretraining_room import fit_pretraining, pretraining_memory
from cutaway.training.stage import Stage

BATCH = 64

NETS: dict[str, tuple[str, Shape]] = {
    "lenet": (
        "conv 20 5x5 | maxpool 2 | tanh | conv 50 5x5 | maxpool 2 | tanh | flatten | dense 50 | dense 10",
        (1, 28, 28),
    ),
    "relu": (
        "conv 16 3x3 same | relu | maxpool 2 | conv 32 3x3 same | relu | maxpool 2 | flatten | dense 10",
        (3, 32, 32),
    ),
    "norms": (
        "conv 16 3x3 nobias | batchnorm | relu | avgpool 2 | conv 16 3x3 | batchnorm | gelu | flatten | "
        "dense 32 | batchnorm | relu | dense 10",
        (1, 24, 24),
    ),
    "overlapping": (
        "conv 8 5x5 same | relu | maxpool 3 stride 2 ceil | lrn 9 | conv 8 4x4 same | relu | lrn | "
        "maxpool 3 stride 2 | globalpool | flatten | dense 10",
        (3, 24, 24),
    ),
    "strides": (
        "conv 32 11x11 stride 4 | relu | maxpool 3 stride 2 | conv 32 5x5 same | flatten | dense 10",
        (3, 64, 64),
    ),
    "dense": ("flatten | dense 300 | relu | dense 300 | relu | dense 10", (1, 28, 28)),
}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def planned(name: str) -> Plan:
    text, shape = NETS[name]
    return plan(parse_net(text), shape)


def config(**fields: Any) -> PretrainConfig:
    return PretrainConfig.model_validate({"layers": "*", "batch": BATCH, "noise": 0.1, **fields})


def peak(work: Callable[[], object], folder: Path) -> int:
    """The most bytes that PyTorch's allocator held at once in addition to those before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    profiler.export_chrome_trace(str(folder / "trace.json"))
    events = json.loads((folder / "trace.json").read_text(encoding="utf-8"))["traceEvents"]
    told = [event["args"] for event in events if event["name"] == "[memory]"]
    before: int = told[0]["Total Allocated"] - told[0]["Bytes"]
    return max(int(event["Total Allocated"]) for event in told) - before


@pytest.mark.parametrize("mode", list(PretrainMode))
@pytest.mark.parametrize("name", NETS)
def test_no_step_takes_more_than_was_predicted(name: str, mode: PretrainMode, tmp_path: Path) -> None:
    net = build(planned(name), 0)
    channels_last(net)
    section, depths = config(mode=mode), find_depths(net.plan, ["*"])
    autoencoder = Autoencoder(net, depths, 0)
    shape = net.plan.input_shape
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (BATCH, *shape), dtype=torch.uint8, generator=generator)
    preprocess = Preprocess((0.0,) * shape[0], (255.0,) * shape[0])
    last = len(depths) - 1
    stages = [(0, last)] if mode is PretrainMode.STACKED else [(at, at) for at in range(len(depths))]
    fixed, image = pretraining_memory(section, depths, net.plan)
    most = 0
    for first, end in stages:
        stage = Stage(autoencoder, first, end, section)
        stage.prepare()
        stage.descend(pixels, preprocess, 0)  # code and Adam's means are in memory
        stage.step()

        def step(stage: Stage = stage) -> None:
            errors = stage.descend(pixels, preprocess, 1)
            assert stage.is_finite(errors)
            stage.step()

        most = max(most, peak(step, tmp_path))
    # Beside what comes and goes, weights, gradients and Adam's means of nets and mirrors.
    learning = [p for module in (net, autoencoder.mirrors) for p in module.parameters()]
    assert 4 * sum(p.numel() for p in learning) <= fixed
    assert most <= BATCH * image + fixed
    assert BATCH * image <= 5 * most or name == "dense"  # vectors are small beside weights


def test_a_batch_that_fits_goes_whole_and_another_in_parts() -> None:
    net = planned("lenet")
    section = config()
    fixed, image = pretraining_memory(section, find_depths(net, ["*"]), net)
    assert fit_pretraining(section, net, fixed + BATCH * image).microbatch == 0
    assert fit_pretraining(section, net, fixed + BATCH * image - 1).microbatch == 32
    assert fit_pretraining(section, net, fixed + 20 * image).microbatch == 16
    assert fit_pretraining(section, net, fixed + image).microbatch == 1
    # What is written down stays, however much memory there is later.
    cut = fit_pretraining(section, net, fixed + 20 * image)
    for limit in (0, fixed + 2 * image, 1 << 40):
        assert fit_pretraining(cut, net, limit) == cut
    assert fit_pretraining(config(microbatch=7), net, 1 << 40).microbatch == 7
    assert fit_pretraining(config(microbatch=500), net, 1 << 40).microbatch == 500


def test_deeper_autoencoders_take_more() -> None:
    net = planned("relu")
    takes = [
        pretraining_memory(config(), find_depths(net, names), net) for names in (["conv1"], ["conv2"], ["*"])
    ]
    assert takes == sorted(takes)
    together = pretraining_memory(config(mode="stacked"), find_depths(net, ["*"]), net)
    assert together[1] > takes[-1][1]


def test_not_even_one_image() -> None:
    net = planned("lenet")
    fixed, image = pretraining_memory(config(), find_depths(net, ["*"]), net)
    for limit in (fixed + image - 1, -5):
        with pytest.raises(
            ConfigError, match=r"One image needs .* in pre-training, but .* are left"
        ) as caught:
            fit_pretraining(config(), net, limit)
        assert "\n" not in str(caught.value)


def test_batch_norm_is_not_cut() -> None:
    net = planned("norms")
    section = config()
    fixed, image = pretraining_memory(section, find_depths(net, ["*"]), net)
    with pytest.raises(ConfigError, match="batchnorm1 takes its mean") as caught:
        fit_pretraining(section, net, fixed + 20 * image)
    assert "Try --pretrain.batch 16 or more --memory." in str(caught.value)
    assert fit_pretraining(config(batch=16), net, fixed + 20 * image).microbatch == 0
    # Where it does not learn it takes no means.
    assert fit_pretraining(config(layers="dense1"), planned("norms"), 1 << 40).microbatch == 0


def test_without_layers_no_memory_is_asked_for() -> None:
    assert fit_pretraining(config(layers=()), planned("lenet"), 0) == config(layers=())
