"""The toys of `make bench-toys`, the fast ones: every preset finds a known optimum within the steps it is allowed."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

from common.toys import BATCHES, ENOUGH, TOYS, run


@pytest.mark.parametrize("preset", TOYS["two arms"].within)
def test_every_preset_finds_the_better_arm_of_each_prompt(preset):
    found = run(TOYS["two arms"], preset, seed=0)
    assert found.rewards[0][1] < 0.3  # a new model draws one token of sixteen
    assert found.steps is not None, found.reward
    assert BATCHES <= found.steps <= TOYS["two arms"].within[preset]
    assert found.reward >= ENOUGH


def test_what_does_not_learn_does_not_reach_it():
    """The count is of the reward, and not of the steps: with a rate of nearly nothing it stays where it was."""
    still = run(replace(TOYS["two arms"], learning_rate=1e-9), "grpo", seed=0, steps=8)
    assert still.steps is None
    assert still.reward < 0.3
    assert [steps for steps, _ in still.rewards] == list(range(8))


def test_the_best_answers_have_the_optimum():
    best = {"two arms": "d", "length": "xxxxx", "reverse": "bba"}
    asked = {"two arms": "de", "length": 5, "reverse": "bba"}
    for name, toy in TOYS.items():
        assert toy.reward(best[name], asked[name]) == toy.optimum
        assert toy.reward(best[name] + "z", asked[name]) < toy.optimum
    assert TOYS["length"].reward("xxx", 5) == pytest.approx(0.6)
    assert TOYS["reverse"].reward("bb", "bba") == pytest.approx(2 / 3)
    assert TOYS["two arms"].reward("e", "de") == 0.5
