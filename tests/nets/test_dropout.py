"""Dropout from few random bits: the right share, the right scale, the right gradient."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cutaway.nets.dropout import Dropout, rows_of_batch

COARSE = [0.25, 0.5, 0.00390625, 0.99609375]
"""Multiples of 1/256, which are met exactly from bytes."""

FINE = [0.1, 0.3, 0.9, 0.999]
"""Others, which are met to 1/65 536 from two bytes."""

COUNT = 400_000


def _kept(p: float, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    kept: Tensor = Dropout(p)(torch.ones(COUNT)) != 0
    return kept


def _sigma(p: float) -> float:
    """The standard deviation of the share dropped."""
    return math.sqrt(p * (1 - p) / COUNT)


@pytest.mark.parametrize("p", COARSE + FINE)
def test_the_share_dropped_is_near_the_probability(p: float) -> None:
    dropped = 1 - float(_kept(p).double().mean())
    assert abs(dropped - p) < 4 * _sigma(p) + (2**-16 if p in FINE else 0)


@pytest.mark.parametrize("p", [0.99999, 0.999999, 1 - 2**-30])
def test_nearly_certain_dropping_keeps_nearly_nothing(p: float) -> None:
    """The probability is met to 1/65 536 here too: 6 of 400 000 are kept on average."""
    assert int(_kept(p).sum()) < 30


@pytest.mark.parametrize("p", [2**-20, 1e-9])
def test_nearly_no_dropping_keeps_nearly_all(p: float) -> None:
    assert int((~_kept(p)).sum()) < 30


@pytest.mark.parametrize("p", [0.25, 0.3])
def test_values_are_dropped_independently_of_their_neighbours(p: float) -> None:
    """Draws share 64-bit words: a value and the ones 1, 2, 4 and 8 further on must not be coupled."""
    dropped = ~_kept(p)
    for distance in (1, 2, 3, 4, 7, 8):
        both = float((dropped[distance:] & dropped[:-distance]).double().mean())
        assert abs(both - p * p) < 5 * _sigma(p * p) + 2**-15


@pytest.mark.parametrize("p", COARSE + FINE)
def test_kept_values_are_scaled_exactly_and_dropped_ones_are_zero(p: float) -> None:
    torch.manual_seed(0)
    values = torch.randn(5000)
    found = Dropout(p)(values)
    scaled = values * torch.tensor(1 / (1 - p))
    assert torch.equal(found, torch.where(found != 0, scaled, torch.zeros(())))


@pytest.mark.parametrize("p", [0.25, 0.3])
def test_the_gradient_goes_through_kept_values_alone(p: float) -> None:
    torch.manual_seed(0)
    values = torch.rand(5000).add_(1).requires_grad_()
    found = Dropout(p)(values)
    above = torch.randn(5000)
    (gradient,) = torch.autograd.grad(found, values, above)
    assert torch.equal(gradient != 0, found != 0)
    torch.testing.assert_close(gradient, above * (found / values).detach())


@pytest.mark.parametrize("p", [0.25, 0.3])
def test_in_evaluation_mode_nothing_happens_and_nothing_is_drawn(p: float) -> None:
    values = torch.randn(3, 4, 5, 6)
    before = torch.random.get_rng_state()
    assert torch.equal(Dropout(p).eval()(values), values)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_probability_of_zero_drops_nothing() -> None:
    values = torch.randn(1000)
    assert torch.equal(Dropout(0.0)(values), values)


@pytest.mark.parametrize("p", [0.25, 0.3])
def test_masks_come_from_the_seed_and_differ_from_call_to_call(p: float) -> None:
    assert torch.equal(_kept(p, 1), _kept(p, 1))
    assert not torch.equal(_kept(p, 1), _kept(p, 2))
    torch.manual_seed(1)
    module, values = Dropout(p), torch.ones(1000)
    assert not torch.equal(module(values), module(values))


LAYOUTS = {
    "rows": torch.ones(64, 50, 6, 7),
    "channels last": torch.ones(64, 50, 6, 7).contiguous(memory_format=torch.channels_last),
    "one channel, channels last": torch.ones(640, 6, 37, 1).permute(0, 3, 1, 2),
    "transposed": torch.ones(300, 400).t(),
    "every second": torch.ones(300, 800)[:, ::2],
    "part of a larger one": torch.ones(80, 80, 40)[3:, 5:, 7:],
    "one value many times": torch.ones(1, 1).expand(300, 400),
    "three axes": torch.ones(30, 40, 50).permute(2, 0, 1),
}


@pytest.mark.parametrize("p", [0.25, 0.3])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_in_memory(layout: str, p: float) -> None:
    values = LAYOUTS[layout].requires_grad_()
    torch.manual_seed(0)
    found = Dropout(p)(values)
    assert found.shape == values.shape
    assert set(found.detach().flatten().tolist()) == {0.0, float(torch.tensor(1 / (1 - p)))}
    share = float((found == 0).double().mean())
    assert abs(share - p) < 4 * math.sqrt(p * (1 - p) / found.numel()) + 2**-16
    # Neither rows nor columns are dropped as a whole.
    folded = (found.detach() == 0).double().flatten(1)
    assert 0 < float(folded.mean(0).max()) < 1
    assert 0 < float(folded.mean(1).max()) < 1


def test_channels_last_stays_channels_last() -> None:
    torch.manual_seed(0)
    found = Dropout(0.25)(LAYOUTS["channels last"].detach())
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert not found.is_contiguous()


@pytest.mark.parametrize("shape", [(0, 3), (1,), (7,), (3, 1, 1, 1)])
def test_small_and_empty_inputs(shape: tuple[int, ...]) -> None:
    assert Dropout(0.3)(torch.ones(shape)).shape == shape


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
def test_the_type_of_the_values_is_kept(kind: torch.dtype) -> None:
    assert Dropout(0.3)(torch.ones(100, dtype=kind)).dtype == kind


# Micro-batches. -----------------------------------------------------------------------------------

SHAPES = [(7,), (5, 3, 2), (5, 1, 1), (1, 3, 4), (1, 1, 1)]


@given(
    st.integers(1, 12),
    st.sampled_from(SHAPES),
    st.sampled_from([0.25, 0.3]),
    st.booleans(),
    st.sets(st.integers(1, 11)),
)
@settings(max_examples=80, deadline=None)
def test_parts_of_a_batch_are_dropped_from_as_the_whole(
    images: int, shape: tuple[int, ...], p: float, last: bool, cuts: set[int]
) -> None:
    """Through two dropouts one after another, so that each part's second mask is its own too."""
    values = torch.randn(images, *shape)
    if last and len(shape) == 3:
        values = values.contiguous(memory_format=torch.channels_last)
    net = nn.Sequential(Dropout(p), nn.Tanh(), Dropout(0.5))
    torch.manual_seed(3)
    whole = net(values)
    stream = torch.get_rng_state()
    torch.manual_seed(3)
    bounds = [0, *sorted(cut for cut in cuts if cut < images), images]
    parts = []
    for begin, end in itertools.pairwise(bounds):
        with rows_of_batch(slice(begin, end), images):
            parts.append(net(values[begin:end]))
    assert torch.equal(torch.cat(parts), whole)
    assert torch.equal(torch.get_rng_state(), stream)


