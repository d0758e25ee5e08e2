"""What of a conversation a template did not print: every message, field and side input of which something is missing.

Templates leave out what they have no place for, mostly without a word: a second system turn, tools, earlier thoughts,
all calls of a turn but the first. Origins say what was printed of each field; `strop.chat.coverage` says whether it is
all. What is only written differently (JSON, another case, other white space) is printed. Ids are not looked at, nor is
the name of a tool's result where a call has given it.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from strop.chat.conversation import Conversation, Message
from strop.chat.coverage import Printed, argument_leaves, holds, holds_scalar, missing_of, text_leaves, tool_leaves
from strop.chat.origin import Run
from strop.chat.tool_calls import Written

_TOOLS_MEND = "use a template with tools (chat.template: chatml works)"

DROPPED: Mapping[str, tuple[str, str]] = {
    "dropped_system": (
        "{n} system or developer ⟨message is|messages are⟩ not printed by the template, or not whole",
        "put the text into the first system message, or use a template that prints it (chat.template: chatml works)",
    ),
    "dropped_content": (
        "{n} user or assistant ⟨message is|messages are⟩ not printed by the template, or not whole",
        "use a template that prints it (chat.template: chatml works), or take it out of the data",
    ),
    "dropped_reasoning": (
        "the reasoning of {n} ⟨turn|turns⟩ is not printed by the template, or not whole",
        "chat.drift: split trains each turn with its own reasoning where the template prints the last turn's; "
        "chat.template: chatml prints all of it",
    ),
    "dropped_tool_call": (
        "{n} tool ⟨call is|calls are⟩ not printed by the template, or not whole",
        _TOOLS_MEND,
    ),
    "dropped_tool_result": (
        "{n} tool ⟨result is|results are⟩ not printed by the template, or not whole",
        _TOOLS_MEND,
    ),
    "dropped_tools": (
        "in {n} ⟨conversation|conversations⟩ the tools are not printed by the template, or not whole",
        _TOOLS_MEND,
    ),
    "dropped_documents": (
        "in {n} ⟨conversation|conversations⟩ the documents are not printed by the template, or not whole",
        "use a template with documents, or put them into a message",
    ),
    "dropped_name": (
        "{n} ⟨name of a message is|names of messages are⟩ not printed by the template",
        "write the name into the content, or take it out of the data",
    ),
}
"""Kind of warning -> what it counts (with ``{n}`` and ``⟨one|several⟩``), and what to do."""


class Loss(NamedTuple):
    """Something not printed: a kind of `DROPPED`, the message (None: beside the messages), and which part of it."""

    kind: str
    message: int | None
    what: str

    @property
    def detail(self) -> str:
        return f"the template does not print {self.what}"


def losses(text: str, runs: Sequence[Run], conversation: Conversation, since: int = 0) -> Iterator[Loss]:
    """What the rendered ``text`` is missing. ``since``: only of the messages from this one on; 0: also beside them."""
    printed: dict[tuple[int, str], Printed] = defaultdict(Printed)
    latest = -1
    for run in runs:
        if run.message is not None:
            latest = max(latest, run.message)
            printed[run.message, run.field].add(text[run.start : run.end], run.message < latest)
    mixed = printed.get((-2, "mixed"))

    def of(message: int, field: str) -> Printed:
        found = printed.get((message, field)) or Printed()
        together = [other for other in (printed.get((message, "several")), mixed) if other]
        return sum(together, found) if together else found

    if since == 0:
        for name, leaves in (("tools", tool_leaves), ("documents", text_leaves)):
            yield from _beside(
                name, getattr(conversation, name), of(-1, name), partial(_around, text, runs, -1), leaves
            )
    for index in range(since, len(conversation.messages)):
        message = conversation.messages[index]
        around = partial(_around, text, runs, index)
        yield from _content(index, message, of, around)
        if message.reasoning_content:
            missing = missing_of(message.reasoning_content, of(index, "reasoning_content"), around)
            if missing is not None:
                yield Loss("dropped_reasoning", index, _part("reasoning_content", message.reasoning_content, missing))
        if message.tool_calls:
            yield from _calls(index, message.tool_calls, of(index, "tool_calls"), around)
        if message.name and not of(index, "name").pieces and _says_something(message, conversation):
            yield Loss("dropped_name", index, f"the name {_shown(message.name)} of this {message.role} message")


def _around(text: str, runs: Sequence[Run], message: int) -> str:
    """The template's text about a message's own."""
    own = [number for number, run in enumerate(runs) if run.message == message]
    near = runs[max(own[0] - 1, 0) : own[-1] + 2] if own else ()
    return "\0".join(text[run.start : run.end] for run in near if run.message is None)


def _content(index: int, message: Message, of: Any, around: Callable[[], str]) -> Iterator[Loss]:
    texts = [("content" if part.kind == "text" else part.kind, part.text) for part in message.parts]
    for field, given in texts or [("content", message.content or "")]:
        missing = missing_of(given, of(index, field), around)
        if missing is None:
            continue
        if message.role in ("system", "developer"):
            kind = "dropped_system"
        elif message.role == "tool":
            kind = "dropped_tool_result"
        else:
            thoughts, mark, _ = given.partition("</think>")
            kind = "dropped_reasoning" if mark and missing in thoughts + mark else "dropped_content"
        yield Loss(kind, index, _part(f"{field} of this {message.role} message", given, missing))


def _calls(
    index: int, calls: Sequence[Mapping[str, Any]], printed: Printed, around: Callable[[], str]
) -> Iterator[Loss]:
    """Each call needs its name and its strings once more than the calls before it that have the same ones."""
    whole = printed.without_echoes({call["function"]["name"] for call in calls})
    used: Counter[str] = Counter()
    for number, call in enumerate(calls, start=1):
        function = call["function"]
        which = f"the tool call {_shown(function['name'])}" + (f" (number {number} of this turn)" if number > 1 else "")
        arguments = function.get("arguments")
        written = isinstance(arguments, Written) and arguments.text.strip() in whole
        leaves = [("", function["name"]), *argument_leaves(None if written else arguments)]
        missing = [(path, leaf) for path, leaf in leaves if not _stands(whole, leaf, used, around)]
        if all((path, leaf) in missing for path, leaf in leaves if isinstance(leaf, str)):
            yield Loss("dropped_tool_call", index, which)
        elif missing:
            path, leaf = missing[0]
            yield Loss("dropped_tool_call", index, f"all of {which}: missing is {path or 'the name'} ({_shown(leaf)})")


def _beside(
    name: str, given: Sequence[Mapping[str, Any]], printed: Printed, around: Callable[[], str], leaves: Any
) -> Iterator[Loss]:
    """One loss at most, which names the first thing that is missing."""
    whole = printed.text
    if given and not whole:
        yield Loss(f"dropped_{name}", None, f"the {name}")
        return
    for number, one in enumerate(given, start=1):
        if printed.has_json(one):
            continue
        for path, leaf in leaves(one):
            if not _stands(whole, leaf, Counter(), around):
                missing = f"{path} of number {number} ({_shown(leaf)})"
                yield Loss(f"dropped_{name}", None, f"all of the {name}: missing is {missing}")
                return


def _stands(whole: str, leaf: Any, used: Counter[str], around: Callable[[], str]) -> bool:
    if not isinstance(leaf, str):
        return holds_scalar((whole, around()), leaf)
    used[leaf] += 1
    return holds(whole, leaf, used[leaf])


def _says_something(message: Message, conversation: Conversation) -> bool:
    """Whether a name tells what the text does not: a role's own name does not, nor a called function's."""
    if message.role != "tool":
        return message.name.casefold() != message.role
    called = (call["function"]["name"] for other in conversation.messages for call in other.tool_calls)
    return message.name not in called


def _part(field: str, given: str, missing: str) -> str:
    """``field`` in words, and what of it is missing where that is not all."""
    return f"the {field}" if missing == given.strip() else f"all of the {field}: missing is {_shown(missing)}"


def _shown(text: Any) -> str:
    return repr(text) if not isinstance(text, str) else repr(text if len(text) <= 60 else f"{text[:40]}…{text[-15:]}")
