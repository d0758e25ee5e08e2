"""A server that strop starts: on a socket of its own, with a log, and ended when its starter is done or dies."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from strop.common.errors import InputError
from strop.common.scratch import ScratchFolder
from strop.rollout.engine_settings import VllmSettings
from strop.rollout.vllm import keeper
from strop.rollout.vllm.client import UNIX, Exchange, ServerLost

POLL_SECONDS = 0.5
LAST_LINES = 3
ENVIRONMENT = {"VLLM_SERVER_DEV_MODE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
"""Weights are changed through endpoints that only this mode has; nobody but this user can reach the socket."""


class ServerProcess:
    """``url``: where it listens. Its output goes to ``log``. ``command`` is told the socket's path; ``name`` and
    ``patience`` (what to change where it is slow to start) are for messages."""

    def __init__(
        self,
        name: str,
        command: Callable[[Path], Sequence[str]],
        log: Path,
        *,
        patience: str | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
    ):
        self.name, self.log, self._patience = name, log, patience
        log.parent.mkdir(parents=True, exist_ok=True)
        self._folder = ScratchFolder("strop-server-")
        socket = self._folder.path / "server.sock"
        self.url = f"{UNIX}{socket}"
        self._begins = log.stat().st_size if log.exists() else 0
        self._process = subprocess.Popen(
            [sys.executable, keeper.__file__, str(log), *command(socket)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **environment},
            start_new_session=True,
        )

    def wait(self, seconds: float) -> None:
        """Until it answers. Raises InputError, with its log's last lines, where it ends or takes longer."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if (status := self._process.poll()) is not None:
                raise InputError(
                    f"the {self.name} server ended while it started (exit status {status}); the end of its log, "
                    f"{self.log}: {self._end_of_log()}"
                )
            try:
                return Exchange(self.url, "GET", "/health", timeout=min(left, 10.0)).json()
            except ServerLost:
                time.sleep(min(left, POLL_SECONDS))
        mend = "see its log" if self._patience is None else f"raise {self._patience}, or see its log"
        raise InputError(
            f"the {self.name} server did not start within {seconds:g} seconds; {mend}, {self.log}, which ends with: "
            f"{self._end_of_log()}"
        )

    def close(self) -> None:
        """End it and all that it started."""
        assert self._process.stdin is not None  # it is a pipe
        self._process.stdin.close()
        self._process.wait(2 * keeper.GRACE_SECONDS + 5)
        self._folder.close()

    def _end_of_log(self) -> str:
        if not self.log.exists():
            return "(nothing)"
        with self.log.open("rb") as file:
            file.seek(self._begins)
            lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
        return " | ".join(line.strip() for line in lines[-LAST_LINES:]) or "(nothing)"


def vllm_server(
    model: Path, settings: VllmSettings, log: Path, dtype: str, max_rows: int, cache_gb: float
) -> ServerProcess:
    """vLLM, started by ``settings.python`` on the folder ``model``. Raises InputError where that is no program."""
    assert settings.python is not None  # one is started with it
    python = settings.python.expanduser()
    if shutil.which(python) is None:
        raise InputError(f"rollout.vllm.python is {python}, and there is no such program; name a Python with vLLM.")
    # `vllm serve` itself looks for a package of that name, which builds for the CPU do not have.
    return ServerProcess(
        "vLLM",
        lambda socket: [
            *(str(python), "-m", "vllm.entrypoints.openai.api_server"),
            *("--model", str(model.resolve()), "--uds", str(socket), "--dtype", dtype),
            *("--enable-scale-out", "--logprobs-mode", "processed_logprobs", "--max-logprobs", "-1"),
            *("--max-num-seqs", str(max_rows), "--kv-cache-memory-bytes", str(int(cache_gb * 1e9))),
            *("--generation-config", "vllm", *settings.args),
        ],
        log,
        patience="rollout.vllm.start_timeout",
        environment=ENVIRONMENT,
    )
