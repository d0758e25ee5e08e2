"""What a run is warned of at its end, and what ends it: numbers that are none."""

import math
import sys

import pytest
import torch
from small_runs import FLOAT32, SETTINGS, kill_in_step_six, make_examples, run

from strop.common.errors import Diverged
from strop.data.batch import make_batch
from strop.model.policy import Policy
from strop.objectives.sft import CrossEntropy
from strop.train import loop
from strop.train.checkpoint import checkpoints
from strop.train.course import measured, warnings
from strop.train.weights import Weights


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (2.25, 33.7, "got worse at what it was trained on: 2.250 → 33.700"),
        (2.25, 2.48, "got worse"),  # by more than a tenth
        (2.25, 2.47, None),
        (0.05, 0.14, None),  # less than 0.1 nats: a model that knew its data already
        (0.05, 0.16, "got worse"),
        (2.0, 1.991, "hardly anything was learnt: 2.0000 → 1.9910"),
        (2.0, 1.989, None),
        (2.0, 2.009, "hardly anything"),
        (0.0, 0.0, None),
    ],
)
def test_the_loss_of_the_first_steps_examples(before, after, said):
    found = warnings({}, (before, after))
    assert len(found) == (said is not None)
    assert said is None or said in found[0]


def test_small_differences_say_nothing_where_something_else_is_in_them():
    assert warnings({}, (2.0, 2.0), exact=False) == []
    assert "got worse" in warnings({}, (2.0, 3.0), exact=False)[0]


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ([2.0, 1.5, 1.4], None),
        ([2.0, 2.05], "rose from 2.000 to 2.050"),
        ([2.0, 2.03], None),
        ([2.0, 1.0, 1.5], "lowest at step 10 (1.000) and rose to 1.500"),
        ([2.0, 1.0, 1.015], None),
        ([0.5, 0.010, 0.015], None),  # half as much again, of next to nothing
    ],
)
def test_the_evaluation_loss_over_the_run(losses, said):
    totals = {}
    for i, loss in enumerate(losses):
        measured(totals, 10 * i, loss)
    found = warnings(totals, None)
    assert len(found) == (said is not None)
    assert said is None or said in found[0]


def settings_of(**more):
    return type(SETTINGS)(**{**SETTINGS.model_dump(exclude_defaults=True), "eval_every": None, **more})


def test_warnings_of_a_resumed_run_are_those_of_one_that_was_not_stopped(make_model, tmp_path, monkeypatch):
    settings = settings_of(learning_rate=1e-9)
    whole = run(make_model(), tmp_path / "whole", settings)["warnings"]
    real_step = kill_in_step_six(monkeypatch)
    with pytest.raises(SystemError):
        run(make_model(), tmp_path / "cut", settings)
    monkeypatch.setattr(loop, "optimizer_step", real_step)
    assert run(make_model(seed=7), tmp_path / "cut", settings)["warnings"] == whole
    assert "hardly anything was learnt" in whole[0]


WILD = {"max_grad_norm": 1e30, "warmup_ratio": 0, "schedule": "constant"}


def ruin_in_step(count, monkeypatch):
    """After that many steps the weights are finite, and the loss with them is not."""
    real, calls = loop.optimizer_step, []

    def step(weights, *rest):
        calls.append(1)
        result = real(weights, *rest)
        if len(calls) == count:
            with torch.no_grad():
                weights.policy.model.model.norm.weight[:] = 1e38
        return result

    monkeypatch.setattr(loop, "optimizer_step", step)


def test_weights_that_the_last_step_ruined_are_no_result(make_model, tmp_path, monkeypatch):
    """No loss of training was ever measured with them."""
    ruin_in_step(2, monkeypatch)
    with pytest.raises(Diverged, match="at step 2: after it the first step's examples have no loss: "):
        run(make_model(), tmp_path, settings_of(max_steps=2), evaluates=False)


def test_weights_that_are_infinite_are_in_no_checkpoint(make_model, tmp_path):
    settings = settings_of(learning_rate=sys.float_info.max / 1e270, max_steps=1, checkpoint_every=1, **WILD)
    with pytest.raises(Diverged, match=r"diverged at step 1: .* is no longer finite\..*no checkpoint was written"):
        run(make_model(), tmp_path, settings, evaluates=False)
    assert checkpoints(tmp_path / "checkpoints") == []


def test_only_checkpoints_before_the_divergence_are_called_whole(make_model, tmp_path, monkeypatch):
    ruin_in_step(6, monkeypatch)
    with pytest.raises(Diverged) as caught:
        run(make_model(), tmp_path, settings_of(keep_checkpoints=2))
    words = str(caught.value)
    assert words.startswith("train: training diverged at step 7: the loss is ")
    assert f"move {tmp_path}/checkpoints/step-000006 away, which holds the weights that diverged" in words
    assert words.endswith(f"--continue goes on from {tmp_path}/checkpoints/step-000003, which is whole.")


def test_an_infinite_loss_with_a_finite_gradient_takes_no_step(make_model):
    """-log 0 for a label, whose gradient is p - 1."""
    policy = Policy(make_model(), FLOAT32, probe=False)
    weights = Weights(policy, SETTINGS)
    before = [p.clone() for p in policy.parameters()]
    objective = CrossEntropy()
    real = objective.loss
    objective.loss = lambda outputs, batch: {"cross_entropy": real(outputs, batch)["cross_entropy"] + math.inf}
    with pytest.raises(FloatingPointError, match=r"the loss is inf and the gradient's norm [\d.]+; the weights are as"):
        loop.optimizer_step(weights, objective, [make_batch(make_examples(2))], 1.0)
    assert all(torch.equal(a, b) for a, b in zip(before, policy.parameters(), strict=True))
