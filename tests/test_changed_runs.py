"""Runs with changed settings, cut off, or met by another: nothing trained is lost, everything is said."""

import json
import os
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from strop.cli import main
from strop.common.errors import InputError
from strop.common.files import write_json
from strop.common.flat import flat
from strop.runs.made_from import Change, changes, key_of
from strop.runs.run_folder import claimed
from strop.runs.stage_folder import StageFolder, read_state
from strop.train import loop
from strop.train.checkpoint import checkpoints


@pytest.fixture
def run(tmp_path, model_folder, capsys, monkeypatch):
    """Train 12 rows for an epoch of three steps; gives the exit code, what was said, and the stage's folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STROP_CACHE", str(tmp_path / "cache"))
    rows = [{"prompt": f"Say {i}.", "completion": str(i)} for i in range(12)]
    (tmp_path / "chat.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "recipe.yaml").write_text(f"""\
name: small
model: {model_folder}
compute: {{dtype: float32}}
stages:
  sft:
    kind: sft
    data: [{{path: chat.jsonl}}]
    train: {{global_batch_size: 4, learning_rate: 1e-2}}
""")

    def call(*arguments):
        code = main(["run", "recipe.yaml", *arguments])
        out, err = capsys.readouterr()
        return SimpleNamespace(code=code, out=out, err=err, stage=tmp_path / "runs/small/sft")

    call.tmp = tmp_path
    return call


def weights(stage):
    return (stage / "model/model.safetensors").read_bytes()


def test_a_changed_setting_stops_and_says_which_with_the_choices(run):
    done = run()
    before = weights(done.stage)
    changed = run("stages.sft.train.learning_rate=2e-2", "stages.sft.train.epochs=2")
    assert changed.code == 2
    lines = [line.removeprefix("strop: ") for line in changed.err.splitlines()]
    assert lines[0] == "sft: runs/small/sft holds a finished model of other settings or inputs, which stays as it is:"
    assert lines[1:3] == ["  train.epochs 1 → 2", "  train.learning_rate 0.01 → 0.02"]
    assert lines[3] == "choose:"
    assert "--continue goes on from its checkpoint step-000003" in lines[4]
    assert "--fresh" in lines[5]
    assert "name=" in lines[6]
    assert weights(done.stage) == before
    assert not (done.stage.parent / "sft.new").exists()


def test_a_fresh_run_that_fails_leaves_the_old_model(run):
    done = run()
    before = weights(done.stage)
    (run.tmp / "bad.jsonl").write_text("nonsense\n")
    failed = run("--fresh", "stages.sft.data.0.path=bad.jsonl")
    assert failed.code == 2
    assert weights(done.stage) == before
    assert (done.stage.parent / "report.html").exists()
    again = run("--fresh", "stages.sft.train.learning_rate=2e-2")
    assert again.code == 0
    assert weights(done.stage) != before
    assert sorted(p.name for p in done.stage.parent.iterdir() if p.is_dir()) == ["sft"]
    assert json.loads((done.stage.parent / "summary.json").read_text())["name"] == "small"


def test_going_on_with_other_rates_and_more_epochs(run):
    run()
    more = run("--continue", "stages.sft.train.epochs=2", "stages.sft.train.learning_rate=5e-3")
    assert more.code == 0, more.err
    assert "sft: goes on from step-000003 with train.epochs 1 → 2, train.learning_rate 0.01 → 0.005." in more.out
    assert "sft: going on from step 3 of 6" in more.out
    steps = [json.loads(line)["step"] for line in (more.stage / "metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4, 5, 6]
    [written] = read_state(more.stage)["changes"]
    assert written["from"] == "step-000003"
    assert {"setting": "train.epochs", "before": 1.0, "now": 2.0} in written["changed"]
    assert run("stages.sft.train.epochs=2", "stages.sft.train.learning_rate=5e-3").out.count("skipped") == 1


def test_a_checkpoint_of_a_longer_run_is_not_gone_on_from(run):
    done = run()
    before = weights(done.stage)
    refused = run("stages.sft.train.max_steps=2", "--continue")
    assert refused.code == 2
    assert "step-000003 is of step 3 already, and with these settings the run has 2; raise max_steps" in refused.err
    assert weights(done.stage) == before
    assert "done before with the same settings" in run().out
    assert run("stages.sft.train.max_steps=3", "--continue").code == 0  # as long as it was


def test_the_new_rate_is_the_one_that_trains(run):
    before = load_file(run().stage / "model/model.safetensors")
    more = run("--continue", "stages.sft.train.epochs=2", "stages.sft.train.learning_rate=1e-12")
    assert more.code == 0, more.err
    after = load_file(more.stage / "model/model.safetensors")
    for name, weight in before.items():
        torch.testing.assert_close(after[name].float(), weight.float(), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("stages.sft.train.seed=1", "train.seed 0 → 1"),
        ("stages.sft.data.0.count=8", "data.0.count (not there) → 8"),
        ("stages.sft.lora.r=4", "lora.r (not there) → 4"),
        ("chat.train_on=last", "chat.train_on assistant → last"),
    ],
)
def test_what_cannot_change_on_the_way_is_refused(run, override, said):
    run()
    refused = run("--continue", override)
    assert refused.code == 2
    assert "cannot go on with other data, seed, model, adapters or template" in refused.err
    assert said in refused.err


def test_settings_without_effect_change_nothing(run):
    done = run()
    again = run(
        "stages.sft.train.checkpoint_every=1", "stages.sft.train.keep_checkpoints=3", "stages.sft.train.compile=false"
    )
    assert again.code == 0
    assert "skipped" in again.out
    assert weights(done.stage) == weights(again.stage)


def test_changed_data_are_named(run):
    run()
    with (run.tmp / "chat.jsonl").open("a") as file:
        file.write('{"prompt": "a", "completion": "b"}\n')
    assert "data.0.content: its content changed" in run().err


def test_a_stop_before_the_first_checkpoint_needs_no_choice(run, monkeypatch):
    monkeypatch.setattr("strop.stages._training.train", lambda *a, **k: (_ for _ in ()).throw(InputError("no")))
    assert run().code == 2
    monkeypatch.undo()
    monkeypatch.chdir(run.tmp)
    assert run("stages.sft.train.learning_rate=2e-2").code == 0


def test_another_recipe_in_the_same_folder_is_refused(run):
    run()
    other = run("name=other", "folder=runs/small")
    assert other.code == 2
    assert "holds the run of another recipe, 'small'" in other.err
    stages = "stages={tune: {kind: sft, data: [{path: chat.jsonl}]}}"
    assert "holds a stage 'sft' that this recipe does not have" in run(stages).err


def test_a_stage_that_may_not_be_done_is_found_before_any_is_touched(run, model_folder):
    text = (run.tmp / "recipe.yaml").read_text()
    evals = "evals: {general_chat: {path: chat.jsonl}}\nstages:\n  before: {kind: eval}\n"
    (run.tmp / "recipe.yaml").write_text(text.replace("stages:\n", evals))
    done = run()
    assert done.code == 0, done.err
    folder = done.stage.parent
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}
    other = run.tmp / "other"
    shutil.copytree(model_folder, other)
    refused = run(f"model={other}")
    assert refused.code == 2
    assert "before: runs/small/before holds a result of other settings or inputs" in refused.err
    assert "  model.name " in refused.err
    refused = run("chat.train_on=last")  # the evaluation alone would be done again
    assert refused.code == 2
    assert "sft: runs/small/sft holds a finished model" in refused.err
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"} == before


def test_an_unfinished_fresh_run_is_kept_as_a_finished_one_is(run, monkeypatch):
    done = run()
    import strop.train.loop as loop

    real, calls = loop.optimizer_step, []

    def dies(*args):
        calls.append(1)
        if len(calls) == 3:
            raise SystemError("the power went")
        return real(*args)

    monkeypatch.setattr(loop, "optimizer_step", dies)
    settings = ["stages.sft.train.seed=1", "stages.sft.train.checkpoint_every=1"]
    with pytest.raises(SystemError):
        run("--fresh", *settings)
    monkeypatch.setattr(loop, "optimizer_step", real)
    new = done.stage.parent / "sft.new"
    asked = run(*settings, "stages.sft.train.learning_rate=2e-2")
    assert asked.code == 2
    assert "sft: runs/small/sft.new holds an unfinished run of other settings or inputs" in asked.err
    assert "train.learning_rate 0.01 → 0.02" in asked.err
    assert "seed" not in asked.err
    assert "--continue goes on from its checkpoint step-000002" in asked.err
    assert [p.name for p in checkpoints(new / "checkpoints")] == ["step-000002"]
    more = run("--continue", *settings, "stages.sft.train.learning_rate=2e-2")
    assert more.code == 0, more.err
    assert "sft: going on from step 2 of 3" in more.out
    assert not new.exists()
    note = "sft went on from step-000002 with train.learning_rate 0.01 → 0.02."
    assert note in json.loads((done.stage.parent / "summary.json").read_text())["notes"]
    assert (
        "sft went on from step-000002 with train.learning_rate 0.01" in (done.stage.parent / "report.html").read_text()
    )


def test_a_training_whose_model_was_made_again_is_done_again(run):
    text = (run.tmp / "recipe.yaml").read_text()
    more = "  more:\n    kind: sft\n    data: [{path: chat.jsonl}]\n    train: {global_batch_size: 4}\n"
    (run.tmp / "recipe.yaml").write_text(text + more)
    run()
    again = run("--continue", "stages.sft.train.epochs=2", "stages.more.train.epochs=2")
    assert again.code == 0, again.err
    assert "more: done again, since the model before it is another, with train.epochs 1 → 2; " in again.out
    assert run("stages.sft.train.epochs=2", "stages.more.train.epochs=2").out.count("skipped") == 2


def test_a_run_inside_of_its_data_is_refused(run):
    (run.tmp / "rows").mkdir()
    shutil.copy(run.tmp / "chat.jsonl", run.tmp / "rows")
    refused = run("stages.sft.data.0.path=rows", "folder=rows/run")
    assert refused.code == 2
    assert "rows/run lies in the data folder rows" in refused.err
    assert [p.name for p in (run.tmp / "rows").iterdir()] == ["chat.jsonl"]


def test_a_run_inside_of_an_adapter_is_refused(run):
    (run.tmp / "adapter").mkdir()
    (run.tmp / "adapter/adapter_config.json").write_text("{}")
    assert "lies in the model" in run("folder=adapter/run").err
    beside = run("folder=adapter/../run")
    assert beside.code == 0, beside.err


@pytest.mark.parametrize("name", ["../esc", "a/b", "", ".hidden", "a\\b"])
def test_a_name_is_no_path(run, name):
    refused = run(f"name='{name}'")
    assert refused.code == 2
    assert "folder's name" in refused.err
    assert not (run.tmp.parent / "esc").exists()


def test_a_run_inside_of_a_model_is_refused(run, model_folder):
    refused = run(f"folder={model_folder}/runs/x")
    assert refused.code == 2
    assert f"lies in the model {model_folder}" in refused.err
    assert not (model_folder / "runs").exists()


def test_two_runs_at_once_are_refused(run):
    folder = run.tmp / "runs/small"
    with claimed(folder):
        second = run()
    assert second.code == 2
    assert f"another run works in this folder (process {os.getpid()} on " in second.err
    assert run().code == 0  # the lock goes with its process


def test_what_a_kill_left_half_written_or_half_removed_is_cleared_away(tmp_path):
    kept = ["step-000004/state.pt", ".notes", ".gone/mine"]
    left = [
        ".step-000002.gone/state.pt",
        ".step-000006.123-0a1b2c3d/state.pt",
        ".shards/__0_0.distcp",
        ".x.json.0a1b2c3d",
    ]
    (tmp_path / "sft").mkdir()
    (tmp_path / "sft/stage.json").write_text("{}")
    for name in (*kept, *left):
        (tmp_path / "sft/checkpoints" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sft/checkpoints" / name).write_text("half")
    with claimed(tmp_path):
        there = {str(path.relative_to(tmp_path / "sft/checkpoints")) for path in tmp_path.rglob("*/checkpoints/**/*")}
    assert there == {*kept, "step-000004", ".gone"}


@pytest.mark.parametrize("cut_before", [1, 2, 3])
def test_a_crash_at_any_rename_leaves_a_whole_result(tmp_path, monkeypatch, cut_before):
    stage = StageFolder(tmp_path / "sft")
    stage.begin({"done": True, "key": "old"}, stage.path, "")
    stage.begin({"done": True, "key": "new"}, stage.new, "")
    calls = []

    def crash(real):
        def call(self, *args, **kwargs):
            calls.append(1)
            if len(calls) == cut_before:
                raise SystemError("the power went")
            return real(self, *args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", crash(Path.rename))
        patch.setattr("strop.runs.stage_folder.shutil.rmtree", crash(__import__("shutil").rmtree))
        with pytest.raises(SystemError):
            stage.take_place()
    stage.recover()
    assert read_state(stage.path)["key"] == "new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["sft"]


@pytest.mark.parametrize("cut_before", range(1, 7))
def test_a_crash_while_a_stage_begins_leaves_what_was_there(tmp_path, monkeypatch, cut_before):
    """Before any write, link, rename or removal: checkpoints that are gone on from are all there or not begun with."""
    stage = StageFolder(tmp_path / "sft")
    stage.begin({"done": True, "key": "old"}, stage.path, "")
    for step in (1, 2):
        (stage.path / f"checkpoints/step-{step:06d}").mkdir(parents=True)
        (stage.path / f"checkpoints/step-{step:06d}/state.pt").write_text(f"{step}")
    stage.begin({"done": False, "key": "earlier try"}, stage.new, "")
    calls = []

    def crash(real):
        def call(*args, **kwargs):
            calls.append(1)
            if len(calls) == cut_before:
                raise SystemError("the power went")
            return real(*args, **kwargs)

        return call

    module = "strop.runs.stage_folder."
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", crash(Path.rename))
        patch.setattr(module + "write_json", crash(write_json))
        patch.setattr(module + "_link", crash(os.link))
        patch.setattr(module + "shutil.copytree", crash(__import__("shutil").copytree))
        with pytest.raises(SystemError):
            stage.begin({"done": False, "key": "new"}, stage.new, "", progress=stage.path)
    stage.recover()
    assert read_state(stage.path)["key"] == "old"
    assert [p.name for p in checkpoints(stage.path / "checkpoints")] == ["step-000001", "step-000002"]
    found = read_state(stage.new).get("key")
    assert found in (None, "earlier try", "new")
    assert len(checkpoints(stage.new / "checkpoints")) == (2 if found == "new" else 0)
    stage.begin({"done": False, "key": "new"}, stage.new, "", progress=stage.path)
    assert [p.name for p in checkpoints(stage.new / "checkpoints")] == ["step-000001", "step-000002"]
    stage.recover()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["sft", "sft.new"]


def test_an_unfinished_new_one_never_takes_the_place(tmp_path):
    stage = StageFolder(tmp_path / "sft")
    stage.begin({"done": True, "key": "old"}, stage.path, "")
    stage.begin({"done": False, "key": "new"}, stage.new, "")
    stage.recover()
    assert read_state(stage.path)["key"] == "old"
    stage.path.rename(stage.old)  # as between the two renames, but of a new one that is not done
    stage.recover()
    assert read_state(stage.path)["key"] == "old"


def test_checkpoints_are_ordered_by_number(tmp_path):
    for name in ("step-1000000", "step-999999", "step-000002", "step-x", ".step-3"):
        (tmp_path / name).mkdir()
    assert [p.name for p in checkpoints(tmp_path)] == ["step-000002", "step-999999", "step-1000000"]


def test_the_key_is_of_what_has_an_effect():
    before = flat({"stage": {"train": {"learning_rate": 1e-4, "checkpoint_every": "auto"}}, "chat": {}})
    now = flat({"stage": {"train": {"learning_rate": 1e-4, "checkpoint_every": 5}}, "chat": {"max_length": None}})
    assert key_of(before) == key_of(now)
    assert changes(before, now) == []
    assert key_of(before) != key_of({**before, "stage.train.learning_rate": 2e-4})


@pytest.mark.parametrize(
    ("name", "may"),
    [
        ("stage.train.groups.0.lr_scale", True),
        ("stage.train.groups.0.match", False),
        ("stage.train.groups.1.optimizer", False),
        ("stage.train.learning_rate", True),
        ("stage.train.seed", False),
        ("stage.train.optimizer", False),
        ("stage.train.global_batch_size", False),
        ("stage.eval_data.0.path", True),
        ("eval_data.0.content", True),
        ("data.0.content", False),
        ("stage.data.0.path", False),
        ("stage.lora.r", False),
        ("chat.template", False),
        ("template_file", False),
        ("model.files", False),
    ],
)
def test_what_may_change_on_the_way(name, may):
    assert Change(name, 1, 2).continuable == may


def test_a_signal_is_acknowledged_at_once_and_the_second_acts(capfd):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        with loop.first_signal("finishing") as stopped:
            signal.raise_signal(signal.SIGINT)
            assert capfd.readouterr().err == "\nfinishing\n"
            assert stopped == [signal.SIGINT]
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_stopped_run_goes_on_from_its_checkpoint(run, monkeypatch):
    real = loop.optimizer_step

    def interrupted(*args):
        signal.raise_signal(signal.SIGINT)
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "optimizer_step", interrupted)
        stopped = run()
    assert stopped.code == 130
    assert "stopped at step 1 of 3" in stopped.err
    about = json.loads((stopped.stage / "checkpoints/step-000001/checkpoint.json").read_text())
    assert (about["step"], about["steps"], about["lora"]) == (1, 3, None)
    again = run("stages.sft.train.checkpoint_every=1")  # an interval is no other run
    assert again.code == 0
    assert "sft: going on from step 1 of 3 (runs/small/sft/checkpoints/step-000001)." in again.out


def test_a_signal_outside_of_training_is_one_line(run, monkeypatch):
    def interrupted(*_, **__):
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("strop.stages._training.prepare_with_evaluation", interrupted)
    stopped = run()
    assert stopped.code == 143
    assert stopped.err == (
        "strop: stopped in sft; steps since its newest checkpoint (if any) are done again by the same command.\n"
    )


def test_a_run_that_diverges_is_one_line_and_leaves_no_model(run):
    failed = run(
        "stages.sft.train.learning_rate=1e30",
        "stages.sft.train.max_grad_norm=1e30",
        "stages.sft.train.warmup_ratio=0",
        "stages.sft.train.epochs=10",
    )
    assert failed.code == 1
    [line] = failed.err.splitlines()
    assert line.startswith("strop: sft: training diverged at step ")
    assert "Lower learning_rate (now 1e+30)" in line
    assert not (failed.stage / "model").exists()


def test_what_went_wrong_without_stopping_is_warned_of(run):
    nothing = run("stages.sft.train.learning_rate=1e-12")
    assert "warning: hardly anything was learnt: " in nothing.out
    assert read_state(nothing.stage)["warnings"]
    worse = run(
        "name=worse",
        "stages.sft.train.learning_rate=3",
        "stages.sft.train.max_grad_norm=1e9",
        "stages.sft.train.epochs=4",
    )
    assert "the model got worse at what it was trained on" in worse.out
    fine = run("name=fine")
    assert "\nwarning:" not in fine.out


def test_evaluation_loss_is_said_and_kept(run):
    done = run("stages.sft.eval_data=[{path: chat.jsonl, count: 4}]", "stages.sft.train.eval_every=2")
    said = [line for line in done.out.splitlines() if "eval loss" in line]
    kept = read_state(done.stage)["totals"]["eval_loss"]
    assert [step for step, _ in kept["points"]] == [0, 2, 3]
    assert kept["start"] == kept["points"][0][1]
    assert kept["end"] == kept["points"][-1][1]
    assert kept["best"] == min(loss for _, loss in kept["points"])
    assert said[-1] == f"sft: step 3 · eval loss {kept['end']:.3f}, {kept['start']:.3f} at the start"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["stages.before.kind=eval"], "stages.before: measures nothing, since the recipe has no `evals`"),
        (["stages.sft.train.eval_every=2"], "train.eval_every: there is no eval_data to evaluate on"),
    ],
)
def test_stages_that_would_do_nothing_are_errors(run, overrides, said):
    if overrides[0].startswith("stages.before"):
        text = (run.tmp / "recipe.yaml").read_text()
        (run.tmp / "recipe.yaml").write_text(text.replace("stages:\n", "stages:\n  before: {kind: eval}\n"))
        overrides = []
    refused = run(*overrides)
    assert refused.code == 2
    assert said in refused.err
