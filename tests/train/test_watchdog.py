"""A run that hangs says where, and ends."""

import subprocess
import sys
import time

from strop.common.heartbeat import beat
from strop.train.watchdog import watchdog

HANGS = """
import subprocess, sys, threading
from pathlib import Path
from strop.train.watchdog import watchdog
child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()", "a child that waits"],
                         stdin=subprocess.PIPE)
def waits_for_ever():
    threading.Event().wait()
with watchdog(0.02, Path(sys.argv[1])):
    waits_for_ever()
"""


def test_a_run_that_hangs_writes_its_stacks_and_ends_with_1(tmp_path):
    ended = subprocess.run([sys.executable, "-c", HANGS, tmp_path], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert f"{tmp_path}/stacks.txt says where" in ended.stderr
    stacks = (tmp_path / "stacks.txt").read_text()
    assert "waits_for_ever" in stacks
    assert "a child that waits" in stacks
    assert "State:\tS (sleeping)" in stacks


def test_a_run_that_gets_on_is_left_alone(tmp_path):
    left: list[int] = []
    with watchdog(0.02, tmp_path, left.append):  # 1.2 seconds
        for _ in range(8):
            time.sleep(0.3)
            beat("a step")
    assert left == []
    assert not (tmp_path / "stacks.txt").exists()
