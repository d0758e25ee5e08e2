"""Advantages against plain loops, and what must not change them."""

import random
import statistics

import pytest
import torch
from answers import GROUPS, LENGTHS, LONGEST, REWARDS, flat, make_answers

from strop.chat import Example
from strop.data.batch import make_batch
from strop.objectives.advantages import (
    EPSILON,
    answer_advantages,
    credit,
    explained_variance,
    gae,
    on_last_token,
    shape_rewards,
)
from strop.objectives.policy_settings import PRESETS, PolicyGradientSettings

RAGGED = (7, 7, 2, 7, 2, 9, 2, 2)  # groups of three, four and one
EIGHT = (0.1, 0.9, -1.0, 0.3, 2.0, 5.0, 0.0, 0.5)
BASELINES = ("group_mean", "leave_one_out", "batch_mean", "none")
SCALES = ("group_std", "batch_std", "none")
COMBINATIONS = [(b, s) for b in BASELINES for s in SCALES if s != "group_std" or b in BASELINES[:2]]  # others: refused


def advantages(rewards, groups, counted=None, **settings):
    counted = None if counted is None else torch.tensor(counted)
    return answer_advantages(
        torch.tensor(rewards, dtype=torch.float64), torch.tensor(groups), counted, **settings
    ).tolist()


def reference(rewards, groups, counted, baseline, scale):
    found = []
    for i, r in enumerate(rewards):
        if not counted[i]:
            found.append(0.0)
            continue
        members = [x for x, g, c in zip(rewards, groups, counted, strict=True) if g == groups[i] and c]
        whole = [x for x, c in zip(rewards, counted, strict=True) if c]
        if baseline == "group_mean":
            value = r - statistics.fmean(members)
        elif baseline == "leave_one_out":
            value = r - (sum(members) - r) / (len(members) - 1) if len(members) > 1 else 0.0
        else:
            value = r - (statistics.fmean(whole) if baseline == "batch_mean" else 0.0)
        spread = {"group_std": members, "batch_std": whole, "none": None}[scale]
        found.append(
            value if spread is None else value / (statistics.stdev(spread) + EPSILON if len(spread) > 1 else 1)
        )
    return found


