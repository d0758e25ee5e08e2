"""TensorBoard, Weights & Biases and trackio: what ``trackers`` of a recipe names.

Each gets the recipe, every row of ``metrics.jsonl`` as ``STAGE/NAME`` over the stage's own steps, the metrics of every
evaluation, and the last numbers of the run. Their own environment variables count (``WANDB_MODE=offline`` …).
"""

from __future__ import annotations

import importlib.util
import math
import secrets
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, ClassVar

from rich.console import Console

from strop.common.console import say
from strop.common.errors import InputError
from strop.common.flat import flat
from strop.common.tracking import RECEIVERS

if TYPE_CHECKING:
    from strop.config.recipe import Recipe

PROJECT = "strop"


class _TensorBoard:
    """Event files in ``RUN/tensorboard``, read with ``tensorboard --logdir runs``."""

    waits: ClassVar[bool] = False

    def __init__(self, recipe: Recipe, identity: str):
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(recipe.run_folder / "tensorboard"))
        self._writer.add_text("recipe", "\n".join(f"    {name}: {value}" for name, value in _config(recipe).items()))

    def log(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(f"{stage}/{name}", value, step)
        self._writer.flush()

    def finish(self, values: Mapping[str, float]) -> None:
        self.log("final", 0, values)

    def close(self) -> None:
        self._writer.close()


class _Wandb:
    """A run of the project ``strop``, called as the recipe; the same folder goes on with the same run."""

    waits: ClassVar[bool] = True

    def __init__(self, recipe: Recipe, identity: str):
        import wandb

        self._run = wandb.init(
            project=PROJECT,
            name=recipe.name,
            id=identity,
            resume="allow",
            dir=str(recipe.run_folder),
            config=_config(recipe),
        )
        self._stages: set[str] = set()

    def log(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        if stage not in self._stages:  # steps begin anew with every stage, and wandb's own only grow
            self._stages.add(stage)
            self._run.define_metric(f"{stage}/step")
            self._run.define_metric(f"{stage}/*", step_metric=f"{stage}/step")
        self._run.log({f"{stage}/step": step, **{f"{stage}/{name}": value for name, value in values.items()}})

    def finish(self, values: Mapping[str, float]) -> None:
        self._run.summary.update(dict(values))

    def close(self) -> None:
        self._run.finish()


class _Trackio:
    """A run of the project ``strop`` on this machine, read with ``trackio show``: called as the recipe, with what tells
    it from others of that name; the same folder goes on with the same run."""

    waits: ClassVar[bool] = False  # 30 seconds at most

    def __init__(self, recipe: Recipe, identity: str):
        import trackio

        self._trackio = trackio
        trackio.init(project=PROJECT, name=f"{recipe.name}-{identity}", config=_config(recipe), resume="allow")

    def log(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        self._trackio.log({f"{stage}/step": step, **{f"{stage}/{name}": value for name, value in values.items()}})

    def finish(self, values: Mapping[str, float]) -> None:
        self._trackio.log({f"final/{name}": value for name, value in values.items()})

    def close(self) -> None:
        self._trackio.finish()


CLOSE_SECONDS = 600.0
"""That a tracker has for what is left, when the run is over."""
_KINDS = {"tensorboard": _TensorBoard, "wandb": _Wandb, "trackio": _Trackio}


class Trackers:
    """A context manager around a run. Raises InputError where one is not installed, before anything is done; one that
    fails later is said and left off, and the run goes on."""

    def __init__(self, recipe: Recipe, console: Console, changed: str = "stop"):
        self._recipe, self._console, self._fresh = recipe, console, changed == "fresh"
        self._open: dict[str, Any] = {}

    def __enter__(self) -> Trackers:
        names = list(dict.fromkeys(self._recipe.trackers))
        for name in names:
            if importlib.util.find_spec(name) is None:
                raise InputError(f"trackers: {name} is not installed; pip install {name}, or leave it out.")
        identity = _identity(self._recipe.run_folder, self._fresh) if names else ""
        for name in names:
            with redirect_stdout(sys.stderr):  # they speak, and standard output may be one JSON object
                self._guarded(name, lambda name=name: self._open.update({name: _KINDS[name](self._recipe, identity)}))
        if self._open:
            RECEIVERS.append(self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        if self._receive in RECEIVERS:
            RECEIVERS.remove(self._receive)
        for name, one in [*self._open.items()]:
            self._close(name, one)

    def _close(self, name: str, one: Any) -> None:
        """What is left is sent, for a while: without a network some would try for ever, with all else done."""
        if not one.waits:
            with redirect_stdout(sys.stderr):
                self._guarded(name, one.close)
            return
        closing = Thread(target=self._guarded, args=(name, one.close), name=f"close {name}", daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)
        if closing.is_alive():
            text = f"trackers: {name} was not done within {CLOSE_SECONDS / 60:g} minutes and is left off; "
            say(self._console, f"{text}all its numbers are in {self._recipe.run_folder}.", style="yellow")

    def finish(self, summary: Mapping[str, Any]) -> None:
        """The last numbers of the run."""
        measured = summary.get("after") or summary.get("measured") or {}
        values = {name: one["value"] for name, one in measured.items()}
        values |= {f"{stage}/eval_loss": one["end"] for stage, one in summary["eval_loss"].items()}
        for name, one in [*self._open.items()]:
            self._guarded(name, lambda one=one: one.finish(_numbers(values)))

    def _receive(self, stage: str, row: Mapping[str, Any]) -> None:
        values = _numbers({name: value for name, value in row.items() if name != "step"})
        for name, one in [*self._open.items()] if values else ():
            self._guarded(name, lambda one=one: one.log(stage, int(row.get("step", 0)), values))

    def _guarded(self, name: str, work: Any) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - whatever a tracker raises: it must not end a run of hours
            self._open.pop(name, None)
            text = f"trackers: {name} failed and is left off ({type(error).__name__}: {error}); the run goes on."
            say(self._console, text, style="yellow")


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {n: float(v) for n, v in values.items() if isinstance(v, int | float) and math.isfinite(v)}


def _config(recipe: Recipe) -> dict[str, Any]:
    return flat(recipe.model_dump(mode="json"))


def _identity(folder: Path, fresh: bool) -> str:
    """What a tracker's run is known by, kept in the run's folder."""
    file = folder / ".tracker_id"
    if fresh or not file.is_file():
        file.write_text(secrets.token_hex(4))
    return file.read_text().strip()
