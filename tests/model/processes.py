"""Processes of their own, for what can be set only once in one, or ends it; a compiler that fails."""

import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from types import SimpleNamespace

SECONDS = 300
"""After which a process is ended."""


def in_a_process(code: str, **environment: str) -> subprocess.CompletedProcess:
    """Run Python ``code`` to its end, which must be a good one; gives its output."""
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return done


# Loads torch, which takes two seconds, and forks a child for every line that it is given.
PARENT = """
import json, os, signal, sys, torch
for line in sys.stdin:
    code, environment, outputs, seconds = json.loads(line)
    if child := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    signal.alarm(seconds)
    os.environ.update(environment)
    for output, descriptor in zip(outputs, (1, 2)):
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT), descriptor)
    exec(code, {"__name__": "__main__"})
    break
"""


@cache
def _parent() -> subprocess.Popen:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-W", "always", "-c", PARENT], **pipes)


def in_a_child(code: str, **environment: str) -> SimpleNamespace:
    """The same in a process that has torch already, but nothing of strop, and in which nothing was computed."""
    with tempfile.TemporaryDirectory() as folder:
        outputs = [str(Path(folder) / name) for name in ("stdout", "stderr")]
        parent = _parent()
        print(json.dumps([code, environment, outputs, SECONDS]), file=parent.stdin, flush=True)
        ended = int(parent.stdout.readline())
        out, err = (Path(output).read_text() for output in outputs)
    assert ended == 0, err
    return SimpleNamespace(stdout=out, stderr=err)


def broken_compiler(folder: Path) -> str:
    """A compiler in ``folder`` that says its version and then only "no such instruction"."""
    broken = folder / "broken-c++"
    broken.write_text('#!/bin/sh\n[ "$1" = --version ] && echo 1.0 && exit 0\necho "no such instruction" >&2; exit 1\n')
    broken.chmod(0o755)
    return str(broken)
