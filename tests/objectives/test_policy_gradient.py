"""Every preset against its paper's formula, written as loops in float64; and what a policy gradient must not depend on.

Tests called f… hold a row of public faults each: `test_f12_…` is row 12.
"""

import math
from dataclasses import replace

import pytest
import torch
from answers import (
    GROUPS,
    LENGTHS,
    LONGEST,
    REWARDS,
    batch_of,
    flat,
    make_answers,
    objective_of,
    outputs_of,
    streams_of,
    total_of,
)

from strop.data.batch import make_batch
from strop.objectives.policy_gradient import PolicyGradient, correction_weights, log_ratio
from strop.objectives.policy_settings import PRESETS, PolicyGradientSettings

N = len(LENGTHS)
ALL = range(N)
SPREAD = {"gspo": 1.5e-3, "cispo": 1.5}  # how far the policy has moved: so that both bounds act


def mean(xs):
    return sum(xs) / len(xs)


def std(xs):
    return math.sqrt(sum((x - mean(xs)) ** 2 for x in xs) / (len(xs) - 1))


def group(i):
    return [j for j in ALL if GROUPS[j] == GROUPS[i]]


def normed(rewards):
    """GRPO: by the group's mean and standard deviation."""
    return [
        (rewards[i] - mean([rewards[j] for j in group(i)])) / (std([rewards[j] for j in group(i)]) + 1e-6) for i in ALL
    ]


def ratios(a, i):
    return [(n - o).exp() for n, o in zip(a.new[i], a.old[i], strict=True)]


def clipped(r, advantage, low, high):
    return torch.minimum(r * advantage, r.clamp(1 - low, 1 + high) * advantage)


def reinforce(a):
    """mean over answers of Σ_t r_t (R - b)"""
    return -mean([sum(ratios(a, i)) * (REWARDS[i] - mean(REWARDS)) for i in ALL])


def rloo(a):
    whole = [REWARDS[i] - 0.03 * (a.old[i] - a.ref[i]).sum().item() for i in ALL]
    others = [mean([whole[j] for j in group(i) if j != i]) for i in ALL]
    return -mean([sum(ratios(a, i)) * (whole[i] - others[i]) for i in ALL])


def grpo(a):
    """Equation 3 of DeepSeekMath with the estimator of equation 4; both groups have as many answers."""
    advantages, losses = normed(REWARDS), []
    for i in ALL:
        terms = []
        for t, r in enumerate(ratios(a, i)):
            quotient = (a.ref[i][t] - a.new[i][t]).exp()
            terms.append(clipped(r, advantages[i], 0.2, 0.2) - 0.04 * (quotient - quotient.log() - 1))
        losses.append(-mean(terms))
    return mean(losses)


def dr_grpo(a):
    centred = [REWARDS[i] - mean([REWARDS[j] for j in group(i)]) for i in ALL]
    return -mean([sum(clipped(r, centred[i], 0.2, 0.2) for r in ratios(a, i)) / LONGEST for i in ALL])


def dapo(a):
    """Soft punishment of equation 13 with a cache of a fifth of the longest length."""
    cache = 0.2 * LONGEST
    soft = [max(-1.0, min(0.0, ((LONGEST - cache) - n) / cache)) for n in LENGTHS]
    assert min(soft) == -1
    advantages = normed([r + s for r, s in zip(REWARDS, soft, strict=True)])
    return -sum(clipped(r, advantages[i], 0.2, 0.28) for i in ALL for r in ratios(a, i)) / sum(LENGTHS)


def gspo(a):
    advantages, losses = normed(REWARDS), []
    for i in ALL:
        s = ((a.new[i] - a.old[i]).sum() / LENGTHS[i]).exp()
        losses.append(-clipped(s, advantages[i], 3e-4, 4e-4))
    return mean(losses)


def cispo(a):
    advantages, terms = normed(REWARDS), []
    for i in ALL:
        for t, r in enumerate(ratios(a, i)):
            terms.append(-r.detach().clamp(max=5.0) * advantages[i] * a.new[i][t])
    return mean(terms)


