"""Steps that are none, losses that jump, signals and the clock: what is skipped, said, gone back from or stopped."""

import json
import math
import os
import shutil
import signal

import pytest
import torch
from small_runs import SETTINGS, deterministic_rows, run

from strop.common.errors import Diverged, Halted, Interrupted, NotFinite
from strop.data.source import PackedSource
from strop.train import loop
from strop.train.checkpoint import checkpoints
from strop.train.metrics import MetricsLog
from strop.train.settings import RlTrainSettings


def settings_of(**more):
    given = {**SETTINGS.model_dump(exclude_defaults=True), "eval_every": None, "micro_batch_tokens": 400, **more}
    return type(SETTINGS)(**given)


def bad_in(steps, monkeypatch, what=math.nan):
    """The loss of these steps (from 1, over the whole process) is none."""
    real, calls = loop.optimizer_step, []

    def step(weights, objective, *rest):
        calls.append(1)
        if len(calls) not in steps:
            return real(weights, objective, *rest)
        with pytest.MonkeyPatch.context() as patch:
            loss = objective.loss
            scaled = lambda outputs, batch: {name: part * what for name, part in loss(outputs, batch).items()}  # noqa: E731
            patch.setattr(objective, "loss", scaled)
            return real(weights, objective, *rest)

    monkeypatch.setattr(loop, "optimizer_step", step)


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("settings", [{}, {"ema_decay": 0.9}, {"optimizer": "muon"}], ids=str)
def test_a_bad_step_changes_nothing_and_is_counted(settings, make_model, tmp_path, monkeypatch, capsys):
    """What is left of a run whose last step was skipped is what it was one step before."""
    settings = {"schedule": "constant", "checkpoint_every": 1, **settings}
    run(make_model(), tmp_path / "short", settings_of(max_steps=4, **settings), evaluates=False)
    bad_in({5}, monkeypatch)
    totals = run(make_model(), tmp_path / "bad", settings_of(max_steps=6, **settings), evaluates=False)
    assert totals["bad_steps"] == 1
    assert "1 step was skipped" in totals["warnings"][0]
    assert "step 5 is skipped (1 in a row of at most 3): the loss is nan" in capsys.readouterr().out
    skipped = rows(tmp_path / "bad")[4]
    assert (skipped["step"], skipped["loss"], skipped["grad_norm"], skipped["skipped"]) == (5, None, None, 1)
    assert [row["step"] for row in rows(tmp_path / "bad")] == [1, 2, 3, 4, 5, 6]
    assert rows(tmp_path / "bad")[3]["loss"] == rows(tmp_path / "short")[3]["loss"]


def test_the_files_of_a_skipped_step_are_those_of_the_step_before(make_model, tmp_path, monkeypatch):
    """Weights, moments and average, bit for bit."""
    settings = settings_of(schedule="constant", ema_decay=0.9, checkpoint_every=None, max_hours=1)
    for step in (4, 5):
        with monkeypatch.context() as patch:
            bad_in({5}, patch)
            patch.setattr("strop.train.clock.Clock.is_late", lambda self, step=step: self._steps >= step)
            with pytest.raises(Interrupted, match=f"stopped at step {step} of"):
                run(make_model(), tmp_path / f"{step}", settings, evaluates=False)
    four, five = (checkpoints(tmp_path / f"{step}/checkpoints")[-1] for step in (4, 5))
    assert (four / "model.safetensors").read_bytes() == (five / "model.safetensors").read_bytes()
    for file, name in (("optimizer.pt", "adamw"), ("state.pt", "ema")):
        a, b = (torch.load(place / file, weights_only=True)[name] for place in (four, five))
        a, b = (one.get("state", one) for one in (a, b))
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_too_many_in_a_row_stop_the_run(make_model, tmp_path, monkeypatch):
    bad_in({5, 7, 8, 9}, monkeypatch)
    with pytest.raises(Diverged, match=r"diverged at step 7: .*step-000006"):
        run(make_model(), tmp_path, settings_of())


def test_too_many_in_a_row_go_back_with_a_lower_rate_and_other_data(make_model, tmp_path, monkeypatch, capsys):
    bad_in({7, 8, 9}, monkeypatch)
    settings = settings_of(on_bad_steps="rollback", schedule="constant", warmup_ratio=0)
    totals = run(make_model(), tmp_path, settings)
    [back] = totals["rollbacks"]
    assert (back["at_step"], back["to_step"]) == (10, 6)
    assert "learning rates are 0.5 times what they were" in capsys.readouterr().out
    trained = rows(tmp_path)
    assert [row["step"] for row in trained if "loss" in row] == list(range(1, 13))
    assert [row["lr"] for row in trained if "loss" in row] == [1e-2] * 6 + [5e-3] * 6


