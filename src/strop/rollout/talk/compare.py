"""Answers of several models to the same prompts, side by side: `strop chat --compare A B`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from strop.chat import Message
from strop.common.console import make_console, say
from strop.common.errors import InputError
from strop.rollout.talk.lending import lent
from strop.rollout.talk.loading import load_chat
from strop.rollout.talk.pipe import fields_of, prompts_of
from strop.rollout.talk.speaker import Speaker
from strop.rollout.talk.terminal import UNSHOWN, Session, line_reader


def compare_answers(
    names: Sequence[str],
    model: str | None = None,
    *,
    prompts: Sequence[str] | None = None,
    texts: Sequence[str] | None = None,
    system: str | None = None,
    max_tokens: int = 512,
    temperature: float = 0.0,
    top_p: float = 1.0,
    as_json: bool = False,
    keep: bool = False,
    int8: bool = False,
    tools: Sequence[str] | None = None,
    stdin: TextIO | None = None,
    console: Console | None = None,
) -> tuple[int, dict[str, Any]]:
    """Every model's answer to every prompt, each a conversation of its own, and what it makes of every text.

    The models are loaded one after the other. A run folder stands for the models of its stages, in the order in which
    they were made. ``tools``: as in `strop.rollout.talk.talk`. Without ``prompts`` and ``texts`` the lines of the input
    are prompts. Returns the exit code (2 where a prompt could not be answered) and ``models`` with ``compared``: of
    each prompt (or ``text``) the ``answers``, one for each model, as `strop.rollout.talk.pipe.answer_each` has them.

    Raises InputError for fewer than two models, one that cannot be loaded, and settings out of their range.
    """
    folders = [found for name in [*([model] if model else []), *names] for found in _models_of(name)]
    if len(folders) < 2:
        raise InputError(f"--compare takes two models or more, or a run with several; {names[0]} is one: name another.")
    if keep:
        raise InputError("--keep is a conversation with one model; leave it or --compare out.")
    if max_tokens < 1 or not 0 <= temperature < float("inf") or not 0 < top_p <= 1:
        raise InputError("chat needs max_tokens of at least 1, temperature of at least 0 and top_p in (0, 1].")
    notes = make_console(stderr=True)
    asked = [("prompt", prompt, system) for prompt in prompts or ()]
    asked += [("text", text, None) for text in texts or ()]
    if not asked:
        read = prompts_of(line_reader(stdin), Session(system), lambda text: say(notes, text))
        asked = [("prompt", prompt, own) for prompt, own in read]
    if not asked:
        raise InputError("there is nothing to answer; give --prompt or --text, or lines on standard input.")
    compared: list[dict[str, Any]] = [{kind: text, "answers": []} for kind, text, _ in asked]
    code = 0
    for folder in folders:
        voice = load_chat(folder, int8)
        for line in voice.notes:
            say(notes, f"{folder}: {line}", style="dim")
        environment, told = lent(voice.environment, tools, voice.encoder)
        if told:
            say(notes, f"{folder}: {told}", style="dim")
        how = max_tokens, temperature, top_p, environment
        with closing(Speaker(voice.engine, voice.encoder, voice.tokenizer.decode, voice.window, *how)) as speaker:
            for row, (kind, text, own) in zip(compared, asked, strict=True):
                messages = Session(own if own is not None else voice.system, [Message("user", text)]).messages
                try:
                    answer = speaker.answer(messages, lambda piece: None) if kind == "prompt" else speaker.go_on(text)
                except InputError as error:
                    code = 2
                    row["answers"].append({"model": folder, "error": str(error)})
                    continue
                row["answers"].append({"model": folder, **fields_of(answer)})
                if answer.ended == "interrupt":
                    return 130, {"models": folders, "compared": compared}
    if not as_json:
        show(compared, console or make_console(file=sys.stdout))
    return code, {"models": folders, "compared": compared}


def show(compared: Sequence[dict[str, Any]], console: Console) -> None:
    """A table of a row for each prompt and a column for each model on a terminal that is wide enough; else a block for
    each prompt, an answer to a line."""
    titles = short_names([answer["model"] for answer in compared[0]["answers"]])
    if console.is_terminal and console.width >= 30 * (len(titles) + 1):
        table = Table(show_lines=True)
        for title in ("prompt", *titles):
            table.add_column(title, overflow="fold", ratio=1)
        for row in compared:
            table.add_row(*(Text(cell) for cell in (_asked(row), *map(_said, row["answers"]))))
        console.print(table)
        return
    width = max(map(len, titles))
    for row in compared:
        say(console, f"> {_asked(row)}")
        for title, answer in zip(titles, row["answers"], strict=True):
            say(console, f"{title:>{width}}: {_said(answer).replace(chr(10), chr(10) + ' ' * (width + 2))}")


def short_names(names: Sequence[str]) -> list[str]:
    """The names without what all of their paths begin and end with; whole where that would leave nothing."""
    parts = [Path(name).parts for name in names]
    shortest = min(map(len, parts))
    start = next((i for i in range(shortest) if len({part[i] for part in parts}) > 1), 0)
    end = next((i for i in range(shortest - start) if len({part[-1 - i] for part in parts}) > 1), 0)
    return [str(Path(*part[start : len(part) - end])) for part in parts]


def _models_of(name: str) -> list[str]:
    """The models of a run's stages, oldest first; of anything else its name."""
    folder = Path(name).expanduser()
    if not folder.is_dir() or any((folder / place / "config.json").is_file() for place in ("", "model")):
        return [name]
    made = [path for path in folder.glob("*/model/config.json") if path.parts[-3][-4:] not in (".new", ".old")]
    made.sort(key=lambda path: (path.stat().st_mtime_ns, str(path)))
    return [str(path.parents[1]) for path in made] or [name]


def _asked(row: dict[str, Any]) -> str:
    return (row["prompt"] if "prompt" in row else f"{row['text']} …").translate(UNSHOWN)


def _said(answer: dict[str, Any]) -> str:
    """What a model wrote, its calls of tools too, and whether it ended by itself."""
    if "error" in answer:
        return f"({answer['error']})"
    turns = answer.get("turns") or [{"content": answer["answer"], "tool_calls": answer.get("tool_calls", ())}]
    parts = []
    for turn in turns:
        parts.append(f"[→ {turn['content']}]" if turn.get("role") == "tool" else turn["content"])
        calls = [call["function"] for call in turn.get("tool_calls", ())]
        parts += [f"[{c['name']}({json.dumps(dict(c['arguments']), ensure_ascii=False)})]" for c in calls]
    text = "\n".join(part for part in parts if part).translate(UNSHOWN)
    return f"{text} …" if answer["finish_reason"] == "length" else text or "(no answer)"
