"""Devices that are not there, or are none."""

import pytest
import torch

from strop.common.errors import InputError
from strop.model.precision import best_compute


@pytest.mark.parametrize("name", ["nonsense", "", "cuda:x", "cuda:-1", "CPU", " cpu"])
def test_what_is_no_device(name):
    with pytest.raises(InputError, match=r"compute\.device: .* is no device; choose one of auto, cpu"):
        best_compute(name)


@pytest.mark.parametrize("name", ["cuda:77", "mps:77", "xpu:77", "meta", "hip"])
def test_what_is_not_there(name):
    with pytest.raises(InputError, match=r"compute\.device: .*choose one of auto, cpu"):
        best_compute(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_no_gpu_at_all():
    with pytest.raises(InputError, match="'cuda': this machine has none of that kind"):
        best_compute("cuda")


def test_the_processor():
    assert best_compute("cpu:0", "float32").device == torch.device("cpu")
    with pytest.raises(InputError, match="there is one CPU"):
        best_compute("cpu:3")