def ppo(a):
    advantages, returns = [], []
    for i in ALL:
        values, n = a.old_values[i].tolist(), LENGTHS[i]
        rewards = [-0.02 * (o - r).item() for o, r in zip(a.old[i], a.ref[i], strict=True)]
        rewards[-1] += REWARDS[i]
        deltas = [rewards[t] + (values[t + 1] if t + 1 < n else 0.0) - values[t] for t in range(n)]
        advantages.append([sum(0.95 ** (k - t) * deltas[k] for k in range(t, n)) for t in range(n)])
        returns.append([x + v for x, v in zip(advantages[-1], values, strict=True)])
    every = [x for one in advantages for x in one]
    terms = []
    for i in ALL:
        for t, r in enumerate(ratios(a, i)):
            v, v_old, target = a.values[i][t], a.old_values[i][t], returns[i][t]
            near = v_old + (v - v_old).clamp(-0.2, 0.2)
            value = 0.5 * torch.maximum((v - target) ** 2, (near - target) ** 2)
            terms.append(-clipped(r, (advantages[i][t] - mean(every)) / (std(every) + 1e-6), 0.2, 0.2) + 0.1 * value)
    return mean(terms)


REFERENCES = {f.__name__: f for f in (reinforce, rloo, grpo, dr_grpo, dapo, gspo, cispo, ppo)}


def test_every_preset_has_a_reference():
    assert set(REFERENCES) == set(PRESETS)


@pytest.mark.parametrize("preset", PRESETS)
def test_value_and_gradient_equal_the_papers_formula(preset):
    a = make_answers(SPREAD.get(preset, 0.4))
    settings, objective = objective_of(preset)
    order, batch = batch_of(ALL, streams_of(a, settings))
    outputs = outputs_of(a, order)
    loss = total_of(objective, batch, outputs)
    copies = [[x.clone().requires_grad_() for x in rows] for rows in (a.new, a.values)]
    expected = REFERENCES[preset](replace(a, new=copies[0], values=copies[1]))
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-7, atol=1e-8)  # factors of tokens are float32
    torch.testing.assert_close(outputs["logprobs"].grad, flat([x.grad for x in copies[0]]), rtol=1e-6, atol=1e-10)
    assert outputs["logprobs"].grad.abs().max() > 1e-3
    if settings.uses_values:
        torch.testing.assert_close(outputs["values"].grad, flat([x.grad for x in copies[1]]), rtol=1e-6, atol=1e-10)
        assert (outputs["values"].grad == 0).any()  # a clipped one
    if settings.clip == "ppo":
        shown = objective.metrics(outputs, batch)
        assert all(shown[f"clip_fraction_{side}"][0] > 0 for side in ("low", "high")), "the bounds are not tried"


OFF_THE_TABLE = [
    {"preset": "grpo", "dual_clip": 1.5, "clip_high": 0.1},
    {"preset": "dapo", "entropy_coef": 0.1, "kl_coef": 0.3, "kl_estimator": "k2", "reduction": "seq_sum"},
    {"preset": "grpo", "kl_weighted": True, "kl_estimator": "k1", "kl_coef": 0.5},
    {"preset": "grpo", "correction": "truncate", "correction_cap": 1.2},
    {"preset": "gspo", "correction": "mask", "correction_level": "sequence", "correction_cap": 1.3},
    {"preset": "rloo", "reduction": "constant", "loss_constant": 7, "advantage_scale": "batch_std"},
]
EVERY = [*({"preset": name} for name in PRESETS), *OFF_THE_TABLE]


@pytest.mark.parametrize("given", EVERY, ids=str)
def test_f12_micro_batches_order_and_shared_prompts_change_nothing(given):
    a = make_answers(SPREAD.get(given["preset"], 0.4))
    settings, objective = objective_of(**given)
    streams = streams_of(a, settings)

    def step(cuts, share):
        """Loss, gradient per answer and metrics of a step."""
        pieces = [batch_of(cut, streams, share) for cut in cuts]
        totals = {}
        for _, batch in pieces:
            for name, value in objective.normalisers(batch).items():
                totals[name] = totals.get(name, 0.0) + value
        loss, gradients, shown = 0.0, {}, {}
        for order, batch in pieces:
            outputs = outputs_of(a, order)
            part = sum(x / totals[name] for name, x in objective.loss(outputs, batch).items())
            part.backward()
            loss += part.item()
            split = outputs["logprobs"].grad.split([LENGTHS[i] for i in order])
            gradients |= dict(zip(order, split, strict=True))
            for name, (value, count) in objective.metrics(outputs, batch).items():
                known = shown.get(name, (0.0, 0.0))
                if count is None:
                    shown[name] = max(known, (value.item(), 1.0))
                else:
                    shown[name] = (known[0] + value.item(), known[1] + count.item())
        return loss, flat(gradients, ALL), {name: value / count for name, (value, count) in shown.items()}

    expected = step([ALL], share=False)
    for cuts in ([[i] for i in ALL], [[5, 3], [4, 0, 1, 2]], [[2, 1, 0, 5, 4, 3]]):
        for share in (False, True):
            loss, gradient, shown = step(cuts, share)
            assert loss == pytest.approx(expected[0], rel=1e-9)
            torch.testing.assert_close(gradient, expected[1], rtol=1e-7, atol=1e-12)
            assert shown == pytest.approx(expected[2], rel=1e-9)


