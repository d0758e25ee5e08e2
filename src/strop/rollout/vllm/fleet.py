"""Many requests over several servers: as many at once as each takes, and elsewhere where one is lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from strop.common.heartbeat import beat
from strop.rollout.vllm.client import Exchange, ServerLost
from strop.rollout.vllm.protocol import GENERATE, Generated


@dataclass(eq=False)
class Server:
    """``weights``: the name of those that it should have, which every answer tells. ``sent``: requests until now."""

    url: str
    weights: str | None = None
    sent: int = 0


@dataclass(eq=False)
class Job:
    """One request. Those with the same ``key`` go to the same server.

    ``body``: asked for when it is sent; ``take(reply, url)``: called with the reply, or with each piece where it is a
    ``stream``, and returns whether nothing more is needed; ``lost``: called before it is sent again elsewhere.
    """

    key: Hashable
    body: Callable[[], dict[str, Any]]
    take: Callable[[Generated, str], bool]
    lost: Callable[[], None] = lambda: None
    stream: bool = False


class Fleet:
    """``servers`` that are left, each with at most ``at_once`` requests, of at most ``timeout`` seconds each.

    ``say`` is told when one is lost. All callbacks are called in the thread that calls `run`.
    """

    def __init__(self, servers: Iterable[Server], at_once: int, timeout: float, say: Callable[[str], None]):
        self.servers, self.at_once, self.timeout, self._say = list(servers), at_once, timeout, say
        self._closed = False
        self._events: SimpleQueue[tuple[Exchange | None, Generated | None, Future | None]] = SimpleQueue()

    def run(self, jobs: Iterable[Job]) -> None:
        """Do all. Raises ServerLost where no server is left, and whatever else goes wrong in a request.

        Whatever ends it in between, what the servers compute for it is cancelled.
        """
        waiting: dict[Server, deque[Job]] = {server: deque() for server in self.servers}
        running: dict[Exchange, tuple[Server, Job]] = {}
        events = self._events = SimpleQueue()
        self._share(jobs, waiting)

        def lose(server: Server, error: ServerLost) -> None:
            self._drop(server, error)
            mine = [exchange for exchange, (where, _) in running.items() if where is server]
            again = [running.pop(exchange)[1] for exchange in mine]
            for exchange, job in zip(mine, again, strict=True):
                exchange.cancel()
                job.lost()
            self._share([*again, *waiting.pop(server)], waiting)

        with ThreadPoolExecutor(self.at_once * len(self.servers)) as pool:
            try:
                while running or any(waiting.values()):
                    for server, jobs_left in waiting.items():
                        busy = sum(where is server for where, _ in running.values())
                        for _ in range(min(len(jobs_left), self.at_once - busy)):
                            self._send(server, jobs_left.popleft(), running, events, pool)
                    exchange, reply, ended = events.get()
                    if self._closed:
                        raise ServerLost("the servers were let go while they worked.")
                    beat("an answer of a server")
                    if exchange not in running:
                        continue  # cancelled, or complete
                    server, job = running[exchange]
                    try:
                        if ended is not None:
                            ended.result()
                        if reply is None:
                            raise ServerLost(f"{server.url} ended its answer early")
                        self._check_weights(server, reply)
                        if job.take(reply, server.url):
                            del running[exchange]
                            exchange.cancel()
                    except ServerLost as error:
                        lose(server, error)
            finally:
                for exchange in running:
                    exchange.cancel()

    def close(self) -> None:
        """From any thread: what runs ends with ServerLost, and what the servers compute for it is cancelled."""
        self._closed = True
        self._events.put((None, None, None))

    def each(self, do: Callable[[Server], None], servers: Iterable[Server] | None = None) -> None:
        """Call ``do`` for every server (of ``servers``), one after the other; one that it loses is dropped."""
        for server in list(self.servers if servers is None else servers):
            try:
                do(server)
            except ServerLost as error:
                self._drop(server, error)

    def _drop(self, server: Server, error: ServerLost) -> None:
        self.servers.remove(server)
        if not self.servers:
            raise ServerLost(f"{error}; no server is left. See why it went, and start again.") from error
        self._say(f"{error}; going on without it, with {', '.join(one.url for one in self.servers)}")

    def _share(self, jobs: Iterable[Job], waiting: dict[Server, deque[Job]]) -> None:
        """Jobs to servers: each key to that which has had least."""
        jobs = list(jobs)
        where: dict[Hashable, Server] = {}
        for job in jobs:
            server = where.get(job.key) or min(self.servers, key=lambda one: one.sent)
            where[job.key] = server
            server.sent += 1
            waiting[server].append(job)

    def _send(self, server: Server, job: Job, running: dict, events: SimpleQueue, pool: ThreadPoolExecutor) -> None:
        exchange = Exchange(server.url, "POST", GENERATE, job.body(), self.timeout)
        running[exchange] = (server, job)

        def work() -> None:
            for piece in exchange.pieces(Generated) if job.stream else [exchange.reply(Generated)]:
                events.put((exchange, piece, None))

        pool.submit(work).add_done_callback(lambda ended: events.put((exchange, None, ended)))

    def _check_weights(self, server: Server, reply: Generated) -> None:
        told = {span.version for choice in reply.choices for span in choice.weight_versions or ()}
        if server.weights is not None and told - {server.weights}:
            raise ServerLost(
                f"{server.url} answered with the weights {', '.join(sorted(told))} where it should have "
                f"{server.weights}; something else changed them, or it was started again"
            )
