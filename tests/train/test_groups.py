"""Which tensor falls into which group, and what is said when a pattern takes none."""

import pytest
import torch
from pydantic import ValidationError
from transformers import LlamaConfig, LlamaForSequenceClassification, Qwen2Config, Qwen2ForCausalLM

from strop.common.errors import InputError
from strop.model.policy import Policy, scalar_head
from strop.model.precision import Compute
from strop.train.groups import make_groups, tensor_kinds
from strop.train.settings import GroupSettings, TrainSettings


def groups_of(model, **settings):
    return make_groups(list(model.named_parameters()), tensor_kinds(model), TrainSettings(**settings))


def names(group):
    return [name for name, _ in group.tensors]


@pytest.fixture
def untied(make_model):
    return make_model(tie_word_embeddings=False)


def test_kinds_of_a_model_with_a_head_of_its_own(untied):
    kinds = tensor_kinds(untied)
    assert list(kinds) == [name for name, _ in untied.named_parameters()]
    assert [name for name, kind in kinds.items() if kind == "embedding"] == ["model.embed_tokens.weight"]
    assert [name for name, kind in kinds.items() if kind == "head"] == ["lm_head.weight"]
    assert {name.split(".")[-2] for name, kind in kinds.items() if kind == "vectors"} == {
        *("input_layernorm", "post_attention_layernorm", "norm"),
    }


def test_a_tied_head_is_an_embedding_and_a_bias_is_a_vector(make_model):
    assert "head" not in tensor_kinds(make_model()).values()
    config = Qwen2Config(
        vocab_size=97, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4,
        num_key_value_heads=2,
    )  # fmt: skip
    assert tensor_kinds(Qwen2ForCausalLM(config))["model.layers.0.self_attn.q_proj.bias"] == "vectors"


def test_kinds_through_a_policy_have_the_policys_names(make_model):
    policy = Policy(make_model(tie_word_embeddings=False), Compute(torch.device("cpu"), torch.float32), probe=False)
    kinds = tensor_kinds(policy)
    assert kinds["model.lm_head.weight"] == "head"
    assert kinds["model.model.embed_tokens.weight"] == "embedding"


def test_what_gives_values_or_scores_is_a_head_and_no_matrix_for_muon(make_model):
    compute, model = Compute(torch.device("cpu"), torch.float32), make_model()
    scores = LlamaForSequenceClassification(LlamaConfig(**{**model.config.to_dict(), "num_labels": 1}))
    for policy, name in (
        (Policy(scores, compute, probe=False), "model.score.weight"),
        (Policy(model, compute, probe=False, heads={"values": scalar_head(model)}), "value_head.weight"),
    ):
        [head] = [group for group in groups_of(policy, optimizer="muon") if group.name == "head"]
        assert (names(head), head.optimizer) == ([name], "adamw")
        groups = groups_of(policy, groups=[{"match": "head", "lr_scale": 2}])
        assert [names(group) for group in groups if group.peak == 2e-4] == [[name]]


def test_decay_is_for_matrices_and_the_head_only(untied):
    groups = groups_of(untied, weight_decay=0.3)
    assert {g.name: g.weight_decay for g in groups} == {"embedding": 0.0, "head": 0.3, "matrices": 0.3, "vectors": 0.0}
    assert sorted(n for g in groups for n in names(g)) == sorted(n for n, _ in untied.named_parameters())


def test_layered_learning_rates(untied):
    """nanochat's: the embedding, the head and the matrices each at a rate of their own."""
    groups = groups_of(
        untied,
        learning_rate=0.02,
        groups=[
            {"match": "embedding", "learning_rate": 0.2},
            {"match": "head", "learning_rate": 0.004},
            {"match": "vectors", "lr_scale": 0.5, "weight_decay": 0.1},
        ],
    )
    assert [(g.name, g.peak) for g in groups] == [
        ("matrices", 0.02), ("embedding", 0.2), ("head", 0.004), ("vectors", 0.01),
    ]  # fmt: skip
    assert groups[-1].weight_decay == 0.1  # asked for


def test_the_first_group_that_matches_takes_a_tensor(untied):
    first, second = {"match": r"layers\.0\.", "lr_scale": 0.1}, {"match": "layers", "lr_scale": 0.5}
    groups = groups_of(untied, weight_decay=0.3, groups=[first, second])
    by_name = {name: g for g in groups for name in names(g)}
    assert by_name["model.layers.0.mlp.up_proj.weight"].peak == pytest.approx(1e-5)
    assert by_name["model.layers.1.mlp.up_proj.weight"].peak == pytest.approx(5e-5)
    # a pattern over several kinds leaves decay to the kinds
    assert by_name["model.layers.0.input_layernorm.weight"].weight_decay == 0.0
    assert by_name["model.layers.0.mlp.up_proj.weight"].weight_decay == 0.3
    with pytest.raises(InputError, match=r"'layers.*earlier groups take all.*list it before them"):
        groups_of(untied, groups=[second, first])


def test_the_order_of_groups_depends_on_names_and_settings_alone(untied):
    settings = {"groups": [{"match": "q_proj|k_proj", "lr_scale": 0.1}, {"match": "embedding", "lr_scale": 2.0}]}
    once, again = groups_of(untied, **settings), groups_of(untied, **settings)
    assert [(g.name, names(g)) for g in once] == [(g.name, names(g)) for g in again]
    assert [g.name for g in once] == ["head", "matrices", "vectors", "q_proj|k_proj", "embedding"]


@pytest.mark.parametrize(
    ("match", "message"),
    [
        ("q_porj", "q_proj"),
        ("embeddings", "embedding"),
        ("head", r"no trained tensor is of that kind \(there are embedding, matrices, vectors\)"),
        ("layers.7.", "layers"),
    ],
)
def test_a_pattern_that_takes_nothing_names_the_nearest(make_model, match, message):
    with pytest.raises(InputError, match=message):
        groups_of(make_model(), groups=[{"match": match, "lr_scale": 0.1}])


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ({"match": "(", "lr_scale": 1}, "no regular expression"),
        ({"match": "head"}, "give learning_rate, lr_scale, weight_decay or optimizer"),
        ({"match": "head", "lr_scale": 1, "learning_rate": 1}, "not both"),
        ({"match": "head", "optimizer": "adam"}, "adamw"),
    ],
)
def test_a_group_that_makes_no_sense_is_refused(group, message):
    with pytest.raises(ValidationError, match=message):
        GroupSettings(**group)


def test_muon_takes_matrices_and_leaves_the_rest_to_adamw(untied):
    groups = groups_of(untied, optimizer="muon")
    assert {g.name: g.optimizer for g in groups} == {
        "embedding": "adamw", "head": "adamw", "matrices": "muon", "vectors": "adamw",
    }  # fmt: skip
    with pytest.raises(InputError, match="has 1 dimensions"):
        groups_of(untied, groups=[{"match": "norm", "optimizer": "muon"}])
