"""What strop does on a GPU, all of it within nine minutes: `bash bench/gpu.sh [WHEELS]`.

    python bench/gpu.py [--out FOLDER] [--minutes 9] [--only NAME] [--smoke]

Each part is a process of its own with a time limit; one that fails or is not through is said with the end of what it
printed, and the others go on. Parts, the most telling first: the tests marked ``gpu``; SFT of the 135M model and of a
shape of 1B beside TRL with Liger; generation beside transformers; a GRPO step beside TRL's; memory; a profile of one
training step. Written: ``gpu.json`` (one object: machine, versions, every part's own object) and ``gpu.txt`` (the
tables), and rows of ``results.csv``. Exit code 1 where a part failed. ``--smoke``: tiny models, on whatever there is.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from common.machine import about

BENCH = Path(__file__).parent
TAIL = 1500  # characters of a failure that are kept


class Part(NamedTuple):
    """``command``: of a benchmark in this folder, without ``--json``; ``seconds``: its share of the time."""

    name: str
    seconds: int
    command: tuple[str, ...]


PEER = "TRL + Liger" if importlib.util.find_spec("liger_kernel") else "TRL two by length"
TESTS = ("-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", str(BENCH.parent / "tests/gpu"))
SHORT = ("--rounds", "1", "--warmup", "2", "--steps", "6")
PARTS = (
    Part("tests", 100, TESTS),
    Part(
        "sft 135M", 100,
        ("sft.py", *SHORT, "--batch", "64", "--micro-batch-tokens", "16384", "--only", "strop", "--only", "strop LoRA",
         "--only", PEER),
    ),
    Part(
        "sft 1B", 110,
        ("sft.py", *SHORT, "--model", "llama-1b-random", "--length", "2048", "--batch", "16", "--micro-batch-tokens",
         "16384", "--only", "strop", "--only", PEER),
    ),
    Part("generation", 70, ("generate.py", "--shape", "rows", "--rounds", "1", "--batches", "64")),
    Part("grpo", 110, ("grpo.py", "--rounds", "1", "--warmup", "1", "--steps", "3", "--limit", "40", "--only", "strop",
                      "--only", "TRL")),
    Part("memory", 60, ("memory.py", "--rounds", "1", "--only", "step 16k", "--only", "gradient checkpointing",
                        "--only", "TRL step 16k")),
    Part("profile", 40, ("profile_step.py", "--micro-batch-tokens", "16384", "--batch", "64")),
)  # fmt: skip


def main() -> int:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--out", type=Path, default=Path("gpu-results"), help="folder for gpu.json and gpu.txt")
    made.add_argument("--minutes", type=float, default=9.0, help="after so long no further part begins")
    made.add_argument("--only", action="append", help=f"these parts alone: {', '.join(p.name for p in PARTS)}")
    made.add_argument("--smoke", action="store_true", help="tiny models, also without a GPU; nothing goes to the CSV")
    given = made.parse_args()
    if unknown := set(given.only or ()) - {part.name for part in PARTS}:
        made.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(p.name for p in PARTS)}")
    device = _device()
    if device is None and not given.smoke:
        print("gpu.py: torch sees no CUDA device here; nothing was measured (--smoke tries the script).")
        return 2
    given.out.mkdir(parents=True, exist_ok=True)
    ends = time.monotonic() + 60 * given.minutes
    found: dict[str, Any] = {**about(), "device": device, "parts": {}}
    for part in PARTS:
        if given.only and part.name not in given.only:
            continue
        left = ends - time.monotonic()
        if left < 15:
            row = {"failed": "not begun: the time was used up", "seconds": 0.0}
        else:
            print(f"── {part.name} (at most {min(part.seconds, left):.0f} s)", flush=True)
            row = measured(part, min(part.seconds, left), given.smoke)
        found["parts"][part.name] = row
        print(table(part.name, row), flush=True)
        _write(given.out, found)  # a machine may be taken away at any time
    failed = [name for name, row in found["parts"].items() if "failed" in row]
    print(f"written: {given.out / 'gpu.json'}, {given.out / 'gpu.txt'}; failed: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


def measured(part: Part, seconds: float, smoke: bool) -> dict[str, Any]:
    """The part's own object (of the tests their last line), how long it took, and how it failed where it did."""
    command = [sys.executable, *part.command]
    tests = part.command is TESTS
    if not tests:
        if smoke:  # which has variants of its own
            named = [i for i, word in enumerate(command) if word == "--only"]
            command = [word for i, word in enumerate(command) if not {i, i - 1} & set(named)] + ["--smoke"]
        command += [] if part.command[0] == "profile_step.py" else ["--json"]
    started = time.monotonic()
    with subprocess.Popen(
        command, cwd=BENCH, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    ) as process:  # fmt: skip
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # its workers too
            out, err = process.communicate(timeout=30)
            return {"seconds": seconds, "failed": f"not through after {seconds:.0f} s", "said": (out + err)[-TAIL:]}
    row: dict[str, Any] = {"seconds": round(time.monotonic() - started, 1)}
    said = {"said": (err or out)[-TAIL:]}
    if tests and process.returncode in (0, 5):  # 5: all were skipped
        return row | {"tests": out.strip().splitlines()[-1]}
    if process.returncode:
        return row | {"failed": f"exit code {process.returncode}", "said": (out + err)[-TAIL:]}
    if "--json" not in command:
        return row | {"text": out}
    try:
        return row | json.loads(out[out.index("{") :])
    except ValueError:
        return row | {"failed": "printed no object"} | said


def table(name: str, row: dict[str, Any]) -> str:
    """A part as text: a line for each variant with its plain numbers, then ratios."""
    lines = [f"{name}: {row['seconds']:.0f} s"]
    if "failed" in row:
        return "\n".join([f"{name}: FAILED, {row['failed']}", *_indented(row.get("said", ""))])
    lines += _indented(row.get("tests", "")) + _indented(row.get("text", ""))
    for variant, numbers in row.get("results", {}).items():
        shown = [f"{key} {value:.4g}" for key, value in numbers.items() if isinstance(value, int | float)]
        lines.append(f"  {variant}: {', '.join(shown)}")
    ratios = {key: value for key, value in row.items() if key.startswith("ratio")}
    lines += [f"  {key}: {json.dumps(value)}" for key, value in ratios.items()]
    return "\n".join(lines)


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.strip().splitlines()]


def _write(folder: Path, found: dict[str, Any]) -> None:
    (folder / "gpu.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    head = ", ".join(f"{key} {value}" for key, value in found.items() if key != "parts")
    parts = [table(name, row) for name, row in found["parts"].items()]
    (folder / "gpu.txt").write_text("\n\n".join([head, *parts]) + "\n", encoding="utf-8")


def _device() -> str | None:
    """The GPU's name and memory as torch sees it; asked in a process of its own, so that this one holds none of it."""
    ask = "import torch; p = torch.cuda.is_available() and torch.cuda.get_device_properties(0); " \
          "print(f'{p.name}, {p.total_memory / 1e9:.0f} GB' if p else '')"  # fmt: skip
    said = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=False, timeout=120)
    return said.stdout.strip() or None


if __name__ == "__main__":
    sys.exit(main())
