"""What a policy gives beside log-probabilities, and temperature: values and gradients against plain float64."""

import copy

import pytest
import torch
from families import BASE, EXACT, GPT, WIDTH, WINDOW, assert_same_gradients, build, examples, gradients_of
from transformers import AutoConfig, AutoModelForSequenceClassification

from strop.chat import Example
from strop.common.errors import InputError
from strop.data.batch import make_batch
from strop.model.attention import FlatLayout
from strop.model.attention_backends import attend_segments
from strop.model.kv_cache import KVCache, PagedLayout, cache_shapes
from strop.model.lora import add_lora
from strop.model.policy import Policy, scalar_head
from strop.model.precision import Compute
from strop.model.segments import Segments
from strop.model.settings import LoraSettings

FLOAT32 = Compute(torch.device("cpu"), torch.float32)


def scorer(model_type="llama", **settings):
    torch.manual_seed(0)
    config = AutoConfig.for_model(model_type, **{**BASE, "num_labels": 1, **settings})
    return AutoModelForSequenceClassification.from_config(config).eval()


def plain(model):
    """The same model in float64 with the attention that it came with."""
    copied = copy.deepcopy(model).double()
    copied.set_attn_implementation("eager")
    return copied


def states(model, rows):
    """Hidden states ``[T_i,D]`` of each sequence alone."""
    return [model.base_model(input_ids=torch.tensor([r.tokens]), use_cache=False).last_hidden_state[0] for r in rows]


def trained(row):
    return [i - 1 for i, weight in enumerate(row.loss_weights) if i and weight]


