"""Preference losses against a plain float64 reference, and what they must not depend on."""

import math
from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from strop.chat import Example
from strop.data.batch import make_batch
from strop.data.prefixes import make_group_batch
from strop.objectives.preference import preference_objective
from strop.objectives.preference_settings import PreferenceLossSettings

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


def log_sigmoid(x):
    return -math.log(1 + math.exp(-x))


def reference_loss(s, c, r):
    """The table of METHODS, one pair, in plain floats."""
    beta, eps = s.scale, s.label_smoothing
    h = beta * (c - r)
    flipped = -(1 - eps) * log_sigmoid(h), eps * log_sigmoid(-h)
    return {
        "dpo": lambda: -log_sigmoid(h),
        "cdpo": lambda: flipped[0] - flipped[1],
        "robust": lambda: sum(flipped) / (1 - 2 * eps),
        "hinge": lambda: max(0.0, 1 - h),
        "ipo": lambda: (c - r - 1 / (2 * beta)) ** 2,
        "simpo": lambda: -log_sigmoid(h - s.gamma),
        "orpo": lambda: -beta * log_sigmoid(c - math.log(1 - math.exp(c)) - r + math.log(1 - math.exp(r))),
    }[s.type]()


def values_of(s, now, reference):
    """What the loss is of, per pair and answer: sums or means, less the reference's where there is one."""
    mean = s.length_normalised or not s.method.reference
    return [
        [
            (math.fsum(a - (b if s.method.reference else 0) for a, b in zip(x.tolist(), y.tolist(), strict=True)))
            / (len(x) if mean else 1)
            for x, y in zip(*pair, strict=True)
        ]
        for pair in zip(now, reference, strict=True)
    ]


def expected_loss(s, now, reference):
    losses = [reference_loss(s, c, r) for c, r in values_of(s, now, reference)]
    sft = [-chosen.mean().item() for chosen, _ in now]
    return sum(losses) / len(losses) + s.sft_share * sum(sft) / len(sft)


def total_of(objective, logprobs, batch):
    parts, counts = objective.loss({"logprobs": logprobs}, batch), objective.normalisers(batch)
    assert parts.keys() == counts.keys()
    return sum(part / counts[name] for name, part in parts.items())


def differences(expected, now):
    """The gradient of ``expected(values)`` by central differences, flat."""
    step, got = 1e-5, []
    for i, answers in enumerate(now):
        for k, values in enumerate(answers):
            for at in range(len(values)):
                moved = []
                for sign in (1, -1):
                    shifted = [[v.clone() for v in each] for each in now]
                    shifted[i][k][at] += sign * step
                    moved.append(expected(shifted))
                got.append((moved[0] - moved[1]) / (2 * step))
    return torch.tensor(got, dtype=torch.float64)


CASES = [
    {"type": "dpo"},
    {"type": "dpo", "beta": 0.7, "length_normalised": True, "sft_weight": 0.3},
    {"type": "cdpo", "beta": 0.7, "label_smoothing": 0.2},
    {"type": "robust", "beta": 0.7, "label_smoothing": 0.2},
    {"type": "hinge", "beta": 0.5},
    {"type": "ipo", "beta": 0.3},
    {"type": "ipo", "beta": 0.3, "length_normalised": True},
    {"type": "simpo", "gamma": 0.5},
    {"type": "orpo"},
    {"type": "orpo", "beta": 0.4, "sft_weight": 0},
]
SETTINGS = [PreferenceLossSettings(**case) for case in CASES]
NAMES = [" ".join(map(str, case.values())) for case in CASES]


@pytest.mark.parametrize("settings", SETTINGS, ids=NAMES)
def test_value_and_gradient_equal_a_plain_reference(settings):
    now, reference = make_values(1), make_values(2)
    batch, logprobs = batch_of(range(3), reference), flat(now, range(3))
    loss = total_of(preference_objective(settings), logprobs, batch)
    assert loss.item() == pytest.approx(expected_loss(settings, now, reference), rel=1e-6)  # ref_logprobs are float32
    loss.backward()
    got = differences(lambda moved: expected_loss(settings, moved, reference), now)
    torch.testing.assert_close(logprobs.grad, got, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("settings", SETTINGS, ids=NAMES)
def test_neither_micro_batches_nor_order_nor_shared_prompts_matter(settings):
    now, reference = make_values(1), make_values(2)
    objective = preference_objective(settings)

    def step(cuts, share):
        parts, counts = {}, {}
        for numbers in cuts:
            batch = batch_of(numbers, reference, share)
            for name, part in objective.loss({"logprobs": flat(now, numbers)}, batch).items():
                parts[name] = parts.get(name, 0.0) + part.item()
            for name, count in objective.normalisers(batch).items():
                counts[name] = counts.get(name, 0.0) + count
        return sum(parts[name] / counts[name] for name in parts)

    expected = step([[0, 1, 2]], share=False)
    for cuts in ([[0], [1], [2]], [[2, 0], [1]], [[0, 1, 2]]):
        for share in (False, True):
            assert step(cuts, share) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kl", [0.7, -0.4])
def test_kto_equals_a_plain_reference_and_no_gradient_goes_through_its_kl(kl):
    s = PreferenceLossSettings(type="kto", beta=0.3, desirable_weight=1.5, undesirable_weight=0.5, sft_weight=0.2)
    now, reference = make_values(1), make_values(2)
    batch = batch_of(range(3), reference)
    batch = replace(batch, sequence_streams={**batch.sequence_streams, "kl": torch.full((6,), kl)})

    def expected(moved):
        total, sft = 0.0, 0.0
        for pair, ref in zip(moved, reference, strict=True):
            for wanted, answer, own in zip((True, False), pair, ref, strict=True):
                h = s.beta * (math.fsum((answer - own).tolist()) - max(kl, 0.0))
                total += (1.5 if wanted else 0.5) * (1 - 1 / (1 + math.exp(-h if wanted else h)))
            sft -= pair[0].mean().item()
        return total / 6 + 0.2 * sft / 3

    logprobs, objective = flat(now, range(3)), preference_objective(s)
    loss = total_of(objective, logprobs, batch)
    assert loss.item() == pytest.approx(expected(now), rel=1e-6)
    loss.backward()
    torch.testing.assert_close(logprobs.grad, differences(expected, now), rtol=1e-5, atol=1e-8)
    shown = objective.metrics({"logprobs": logprobs.detach()}, batch)
    assert (shown["kl"][0] / shown["kl"][1]).item() == pytest.approx(max(kl, 0.0))


def test_metrics_are_means_over_pairs():
    now, reference = make_values(1), make_values(2)
    batch = batch_of(range(3), reference, share=True)
    settings = PreferenceLossSettings(beta=0.3)
    objective = preference_objective(settings)
    shown = objective.metrics({"logprobs": flat(now, range(3)).detach()}, batch)
    ratios = values_of(settings, now, reference)
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
    loss = preference_objective(PreferenceLossSettings(beta=0.4)).loss({"logprobs": logprobs}, batch)["preference"]
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
        preference_objective(PreferenceLossSettings()).normalisers(batch)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"type": "ipo", "label_smoothing": 0.1}, "label_smoothing would not be read by type: ipo; it is for cdpo"),
        ({"type": "robust"}, "needs label_smoothing above 0"),
        ({"type": "dpo", "gamma": 0.5}, "gamma would not be read by type: dpo; it is for simpo"),
        ({"beta": 0.0}, "greater than 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, why):
    with pytest.raises(ValidationError, match=why):
        PreferenceLossSettings(**settings)
