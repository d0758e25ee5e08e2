"""Which split a file belongs to, by its name and by the folders that it lies in."""

from __future__ import annotations

import re
from pathlib import Path

_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev", "eval", "evaluation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_BETWEEN_WORDS = re.compile(r"[-_. 0-9]+")


def split_named(name: str) -> str | None:
    """The split that a word names: ``dev`` is ``validation``. None where it names none."""
    return _NAMES.get(name.lower())


def known_as(name: str) -> str:
    """The split that a word names, or the word itself."""
    return split_named(name) or name


def split_of(path: Path) -> str | None:
    """The split that a file, or else the nearest folder of its path, is named after.

    As ``datasets`` goes by names: a split's name that stands as a word of its own anywhere in the name counts, so
    ``unit_test.jsonl`` and ``test_data.jsonl`` are ``test`` and ``web_dev.jsonl`` is ``validation``; of several the
    last. What is left out of a folder for it is always said.
    """
    for name in (path.name.partition(".")[0], *reversed(path.parts[:-1])):
        found = [split for word in _BETWEEN_WORDS.split(name) if (split := split_named(word))]
        if found:
            return found[-1]
    return None
