"""Starting worker processes from anybody's program."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

_swapping = threading.Lock()


@contextmanager
def without_main() -> Iterator[None]:
    """Processes that are spawned in the block do not read the program's ``__main__`` again.

    multiprocessing otherwise runs the script once more in each of them, which then trains too where it has no
    ``if __name__ == "__main__"``. strop's workers need nothing of it (see `multiprocessing.spawn.get_preparation_data`,
    which looks ``__main__`` up in ``sys.modules``).
    """
    with _swapping:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main