def test_weights_that_are_what_is_wrong_end_the_run_all_the_same(make_model, tmp_path, monkeypatch):
    bad_in(set(range(4, 99)), monkeypatch)
    with pytest.raises(Halted, match="The run stops here"):
        run(make_model(), tmp_path, settings_of(on_bad_steps="rollback"))


def no_numbers_in(calls, monkeypatch):
    """The source asks the policy, as rollouts do, which has no finite numbers for it in these of its calls."""
    real, done = PackedSource.next_step, []

    def next_step(source):
        done.append(1)
        if len(done) in calls:
            raise NotFinite("the model's log-probabilities are not finite.")
        return real(source)

    monkeypatch.setattr(PackedSource, "next_step", next_step)


def test_a_source_that_gets_no_numbers_of_the_trained_weights_ends_the_run_as_diverged(
    make_model, tmp_path, monkeypatch
):
    no_numbers_in({7}, monkeypatch)
    with pytest.raises(Diverged, match=r"diverged at step 6: the model's log-prob.*move .*step-000006 away"):
        run(make_model(), tmp_path, settings_of(keep_checkpoints=9))
    monkeypatch.undo()
    no_numbers_in({1}, monkeypatch)  # the model that was given
    with pytest.raises(NotFinite):
        run(make_model(), tmp_path / "new", settings_of())


def test_a_source_that_gets_no_numbers_goes_back_to_weights_that_gave_some(make_model, tmp_path, monkeypatch):
    no_numbers_in({7, 8}, monkeypatch)  # of step 6, and of step 3 when it is put back
    settings = settings_of(on_bad_steps="rollback", keep_checkpoints=9)
    totals = run(make_model(), tmp_path, settings)
    assert [(one["at_step"], one["to_step"]) for one in totals["rollbacks"]] == [(7, 3), (4, 0)]
    assert [row["step"] for row in rows(tmp_path) if "loss" in row] == list(range(1, 13))


def test_unsound_weights_are_not_kept_where_the_run_may_go_back_no_more(make_model, tmp_path, monkeypatch):
    no_numbers_in({5}, monkeypatch)
    monkeypatch.setattr(loop.Keeper, "newest", lambda keeper, up_to=None: None)
    with pytest.raises(Halted, match=r"weights of step 4 are unsound: .*no checkpoint is there of the time before"):
        run(make_model(), tmp_path, settings_of(on_bad_steps="rollback"))
    assert [path.name for path in checkpoints(tmp_path / "checkpoints")] == ["step-000003"]


@pytest.mark.parametrize("alarm", ["warn", "stop", "rollback"])
def test_a_loss_that_jumps_raises_its_alarm(alarm, make_model, tmp_path, monkeypatch, capsys):
    bad_in({25}, monkeypatch, what=100.0)
    settings = settings_of(alarm=alarm, epochs=5, checkpoint_every=10)
    if alarm == "stop":
        with pytest.raises(Halted, match=r"alarm loss_spike, at step 25: .*train.alarm is stop"):
            run(make_model(), tmp_path, settings)
    else:
        totals = run(make_model(), tmp_path, settings)
        assert [one["to_step"] for one in totals.get("rollbacks", [])] == ([20] if alarm == "rollback" else [])
        assert "losses" not in totals
    assert capsys.readouterr().out.count("alarm loss_spike, at step 25: the loss jumped to ") >= 1
    steps = [row["step"] for row in rows(tmp_path) if "loss" in row]
    assert steps == list(range(1, 26 if alarm == "stop" else 31))


def test_a_run_without_a_spike_raises_none(make_model, tmp_path, capsys):
    run(make_model(), tmp_path, settings_of(epochs=8))
    assert "loss_spike" not in capsys.readouterr().out


def test_sigusr1_writes_a_checkpoint_and_goes_on(make_model, tmp_path, monkeypatch):
    real, calls = loop.optimizer_step, []

    def step(*args):
        calls.append(1)
        if len(calls) == 5:
            os.kill(os.getpid(), signal.SIGUSR1)
        return real(*args)

    monkeypatch.setattr(loop, "optimizer_step", step)
    settings = settings_of(checkpoint_every=None, keep_last=9)
    run(make_model(), tmp_path, settings)
    assert [path.name for path in checkpoints(tmp_path / "checkpoints")] == ["step-000005"]
    assert len([row for row in deterministic_rows(tmp_path) if "loss" in row]) == 12


