"""Weights in training: small updates count, gradients are summed in float32, float32 weights come back, and an engine
reads what is trained."""

import itertools

import pytest
import torch
from small_runs import make_examples

from strop.chat import Example
from strop.data.batch import make_batch
from strop.data.source import PackedSource
from strop.model import accelerate
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.objectives.sft import CrossEntropy
from strop.rollout.engine import SamplingParams
from strop.rollout.torch_engine import TorchEngine
from strop.train import weights as module
from strop.train.loop import train
from strop.train.settings import TrainSettings
from strop.train.step import gradients, optimizer_step
from strop.train.weights import Weights

BFLOAT16 = Compute(torch.device("cpu"), torch.bfloat16)


def rows(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        Example(torch.randint(0, 97, (12,), generator=generator).tolist(), [0.0] * 4 + [1.0] * 8, "test", (), ())
        for _ in range(count)
    ]


def weights_of(policy, monkeypatch, kept="whole", **settings):
    if kept == "whole":
        monkeypatch.setattr(module, "supported", lambda tensor: False)
    else:
        monkeypatch.undo()
    return Weights(policy, TrainSettings(**settings))


HALVED = pytest.param(
    "halved", marks=pytest.mark.skipif(not accelerate.available(), reason="no kernels on this machine")
)


@pytest.mark.parametrize("kept", ["whole", HALVED])
def test_a_learning_rate_of_1e_6_still_moves_the_weights(kept, make_model, monkeypatch):
    """An update of 1e-6 is below half a unit in the last place of a bfloat16 weight from 2.6e-4 on: it would vanish."""
    policy = Policy(make_model(), BFLOAT16, probe=False)
    before = {name: p.detach().clone() for name, p in policy.named_parameters()}
    weights = weights_of(policy, monkeypatch, kept, learning_rate=1e-6)
    assert {m.dtype for m in weights.named.values()} == {torch.bfloat16 if kept == "halved" else torch.float32}
    steps = 100
    for step in range(steps):
        optimizer_step(weights, CrossEntropy(), [make_batch(rows(4, seed=step % 3))], 1.0)
    held = {name: p.detach().float() for name, p in policy.named_parameters()}
    name = "model.model.layers.0.mlp.down_proj.weight"
    with weights.whole():
        now = dict(policy.named_parameters())[name].detach().clone()
    moved = (now - before[name]).abs()
    assert 5e-6 < moved.mean() < 1e-6 * steps * 1.01
    assert (moved > 0).all()
    # What bfloat16 weights alone would have kept of one step: nearly nothing.
    one_step = (before[name].bfloat16() + 1e-6).bfloat16() != before[name].bfloat16()
    assert one_step.float().mean() < 0.05
    # And the model computed with the rounded masters, not with what it began with.
    rounded = now.bfloat16().float()
    assert (held[name] != rounded).float().mean() < (0.001 if kept == "halved" else 1e-9)  # ties round the other way
    assert (held[name] != before[name].bfloat16().float()).any()


def test_gradients_of_micro_batches_are_summed_in_float32(make_model, monkeypatch):
    """Sixteen micro-batches that are all the same: their sum is sixteen times one of them, exactly."""
    grads = []
    for count in (1, 16):
        policy = Policy(make_model(), BFLOAT16, probe=False)
        weights = weights_of(policy, monkeypatch)
        gradients(weights, CrossEntropy(), [make_batch(rows(1))] * count)
        grads.append([m.grad for m in weights.named.values()])
        assert all(g.dtype == torch.float32 for g in grads[-1])
        assert all(p.grad is None for p in policy.parameters())
    torch.testing.assert_close(grads[1], grads[0], rtol=2e-2, atol=1e-5)
    # A sum kept in bfloat16 would be off by more than its rounding: here the mean error is that of one gradient.
    a, b = (torch.cat([g.flatten() for g in gs]) for gs in grads)
    assert ((a - b).norm() / a.norm()).item() < 5e-3


@pytest.mark.parametrize("kept", ["whole", HALVED])
def test_inside_whole_the_weights_are_the_float32_masters_and_after_it_what_they_were(kept, make_model, monkeypatch):
    policy = Policy(make_model(), BFLOAT16, probe=False)
    original = {name: p.detach().clone() for name, p in policy.named_parameters()}
    weights = weights_of(policy, monkeypatch, kept)
    assert {p.dtype for p in policy.parameters()} == {torch.bfloat16}
    places = [p.data_ptr() for p in policy.parameters()]
    with weights.whole():
        for name, p in policy.named_parameters():
            assert torch.equal(p, original[name]), name
    assert {p.dtype for p in policy.parameters()} == {torch.bfloat16}
    assert [p.data_ptr() for p in policy.parameters()] == places


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_frozen_weights_have_no_master(make_model, dtype):
    model = make_model()
    model.model.embed_tokens.requires_grad_(False)
    policy = Policy(model, Compute(torch.device("cpu"), dtype), probe=False)
    weights = Weights(policy, TrainSettings())
    assert not any("embed_tokens" in name for name in weights.named)
    assert model.model.embed_tokens.weight.dtype == dtype


