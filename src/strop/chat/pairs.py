"""Rows of one question and one answer, and of answers compared, to messages."""

import re
from collections.abc import Mapping
from typing import Any

from strop.chat.conversation import Field, Message, kind_of, read_message
from strop.chat.turns import given, read_turns

PROMPTS = ("prompt", "question", "query", "input")
COMPLETIONS = ("completion", "response", "answer", "output")
# Blank lines belong to what follows: with \s* before the line's end, many of them would take quadratic time.
_PROMPT_RESPONSE = re.compile(
    r"\s*### ?Prompt:?[^\S\n]*\n(?P<prompt>.*?)\n### ?Response:?[^\S\n]*\n(?P<response>.*)", re.DOTALL
)
_TRANSCRIPT_TURN = re.compile(r"(?:\A|\n\n)(Human|Assistant):[ \n]?")


def prompt_completion(row: Mapping[str, Any], prompt_at: Field, completion_at: Field) -> list[Message]:
    """A question (a string, or messages) and its answer (the same). The prompt's assistant turns are not trained."""
    if row.get("label") is False:
        raise Field(prompt_at.place, "label").fail(
            "false says that this answer is not wanted, and it would be trained; drop such rows"
        )
    return _prompt(row[prompt_at.path], prompt_at) + _completion(row[completion_at.path], completion_at)


def alpaca(row: Mapping[str, Any], at: Field) -> list[Message]:
    """``instruction``, with ``input`` or ``context`` after a blank line, ``output`` or ``response``; earlier pairs in
    ``history``, which are trained as well."""
    messages = []
    history = [] if row.get("history") is None else at.item("history").sequence(row["history"])
    for index, pair in enumerate(history):
        here = at.item("history").item(index)
        if len(here.sequence(pair)) != 2:
            raise here.fail("expected a pair, an instruction and its output")
        question, answer = pair
        messages.append(Message("user", here.item(0).text(question)))
        messages.append(_answer(answer, here.item(1)))
    instruction = at.item("instruction").text(row["instruction"])
    extra_name = next((name for name in ("input", "context") if row.get(name) is not None), "input")
    extra = "" if row.get(extra_name) is None else at.item(extra_name).text(row[extra_name])
    question = f"{instruction}\n\n{extra}" if instruction and extra else instruction or extra
    answer_name = "output" if "output" in row else "response"
    return [*messages, Message("user", question), _answer(row[answer_name], at.item(answer_name))]


def is_prompt_response(raw: Any) -> bool:
    return isinstance(raw, str) and _PROMPT_RESPONSE.fullmatch(raw) is not None


def prompt_response(raw: Any, at: Field) -> list[Message]:
    """One text with the headings ``### Prompt`` and ``### Response``."""
    match = _PROMPT_RESPONSE.fullmatch(at.text(raw))
    if match is None:
        raise at.fail("expected a line '### Prompt', a question, a line '### Response' and an answer")
    return [Message("user", match["prompt"].strip()), _answer(match["response"].strip(), at)]


def preference(row: Mapping[str, Any], at: Field) -> list[Message]:
    """The conversation with the chosen answer.

    The prompt is ``prompt`` (or turns beside the answers), or what the chosen and the rejected conversation have in
    common; its assistant turns are not trained, so a shared beginning is not learnt from each pair that it stands in.
    """
    prompt, prompt_at = [], at.item("prompt")
    for name in ("prompt", "question", "conversations", "messages"):
        if row.get(name) is not None:
            prompt, prompt_at = _prompt(row[name], at.item(name)), at.item(name)
            break
    if prompt_at.path in ("conversations", "messages") and prompt[-1].role == "assistant":
        prompt = []  # a copy of the chosen conversation, not its beginning
    chosen = _compared(row["chosen"], bool(prompt), at.item("chosen"))
    rejected = _compared(row["rejected"], bool(prompt), at.item("rejected")) if row.get("rejected") is not None else []
    bare = given(prompt)
    if bare and len(chosen) > len(bare) and given(chosen[: len(bare)]) == bare:
        chosen, rejected = chosen[len(bare) :], rejected[len(bare) :]
    if chosen[-1].role != "assistant":
        raise at.item("chosen").fail(f"the last turn must be the assistant's answer, found a {chosen[-1].role} turn")
    shared = 0
    while shared < min(len(chosen) - 1, len(rejected)) and chosen[shared] == rejected[shared]:
        shared += 1
    return bare + given(chosen[:shared]) + chosen[shared:]


def _answer(raw: Any, at: Field) -> Message:
    return read_message({"role": "assistant", "content": raw}, at)


def _prompt(raw: Any, at: Field) -> list[Message]:
    if isinstance(raw, str):
        return [Message("user", at.text(raw))]
    if isinstance(raw, list | tuple | Mapping):
        return given(read_turns(raw, at))
    raise at.fail(f"expected a string or a list of messages, found {kind_of(raw)}")


def _completion(raw: Any, at: Field) -> list[Message]:
    if isinstance(raw, list | tuple):
        return read_turns(raw, at)
    if isinstance(raw, Mapping) and ("role" in raw or "from" in raw):
        return read_turns([raw], at)
    return [_answer(raw, at)]


def _compared(raw: Any, has_prompt: bool, at: Field) -> list[Message]:
    """A chosen or rejected answer; a string without a prompt must be a transcript, which holds both."""
    if not isinstance(raw, str) or has_prompt:
        return _completion(raw, at)
    pieces = _TRANSCRIPT_TURN.split(at.text(raw))
    if len(pieces) < 3 or pieces[0].strip():
        raise at.fail("expected messages, or a transcript of 'Human:' and 'Assistant:' turns, as there is no prompt")
    roles = {"Human": "user", "Assistant": "assistant"}
    pairs = zip(pieces[1::2], pieces[2::2], strict=True)
    return [read_message({"role": roles[name], "content": text}, at) for name, text in pairs]
