"""Draws, their log-probabilities and the filters, with torch's operations and by the kernel."""

import pytest
import torch

from strop.model import accelerate
from strop.model.logits import LogitsTransform
from strop.rollout.engine import SamplingParams
from strop.rollout.random_numbers import stream, uniform
from strop.rollout.sampling import draw

SHARES = torch.tensor([0.5, 0.3, 0.15, 0.05])
DTYPES = [
    torch.float32,
    pytest.param(
        torch.bfloat16, marks=pytest.mark.skipif(not accelerate.available(), reason="no kernels on this machine")
    ),
]


def numbers(count, key=7):
    return [uniform(key, i) for i in range(count)]


def drawn(logits, count, transform=None, dtype=torch.float32, **params):
    params = [SamplingParams(**{"temperature": 1.0, **params})] * count
    return draw(logits.to(dtype).expand(count, -1).contiguous(), transform or LogitsTransform(), params, numbers(count))


@pytest.mark.parametrize("dtype", DTYPES)
def test_draws_follow_the_distribution(dtype):
    out = drawn(SHARES.log(), 20_000, dtype=dtype)
    share = torch.bincount(torch.tensor(out.tokens), minlength=4) / 20_000
    # Four standard errors of a share of one half over 20,000 draws are 0.014.
    expected = SHARES.log().to(dtype).double().log_softmax(-1)
    torch.testing.assert_close(share.double(), expected.exp(), atol=0.014, rtol=0)
    torch.testing.assert_close(torch.tensor(out.plain).double(), expected[out.tokens], atol=1e-5, rtol=0)
    assert out.logprobs == out.plain


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_wide_vocabulary_is_drawn_from_evenly(dtype):
    """Of 5,003 alike tokens each tenth gets a tenth of the draws: the last, shorter stretch of a row included."""
    tokens = torch.tensor(drawn(torch.zeros(5003), 4000, dtype=dtype).tokens)
    share = torch.histc(tokens.float(), bins=10, min=0, max=5003) / 4000
    torch.testing.assert_close(share, torch.full((10,), 0.1), atol=0.02, rtol=0)
    assert tokens.max() < 5003


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("transform", [LogitsTransform(), LogitsTransform(0.5), LogitsTransform(2.0, 5.0)])
def test_log_probabilities_are_those_of_the_models_logits_at_this_temperature(transform, dtype):
    torch.manual_seed(0)
    raw = (3 * torch.randn(6, 1003)).to(dtype)
    params = [SamplingParams(temperature=t) for t in (0.0, 0.3, 0.7, 1.0, 1.5, 0.0)]
    out = draw(raw, transform, params, numbers(6))
    x = raw.double() * transform.scale
    z = transform.cap * torch.tanh(x / transform.cap) if transform.cap else x
    for i, p in enumerate(params):
        expected = torch.log_softmax(z[i] / (p.temperature or 1.0), -1)
        assert out.plain[i] == pytest.approx(expected[out.tokens[i]].item(), abs=2e-5)
        if not p.temperature:
            assert out.tokens[i] == raw[i].argmax()


@pytest.mark.skipif(accelerate.draw(torch.zeros(1, 2)) is None, reason="no compiler on this machine")
@pytest.mark.parametrize("transform", [LogitsTransform(), LogitsTransform(1.5, 3.0)])
@pytest.mark.parametrize("vocabulary", [3, 1024, 3001])
def test_the_kernel_draws_what_torch_draws(vocabulary, transform, monkeypatch):
    torch.manual_seed(1)
    raw = 2 * torch.randn(500, vocabulary)
    params = [SamplingParams(temperature=0.8 * (i % 7 > 0)) for i in range(500)]
    ours = draw(raw, transform, params, numbers(500))
    monkeypatch.setattr(accelerate, "draw", lambda _: None)
    theirs = draw(raw, transform, params, numbers(500))
    same = [a == b for a, b in zip(ours.tokens, theirs.tokens, strict=True)]
    assert sum(same) >= 499  # one may lie at the border of two tokens
    for a, b, alike in zip(ours.plain, theirs.plain, same, strict=True):
        assert not alike or a == pytest.approx(b, abs=2e-5)


