"""Keep transformers from drawing progress bars where nobody watches them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils import logging as transformers_logging


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars inside, unless standard error is a terminal; the setting found is put back afterwards."""
    silence = transformers_logging.is_progress_bar_enabled() and not sys.stderr.isatty()
    if silence:
        transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if silence:
            transformers_logging.enable_progress_bar()
