"""Folders for as long as a process needs them: whose they are, and what becomes of a killed one's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from strop.common import scratch
from strop.common.scratch import ScratchFolder, scratch_folder

KILLED = """
import os, sys, signal
from pathlib import Path
from strop.common.scratch import ScratchFolder
folder = ScratchFolder("strop-test-", Path(sys.argv[1]))
(folder.path / "weights").write_bytes(bytes(1000))
print(folder.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def another_process():
    """What is done once in a process is done anew."""
    scratch._remove_what_was_left.cache_clear()


def started(parent: Path) -> tuple[subprocess.Popen, Path]:
    command = [sys.executable, "-c", KILLED, str(parent)]
    owner = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return owner, Path(owner.stdout.readline().strip())


def test_it_is_there_in_the_block_and_gone_after_it(tmp_path):
    with scratch_folder("strop-test-", tmp_path) as folder:
        assert folder.parent == tmp_path
        assert folder.name.startswith("strop-test-")
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "something").write_text("there")
    assert list(tmp_path.iterdir()) == []


def test_it_is_gone_with_its_object_and_also_after_an_error(tmp_path):
    kept = ScratchFolder("strop-test-", tmp_path)
    del kept
    with pytest.raises(ZeroDivisionError), scratch_folder("strop-test-", tmp_path):
        1 / 0  # noqa: B018
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_goes_and_what_a_living_one_needs_stays(tmp_path):
    (killed, left), (living, needed) = started(tmp_path), started(tmp_path)
    try:
        killed.kill()
        killed.wait()
        (tmp_path / "strop-test-of-a-user.locked").write_text("no folder")
        (tmp_path / "another").mkdir()
        (tmp_path / "strop-test-not-locked").mkdir()
        (tmp_path / "strop-test-link.locked").symlink_to(tmp_path / "another")
        assert (left / "weights").is_file()
        with scratch_folder("strop-test-", tmp_path):
            assert not left.exists()
            assert (needed / "weights").is_file()
        assert {path.name for path in tmp_path.iterdir()} == {
            needed.name,
            "strop-test-of-a-user.locked",
            "another",
            "strop-test-not-locked",
            "strop-test-link.locked",
        }
    finally:
        living.communicate("")
    assert not needed.exists()


def test_a_fork_leaves_its_parents_folder_alone(tmp_path):
    folder = ScratchFolder("strop-test-", tmp_path)
    if not (pid := os.fork()):
        folder.close()
        os._exit(0)
    os.waitpid(pid, 0)
    assert folder.path.is_dir()
    scratch._remove_what_was_left.cache_clear()
    with scratch_folder("strop-test-", tmp_path):  # the lock is the parent's still
        assert folder.path.is_dir()
    folder.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to somebody")
def test_another_users_folder_is_left_alone(tmp_path):
    theirs = tmp_path / "strop-test-theirs.locked"
    theirs.mkdir()
    os.chown(theirs, 12345, 12345)
    with scratch_folder("strop-test-", tmp_path):
        assert theirs.is_dir()
