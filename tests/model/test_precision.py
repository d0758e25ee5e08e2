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


def test_a_gpu_with_a_number_becomes_the_current_one(monkeypatch):
    """Peak memory, synchronisation and random numbers are asked of that."""
    current = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    for name in ("cuda:1", "cuda"):
        assert best_compute(name, "float32").device == torch.device(name)
    assert current == [torch.device("cuda:1")]


def test_a_torch_that_is_built_for_gpus_on_a_machine_without_one(monkeypatch):
    """As ``pip install torch`` gives it on Linux: asked for the accelerator, it names what it was built for."""
    monkeypatch.setattr(torch._C, "_accelerator_getAccelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 0)
    assert best_compute().device == torch.device("cpu")
    with pytest.raises(InputError, match=r"choose one of auto, cpu\.$"):
        best_compute("nonsense")


def test_the_processor():
    assert best_compute("cpu:0", "float32").device == torch.device("cpu")
    with pytest.raises(InputError, match="there is one CPU"):
        best_compute("cpu:3")
