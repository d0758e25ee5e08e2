"""A run with compiled blocks: `train.compile` reaches them, and evaluation and checkpointing work inside."""

import pytest
import torch

from strop.chat import Example
from strop.data.source import PackedSource, rows_of
from strop.model.blocks import compiled_blocks
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.objectives.sft import CrossEntropy
from strop.train import loop
from strop.train.loop import train
from strop.train.settings import TrainSettings
from strop.train.step import evaluation
from strop.train.weights import Weights

FLOAT32 = Compute(torch.device("cpu"), torch.float32)


def run(model, folder, **settings):
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randint(3, 97, (n,), generator=generator).tolist() for n in (9, 12, 7, 15, 22, 30)]
    rows = [Example(tokens, [0.0] * 2 + [1.0] * (len(tokens) - 2), "", (), ()) for tokens in drawn]
    source = PackedSource(rows, global_batch_size=2, micro_batch_tokens=40)
    policy, objective = Policy(model, FLOAT32), CrossEntropy("token_mean")
    settings = TrainSettings(learning_rate=0.01, optimizer="adafactor", **settings)
    train(
        Weights(policy, settings),
        source,
        objective,
        settings,
        folder,
        evaluate=lambda: evaluation(policy, objective, rows_of(rows, 40)),
    )
    return model.state_dict()


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", [False, 2])
def test_a_compiled_run_is_a_run(checkpointing, tmp_path, make_model, monkeypatch):
    entered = []

    def blocks(model):
        entered.append(model)
        return compiled_blocks(model, backend="aot_eager")

    monkeypatch.setattr(loop, "compiled_blocks", blocks)
    plain = run(make_model(), tmp_path / "plain")
    assert not entered
    compiled = run(make_model(), tmp_path / "compiled", compile=True, gradient_checkpointing=checkpointing)
    assert len(entered) == 1
    for name, value in plain.items():
        torch.testing.assert_close(compiled[name], value, atol=1e-4, rtol=1e-3)
