"""The next batch of rollouts while the one before is trained on: one at a time, in a thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread

from strop.rollout.gather import Gathered


class Ahead:
    """At most one batch, which is being made, is there, or went wrong.

    Whoever makes it has to end by himself, within limits of his own: an engine in another process notices when that is
    gone or hangs, and graders have their time.
    """

    def __init__(self):
        self._future: Future[Gathered] | None = None
        self._thread: Thread | None = None

    def __bool__(self) -> bool:
        return self._future is not None

    def start(self, make: Callable[[], Gathered]) -> None:
        """Have a batch made."""
        future: Future[Gathered] = Future()

        def work() -> None:
            try:
                future.set_result(make())
            except BaseException as error:  # noqa: BLE001 - it is raised where the batch is asked for
                future.set_exception(error)

        self._future = future
        self._thread = Thread(target=work, name="strop rollouts ahead", daemon=True)
        self._thread.start()

    def put(self, batch: Gathered | None) -> None:
        """One that is there already, or none."""
        self._future = None
        if batch is not None:
            self._future = Future()
            self._future.set_result(batch)

    def fail(self, error: Exception) -> None:
        """One that cannot be made."""
        self._future = Future()
        self._future.set_exception(error)

    def wait(self) -> Gathered:
        """The batch, once it is made; it stays until the next one begins. Raises what its making raised."""
        assert self._future is not None  # one was begun
        return self._future.result()

    def whole(self) -> Gathered | None:
        """The batch, once it is made; None where there is none, or its making raised."""
        return None if self._future is None or self._future.exception() is not None else self.wait()

    def end(self, seconds: float = 60.0) -> None:
        """Let go of it, and wait for what makes it, so long at most."""
        self._future = None
        if self._thread is not None:
            self._thread.join(seconds)
