"""strop runs: what each run is at, read from its folder alone; and how a run says so while it goes on."""

import errno
import io
import json
import subprocess
import sys
import time

import pytest

from strop.cli import main
from strop.common.console import Steady, make_console
from strop.common.errors import InputError, Interrupted
from strop.report.live import banner, read_progress, write_live
from strop.runs import live as live_module
from strop.runs.listing import runs_in
from strop.runs.live import Live
from strop.runs.run_folder import claimed

SUMMARY = {
    "name": "one", "model": "m", "before": {"x_right": {"value": 0.25, "n": 4}},
    "after": {"x_right": {"value": 0.5, "n": 4}},
    "measures": {"x_right": {"name": "x_right", "about": "", "unit": "rate", "better": 1, "lead": 0}},
    "minutes": {"sft": 1.0}, "stages": {"training": ["sft"]},
}  # fmt: skip


def a_run(place, done=True, rows=3):
    stage = place / "sft"
    stage.mkdir(parents=True)
    (stage / "stage.json").write_text(json.dumps({"run": "one", "done": done}))
    (stage / "config.yaml").write_text("model: m\nstages: {sft: {kind: sft}}\n")
    (stage / "metrics.jsonl").write_text(
        "".join(json.dumps({"step": i + 1, "loss": 3 - i}) + "\n" for i in range(rows))
    )
    if done:
        (place / "summary.json").write_text(json.dumps(SUMMARY))


def ended(place, console, error):
    with Live(place, console) as live, Steady(console, "sft", 10, done=7):
        live.stage("sft", ["sft"], {})
        raise error


def test_states_are_told_apart(tmp_path, capsys):
    a_run(tmp_path / "done")
    for name in ("gone", "broke", "halted", "busy"):
        a_run(tmp_path / name, done=False)
    (tmp_path / "no-run").mkdir()
    quiet = make_console(file=io.StringIO())
    with pytest.raises(RuntimeError):
        ended(tmp_path / "broke", quiet, RuntimeError("the disk caught fire"))
    with pytest.raises(Interrupted):
        ended(tmp_path / "halted", quiet, Interrupted(15, "stopped at step 7 of 10"))
    with claimed(tmp_path / "busy"):
        found = {one["name"]: one for one in runs_in(tmp_path)}
    assert {name: one["state"] for name, one in found.items()} == {
        "done": "finished", "gone": "cut off", "broke": "failed", "halted": "stopped", "busy": "running",
    }  # fmt: skip
    assert found["broke"]["why"] == "the disk caught fire"
    assert found["halted"]["where"] == "in sft: sft 7 of 10"
    assert found["gone"]["where"] == "in sft at step 3"
    assert found["done"]["numbers"] == [("x_right", 0.25, 0.5, "rate")]
    assert found["done"]["model"] == "m"
    assert found["done"]["bytes"] == sum(p.stat().st_size for p in (tmp_path / "done").rglob("*") if p.is_file())
    assert main(["runs", str(tmp_path), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["runs"]) == 5
    assert main(["runs", str(tmp_path)]) == 0
    assert "x_right 25.0 % → 50.0 %" in capsys.readouterr().out
    assert main(["runs", str(tmp_path / "nothing")]) == 2
    assert runs_in(tmp_path / "done")[0]["name"] == "done"


def progress(**more):
    doing = [{"title": "sft", "done": 3, "total": 10, "left": 70.0, "text": "loss 1.000"}]
    return {"state": "running", "stage": "sft", "doing": doing, "summary": SUMMARY, **more}


def test_the_page_of_a_run_that_goes_on_refreshes_itself_and_the_last_one_does_not(tmp_path):
    a_run(tmp_path, done=False)
    write_live(tmp_path, progress(), running=True)
    page = (tmp_path / "report.html").read_text()
    assert 'data-refresh="30"' in page
    assert "sft: 3 of 10, about 70 s left; loss 1.000." in page
    assert "location.reload" in page
    write_live(tmp_path, progress(), running=False)
    page = (tmp_path / "report.html").read_text()
    assert "Cut off in sft" in page
    assert "refresh" not in page.replace("<style>", "")
    assert banner(progress(state="stopped", why="stopped at step 3"), False)["lines"][-1] == "stopped at step 3"


def test_the_page_says_which_stages_are_done_and_which_are_to_come(tmp_path):
    a_run(tmp_path, done=False)
    summary = {**SUMMARY, "minutes": {"baseline": 2.0, "sft": None}}
    write_live(tmp_path, progress(stages=["baseline", "sft", "eval"], summary=summary, minutes=0.5), running=True)
    page = (tmp_path / "report.html").read_text()
    assert '<li class="done">baseline <span class="small">2.0 min</span></li>' in page
    assert '<li aria-current="step">sft <span class="small">30 s</span></li><li>eval</li>' in page
    assert banner(progress(stages=["sft"]), True)["stages"] == []


def test_the_writer_ends_with_its_run_and_says_that_it_was_cut_off(tmp_path):
    a_run(tmp_path, done=False)
    (tmp_path / "progress.json").write_text(json.dumps(progress()))
    own_pace = "import os, runpy; os.nice = int; runpy.run_module('strop.report.live', run_name='__main__')"
    command = [sys.executable, "-c", own_pace, str(tmp_path)]  # with the lowest priority other tests would hold it up
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as writer:
        while not (tmp_path / "report.html").is_file():
            assert writer.poll() is None
            time.sleep(0.05)
        assert "Running: sft." in (tmp_path / "report.html").read_text()
        writer.stdin.close()
        assert writer.wait(60) == 0
    assert "Cut off in sft" in (tmp_path / "report.html").read_text()


def test_a_full_disk_is_said_once_and_ends_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    out = io.StringIO()
    monkeypatch.setattr(live_module, "write_json", full)
    with Live(tmp_path, make_console(file=out)) as live:
        live.stage("sft", ["sft", "eval"], {})
        live.stage("eval", ["sft", "eval"], {})
    assert out.getvalue().count("No space left on device") == 1
    assert read_progress(tmp_path) == {}


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        runs_in(tmp_path / "x")
