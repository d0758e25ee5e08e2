"""Prose that every Python brings along: the language reference's topics, as `help()` shows them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from pydoc_data.topics import topics
from zlib import crc32

from strop.chat.text import Document as PlainText
from strop.data.readers import NamedSet
from strop.data.rows import Row
from strop.tasks.base import Document, TextTask, register
from strop.tasks.text import TextFile

_HELD_OUT, _SHORTEST = 10, 80


@register("python_docs")
class PythonDocs(TextTask):
    """Paragraphs of a tenth of the topics, none of which is trained on; 100 by default."""

    metrics = TextFile.metrics
    source = f"pydoc_data.topics of Python {sys.version_info.major}.{sys.version_info.minor}"
    licence = "PSF-2.0"

    def documents(self) -> list[Document]:
        return [Document(f"python_docs/{name}", text) for name, text in _paragraphs(True)[: self.settings.count or 100]]

    @classmethod
    def sets(cls) -> Mapping[str, NamedSet]:
        def rows(count: int | None, seed: int) -> list[Row]:
            return [(f"python_docs/{name}", PlainText(text=text)) for name, text in _paragraphs(False)[:count]]

        return {"python_docs": rows}


@cache
def _paragraphs(held_out: bool) -> list[tuple[str, str]]:
    """(name, text) of every paragraph that is not short, of the topics that are held out or of the others; one that
    stands in several topics is told once, and of both kinds it is trained on."""
    found: dict[bool, dict[str, str]] = {True: {}, False: {}}
    for topic, text in sorted(topics.items()):
        mine = found[crc32(topic.encode()) % _HELD_OUT == 0]
        for number, paragraph in enumerate(text.split("\n\n")):
            if len(paragraph := paragraph.strip("\n")) >= _SHORTEST:
                mine.setdefault(paragraph, f"{topic}:{number}")
    return [(name, text) for text, name in found[held_out].items() if not (held_out and text in found[False])]
