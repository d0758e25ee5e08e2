"""What of a conversation a template did not print: every message, field and side input of which something is missing.

Templates leave out what they have no place for, mostly without a word: a second system turn, tools, earlier thoughts,
all calls of a turn but the first. Origins say what was printed of each field. What is only written differently (JSON,
another case, other white space) is printed. Ids are not looked at, nor is the name of a tool's result where a call has
given it.
"""

import html
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from strop.chat.conversation import Conversation, Message
from strop.chat.mask import common_length
from strop.chat.numbers import dumps
from strop.chat.origin import Run
from strop.chat.tool_calls import Written

_TOOLS_MEND = "use a template with tools (chat.template: chatml works)"
_PARTLY = "not printed by the template, or not whole"
DROPPED: Mapping[str, tuple[str, str]] = {
    "dropped_system": (
        f"{{n}} system or developer ⟨message is|messages are⟩ {_PARTLY}",
        "put the text into the first system message, or use a template that prints it (chat.template: chatml works)",
    ),
    "dropped_content": (
        f"{{n}} user or assistant ⟨message is|messages are⟩ {_PARTLY}",
        "use a template that prints it (chat.template: chatml works), or take it out of the data",
    ),
    "dropped_reasoning": (
        f"the reasoning of {{n}} ⟨turn|turns⟩ is {_PARTLY}",
        "chat.drift: split trains each turn with its own reasoning where the template prints the last turn's; "
        "chat.template: chatml prints all of it",
    ),
    "dropped_tool_call": (f"{{n}} tool ⟨call is|calls are⟩ {_PARTLY}", _TOOLS_MEND),
    "dropped_tool_result": (f"{{n}} tool ⟨result is|results are⟩ {_PARTLY}", _TOOLS_MEND),
    "dropped_tools": (f"in {{n}} ⟨conversation|conversations⟩ the tools are {_PARTLY}", _TOOLS_MEND),
    "dropped_documents": (
        f"in {{n}} ⟨conversation|conversations⟩ the documents are {_PARTLY}",
        "use a template with documents, or put them into a message",
    ),
    "dropped_name": (
        "{n} ⟨name of a message is|names of messages are⟩ not printed by the template",
        "write the name into the content, or take it out of the data",
    ),
}
"""Kind of warning -> what it counts (with ``{n}`` and ``⟨one|several⟩``), and what to do."""

_MARK = re.compile(r"</?[^<>\s]+>|\[/?[A-Z_]+\]")
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})|\\([nrtbf])")
_INDEX = re.compile(r"\[\d+\]")
_LONG = 6
"""Letters from which on a string is hardly met by chance."""
_SPELLED = frozenset({"type", "required"})
"""Of a tool's schema: templates write types in their own way, and the names of what is required stand there already."""


@dataclass(frozen=True, slots=True)
class Warning:
    """Something to know about a conversation: of a kind of `DROPPED`, or another. ``message`` is the message concerned
    (None: all of it). ``mend``: what to do, where the detail does not say it."""

    kind: str
    message: int | None
    detail: str
    mend: str = ""

    @property
    def words(self) -> str:
        return f"{self.detail}; {self.mend}" if self.mend else self.detail


def _loss(kind: str, message: int | None, what: str) -> Warning:
    return Warning(kind, message, f"the template does not print {what}", DROPPED[kind][1])


def losses(text: str, runs: Sequence[Run], conversation: Conversation, since: int = 0) -> Iterator[Warning]:
    """What the rendered ``text`` is missing. ``since``: only of the messages from this one on; 0: also beside them."""
    printed: dict[tuple[int, str], list[tuple[str, bool]]] = defaultdict(list)  # whether a later one came before
    latest = -1
    for run in runs:
        if run.message is not None:
            # a late system message that a template puts first is before all others, and repeats nothing
            if run.message < 0 or conversation.messages[run.message].role not in ("system", "developer"):
                latest = max(latest, run.message)
            printed[run.message, run.field].append((text[run.start : run.end], run.message < latest))

    def of(message: int, field: str, called: Collection[str] = ()) -> list[str]:
        """The stretches printed of a field; without the names of ``called`` that the headers of results repeat."""
        places = ((message, field), (message, "several"), (-2, "mixed"))
        return [piece for place in places for piece, echo in printed.get(place, ()) if not (echo and piece in called)]

    if since == 0:
        around = partial(_around, text, runs, -1)
        yield from _beside("tools", conversation.tools, of(-1, "tools"), around, tool_leaves)
        yield from _beside("documents", conversation.documents, of(-1, "documents"), around, text_leaves)
    for index in range(since, len(conversation.messages)):
        message = conversation.messages[index]
        around = partial(_around, text, runs, index)
        yield from _content(index, message, of, around)
        if thoughts := message.reasoning_content:
            missing = missing_of(thoughts, of(index, "reasoning_content"), around)
            if missing is not None:
                yield _loss("dropped_reasoning", index, _part("reasoning_content", thoughts, missing))
        names = {call["function"]["name"] for call in message.tool_calls}
        yield from _calls(index, message.tool_calls, "\0".join(of(index, "tool_calls", names)), around)
        if message.name and not of(index, "name") and _says_something(message.name, message, conversation):
            yield _loss("dropped_name", index, f"the name {_shown(message.name)} of this {message.role} message")


