"""The learning rate at its corners, against formulas written out."""

import math

import pytest
from pydantic import ValidationError

from strop.common.errors import InputError
from strop.train.schedule import check_schedule, decay_steps, lr_share
from strop.train.settings import TrainSettings


def rates(steps, **settings):
    warmup = {} if "warmup_steps" in settings else {"warmup_ratio": 0.0}
    settings = TrainSettings(**{"learning_rate": 1.0, **warmup, **settings})
    return [settings.learning_rate * lr_share(step, steps, settings) for step in range(steps)]


def test_cosine_at_its_corners():
    found = rates(11, warmup_ratio=0.2, min_lr_ratio=0.1)
    assert found[:3] == [0.5, 1.0, 1.0]  # two warm-up steps, then the cosine starts at the peak
    assert found[6] == pytest.approx(0.55)  # half way
    assert found[-1] == pytest.approx(0.1)


def test_minimind_is_a_cosine_with_a_floor_of_a_tenth():
    """MiniMind's get_lr: ``lr * (0.1 + 0.45 * (1 + cos(pi * step / total)))``; its step ``total`` is our last one."""
    total = 40
    expected = [0.1 + 0.45 * (1 + math.cos(math.pi * step / total)) for step in range(total + 1)]
    assert rates(total + 1, schedule="cosine", min_lr_ratio=0.1) == pytest.approx(expected, abs=1e-15)


def test_the_schedule_minimind_is_its_get_lr_step_by_step():
    """MiniMind's trainer_utils.get_lr, whose steps count from 1 and end at ``total``."""
    settings = TrainSettings(learning_rate=1e-6, schedule="minimind")
    for total in (1, 2, 7, 1000):
        expected = [1e-6 * (0.1 + 0.45 * (1 + math.cos(math.pi * step / total))) for step in range(1, total + 1)]
        found = [settings.learning_rate * lr_share(step, total, settings) for step in range(total)]
        assert found == pytest.approx(expected, rel=1e-13)
    with pytest.raises(ValidationError, match="minimind has no warm-up"):
        TrainSettings(schedule="minimind", warmup_steps=3)


def test_constant_stays_and_linear_falls_evenly():
    assert rates(6, schedule="constant", warmup_steps=2) == [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert rates(5, schedule="linear", min_lr_ratio=0.0) == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert rates(5, schedule="linear", min_lr_ratio=0.2) == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])


@pytest.mark.parametrize(("shape", "middle"), [("linear", 0.1 + 0.9 / 2), ("1-sqrt", 0.1 + 0.9 * (1 - math.sqrt(0.5)))])
def test_wsd_is_stable_and_then_decays_in_its_shape(shape, middle):
    found = rates(20, schedule="wsd", warmup_steps=4, decay_ratio=0.2, decay_shape=shape, min_lr_ratio=0.1)
    assert found[3:16] == [1.0] * 13  # warm-up reaches the peak at its last step; four steps of decay
    assert found[17] == pytest.approx(middle)  # two of four
    assert found[19] == pytest.approx(0.1)
    assert sorted(found[15:], reverse=True) == found[15:]


def test_every_schedule_is_within_its_bounds_and_init_lr_frac_scales_all_of_it():
    for schedule in ("constant", "linear", "cosine", "wsd"):  # minimind takes no warm-up
        for steps in (1, 2, 3, 7, 100):
            for warmup in (0.0, 0.05, 0.5, 0.8):
                settings = TrainSettings(schedule=schedule, warmup_ratio=warmup)
                tenth = settings.model_copy(update={"init_lr_frac": 0.1})
                for step in range(steps):
                    share = lr_share(step, steps, settings)
                    assert 0 < share <= 1
                    assert lr_share(step, steps, tenth) == pytest.approx(0.1 * share, rel=1e-14)


def test_the_decay_never_takes_steps_of_the_warm_up():
    settings = TrainSettings(schedule="wsd", warmup_ratio=0.5, decay_ratio=0.5)
    for steps in range(2, 50):  # a half is rounded to the even number, so both may be rounded up
        assert 1 <= decay_steps(steps, settings) <= steps - round(0.5 * steps)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"schedule": "wsd", "warmup_ratio": 0.5, "decay_ratio": 0.6}, "more than all steps; lower one"),
        ({"decay_ratio": 0.6}, "decay_ratio would not be read: set schedule: wsd"),
        ({"schedule": "constant", "min_lr_ratio": 0.3}, "min_lr_ratio would not be read"),
        ({"warmup_steps": 3, "warmup_ratio": 0.1}, "give warmup_steps or warmup_ratio, not both"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        TrainSettings(**settings)


def test_warm_up_that_does_not_fit_into_the_run_is_refused_when_the_run_is_known():
    check_schedule(11, TrainSettings(warmup_steps=10))
    check_schedule(1, TrainSettings(warmup_steps=0))
    with pytest.raises(InputError, match="warmup_steps 10 of 10 steps"):
        check_schedule(10, TrainSettings(warmup_steps=10))
    with pytest.raises(InputError, match=r"warmup_steps 8 and decay_ratio 0\.4 \(4 steps\)"):
        check_schedule(10, TrainSettings(warmup_steps=8, schedule="wsd", decay_ratio=0.4))


def test_a_complete_config_with_every_default_written_out_is_still_valid():
    for given in ({}, {"schedule": "constant"}, {"warmup_steps": 3}, {"optimizer": "adafactor"}, {"schedule": "wsd"}):
        settings = TrainSettings(**given)
        assert TrainSettings(**settings.model_dump()) == settings
