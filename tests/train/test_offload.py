"""Masters that live apart from the model, here both on the CPU: the same training, bit for bit."""

import pytest
import torch

from strop.chat import Example
from strop.data.source import PackedSource
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.objectives.sft import CrossEntropy
from strop.train import weights
from strop.train.loop import train
from strop.train.settings import TrainSettings
from strop.train.weights import Weights


def run(model, folder, dtype, **settings):
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randint(3, 97, (n,), generator=generator).tolist() for n in (9, 12, 7, 15, 22, 30)]
    rows = [Example(tokens, [0.0] * 2 + [1.0] * (len(tokens) - 2), "", (), ()) for tokens in drawn]
    source = PackedSource(rows, global_batch_size=3, micro_batch_tokens=40, epochs=2)  # rows are accumulated
    policy = Policy(model, Compute(torch.device("cpu"), dtype))
    settings = TrainSettings(learning_rate=0.01, **settings)
    trained = Weights(policy, settings)
    train(trained, source, CrossEntropy("token_mean"), settings, folder)
    with trained.whole():
        return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_where_the_masters_live_changes_nothing(tmp_path, make_model, dtype, monkeypatch):
    monkeypatch.setattr(weights, "supported", lambda tensor: False)  # which rounds otherwise than torch's AdamW
    start = make_model().state_dict()
    plain = run(make_model(), tmp_path / "plain", dtype)
    apart = run(make_model(), tmp_path / "apart", dtype, offload_optimizer=True)
    assert all(torch.equal(apart[name], value) for name, value in plain.items())
    assert not torch.equal(plain["lm_head.weight"], start["lm_head.weight"])


def test_masters_apart_share_no_memory_with_the_model(make_model):
    model = make_model()
    policy = Policy(model, Compute(torch.device("cpu"), torch.float32), probe=False)
    masters = Weights(policy, TrainSettings(offload_optimizer=True))
    for name, parameter in policy.named_parameters():
        assert masters.named[name].data_ptr() != parameter.data_ptr()
    before = model.lm_head.weight.clone()
    with torch.no_grad():
        for master in masters.named.values():
            master.add_(1)
    assert torch.equal(model.lm_head.weight, before)
    masters.push()
    assert torch.equal(model.lm_head.weight, before + 1)
