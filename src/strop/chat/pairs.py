"""Rows of one question and one answer, and of answers compared, to messages."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from strop.chat.conversation import REASONING_NAMES, Message, read_message
from strop.chat.field import Field, Seen, is_blank, kind_of
from strop.chat.turns import given, looks_like_turns, read_turns, with_system

PROMPTS = ("prompt", "question", "query", "input")
ASKED = ("prompt", "question", "problem", "query", "input", "instruction")
"""Where the question of a row without an answer to learn stands: in the first that holds something."""
COMPLETIONS = ("completion", "response", "answer", "output")
COMPARED = (
    ("chosen", "rejected"),
    ("chosen_messages", "rejected_messages"),
    ("preferred_output", "non_preferred_output"),
    ("chosen_response", "rejected_response"),
)
"""What the preferred answer and the other are called."""
_MATERIAL = ("query", "input")
"""What a question is about, after it."""
# Blank lines belong to what follows: with \s* before the line's end, many of them would take quadratic time.
_PROMPT_RESPONSE = re.compile(
    r"\s*### ?Prompt:?[^\S\n]*\n(?P<prompt>.*?)\n### ?Response:?[^\S\n]*\n(?P<response>.*)", re.DOTALL
)
_TRANSCRIPT_TURN = re.compile(r"(?:\A|\n\n)(Human|Assistant):[ \n]?")


def prompt_completion(row: Seen, prompt: str, completion: str, at: Field) -> list[Message]:
    """A question (a string, or messages) and its answer (the same). The prompt's assistant turns are not trained.

    A question that is a string may have an ``instruction`` or a ``context`` before it and an ``input`` (or ``query``)
    after it, each after a blank line, unless it holds that text already; and earlier pairs in ``history``.
    """
    question, where = row[prompt], at.item(prompt)
    if isinstance(question, str) and not looks_like_turns(question):
        before = [name for name in ("instruction", "context") if (name, prompt) != ("instruction", "prompt")]
        after = [name for name in _MATERIAL if PROMPTS.index(prompt) < PROMPTS.index(name)]
        text = composed(row, before, where.text(question), after, at)
        asked = [*_history(row, at), Message("user", text)]
    else:
        asked = _prompt(question, where)
    # Beside a question in plain words, an answer that looks like JSON is an answer.
    answer = row[completion]
    if isinstance(question, str) and looks_like_turns(question) and looks_like_turns(answer):
        answer = at.item(completion).json(answer)
    return asked + _completion(answer, at.item(completion), _reasoning(row))


def alpaca(row: Seen, answer: str, at: Field) -> list[Message]:
    """``instruction``, with ``input`` or ``context`` after a blank line, and its answer; earlier pairs in ``history``,
    which are trained as well."""
    instruction = at.item("instruction").text(row["instruction"])
    extra = next((name for name in ("input", "context") if row.has(name)), "input")
    material = "" if row.get(extra) is None else at.item(extra).text(row[extra])
    question = f"{instruction}\n\n{material}" if instruction and material else instruction or material
    answered = _completion(row[answer], at.item(answer), _reasoning(row))
    return [*_history(row, at), Message("user", question), *answered]


def asked(row: Seen, column: str, at: Field) -> list[Message]:
    """The turns to be answered, of a text in one of the columns `ASKED` and what belongs to it, as training reads them:
    an instruction before its input, a context, earlier turns (``history``), a system prompt."""
    text = at.item(column).text(row[column])
    if column in ("input", "instruction"):
        names = [name for name in ("instruction", "input", "context") if not is_blank(row.get(name))]
        text = "\n\n".join(at.item(name).text(row[name]) for name in names)
    else:
        after = [name for name in _MATERIAL if ASKED.index(name) > ASKED.index(column)]
        text = composed(row, ["instruction", "context"], text, after, at)
    return with_system([*_history(row, at), Message("user", text)], row, at)


def is_prompt_response(raw: Any) -> bool:
    return isinstance(raw, str) and _PROMPT_RESPONSE.fullmatch(raw) is not None


def prompt_response(raw: Any, at: Field) -> list[Message]:
    """One text with the headings ``### Prompt`` and ``### Response``."""
    match = _PROMPT_RESPONSE.fullmatch(at.text(raw))
    if match is None:
        raise at.fail("expected a line '### Prompt', a question, a line '### Response' and an answer")
    return [Message("user", match["prompt"].strip()), _answer(match["response"].strip(), at)]


