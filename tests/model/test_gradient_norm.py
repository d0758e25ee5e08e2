"""The norm of many tensors, by the kernel and by torch, against float64."""

import math

import pytest
import torch

from strop.model.accelerate import available, norm

SIZES = [(1,), (15,), (16,), (63,), (64, 3), (7, 4681), (1 << 15,), ((1 << 15) + 1,), (3, 1 << 15)]


needs_kernels = pytest.mark.skipif(not available(), reason="no kernels on this machine")


def error(tensors) -> float:
    exact = math.sqrt(sum(float(x.double().square().sum()) for x in tensors))
    return abs(norm(tensors) / exact - 1)


def some(dtype):
    return [torch.randn(size, generator=torch.Generator().manual_seed(i)).to(dtype) for i, size in enumerate(SIZES)]


@needs_kernels
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_kernel_against_float64(dtype):
    assert error(some(dtype)) < 1e-12
    assert error(some(dtype)[:1]) < 1e-12
    assert error([torch.randn(1 << 24, generator=torch.Generator().manual_seed(0)).to(dtype)]) < 1e-12


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float16])
def test_any_format_and_machine_against_float64(dtype):
    """float16 is torch's to sum, everything where there are no kernels."""
    assert error(some(dtype)) < 1e-12


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_shared_among_ranks_it_is_the_same(dtype):
    """In float32 the last bits would differ, with them the clipped update of every weight, and its rounding."""
    whole = [torch.randn(40_000, 5, generator=torch.Generator().manual_seed(i)).to(dtype) for i in range(3)]
    parts = [norm([x[rank * 10_000 : (rank + 1) * 10_000] for x in whole]) for rank in range(4)]
    assert norm(whole) == pytest.approx(math.hypot(*parts), rel=1e-13)


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
    assert norm([tensor]) == pytest.approx(float(tensor.double().norm()), rel=1e-12)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_is_seen(bad):
    tensor = torch.ones(100)
    tensor[77] = bad
    assert not math.isfinite(norm([torch.ones(5), tensor]))


def test_nothing_has_no_norm():
    assert norm([]) == norm([torch.empty(0, 4)]) == 0.0
