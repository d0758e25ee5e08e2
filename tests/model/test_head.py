"""Log-probabilities and their gradients against float64 log_softmax of all logits at once."""

import pytest
import torch
from torch import nn

from strop.model import head
from strop.model.head import OUTPUTS, head_statistics
from strop.model.logits import LogitsTransform

TRANSFORMS = [LogitsTransform(), LogitsTransform(scale=0.25), LogitsTransform(cap=3.0), LogitsTransform(0.5, 3.0)]


def make(count=23, width=16, vocabulary=61, bias=False, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    linear = nn.Linear(width, vocabulary, bias=bias)
    with torch.no_grad():
        for p in linear.parameters():
            p.copy_(torch.randn(p.shape, generator=generator))
    hidden = torch.randn(count, width, generator=generator).to(dtype).requires_grad_()
    labels = torch.randint(0, vocabulary, (count,), generator=generator)
    upstream = torch.randn(len(OUTPUTS), count, generator=generator)
    return linear.to(dtype), hidden, labels, upstream


def reference(linear, hidden, labels, transform, upstream, temperature=1.0):
    """Float64 outputs and the gradients of hidden, weight (and bias)."""
    parameters = [p.detach().double().requires_grad_() for p in (hidden, *linear.parameters())]
    x = torch.nn.functional.linear(*parameters) * transform.scale
    z = (torch.tanh(x / transform.cap) * transform.cap if transform.cap else x) / temperature
    lse = z.logsumexp(-1)
    entropy = lse - (torch.exp(z - lse[:, None]) * z).sum(-1)
    outputs = torch.stack([z.gather(-1, labels[:, None])[:, 0] - lse, lse, z.mean(-1), entropy])
    return outputs, torch.autograd.grad((outputs * upstream).sum(), parameters)


def gradients(linear, hidden):
    return [p.grad for p in (hidden, *linear.parameters())]


@pytest.mark.parametrize("transform", TRANSFORMS, ids=str)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rows", [512, 5])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_values_and_gradients_equal_float64(monkeypatch, transform, bias, rows, temperature):
    monkeypatch.setattr(head, "CHUNK_ROWS", rows)
    monkeypatch.setattr(head, "CHUNK_ELEMENTS", 1)
    linear, hidden, labels, upstream = make(bias=bias)
    outputs = head_statistics(hidden, labels, linear, transform.at(temperature), OUTPUTS)
    sum((outputs[name] * u).sum() for name, u in zip(OUTPUTS, upstream, strict=True)).backward()
    expected, expected_grads = reference(linear, hidden, labels, transform, upstream, temperature)
    for name, value in zip(OUTPUTS, expected, strict=True):
        torch.testing.assert_close(outputs[name].double(), value, rtol=1e-5, atol=1e-5 / temperature**2)
    for got, true in zip(gradients(linear, hidden), expected_grads, strict=True):
        torch.testing.assert_close(got.double(), true, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("transform", [LogitsTransform(scale=0.5), LogitsTransform(0.5, 6.0)], ids=str)
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_bfloat16_stays_within_its_rounding(transform, temperature):
    """Logits are rounded to bfloat16, 0.4 % of their size (here up to 15); all sums after that are float32.

    By the compiled kernels, where the machine has them.
    """
    linear, hidden, labels, upstream = make(count=64, width=64, vocabulary=512, dtype=torch.bfloat16)
    outputs = head_statistics(hidden, labels, linear, transform.at(temperature), ("logprobs",))
    (outputs["logprobs"] * upstream[0]).sum().backward()
    upstream[1:] = 0
    expected, expected_grads = reference(linear, hidden, labels, transform, upstream, temperature)
    torch.testing.assert_close(outputs["logprobs"].double(), expected[0], rtol=0, atol=0.05 / temperature)
    for got, true in zip(gradients(linear, hidden), expected_grads, strict=True):
        assert (got.double() - true).norm() < 0.02 * true.norm()


@pytest.mark.parametrize("rows", [512, 5])
@pytest.mark.parametrize("bias", [False, True])
def test_an_announced_gradient_gives_the_same_and_makes_the_logits_once(monkeypatch, rows, bias):
    monkeypatch.setattr(head, "CHUNK_ROWS", rows)
    monkeypatch.setattr(head, "CHUNK_ELEMENTS", 1)
    made = []
    monkeypatch.setattr(head.F, "linear", lambda *a, real=head.F.linear: made.append(len(a[0])) or real(*a))
    results = []
    for announced in (False, True):
        linear, hidden, labels, upstream = make(bias=bias)
        made.clear()
        known = upstream[0] if announced else None
        out = head_statistics(hidden, labels, linear, LogitsTransform(), ("logprobs",), known)
        (out["logprobs"] * upstream[0]).sum().mul(3.0).backward()  # a loss scale is allowed
        assert sum(made) == (23 if announced else 46)
        results.append(gradients(linear, hidden))
    torch.testing.assert_close(results[1], results[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("other", ["another direction", "another output too", "zeros announced"])
def test_a_gradient_other_than_announced_is_still_right(other):
    linear, hidden, labels, upstream = make()
    announced = torch.zeros(23) if other == "zeros announced" else upstream[0]
    used = torch.zeros_like(upstream)
    used[0] = upstream[1] if other == "another direction" else upstream[0]
    used[1] = upstream[2] if other == "another output too" else 0
    out = head_statistics(hidden, labels, linear, LogitsTransform(), ("logprobs", "lse"), announced)
    ((out["logprobs"] * used[0]) + (out["lse"] * used[1])).sum().backward()
    _, expected = reference(linear, hidden, labels, LogitsTransform(), used)
    for got, true in zip(gradients(linear, hidden), expected, strict=True):
        torch.testing.assert_close(got.double(), true, rtol=1e-4, atol=1e-4)


def test_never_more_logits_at_once_than_a_chunk(monkeypatch):
    monkeypatch.setattr(head, "CHUNK_ROWS", 4)
    monkeypatch.setattr(head, "CHUNK_ELEMENTS", 61 * 6)
    rows = []
    monkeypatch.setattr(head.F, "linear", lambda *a, real=head.F.linear: rows.append(len(a[0])) or real(*a))
    for count in (6, 7, 200):
        linear, hidden, labels, _ = make(count=count)
        head_statistics(hidden, labels, linear, LogitsTransform(), ("logprobs",))["logprobs"].sum().backward()
    assert max(rows) == 6


def test_a_frozen_head_gets_no_gradient_and_passes_one_on():
    linear, hidden, labels, upstream = make()
    linear.requires_grad_(False)
    for announced in (None, upstream[0]):
        hidden.grad = None
        out = head_statistics(hidden, labels, linear, LogitsTransform(), ("logprobs",), announced)
        (out["logprobs"] * upstream[0]).sum().backward()
        assert linear.weight.grad is None
        upstream[1:] = 0
        _, (expected, _) = reference(linear, hidden, labels, LogitsTransform(), upstream)
        torch.testing.assert_close(hidden.grad.double(), expected, rtol=1e-4, atol=1e-4)


def test_no_trained_position_gives_zeros_on_the_graph():
    linear, hidden, labels, upstream = make(count=0)
    for announced in (None, upstream[0]):
        head_statistics(hidden, labels, linear, LogitsTransform(), OUTPUTS, announced)["logprobs"].sum().backward()
        assert hidden.grad.shape == (0, 16)