@pytest.mark.parametrize("share", [False, True])
def test_values_and_scores_and_their_gradients_equal_float64(make_model, share):
    model, rows = make_model(), examples()
    head, other = scalar_head(model, 1), scalar_head(model, 2)
    exact, value, score = plain(model), copy.deepcopy(head).double(), copy.deepcopy(other).double()
    if share:  # the second and third sequence continue the first
        start, *ends = rows
        before = [0.0] * len(start.tokens)
        whole = [Example([*start.tokens, *e.tokens], [*before, *e.loss_weights], "t", (), ()) for e in ends]
        whole, batch = [start, *whole], make_batch(rows, parent=[-1, 0, 0])
    else:
        whole, batch = rows, make_batch(rows)
    policy = Policy(model, FLOAT32, heads={"values": head, "scores": other})
    out = policy(batch, ("values", "scores", "logprobs"))
    alone = states(exact, whole)
    values = torch.cat([value(s[trained(r)])[:, 0] for s, r in zip(alone, whole, strict=True)])
    scores = torch.cat([score(s[-1]) for s in alone])
    torch.testing.assert_close(out["values"].double(), values, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(out["scores"].double(), scores, atol=1e-5, rtol=1e-5)
    (out["values"].square().sum() + out["scores"].cos().sum()).backward()
    (values.square().sum() + scores.cos().sum()).backward()
    assert_same_gradients(gradients_of(model), gradients_of(exact))
    assert_same_gradients(gradients_of(head), gradients_of(value))
    assert_same_gradients(gradients_of(other), gradients_of(score))


def test_hidden_and_logits_are_those_of_the_model(make_model):
    model, rows = make_model(), examples()
    exact = plain(model)
    out = Policy(model, FLOAT32)(make_batch(rows), ("hidden", "logits", "logprobs"))
    alone = torch.cat([s[trained(r)] for s, r in zip(states(exact, rows), rows, strict=True)])
    logits = exact.lm_head(alone)
    torch.testing.assert_close(out["hidden"].double(), alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(out["logits"].double(), logits, atol=1e-4, rtol=1e-5)
    (out["logits"].sin().sum() + out["hidden"].square().sum()).backward()
    (logits.sin().sum() + alone.square().sum()).backward()
    assert_same_gradients(gradients_of(model), gradients_of(exact))


@pytest.mark.parametrize("family", ["Llama", "Granite", "Cohere", "Gemma 2"])
@pytest.mark.parametrize("announced", [False, True])
def test_temperature_divides_what_the_family_calls_its_logits(family, announced):
    model = build(*EXACT[family])
    exact, rows = plain(model), examples()
    batch = make_batch(rows)
    upstream = torch.randn(len(batch.labels), generator=torch.Generator().manual_seed(1))
    policy = Policy(model, FLOAT32)
    want = ("logprobs",) if announced else ("logprobs", "entropy", "lse", "logits")
    out = policy(batch, want, upstream if announced else None, temperature=0.7)
    logits = [exact(input_ids=torch.tensor([r.tokens]), use_cache=False).logits[0] / 0.7 for r in rows]
    z = torch.cat([x[trained(r)] for x, r in zip(logits, rows, strict=True)])
    lse = z.logsumexp(-1)
    expected = {"logprobs": z.gather(-1, batch.labels[:, None])[:, 0] - lse, "lse": lse, "logits": z}
    expected["entropy"] = torch.distributions.Categorical(logits=z).entropy()
    for name, value in out.items():
        torch.testing.assert_close(value.double(), expected[name], atol=1e-4, rtol=1e-4)
    loss = {name: (value * (upstream if value.ndim == 1 else 1e-2)).sum() for name, value in out.items()}
    true = {name: (expected[name] * (upstream if out[name].ndim == 1 else 1e-2)).sum() for name in out}
    sum(loss.values()).backward()
    sum(true.values()).backward()
    assert_same_gradients(gradients_of(model), gradients_of(exact))


def test_temperature_is_above_nothing(tiny_model):
    policy = Policy(tiny_model, FLOAT32)
    with pytest.raises(ValueError, match="temperature is 0"):
        policy(make_batch(examples()), temperature=0.0)


@pytest.mark.parametrize(
    ("model_type", "settings"),
    [("llama", {}), ("qwen3", WIDTH), ("mistral", WINDOW), ("gemma2", {**WIDTH, **WINDOW}), ("gpt2", GPT)],
)
def test_a_scoring_models_own_scores_and_gradients(model_type, settings):
    model, rows = scorer(model_type, **settings), examples()  # without 0, which is padding here
    exact = plain(model)
    scores = torch.cat([exact(input_ids=torch.tensor([r.tokens]), use_cache=False).logits[0] for r in rows])
    out = Policy(model, FLOAT32)(make_batch(rows), ("scores",))
    torch.testing.assert_close(out["scores"].double(), scores, atol=1e-5, rtol=1e-5)
    out["scores"].cos().sum().backward()
    scores.cos().sum().backward()
    assert_same_gradients(gradients_of(model), gradients_of(exact))


def test_scores_are_summed_in_float32_beside_a_16_bit_model():
    model, rows = scorer().bfloat16(), examples()
    policy = Policy(model, Compute(torch.device("cpu"), torch.bfloat16))
    out = policy(make_batch(rows), ("scores", "hidden"))
    assert out["hidden"].dtype == torch.bfloat16
    assert out["scores"].dtype == torch.float32
    assert not torch.equal(out["scores"], out["scores"].bfloat16().float())


def test_a_scoring_model_whose_attention_mixes_is_refused(monkeypatch):
    def mixed(self, layer, q, k, v, scale, options):
        return attend_segments(q, k, v, Segments((q.shape[1],), (q.shape[1],)), scale, options)

    monkeypatch.setattr(FlatLayout, "attend", mixed)
    for dtype in (torch.float32, torch.bfloat16):
        with pytest.raises(InputError, match="LlamaForSequenceClassification gives other hidden states"):
            Policy(scorer().to(dtype), Compute(torch.device("cpu"), dtype))


def test_a_score_that_another_token_decides_is_refused():
    model = scorer()
    model.score.register_forward_hook(lambda layer, given, output: output if output.ndim == 1 else output.flip(1))
    with pytest.raises(InputError, match="not that of its layer `score` at the last token"):
        Policy(model, FLOAT32)


def test_adapters_leave_the_score_layer_trainable():
    model, rows = scorer(), examples()
    before = Policy(scorer(), FLOAT32)(make_batch(rows), ("scores",))["scores"]
    adapters = add_lora(model, LoraSettings(r=2))
    policy = Policy(adapters.network, FLOAT32)
    got = policy(make_batch(rows), ("scores",))["scores"]
    torch.testing.assert_close(got, before)
    got.sum().backward()
    assert any("score" in name for name in gradients_of(policy))
    with torch.no_grad():
        for parameter in policy.parameters():
            if parameter.grad is not None:
                parameter.sub_(0.1 * parameter.grad.sign())
        trained_scores = policy(make_batch(rows), ("scores",))["scores"]
        merged = plain(adapters.merge())
        alone = torch.stack([merged(input_ids=torch.tensor([r.tokens]), use_cache=False).logits[0, 0] for r in rows])
    torch.testing.assert_close(trained_scores.double(), alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("want", "message"),
    [("values", "no head for values"), ("scores", "no head for scores"), ("logprob", "no output 'logprob'")],
)
def test_an_output_that_there_is_no_head_for(tiny_model, want, message):
    with pytest.raises(ValueError, match=message):
        Policy(tiny_model, FLOAT32)(make_batch(examples()), (want,))


@pytest.mark.parametrize(
    ("want", "message"), [("logprobs", "no labels"), ("choice_logprobs", "no labels"), ("scores", "may end before")]
)
def test_a_row_of_a_cache_is_asked_for_nothing_that_only_a_batch_knows(tiny_model, want, message):
    policy = Policy(tiny_model, FLOAT32, heads={"scores": scalar_head(tiny_model)})
    cache = KVCache(*cache_shapes(policy), torch.device("cpu"))
    cache.grow(1)
    layout = PagedLayout(cache, (3,), (3,), ((0,),))
    with pytest.raises(ValueError, match=message), torch.no_grad():
        policy(layout.row([1, 2, 3], [2]), (want,))


def test_a_scoring_model_has_no_log_probabilities_and_a_classifier_no_score():
    with pytest.raises(ValueError, match="LlamaForSequenceClassification has no head for tokens"):
        Policy(scorer(), FLOAT32)(make_batch(examples()))
    with pytest.raises(InputError, match="num_labels 1"):
        Policy(scorer(num_labels=3), FLOAT32)


def test_a_new_head_depends_on_its_seed_alone(tiny_model):
    state = torch.get_rng_state()
    one, again, other = (scalar_head(tiny_model, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one.weight, again.weight)
    assert not torch.equal(one.weight, other.weight)
