"""A run's folder: writable, of one recipe, and of one process at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from strop.common.errors import InputError
from strop.common.folders import flush
from strop.runs.provenance import FILE as PROVENANCE
from strop.runs.stage_folder import NEW, OLD, STATE, read_state

if TYPE_CHECKING:
    from strop.config.recipe import Recipe

LOCK = ".lock"
_OF_A_RUN = ("config.yaml", "summary.json", "report.html", "progress.json")
_PARTIAL = re.compile(r"\..+\.(\d+-)?[0-9a-f]{8}|\.step-\d+\.gone|\.shards")
_WEIGHTS = ("*.safetensors*", "*.bin", "*.bin.index.json", "*.gguf")


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """The folder for this process alone. Raises InputError when it cannot be written to, belongs to something else, or
    another process works in it; the lock of a process that died does not count. A folder that was made for it and in
    which nothing was written goes again, and so does one in which bad input ended it before a stage had anything."""
    _check_place(folder)
    made = _not_there(folder)
    before = _is_run(folder)
    if not before:
        _check_foreign(folder)
    _probe(folder)  # find out before the first minute of work, not after the last
    with (folder / LOCK).open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise InputError(
                f"{folder}: another run works in this folder ({lock.read().strip() or 'of a process not named'}); wait "
                "for it, or give another folder (folder=…)."
            ) from None
        if not os.fstat(lock.fileno()).st_nlink:
            raise InputError(f"{folder}: another run has just left this folder; run the same command again.")
        lock.seek(0)
        lock.truncate()
        lock.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        lock.flush()
        if before:
            _clear_away(folder)
        try:
            yield
        except InputError:
            if made and _only_begun(folder):
                shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            if made and folder.exists() and [path.name for path in folder.iterdir()] == [LOCK]:
                (folder / LOCK).unlink()
            _remove_empty(made)


def _not_there(folder: Path) -> list[Path]:
    """Of a folder and those that it lies in, what is to be made; the innermost first."""
    return [place for place in (folder, *folder.parents) if not place.exists()]


def _remove_empty(places: list[Path]) -> None:
    for place in places:
        with suppress(OSError):  # it was not made, or holds something by now
            place.rmdir()


def _only_begun(folder: Path) -> bool:
    """Whether all that is there says what was to be done, and nothing what was. A page may be open somewhere."""
    own = (LOCK, PROVENANCE, "config.yaml", "progress.json")
    stages = [path.parent for path in folder.glob(f"[!.]*/{STATE}") if not read_state(path.parent).get("done")]
    said = {folder / name for name in own} | {stage / name for stage in stages for name in (STATE, "config.yaml")}
    return all(path in said or path in stages for path in folder.rglob("*"))


def _is_run(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (LOCK, PROVENANCE)) or any(folder.glob(f"[!.]*/{STATE}"))


def _check_foreign(folder: Path) -> None:
    """Raises InputError where a run would write over files of a folder that holds none yet."""
    if found := [name for name in _OF_A_RUN if (folder / name).exists()]:
        raise InputError(
            f"{folder} holds a {found[0]} and no run, which would write its own there; give the run a folder of its "
            "own (folder=…)."
        )


def _probe(folder: Path) -> None:
    """Do once what whole files and checkpoints rest on. Raises InputError, with all as it was, where the folder's file
    system cannot do it: some network and FUSE ones flush no folders, or rename none."""
    made = _not_there(folder)
    trial = folder / f".probe.{secrets.token_hex(4)}"  # which `_clear_away` knows
    doing, whole = "written to", False
    try:
        for place in (trial / "a", trial / "b"):
            place.mkdir(parents=True)
        file = trial / "a" / "file"
        for path in (file, trial / "other"):
            path.write_text("strop\n", encoding="utf-8")
        doing = "flushed to the disk, file by file (fsync)"
        flush(file)
        doing = "flushed to the disk (fsync)"
        flush(trial)
        doing = "worked in, since its file system renames no file"
        file.replace(trial / "other")
        doing = "worked in, since its file system renames no folder"
        (trial / "a").rename(trial / "c")
        doing = "locked against a second run"
        with (trial / "other").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        whole = True
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise InputError(
            f"{folder}: cannot be {'written to' if full else doing} ({error.strerror}); give another one with "
            "folder=PATH."
        ) from error
    finally:
        shutil.rmtree(trial, ignore_errors=True)
        if not whole:
            _remove_empty(made)


def _clear_away(folder: Path) -> None:
    """What a kill left of files and folders that were being written (`atomic_writer`, `whole_folder`, `write_shards`)
    or removed (`remove_checkpoint`): nobody would finish it, and a model's are large. In the run's own folders alone:
    what else lies there may be anything."""
    stages = [path.parent for path in folder.glob(f"[!.]*/{STATE}")]
    for path in [*folder.glob(".*"), *chain.from_iterable(stage.rglob(".*") for stage in stages)]:
        if _PARTIAL.fullmatch(path.name):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def check_recipe(folder: Path, stages: list[str], name: str) -> None:
    """Raises InputError where the folder holds the run of another recipe, or something else in a stage's place."""
    for found in sorted(folder.glob(f"[!.]*/{STATE}")):
        stage = found.parent.name.removesuffix(NEW).removesuffix(OLD)
        run = read_state(found.parent).get("run", name)
        if run != name:
            raise InputError(
                f"{folder} holds the run of another recipe, {run!r}; give this one another folder (folder=…)."
            )
        if stage not in stages:
            raise InputError(
                f"{folder} holds a stage {stage!r} that this recipe does not have, so it is of another recipe; give "
                "this one another name (name=…), or move that folder away."
            )

    for place in (folder / stage for stage in stages):
        foreign = place.is_dir() and any(place.iterdir()) and not (place / STATE).is_file()
        if foreign or (place.exists() and not place.is_dir()):
            raise InputError(
                f"{place} {'holds files that strop did not write' if foreign else 'is no folder'}, and the stage's "
                "results belong there; give the run another folder (folder=…)."
            )


