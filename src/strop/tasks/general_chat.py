"""The loss on everyday conversations: whether a model still speaks as it did (by what comes with strop, or a file)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from strop.chat import Conversation, LeftOut, parse_row
from strop.data.readers import NamedSet, built_in, read_jsonl
from strop.data.rows import Row
from strop.tasks.base import LossTask, register
from strop.tasks.metrics import KEPT, Metric

_held_out = built_in("general_chat", "heldout")


@register("general_chat")
class GeneralChat(LossTask):
    """Held-out conversations that come with strop, or those of ``path``."""

    metrics = (Metric("loss", "loss on ordinary conversations, nats per token", "nats", -1, KEPT, 0.05, True, lead=5),)
    source = "48 conversations that come with strop, or path: a file of conversations"
    licence = "Apache-2.0 (those that come with strop)"
    reads_path = True

    def rows(self) -> list[Row]:
        if self.settings.path is not None:
            return read_jsonl(self.settings.path, self.settings.count)
        return list(_held_out(self.settings.count, self.settings.seed))

    def texts(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        return conversation_texts(self.rows())

    @classmethod
    def sets(cls) -> Mapping[str, NamedSet]:
        return {"general_chat": built_in("general_chat", "train"), "general_chat_heldout": _held_out}


def conversation_texts(rows: Iterable[Row], format: str = "auto") -> Iterator[tuple[str, tuple[str, ...]]]:
    """(place, what is said but by the system) of every conversation or text; rows that are left out are none."""
    for place, row in rows:
        read = parse_row(row, place, format)
        if isinstance(read, Conversation):
            yield place, tuple(m.content for m in read.messages if m.content and m.role != "system")
        elif not isinstance(read, LeftOut):
            yield place, (read.text,)
