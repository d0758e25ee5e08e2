"""Float32 masters: small updates count, gradients are summed in float32, and float32 weights come back."""

import pytest
import torch
from small_runs import Idle

from strop.chat import Example
from strop.data.batch import make_batch
from strop.model import accelerate
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.objectives.sft import CrossEntropy
from strop.train.groups import tensor_kinds
from strop.train.masters import Masters
from strop.train.optim import halvable, make_optimizer
from strop.train.settings import TrainSettings
from strop.train.step import optimizer_step

BFLOAT16 = Compute(torch.device("cpu"), torch.bfloat16)


def rows(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        Example(torch.randint(0, 97, (12,), generator=generator).tolist(), [0.0] * 4 + [1.0] * 8, "test", (), ())
        for _ in range(count)
    ]


HALVED = pytest.param(
    "halved", marks=pytest.mark.skipif(not accelerate.available(), reason="no kernels on this machine")
)


@pytest.mark.parametrize("kept", ["whole", HALVED])
def test_a_learning_rate_of_1e_6_still_moves_the_weights(kept, make_model):
    """An update of 1e-6 is below half a unit in the last place of a bfloat16 weight from 2.6e-4 on: it would vanish."""
    policy = Policy(make_model(), BFLOAT16, probe=False)
    before = {name: p.detach().clone() for name, p in policy.named_parameters()}
    settings, kinds = TrainSettings(learning_rate=1e-6), tensor_kinds(policy)
    halved = halvable(policy.named_parameters(), settings, kinds) if kept == "halved" else ()
    masters = Masters(policy, torch.bfloat16, halved=halved)
    optimizer = make_optimizer(masters.named.items(), settings, kinds)
    masters.hand_over(optimizer)
    assert all(m.dtype == (torch.bfloat16 if kept == "halved" else torch.float32) for m in masters.tensors())
    steps = 100
    for step in range(steps):
        optimizer_step(policy, CrossEntropy(), optimizer, [make_batch(rows(4, seed=step % 3))], 1.0, masters)
    held = {name: p.detach().float() for name, p in policy.named_parameters()}
    masters.release()
    name = "model.model.layers.0.mlp.down_proj.weight"
    moved = (dict(policy.named_parameters())[name] - before[name]).abs()
    assert 5e-6 < moved.mean() < 1e-6 * steps * 1.01
    assert (moved > 0).all()
    # What bfloat16 weights alone would have kept of one step: nearly nothing.
    one_step = (before[name].bfloat16() + 1e-6).bfloat16() != before[name].bfloat16()
    assert one_step.float().mean() < 0.05
    # And the model computed with the rounded masters, not with what it began with.
    rounded = dict(policy.named_parameters())[name].detach().bfloat16().float()
    assert (held[name] != rounded).float().mean() < (0.001 if kept == "halved" else 1e-9)  # ties round the other way
    assert (held[name] != before[name].bfloat16().float()).any()


def test_gradients_of_micro_batches_are_summed_in_float32(make_model):
    """Sixteen micro-batches that are all the same: their sum is sixteen times one of them, exactly."""
    grads = []
    for count in (1, 16):
        policy = Policy(make_model(), BFLOAT16, probe=False)
        masters = Masters(policy, torch.bfloat16)
        optimizer_step(policy, CrossEntropy(), Idle(), [make_batch(rows(1))] * count, 1e9, masters)
        grads.append([m.grad for m in masters.tensors()])
        assert all(g.dtype == torch.float32 for g in grads[-1])
        assert all(p.grad is None for p in policy.parameters())
    torch.testing.assert_close(grads[1], grads[0], rtol=2e-2, atol=1e-5)
    # A sum kept in bfloat16 would be off by more than its rounding: here the mean error is that of one gradient.
    a, b = (torch.cat([g.flatten() for g in gs]) for gs in grads)
    assert ((a - b).norm() / a.norm()).item() < 5e-3


def test_released_weights_are_the_float32_masters(make_model):
    model = make_model()
    policy = Policy(model, BFLOAT16, probe=False)
    original = {name: p.detach().clone() for name, p in policy.named_parameters()}
    masters = Masters(policy, torch.bfloat16)
    assert {p.dtype for p in policy.parameters()} == {torch.bfloat16}
    masters.release()
    for name, p in policy.named_parameters():
        assert torch.equal(p, original[name]), name
    policy(make_batch(rows(1)))["logprobs"].sum().backward()
    assert all(p.grad is not None for p in policy.parameters())  # no hook is left


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_frozen_weights_have_no_master(make_model, dtype):
    model = make_model()
    model.model.embed_tokens.requires_grad_(False)
    policy = Policy(model, Compute(torch.device("cpu"), dtype), probe=False)
    masters = Masters(policy, dtype)
    assert not any("embed_tokens" in name for name in masters.named)
    assert model.model.embed_tokens.weight.dtype == dtype


def test_in_float32_the_weights_are_their_own_masters(make_model):
    policy = Policy(make_model(), Compute(torch.device("cpu"), torch.float32), probe=False)
    masters = Masters(policy, torch.float32)
    for name, p in policy.named_parameters():
        assert masters.named[name] is p


@pytest.mark.skipif(not accelerate.available(), reason="no kernels on this machine")
@pytest.mark.parametrize("optimizer", ["adamw", "adamw_8bit"])
def test_halved_masters_train_as_whole_ones(optimizer, make_model):
    """Whichever way they are kept: the same losses to the rounding of bfloat16, and float32 weights at the end."""
    losses, weights = {}, {}
    for kept in ("whole", "halved"):
        policy = Policy(make_model(hidden_size=64, intermediate_size=96), BFLOAT16, probe=False)
        settings, kinds = TrainSettings(learning_rate=3e-3, optimizer=optimizer), tensor_kinds(policy)
        halved = halvable(policy.named_parameters(), settings, kinds) if kept == "halved" else ()
        masters = Masters(policy, torch.bfloat16, halved=halved)
        made = make_optimizer(masters.named.items(), settings, kinds)
        masters.hand_over(made)
        batches = [[make_batch(rows(4, seed=i % 2)), *([make_batch(rows(4, seed=5))] * (i % 3))] for i in range(12)]
        losses[kept] = [optimizer_step(policy, CrossEntropy(), made, b, 1.0, masters)[0]["loss"] for b in batches]
        masters.release()
        weights[kept] = list(policy.parameters())
    assert losses["halved"] == pytest.approx(losses["whole"], rel=2e-2)
    assert losses["halved"][0] == pytest.approx(losses["whole"][0], rel=1e-3)  # two weights of 45,000 are ties
    assert losses["halved"][-1] < 0.8 * losses["halved"][0]
    for a, b in zip(weights["halved"], weights["whole"], strict=True):
        assert a.dtype == torch.float32
        assert (a - b).abs().mean() < 3e-3  # of a movement of up to 12 x 3e-3


@pytest.mark.parametrize("passes", [1, 2])
def test_a_step_begins_without_gradients_so_that_what_gets_none_is_not_stepped(passes, make_model):
    """Zeros in their place would decay it, move it by old momentum, and differ from a run that was resumed."""
    policy = Policy(make_model(), BFLOAT16, probe=False)
    masters = Masters(policy, torch.bfloat16)
    for tensor in masters.tensors():
        tensor.grad = torch.ones_like(tensor)
    masters.begin(passes)
    assert all(tensor.grad is None for tensor in masters.tensors())
