"""Whether two runs left the same, bit for bit, and whether every checkpoint that can be seen is whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from strop.train.metrics import is_timing

APART = ("report.html", "progress.json", "log.txt", ".lock", "provenance.json", "manifest.json")
"""Files that hold the time of day, process ids, digests of files with timings, and nothing that was learnt."""

CHECKPOINT = {"model.safetensors", "optimizer.pt", "state.pt", "checkpoint.json"}


def differences(reference: Path, other: Path) -> list[dict[str, Any]]:
    """Every file below the two run folders that is not the same: ``{file, what, bytes}``, the number of bytes that
    differ. Of JSON, rows of it and states, keys that are timings (`is_timing`) and ``provenance`` (what made it; as git
    finds the files by then) are left aside."""
    files = [{str(path.relative_to(root)): path for path in _files(root)} for root in (reference, other)]
    found = []
    for name in sorted(files[0].keys() | files[1].keys()):
        a, b = (side.get(name) for side in files)
        if a is None or b is None:
            size = (a or b).stat().st_size
            found.append({"file": name, "what": "only in one of the two", "bytes": size})
        elif a.read_bytes() != b.read_bytes() and (different := _compared(a, b)):
            found.append({"file": name, **different})
    return found


def _compared(a: Path, b: Path) -> dict[str, Any] | None:
    try:
        return _different(_content(a), _content(b))
    except Exception as error:  # noqa: BLE001 - whatever it is that cannot be read
        return {"what": f"cannot be read ({type(error).__name__}: {error})", "bytes": b.stat().st_size}


def _files(root: Path) -> Iterator[Path]:
    yield from (path for path in root.rglob("*") if path.is_file() and path.name not in APART)


def _content(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return load_file(path)
    if path.suffix == ".pt":
        return torch.load(path, weights_only=True)
    if path.suffix == ".json":
        return json.loads(path.read_text())
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    return path.read_bytes()


def _different(a: Any, b: Any) -> dict[str, Any] | None:
    """The places that differ, the first of them in words, and how many bytes: of tensors their own, of anything else
    those of its text."""
    found = list(_places(a, b, ()))
    if not found:
        return None
    place, words, _ = found[0]
    return {"what": f"{'.'.join(map(str, place))}: {words}"[:200], "bytes": sum(size for *_, size in found)}


def _places(a: Any, b: Any, place: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], str, int]]:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        if a.dtype != b.dtype or a.shape != b.shape:
            yield place, f"{a.dtype} {tuple(a.shape)} and {b.dtype} {tuple(b.shape)}", max(a.nbytes, b.nbytes)
        elif count := _bytes_apart(a, b):
            yield place, f"{count} bytes", count
    elif isinstance(a, dict) and isinstance(b, dict):
        for key in dict.fromkeys([*a, *b]):
            if not (isinstance(key, str) and (is_timing(key) or key == "provenance")):
                yield from _places(a.get(key), b.get(key), (*place, key))
    elif isinstance(a, list | tuple) and isinstance(b, list | tuple) and len(a) == len(b):
        for i, (one, other) in enumerate(zip(a, b, strict=True)):
            yield from _places(one, other, (*place, i))
    elif repr(a) != repr(b):  # NaN is NaN
        yield place, f"{a!r:.60} and {b!r:.60}", max(len(repr(a)), len(repr(b)))


def _bytes_apart(a: torch.Tensor, b: torch.Tensor) -> int:
    left, right = (one.contiguous().reshape(-1).view(torch.uint8) for one in (a, b))
    return int((left != right).sum())


def half_visible(run: Path) -> list[str]:
    """What is wrong with the checkpoints and models that can be seen: nothing may be, whenever one looks."""
    found = []
    for pattern, needed in (("checkpoints/step-*", CHECKPOINT), ("model", {"model.safetensors", "config.json"})):
        for place in run.rglob(pattern):
            if any(part.startswith(".") for part in place.relative_to(run).parts):
                continue  # not in its place yet
            lacking = needed - {path.name for path in place.iterdir()}
            found += [f"{place.relative_to(run)} lacks {name}" for name in sorted(lacking)]
            for path in place.iterdir():
                try:
                    _content(path)
                except Exception as error:  # noqa: BLE001 - whatever it is that cannot be read
                    found.append(f"{path.relative_to(run)}: {type(error).__name__}: {error}")
    return found
