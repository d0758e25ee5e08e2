"""A mixture of experts through the loop: stacks of experts by Muon, and the balancing loss in the log."""

import json

import pytest
import torch
from small_runs import FLOAT32, SETTINGS, make_examples, run
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

from strop.common.errors import InputError
from strop.data.batch import make_batch
from strop.model.policy import Policy
from strop.train.groups import make_groups, tensor_kinds


def make_moe():
    torch.manual_seed(0)
    config = Qwen3MoeConfig(
        vocab_size=97, hidden_size=32, intermediate_size=48, moe_intermediate_size=24, num_hidden_layers=2, head_dim=8,
        num_attention_heads=4, num_key_value_heads=2, num_experts=4, num_experts_per_tok=2, initializer_range=0.3,
    )  # fmt: skip
    return Qwen3MoeForCausalLM(config)


def settings_of(**more):
    return type(SETTINGS)(**{**SETTINGS.model_dump(exclude_defaults=True), "max_steps": 4, **more})


def test_experts_are_matrices_for_muon():
    model = make_moe()
    groups = make_groups(list(model.named_parameters()), tensor_kinds(model), settings_of(optimizer="muon"))
    by_muon = {name: tensor for g in groups if g.optimizer == "muon" for name, tensor in g.tensors}
    assert {t.ndim for n, t in by_muon.items() if "experts" in n} == {3}
    assert any("q_proj" in name for name in by_muon)


def test_the_balancing_loss_is_minimised_with_its_coefficient_and_shown(tmp_path):
    run(make_moe(), tmp_path / "with", settings_of(optimizer="muon", aux_loss=0.5))
    run(make_moe(), tmp_path / "without", settings_of(optimizer="muon"))
    rows = {n: (tmp_path / n / "metrics.jsonl").read_text().splitlines() for n in ("with", "without")}
    first, without = (next(r for r in map(json.loads, lines) if "loss" in r) for lines in rows.values())
    assert first["loss"] == pytest.approx(first["cross_entropy"] + first["aux"])
    assert first["cross_entropy"] == pytest.approx(without["loss"])
    assert "aux" not in without
    assert first["aux"] >= 0.5 * 0.9 * 2  # about k = 2 experts per token where all is even, more otherwise
    assert first["grad_norm"] != without["grad_norm"]


def test_a_model_without_experts_says_so(make_model, tmp_path):
    policy = Policy(make_model(), FLOAT32, probe=False)
    with pytest.raises(InputError, match="no load-balancing loss"):
        policy(make_batch(make_examples(2)), ("logprobs", "aux"))
    with pytest.raises(InputError, match="no load-balancing loss"):
        run(make_model(), tmp_path, settings_of(aux_loss=0.1))