@pytest.mark.parametrize("preset", PRESETS)
def test_f23_at_the_first_update_every_ratio_is_exactly_one_and_the_gradient_is_known(preset):
    """Also when no old log-probabilities are there: those of the pass itself are the same."""
    a = make_answers()
    a = replace(a, new=a.old, values=a.old_values)
    settings, objective = objective_of(preset)
    streams = streams_of(a, settings)
    order, batch = batch_of(ALL, streams)
    outputs = outputs_of(a, order)
    assert torch.equal(
        log_ratio(outputs["logprobs"], batch.streams["old_logprobs"], batch, settings.ratio), 0 * outputs["logprobs"]
    )
    shown = objective.metrics(outputs, batch)
    assert (shown["ratio"][0] / shown["ratio"][1], shown["ratio_max"][0], shown["kl_old"][0]) == (1, 1, 0)
    total_of(objective, batch, outputs).backward()

    _, at_once = objective_of(preset, one_update=True)
    order, without = batch_of(ALL, {name: x for name, x in streams.items() if name != "old_logprobs"})
    again = outputs_of(a, order)
    total_of(at_once, without, again).backward()
    assert torch.equal(again["logprobs"].grad, outputs["logprobs"].grad)

    # Williams 1992: -A ∇ log π, by the reduction
    known = at_once.linear(without, at_once.normalisers(without))
    if preset == "grpo":  # whose KL divergence in the loss is not linear
        assert known is None
        _, at_once = objective_of(preset, one_update=True, kl_coef=0)
        known = at_once.linear(without, at_once.normalisers(without))
        again = outputs_of(a, order)
        total_of(at_once, without, again).backward()
    torch.testing.assert_close(known, again["logprobs"].grad, rtol=1e-6, atol=1e-12)
    assert known.abs().max() > 1e-3
    assert objective.linear(batch, objective.normalisers(batch)) is None  # later updates have other ratios


@pytest.mark.parametrize(
    "given",
    [
        {"preset": "grpo"},
        {"preset": "dapo", "entropy_coef": 0.1},
        {"preset": "dapo", "correction": "truncate"},
        {"preset": "dapo", "kl_coef": 0.1, "kl_estimator": "k2"},
    ],
)
def test_no_gradient_is_promised_where_log_probabilities_decide_it(given):
    settings, objective = objective_of(**given, one_update=True)
    _, batch = batch_of(ALL, streams_of(make_answers(), settings))
    assert objective.linear(batch, objective.normalisers(batch)) is None


@pytest.mark.parametrize("length", [1, 7, 300])
def test_f03_equal_log_probabilities_give_ratio_one_and_equal_drift_the_same_ratio_at_any_length(length):
    rows = [torch.full((length,), -2.0).double()]
    _, batch = batch_of([0], {"advantages": rows})
    for drift, expected in ((0.0, 1.0), (0.01, math.exp(0.01))):
        ratio = log_ratio(rows[0] + drift, rows[0], batch, "sequence").exp()
        torch.testing.assert_close(ratio, torch.full((length,), expected).double())


def test_f08_what_is_not_trained_has_no_say_whatever_its_log_probabilities_are():
    """Tool output in the middle: no position of it is in the batch, and the rest is as without it."""
    a = make_answers()
    for preset in ("grpo", "gspo", "ppo"):
        settings, objective = objective_of(preset)
        streams = streams_of(a, settings)
        order, plain = batch_of(ALL, streams, weights=[[1.0] * n for n in LENGTHS])
        longer, mask = {}, []
        for name, rows in streams.items():  # two tokens of a tool before each answer's last one
            longer[name] = [torch.cat([x[:-1], torch.full((2,), 100.0).double(), x[-1:]]) for x in rows]
        for x in streams["advantages"]:
            mask.append([1.0] * (len(x) - 1) + [0.0, 0.0] + [1.0])
        _, with_tool = batch_of(ALL, longer, weights=mask)
        assert len(with_tool.labels) == len(plain.labels) == sum(LENGTHS)
        found = []
        for batch in (plain, with_tool):
            outputs = outputs_of(a, order)
            total = total_of(objective, batch, outputs)
            total.backward()
            found.append((total.item(), outputs["logprobs"].grad.tolist()))
        assert found[0] == found[1]


