"""The engine against transformers' own generation, and its log-probabilities against the trainer's."""

import copy

import pytest
import torch
from families import EXACT, build

from strop.chat import Example
from strop.data.batch import make_batch
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.rollout.engine import SamplingParams
from strop.rollout.torch_engine import TorchEngine

FLOAT32 = Compute(torch.device("cpu"), torch.float32)
STOP = frozenset({2, 3, 4, 5})


def prompts(*lens):
    generator = torch.Generator().manual_seed(2)
    return [torch.randint(6, 97, (n,), generator=generator).tolist() for n in lens]


@pytest.fixture
def engine(tiny_model):
    return TorchEngine(Policy(tiny_model, FLOAT32), STOP, max_rows=3)


def test_greedy_equals_transformers_one_by_one(engine, make_model):
    asked = prompts(5, 1, 12, 7, 30, 2, 9)
    rollouts = engine.generate(asked, SamplingParams(max_tokens=25))
    model = make_model()
    for prompt, rollout in zip(asked, rollouts, strict=True):
        ids = torch.tensor([prompt])
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=25, do_sample=False, eos_token_id=sorted(STOP)
        )
        assert list(rollout.tokens) == out[0, len(prompt) :].tolist()
    assert {r.finish_reason for r in rollouts} == {"stop", "length"}  # both ends are covered
    assert all((r.tokens[-1] in STOP) == (r.finish_reason == "stop") for r in rollouts)


def as_batch(rollouts):
    return make_batch(
        [Example([*r.prompt, *r.tokens], [0.0] * len(r.prompt) + [1.0] * len(r.tokens), "t", (), ()) for r in rollouts]
    )


@pytest.mark.parametrize("temperature", [1.0, 0.7, 1.5, 0.0])
@pytest.mark.parametrize("family", ["Llama", "Granite", "Cohere", "Gemma 2"])
def test_rollout_logprobs_equal_the_trainers(family, temperature):
    """Also where the family scales its logits or caps them before temperature comes."""
    policy = Policy(build(*EXACT[family]), FLOAT32)
    engine = TorchEngine(policy, STOP, max_rows=3)
    rollouts = engine.generate(prompts(5, 1, 12, 30), SamplingParams(max_tokens=20, temperature=temperature))
    trainer = policy(as_batch(rollouts), temperature=temperature or 1.0)["logprobs"]
    sampler = torch.tensor([lp for r in rollouts for lp in r.logprobs])
    torch.testing.assert_close(sampler, trainer.detach(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("held", [torch.float32, torch.bfloat16])
def test_the_engine_reads_the_weights_as_they_are_at_each_call(make_model, held, dtype):
    policy = Policy(make_model().to(held), Compute(torch.device("cpu"), dtype))
    engine, params = TorchEngine(policy, STOP), SamplingParams(max_tokens=12)
    before = engine.generate(prompts(5, 9), params)
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.5)
    policy(as_batch(before))["logprobs"].sum().backward()  # away from what it said
    optimizer.step()  # in place
    after = engine.generate(prompts(5, 9), params)
    fresh = TorchEngine(Policy(copy.deepcopy(policy.model), policy.compute, probe=False), STOP).generate(
        prompts(5, 9), params
    )
    assert after == fresh != before
    assert {p.dtype for p in policy.parameters()} == {held}


def test_generation_goes_through_the_policys_forward_alone(engine):
    passes = []
    engine.policy.register_forward_pre_hook(lambda policy, arguments: passes.append(len(arguments[0].tokens)))
    inside = []
    engine.policy.model.get_decoder().register_forward_pre_hook(lambda *_: inside.append(len(passes)))
    engine.generate(prompts(5, 8), SamplingParams(max_tokens=3))
    assert passes[:2] == [1, 13]  # one token to measure the cache, then both prompts
    assert inside == list(range(1, len(passes) + 1))  # each pass of the backbone is one of the policy's
    assert len(passes) > 2


def test_the_mode_is_put_back_when_generation_fails(engine):
    engine.policy.train()
    with pytest.raises(RuntimeError, match="enough"):
        engine.generate(prompts(5), SamplingParams(max_tokens=3), on_token=raise_enough)
    assert engine.policy.training


def raise_enough(index, token):
    raise RuntimeError("enough")


def test_sampling_is_reproducible_and_depends_on_the_seed(engine):
    params = SamplingParams(max_tokens=20, temperature=1.0, seed=1)
    first, again = (engine.generate(prompts(5, 8), params) for _ in range(2))
    other = engine.generate(prompts(5, 8), SamplingParams(max_tokens=20, temperature=1.0, seed=2))
    assert [r.tokens for r in first] == [r.tokens for r in again] != [r.tokens for r in other]
    for one, same in zip(first, again, strict=True):  # its prompts are known by then, so rows are computed otherwise
        assert one.logprobs == pytest.approx(same.logprobs, abs=1e-5)


def test_a_callback_ends_an_answer(engine):
    seen = []

    def on_token(index, token):
        seen.append((index, token))
        return index == 0 and sum(i == 0 for i, _ in seen) == 3

    rollouts = engine.generate(prompts(5, 8), SamplingParams(max_tokens=10, temperature=1.0), on_token)
    assert len(rollouts[0].tokens) == 3
    assert rollouts[0].finish_reason == "cancelled"
    assert [t for i, t in seen if i == 1] == list(rollouts[1].tokens)


def test_a_stop_token_is_the_reason_though_the_callback_ends_the_answer_too(engine):
    [rollout] = engine.generate(prompts(5), SamplingParams(max_tokens=60), lambda index, token: token in STOP)
    assert (rollout.finish_reason, rollout.tokens[-1] in STOP) == ("stop", True)


def test_every_answer_is_told_when_it_is_complete(engine):
    told = {}
    rollouts = engine.generate(prompts(5, 8, 3, 9), SamplingParams(max_tokens=10), on_finished=told.__setitem__)
    assert [told[i] for i in range(4)] == rollouts


def test_the_window_bounds_an_answer(make_model):
    engine = TorchEngine(Policy(make_model(max_position_embeddings=16), FLOAT32), frozenset({96}))
    (rollout,) = engine.generate(prompts(10), SamplingParams(max_tokens=50))
    assert len(rollout.tokens) == 6
    assert rollout.finish_reason == "length"
    with pytest.raises(ValueError, match="window holds 16"):
        engine.generate(prompts(16), SamplingParams())
