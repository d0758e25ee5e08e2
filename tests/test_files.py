"""What is written of texts that nobody checked: it is UTF-8, on a line of its own, and reads back as it was."""

import json
import os
import stat
import threading
from pathlib import Path

import pytest

from strop.common.errors import InputError
from strop.common.files import _is_device, to_json, write_json, write_jsonl
from strop.common.folders import whole_folder

HALF = "half \ud83d of a pair, \udc00 too"


@pytest.mark.parametrize("text", [HALF, "\\\ud800", "\ud800" * 3, "\0 \x85 \u2028 \u2029", "\u202eabc", "é 😀"])
def test_any_text_is_written_and_read_back(tmp_path, text):
    rows = [{"answer": text, text: [text]}, {"answer": "the next"}]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    lines = (tmp_path / "rows.jsonl").read_bytes().rstrip(b"\n").split(b"\n")
    assert [json.loads(line.decode("utf-8")) for line in lines] == rows
    write_json(tmp_path / "value.json", rows)
    assert json.loads((tmp_path / "value.json").read_text(encoding="utf-8")) == rows


def test_only_halves_are_escaped():
    assert to_json("é 😀 \ud83d \\ud83d") == r'"é 😀 \ud83d \\ud83d"'


def read_from(pipe, into):
    into.append(pipe.read_text())


def test_a_pipe_or_device_is_written_into_and_stays(tmp_path):
    """To rename a file over it would put that in its place; root may do so to /dev/null."""
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=read_from, args=(pipe, read))
    reader.start()
    write_json(pipe, {"a": 1})
    reader.join(20)
    assert json.loads(read[0]) == {"a": 1}
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    with pytest.raises(InputError, match="is no folder"), whole_folder(pipe, 0, replace=True):
        pytest.fail("the body ran")
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


@pytest.mark.parametrize("place", ["/dev/null", "/dev/stdout", "/proc/self/fd/1", "/dev/../dev/full"])
def test_what_counts_as_a_device(place):
    assert _is_device(Path(place))


def test_a_new_file_beside_devices_is_one(tmp_path):
    assert not _is_device(Path("/dev/shm/strop-that-is-not-there.json"))
    assert not _is_device(tmp_path / "new.json")


def test_links_stay_and_what_they_lead_to_is_written(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    file, folder = tmp_path / "file.json", tmp_path / "folder"
    file.symlink_to(tmp_path / "elsewhere" / "real.json")
    (tmp_path / "elsewhere" / "real").mkdir()
    folder.symlink_to(tmp_path / "elsewhere" / "real")
    write_json(file, 1)
    with whole_folder(folder, 0, replace=True) as made:
        (made / "a").write_text("b")
    assert file.is_symlink()
    assert folder.is_symlink()
    assert (tmp_path / "elsewhere" / "real.json").read_text() == "1\n"
    assert (tmp_path / "elsewhere" / "real" / "a").read_text() == "b"
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == ["real", "real.json"]
