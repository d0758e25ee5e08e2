"""Alarms: each is raised by what it watches, after so many batches, once, and by nothing else."""

import pytest

from strop.rollout.settings import WatchSettings
from strop.rollout.watch import Watch

FINE = {
    "reward": 0.5,
    "entropy": 1.0,
    "stop_rate": 0.9,
    "truncated": 0.1,
    "length": 100.0,
    "most_common_answer": 0.1,
    "no_spread": 0.2,
    "mismatch": 0.001,
    "kl_to_reference": 0.1,
}


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("constant_answers", {"most_common_answer": 0.95}),
        ("entropy_collapse", {"entropy": 0.05}),
        ("kl", {"kl_to_reference": 1.5}),
        ("stop_rate", {"stop_rate": 0.5}),
        ("truncation", {"truncated": 0.5}),
        ("length", {"length": 401.0}),
        ("length", {"length": 24.0}),
        ("no_spread", {"no_spread": 1.0}),
        ("mismatch", {"mismatch": 0.3}),
        ("empty_answers", {"empty": 0.6}),
    ],
)
def test_an_alarm_is_raised_by_its_own_number_alone_after_its_patience_and_once(name, bad):
    watch = Watch(WatchSettings(first=2, patience=3))
    course = [FINE, FINE, *[{**FINE, **bad}] * 5, FINE, *[{**FINE, **bad}] * 3]
    begun = [list(watch.look(metrics)) for metrics in course]
    assert begun == [[], [], [], [], [name], [], [], [], [], [], [name]]
    assert watch.raised == [name]
    off = Watch(WatchSettings(first=2, patience=3, **{name: None}))
    assert not any(off.look(metrics) for metrics in course)


def test_answers_that_are_cut_off_instead_of_ending_are_one_alarm_that_tells_both():
    bad = {**FINE, "stop_rate": 0.5, "truncated": 0.5}
    watch = Watch(WatchSettings(first=2, patience=2))
    begun = [watch.look(metrics) for metrics in (FINE, FINE, bad, bad, bad)]
    [text] = begun[3].values()
    assert list(begun[3]) == watch.raised == ["stop_rate"]
    assert "from 90% to 50% (cut off at the limit: 10%, now 50%)" in text
    assert not any(begun[:3] + begun[4:])
    off = Watch(WatchSettings(first=2, patience=2, stop_rate=None))
    assert [list(off.look(metrics)) for metrics in (FINE, FINE, bad, bad)][3] == off.raised == ["truncation"]


def test_entropy_that_falls_while_the_reward_rises_is_no_alarm():
    watch = Watch(WatchSettings(first=1, patience=1))
    assert not watch.look(FINE)
    assert not watch.look({**FINE, "entropy": 0.01, "reward": 0.9})


def test_a_watch_goes_on_where_it_was():
    bad = {**FINE, "stop_rate": 0.1}
    whole, cut = (Watch(WatchSettings(first=2, patience=3)) for _ in range(2))
    for metrics in (FINE, FINE, bad, bad):
        whole.look(metrics), cut.look(metrics)
    again = Watch(WatchSettings(first=2, patience=3))
    again.load_state_dict(cut.state_dict())
    assert list(again.look(bad)) == list(whole.look(bad)) == ["stop_rate"]


def reward(value):
    return {**FINE, "reward": value}


def test_a_reward_that_rises_while_a_held_out_metric_falls_is_an_alarm():
    """The metric was best at step 2; what the reward was then is the mean of the batches before."""
    watch = Watch(WatchSettings(first=1, patience=2, overoptimization=0.02))
    watch.measured(0, {"gsm8k": (0, 0.0)})
    for step in (0, 1):
        watch.look(reward(0.5), step)
    watch.measured(2, {"gsm8k": (2, 0.0)})
    watch.measured(4, {"gsm8k": (2, 0.01)})
    assert not any(watch.look(reward(0.9), step) for step in (4, 5, 6))  # too small a fall
    watch.measured(7, {"gsm8k": (2, 0.2)})
    begun = [watch.look(reward(0.9), step) for step in (7, 8)]
    assert list(begun[1]) == ["overoptimization"]
    assert "gsm8k has fallen by more than 0.200 since step 2" in begun[1]["overoptimization"]
    assert watch.since(["overoptimization"]) == watch.trusted(9) == 2
    again = Watch(watch.settings)
    again.load_state_dict(watch.state_dict())
    assert again.trusted(9) == 2
    watch.measured(9, {"gsm8k": (9, 0.0)})  # it is better than ever
    watch.look(reward(0.9), 9)
    assert watch.raised == []


def test_a_fall_together_with_the_reward_and_one_from_the_start_on():
    watch = Watch(WatchSettings(first=1, patience=1))
    watch.measured(0, {"m": (0, 0.0)})
    watch.look(reward(0.5), 0)
    watch.measured(1, {"m": (0, 0.3)})
    assert not watch.look(reward(0.2), 1)  # both fall: it learns the wrong thing, but not at the metric's cost
    assert list(watch.look(reward(0.95), 2)) == ["overoptimization"]
    assert watch.since(["overoptimization"]) == 0


def test_the_last_good_step_is_the_one_before_the_first_bad_batch():
    watch = Watch(WatchSettings(first=1, patience=3))
    bad = {**FINE, "kl_to_reference": 2.0}
    for step, metrics in enumerate((FINE, FINE, bad, FINE, bad, bad, bad)):
        begun = watch.look(metrics, step)
    assert list(begun) == ["kl"]
    assert watch.since(begun) == watch.trusted(6) == 4
