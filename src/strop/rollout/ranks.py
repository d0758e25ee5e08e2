"""Several ranks at generation: each asks for a share of the answers, and all have all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from strop.rollout.engine import OnFinished, OnToken, Request, Rollout, SamplingParams, Score, as_requests
from strop.rollout.torch_engine import TorchEngine

if TYPE_CHECKING:
    from strop.train.world import World

T = TypeVar("T")
AT_ONCE = 4
"""Answers that are shared out at a time, in rows of every rank's engine: what is done is heard of in between."""


@dataclass
class Ranks:
    """The ranks that sample for a training, by ``world`` (None: this one alone).

    ``whole``: inside, an engine can have the weights; what is cut up is gathered for it. ``served``: servers answer,
    which the first rank asks for all. Each method is called by all ranks at the same point.
    """

    world: World | None = None
    whole: Callable[[], AbstractContextManager[None]] = field(default=nullcontext)
    served: bool = False

    def beside(self) -> Ranks:
        """The same ranks for a thread."""
        return replace(self, world=self.world and self.world.beside())

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes and speaks."""
        return self.world is None or self.world.rank == 0

    def mine(self, several: Sequence[T]) -> Sequence[T]:
        return several if self.world is None else self.world.mine(several)

    def joined(self, mine: Sequence[T]) -> list[T]:
        return list(mine) if self.world is None else self.world.joined(mine)

    def rows(self, rows: Sequence[T], empty: Callable[[T], T]) -> list[T]:
        """This rank's share, with an ``empty`` one, made like the first, where others have one more."""
        mine = list(self.mine(rows))
        size = 1 if self.world is None else self.world.size
        return [*mine, empty(rows[0])] if len(mine) * size < len(rows) else mine

    def drawn(self, draw: Callable[[Sequence[int]], list[T]], count: int, failure: type[Exception]) -> list[T]:
        """What ``draw`` gives for this rank's of ``count`` numbers. A ``failure`` of one rank is raised on all."""
        if not self.served:
            return draw(self.mine(range(count)))
        asked = range(count) if self.first else range(0)
        return list(self.mine(self.done(lambda: [draw(asked)], failure)[0]))

    def done(self, work: Callable[[], list[T]], failure: type[Exception]) -> list[T]:
        """What each rank's ``work`` makes of its share, in order. A ``failure`` of one is raised on all."""
        found, error = [], None
        try:
            found = work()
        except failure as one:
            if self.world is None:
                raise
            error = one
        if self.world is not None and (failed := [one for one in self.world.gather(error) if one is not None]):
            raise failed[0]
        return self.joined(found)


ALONE = Ranks()


class NoEngine:
    """What a rank has where another one asks servers for it."""

    def __init__(self, stop_ids: frozenset[int]):
        self.stop_ids = stop_ids
        self.window = 0

    def generate(self, *given: Any, **more: Any) -> list[Rollout]:
        return []

    def sync(self) -> None:
        pass

    release = sync


class SharedEngine:
    """An engine for work that the first rank does alone, whose answers all ranks compute: see `shared_work`."""

    def __init__(self, engine: TorchEngine, world: World):
        self._engine, self._world = engine, world
        self.window, self.stop_ids, self.decode = engine.window, engine.stop_ids, engine.decode

    def generate(
        self,
        requests: Sequence[Request | Sequence[int]],
        params: SamplingParams | None = None,
        on_token: OnToken | None = None,
        on_finished: OnFinished | None = None,
    ) -> list[Rollout]:
        """As `TorchEngine.generate`; ``on_finished`` is called when a share of the answers is there. With ``on_token``
        this rank generates alone."""
        if on_token is not None:
            return self._engine.generate(requests, params, on_token, on_finished)
        requests, found = as_requests(requests, params), []
        most = self._world.size * AT_ONCE * self._engine.max_rows
        while requests:
            count, answers = 0, 0
            while count < len(requests) and (not count or answers + requests[count].group_size <= most):
                answers += requests[count].group_size
                count += 1
            for group in self._ask("generate", requests[:count]):
                for rollout in group:
                    found.append(rollout)
                    if on_finished:
                        on_finished(len(found) - 1, rollout)
            requests = requests[count:]
        return found

    def score(
        self, prompts: Sequence[Sequence[int]], continuations: Sequence[Sequence[Sequence[int]]]
    ) -> list[list[Score]]:
        return self._ask("score", list(zip(prompts, continuations, strict=True)))

    def score_documents(
        self, documents: Sequence[Sequence[int]], context: int | None = None
    ) -> list[tuple[float, ...]]:
        return self._ask("score_documents", list(documents), context)

    def sync(self) -> None:
        self._ask("sync", [])

    release = sync

    def _ask(self, what: str, several: list[Any], *more: Any) -> list[Any]:
        self._world.first(lambda: (what, several, more))
        return _answer(self._engine, self._world, what, several, *more)


def shared_work(engine: TorchEngine, world: World, work: Callable[[Any], T]) -> T:
    """What ``work`` gives, on every rank: the first one does it with an engine whose answers all compute."""
    if world.size == 1:
        return work(engine)
    if world.rank == 0:
        value = work(SharedEngine(engine, world))
        return world.first(lambda: (None, value, ()))[1]

    def told() -> tuple[str | None, Any, Sequence[Any]]:
        raise AssertionError("the first rank says what is to be done")

    while True:
        what, given, more = world.first(told)
        if what is None:
            return given
        _answer(engine, world, what, given, *more)


def _answer(engine: TorchEngine, world: World, what: str, several: list[Any], *more: Any) -> list[Any]:
    """All ranks' answers, each having computed its share."""
    mine = world.mine(several)
    if what == "sync":
        engine.sync()
        return []
    if what == "generate":
        answers = iter(engine.generate(mine))
        found: list[Any] = [[next(answers) for _ in range(request.group_size)] for request in mine]
    elif what == "score":
        found = engine.score([prompt for prompt, _ in mine], [ids for _, ids in mine])
    else:
        found = engine.score_documents(mine, *more)
    return world.joined(found)
