"""What a task asks, one by one: items to be answered, questions with options, texts; and digests of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from strop.common.stable import Unstable, digest


@dataclass(frozen=True)
class Item:
    """``messages`` is the prompt, or ``text`` where that is set: a text to go on from as it stands, without a template.
    ``family`` groups items that are alike; ``data`` is what the grader needs; ``source`` is where it comes from, of
    which an evaluation may hold several."""

    name: str
    family: str
    messages: list[dict[str, str]]
    data: Any = field(repr=False)
    source: str = ""
    text: str | None = None

    @property
    def shown(self) -> str:
        """The prompt for people."""
        return _shown(self.messages, self.text)

    @cached_property
    def asked(self) -> str:
        """A digest of all that a model is asked: every turn, not the last alone."""
        return _digest(self.messages, self.text)

    @cached_property
    def reference(self) -> str:
        """A digest of what answers are graded by; empty where ``data`` cannot be told from other data."""
        return _digest(self.data)


@dataclass(frozen=True)
class Question:
    """A multiple-choice question whose ``options`` are scored: ``answer`` is the index of the right one.

    Prompt (``messages`` or ``text``), ``family`` and ``source`` as of `Item`. Each of ``options`` is the text that goes
    on from the prompt, its white space included; ``lengths`` are those of the options as they are normalised by, in
    bytes.
    """

    name: str
    family: str
    messages: list[dict[str, str]]
    options: tuple[str, ...]
    answer: int
    lengths: tuple[int, ...]
    source: str = ""
    text: str | None = None

    @property
    def shown(self) -> str:
        """The prompt for people."""
        return _shown(self.messages, self.text)

    @cached_property
    def asked(self) -> str:
        """A digest of every turn and of the options."""
        return _digest(self.messages, self.text, self.options)

    @cached_property
    def reference(self) -> str:
        """A digest of what is right."""
        return _digest(self.answer, self.lengths)


def _digest(*values: Any) -> str:
    try:
        return digest(*values)
    except Unstable:
        return ""


def _shown(messages: Sequence[Mapping[str, str]], text: str | None) -> str:
    return messages[-1]["content"] if text is None else text


class Document(NamedTuple):
    """A text whose loss is measured."""

    name: str
    text: str
