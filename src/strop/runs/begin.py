"""How a stage that is not done begins: anew, where it was cut off, or beside an earlier result of other settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from strop.common.errors import InputError
from strop.runs.made_from import Change, MadeFrom, changes, key_of
from strop.runs.stage_folder import StageFolder, read_state
from strop.train.checkpoint import checkpoints

Changed = Literal["stop", "continue", "fresh"]
"""What to do where settings or inputs are not those of the earlier result."""


@dataclass(frozen=True)
class Beginning:
    """How a stage that is to be done begins: where (its folder, or the new one beside it), whether that and ``state``
    are there already, and the stage's folder whose checkpoints and metrics it takes over."""

    place: Path
    state: dict[str, Any]
    goes_on: bool = False
    progress: Path | None = None
    words: str = ""


def begin(folder: StageFolder, made_from: MadeFrom, *, trains: bool, changed: Changed, run: str) -> Beginning | None:
    """None for a stage that is done. A stage that does not train is done again without a question, but for another
    model, and so is one whose model another stage made again.

    Raises InputError where settings or inputs changed, with the choices, or where the one made is no way.
    """
    key, name = key_of(made_from), folder.path.name
    state = read_state(folder.path)
    if state.get("done") and state.get("key") == key:
        return None
    for place in (folder.new, folder.path):
        state = read_state(place)
        if state.get("key") == key and not state.get("done"):
            return Beginning(place, state, goes_on=True)
    begun = {"run": run, "key": key, "done": False, "made_from": made_from}
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
    known = checkpoints(earlier / "checkpoints")
    if not known:
        raise InputError(f"{name}: there is no checkpoint to go on from; --fresh does it again from the start.")
    said = [{"setting": c.name.removeprefix("stage."), "before": c.before, "now": c.now} for c in found]
    changed = [*read_state(earlier).get("changes", []), {"from": known[-1].name, "changed": said}]
    words = f"{name}: goes on from {known[-1].name} with {listed(found)}."
    return Beginning(folder.new, {**begun, "changes": changed}, progress=earlier, words=words)


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
