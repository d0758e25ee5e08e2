"""What a run keeps of itself, and goes on from: a checkpoint where one is due, written beside the next steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from strop.common.errors import InputError
from strop.data.step import Source, Step
from strop.train.checkpoint import (
    Keep,
    checkpoints,
    has_state_of,
    load_checkpoint,
    newest_whole,
    save_checkpoint,
    set_damaged_aside,
    step_of,
)
from strop.train.random_state import random_state
from strop.train.settings import StepSettings
from strop.train.sharded import Written, write_shards
from strop.train.shards import Shards
from strop.train.weight_files import Taken, copied, take
from strop.train.weights import Weights
from strop.train.world import World
from strop.train.writer import Writer

EVERY_SECONDS = 600.0  # under checkpoint_every: auto, the longest time without one
Totals = dict[str, Any]


@dataclass
class Keeper:
    """The checkpoints of a run in ``folder``.

    ``own`` are things with a ``state_dict`` that every rank has one of, ``common`` those with a number for each weight;
    ``trusted`` and ``about`` as in `strop.train.loop.train`. With several ranks every method but `poll` is
    called by all.
    """

    folder: Path
    weights: Weights
    source: Source
    settings: StepSettings
    world: World
    say: Callable[[str], None]
    own: Mapping[str, Any] = field(default_factory=dict)
    common: Mapping[str, Any] = field(default_factory=dict)
    trusted: Callable[[], int] | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._writer = Writer(self._failed)
        self._written = time.monotonic()  # when the last one was begun
        self.failed = 0  # how many could not be written

    @property
    def known(self) -> list[Path]:
        """Oldest first."""
        return checkpoints(self.folder)

    def newest(self, up_to: int | None = None) -> Path | None:
        """See `newest_whole`; damaged ones that it passes over get another name."""
        self.wait()
        newest, error = None, ""
        if self.world.rank == 0:
            try:
                newest = newest_whole(self.folder, self.say, up_to)
                if newest and up_to is None:
                    set_damaged_aside(self.folder, step_of(newest))
            except InputError as refused:
                error = str(refused)
        path, error = self.world.gather((newest and str(newest), error))[0]
        if error:
            raise InputError(error)
        return Path(path) if path else None

    def load(self, checkpoint: Path) -> dict[str, Any]:
        """Put all but the source back; returns the state, with ``source`` and ``totals``."""
        averages = {name: one.state_dict() for name, one in self.common.items()}
        state = load_checkpoint(checkpoint, self.weights, self.world.rank, averages)
        if has_state_of(checkpoint, self.world.rank):  # else they stay as a rank begins
            for name, extra in self.own.items():
                extra.load_state_dict(state[name])
        return state

    def is_due(self, step: Step | None, number: int, steps: int) -> bool:
        """After ``step``, the ``number``-th of ``steps``."""
        if step is None:  # nothing was trained since the last one, if there is one
            return (self.trusted is not None or self.settings.goes_back) and not self.known
        every, kept = self.settings.checkpoint_every, self.settings.keep_every
        if kept is not None and number % kept == 0:
            return True
        if every != "auto":
            return every is not None and number % every == 0
        return time.monotonic() - self._written > EVERY_SECONDS or step.ends_epoch or number == steps

    def write(self, totals: Totals, steps: int, done: Callable[[Totals], None]) -> None:
        """A checkpoint of now. ``done`` is called with its totals when it is there, by `poll`, `wait` or the next
        `write`; one that cannot be written is said and left out."""
        self._writer.wait()  # two at once would be a third copy of the weights
        state = {"source": self.source.state_dict(), **random_state()}
        states = self.world.gather(state | {name: one.state_dict() for name, one in self.own.items()})
        averages = {name: one.state_dict() for name, one in self.common.items()}
        taken: Written | Taken | None = None
        if isinstance(self.weights, Shards):
            try:
                taken, averages = write_shards(self.weights, averages, self.folder), {}
            except InputError as error:
                self._failed(str(error))
                return
        if self.world.rank == 0:
            background, step = self.settings.checkpoint_in_background, totals["step"]
            states[0] |= {"totals": totals, **averages}
            keep = Keep(self.settings.keep_last, self.settings.keep_every, self.trusted and self.trusted())
            best = {"best": totals["best"]["step"]} if "best" in totals else {}
            about = {**self.about, "step": step, "steps": steps, **best}
            states = copied(states) if background else states
            taken = taken or take(self.weights, copy=background)
            job = partial(save_checkpoint, self.folder, step, taken, states, keep, about)
            self._writer.start(job, partial(done, states[0]["totals"]), background=background)
        self._written = time.monotonic()

    def poll(self) -> None:
        """Finish what was written meanwhile."""
        self._writer.poll()

    def wait(self) -> None:
        """Until what was begun is written, on all ranks."""
        self._writer.wait()
        self.world.barrier()

    def finished(self) -> list[str]:
        """What is to be said at the end of the run, when all is written."""
        self.wait()
        if not self.failed:
            return []
        count = "a checkpoint" if self.failed == 1 else f"{self.failed} checkpoints"
        kept = f"the newest that is there is {self.known[-1]}" if self.known else "none is there"
        return [f"{count} could not be written, and {kept}; free space in {self.folder}, or choose another folder."]

    def _failed(self, words: str) -> None:
        self.failed += 1
        self.say(f"WARNING: {words} Training goes on, and the next checkpoint is tried when it is due.")

    def __enter__(self) -> Keeper:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """What is being written is finished, but where a second signal wants to leave."""
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self._writer.leave()
        else:
            self._writer.wait()
