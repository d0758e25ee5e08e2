"""The norm of many tensors, by the kernel and by torch, against float64."""

import math

import pytest
import torch

from strop.model.cpu.norm import norm

SIZES = [(1,), (15,), (16,), (63,), (64, 3), (7, 4681), (1 << 15,), ((1 << 15) + 1,), (3, 1 << 15)]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float16])
def test_it_is_that_of_float64(dtype):
    tensors = [torch.randn(size, generator=torch.Generator().manual_seed(i)).to(dtype) for i, size in enumerate(SIZES)]
    exact = math.sqrt(sum(float(x.double().square().sum()) for x in tensors))
    assert norm(tensors) == pytest.approx(exact, rel=1e-5)
    assert norm(tensors[:1]) == pytest.approx(abs(float(tensors[0])), rel=1e-6)


def test_each_number_counts_once():
    """One number in zeros, wherever it is."""
    for place in (0, 40, 63, 64, 32767, 32768, 40_000):
        tensor = torch.zeros(40_001)
        tensor[place] = 3.0
        assert norm([tensor, torch.tensor([4.0])]) == 5.0


def test_the_number_of_threads_does_not_change_it():
    tensor, threads = torch.randn(1_000_003), torch.get_num_threads()
    found = set()
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            found.add(norm([tensor]))
    finally:
        torch.set_num_threads(threads)
    assert len(found) == 1


def test_what_is_not_contiguous():
    tensor = torch.randn(40, 50).t()
    assert norm([tensor]) == pytest.approx(float(tensor.double().norm()), rel=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_is_seen(bad):
    tensor = torch.ones(100)
    tensor[77] = bad
    assert not math.isfinite(norm([torch.ones(5), tensor]))


def test_nothing_has_no_norm():
    assert norm([]) == 0.0
