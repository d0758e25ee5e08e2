"""The cleaned data: what is left out and why, and all else as it stood, as JSON lines."""

from __future__ import annotations

import math
import os
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from operator import methodcaller
from pathlib import Path
from typing import Any
from uuid import UUID

from strop.chat import Conversation, Message, Text, parse_row
from strop.chat.conversation import message_row
from strop.chat.notes import notes_of
from strop.common.errors import InputError
from strop.common.files import atomic_writer, to_json
from strop.doctor.examine import Examination
from strop.doctor.rows import ReadRow
from strop.doctor.turns import is_empty

REPORT = ".report.json"


def write_fixed(found: Examination, out: Path, inputs: Sequence[Path]) -> list[str]:
    """Write the rows to ``out`` and, first, what went and why to ``out`` + ``.report.json``; each whole or not at all.

    Left out are rejected rows, rows that fail a check, duplicates, contaminated rows and empty exchanges. Returns what
    to know about the file, line by line. Raises InputError as `check_target` does, and when no row is left.
    """
    rows, changed, converted, texts = [], [], Counter[str](), 0
    gone = [(r.place, f"rejected: {r.reason}") for data in found.sets for r in data.rejected]
    for left in (left for data in found.sets for left in data.left_out):
        why = "; ".join(note.text.rpartition(": ")[0] for note in notes_of(left.notes))
        gone.append((left.place, f"not to be trained: {why}"))
    for row in (row for data in found.sets for row in data.rows):
        conversation, reason = row.conversation, row.gone
        mended = conversation if isinstance(conversation, Text) else without_empty(conversation)
        texts += isinstance(conversation, Text)
        if not reason and mended is not conversation and conversation.format == "preference":
            reason = "empty turn in a pair of answers"
        if not reason and mended is None:
            reason = "empty turns leave nothing to learn"
        # A check that an empty turn made fail may hold once the turn is gone.
        if not reason and row.failed and mended is conversation:
            reason = f"failed check: {row.failed}"
        if reason or mended is None:
            gone.append((row.place, reason))
            continue
        if isinstance(mended, Conversation) and mended is not conversation:
            taken = len(row.messages) - len(mended.messages)
            changed.append((row.place, f"{taken} messages of empty exchanges taken out"))
        rows.append(plain(to_row(row, mended), converted))
    check_target(out, inputs)
    if not rows:
        raise InputError(f"--fix {out}: no row is left to write; the findings above say why.")
    kinds = Counter(reason.partition(":")[0].partition(" of ")[0].partition(" (")[0] for _, reason in gone)
    report = {
        "inputs": [str(path) for path in inputs],
        "written": len(rows),
        "left_out": len(gone),
        "by_reason": dict(kinds.most_common()),
        "rows": [{"place": place, "reason": reason} for place, reason in gone],
        "changed": [{"place": place, "change": change} for place, change in changed],
        "written_otherwise": dict(converted),
    }
    with atomic_writer(report_of(out)) as file:
        file.write(to_json(report, indent=2) + "\n")
    with atomic_writer(out) as file:
        file.writelines(to_json(row) + "\n" for row in rows)
    return [
        f"wrote {out}: {len(rows):,} rows, {len(gone):,} left out, {len(changed):,} changed; which and why: "
        f"{report_of(out)}",
        *(f"written otherwise: {count:,} {what}" for what, count in converted.items()),
        *([f"{texts:,} rows of plain text: they are read with format: text"] if texts else []),
    ]


def without_empty(conversation: Conversation) -> Conversation | None:
    """Itself where no turn is empty; else without the exchanges that hold one; None where nothing to learn is left."""
    messages = conversation.messages
    if not any(map(is_empty, messages)):
        return conversation
    exchanges: list[list[Message]] = [[]]
    for index, message in enumerate(messages):
        if message.role in ("system", "developer"):
            if not is_empty(message):
                exchanges.append([message])
            continue
        if message.role == "user" and (index == 0 or messages[index - 1].role != "user"):
            exchanges.append([])
        exchanges[-1].append(message)
    kept = [message for exchange in exchanges if not any(map(is_empty, exchange)) for message in exchange]
    if not any(message.role == "assistant" for message in kept):
        return None
    return replace(conversation, messages=tuple(kept))


def to_row(row: ReadRow, conversation: Conversation | Text) -> dict[str, Any]:
    """An object that reads back as ``conversation``: the row as it stands where that is so; else its messages, and the
    columns that are not read beside them."""
    if isinstance(conversation, Text) or (conversation is row.conversation and _reads_back(row.raw, conversation)):
        return dict(row.raw)
    made: dict[str, Any] = {"messages": [message_row(message) for message in conversation.messages]}
    beside = {
        "tools": list(conversation.tools),
        "documents": list(conversation.documents),
        "chat_template_kwargs": dict(conversation.template_kwargs),
    }
    made |= {name: value for name, value in beside.items() if value}
    unread = [key.partition(":")[2] for key in conversation.notes if key.startswith("column:")]
    kept = {name: row.raw[name] for name in (*unread, "rejected", "chosen") if name in row.raw and name not in made}
    return made | kept if _reads_back(made | kept, conversation) else made | {"other_columns": kept}


def _reads_back(raw: Mapping[str, Any], conversation: Conversation) -> bool:
    try:
        return parse_row(raw, conversation.place) == conversation
    except InputError:
        return False


_OTHERWISE: dict[str, tuple[type | tuple[type, ...], Callable[[Any], Any]]] = {
    "dates and times, as text (ISO 8601)": ((datetime, date, time), methodcaller("isoformat")),
    "durations, as seconds": (timedelta, methodcaller("total_seconds")),
    "decimals and ids, as text": ((Decimal, UUID), str),
    "binary values, as base64 text": ((bytes, bytearray, memoryview), lambda value: b64encode(bytes(value)).decode()),
}


def plain(value: Any, changed: Counter[str]) -> Any:
    """``value`` made of what JSON has; ``changed`` counts what had to be written otherwise, in words."""
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else str(key): plain(item, changed) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, changed) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        changed["numbers that are none (NaN, infinity), as null"] += 1
        return None
    if value is None or isinstance(value, str | bool | int | float):
        return value
    for what, (types, write) in _OTHERWISE.items():
        if isinstance(value, types):
            changed[what] += 1
            return write(value)
    changed[f"values of type {type(value).__name__}, as text"] += 1
    return str(value)


_WRITTEN = (".jsonl", ".ndjson")


def check_target(out: Path, inputs: Iterable[Path]) -> None:
    """Raises InputError where writing to ``out`` would overwrite an input or a file that the doctor did not write, and
    where its name promises another format than JSON lines."""
    if not out.name or out.is_dir():
        raise InputError(f"--fix {out}: is a folder; name a file in it, e.g. {out / 'clean.jsonl'}.")
    if out.suffix.lower() not in _WRITTEN:
        usual = out.with_name(f"{out.name.partition('.')[0] or 'clean'}.jsonl")
        raise InputError(f"--fix {out}: the rows are written as JSON lines; give a name that says so, e.g. {usual}.")
    for target in (out, report_of(out)):
        if any(os.path.realpath(target) == os.path.realpath(path) for path in inputs):
            raise InputError(f"--fix {out}: {target} is read here; choose another name, so that nothing is lost.")
    if out.exists() and not report_of(out).is_file():
        raise InputError(f"--fix {out}: there is a file that strop doctor did not write; choose another name.")


def report_of(out: Path) -> Path:
    return out.with_name(out.name + REPORT)
