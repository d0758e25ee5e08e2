"""Preference losses against a plain float64 reference, and what they must not depend on."""

import math

import pytest
import torch

from strop.chat import Example
from strop.data.batch import make_batch
from strop.data.prefixes import make_group_batch
from strop.objectives.preference import DPO

# Trained tokens of the chosen and of the rejected answer, per pair; four tokens of prompt before each.
LENGTHS = [(3, 5), (1, 1), (7, 2)]
PROMPT = 4


def make_pairs(seed=0):
    """Per pair the two examples; the answers differ from their first token on."""
    generator = torch.Generator().manual_seed(seed)
    pairs = []
    for lengths in LENGTHS:
        prompt = torch.randint(0, 50, (PROMPT,), generator=generator).tolist()
        rows = [[*prompt, 50 + i, *torch.randint(0, 50, (n - 1,), generator=generator)] for i, n in enumerate(lengths)]
        pairs.append(
            [Example([int(t) for t in r], [0.0] * PROMPT + [1.0] * (len(r) - PROMPT), "t", (), ()) for r in rows]
        )
    return pairs


def make_values(seed):
    """Log-probabilities per pair and answer, one per trained token."""
    generator = torch.Generator().manual_seed(seed)
    return [[-3 * torch.rand(n, generator=generator, dtype=torch.float64) for n in lengths] for lengths in LENGTHS]


def batch_of(numbers, reference, share=False):
    """The pairs of these numbers in one row."""
    pairs = make_pairs()
    return make_group_batch(
        [pairs[i] for i in numbers],
        share=share,
        streams={"ref_logprobs": [[[0.0] * PROMPT + r.tolist() for r in reference[i]] for i in numbers]},
        sequence_streams={"pair": [[p, p] for p in range(len(numbers))], "preferred": [[1, -1] for _ in numbers]},
    )


def flat(values, numbers):
    return torch.cat([v for i in numbers for v in values[i]]).requires_grad_()


def reference_loss(loss_type, chosen, rejected, beta, smoothing):
    h = chosen - rejected
    if loss_type == "sigmoid":
        return -(1 - smoothing) * math.log(1 / (1 + math.exp(-beta * h))) - smoothing * math.log(
            1 / (1 + math.exp(beta * h))
        )
    if loss_type == "ipo":
        return (h - 1 / (2 * beta)) ** 2
    return max(0.0, 1 - beta * h)


def expected_loss(now, reference, loss_type, beta, smoothing, mean):
    ratios = [
        [(a - b).mean().item() if mean else (a - b).sum().item() for a, b in zip(*pair, strict=True)]
        for pair in zip(now, reference, strict=True)
    ]
    losses = [reference_loss(loss_type, c, r, beta, smoothing) for c, r in ratios]
    return sum(losses) / len(losses), ratios


CASES = [
    ("sigmoid", 0.1, 0.0, False),
    ("sigmoid", 0.7, 0.2, False),
    ("sigmoid", 0.7, 0.0, True),
    ("ipo", 0.3, 0.0, False),
    ("ipo", 0.3, 0.0, True),
    ("hinge", 0.5, 0.0, False),
]