def preference(row: Seen, chosen_name: str, rejected_name: str, at: Field) -> list[Message]:
    """The conversation with the chosen answer.

    The prompt is ``prompt`` (or turns beside the answers), or what the chosen and the rejected conversation have in
    common; its assistant turns are not trained, so a shared beginning is not learnt from each pair that it stands in.
    """
    prompt, prompt_at = [], at.item("prompt")
    for name in ("prompt", "question", "instruction", "query", "input", "conversations", "messages"):
        if row.has(name):
            asked, prompt_at = row[name], at.item(name)
            # OpenAI's preference files hold the prompt as {"messages": […]}.
            inside = isinstance(asked, dict) and "messages" in asked
            prompt = _prompt(asked["messages"] if inside else asked, prompt_at)
            break
    if prompt_at.path in ("conversations", "messages") and prompt[-1].role == "assistant":
        prompt = []  # a copy of the chosen conversation, not its beginning
    chosen = _compared(row[chosen_name], bool(prompt), at.item(chosen_name))
    rejected = []
    if row.has(rejected_name):
        rejected = _compared(row[rejected_name], bool(prompt), at.item(rejected_name))
        at.note("preference")
    bare = given(prompt)
    if bare and len(chosen) > len(bare) and given(chosen[: len(bare)]) == bare:
        chosen, rejected = chosen[len(bare) :], rejected[len(bare) :]
    if chosen[-1].role != "assistant":
        raise at.item(chosen_name).fail(f"the last turn must be the assistant's answer, found a {chosen[-1].role} turn")
    shared = 0
    while shared < min(len(chosen) - 1, len(rejected)) and chosen[shared] == rejected[shared]:
        shared += 1
    return bare + given(chosen[:shared]) + chosen[shared:]


def is_verl(row: Mapping[str, Any]) -> bool:
    """Whether the row has verl's columns: a prompt, and what its reward is computed from."""
    return isinstance(row.get("reward_model"), Mapping) or ("data_source" in row and "extra_info" in row)


def verl(row: Seen, at: Field) -> list[Message]:
    """The prompt's messages and ``extra_info.answer``.

    Raises InputError for a row without such an answer: it is for reinforcement learning alone.
    """
    more = row.get("extra_info")
    answer = more.get("answer") if isinstance(more, Mapping) else None
    if not isinstance(answer, str) or not answer:
        raise at.item("extra_info.answer").fail(
            "verl's prompts have no answer here, so they are for reinforcement learning; to train on the bare results, "
            "set columns: {prompt: prompt, completion: reward_model.ground_truth}"
        )
    prompt = given(read_turns(row["prompt"], at.item("prompt")))
    return [*prompt, read_message({"role": "assistant", "content": answer}, at.item("extra_info.answer"))]


def composed(row: Seen, before: list[str], question: str, after: list[str], at: Field) -> str:
    """The question between the texts of other columns, each after a blank line, but for those that it holds already."""

    def texts(names: list[str]) -> Iterator[str]:
        for name in (name for name in names if row.has(name) and isinstance(dict.get(row, name), str)):
            text = at.item(name).text(row[name])
            if text.strip() not in question:
                if name == "context":
                    at.note("context")
                yield text

    return "\n\n".join([*texts(before), question, *texts(after)])


def _history(row: Seen, at: Field) -> list[Message]:
    """Earlier turns: pairs of a question and its answer, or messages."""
    if not row.has("history"):
        return []
    here, messages = at.item("history"), []
    pairs = here.sequence(here.json(row["history"]))
    if all(kind_of(pair) == "an object" for pair in pairs):
        return read_turns(pairs, here)
    for index, pair in enumerate(pairs):
        where = here.item(index)
        if len(where.sequence(pair)) != 2:
            raise where.fail("expected a pair, an instruction and its output")
        question, answer = pair
        messages.append(Message("user", where.item(0).text(question)))
        messages.append(_answer(answer, where.item(1)))
    return messages


def _reasoning(row: Seen) -> Any:
    """The reasoning that stands in a column beside the answer."""
    name = next((name for name in REASONING_NAMES if isinstance(dict.get(row, name), str) and row.has(name)), None)
    return None if name is None else row[name]


def _answer(raw: Any, at: Field, reasoning: Any = None) -> Message:
    return read_message({"role": "assistant", "content": raw, "reasoning_content": reasoning}, at)


def _prompt(raw: Any, at: Field) -> list[Message]:
    if isinstance(raw, str) and not looks_like_turns(raw):
        return [Message("user", at.text(raw))]
    if isinstance(raw, str | list | tuple | dict):
        return given(read_turns(raw, at))
    raise at.fail(f"expected a string or a list of messages, found {kind_of(raw)}")


def _completion(raw: Any, at: Field, reasoning: Any = None) -> list[Message]:
    if isinstance(raw, dict) and ("role" in raw or "from" in raw):
        raw = [raw]
    if not isinstance(raw, list | tuple):
        return [_answer(raw, at, reasoning)]
    turns = read_turns(raw, at)
    if reasoning is not None:
        at.note(f"column:{REASONING_NAMES[0]}")
    return turns


def _compared(raw: Any, has_prompt: bool, at: Field) -> list[Message]:
    """A chosen or rejected answer; a string without a prompt must be a transcript, which holds both."""
    if not isinstance(raw, str) or has_prompt or looks_like_turns(raw):
        return _completion(at.json(raw) if looks_like_turns(raw) else raw, at)
    pieces = _TRANSCRIPT_TURN.split(at.text(raw))
    if len(pieces) < 3 or pieces[0].strip():
        raise at.fail("expected messages, or a transcript of 'Human:' and 'Assistant:' turns, as there is no prompt")
    roles = {"Human": "user", "Assistant": "assistant"}
    pairs = zip(pieces[1::2], pieces[2::2], strict=True)
    return [read_message({"role": roles[name], "content": text}, at) for name, text in pairs]
