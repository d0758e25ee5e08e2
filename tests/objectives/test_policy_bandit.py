"""Problems small enough to enumerate: expected gradients are the exact policy gradient, and training finds the optimum.

A policy of two tokens: the first ends the answer when it is 0, else a second follows. Every group of answers that can
be sampled goes through credit and objective, weighed by its probability.
"""

import itertools
import math

import pytest
import torch
from answers import objective_of

from strop.chat import Example
from strop.data.batch import make_batch
from strop.objectives.advantages import credit

V = 3
ANSWERS = [(0,), *((first, second) for first in range(1, V) for second in range(V))]
REWARDS = torch.linspace(-1, 2, len(ANSWERS)).double()[torch.tensor([3, 0, 6, 2, 5, 1, 4])]


def logprobs_of(first, second, answer):
    """Of each token; ``first [V]``, ``second [V,V]`` are logits."""
    found = [torch.log_softmax(first, -1)[answer[0]]]
    return torch.stack([*found, *(torch.log_softmax(second[answer[0]], -1)[t] for t in answer[1:])])


def parameters(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(shape, generator=generator).double().requires_grad_() for shape in ((V,), (V, V)))


def exact(policy, ref=None, kl_coef=0.0):
    """Gradient of minus the expected reward (less the KL divergence to ``ref``), by the sum over all answers."""
    value = 0.0
    for answer, reward in zip(ANSWERS, REWARDS, strict=True):
        total = logprobs_of(*policy, answer).sum()
        divergence = 0.0 if ref is None else total - logprobs_of(*ref, answer).sum().detach()
        value = value + total.exp() * (reward - kl_coef * divergence)
    return torch.autograd.grad(-value, policy)


def loss_of(policy, sampled, objective, settings, ref=None):
    """The loss of one group of sampled answers (numbers of `ANSWERS`), as source, credit and objective make it."""
    now = [logprobs_of(*policy, ANSWERS[k]) for k in sampled]
    lengths = [len(x) for x in now]
    ref_logprobs = torch.cat([logprobs_of(*(ref or policy), ANSWERS[k]).detach() for k in sampled])
    given = credit(
        settings,
        REWARDS[list(sampled)],
        torch.zeros(len(sampled), dtype=torch.long),
        torch.repeat_interleave(torch.arange(len(sampled)), torch.tensor(lengths)),
        old_logprobs=torch.cat(now).detach(),
        ref_logprobs=ref_logprobs,
    )
    rows = [Example([9, *ANSWERS[k]], [0.0] + [1.0] * n, "test", (), ()) for k, n in zip(sampled, lengths, strict=True)]
    streams = {"advantages": [[0.0, *x.tolist()] for x in given.advantages.split(lengths)]}
    streams["ref_logprobs"] = [[0.0, *x.tolist()] for x in ref_logprobs.split(lengths)]
    batch = make_batch(rows, streams)
    parts = objective.loss({"logprobs": torch.cat(now)}, batch)
    totals = objective.normalisers(batch)
    return sum(part / totals[name] for name, part in parts.items())


def expected(policy, size, ref=None, **given):
    """Gradient of the loss in expectation over all groups of ``size`` answers."""
    settings, objective = objective_of(**given, one_update=True)
    likely = [logprobs_of(*policy, answer).sum().exp().item() for answer in ANSWERS]
    whole = 0.0
    for sampled in itertools.product(range(len(ANSWERS)), repeat=size):
        whole = whole + math.prod(likely[k] for k in sampled) * loss_of(policy, sampled, objective, settings, ref)
    return torch.autograd.grad(whole, policy)


def assert_same(got, wanted, factor=1.0):
    for g, w in zip(got, wanted, strict=True):
        torch.testing.assert_close(g, factor * w, rtol=1e-5, atol=1e-7)  # streams are float32


