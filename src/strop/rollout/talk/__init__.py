"""Talk to a model in the terminal, or through a pipe: what `strop chat MODEL` runs."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TextIO

from strop.common.console import make_console
from strop.common.errors import InputError
from strop.rollout.talk.compare import compare_answers
from strop.rollout.talk.lending import lent
from strop.rollout.talk.loading import load_chat
from strop.rollout.talk.pipe import answer_each, prompts_of
from strop.rollout.talk.speaker import Speaker
from strop.rollout.talk.terminal import Session, converse, line_reader

__all__ = ["compare_answers", "talk"]


def talk(
    model_name: str | Path,
    system: str | None = None,
    max_tokens: int = 512,
    temperature: float = 0.0,
    top_p: float = 1.0,
    prompts: Sequence[str] | None = None,
    as_json: bool = False,
    keep: bool = False,
    int8: bool = False,
    tools: Sequence[str] | None = None,
    stdin: TextIO | None = None,
    stdout: TextIO | None = None,
) -> tuple[int, dict[str, Any]]:
    """Answer what is asked; returns the exit code, and every prompt with its answer where each is answered alone.

    In a terminal the lines are the turns of one conversation. Through a pipe each line is a conversation of its own and
    each answer one line (see `strop.rollout.talk.pipe.answer_each`). Answers go to `stdout`, and nothing else does;
    everything said about them goes to standard error. The model answers as it is evaluated: by the same engine, with
    the chat settings that it was trained with, on the device and in the number format of
    `strop.model.precision.best_compute`.

    Args:
        model_name: anything that `strop.model.names.resolve` understands, or a stopped run or one of its checkpoints.
        system: the instructions; by default those that all of the model's training conversations began with.
        max_tokens: the longest answer, in tokens, the stop token included.
        temperature: 0 takes the most likely token each time.
        top_p: sample from the smallest set of tokens with at least this probability (in 0..1).
        prompts: answer these, each alone, and read no input.
        as_json: write no answers; they are returned.
        keep: lines through a pipe are turns of one conversation too.
        int8: compute with weights in 8 bits, which is faster and not quite the model that is measured.
        tools: what the model may call; by default what it was trained with, see `strop.rollout.talk.lending.lent`.

    Raises:
        InputError: there is no such model, or it has no chat template; a setting is out of its range.
    """
    if max_tokens < 1 or not 0 <= temperature < float("inf") or not 0 < top_p <= 1:
        raise InputError("chat needs max_tokens of at least 1, temperature of at least 0 and top_p in (0, 1].")
    notes = make_console(stderr=True)

    def note(text: str) -> None:
        notes.print(text, style="dim", markup=False, highlight=False, soft_wrap=True)

    voice = load_chat(model_name, int8)
    for line in voice.notes:
        note(line)
    conversation = Session(system if system is not None else voice.system)
    if conversation.system and system is None:
        note(f"instructions of the training are used: {conversation.system}")
    environment, told = lent(voice.environment, tools, voice.encoder)
    if told:
        note(told)
    how = max_tokens, temperature, top_p, environment
    if stdout is None and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # what the output's encoding lacks is escaped
    out = stdout or sys.stdout
    with closing(Speaker(voice.engine, voice.encoder, voice.tokenizer.decode, voice.window, *how)) as speaker:
        if prompts:
            asked: Iterable[tuple[str, str | None]] = [(prompt, conversation.system) for prompt in prompts]
        else:
            read_line = line_reader(stdin)
            terminal = stdin is None and sys.stdin.isatty()
            if terminal:
                note(f"{voice.name}\nWrite and press Enter; /help lists the commands.")
            if (terminal or keep) and not as_json:
                return converse(speaker, conversation, read_line, out, note), {}
            asked = prompts_of(read_line, conversation, note)
        code, answers = answer_each(speaker, asked, None if as_json else out, note)
        return code, {"answers": answers}
