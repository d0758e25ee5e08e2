"""Cross-entropy and what can be added to it, against plain references in float64: values and gradients."""

import math

import pytest
import torch

from strop.chat import Example
from strop.data.batch import make_batch
from strop.objectives.sft import CrossEntropy

VOCABULARY = 23
WEIGHTS = (1.0, 0.25, 1.0, 0.5)


def make_rows(lens=(3, 9, 1, 6), seed=0):
    """Sequences of ``n + 2`` tokens with ``n`` trained ones, of unequal weights; the one of one token has none."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for i, n in enumerate(lens):
        tokens = torch.randint(0, VOCABULARY, (n + 2,), generator=generator).tolist()
        weights = [0.0, 0.0] + [WEIGHTS[(i + j) % 4] if n > 1 else 0.0 for j in range(n)]
        rows.append(Example(tokens, weights, "test", (), ()))
    return rows


def logits_of(batch, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return (3 * torch.randn(len(batch.labels), VOCABULARY, dtype=torch.float64, generator=generator)).requires_grad_()


def outputs_of(logits, labels):
    """What Policy gives: transformed logits reduced to one number per position."""
    lse = torch.logsumexp(logits, -1)
    logprobs = logits.gather(1, labels[:, None])[:, 0] - lse
    return {"logprobs": logprobs, "lse": lse, "mean_logits": logits.mean(-1)}


def total_of(objective, batch, outputs):
    totals, parts = objective.normalisers(batch), objective.loss(outputs, batch)
    assert parts.keys() == totals.keys()
    return sum(part / totals[name] for name, part in parts.items())


def reduced(losses, batch, reduction, constant):
    """The reductions by loops over sequences."""
    weights, owner = batch.weights.double(), batch.seq_index
    sums = {n: (weights * losses)[owner == n].sum() for n in owner.unique().tolist()}
    if reduction == "token_mean":
        return sum(sums.values()) / weights.sum()
    if reduction == "seq_mean":
        return sum(s / weights[owner == n].sum() for n, s in sums.items()) / len(sums)
    return sum(sums.values()) / len(sums) / (constant or 1)


LOSSES = {
    "plain": ({}, lambda p, z, y: -p.log()[y]),
    "label_smoothing": (
        {"label_smoothing": 0.1},
        lambda p, z, y: -sum((0.9 * (v == y) + 0.1 / VOCABULARY) * p[v].log() for v in range(VOCABULARY)),
    ),
    "dft": ({"dft": True}, lambda p, z, y: -p[y].item() * p[y].log()),
    "z_loss": ({"z_loss": 1e-2}, lambda p, z, y: -p.log()[y] + 1e-2 * z.exp().sum().log() ** 2),
    "dft and z_loss": (
        {"dft": True, "z_loss": 0.1},
        lambda p, z, y: -p[y].item() * p[y].log() + 0.1 * z.exp().sum().log() ** 2,
    ),
    "smoothing and z_loss": (
        {"label_smoothing": 0.3, "z_loss": 0.1},
        lambda p, z, y: -0.7 * p.log()[y] - 0.3 * p.log().mean() + 0.1 * z.exp().sum().log() ** 2,
    ),
}


@pytest.mark.parametrize(
    ("reduction", "constant"), [("token_mean", None), ("seq_mean", None), ("seq_sum", None), ("constant", 12.0)]
)
@pytest.mark.parametrize("name", LOSSES)
def test_value_and_gradient_equal_a_plain_reference(name, reduction, constant):
    settings, per_token = LOSSES[name]
    batch = make_batch(make_rows())
    logits, copy = logits_of(batch), logits_of(batch)
    loss = total_of(CrossEntropy(reduction, constant=constant, **settings), batch, outputs_of(logits, batch.labels))
    pairs = zip(copy, batch.labels.tolist(), strict=True)
    expected = reduced(
        torch.stack([per_token(torch.softmax(z, -1), z, y) for z, y in pairs]), batch, reduction, constant
    )
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-7, atol=0)  # weights are float32
    assert logits.grad.abs().max() > 1e-3
    torch.testing.assert_close(logits.grad, copy.grad, rtol=1e-6, atol=1e-9)


def test_a_want_lists_what_is_read_and_nothing_else():
    everything = {"logprobs", "lse", "mean_logits", "entropy", "aux"}
    batch = make_batch(make_rows())
    for settings, _ in LOSSES.values():
        objective = CrossEntropy(**settings)
        outputs = outputs_of(logits_of(batch), batch.labels)
        objective.loss({name: outputs[name] for name in objective.want}, batch)  # a name that lacks is a KeyError
        assert set(objective.want) <= everything
    assert CrossEntropy().want == ("logprobs",)
    assert CrossEntropy(label_smoothing=0.1).want == ("logprobs", "lse", "mean_logits")
    assert CrossEntropy(z_loss=0.1, aux=0.1).want == ("logprobs", "lse", "aux")


@pytest.mark.parametrize("settings", [{}, *(s for s, _ in LOSSES.values() if s)])
@pytest.mark.parametrize("reduction", ["token_mean", "seq_mean", "seq_sum"])
def test_one_row_equals_a_row_per_sequence(settings, reduction):
    rows = make_rows()
    objective = CrossEntropy(reduction, **settings)
    whole, parts = make_batch(rows), [make_batch([row]) for row in rows]
    logits = logits_of(whole)
    sums, totals, start = {}, {}, 0
    for part in parts:
        piece = logits[start : start + len(part.labels)]
        start += len(part.labels)
        for name, value in objective.loss(outputs_of(piece, part.labels), part).items():
            sums[name] = sums.get(name, 0.0) + value
        for name, value in objective.normalisers(part).items():
            totals[name] = totals.get(name, 0.0) + value
    together = total_of(objective, whole, outputs_of(logits, whole.labels))
    torch.testing.assert_close(sum(sums[n] / totals[n] for n in sums), together, rtol=1e-7, atol=0)


@pytest.mark.parametrize("reduction", ["token_mean", "seq_mean", "seq_sum", "constant"])
def test_the_gradient_that_is_known_beforehand_is_autograds(reduction):
    rows = make_rows()
    batches = [make_batch(rows[:2]), make_batch(rows[2:])]
    objective = CrossEntropy(reduction, constant=7.0 if reduction == "constant" else None)
    totals = {"cross_entropy": sum(objective.normalisers(b)["cross_entropy"] for b in batches)}
    for batch in batches:
        logprobs = -torch.rand(len(batch.labels)).requires_grad_()
        logprobs.retain_grad()
        (objective.loss({"logprobs": logprobs}, batch)["cross_entropy"] / totals["cross_entropy"]).backward()
        torch.testing.assert_close(objective.linear(batch, totals), logprobs.grad, rtol=1e-6, atol=0)


def test_no_gradient_is_promised_where_the_loss_is_not_linear_in_the_log_probabilities():
    batch = make_batch(make_rows())
    for settings in ({"dft": True}, {"label_smoothing": 0.1}, {"z_loss": 1e-4}):
        objective = CrossEntropy(**settings)
        assert objective.linear(batch, objective.normalisers(batch)) is None
    balanced = CrossEntropy(aux=0.01)  # which reads the routers, not the head
    assert balanced.linear(batch, balanced.normalisers(batch)) is not None


def test_the_balancing_loss_is_a_mean_over_rows_weighted_by_their_tokens():
    rows = make_rows()
    objective = CrossEntropy(aux=0.5)
    batches, values = [make_batch(rows[:1]), make_batch(rows[1:])], [1.5, 3.0]
    outputs = [
        {**outputs_of(logits_of(b), b.labels), "aux": torch.tensor(v)} for b, v in zip(batches, values, strict=True)
    ]
    got = sum(objective.loss(o, b)["aux"] for o, b in zip(outputs, batches, strict=True))
    tokens = [len(b.tokens) for b in batches]
    expected = 0.5 * sum(n * v for n, v in zip(tokens, values, strict=True)) / sum(tokens)
    assert (got / sum(objective.normalisers(b)["aux"] for b in batches)).item() == pytest.approx(expected)


def test_the_plain_loss_is_shown_where_another_is_minimised():
    batch = make_batch(make_rows())
    outputs = outputs_of(logits_of(batch), batch.labels)
    total, count = CrossEntropy(dft=True).metrics(outputs, batch)["nll"]
    plain = total_of(CrossEntropy(), batch, outputs)
    assert (total / count).item() == pytest.approx(plain.item())
    assert CrossEntropy().metrics(outputs, batch) == {}


def test_a_row_without_a_trained_token_adds_nothing():
    batch = make_batch(make_rows((1, 1)))
    assert not len(batch.labels)
    objective = CrossEntropy("seq_mean", label_smoothing=0.1, z_loss=0.1)
    assert set(objective.normalisers(batch).values()) == {0.0}
    empty = {name: torch.zeros(0, requires_grad=True) for name in objective.want}
    assert [part.item() for part in objective.loss(empty, batch).values()] == [0.0, 0.0]


def test_uniform_predictions_lose_the_same_whatever_the_smoothing():
    batch = make_batch(make_rows())
    outputs = outputs_of(torch.zeros(len(batch.labels), VOCABULARY, dtype=torch.float64), batch.labels)
    for smoothing in (0.0, 0.1, 0.9):
        loss = total_of(CrossEntropy(label_smoothing=smoothing), batch, outputs)
        assert loss.item() == pytest.approx(math.log(VOCABULARY))


def test_contradictions_are_refused():
    with pytest.raises(ValueError, match="dft and label_smoothing"):
        CrossEntropy(dft=True, label_smoothing=0.1)
    for reduction, constant in (("constant", None), ("token_mean", 5.0)):
        with pytest.raises(ValueError, match="constant"):
            CrossEntropy(reduction, constant=constant)