@pytest.mark.parametrize(
    ("size", "advantage", "factor"),
    [
        (1, "none", 1.0),
        (2, "none", 1.0),
        (2, "leave_one_out", 1.0),
        (3, "leave_one_out", 1.0),
        (2, "group_mean", 1 / 2),  # a baseline that holds the answer itself shortens the gradient: (n - 1)/n
        (3, "group_mean", 2 / 3),
        (2, "batch_mean", 1 / 2),
    ],
)
def test_the_expected_gradient_is_the_exact_policy_gradient(size, advantage, factor):
    policy = parameters()
    given = {"preset": "reinforce", "advantage": advantage}
    wanted = exact(policy)
    assert all(w.abs().max() > 0.01 for w in wanted)
    assert_same(expected(policy, size, **given), wanted, factor)
    constant = {"reduction": "constant", "loss_constant": 4}
    assert_same(expected(policy, size, **given, **constant), wanted, factor / 4)


def test_rloo_has_the_exact_gradient_of_the_reward_less_the_kl_divergence():
    policy, ref = parameters(), parameters(1)
    assert_same(expected(policy, 2, ref, preset="rloo", kl_coef=0.7), exact(policy, ref, 0.7))


@pytest.mark.parametrize("reduction", ["token_mean", "seq_mean"])
def test_f13_a_mean_over_tokens_or_over_an_answers_own_turns_the_gradient(reduction):
    """Bias by length: no multiple of the exact gradient; with a constant (above) it is one."""
    policy = parameters()
    got = torch.cat([g.flatten() for g in expected(policy, 2, preset="rloo", kl_coef=0, reduction=reduction)])
    wanted = torch.cat([w.flatten() for w in exact(policy)])
    factors = (got / wanted)[wanted != 0]
    assert factors.max() / factors.min() > 1.01
    assert torch.cosine_similarity(got, wanted, dim=0) > 0.9  # a bias, no other direction altogether


@pytest.mark.parametrize("preset", ["grpo", "dapo", "gspo", "cispo", "dr_grpo"])
def test_the_expected_gradient_of_every_group_preset_goes_up_the_reward(preset):
    policy = parameters()
    got = expected(policy, 2, preset=preset, **({"kl_coef": 0} if preset == "grpo" else {}))
    assert sum((g * w).sum() for g, w in zip(got, exact(policy), strict=True)) > 0


@pytest.mark.parametrize(
    "given",
    [
        {"kl_place": "reward", "kl_estimator": "k1"},
        {"kl_place": "loss", "kl_estimator": "k2"},
        {"kl_place": "loss", "kl_estimator": "k3", "kl_weighted": True},
        {"kl_place": "loss", "kl_estimator": "k1", "kl_weighted": True},
    ],
    ids=lambda given: "-".join(map(str, given.values())),
)
def test_training_finds_the_known_optimum(given):
    """``π ∝ π_ref exp(R/β)`` maximises ``E[R] - β KL(π‖π_ref)``: one token, all of them in one batch by probability."""
    rewards, beta = torch.tensor([0.0, 1.0, 0.5, -1.0]).double(), 0.5
    ref = torch.log_softmax(torch.tensor([0.3, -1.0, 0.2, 1.0]).double(), -1)
    optimum = torch.softmax(ref + rewards / beta, -1)
    settings, objective = objective_of(
        "reinforce", advantage="none", reduction="token_mean", kl_coef=beta, **given, one_update=True
    )
    logits = torch.zeros(4).double().requires_grad_()
    answer = torch.arange(4)
    for _ in range(600):
        logprobs = torch.log_softmax(logits, -1)
        now = logprobs.detach()
        scores = credit(settings, rewards, answer, answer, old_logprobs=now, ref_logprobs=ref).advantages
        rows = [Example([9, k], [0.0, now[k].exp().item()], "test", (), ()) for k in range(4)]
        batch = make_batch(
            rows, {"advantages": [[0.0, s] for s in scores.tolist()], "ref_logprobs": [[0.0, r] for r in ref.tolist()]}
        )
        parts, totals = objective.loss({"logprobs": logprobs}, batch), objective.normalisers(batch)
        (gradient,) = torch.autograd.grad(sum(part / totals[name] for name, part in parts.items()), logits)
        logits = (logits - gradient).detach().requires_grad_()
    torch.testing.assert_close(torch.softmax(logits, -1), optimum, atol=1e-4, rtol=1e-3)
