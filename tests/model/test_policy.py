"""Policy = log_softmax of the same model's own logits, and a refusal where that cannot hold."""

import pytest
import torch
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    MambaConfig,
    MambaForCausalLM,
)

from strop.chat import Example
from strop.common.errors import InputError
from strop.data.batch import make_batch
from strop.model import head
from strop.model.policy import Policy
from strop.model.precision import Compute

FLOAT32 = Compute(torch.device("cpu"), torch.float32)
SMALL = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.3,
    "pad_token_id": 0,
}


def examples(*lens, seed=0):
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for n in lens:
        tokens = torch.randint(0, 97, (n,), generator=generator).tolist()
        weights = [0.0] * (n // 3) + [1.0] * (n - n // 3)
        rows.append(Example(tokens, weights, "test", (), ()))
    return rows


def own_logprobs(model, rows):
    """Log-probability of every trained token from the model's own forward pass on each sequence alone."""
    values = []
    for row in rows:
        logits = model(input_ids=torch.tensor([row.tokens]), use_cache=False).logits[0].double()
        logprobs = torch.log_softmax(logits, -1)
        values += [logprobs[i - 1, t] for i, t in enumerate(row.tokens) if i and row.loss_weights[i]]
    return torch.stack(values)


def granite():
    return GraniteForCausalLM(GraniteConfig(**SMALL, logits_scaling=4.0))


def cohere():
    return CohereForCausalLM(CohereConfig(**SMALL, logit_scale=0.25))


def gemma2():
    return Gemma2ForCausalLM(Gemma2Config(**SMALL, head_dim=8, final_logit_softcapping=5.0))


@pytest.mark.parametrize("family", ["llama", "granite", "cohere", "gemma2"])
def test_logprobs_equal_the_models_own(family, make_model):
    torch.manual_seed(0)
    model = {"llama": make_model, "granite": granite, "cohere": cohere, "gemma2": gemma2}[family]().eval()
    rows = examples(9, 4, 17)
    expected = own_logprobs(model, rows)
    got = Policy(model, FLOAT32)(make_batch(rows))["logprobs"]
    torch.testing.assert_close(got.double(), expected, atol=1e-4, rtol=1e-4)


def test_chunks_of_the_head_change_nothing(tiny_model, monkeypatch):
    policy = Policy(tiny_model, FLOAT32)
    batch = make_batch(examples(30, 41))

    def run():
        policy.zero_grad()
        out = policy(batch, ("logprobs", "entropy", "lse"))
        sum(v.square().sum() for v in out.values()).backward()
        return out, [p.grad.clone() for p in policy.parameters()]

    whole, whole_grads = run()
    monkeypatch.setattr(head, "CHUNK_ELEMENTS", 97 * 7)
    chunked, chunked_grads = run()
    for name, value in whole.items():
        torch.testing.assert_close(chunked[name], value)
    torch.testing.assert_close(chunked_grads, whole_grads, atol=1e-4, rtol=1e-4)


def test_entropy_and_lse_equal_their_definitions(tiny_model):
    (row,) = examples(12)
    logits = tiny_model(input_ids=torch.tensor([row.tokens]), use_cache=False).logits[0, 3:11].double()
    out = Policy(tiny_model, FLOAT32)(make_batch([row]), ("entropy", "lse"))
    torch.testing.assert_close(out["lse"].double(), logits.logsumexp(-1), atol=1e-4, rtol=1e-5)
    expected = torch.distributions.Categorical(logits=logits).entropy()
    torch.testing.assert_close(out["entropy"].double(), expected, atol=1e-4, rtol=1e-4)


def test_no_trained_token_gives_a_zero_that_can_be_differentiated(tiny_model):
    policy = Policy(tiny_model, FLOAT32)
    out = policy(make_batch([Example([3, 4, 5], [0.0, 0.0, 0.0], "test", (), ())]))
    assert out["logprobs"].shape == (0,)
    out["logprobs"].sum().backward()


def test_a_state_space_model_is_refused():
    model = MambaForCausalLM(MambaConfig(vocab_size=97, hidden_size=32, num_hidden_layers=2, state_size=4)).eval()
    with pytest.raises(InputError, match="packed rows"):
        Policy(model, FLOAT32)


def test_logits_changed_in_an_unknown_way_are_refused(tiny_model):
    original = tiny_model.forward
    tiny_model.forward = lambda *a, **k: _halved(original(*a, **k))
    with pytest.raises(InputError, match="other log-probabilities"):
        Policy(tiny_model, FLOAT32)


def _halved(output):
    output.logits = output.logits / 2
    return output