def _check_place(folder: Path) -> None:
    """A run inside of a model or a data set would become part of it."""
    whole = Path(os.path.realpath(folder))
    for place in (whole, *whole.parents):
        weights = (place / "config.json").is_file() and any(any(place.glob(pattern)) for pattern in _WEIGHTS)
        if weights or (place / "adapter_config.json").is_file():
            raise InputError(f"{folder} lies in the model {place}; give the run a folder elsewhere (folder=…).")
        if any((place / name).is_file() for name in ("dataset_info.json", "dataset_dict.json")):
            raise InputError(f"{folder} lies in the data set {place}; give the run a folder elsewhere (folder=…).")
        if (place / STATE).is_file():
            raise InputError(f"{folder} lies in the stage of another run, {place}; give a folder elsewhere (folder=…).")


def check_ranks(recipe: Recipe, size: int) -> None:
    """Raises InputError for a number of ranks that the recipe gives too little to do, or one device."""
    if size == 1:
        return
    if ":" in recipe.compute.device:
        raise InputError(
            f"compute.device: {recipe.compute.device} is one device, and there are {size} processes, each with its "
            "own; write cuda, or start one process."
        )
    for name, stage in recipe.stages.items():
        if stage.per_step is not None and stage.per_step[1] < size:
            setting, count = stage.per_step
            raise InputError(
                f"stages.{name}.{setting} is {count}, which {size} processes cannot share out: raise it to at least "
                f"{size}, or start fewer."
            )


def check_data(folder: Path, paths: Iterable[Path]) -> None:
    """Raises InputError where the run's folder lies in a folder of its data: what it writes would be read as data."""
    for path in paths:
        if path.is_dir() and Path(os.path.realpath(folder)).is_relative_to(path.resolve()):
            raise InputError(f"{folder} lies in the data folder {path}; give the run a folder elsewhere (folder=…).")
