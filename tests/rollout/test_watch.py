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
