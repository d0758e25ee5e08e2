"""Estimates of the KL divergence over a toy vocabulary, tokens weighed by their probability: values and gradients."""

import math

import pytest
import torch

from strop.objectives.kl import LARGEST, AdaptiveKL, kl_estimate

V = 7


def policies(seed=0, apart=1.0):
    generator = torch.Generator().manual_seed(seed)
    logits, noise, old = torch.randn(3, V, generator=generator, dtype=torch.float64)
    return logits.requires_grad_(), torch.log_softmax(logits.detach() + apart * noise, -1), torch.log_softmax(old, -1)


def gradient(loss, logits):
    return torch.autograd.grad(loss, logits, retain_graph=True)[0]


def reverse(logits, ref):
    """KL(π‖π_ref)"""
    now = torch.log_softmax(logits, -1)
    return (now.exp() * (now - ref)).sum()


def forward(logits, ref):
    """KL(π_ref‖π)"""
    return (ref.exp() * (ref - torch.log_softmax(logits, -1))).sum()


def in_the_loss(logits, ref, estimator):
    """Expectation over tokens drawn from π, through whose probabilities no gradient goes: what a batch gives."""
    now = torch.log_softmax(logits, -1)
    return (now.detach().exp() * kl_estimate(now, ref, estimator)).sum()


@pytest.mark.parametrize(("estimator", "unbiased"), [("k1", True), ("k2", False), ("k3", True)])
def test_values_in_expectation(estimator, unbiased):
    logits, ref, _ = policies()
    exact = reverse(logits, ref).item()
    assert (in_the_loss(logits, ref, estimator).item() == pytest.approx(exact, rel=1e-12)) is unbiased
    each = kl_estimate(torch.log_softmax(logits, -1), ref, estimator)
    assert (each.min() >= 0) == (estimator != "k1")


def test_f10_k1_in_the_loss_has_an_expected_gradient_of_zero():
    logits, ref, _ = policies()
    assert gradient(in_the_loss(logits, ref, "k1"), logits).abs().max() < 1e-15
    assert gradient(reverse(logits, ref), logits).abs().max() > 0.01


def test_f10_k2_in_the_loss_has_the_gradient_of_the_divergence():
    logits, ref, _ = policies()
    exact = gradient(reverse(logits, ref), logits)
    torch.testing.assert_close(gradient(in_the_loss(logits, ref, "k2"), logits), exact, rtol=1e-10, atol=1e-14)


def test_f10_k3_in_the_loss_has_the_gradient_of_the_divergence_in_the_other_direction():
    logits, ref, _ = policies()
    got = gradient(in_the_loss(logits, ref, "k3"), logits)
    torch.testing.assert_close(got, gradient(forward(logits, ref), logits), rtol=1e-10, atol=1e-14)
    assert (got - gradient(reverse(logits, ref), logits)).abs().max() > 0.01
    near, ref, _ = policies(apart=1e-4)  # where the two directions agree to first order
    got, exact = gradient(in_the_loss(near, ref, "k3"), near), gradient(reverse(near, ref), near)
    assert (got - exact).norm() < 1e-3 * exact.norm()


def test_f10_times_the_ratio_k1_and_k3_have_the_gradient_of_the_divergence_whoever_sampled():
    logits, ref, old = policies()
    exact = gradient(reverse(logits, ref), logits)
    now = torch.log_softmax(logits, -1)
    for estimator, same in (("k1", True), ("k3", True), ("k2", False)):
        weighted = (old.exp() * (now - old).exp() * kl_estimate(now, ref, estimator)).sum()  # tokens drawn from π_old
        got = gradient(weighted, logits)
        assert ((got - exact).abs().max().item() < 1e-12) is same


def test_in_the_reward_the_policy_gradient_of_k1_alone_is_that_of_the_divergence():
    logits, ref, _ = policies()
    exact = gradient(reverse(logits, ref), logits)
    now = torch.log_softmax(logits, -1)
    for estimator in ("k1", "k2", "k3"):
        reward = -kl_estimate(now, ref, estimator).detach()
        got = gradient((now.detach().exp() * reward * now).sum(), logits)
        assert ((got + exact).abs().max().item() < 1e-12) is (estimator == "k1")


@pytest.mark.parametrize("delta", [-1000.0, -80.0, -24.0, -20.5, -20.0, -19.0, -5.0, 0.0, 3.0, 30.0, 500.0])
def test_k3_far_from_the_reference_is_a_line_with_a_gradient_that_leads_back(delta):
    """Against plain float64: exp(-δ) - 1 + δ down to -LARGEST, its tangent below."""
    far = torch.tensor([delta], requires_grad=True)
    estimate = kl_estimate(far, torch.zeros(1), "k3")
    estimate.backward()
    touched = max(delta, -LARGEST)
    slope = 1 - math.exp(-touched)
    value = math.exp(-touched) - 1 + touched + slope * (delta - touched)
    assert far.grad.item() == pytest.approx(slope, rel=1e-6)
    assert estimate.item() == pytest.approx(value, rel=1e-6)
    assert (far.grad.item() < 0) == (delta < 0)  # below the reference's log-probability a step downhill raises it


def test_the_adaptive_coefficient_follows_zieglers_rule():
    coefficient = AdaptiveKL(0.2, target=6.0)
    coefficient.update(6.0)
    assert coefficient.coef == 0.2
    coefficient.update(6.6)  # e = 0.1
    assert coefficient.coef == pytest.approx(0.2 * 1.01)
    coefficient.update(100.0)  # e is at most 0.2
    assert coefficient.coef == pytest.approx(0.2 * 1.01 * 1.02)
    coefficient.update(0.0)
    assert coefficient.coef == pytest.approx(0.2 * 1.01 * 1.02 * 0.98)
    other = AdaptiveKL(0.2, target=6.0)
    other.load_state_dict(coefficient.state_dict())
    assert other.coef == coefficient.coef
    fixed = AdaptiveKL(0.2, None)
    fixed.update(100.0)
    assert fixed.coef == 0.2
