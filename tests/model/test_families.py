"""Every family is exact or refused by name: packed = one by one = the family's own eager forward, gradients too."""

import copy

import pytest
import torch
from families import EXACT, GPT, REFUSED, assert_same_gradients, build, examples, gradients_of, own_logprobs

from strop.chat import Example
from strop.common.errors import InputError
from strop.data.batch import make_batch
from strop.data.prefixes import make_group_batch
from strop.model.attention import FlatLayout
from strop.model.attention_backends import attend_segments
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.model.segments import Segments
from strop.rollout.engine import SamplingParams
from strop.rollout.torch_engine import TorchEngine

FLOAT32 = Compute(torch.device("cpu"), torch.float32)


@pytest.mark.parametrize("family", EXACT)
def test_packed_rows_give_the_familys_own_values_and_gradients(family):
    model = build(*EXACT[family])
    own = copy.deepcopy(model)
    own.set_attn_implementation("eager")
    rows = examples()
    batch = make_batch(rows)

    got = Policy(model, FLOAT32)(batch)["logprobs"]
    (batch.weights * got).sum().backward()
    expected = torch.cat([own_logprobs(own, row.tokens) for row in rows])
    (batch.weights * expected).sum().backward()

    torch.testing.assert_close(got, expected, atol=2e-5, rtol=1e-5)
    assert_same_gradients(gradients_of(model), gradients_of(own))


@pytest.mark.parametrize("family", EXACT)
def test_shared_prefixes_give_the_familys_own_values_and_gradients(family):
    model = build(*EXACT[family])
    policy = Policy(model, FLOAT32)
    start, *ends = examples()
    group = [
        Example([*start.tokens, *e.tokens], [0.0] * len(start.tokens) + [0.5, *e.loss_weights[1:]], "test", (), ())
        for e in ends
    ]

    def run(share):
        policy.zero_grad()
        batch = make_group_batch([group], share=share)
        got = policy(batch)["logprobs"]
        (batch.weights * got).sum().backward()
        return got, {name: g.clone() for name, g in gradients_of(model).items()}

    (shared, shared_gradients), (alone, alone_gradients) = run(True), run(False)
    torch.testing.assert_close(shared, alone, atol=2e-5, rtol=1e-5)
    assert_same_gradients(shared_gradients, alone_gradients)


@pytest.mark.parametrize("family", EXACT)
def test_generation_gives_the_familys_own_log_probabilities(family):
    model = build(*EXACT[family])
    own = copy.deepcopy(model)
    own.set_attn_implementation("eager")
    engine = TorchEngine(Policy(model, FLOAT32), frozenset({2}), max_rows=2)
    prompts = [row.tokens for row in examples()]
    for rollout in engine.generate(prompts, SamplingParams(max_tokens=12)):
        with torch.no_grad():
            expected = own_logprobs(own, [*rollout.prompt, *rollout.tokens])[len(rollout.prompt) - 1 :]
        torch.testing.assert_close(torch.tensor(rollout.logprobs), expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("family", EXACT)
def test_rounding_to_16_bits_is_no_reason_to_refuse_and_mixing_is(family, monkeypatch):
    """And the log-probabilities stay about as near to float32 as the family's own in 16 bits."""
    model = build(*EXACT[family]).bfloat16()
    own, exact = copy.deepcopy(model), copy.deepcopy(model).float()
    rows = examples()
    got = Policy(model, Compute(torch.device("cpu"), torch.bfloat16))(make_batch(rows))["logprobs"]
    with torch.no_grad():
        expected, own_rounded = (torch.cat([own_logprobs(m, row.tokens) for row in rows]) for m in (exact, own))
    # The median: a router may choose another expert at one position or two.
    assert (got - expected).abs().median() <= 2.5 * (own_rounded - expected).abs().median()

    def mixed(self, layer, q, k, v, scale, options):
        return attend_segments(q, k, v, Segments((q.shape[1],), (q.shape[1],)), scale, options)

    monkeypatch.setattr(FlatLayout, "attend", mixed)
    with pytest.raises(InputError, match=rf"{type(own).__name__} gives other log-probabilities"):
        Policy(own, Compute(torch.device("cpu"), torch.bfloat16))


@pytest.mark.parametrize("family", REFUSED)
def test_what_cannot_be_exact_is_refused_by_name(family):
    model_type, settings, message = REFUSED[family]
    model = build(model_type, settings)
    with pytest.raises(InputError, match=rf"{type(model).__name__} .*{message}"):
        Policy(model, FLOAT32)


def test_attention_dropout_is_set_to_zero_and_named(caplog):
    model = build("gpt2", {**GPT, "attn_pdrop": 0.3, "resid_pdrop": 0.0, "embd_pdrop": 0.0})
    policy = Policy(model, FLOAT32)
    assert "GPT2LMHeadModel: attention dropout (0.3) is set to 0" in caplog.text
    batch = make_batch(examples())
    evaluated = policy(batch)["logprobs"]
    assert torch.equal(policy.train()(batch)["logprobs"], evaluated)


def test_attention_dropout_under_an_unknown_name_is_refused():
    with pytest.raises(InputError, match=r"OPTForCausalLM .*dropout"):
        Policy(build("opt", {"word_embed_proj_dim": 32, "ffn_dim": 48, "attention_dropout": 0.1}), FLOAT32)


class WithoutWindow:
    """A config that answers for another, but for the window."""

    sliding_window = None

    def __init__(self, config):
        self.config = config

    def __getattr__(self, name):
        return getattr(self.config, name)


def test_a_window_that_does_not_reach_the_attention_is_refused():
    """Too long a window to be run by the probe: the argument that never comes gives it away."""
    model = build("mistral", {"sliding_window": 5000, "max_position_embeddings": 10_000})
    Policy(copy.deepcopy(model), FLOAT32)
    model.model.layers[1].self_attn.config = WithoutWindow(model.config)
    with pytest.raises(InputError, match=r"MistralForCausalLM .*2 layers a window of 5000 tokens and 1 pass"):
        Policy(model, FLOAT32)


def test_a_window_that_the_family_does_not_know_is_left_alone():
    model = build("llama", {"sliding_window": 6})
    own = copy.deepcopy(model)
    (row,) = examples()[2:]
    got = Policy(model, FLOAT32)(make_batch([row]))["logprobs"]
    torch.testing.assert_close(got, own_logprobs(own, row.tokens), atol=2e-5, rtol=1e-5)


def test_a_wrong_window_is_found_by_the_sequence_that_is_longer(monkeypatch):
    monkeypatch.setattr(FlatLayout, "attend", without_window(FlatLayout.attend))
    with pytest.raises(InputError, match="MistralForCausalLM gives other log-probabilities"):
        Policy(build("mistral", {"sliding_window": 40}), FLOAT32)


def without_window(attend):
    return lambda self, layer, q, k, v, scale, options: attend(self, layer, q, k, v, scale)


def test_the_probe_leaves_the_models_mode_and_the_random_state_alone(make_model):
    model = make_model().train()
    state = torch.get_rng_state()
    policy = Policy(model, FLOAT32)
    assert policy.training
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
