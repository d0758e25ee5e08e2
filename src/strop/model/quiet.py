"""Keep transformers from drawing progress bars where nobody watches them, and from tables about what it loads."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils import logging as transformers_logging


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars inside, unless standard error is a terminal; the settings found are put back afterwards.

    No warnings either: what is wrong with a model is said in one line by whoever loads it.
    """
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    silence = transformers_logging.is_progress_bar_enabled() and not sys.stderr.isatty()
    if silence:
        transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if silence:
            transformers_logging.enable_progress_bar()
