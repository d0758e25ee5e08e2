"""Files of a run that are damaged: named with what to do, and they hide nothing else."""

import json
import shutil
from pathlib import Path

import pytest

from strop.cli import main

JUNK = {"not JSON": b"junk", "of another kind": b"[]", "no text": b"\xff\xfe\x00"}


@pytest.fixture(scope="module")
def measured(model_folder, tmp_path_factory):
    """A folder with the run of an evaluation of answers, and of one of losses."""
    folder = tmp_path_factory.mktemp("measured")
    (folder / "mine.jsonl").write_text('{"prompt": "Say 1.", "answer": "1"}\n')
    for name, task in (("a", "m:task=answers:max_tokens=2"), ("losses", "general_chat")):
        tasks = f"{task}:path={folder / 'mine.jsonl'}"
        assert main(["eval", str(model_folder), "--tasks", tasks, "--out", str(folder / "runs" / name)]) == 0
    return folder


@pytest.fixture
def runs(measured, tmp_path, monkeypatch, capsys):
    shutil.copytree(measured / "runs", tmp_path / "runs")
    shutil.copytree(tmp_path / "runs/a", tmp_path / "runs/b")
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    return Path("runs")


@pytest.mark.parametrize("kind", JUNK)
@pytest.mark.parametrize("name", ["eval/stage.json", "summary.json", "progress.json", "eval/config.yaml"])
def test_a_damaged_run_does_not_hide_the_others(runs, capsys, name, kind):
    (runs / "b" / name).write_bytes(JUNK[kind])
    assert main(["runs", "--json"]) == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)["runs"]}
    assert found["a"]["state"] == found["losses"]["state"] == "finished"
    assert (found["b"]["state"] == "damaged") == (name == "eval/stage.json")
    assert main(["runs"]) == 0
    assert ("b is damaged: runs/b/eval/stage.json" in capsys.readouterr().out) == (name == "eval/stage.json")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("summary.json", '{"after": {"x": 5}}'),
        ("summary.json", '{"after": {"x": {"value": "high"}}}'),
        ("summary.json", '{"eval_loss": [1]}'),
        ("progress.json", '{"doing": [{"total": 5}]}'),
        ("eval/config.yaml", "stages: [1]"),
    ],
)
def test_nor_does_one_whose_files_hold_something_else(runs, capsys, name, text):
    if name != "summary.json":
        (runs / "b/summary.json").unlink()
    (runs / "b" / name).write_text(text)
    assert main(["runs"]) == 0
    said = capsys.readouterr().out
    assert "b is damaged: runs/b: summary.json, progress.json or a config.yaml is JSON or YAML, and not what" in said
    assert said.count("finished") == 2


def test_a_runs_name_does_not_steer_the_terminal(runs, capsys):
    (runs / "b").rename(runs / "b\n\x1b[31m")
    assert main(["runs"]) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "│b↵␛[31m " in said


@pytest.mark.parametrize("kind", JUNK)
def test_damaged_answers_are_not_graded_again(runs, capsys, kind):
    (runs / "a/eval/evals/m.jsonl").write_bytes(JUNK[kind])
    assert main(["eval", "--regrade", "runs/a"]) == 2
    assert "runs/a/eval/evals/m.jsonl" in (said := capsys.readouterr().err)
    assert "evaluate the model again" in said
    (runs / "a/eval/evals/m.jsonl").unlink()
    assert main(["eval", "--regrade", "runs/a"]) == 2
    assert "runs/a/eval/evals/m.jsonl: cannot be read" in capsys.readouterr().err


def test_losses_cannot_be_graded_again(runs, capsys):
    assert main(["eval", "--regrade", "runs/losses"]) == 2
    assert "holds no answers to be graded, only losses" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["compare runs/a runs/b --html page.html", "report runs/a runs/b --out page.html"])
def test_a_recipe_that_is_no_yaml_is_named(runs, capsys, line):
    (runs / "b/eval/config.yaml").write_text(": : :")
    assert main(line.split()) == 2
    assert "runs/b/eval/config.yaml is not YAML" in capsys.readouterr().err
    assert not Path("page.html").exists()


@pytest.mark.parametrize("line", ["export runs/b --to out", "eval --regrade runs/b"])
def test_a_state_that_is_no_object_is_named(runs, capsys, line):
    (runs / "b/eval/stage.json").write_text("[]")
    assert main(line.split()) == 2
    assert "runs/b/eval/stage.json: not JSON (no object); move the folder" in capsys.readouterr().err
