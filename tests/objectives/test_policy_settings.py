"""Settings of the policy gradient: presets with overrides, and what makes no sense together."""

import pytest
from pydantic import ValidationError

from strop.objectives.policy_settings import PRESETS, PolicyGradientSettings


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_its_settings_and_comes_back_whole(preset):
    settings = PolicyGradientSettings(preset=preset)
    assert {name: getattr(settings, name) for name in PRESETS[preset].settings} == PRESETS[preset].settings
    written = settings.model_dump()
    assert PolicyGradientSettings(**written) == settings
    assert written["preset"] == preset


def test_overrides_stand_on_top_of_a_preset():
    settings = PolicyGradientSettings.model_validate({"preset": "dapo", "clip_high": 0.3})
    assert (settings.clip_low, settings.clip_high, settings.reduction) == (0.2, 0.3, "token_mean")
    assert PolicyGradientSettings() == PolicyGradientSettings(preset="grpo")


def test_what_came_with_the_preset_and_is_read_no_longer_goes_back_to_its_default():
    settings = PolicyGradientSettings(preset="rloo", kl_coef=0)
    assert (settings.kl_place, settings.kl_estimator) == ("loss", "k3")
    settings = PolicyGradientSettings(preset="ppo", clip="none", advantage="batch_mean")
    assert (settings.clip_low, settings.clip_high, settings.value_coef, settings.value_clip) == (None, None, 0, None)
    assert PolicyGradientSettings(**settings.model_dump()) == settings


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"gamma": 0.9}, "gamma would not be read: set advantage: gae"),
        ({"value_clip": 0.1}, "value_clip would not be read"),
        ({"preset": "dapo", "kl_estimator": "k2"}, "kl_estimator would not be read: set kl_coef above 0"),
        ({"preset": "reinforce", "clip_low": 0.1}, "clip_low would not be read: set clip"),
        ({"preset": "cispo", "dual_clip": 3}, "dual_clip would not be read: set clip: ppo"),
        ({"kl_target": 6}, "kl_target would not be read: set kl_place: reward"),
        ({"preset": "rloo", "kl_weighted": True}, "kl_weighted would not be read: set kl_place: loss"),
        ({"loss_constant": 100}, "loss_constant would not be read: set reduction: constant"),
        ({"truncation_penalty": 2}, "truncation_penalty would not be read: set truncated: penalise"),
        ({"overlong_penalty": 2}, "overlong_penalty would not be read: set overlong_buffer"),
        ({"correction": "none", "correction_cap": 3}, "correction_cap would not be read: set correction"),
        ({"preset": "cispo", "correction_cap": 3}, "correction_cap would not be read: set correction"),
        ({"correction": "direct", "correction_level": "sequence"}, "correction_level would not be read: set corr"),
        # given, although the preset says the same
        ({"clip": "none", "clip_low": 0.2}, "clip_low would not be read: set clip: ppo or cispo"),
        ({"preset": "ppo", "kl_coef": 0, "kl_place": "reward"}, "kl_place would not be read: set kl_coef above 0"),
        ({"preset": "dapo", "clip": "none", "clip_high": 0.28}, "clip_high would not be read"),
        (
            {"preset": "ppo", "advantage": "batch_mean", "value_clip": 0.2},
            "value_clip would not be read: set advantage: gae",
        ),
        ({"clip_low": None, "clip_high": None}, "neither clip_low nor clip_high"),
        ({"preset": "ppo", "value_coef": 0}, "values that are learnt: set value_coef above 0"),
        ({"preset": "reinforce", "advantage_scale": "group_std"}, "set batch_std or none"),
        ({"preset": "ppo", "advantage_scale": "group_std"}, "set batch_std or none"),
        ({"kl_estimator": "k1"}, "an expected gradient of 0"),
        ({"truncated": "bootstrap"}, "advantage: gae alone has values"),
        ({"preset": "grop"}, "'grpo'"),
        ({"beta": 0.1}, "Extra inputs"),
        ({"clip_low": 1.0}, "less than 1"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_to_do(given, words):
    with pytest.raises(ValidationError, match=words):
        PolicyGradientSettings.model_validate(given)


def test_a_cap_is_taken_with_auto_which_reads_it_where_it_decides_for_truncate():
    settings = PolicyGradientSettings(correction_cap=3, correction_level="sequence")
    decided = settings.decided(apart=True)
    assert (decided.correction, decided.correction_cap, decided.correction_level) == ("truncate", 3, "sequence")
    assert PolicyGradientSettings(**settings.model_dump()) == settings


def test_a_group_of_one_has_nothing_to_compare_with():
    for preset in ("grpo", "rloo", "dapo"):
        PolicyGradientSettings(preset=preset).check_group_size(2)
        with pytest.raises(ValueError, match="sample 2 or more answers per prompt"):
            PolicyGradientSettings(preset=preset).check_group_size(1)
    for preset in ("reinforce", "ppo"):
        PolicyGradientSettings(preset=preset).check_group_size(1)


def test_what_is_needed_follows_from_the_settings():
    needs = {name: (s.uses_reference, s.uses_values) for name in PRESETS if (s := PolicyGradientSettings(preset=name))}
    with_reference = {name for name, (reference, _) in needs.items() if reference}
    assert with_reference == {"rloo", "grpo", "ppo"}
    assert {name for name, (_, values) in needs.items() if values} == {"ppo"}


@pytest.mark.parametrize(
    ("given", "idle"),
    [
        ({}, []),
        ({"preset": "dr_grpo"}, []),
        ({"preset": "rloo"}, []),
        ({"preset": "ppo"}, []),
        ({"preset": "ppo", "value_clip": 0.5, "dual_clip": 3}, ["dual_clip: 3.0", "value_clip: 0.5"]),
        ({"preset": "dapo"}, ["clip_high: 0.28"]),
        ({"preset": "gspo"}, ["ratio: sequence", "clip_low: 0.0003", "clip_high: 0.0004"]),
        ({"preset": "cispo", "correction": "none"}, ["clip: cispo", "clip_high: 4.0"]),
        ({"preset": "cispo", "correction": "direct"}, []),
        ({"clip": "none", "ratio": "sequence"}, ["ratio: sequence"]),
    ],
)
def test_what_changes_nothing_where_every_row_is_trained_once(given, idle):
    assert PolicyGradientSettings(**given).idle_in_one_update() == idle