def test_behind_a_part_masks_are_of_the_whole_input_again() -> None:
    values = torch.ones(6, 50)
    torch.manual_seed(1)
    wanted = Dropout(0.5)(values)
    with pytest.raises(RuntimeError), rows_of_batch(slice(2, 4), 6):
        raise RuntimeError
    torch.manual_seed(1)
    assert torch.equal(Dropout(0.5)(values), wanted)


def test_the_stream_begins_each_part_where_it_began_the_first() -> None:
    """Also after an error in it; behind the last part it has gone on."""
    torch.manual_seed(1)
    begun = torch.get_rng_state()
    with pytest.raises(RuntimeError), rows_of_batch(slice(0, 3), 6):
        Dropout(0.5)(torch.ones(3, 8))
        raise RuntimeError
    assert torch.equal(torch.get_rng_state(), begun)
    with rows_of_batch(slice(3, 6), 6):
        Dropout(0.5)(torch.ones(3, 8))
    assert not torch.equal(torch.get_rng_state(), begun)


def test_parts_do_not_share_a_mask() -> None:
    torch.manual_seed(1)
    with rows_of_batch(slice(0, 3), 6):
        first = Dropout(0.5)(torch.ones(3, 100))
    with rows_of_batch(slice(3, 6), 6):
        assert not torch.equal(Dropout(0.5)(torch.ones(3, 100)), first)
