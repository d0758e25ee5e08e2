"""Post-training for language models that people can trust."""

import sys

from strop.common import errors

__version__ = "0.1.0"

sys.modules["strop.errors"] = errors  # the name by which programs that use strop know it
