"""Starting worker processes from anybody's program."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_swapping = threading.Lock()


class _Nameless(ModuleType):
    """``__main__`` as it is but for where it came from: other threads may look things up in it meanwhile."""

    def __init__(self, main: ModuleType):
        super().__init__("__main__")
        self.__dict__["_main"] = main

    def __getattr__(self, name: str) -> Any:
        if name == "__file__":
            raise AttributeError(name)
        return getattr(self.__dict__["_main"], name)


@contextmanager
def without_main() -> Iterator[None]:
    """Processes that are spawned in the block do not read the program's ``__main__`` again.

    multiprocessing otherwise runs the script once more in each of them, which then trains too where it has no
    ``if __name__ == "__main__"``. strop's workers need nothing of it (see `multiprocessing.spawn.get_preparation_data`,
    which looks ``__main__`` up in ``sys.modules``).
    """
    with _swapping:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = _Nameless(main)
        try:
            yield
        finally:
            sys.modules["__main__"] = main
