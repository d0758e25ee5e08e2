"""A run folder on a file system that lacks what whole checkpoints rest on is refused before anything is written."""

import errno
import fcntl
import json
import os
import stat
from pathlib import Path

import pytest

from strop.cli import main


def fails(code, where=lambda *given: True):
    def call(*given, **more):
        raise OSError(code, os.strerror(code))

    return lambda real: lambda *given, **more: call() if where(*given) else real(*given, **more)


def of_a_folder(descriptor):
    return stat.S_ISDIR(os.fstat(descriptor).st_mode)


LACKS = {
    "fsync": (os, "fsync", fails(errno.EINVAL), "flushed to the disk, file by file"),
    "fsync of folders": (os, "fsync", fails(errno.ENOSYS, of_a_folder), "flushed to the disk (fsync)"),
    "rename over a file": (os, "replace", fails(errno.EPERM), "renames no file"),
    "rename of folders": (os, "rename", fails(errno.ENOTSUP), "renames no folder"),
    "rename at all": (os, "rename", fails(errno.EXDEV), "renames no folder"),
    "locks": (fcntl, "flock", fails(errno.ENOLCK), "locked against a second run"),
    "room": (os, "fsync", fails(errno.ENOSPC), "cannot be written to (No space left on device)"),
}


@pytest.mark.parametrize("before", [False, True], ids=["a new folder", "one that is there"])
@pytest.mark.parametrize("lack", LACKS)
def test_one_line_and_nothing_is_touched(lack, before, tmp_path, model_folder, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chat.jsonl").write_text(json.dumps({"prompt": "Say 1.", "completion": "1"}) + "\n")
    if before:
        (tmp_path / "there/run").mkdir(parents=True)
        (tmp_path / "there/run/notes.txt").write_text("mine")
    was = sorted(tmp_path.rglob("*"))
    owner, name, make, said = LACKS[lack]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, make(getattr(owner, name)))
        assert main(["sft", str(model_folder), "--data", "chat.jsonl", "folder=there/run"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert said in err
    assert "folder=PATH" in err
    assert sorted(tmp_path.rglob("*")) == was
    assert Path.cwd() == tmp_path
