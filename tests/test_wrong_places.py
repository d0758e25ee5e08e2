"""Places that results cannot or must not be written to: one line, exit code 2, and what is there stays as it is."""

import errno
import json
import os
from types import SimpleNamespace

import pytest

from strop.cli import main

ROW = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
EVAL = "eval MODEL --tasks m:task=answers:path=mine.jsonl:max_tokens=2 compute.dtype=float32 --out"
SFT = "sft MODEL --data chat.jsonl train.max_steps=1 compute.dtype=float32"


@pytest.fixture
def strop(tmp_path, model_folder, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chat.jsonl").write_text((json.dumps(ROW) + "\n") * 3)
    (tmp_path / "mine.jsonl").write_text('{"prompt": "Say 1.", "answer": "1"}\n')

    def call(line):
        code = main([word.replace("MODEL", str(model_folder)) for word in line.split()])
        out, err = capsys.readouterr()
        return SimpleNamespace(code=code, out=out, err=err)

    return call


def test_a_run_that_bad_rows_end_before_it_has_anything_leaves_no_folder(strop, tmp_path):
    rows = [ROW, ROW, {"messages": [{"role": "user"}]}]
    (tmp_path / "bad.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    line = SFT.replace("chat.jsonl", "bad.jsonl")
    refused(strop(line), "bad.jsonl:3: ")
    assert not (tmp_path / "runs").exists()
    measured = "stages: {before: {kind: eval}, sft: {kind: sft, data: [bad.jsonl]}}"
    (tmp_path / "two.yaml").write_text(
        "name: two\nmodel: m\nevals: {m: {task: answers, path: mine.jsonl, max_tokens: 2}}\n" + measured
    )
    refused(strop("run two.yaml model=MODEL"), "bad.jsonl:3: ")  # what was measured is kept
    assert (tmp_path / "runs/two/before/evals/m.jsonl").is_file()
    (tmp_path / "bad.jsonl").write_text(json.dumps(ROW) + "\n")
    done = strop("run two.yaml model=MODEL stages.sft.train.max_steps=1")
    assert done.code == 0, done.err
    assert "before: done before" in done.out


@pytest.fixture
def two_runs(strop):
    for name in ("a", "b"):
        assert strop(f"{EVAL} runs/{name}").code == 0


def refused(done, said):
    assert done.code == 2, done.err
    lines = done.err.strip().splitlines()
    assert lines[-1].startswith("strop: ")
    assert said in lines[-1]


PAGES = [
    "report runs/a --out {}",
    "report runs/a runs/b --out {}",
    "report runs/a --md --out {}",
    "compare runs/a runs/b --html {}",
    "compare runs/a runs/b --blind {}",
    "compare runs/a runs/b --judge MODEL --judge-out {}",
    "inspect chat.jsonl --model MODEL --html {}",
]


@pytest.mark.parametrize("line", PAGES)
def test_a_page_replaces_no_data_of_the_users(strop, two_runs, tmp_path, line):
    before = (tmp_path / "chat.jsonl").read_bytes()
    refused(strop(line.format("chat.jsonl")), "chat.jsonl: is there already and holds something else")
    assert (tmp_path / "chat.jsonl").read_bytes() == before


@pytest.mark.parametrize("line", [PAGES[0], PAGES[1], PAGES[2], PAGES[3], PAGES[6]])
def test_a_page_is_written_anew_and_an_empty_file_filled(strop, two_runs, tmp_path, line):
    (tmp_path / "page").touch()
    assert strop(line.format("page")).code == 0
    first = (tmp_path / "page").read_bytes()
    assert first
    assert strop(line.format("page")).code == 0
    assert (tmp_path / "page").read_bytes()[:15] == first[:15]


@pytest.mark.parametrize("line", [*PAGES[:4], PAGES[6], "doctor chat.jsonl --model MODEL --fix {}.jsonl"])
@pytest.mark.parametrize("place", ["chat.jsonl/page", "x" * 300])
def test_a_name_that_no_file_can_have(strop, two_runs, line, place):
    refused(strop(line.format(place)), place)


@pytest.mark.parametrize("place", [".", "folder"])
def test_the_doctor_writes_no_folder(strop, tmp_path, place):
    (tmp_path / "folder").mkdir()
    refused(strop(f"doctor chat.jsonl --model MODEL --fix {place}"), "is a folder; name a file in it")


@pytest.mark.parametrize(("code", "said"), [(errno.EPERM, "that is not permitted"), (errno.ENOSPC, "no space is left")])
def test_a_file_that_cannot_be_written_is_named(strop, tmp_path, monkeypatch, code, said):
    def fails(descriptor):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("os.fsync", fails)
    refused(strop("inspect chat.jsonl --model MODEL --html page.html"), f"page.html: {said}")
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("name", ["config.yaml", "report.html", "summary.json"])
def test_a_run_does_not_write_over_files_of_the_users(strop, tmp_path, name):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / name).write_text("mine")
    refused(strop(f"{SFT} folder=own"), f"own holds a {name} and no run")
    assert [(path.name, path.read_text()) for path in (tmp_path / "own").iterdir()] == [(name, "mine")]


def test_beside_other_files_a_run_leaves_them_alone(strop, tmp_path):
    for name in ("notes.txt", ".draft.0a1b2c3d", "sub/.draft.0a1b2c3d"):
        (tmp_path / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / name).write_text("mine")
    assert strop(f"{SFT} folder=own").code == 0
    assert strop(f"{SFT} folder=own").code == 0
    assert (tmp_path / "own/notes.txt").read_text() == (tmp_path / "own/sub/.draft.0a1b2c3d").read_text() == "mine"


@pytest.mark.parametrize(("name", "said"), [("eval", "is no folder"), ("eval/x", "holds files that strop did not")])
def test_what_stands_in_a_later_stages_place_is_said_before_the_first_begins(strop, tmp_path, model_folder, name, said):
    stages = {"sft": {"kind": "sft", "data": ["chat.jsonl"], "train": {"max_steps": 1}}, "eval": {"kind": "eval"}}
    evals = {"general_chat": {"path": "chat.jsonl"}}
    (tmp_path / "r.yaml").write_text(
        json.dumps({"name": "r", "model": str(model_folder), "evals": evals, "stages": stages})
    )
    (tmp_path / "own" / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "own" / name).write_text("mine")
    refused(strop("run r.yaml folder=own"), said)
    assert not (tmp_path / "own/sft").exists()
    assert (tmp_path / "own" / name).read_text() == "mine"


def test_the_folder_where_one_is_holds_a_run_too(strop, tmp_path, monkeypatch):
    (tmp_path / "own").mkdir()
    monkeypatch.chdir(tmp_path / "own")
    (tmp_path / "own/chat.jsonl").write_text((json.dumps(ROW) + "\n") * 3)
    assert strop(f"{SFT} folder=.").code == 0
    assert (tmp_path / "own/report.html").is_file()


@pytest.mark.parametrize("line", [f"{SFT} folder=circle", f"{EVAL} circle", "export MODEL --to circle"])
def test_a_link_in_a_circle(strop, tmp_path, line):
    (tmp_path / "circle").symlink_to("circle")
    refused(strop(line), "circle")