def test_streams_are_those_of_the_trained_positions():
    """What the test above takes for granted."""
    from strop.chat import Example

    row = Example([1, 2, 3, 4, 5], [0.0, 1.0, 0.0, 0.0, 1.0], "test", (), ())
    batch = make_batch([row], {"advantages": [[100.0, 1.0, 100.0, 100.0, 2.0]]})
    assert batch.streams["advantages"].tolist() == [1.0, 2.0]


def test_f11_the_gradient_changes_with_the_kl_coefficient():
    a, gradients = make_answers(), []
    for coef in (0.01, 0.3):
        settings, objective = objective_of("grpo", kl_coef=coef)
        order, batch = batch_of(ALL, streams_of(a, settings))
        outputs = outputs_of(a, order)
        total_of(objective, batch, outputs).backward()
        gradients.append(outputs["logprobs"].grad)
    assert (gradients[0] - gradients[1]).abs().min() > 1e-6


def test_f13_with_a_constant_a_token_weighs_the_same_at_every_length():
    settings, objective = objective_of("dr_grpo", one_update=True)
    rows = [torch.ones(n).double() for n in LENGTHS]
    _, batch = batch_of(ALL, {"advantages": rows})
    weight = objective.linear(batch, objective.normalisers(batch))
    torch.testing.assert_close(weight, torch.full_like(weight, -1 / (N * LONGEST)))
    _, biased = objective_of("dr_grpo", reduction="seq_mean", one_update=True)
    weight = biased.linear(batch, biased.normalisers(batch)).split(list(LENGTHS))
    assert [round(-1 / (N * x[0].item()), 4) for x in weight] == list(LENGTHS)  # a token of a long one less
    assert settings.loss_constant is None  # the longest answer is what divides


def test_f18_a_group_without_spread_still_has_the_gradient_of_the_kl_divergence_and_no_other():
    a = make_answers()
    same = (0.3, 0.3, 0.3, *REWARDS[3:])
    for coef, moves in ((0.0, False), (0.04, True)):
        settings, objective = objective_of("grpo", kl_coef=coef)
        order, batch = batch_of(ALL, streams_of(a, settings, same))
        outputs = outputs_of(a, order)
        total_of(objective, batch, outputs).backward()
        first = outputs["logprobs"].grad[: sum(LENGTHS[:3])]
        assert (first != 0).all() if moves else (first == 0).all()


def test_f06_the_difference_from_the_sampler_is_shown_and_corrected():
    a = make_answers()
    for level in ("token", "sequence"):
        for correction in ("truncate", "mask"):
            settings, objective = objective_of(
                "dapo", correction=correction, correction_level=level, correction_cap=1.1
            )
            order, batch = batch_of(ALL, streams_of(a, settings))
            shown = {
                k: v if c is None else v / c for k, (v, c) in objective.metrics(outputs_of(a, order), batch).items()
            }
            gaps, weights = flat(a.old) - flat(a.sampler), []
            for i in ALL:
                for t in range(LENGTHS[i]):
                    gap = (a.old[i] - a.sampler[i]).sum() if level == "sequence" else (a.old[i] - a.sampler[i])[t]
                    w = math.exp(gap)
                    weights.append(min(w, 1.1) if correction == "truncate" else w if w <= 1.1 else 0.0)
            expected = torch.tensor(weights, dtype=torch.float64)
            got = correction_weights(batch.streams["old_logprobs"], batch.streams["rollout_logprobs"], batch, settings)
            torch.testing.assert_close(got, expected)
            assert shown["mismatch"].item() == pytest.approx(gaps.abs().mean().item())
            assert shown["mismatch_max"] == gaps.abs().max()
            assert shown["correction_weight"].item() == pytest.approx(expected.mean().item())
            share = (expected == (1.1 if correction == "truncate" else 0)).double().mean().item()
            assert 0 < share < 1
            assert shown["correction_fraction"].item() == pytest.approx(share)
            outputs = outputs_of(a, order)
            total_of(objective, batch, outputs).backward()
            plain = outputs_of(a, order)
            total_of(objective_of("dapo")[1], batch, plain).backward()
            torch.testing.assert_close(outputs["logprobs"].grad, plain["logprobs"].grad * expected)