def _around(text: str, runs: Sequence[Run], message: int) -> str:
    """The template's text about a message's own."""
    own = [number for number, run in enumerate(runs) if run.message == message]
    near = runs[max(own[0] - 1, 0) : own[-1] + 2] if own else ()
    return "\0".join(text[run.start : run.end] for run in near if run.message is None)


def _content(index: int, message: Message, of: Any, around: Callable[[], str]) -> Iterator[Warning]:
    texts = [("content" if part.kind == "text" else part.kind, part.text) for part in message.parts]
    for field, given in texts or [("content", message.content or "")]:
        missing = missing_of(given, of(index, field), around)
        if missing is None:
            continue
        thoughts, mark, _ = given.partition("</think>")
        if message.role in ("system", "developer"):
            kind = "dropped_system"
        elif message.role == "tool":
            kind = "dropped_tool_result"
        else:
            kind = "dropped_reasoning" if mark and missing in thoughts + mark else "dropped_content"
        yield _loss(kind, index, _part(f"{field} of this {message.role} message", given, missing))


def _calls(index: int, calls: Sequence[Mapping[str, Any]], whole: str, around: Callable[[], str]) -> Iterator[Warning]:
    """Each call needs its name and its strings once more than the calls before it that have the same ones."""
    used: Counter[str] = Counter()
    for number, call in enumerate(calls, start=1):
        function = call["function"]
        which = f"the tool call {_shown(function['name'])}" + (f" (number {number} of this turn)" if number > 1 else "")
        arguments = function.get("arguments")
        written = isinstance(arguments, Written) and arguments.text.strip() in whole
        leaves = [("", function["name"]), *argument_leaves(None if written else arguments)]
        missing = [(path, leaf) for path, leaf in leaves if not _stands(whole, leaf, used, around)]
        if all((path, leaf) in missing for path, leaf in leaves if isinstance(leaf, str)):
            yield _loss("dropped_tool_call", index, which)
        elif missing:
            path, leaf = missing[0]
            yield _loss("dropped_tool_call", index, f"all of {which}: missing is {path or 'the name'} ({_shown(leaf)})")


def _beside(
    name: str, given: Sequence[Mapping[str, Any]], pieces: Sequence[str], around: Callable[[], str], leaves: Any
) -> Iterator[Warning]:
    """One loss at most, which names the first thing that is missing."""
    whole = "\0".join(pieces)
    if given and not whole:
        yield _loss(f"dropped_{name}", None, f"the {name}")
        return
    for number, one in enumerate(given, start=1):
        as_json = dumps(one, ensure_ascii=False)  # as ``tojson`` writes it
        if any(as_json in piece for piece in pieces):
            continue
        for path, leaf in leaves(one):
            if not _stands(whole, leaf, Counter(), around):
                missing = f"{path} of number {number} ({_shown(leaf)})"
                yield _loss(f"dropped_{name}", None, f"all of the {name}: missing is {missing}")
                return


def _says_something(name: str, message: Message, conversation: Conversation) -> bool:
    """Whether a message's name tells what the text does not: a role's own name does not, nor a called function's."""
    if message.role != "tool":
        return name.casefold() != message.role
    called = (call["function"]["name"] for other in conversation.messages for call in other.tool_calls)
    return name not in called


def _part(field: str, given: str, missing: str) -> str:
    """``field`` in words, and what of it is missing where that is not all."""
    return f"the {field}" if missing == given.strip() else f"all of the {field}: missing is {_shown(missing)}"


def _shown(text: Any) -> str:
    return repr(text) if not isinstance(text, str) else repr(text if len(text) <= 60 else f"{text[:40]}…{text[-15:]}")


# -- whether a given text stands in what was printed of it, perhaps written in another way


