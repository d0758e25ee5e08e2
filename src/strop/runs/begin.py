"""How a stage that is not done begins: anew, where it was cut off, or beside an earlier result of other settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from strop.common.errors import InputError
from strop.runs.made_from import Change, MadeFrom, changes, key_of
from strop.runs.resume import named_checkpoint, recorded
from strop.runs.stage_folder import StageFolder, read_state
from strop.train.checkpoint import checkpoints, newest_whole
from strop.train.manifest import Damaged, check_format

Changed = Literal["stop", "continue", "fresh"]
"""What to do where settings or inputs are not those of the earlier result."""


@dataclass(frozen=True)
class Beginning:
    """How a stage that is to be done begins: where (its folder, or the new one beside it), whether that and ``state``
    are there already, the stage's folder whose checkpoints and metrics it takes over, and, where it is one alone, the
    checkpoint with its name."""

    place: Path
    state: dict[str, Any]
    goes_on: bool = False
    progress: Path | None = None
    checkpoint: tuple[Path, str] | None = None
    words: str = ""


def begin(
    folder: StageFolder,
    made_from: MadeFrom,
    *,
    trains: bool,
    changed: Changed,
    run: str,
    resume: str | Path = "auto",
) -> Beginning | None:
    """None for a stage that is done. A stage that does not train is done again without a question, but for another
    model, and so is one whose model another stage made again.

    Raises InputError where settings or inputs changed, with the choices, or where the one made is no way, and for
    checkpoints that are none or of another format.
    """
    key, name = key_of(made_from), folder.path.name
    state = read_state(folder.path)
    if state.get("done") and state.get("key") == key:
        return None
    for place in (folder.new, folder.path):
        _check_formats(place)
    begun = {"run": run, "key": key, "done": False, "made_from": made_from}
    origin = str(resume.resolve()) if isinstance(resume, Path) else None
    for place in (folder.new, folder.path):
        state = read_state(place)
        if state.get("key") != key or state.get("done"):
            continue
        if (
            resume == "auto"
            or not checkpoints(place / "checkpoints")
            or (origin and state.get("resumed_from") == origin)
        ):
            return Beginning(place, state, goes_on=True)
    if isinstance(resume, Path):
        return _from_path(name, folder, resume, begun, changed)
    if resume == "none" and (known := _kept(folder)):
        if changed != "fresh":
            raise InputError(
                f"{name}: {known[-1]} is there to go on from, and train.resume is none: leave that out to go on, or "
                "begin anew with --fresh; the earlier run stays until the new one is done."
            )
        return Beginning(folder.new, begun, words=f"{name}: begins anew; the earlier run stays until it is done.")
    # An unfinished run beside a finished one is the later of the two.
    earlier = folder.new if checkpoints(folder.new / "checkpoints") else folder.path
    state = read_state(earlier)
    if not state.get("done") and not checkpoints(earlier / "checkpoints"):  # there is nothing to be kept
        return Beginning(folder.path, begun)
    found = changes(state["made_from"], made_from) if "made_from" in state else []
    own = [change for change in found if not change.name.startswith(("model.", "rows."))]
    remade = any(change.name in ("model.key", "model.stage") or change.name.startswith("rows.") for change in found)
    another_model = not remade and any(change.name == "model.name" for change in found)
    stays = f"{earlier} gives way to it" if earlier == folder.new else "the earlier result stays until then"
    if remade and (not trains or not own or changed != "stop"):
        also = f", with {listed(own)}" if own else ""
        of_model = any(change.name.startswith("model.") for change in found)
        what = "the model before it is another" if of_model else "the rows that it reads are others"
        words = f"{name}: done again, since {what}{also}; {stays}."
    elif not trains and not another_model:
        words = f"{name}: done again, since {listed(found)}; {stays}."
    elif changed == "stop":
        raise InputError("\n".join(_choices(name, earlier, found)))
    elif changed == "continue" and trains:
        return _go_on(name, folder, earlier, begun, found)
    else:
        words = f"{name}: done afresh ({listed(found)}); {stays}."
    return Beginning(folder.new, begun, words=words)


def _go_on(name: str, folder: StageFolder, earlier: Path, begun: dict[str, Any], found: list[Change]) -> Beginning:
    """From the newest checkpoint of ``earlier``, with other settings. Raises InputError where that is no way."""
    if fixed := [change for change in found if not change.continuable]:
        raise InputError(
            f"{name}: cannot go on with other data, seed, model, adapters or template; rates, schedule, length and "
            f"the like may change on the way ({listed(fixed)}); --fresh does the stage again from the start, name=… "
            "makes another run of it."
        )
    newest = newest_whole(earlier / "checkpoints", lambda line: None)  # the loop says which it passes over
    if newest is None:
        raise InputError(f"{name}: there is no checkpoint to go on from; --fresh does it again from the start.")
    said = [{"setting": c.name.removeprefix("stage."), "before": c.before, "now": c.now} for c in found]
    changed = [*read_state(earlier).get("changes", []), {"from": newest.name, "changed": said}]
    words = f"{name}: goes on from {newest.name} with {listed(found)}."
    return Beginning(folder.new, {**begun, "changes": changed}, progress=earlier, words=words)


def _from_path(name: str, folder: StageFolder, path: Path, begun: dict[str, Any], changed: Changed) -> Beginning:
    """From a checkpoint that the user named, of this run or another. Raises InputError where that is no way."""
    checkpoint = named_checkpoint(path, name)
    record = recorded(checkpoint)
    found = changes(record["made_from"], begun["made_from"])
    if fixed := [change for change in found if not change.continuable]:
        raise InputError(
            f"{name}: cannot go on from {checkpoint}, which is of other data, seed, model, adapters or template: "
            f"{listed(fixed)}. Give what it was made with, or leave train.resume out."
        )
    there = _kept(folder) or read_state(folder.path).get("done")
    if there and changed != "fresh":
        raise InputError(
            f"{name}: {folder.path} holds a run already, and train.resume names a checkpoint to begin from; with "
            "--fresh the new one takes its place when it is done, and name=… makes another run of it."
        )
    said = [{"setting": c.name.removeprefix("stage."), "before": c.before, "now": c.now} for c in found]
    state = {**begun, "resumed_from": str(path.resolve())}
    if found:
        state["changes"] = [{"from": checkpoint.name, "changed": said}]
    stage = checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else checkpoint
    words = f"{name}: goes on from {checkpoint}" + (f" with {listed(found)}." if found else ".")
    place = folder.new if there else folder.path
    target = (checkpoint, f"step-{record['step']:06d}")
    return Beginning(place, state, progress=stage, checkpoint=target, words=words)


def _kept(folder: StageFolder) -> list[Path]:
    """The checkpoints of an unfinished run, the new one's last."""
    places = [place for place in (folder.path, folder.new) if not read_state(place).get("done")]
    return [path for place in places for path in checkpoints(place / "checkpoints")]


def _check_formats(place: Path) -> None:
    """Raises InputError where a checkpoint is of another program or format, before anything is touched."""
    for path in checkpoints(place / "checkpoints"):
        with suppress(Damaged):  # which is passed over, or not, when it is to be gone on from
            check_format(path)


def _choices(name: str, earlier: Path, found: list[Change]) -> Iterator[str]:
    what = "an unfinished run"
    if read_state(earlier).get("done"):
        what = "a finished model" if (earlier / "model").is_dir() else "a result"
    yield f"{name}: {earlier} holds {what} of other settings or inputs, which stays as it is:"
    yield from (f"  {change}" for change in found)
    if not found:
        yield f"  {listed(found)}"
    yield "choose:"
    known = checkpoints(earlier / "checkpoints")
    if found and known and all(change.continuable for change in found):
        yield f"  --continue goes on from its checkpoint {known[-1].name} with the new ones;"
    yield "  --fresh does the stage again from the start, and replaces the old result when it is done;"
    yield "  name=… (or folder=…) makes another run of it."


def listed(found: Iterable[Change]) -> str:
    """The differences in one line."""
    return ", ".join(map(str, found)) or "an earlier version of strop did not write down what it was made from"
