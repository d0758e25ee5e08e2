"""What a figure belongs to: the machine, the versions and the commit. Without torch, for the asking process."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).parents[2]
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def about() -> dict[str, str]:
    return {
        "date": datetime.now().strftime("%Y-%m-%d %H:%M"),
        "machine": machine(),
        "torch": _version("torch"),
        "transformers": _version("transformers"),
        "trl": _version("trl"),
        "commit": commit(),
    }


def machine() -> str:
    """The GPU's name where nvidia-smi knows one, else the processor's; with its cores."""
    if shutil.which("nvidia-smi"):
        asked = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, check=False
        )
        if asked.returncode == 0 and asked.stdout.strip():
            return asked.stdout.splitlines()[0].strip()
    fields = _cpuinfo()
    name = fields.get("model name", platform.processor() or platform.machine())
    features = [f for f in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if f in fields.get("flags", "").split()]
    return f"{name}, family {fields.get('cpu family', '?')} model {fields.get('model', '?')}, {CORES} cores" + (
        f", {features[0]}" if features else ""
    )


def fast_bfloat16() -> bool:
    """Whether bfloat16 is the fastest format here, and so what others are asked to train in; float32 is else."""
    return bool(shutil.which("nvidia-smi") or {"amx_bf16", "avx512_bf16"} & set(_cpuinfo().get("flags", "").split()))


def commit() -> str:
    """The short hash of the tree that this file is in; ``+`` when strop's sources differ from it."""
    try:
        found = _git("rev-parse", "--short", "HEAD")
        return found + ("+" if _git("status", "--porcelain", "src") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*words: str) -> str:
    return subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True, check=True).stdout.strip()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _cpuinfo() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {}
    pairs = (line.partition(":") for line in path.read_text().split("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