@pytest.mark.parametrize(("loss_type", "beta", "smoothing", "mean"), CASES)
def test_value_and_gradient_equal_a_plain_reference(loss_type, beta, smoothing, mean):
    now, reference = make_values(1), make_values(2)
    objective = DPO(beta, loss_type, label_smoothing=smoothing, length_normalised=mean)
    batch = batch_of(range(3), reference)
    logprobs = flat(now, range(3))
    loss = objective.loss({"logprobs": logprobs}, batch)["preference"] / objective.normalisers(batch)["preference"]
    expected, _ = expected_loss(now, reference, loss_type, beta, smoothing, mean)
    assert loss.item() == pytest.approx(expected, rel=1e-6)  # ref_logprobs are float32
    loss.backward()
    step, got = 1e-5, []
    for i, pair in enumerate(now):  # central differences of the reference
        for k in range(2):
            for s in range(len(pair[k])):
                moved = []
                for sign in (1, -1):
                    shifted = [[v.clone() for v in p] for p in now]
                    shifted[i][k][s] += sign * step
                    moved.append(expected_loss(shifted, reference, loss_type, beta, smoothing, mean)[0])
                got.append((moved[0] - moved[1]) / (2 * step))
    torch.testing.assert_close(logprobs.grad, torch.tensor(got, dtype=torch.float64), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(("loss_type", "beta", "smoothing", "mean"), CASES)
def test_neither_micro_batches_nor_order_nor_shared_prompts_matter(loss_type, beta, smoothing, mean):
    now, reference = make_values(1), make_values(2)
    objective = DPO(beta, loss_type, label_smoothing=smoothing, length_normalised=mean)

    def step(cuts, share):
        losses, pairs = 0.0, 0.0
        for numbers in cuts:
            batch = batch_of(numbers, reference, share)
            losses += objective.loss({"logprobs": flat(now, numbers)}, batch)["preference"].item()
            pairs += objective.normalisers(batch)["preference"]
        return losses / pairs

    expected = step([[0, 1, 2]], share=False)
    for cuts in ([[0], [1], [2]], [[2, 0], [1]], [[0, 1, 2]]):
        for share in (False, True):
            assert step(cuts, share) == pytest.approx(expected, rel=1e-6)


def test_metrics_are_means_over_pairs():
    now, reference = make_values(1), make_values(2)
    batch = batch_of(range(3), reference, share=True)
    objective = DPO(0.3)
    shown = objective.metrics({"logprobs": flat(now, range(3)).detach()}, batch)
    _, ratios = expected_loss(now, reference, "sigmoid", 0.3, 0.0, False)
    means = {name: (total / count).item() for name, (total, count) in shown.items()}
    assert means == pytest.approx(
        {
            "reward_chosen": sum(0.3 * c for c, _ in ratios) / 3,
            "reward_rejected": sum(0.3 * r for _, r in ratios) / 3,
            "reward_margin": sum(0.3 * (c - r) for c, r in ratios) / 3,
            "reward_accuracy": sum(c > r for c, r in ratios) / 3,
        },
        rel=1e-5,
    )


def test_at_the_reference_the_loss_is_log_two_and_both_answers_are_pulled_with_half_of_beta():
    reference = make_values(2)
    batch = batch_of(range(3), reference)
    logprobs = batch.streams["ref_logprobs"].clone().requires_grad_()
    loss = DPO(0.4).loss({"logprobs": logprobs}, batch)["preference"]
    loss.backward()
    assert loss.item() / 3 == pytest.approx(math.log(2))
    sign = batch.sequence_streams["preferred"][batch.seq_index]
    torch.testing.assert_close(logprobs.grad, -0.5 * 0.4 * sign)


@pytest.mark.parametrize(
    ("pair", "preferred"), [([0, 1], [1, -1]), ([0, 0], [1, 1]), ([0, 0], [-1, 0]), ([0, 0, 0], [1, -1, -1])]
)
def test_a_pair_that_is_not_one_chosen_and_one_rejected_is_a_mistake(pair, preferred):
    rows = [r for p in make_pairs() for r in p][: len(pair)]
    streams = {"ref_logprobs": [[0.0] * len(r.tokens) for r in rows]}
    batch = make_batch(rows, streams, {"pair": pair, "preferred": preferred})
    with pytest.raises(ValueError, match="keep both in one batch"):
        DPO().normalisers(batch)


def test_arguments_that_make_no_sense_are_refused():
    for arguments in ({"beta": 0.0}, {"label_smoothing": 0.5}, {"loss_type": "ipo", "label_smoothing": 0.1}):
        with pytest.raises(ValueError, match=r"above 0|for sigmoid"):
            DPO(**arguments)
