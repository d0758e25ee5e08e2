"""Checkpoints that are written while training goes on: one at a time, and a failed one is said and tried again."""

from __future__ import annotations

import threading
from collections.abc import Callable

from strop.common.errors import InputError

GIVEN_UP_AFTER = 3600.0
"""Seconds after which a write that does not end counts as failed."""


class Writer:
    """Does one job at a time in a thread of its own; what comes after it is done in the caller's thread, by `poll`.

    A job raises InputError where it cannot be done; ``failed`` is then called with its words.
    """

    def __init__(self, failed: Callable[[str], None]):
        self._failed = failed
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._done: Callable[[], None] = lambda: None

    def start(self, job: Callable[[], object], done: Callable[[], None], *, background: bool) -> None:
        """Do ``job``, after the one before it, and then ``done``, where it did not fail."""
        self.wait()
        self._error, self._done = None, done
        self._thread = threading.Thread(target=self._work, args=(job,), name="checkpoint", daemon=True)
        self._thread.start()
        if not background:
            self.wait()

    def poll(self) -> None:
        """Finish a job whose thread has ended."""
        if self._thread is not None and not self._thread.is_alive():
            self.wait()

    def wait(self) -> None:
        """Until nothing is being written. Raises what a job raised that is no InputError."""
        if self._thread is None:
            return
        self._thread.join(GIVEN_UP_AFTER)
        if self._thread.is_alive():
            raise InputError(
                f"a checkpoint has been written to for {GIVEN_UP_AFTER / 60:.0f} minutes without an end: the file "
                "system does not answer. Earlier checkpoints are whole; run the same command again when it does."
            )
        self._thread, error = None, self._error
        if isinstance(error, InputError):
            self._failed(str(error))
        elif error is not None:
            raise error
        else:
            self._done()

    def leave(self, seconds: float = 5.0) -> None:
        """At once, but for a write that is as good as done: one that is cut off leaves nothing behind that counts."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _work(self, job: Callable[[], object]) -> None:
        try:
            job()
        except BaseException as error:  # noqa: BLE001 (raised again where it is waited for)
            self._error = error