def missing_of(given: str, pieces: Sequence[str], around: Callable[[], str]) -> str | None:
    """What of ``given`` is not printed, without white space at its ends; None where all of it is.

    Args:
        around: gives the template's text beside it. A mark such as ``<think>`` that the template cuts out of a content
            and writes itself is printed.
    """
    if len(pieces) == 1 and pieces[0] == given:
        return None
    bare = given.strip()
    if not bare or any(bare in piece for piece in pieces):
        return None
    if not pieces:
        return bare
    whole = "\0".join(pieces)
    if any(form in whole for form in _forms(bare)):
        return None
    covered = _cover(bare, pieces)
    if covered is None:
        if _written_otherwise(bare, whole):
            return None
        start = common_length(bare, whole)  # the middle of it remains, without what both begin and end with
        end = common_length(bare[start:][::-1], whole[start:][::-1])
        return bare[start : len(bare) - end].strip() or bare
    template, at = around(), 0
    for start, end in (*covered, (len(bare), len(bare))):
        gap = bare[at:start]
        if _MARK.sub(lambda mark: "" if mark[0] in template else mark[0], gap).strip():
            return gap.strip()
        at = max(at, end)
    return None


def _cover(bare: str, pieces: Iterable[str]) -> list[tuple[int, int]] | None:
    """Where the pieces stand in ``bare``; None where one does not, so that nothing can be told of the rest."""
    covered, at = [], 0
    for piece in filter(None, map(str.strip, pieces)):
        start = bare.find(piece, at)
        start = bare.find(piece) if start < 0 else start
        if start < 0:
            return None
        covered.append((start, start + len(piece)))
        at = max(at, start + len(piece))
    return sorted(covered)


def _stands(whole: str, leaf: Any, used: Counter[str], around: Callable[[], str]) -> bool:
    """Whether a leaf of a call, tool or document is printed, a string once more than ``used`` says, as it is or
    written otherwise."""
    if not isinstance(leaf, str):  # its characters have no origin where a template prints them bare
        forms = {json.dumps(leaf), str(leaf), str(leaf).lower()}
        return any(_count(text, form) for text in (whole, around()) for form in forms)
    used[leaf] += 1
    times, leaf = used[leaf], leaf.strip()
    if not leaf or any(_count(whole, form) >= times for form in dict.fromkeys(_forms(leaf))):
        return True
    if times > 1:
        return False
    return _count(whole.casefold(), leaf.casefold()) > 0 or (
        len(_squash(leaf)) >= _LONG and _written_otherwise(leaf, whole)
    )


def argument_leaves(arguments: Any) -> Iterator[tuple[str, Any]]:
    """``(path, value)``: the names of a call's arguments, and every value that is no list or object, at any depth."""
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            yield "text", arguments
            return
    if arguments is not None:
        yield from _leaves(arguments, "", lambda path: True)


def text_leaves(value: Any) -> Iterator[tuple[str, Any]]:
    """``(path, string)`` of every string, at any depth; keys do not count."""
    return ((path, leaf) for path, leaf in _leaves(value, "", lambda path: False) if isinstance(leaf, str))


def tool_leaves(tool: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The same of a tool's schema: its strings and numbers, but for types, and the names of the parameters."""
    for path, leaf in _leaves(tool, "", lambda path: path.rpartition(".")[2] == "properties"):
        *outer, key = _INDEX.sub("", path).split(".")
        spelled = key in _SPELLED and outer[-1:] != ["properties"]
        if not (spelled or key.startswith("$") or leaf is None or isinstance(leaf, bool)):
            yield path, leaf


def _leaves(value: Any, path: str, counts: Callable[[str], bool]) -> Iterator[tuple[str, Any]]:
    """``counts``: whether the keys of the mapping at a path are leaves too."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            inner = f"{path}.{key}" if path else key
            if counts(path):
                yield inner, key
            yield from _leaves(item, inner, counts)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}[{index}]", counts)
    else:
        yield path, value


def _forms(leaf: str) -> Iterator[str]:
    yield leaf
    if leaf.isascii() and leaf.isalnum():
        return
    for ascii_only in (False, True):
        once = json.dumps(leaf, ensure_ascii=ascii_only)[1:-1]
        yield once
        yield json.dumps(once, ensure_ascii=ascii_only)[1:-1]
    yield repr(leaf)[1:-1]


def _count(whole: str, form: str) -> int:
    """How often a string stands there that is not part of a longer word."""
    if form not in whole:
        return 0
    before, after = (r"\b" if edge.isalnum() and edge.isascii() else "" for edge in (form[0], form[-1]))
    return len(re.findall(before + re.escape(form) + after, whole))


def _written_otherwise(bare: str, whole: str) -> bool:
    """As JSON, as a list prints it, as HTML, in another case or with other white space and punctuation."""
    if any(form in whole for form in _forms(bare)):
        return True
    squashed = _squash(bare)
    unescaped = _ESCAPED.sub(lambda match: chr(int(match[1], 16)) if match[1] else " ", whole)
    return any(squashed in _squash(reading) for reading in (whole, unescaped, html.unescape(whole)))


def _squash(text: str) -> str:
    """Letters and digits in one case; all that is not white space where there are none."""
    return "".join(filter(str.isalnum, text)).casefold() or "".join(text.split())