@pytest.mark.parametrize(("baseline", "scale"), COMBINATIONS)
def test_f17_advantages_of_shuffled_and_ragged_groups_equal_a_plain_reference(baseline, scale):
    counted = [True] * 7 + [False]
    order = list(range(8))
    for seed in range(5):
        random.Random(seed).shuffle(order)
        rewards, groups, counts = ([x[i] for i in order] for x in (EIGHT, RAGGED, counted))
        got = advantages(rewards, groups, counts, baseline=baseline, scale=scale)
        assert got == pytest.approx(reference(rewards, groups, counts, baseline, scale), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(("baseline", "scale"), COMBINATIONS)
def test_f19_an_answer_that_does_not_count_changes_nothing(baseline, scale):
    without = advantages(EIGHT[:6], RAGGED[:6], baseline=baseline, scale=scale)
    for reward in (0.0, 1e9, float("nan"), float("inf")):
        rewards, groups = [*EIGHT[:6], reward, -reward], [*RAGGED[:6], 7, 5]
        got = advantages(rewards, groups, [True] * 6 + [False] * 2, baseline=baseline, scale=scale)
        assert got == [*without, 0.0, 0.0]


@pytest.mark.parametrize("reward", [0.1, 1 / 3, -7.7e8])
@pytest.mark.parametrize("scale", SCALES)
def test_groups_without_spread_and_groups_of_one_have_exactly_zero(reward, scale):
    """Though the mean of equal numbers may differ from them by rounding: three times 0.1 is not 0.3."""
    for baseline in ("group_mean", "leave_one_out"):
        got = advantages([reward] * 7 + [0.5], [0, 0, 0, 1, 1, 1, 2, 3], baseline=baseline, scale=scale)
        assert got == [0.0] * 8
    if scale != "group_std":
        assert advantages([reward] * 7, range(7), baseline="batch_mean", scale=scale) == [0.0] * 7


def test_equal_rewards_of_a_whole_batch_are_not_divided_by_their_spread_of_nothing():
    """Without a baseline they are the advantages: by `EPSILON` alone they would be a million times that."""
    assert advantages([0.7] * 4, [0, 0, 1, 1], baseline="none", scale="batch_std") == [0.7] * 4


def test_neither_a_shift_of_a_groups_rewards_nor_a_factor_of_all_changes_what_is_normed():
    expected = advantages(EIGHT, RAGGED, baseline="group_mean", scale="group_std")
    shifted = [3 * x + 10 * g for x, g in zip(EIGHT, RAGGED, strict=True)]
    assert advantages(shifted, RAGGED, baseline="group_mean", scale="group_std") == pytest.approx(expected, abs=1e-5)


def test_statistics_of_a_batch_are_those_of_all_ranks():
    """Two threads of numbers that meet in `across`, as two ranks do."""
    import threading

    barrier, given, found = threading.Barrier(2, timeout=20), [{}, {}], {}

    def rank(number, rewards):
        def across(numbers):
            given[number] = dict(numbers)
            barrier.wait()
            total = {name: given[0][name] + given[1][name] for name in numbers}
            barrier.wait()
            return total

        rewards = torch.tensor(rewards, dtype=torch.float64)
        options = {"baseline": "batch_mean", "scale": "batch_std", "across": across}
        found[number] = answer_advantages(rewards, torch.zeros(len(rewards)).long(), **options).tolist()

    threads = [threading.Thread(target=rank, args=(n, part)) for n, part in enumerate((EIGHT[:3], EIGHT[3:]))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone = advantages(EIGHT, RAGGED, baseline="batch_mean", scale="batch_std")
    assert [*found[0], *found[1]] == pytest.approx(alone, rel=1e-12)


OWNER = torch.tensor([4, 4, 0, 0, 0, 0, 2])


def plain_gae(rewards, values, owner, gamma, lam, bootstrap):
    """Schulman et al. 2016, equations 11 and 16, answer by answer from its end."""
    found = [0.0] * len(rewards)
    for o in set(owner):
        after, running = bootstrap[o], 0.0
        for t in reversed([t for t in range(len(owner)) if owner[t] == o]):
            running = rewards[t] + gamma * after - values[t] + gamma * lam * running
            found[t], after = running, values[t]
    return found


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.5), (1.0, 1.0), (0.99, 0.0)])
@pytest.mark.parametrize("cut_off", [False, True])
def test_gae_equals_a_plain_reference(gamma, lam, cut_off):
    generator = torch.Generator().manual_seed(1)
    for owner in (OWNER, OWNER[torch.randperm(7, generator=generator)]):  # segments of several answers in turn
        rewards, values = torch.randn(2, 7, generator=generator, dtype=torch.float64)
        bootstrap = torch.tensor([0.7, 9.0, 0.0, 9.0, -1.0]).double() if cut_off else torch.zeros(5).double()
        got, returns = gae(rewards, values, owner, gamma=gamma, lam=lam, bootstrap=bootstrap if cut_off else None)
        expected = plain_gae(rewards.tolist(), values.tolist(), owner.tolist(), gamma, lam, bootstrap.tolist())
        assert got.tolist() == pytest.approx(expected, rel=1e-12, abs=1e-12)
        assert torch.equal(returns, got + values)


