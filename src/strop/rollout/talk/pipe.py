"""Answers without a conversation: each prompt alone, each answer one line, or all of them as data."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TextIO

from strop.chat import Message
from strop.chat.conversation import message_row
from strop.common.errors import InputError
from strop.rollout.talk.speaker import Answer, Speaker
from strop.rollout.talk.terminal import UNSHOWN, Note, Session, obey, read_message, unescaped, why_cut

_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r"})


def prompts_of(
    read_line: Callable[[], str | None], conversation: Session, note: Note
) -> Iterator[tuple[str, str | None]]:
    """Every message of the input, with the instructions that stand at its place; commands are obeyed."""
    while (line := read_message(read_line)) is not None and line != "/exit":
        if line.startswith("/") and not line.startswith("//"):
            conversation = obey(line, conversation, note)
        elif line:
            yield unescaped(line), conversation.system


def answer_each(
    speaker: Speaker, prompts: Iterable[tuple[str, str | None]], stdout: TextIO | None, note: Note
) -> tuple[int, list[dict[str, Any]]]:
    """Answer every prompt (with its instructions) as a conversation of its own.

    Answers go to ``stdout``, a line each, in order: a line break in one is written as ``\\n`` and a backslash as two,
    but on a terminal as they are. ``stdout`` None: they are only returned, as ``prompt``, ``answer``, ``reasoning``
    (null where there is none), ``finish_reason`` (``stop``, ``length``, ``turns`` or ``interrupt``) and ``tokens``,
    with ``turns`` where tools were called, which is noted; or ``error`` where there is none. The exit code is 2 where
    one could not be answered.
    """
    answers, code = [], 0

    def tell(text: str, within: bool = False) -> None:
        if not within:  # else it stands in the answer
            note(text)

    for prompt, system in prompts:
        messages = Session(system, [Message("user", prompt)]).messages
        try:
            answer = speaker.answer(messages, lambda text: None, tell=tell)
        except InputError as error:
            code = 2
            note(str(error))
            answers.append({"prompt": prompt, "error": str(error)})
            continue
        answers.append({"prompt": prompt, **fields_of(answer)})
        if stdout is not None:
            shown = answer.text.translate(UNSHOWN) if stdout.isatty() else answer.text.translate(_ESCAPES)
            stdout.write(f"{shown}\n")
            stdout.flush()
            if answer.reasoning:
                note(f"(thought: {answer.reasoning.strip()})")
        if not answer.text:
            note("(no answer)")
        if why := why_cut(answer, speaker):
            note(why)
        if answer.ended == "interrupt":
            return 130, answers
    return code, answers


def fields_of(answer: Answer) -> dict[str, Any]:
    reason = "length" if answer.ended in ("max_tokens", "window") else answer.ended
    calls = {"tool_calls": list(answer.message.tool_calls)} if answer.message.tool_calls else {}
    if len(answer.turns) > 1:
        calls["turns"] = [message_row(message) for message in answer.turns]
    return {
        "answer": answer.text,
        "reasoning": answer.reasoning,
        **calls,
        "finish_reason": reason,
        "tokens": answer.tokens,
    }
