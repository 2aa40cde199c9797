"""Multiply-adds against another counter, torchinfo, where both count the same things."""

from __future__ import annotations

import math

import pytest
from torch import nn
from torchinfo import summary

from cutaway.nets import ZOO, find_net, plan
from cutaway.nets.builder import build

# It is run on the net itself: large ones at a size that they still take, to keep the test small.
SIZES = {"googlenet": 64, "googlenet-batchnorm": 64, "resnet18": 64, "alexnet": 64, "vgg11": 32, "vgg16": 32}


@pytest.mark.parametrize("name", [name for name in ZOO if name not in {"vgg13", "vgg19"}])
def test_convs_and_dense_layers_cost_what_torchinfo_says(name: str) -> None:
    channels, height, width = ZOO[name].input_shape
    size = SIZES.get(name)
    planned = plan(find_net(name, 10), (channels, size or height, size or width))
    net = build(planned, 0)
    found = summary(net, input_size=(1, *planned.input_shape), verbose=0, depth=9)
    counted = {id(info.module): info for info in found.summary_list}
    rows = {row.name: row for row in planned.leaves()}
    compared = 0
    for layer, module in net.named_modules():
        if not isinstance(module, (nn.Conv2d, nn.Linear)):
            continue
        # torchinfo counts a bias as one more multiply-add for each output value.
        places = math.prod(rows[layer].output_shape[1:])
        biases = 0 if module.bias is None else len(module.bias) * places
        assert counted[id(module)].macs - biases == rows[layer].multiply_adds
        compared += 1
    others = [row for row in planned.leaves() if row.layer.word.stem not in {"conv", "dense"}]
    assert compared + len(others) == len(rows)
    assert sum(row.multiply_adds for row in others) == 0