def test_gae_with_lambda_one_is_the_return_minus_the_value_and_with_zero_one_step_ahead():
    rewards, values = torch.randn(2, 7, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    _, returns = gae(rewards, values, OWNER, gamma=1.0, lam=1.0)
    to_go = [rewards[t:][OWNER[t:] == OWNER[t]].sum().item() for t in range(7)]
    assert returns.tolist() == pytest.approx(to_go, abs=1e-12)  # whatever the values are
    _, returns = gae(rewards, values, OWNER, gamma=1.0, lam=0.0)
    following = torch.tensor([values[1], 0, *values[3:6], 0, 0]).double()
    torch.testing.assert_close(returns, rewards + following)
    assert gae(torch.zeros(0), torch.zeros(0), torch.zeros(0).long())[0].shape == (0,)


def test_f14_f15_what_is_not_trained_has_no_part_in_gae():
    """Two trajectories with tool output, 100.0 in its slots of all streams, from the rows that a batch is made of."""
    ppo = PolicyGradientSettings(preset="ppo")
    mask = [[0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0]]
    rows = [Example(list(range(1, len(one) + 1)), one, "test", (), ()) for one in mask]
    trained = torch.tensor([weight for one in mask for weight in one]).bool()
    numbers = torch.randn(3, 6, generator=torch.Generator().manual_seed(3))
    names = ("old_logprobs", "ref_logprobs", "values")

    def given(owner, streams):
        got = credit(ppo, torch.tensor([1.0, -0.5]), torch.tensor([0, 0]), owner, **streams)
        return got.advantages.tolist(), got.returns.tolist(), got.metrics

    expected = given(torch.tensor([0, 0, 0, 0, 1, 1]), dict(zip(names, numbers, strict=True)))
    for filler in (0.0, 100.0):
        full = torch.tensor([[1.0], [-1.0], [2.0]]).repeat(1, len(trained)) * filler
        full[:, trained] = numbers
        cut = {name: [x.tolist() for x in values.split([7, 4])] for name, values in zip(names, full, strict=True)}
        batch = make_batch(rows, cut)
        assert given(batch.seq_index, batch.streams) == expected


@pytest.mark.parametrize("preset", ["ppo", "rloo"])
def test_f14_tokens_of_an_answer_that_does_not_count_have_no_part_in_any_mean(preset):
    """Masked as it was cut off, say: 100.0 in all its streams."""
    settings = PolicyGradientSettings(preset=preset)
    owner, masked = torch.tensor([0, 0, 1, 1, 1, 2, 2]), torch.tensor([0, 0, 1, 1, 1, 0, 0]).bool()
    numbers = torch.randn(3, 7, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    found = []
    for filler in (None, 0.0, 100.0):
        fillers = torch.tensor([[1.0], [-1.0], [2.0]]).double() * (filler or 0.0)
        streams = numbers.clone() if filler is None else torch.where(masked, fillers, numbers)
        keep = ~masked if filler is None else torch.ones_like(masked)
        got = credit(
            settings,
            torch.tensor([1.0, 100.0, -0.5]),
            torch.tensor([0, 0, 0]),
            owner[keep],
            counted=torch.tensor([True, False, True]),
            old_logprobs=streams[0][keep],
            ref_logprobs=streams[1][keep],
            values=streams[2][keep],
        )
        both = (got.advantages, got.returns if preset == "ppo" else got.advantages)
        assert not filler or all((each[masked] == 0).all() for each in both)
        found.append(([each[~masked[keep]].tolist() for each in both], got.metrics))
    assert found[0] == found[1] == found[2]


def test_f16_the_reward_is_on_the_last_trained_token():
    owner = torch.tensor([2, 2, 0, 2, 0])  # two answers in segments, and one without a trained token
    assert on_last_token(torch.tensor([5.0, 100.0, 7.0]), owner).tolist() == [0.0, 0.0, 0.0, 7.0, 5.0]


def test_a_kl_divergence_in_the_reward_is_summed_over_an_answer_or_stands_on_its_tokens():
    a = make_answers()
    owner = torch.repeat_interleave(torch.arange(6), torch.tensor(LENGTHS))
    given = {"old_logprobs": flat(a.old), "ref_logprobs": flat(a.ref), "values": torch.zeros(len(owner))}
    rewards, groups = torch.tensor(REWARDS), torch.tensor(GROUPS)
    whole = torch.tensor([(o - r).sum() for o, r in zip(a.old, a.ref, strict=True)]).double()
    plain = {"preset": "reinforce", "advantage": "none", "kl_coef": 0.5, "kl_place": "reward", "kl_estimator": "k1"}
    got = credit(PolicyGradientSettings(**plain), rewards, groups, owner, **given)
    torch.testing.assert_close(got.advantages, (rewards - 0.5 * whole)[owner])
    assert got.metrics["kl_penalty"] == pytest.approx(whole.mean().item())
    adapted = credit(PolicyGradientSettings(**plain), rewards, groups, owner, kl_coef=2.0, **given)
    torch.testing.assert_close(adapted.advantages, (rewards - 2 * whole)[owner])
    ppo = PolicyGradientSettings(preset="ppo", gae_lambda=1.0, advantage_scale="none", kl_coef=0.5)
    got = credit(ppo, rewards, groups, owner, **given)
    first = torch.tensor([0, *torch.tensor(LENGTHS).cumsum(0)[:-1]])
    torch.testing.assert_close(got.returns[first], rewards - 0.5 * whole)  # undiscounted, from the first token on
    with pytest.raises(ValueError, match="old_logprobs and ref_logprobs"):
        credit(ppo, rewards, groups, owner, values=given["values"])
    with pytest.raises(ValueError, match="the values of every"):
        credit(ppo, rewards, groups, owner, old_logprobs=given["old_logprobs"], ref_logprobs=given["ref_logprobs"])


@pytest.mark.parametrize("preset", PRESETS)
def test_f14_an_answer_that_does_not_count_has_no_advantages_and_no_part_in_those_of_others(preset):
    settings = PolicyGradientSettings(preset=preset)
    a = make_answers()
    owner = torch.repeat_interleave(torch.arange(6), torch.tensor(LENGTHS))
    counted = torch.tensor([True] * 5 + [False])

    def found(reward):
        rewards = torch.tensor([*REWARDS[:5], reward])
        values = torch.where(owner == 5, -3 * reward, flat(a.old_values))
        got = credit(
            settings, rewards, torch.tensor(GROUPS), owner,
            counted=counted, old_logprobs=flat(a.old), ref_logprobs=flat(a.ref), values=values,
        )  # fmt: skip
        return got

    one, other = found(0.0), found(100.0)
    assert torch.equal(one.advantages, other.advantages)
    assert one.metrics == other.metrics
    assert (one.advantages[owner == 5] == 0).all()
    assert (one.advantages[owner < 5] != 0).any()


def test_gae_of_unit_variance():
    a = make_answers()
    owner = torch.repeat_interleave(torch.arange(6), torch.tensor(LENGTHS))
    got = credit(
        PolicyGradientSettings(preset="ppo"), torch.tensor(REWARDS), torch.tensor(GROUPS), owner,
        old_logprobs=flat(a.old), ref_logprobs=flat(a.ref), values=flat(a.old_values),
    )  # fmt: skip
    assert got.advantages.mean().item() == pytest.approx(0, abs=1e-12)
    assert got.advantages.std().item() == pytest.approx(1, abs=1e-5)
    explained = 1 - (got.returns - flat(a.old_values)).var() / got.returns.var()
    assert got.metrics["value_explained"] == pytest.approx(explained.item())


def test_explained_variance():
    returns = torch.tensor([1.0, 2.0, 5.0])
    assert explained_variance(returns, returns) == 1
    assert explained_variance(torch.full((3,), 7.0), returns) == pytest.approx(0, abs=1e-12)
    assert explained_variance(-returns, returns) == pytest.approx(-3)
    assert explained_variance(returns, torch.ones(3)) == 0


def test_cut_off_and_overlong_answers():
    rewards, truncated = torch.tensor([1.0, 1.0, 1.0]), torch.tensor([False, False, True])

    def shaped(lengths=(10, 90, 100), **given):
        settings = PolicyGradientSettings(preset="grpo", **given)
        return tuple(x.tolist() for x in shape_rewards(rewards, torch.tensor(lengths), truncated, 100, settings))

    assert shaped() == ([1.0, 1.0, 1.0], [True, True, True])
    assert shaped(truncated="mask") == ([1.0, 1.0, 1.0], [True, True, False])
    assert shaped(truncated="penalise", truncation_penalty=1.5) == ([1.0, 1.0, -0.5], [True, True, True])
    dapo, _ = shaped((80, 90, 100), overlong_buffer=0.2)
    assert dapo == pytest.approx([1.0, 0.5, 0.0])
    assert shaped((79, 95, 120), overlong_buffer=0.2, overlong_penalty=2.0)[0] == pytest.approx([1.0, -0.5, -1.0])
    assert shape_rewards(rewards, torch.tensor([5, 5, 5]), truncated, LONGEST, PolicyGradientSettings(preset="dapo"))[
        0
    ].tolist() == pytest.approx([0.0, 0.0, 0.0])


def test_gae_is_no_matter_of_answers():
    with pytest.raises(ValueError, match=r"see gae\(\)"):
        answer_advantages(torch.ones(2), torch.zeros(2).long(), baseline="gae")
