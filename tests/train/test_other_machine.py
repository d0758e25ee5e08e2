"""What a run on a GPU leaves is gone on with on another machine: with fewer GPUs, or with none."""

import pytest
import torch

from strop.chat import Example
from strop.data.source import PackedSource
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.objectives.sft import CrossEntropy
from strop.train.loop import train
from strop.train.random_state import random_state, set_random_state
from strop.train.settings import TrainSettings
from strop.train.weights import Weights

FLOAT32 = Compute(torch.device("cpu"), torch.float32)


def run(model, folder, max_steps, **settings):
    rows = [Example(list(range(3, 12 + i)), [0.0, *[1.0] * (8 + i)], "", (), ()) for i in range(4)]
    source = PackedSource(rows, global_batch_size=1, micro_batch_tokens=40)
    settings = TrainSettings(max_steps=max_steps, **settings)
    train(Weights(Policy(model, FLOAT32), settings), source, CrossEntropy("token_mean"), settings, folder)
    return model.state_dict()


@pytest.mark.skipif(torch.cuda.is_available(), reason="what is said of a GPU would be found here")
@pytest.mark.parametrize("optimizer", ["adamw", "adamw_8bit", "muon"])
def test_a_checkpoint_of_tensors_on_a_gpu_is_read_without_one(optimizer, make_model, tmp_path, monkeypatch):
    how = {"optimizer": optimizer, "ema_decay": 0.9, "checkpoint_in_background": False, "schedule": "constant"}
    with monkeypatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:1")
        run(make_model(), tmp_path / "moved", 2, checkpoint_every=2, **how)
    moved = run(make_model(), tmp_path / "moved", 4, **how)
    stayed = run(make_model(), tmp_path / "stayed", 4, **how)
    assert all(torch.equal(moved[name], value) for name, value in stayed.items())


def test_random_numbers_are_those_of_the_device_in_use_alone(monkeypatch):
    """Of eight GPUs a process has one; where there is only one, seven more states would fit nowhere."""
    own = torch.arange(16, dtype=torch.uint8)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state", own.clone)
    state, put = random_state(), []
    monkeypatch.setattr(torch.cuda, "set_rng_state", put.append)
    set_random_state(state)
    assert len(put) == 1
    assert torch.equal(put[0], own)