def test_in_float32_the_weights_are_their_own_masters(make_model):
    policy = Policy(make_model(), Compute(torch.device("cpu"), torch.float32), probe=False)
    weights = Weights(policy, TrainSettings())
    for name, p in policy.named_parameters():
        assert weights.named[name] is p


@pytest.mark.skipif(not accelerate.available(), reason="no kernels on this machine")
@pytest.mark.parametrize("optimizer", ["adamw", "adamw_8bit"])
def test_halved_masters_train_as_whole_ones(optimizer, make_model, monkeypatch):
    """Whichever way they are kept: the same losses to the rounding of bfloat16, and float32 weights at the end."""
    losses, trained = {}, {}
    for kept in ("whole", "halved"):
        policy = Policy(make_model(hidden_size=64, intermediate_size=96), BFLOAT16, probe=False)
        weights = weights_of(policy, monkeypatch, kept, learning_rate=3e-3, optimizer=optimizer)
        batches = [[make_batch(rows(4, seed=i % 2)), *([make_batch(rows(4, seed=5))] * (i % 3))] for i in range(12)]
        losses[kept] = [optimizer_step(weights, CrossEntropy(), b, 1.0)[0]["loss"] for b in batches]
        with weights.whole():
            trained[kept] = [p.detach().clone() for p in policy.parameters()]
    assert losses["halved"] == pytest.approx(losses["whole"], rel=2e-2)
    assert losses["halved"][0] == pytest.approx(losses["whole"][0], rel=1e-3)  # two weights of 45,000 are ties
    assert losses["halved"][-1] < 0.8 * losses["halved"][0]
    for a, b in zip(trained["halved"], trained["whole"], strict=True):
        assert a.dtype == torch.float32
        assert (a - b).abs().mean() < 3e-3  # of a movement of up to 12 x 3e-3


@pytest.mark.parametrize("passes", [1, 2])
def test_a_step_begins_without_gradients_so_that_what_gets_none_is_not_stepped(passes, make_model, monkeypatch):
    """Zeros in their place would decay it, move it by old momentum, and differ from a run that was resumed."""
    policy = Policy(make_model(), BFLOAT16, probe=False)
    weights = weights_of(policy, monkeypatch)
    for tensor in weights.named.values():
        tensor.grad = torch.ones_like(tensor)
    weights.begin(passes)
    assert all(tensor.grad is None for tensor in weights.named.values())


PROMPTS = [[5, 9, 11], [40, 3, 8, 21, 60], [7] * 9]


def agrees(engine, policy):
    """The engine's answers, whose log-probabilities are those of the policy's forward pass; checks that they are."""
    answers = engine.generate(PROMPTS, SamplingParams(max_tokens=6, temperature=1.0, seed=3))
    for answer in answers:
        whole = [*answer.prompt, *answer.tokens]
        weights = [0.0] * len(answer.prompt) + [1.0] * len(answer.tokens)
        with torch.no_grad():
            expected = policy(make_batch([Example(whole, weights, "test", (), ())]))["logprobs"]
        torch.testing.assert_close(torch.tensor(answer.logprobs), expected, atol=0.05, rtol=0.02)
    fresh = TorchEngine(policy, engine.stop_ids)  # that knows no beginnings: the same weights give the same to the bit
    answers = fresh.generate(PROMPTS, SamplingParams(max_tokens=6, temperature=1.0, seed=3))
    return [(answer.tokens, answer.logprobs) for answer in answers]


@pytest.mark.parametrize("compute", [BFLOAT16, Compute(torch.device("cpu"), torch.float32)], ids=lambda c: str(c.dtype))
@pytest.mark.parametrize("kept", ["whole", HALVED])
def test_an_engine_reads_the_weights_that_are_trained(kept, compute, make_model, monkeypatch, tmp_path):
    """With no copy and no `sync`: before training, after a step, from within the loop, and after it."""
    policy = Policy(make_model(), compute, probe=False)
    settings = TrainSettings(learning_rate=0.05, warmup_ratio=0, eval_every=2, max_steps=4)
    weights = weights_of(policy, monkeypatch, kept, **settings.model_dump(exclude_unset=True))
    engine = TorchEngine(policy, frozenset([2]))
    places = {name: p.data_ptr() for name, p in policy.named_parameters()}

    def same_memory():
        return {name: p.data_ptr() for name, p in engine.policy.named_parameters()} == places

    seen = [agrees(engine, policy)]
    optimizer_step(weights, CrossEntropy(), [make_batch(rows(4))], 1.0)
    seen.append(agrees(engine, policy))

    def evaluate():
        assert same_memory()
        seen.append(agrees(engine, policy))
        return {"answers": len(seen)}

    source = PackedSource(make_examples(8), global_batch_size=4, micro_batch_tokens=40, epochs=2)
    train(weights, source, CrossEntropy(), settings, tmp_path, evaluate=evaluate)
    assert same_memory()
    assert agrees(engine, policy) == seen[-1]  # as at the last step
    with weights.whole():
        pass  # as for saving
    assert same_memory()
    assert agrees(engine, policy) == seen[-1]
    assert seen[1] == seen[2]
    changing = [seen[0], seen[1], seen[3], seen[4]]
    assert all(a != b for a, b in itertools.pairwise(changing))
