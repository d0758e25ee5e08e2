"""Processes of their own, for what can be set only once in one, or ends it; a compiler that fails."""

import os
import subprocess
import sys
from pathlib import Path


def in_a_process(code: str, **environment: str) -> subprocess.CompletedProcess:
    """Run Python ``code`` to its end, which must be a good one; gives its output."""
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done


def broken_compiler(folder: Path) -> str:
    """A compiler in ``folder`` that says its version and then only "no such instruction"."""
    broken = folder / "broken-c++"
    broken.write_text('#!/bin/sh\n[ "$1" = --version ] && echo 1.0 && exit 0\necho "no such instruction" >&2; exit 1\n')
    broken.chmod(0o755)
    return str(broken)
