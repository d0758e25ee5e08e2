"""A lack of memory names its mend; other errors pass."""

import pytest
import torch

from strop.common.errors import InputError
from strop.train.out_of_memory import explained_out_of_memory
from strop.train.settings import TrainSettings


def test_torchs_own_complaint_on_a_cpu_is_understood():
    with pytest.raises(InputError) as raised, explained_out_of_memory(TrainSettings(), 700, lora=False):
        torch.empty(1 << 60, dtype=torch.uint8)
    message = str(raised.value)
    assert "1.15e+09 GB more were asked for" in message
    assert "train.micro_batch_tokens from 2048 to 1024, or train.gradient_checkpointing to true, or lora.r" in message


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has"), "2.68 GB more"),
        (MemoryError(), "out of memory; set"),
    ],
)
def test_other_allocators_too(error, said):
    with pytest.raises(InputError, match=said), explained_out_of_memory(TrainSettings(), 700, lora=True):
        raise error


def test_a_row_never_shrinks_below_the_longest_example():
    settings = TrainSettings(micro_batch_tokens=2048, gradient_checkpointing=True)
    with pytest.raises(InputError, match="from 2048 to 1500") as raised, explained_out_of_memory(settings, 1500, True):
        raise MemoryError
    assert "gradient_checkpointing" not in str(raised.value)
    with pytest.raises(InputError, match="max_length below 2048"), explained_out_of_memory(settings, 2048, True):
        raise MemoryError


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="shapes"), explained_out_of_memory(TrainSettings(), 1, lora=False):
        raise RuntimeError("shapes do not match")
