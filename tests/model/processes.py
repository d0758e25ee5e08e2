"""Processes of their own, for what can be set only once in one, or ends it; ranks; a compiler that fails."""

import atexit
import json
import multiprocessing.forkserver
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch.multiprocessing

SECONDS = 300
"""After which a process is ended."""
STROP = (
    "strop.runs.pipeline",
    "strop.stages._training",
    "strop.stages._rl",
    "transformers.models.llama.modeling_llama",
)
"""What a run loads; that takes longer than a run of a tiny model does."""

RANKS = ("torch.distributed.fsdp", "torch.distributed.checkpoint")
"""What several that train one model load besides."""


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


# Loads modules, which takes seconds, computes nothing, and forks a child for every line that it is given.
PARENT = """
import importlib, json, os, signal, sys
for module in sys.argv[1:]:
    importlib.import_module(module)
del sys.argv[1:]
for line in sys.stdin:
    code, environment, outputs, seconds = json.loads(line)
    if child := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    signal.alarm(seconds)
    os.environ.pop("OMP_NUM_THREADS", None)
    os.environ.update(environment)
    for output, descriptor in zip(outputs, (1, 2)):
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT), descriptor)
    exec(code, {"__name__": "__main__"})
    break
"""


ALONE = {"OMP_NUM_THREADS": "1"}
"""For a process that forks: what is imported may otherwise start OpenMP's threads, for which a copy waits for ever."""


@cache
def _parent(*loaded: str) -> subprocess.Popen:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environment = os.environ if loaded == ("torch",) else os.environ | ALONE
    return subprocess.Popen([sys.executable, "-W", "always", "-c", PARENT, *loaded], env=environment, **pipes)


def in_a_child(code: str, loaded: tuple[str, ...] = ("torch",), **environment: str) -> SimpleNamespace:
    """The same in a process that has the modules ``loaded`` already (torch, and nothing of strop), and in which nothing
    was computed."""
    with tempfile.TemporaryDirectory() as folder:
        outputs = [str(Path(folder) / name) for name in ("stdout", "stderr")]
        parent = _parent(*loaded)
        print(json.dumps([code, environment, outputs, SECONDS]), file=parent.stdin, flush=True)
        ended = int(parent.stdout.readline())
        out, err = (Path(output).read_text() for output in outputs)
    assert ended == 0, err
    return SimpleNamespace(stdout=out, stderr=err)


@cache
def loaded_python(*loaded: str) -> str:
    """The path of a program to be called instead of `sys.executable`, with ``-m MODULE …``, whose processes have the
    modules ``loaded`` already, see loaded_python.py; as little was computed in them as in any."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    here, called, server = Path(__file__).with_name("loaded_python.py"), folder / "python", folder / "socket"
    called.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, "-I", "-S", str(here), str(server)])} "$@"\n')
    called.chmod(0o755)
    command = [sys.executable, str(here), "serve", str(server), *loaded]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    started = subprocess.Popen(command, env=os.environ | ALONE, **pipes)
    assert started.stdout.readline() == "ready\n"
    return str(called)


def loaded_context() -> multiprocessing.context.ForkServerContext:
    """Whose processes are copies of one that has strop loaded and has computed nothing: what starts seconds sooner than
    the empty ones of "spawn", and is as much a process of its own."""
    multiprocessing.set_forkserver_preload(["pytest", *STROP, *RANKS])
    with patch.dict(os.environ, ALONE):
        multiprocessing.forkserver.ensure_running()
    return multiprocessing.get_context("forkserver")


def as_ranks(function: Callable[..., None], size: int, *arguments: Any) -> None:
    """Call ``function(rank, *arguments)`` in ``size`` processes, copies of one that has strop loaded and has computed
    nothing; raises what one of them raises."""
    loaded_context()
    call = (function, size, arguments)
    torch.multiprocessing.start_processes(_rank, call, nprocs=size, start_method="forkserver")


def _rank(rank: int, function: Callable[..., None], size: int, arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // size))
    function(rank, *arguments)


def broken_compiler(folder: Path) -> str:
    """A compiler in ``folder`` that says its version and then only "no such instruction"."""
    broken = folder / "broken-c++"
    broken.write_text('#!/bin/sh\n[ "$1" = --version ] && echo 1.0 && exit 0\necho "no such instruction" >&2; exit 1\n')
    broken.chmod(0o755)
    return str(broken)
