"""What is measured in the middle of a training leaves it as it was, and what is best can be put back."""

import pytest
import torch
from small_runs import FLOAT32, SETTINGS, make_examples

from strop.chat import ChatSettings
from strop.data.source import PackedSource
from strop.model import attention
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.objectives.sft import supervised_objective
from strop.rollout.loaded import load
from strop.train.evaluations import Evaluations
from strop.train.loop import train
from strop.train.metrics import MetricsLog
from strop.train.weights import Weights


def trained(model_folder, folder, saves):
    loaded = load(model_folder, ChatSettings(), FLOAT32, to_train=True)
    source = PackedSource(make_examples(24), global_batch_size=4, micro_batch_tokens=40, epochs=1, seed=0)
    settings = SETTINGS.model_copy(update={"eval_every": 1, "max_steps": 4})

    def evaluate():
        if saves:
            loaded.save(folder / "now")
            assert loaded.policy.model.config._attn_implementation == attention.NAME
        return {}

    train(Weights(loaded.policy, settings), source, supervised_objective(settings), settings, folder, evaluate=evaluate)
    return dict(loaded.policy.named_parameters())


def test_saving_in_the_middle_of_a_training_changes_nothing(model_folder, tmp_path):
    plain, saving = (trained(model_folder, tmp_path / str(saves), saves) for saves in (False, True))
    assert (tmp_path / "True/now/model/model.safetensors").is_file()
    for name, tensor in plain.items():
        assert torch.equal(tensor, saving[name]), name


@pytest.mark.parametrize("optimizer", ["adamw", "adamw_8bit", "muon"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_that_are_put_back_are_those_that_were_taken_to_the_last_bit(make_model, dtype, optimizer):
    model = make_model(vocab_size=97, hidden_size=64, intermediate_size=96)
    policy = Policy(model, Compute(torch.device("cpu"), dtype), probe=False)
    weights = Weights(policy, SETTINGS.model_copy(update={"optimizer": optimizer}))

    def step():
        weights.begin(2)
        for parameter in policy.parameters():
            parameter.grad = None
        for tensor in weights.named.values():
            tensor.grad = torch.full_like(tensor, 0.3, dtype=torch.float32)
        weights.optimizer.step(1.0)
        weights.push()

    step()
    kept = {name: tensor.clone() for name, tensor in weights.wholes()}
    held = {name: parameter.detach().clone() for name, parameter in policy.named_parameters()}
    assert all(tensor.dtype == torch.float32 for tensor in kept.values())
    step()
    assert any(not torch.equal(kept[name], tensor) for name, tensor in weights.wholes())
    weights.take(kept.__getitem__)
    assert all(torch.equal(kept[name], tensor) for name, tensor in weights.wholes())
    assert all(torch.equal(held[name], parameter) for name, parameter in policy.named_parameters())


def test_rows_that_will_be_measured_again_go_and_others_stay(tmp_path):
    rows = [
        {"step": 1, "loss": 1.0},
        {"step": 1, "eval_loss": 1.0},
        {"step": 1, "seconds/tasks": 1.0},
        {"step": 2, "loss": 1.0},
        {"step": 2, "eval_loss": 1.0},
        {"step": 2, "seconds/tasks": 1.0},
        {"step": 3, "loss": 1.0},
    ]
    for done, kept in (({"eval": 2, "tasks": 2}, rows[:6]), ({"eval": 2, "tasks": 1}, rows[:5]), ({}, rows[:4])):
        assert [row for row in rows if Evaluations.holds(row, 2, {"evaluated": done})] == kept
    assert [row for row in rows if Evaluations.holds(row, 2, {})] == rows[:6]  # of a version that left nothing off
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.write(rows[0])
    log.close()
    MetricsLog(tmp_path / "metrics.jsonl", lambda row: row["step"] <= 0).close()
    assert not (tmp_path / "metrics.jsonl").read_text()