@pytest.mark.parametrize(
    ("params", "kept"),
    [
        ({"top_p": 0.7}, [0.625, 0.375, 0, 0]),
        ({"top_p": 0.45}, [1, 0, 0, 0]),
        ({"top_k": 3}, [0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0]),
        ({"min_p": 0.4}, [0.625, 0.375, 0, 0]),
        ({"allowed_token_ids": (3, 1)}, [0, 0.3 / 0.35, 0, 0.05 / 0.35]),
        ({"allowed_token_ids": (3, 1, 3, 3)}, [0, 0.3 / 0.35, 0, 0.05 / 0.35]),
        ({"allowed_token_ids": (1, 2, 3), "top_k": 2}, [0, 2 / 3, 1 / 3, 0]),
        ({"top_k": 3, "top_p": 0.8}, [0.625, 0.375, 0, 0]),  # 0.3 / 0.95 + 0.5 / 0.95 is above 0.8
    ],
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_filters_keep_what_they_say_and_both_log_probabilities_are_told(params, kept, dtype):
    out = drawn(SHARES.log(), 4000, dtype=dtype, **params)
    kept = torch.tensor(kept, dtype=torch.float32)
    share = torch.bincount(torch.tensor(out.tokens), minlength=4) / 4000
    torch.testing.assert_close(share, kept, atol=0.035, rtol=0)
    assert set(out.tokens) == set(kept.nonzero()[:, 0].tolist())
    loose = 1e-5 if dtype == torch.float32 else 0.01
    torch.testing.assert_close(torch.tensor(out.logprobs).exp(), kept[out.tokens], atol=loose, rtol=0)
    torch.testing.assert_close(torch.tensor(out.plain).exp(), SHARES[out.tokens], atol=loose, rtol=0)


def test_greedy_among_the_allowed():
    assert drawn(SHARES.log(), 1, temperature=0.0, allowed_token_ids=(3, 2)).tokens == [2]


def test_the_likeliest_tokens_are_told():
    out = drawn(SHARES.log(), 2, logprobs=2)
    for row in out.top:
        assert [i for i, _ in row] == [0, 1]
        assert [p for _, p in row] == pytest.approx(SHARES[:2].log().tolist(), abs=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("more", [{}, {"top_p": 0.5, "logprobs": 2}, {"min_p": 0.1}, {"allowed_token_ids": (3, 4)}])
def test_what_is_not_finite_is_told(more, bad, temperature, dtype):
    raw = torch.zeros(3, 40)
    raw[1, 17] = bad
    out = draw(raw.to(dtype), LogitsTransform(), [SamplingParams(temperature=temperature, **more)] * 3, numbers(3))
    assert [p != p for p in out.plain] == [False, True, False]


@pytest.mark.parametrize("bad", [float("nan"), float("-inf"), float("inf")])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("vocabulary", [3, 97, 2048])
def test_a_row_of_nothing_else_is_told_and_its_token_is_one(vocabulary, temperature, bad):
    raw = torch.zeros(3, vocabulary)
    raw[1] = bad
    out = draw(raw, LogitsTransform(), [SamplingParams(temperature=temperature)] * 3, numbers(3))
    assert [p != p for p in out.plain] == [False, True, False]
    assert all(0 <= token < vocabulary for token in out.tokens)


def test_random_numbers_depend_on_seed_name_sample_and_place():
    keys = [stream(0, "a", 0), stream(1, "a", 0), stream(0, "b", 0), stream(0, "a", 1), stream(0, "0/a", 0)]
    assert len(set(keys)) == len(keys)
    assert stream(0, "a", 0) == keys[0]
    values = torch.tensor([uniform(keys[0], i) for i in range(10_000)], dtype=torch.float64)
    assert values.min() >= 0
    assert values.max() < 1
    torch.testing.assert_close(
        torch.histc(values, bins=10, min=0, max=1) / 1000, torch.ones(10).double(), atol=0.15, rtol=0
    )
    neighbours = torch.corrcoef(torch.stack([values[:-1], values[1:]]))[0, 1]
    assert abs(neighbours) < 0.04  # four standard errors