def test_sigusr1_before_the_first_step_is_kept_for_after_it(make_model, tmp_path, monkeypatch):
    real, asked = loop.Evaluations.due, []

    def due(self, step, *rest):
        if not asked:
            asked.append(os.kill(os.getpid(), signal.SIGUSR1))
        return real(self, step, *rest)

    monkeypatch.setattr(loop.Evaluations, "due", due)
    run(make_model(), tmp_path, settings_of(checkpoint_every=None, keep_last=9))
    assert [path.name for path in checkpoints(tmp_path / "checkpoints")] == ["step-000001"]


def test_max_hours_stops_with_a_checkpoint_and_says_what_is_left(make_model, tmp_path, monkeypatch):
    monkeypatch.setattr("strop.train.clock.Clock.is_late", lambda self: self._steps >= 4)
    words = r"stopped at step 4 of 12 by max_hours 1 \(8 steps, about .*are left\); .*step-000004 is written"
    with pytest.raises(Interrupted, match=words) as caught:
        run(make_model(), tmp_path, settings_of(max_hours=1))
    assert caught.value.exit_code == 143


def test_a_checkpoint_that_cannot_be_written_is_said_and_tried_again(make_model, tmp_path, monkeypatch, capsys):
    real, calls = torch.save, []

    def full(*args, **kwargs):
        calls.append(1)
        if len(calls) in (3, 4):  # of the second checkpoint, and of the third
            raise OSError(28, "No space left on device")
        return real(*args, **kwargs)

    monkeypatch.setattr(torch, "save", full)
    totals = run(make_model(), tmp_path, settings_of(keep_last=9))
    assert [path.name for path in checkpoints(tmp_path / "checkpoints")] == ["step-000003", "step-000012"]
    [warning] = [line for line in totals["warnings"] if "could not be written" in line]
    assert warning.startswith("2 checkpoints could not be written, and the newest that is there is ")
    assert "step-000012; free space in " in warning
    said = capsys.readouterr().out
    assert said.count("WARNING: ") == 2
    assert "The checkpoint of step 6 is not written; earlier ones are whole." in said


def test_rows_of_metrics_that_cannot_be_written_come_later_whole(make_model, tmp_path, monkeypatch, capsys):
    real, calls = MetricsLog._append, []

    def full(self):
        calls.append(1)
        if len(calls) in (3, 4):
            raise OSError(28, "No space left on device")
        real(self)

    monkeypatch.setattr(MetricsLog, "_append", full)
    run(make_model(), tmp_path, settings_of(), evaluates=False)
    assert [row["step"] for row in rows(tmp_path)] == list(range(1, 13))
    assert capsys.readouterr().out.count("metrics.jsonl cannot be written (No space left on device)") == 1


def test_a_run_folder_that_vanishes_does_not_end_the_training(make_model, tmp_path, monkeypatch):
    real, calls = loop.optimizer_step, []

    def step(*args):
        calls.append(1)
        if len(calls) == 5:
            shutil.rmtree(tmp_path / "run")
        return real(*args)

    monkeypatch.setattr(loop, "optimizer_step", step)
    run(make_model(), tmp_path / "run", settings_of(checkpoint_in_background=False), evaluates=False)
    assert [row["step"] for row in rows(tmp_path / "run")] == list(range(5, 13))
    assert [path.name for path in checkpoints(tmp_path / "run/checkpoints")] == ["step-000012"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"max_rollbacks": 5}, "max_rollbacks: the run never goes back; set on_bad_steps: rollback or alarm: rollback"),
        ({"rollback_lr": 0.1, "alarm": "stop"}, "rollback_lr: the run never goes back"),
        ({"alarm": "rollback", "loss_spike": None}, "alarm: rollback would not be read, as loss_spike: null raises"),
        ({"alarm": "stop", "loss_spike": None}, "alarm: stop would not be read"),
    ],
)
def test_what_is_about_going_back_or_an_alarm_that_never_comes_is_refused(given, said):
    with pytest.raises(ValueError, match=said):
        settings_of(**given)
    with pytest.raises(
        ValueError, match="max_rollbacks: the run never goes back; set on_bad_steps: rollback, or leave"
    ):
        RlTrainSettings(max_rollbacks=5)
    assert settings_of(on_bad_steps="rollback", max_rollbacks=5, rollback_lr=1, loss_spike=None).max_rollbacks == 5
    assert settings_of(alarm="rollback", max_rollbacks=5).goes_back