def test_metrics_are_what_their_names_say():
    a = make_answers()
    settings, objective = objective_of("dapo", dual_clip=1.4, kl_coef=0.1)
    order, batch = batch_of(ALL, streams_of(a, settings))
    shown = {
        k: (v if c is None else v / c).item() for k, (v, c) in objective.metrics(outputs_of(a, order), batch).items()
    }
    r, advantages = (flat(a.new) - flat(a.old)).exp(), batch.streams["advantages"]
    low = (r < 0.8) & (advantages < 0)
    high = ((r > 1.28) & (advantages > 0)) | ((r > 1.4) & (advantages < 0))
    to_ref = flat(a.ref) - flat(a.new)
    assert low.any()
    assert high.any()
    expected = {
        "ratio": r.mean(),
        "ratio_max": r.max(),
        "clip_fraction_low": low.double().mean(),
        "clip_fraction_high": high.double().mean(),
        "kl_old": (r - 1 - r.log()).mean(),
        "kl_ref": (to_ref.exp() - 1 - to_ref).mean(),
        "entropy": flat(a.new).square().mean(),
    }
    assert {name: shown[name] for name in expected} == pytest.approx({k: v.item() for k, v in expected.items()})
    outputs = outputs_of(a, order)  # tokens whose gradient a bound took away are those that are counted
    _, alone = objective_of("dapo", dual_clip=1.4)
    total_of(alone, batch, outputs).backward()
    assert torch.equal(outputs["logprobs"].grad == 0, low | high)


@pytest.mark.parametrize("given", EVERY, ids=str)
def test_the_log_has_one_name_for_each_number(given):
    """Components and metrics of a step are in one row; what is wanted of the policy is all that is read."""
    settings, objective = objective_of(**given)
    order, batch = batch_of(ALL, streams_of(make_answers(), settings))
    outputs = outputs_of(make_answers(), order)
    outputs = {name: outputs[name] for name in objective.want}
    shown = objective.metrics(outputs, batch)
    assert not set(shown) & {"loss", *objective.normalisers(batch)}
    assert objective.loss(outputs, batch).keys() == objective.normalisers(batch).keys()


def test_one_broken_token_gives_a_large_number_and_no_infinite_one():
    a = make_answers()
    for preset in PRESETS:
        settings, objective = objective_of(preset, correction="mask" if preset == "dapo" else "truncate")
        for far in (-300.0, 0.0):
            broken = replace(a, new=[torch.full_like(x, far) for x in a.new], ref=[x + far for x in a.ref])
            never = replace(a, sampler=[x - 300 for x in a.sampler])  # the sampler would not have drawn this
            order, batch = batch_of(ALL, streams_of(never, settings))
            outputs = outputs_of(broken, order)
            total_of(objective, batch, outputs).backward()
            assert outputs["logprobs"].grad.isfinite().all()
            assert all(value.isfinite() for value, _ in objective.metrics(outputs, batch).values())


def test_a_row_without_a_trained_token_adds_nothing():
    from strop.chat import Example

    empty = make_batch([Example([1, 2], [0.0, 0.0], "test", (), ())])
    for given in EVERY:
        _, objective = objective_of(**given)
        assert set(objective.normalisers(empty).values()) == {0.0}
        outputs = {name: torch.zeros(0, requires_grad=True) for name in objective.want}
        assert {part.item() for part in objective.loss(outputs, empty).values()} == {0.0}
        assert objective.metrics(outputs, empty) == {}


def test_a_stream_that_lacks_is_named():
    settings, objective = objective_of("grpo")
    streams = streams_of(make_answers(), settings)
    for name in ("advantages", "old_logprobs", "ref_logprobs"):
        order, batch = batch_of(
            ALL, {k: v for k, v in streams.items() if k != name} | {"advantages": streams["advantages"]}
        )
        batch = replace(batch, streams={k: v for k, v in batch.streams.items() if k != name})
        with pytest.raises(ValueError, match=f"no stream '{name}'"):
            objective.loss(outputs_of(make_answers(), order), batch)


def test_a_constant_reduction_needs_a_constant():
    with pytest.raises(ValueError, match="loss_constant, or by the longest answer"):
        PolicyGradient(PolicyGradientSettings(preset="dr_grpo"))
