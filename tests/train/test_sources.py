"""What the loop makes of its source: metrics of its own are logged, and one without an end needs a limit."""

import json

import pytest
from small_runs import FLOAT32, SETTINGS, make_examples

from strop.common.errors import InputError
from strop.data.batch import make_batch
from strop.data.step import Step
from strop.model.policy import Policy
from strop.objectives.sft import CrossEntropy
from strop.train import loop
from strop.train.checkpoint import checkpoints
from strop.train.weights import Weights


class Drawn:
    """A source that never ends, draws from what it is asked, and cannot repeat its first step."""

    steps = None

    def __init__(self):
        self.given = self.asked = 0

    def next_step(self):
        self.given, self.asked = self.given + 1, self.asked + 1
        rows = [make_batch(make_examples(2, seed=self.given))]
        return Step(rows, {"reward": self.given / 2, "reward/format": 1.0}, ends_epoch=self.given == 2)

    def state_dict(self):
        return {"given": self.given}

    def load_state_dict(self, state):
        self.given = state["given"]


class NotComparable(CrossEntropy):
    comparable = False


def run(make_model, folder, source, **settings):
    settings = SETTINGS.model_copy(update={"eval_every": None, "checkpoint_every": "auto", **settings})
    weights = Weights(Policy(make_model(), FLOAT32, probe=False), settings)
    return loop.train(weights, source, NotComparable(), settings, folder)


def test_metrics_of_the_source_stand_beside_the_loops(make_model, tmp_path):
    run(make_model, tmp_path, Drawn(), max_steps=3)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(row["step"], row["reward"], row["reward/format"]) for row in rows] == [(1, 0.5, 1), (2, 1, 1), (3, 1.5, 1)]
    assert all(row["loss"] > 0 for row in rows)


def test_a_source_without_an_end_needs_max_steps(make_model, tmp_path):
    with pytest.raises(InputError, match=r"train: this data has no end; .*max_steps"):
        run(make_model, tmp_path, Drawn())


def test_a_checkpoint_is_written_where_an_epoch_ends(make_model, tmp_path):
    run(make_model, tmp_path, Drawn(), max_steps=4, keep_last=9)
    assert [path.name for path in checkpoints(tmp_path / "checkpoints")] == ["step-000002", "step-000004"]


def test_what_cannot_be_compared_is_neither_asked_for_again_nor_warned_of(make_model, tmp_path):
    slow = {"learning_rate": 1e-12, "schedule": "constant", "warmup_ratio": 0.0}
    first = run(make_model, tmp_path, Drawn(), max_steps=2, **slow)
    assert first["warnings"] == []
    source = Drawn()
    again = run(make_model, tmp_path, source, max_steps=3, **slow)
    assert (again["step"], source.asked, again["warnings"]) == (3, 1, [])
