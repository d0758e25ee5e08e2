"""Trackers: what each is given, that a missing one is refused beforehand, and that a failing one ends nothing."""

import io
import os
import subprocess
import sys
import threading
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

import strop
from strop.common import tracking
from strop.common.console import make_console
from strop.common.errors import InputError
from strop.config.recipe import stage_recipe
from strop.runs.trackers import Trackers

ROWS = [{"prompt": f"What is {i} and 1?", "completion": str(i + 1)} for i in range(6)]


def a_module(monkeypatch, name, **names):
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)
    vars(module).update(names)
    monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def writer(monkeypatch):
    """A stand-in for TensorBoard's writer; the calls it had."""
    calls = []

    class SummaryWriter:
        def __init__(self, folder):
            calls.append(("open", folder))

        def add_text(self, tag, text):
            calls.append(("text", tag, text))

        def add_scalar(self, tag, value, step):
            if tag == "sft/boom":
                raise ConnectionError("gone")
            calls.append(("scalar", tag, value, step))

        def flush(self): ...

        def close(self):
            calls.append(("close",))

    a_module(monkeypatch, "tensorboard")
    a_module(monkeypatch, "torch.utils.tensorboard", SummaryWriter=SummaryWriter)
    return calls


def test_every_row_and_the_last_numbers_reach_the_tracker(model_folder, tmp_path, monkeypatch, writer):
    monkeypatch.chdir(tmp_path)
    result = strop.sft(
        model_folder, ROWS, max_steps=2, global_batch_size=2,
        eval_data=ROWS[:2], trackers=["tensorboard"], compute={"dtype": "float32"},
        quiet=True,
    )  # fmt: skip
    scalars = {(tag, step): value for kind, tag, value, step in (c for c in writer if c[0] == "scalar")}
    losses = {row["step"]: row["loss"] for row in result.steps() if "loss" in row}
    assert {step: value for (tag, step), value in scalars.items() if tag == "sft/loss"} == losses
    assert scalars["final/sft/eval_loss", 0] == result.metrics["sft/eval_loss"]
    assert writer[0] == ("open", "runs/sft/tensorboard")
    assert "max_steps: 2" in writer[1][2]
    assert writer[-1] == ("close",)
    assert not tracking.RECEIVERS


def recipe(tmp_path, *names):
    stage = {"kind": "sft", "data": ["x.jsonl"]}
    return stage_recipe("sft", "m", stage, more={"trackers": list(names), "folder": str(tmp_path)})


def test_one_that_fails_is_said_once_and_left_off(tmp_path, writer):
    out = io.StringIO()
    with Trackers(recipe(tmp_path, "tensorboard"), make_console(file=out)):
        tracking.track("sft", {"step": 1, "boom": 1.0})
        tracking.track("sft", {"step": 2, "loss": 1.0})
    assert out.getvalue() == "trackers: tensorboard failed and is left off (ConnectionError: gone); the run goes on.\n"
    assert not [call for call in writer if call[0] == "scalar"]


def test_one_that_does_not_close_is_left_off(tmp_path, monkeypatch):
    over = threading.Event()

    class Run:
        summary, finish = {}, staticmethod(lambda: over.wait(60))

    a_module(monkeypatch, "wandb", init=lambda **how: Run())
    monkeypatch.setattr("strop.runs.trackers.CLOSE_SECONDS", 0.3)
    out = io.StringIO()
    with Trackers(recipe(tmp_path, "wandb"), make_console(file=out)):
        pass
    assert not over.is_set()
    over.set()
    assert "trackers: wandb was not done within 0.005 minutes and is left off" in out.getvalue()


def test_one_that_is_not_installed_is_refused_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install wandb"), Trackers(recipe(tmp_path, "wandb"), make_console()):
        pass
    with pytest.raises(InputError, match="trackers"):
        recipe(tmp_path, "mlflow")


def test_wandb_has_steps_of_every_stage_and_goes_on_with_its_run(tmp_path, monkeypatch):
    said = []

    class Run:
        def __init__(self):
            self.summary = {}

        def define_metric(self, *given, **how):
            said.append(("define", *given, how))

        def log(self, values):
            said.append(("log", values))

        def finish(self):
            said.append(("finish",))

    a_module(monkeypatch, "wandb", init=lambda **how: said.append(("init", how)) or Run())
    for changed in ("stop", "stop", "fresh", "stop"):
        with Trackers(recipe(tmp_path, "wandb"), make_console(), changed):
            tracking.track("sft", {"step": 3, "loss": 1.5, "text": "no number", "nan": float("nan")})
    inits = [call[1] for call in said if call[0] == "init"]
    first, again, anew, then = (one["id"] for one in inits)
    assert first == again != anew == then
    assert inits[0]["config"]["stages.sft.kind"] == "sft"
    assert ("define", "sft/*", {"step_metric": "sft/step"}) in said
    assert ("log", {"sft/step": 3, "sft/loss": 1.5}) in said


@pytest.mark.slow
def test_real_tensorboard_reads_what_was_written(model_folder, tmp_path, monkeypatch):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.chdir(tmp_path)
    strop.sft(model_folder, ROWS, max_steps=2, global_batch_size=2, trackers=["tensorboard"], quiet=True)
    events = reader.EventAccumulator("runs/sft/tensorboard")
    events.Reload()
    assert [one.step for one in events.Scalars("sft/loss")] == [1, 2]


@pytest.mark.slow
def test_real_wandb_keeps_what_was_written(model_folder, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    strop.sft(model_folder, ROWS, max_steps=2, global_batch_size=2, trackers=["wandb"], quiet=True)
    [file] = Path("runs/sft/wandb").glob("offline-run-*/*.wandb")
    assert file.read_bytes().count(b"sft/loss") >= 2  # a protocol buffer for each step
    assert Path("runs/sft/.tracker_id").read_text() in file.name


@pytest.mark.slow
def test_real_trackio_tells_runs_of_one_name_apart_and_leaves_standard_output_alone(tmp_path):
    pytest.importorskip("trackio")
    program = """
import os
from strop.common import tracking
from strop.common.console import make_console
from strop.config.recipe import stage_recipe
from strop.runs.trackers import Trackers

for folder, step in (("a", 1), ("b", 1), ("a", 2)):
    os.makedirs(folder, exist_ok=True)
    more = {"trackers": ["trackio"], "folder": folder}
    recipe = stage_recipe("sft", "m", {"kind": "sft", "data": ["x.jsonl"]}, more=more)
    with Trackers(recipe, make_console(stderr=True)):
        tracking.track("sft", {"step": step, "loss": 1.0 / step})
"""
    environment = {**os.environ, "TRACKIO_DIR": str(tmp_path / "kept")}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    command = [sys.executable, "-m", "trackio.cli", "list", "runs", "--project", "strop", "--json"]
    listed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    names = {f"sft-{(tmp_path / folder / '.tracker_id').read_text()}" for folder in "ab"}
    assert len(names) == 2
    assert all(name in listed for name in names)
