"""How a template writes an assistant's turn, learnt from the template: the literals between a message's fields.

Probe messages whose field values are unique words are rendered: the question ends where its origin does, the fields
stand where their words do, and what is between them is the family's notation. Nothing here knows a template's name.
What cannot be written as literals and fields is not guessed at: see `UnparsableTemplate`.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from strop.chat.arguments import NOTATIONS, SPELLINGS, Arguments, Items, JsonText, found_json, tried, unspelled
from strop.chat.codec import Codec, render
from strop.chat.conversation import Message
from strop.chat.field import Field
from strop.chat.mask import common_length, turn_span
from strop.chat.rendering import TemplateInputs
from strop.chat.template import TemplateFailure
from strop.common.errors import InputError

PROBE = Message("user", "zqask")
_CONTENT, _REASONING, _NAMES, _IDS = "zqsaid", "zqthought", ("zqfirst", "zqsecond"), ("zqcall001", "zqcall002")
_KEYS, _TEXTS, _NUMBERS = ("zqkeya", "zqkeyb"), ("zqvala", "zqvalb"), (75319, 86420)
_HARD = 'it\'s "q",\nb\\n é <x>'
_VALUES: tuple[Any, ...] = (True, None, 2.5, {"zqn": [1, 2.5, "zqs, 'it'", {"zqm": {}}]}, [])
_MARK = re.compile(r"<[^<>\s]+>|\[/?[A-Z_]+\]")


class UnparsableTemplate(ValueError):
    """The template's notation of tool calls is not made of literals and fields, so it cannot be read back."""


@dataclass(frozen=True)
class FieldLayout:
    """One way in which a template writes a turn: ``literals[0] fields[0] literals[1] … fields[-1] literals[-1]``.

    ``fields`` are of ``reasoning``, ``content`` and ``calls``, in the template's order. ``literals[0]`` begins where
    the message before the turn ends, the last one ends before the stop token. ``\\0`` stands for the last call's name.
    """

    fields: tuple[str, ...]
    literals: tuple[str, ...]
    learnt_from: int
    """Where in ``literals[0]`` begins what training has the model learn."""

    def openings(self, prompt: str) -> list[str]:
        """What of ``literals[0]`` an answer has to write itself after ``prompt``, the likelier first."""
        first = self.literals[0]
        overlap = next((k for k in range(len(first), 0, -1) if prompt.endswith(first[:k])), 0)
        return list(dict.fromkeys([*([first[overlap:]] if overlap else []), first[self.learnt_from :]]))


@dataclass(frozen=True)
class CallSyntax:
    """A call is ``name middle arguments``, or ``name empty`` without any, and ``between`` stands between two calls
    (None: the template writes one at most). ``\\0`` stands for the name again. ``marks``: what tells of a call."""

    arguments: Arguments
    middle: str
    empty: str | None
    between: str | None
    marks: tuple[str, ...]

    def read(
        self, text: str, at: int, end: str, strings: Collection[tuple[str, str]]
    ) -> tuple[list[dict[str, Any]], int] | None:
        """The calls at ``at`` that ``end`` follows, and where that begins. ``strings``: the parameters (of a function)
        that its schema says are strings."""
        calls = []
        while True:
            found = self._one(text, at, end, strings)
            if found is None:
                return None
            name, arguments, at = found
            if tried(Field("answer").check_json, arguments) is None:  # NaN, half a character, a set
                return None
            calls.append({"type": "function", "function": {"name": name, "arguments": arguments}})
            between = None if self.between is None else self.between.replace("\0", name)
            if between is not None and text.startswith(between, at):
                at += len(between)
            else:
                return (calls, at) if text.startswith(end.replace("\0", name), at) else None

    def _one(self, text: str, at: int, end: str, strings: Any) -> tuple[str, dict, int] | None:
        for literal in [self.middle] + ([] if self.empty is None else [self.empty]):
            border = re.escape(literal.partition("\0")[0]) or r"(?![\w.:/-])"
            match = re.compile(rf"([\w.:/-]+?){border}").match(text, at)
            if match is None:
                continue
            name, start = match[1], at + len(match[1])
            literal = literal.replace("\0", name)
            if not text.startswith(literal, start):
                continue
            start += len(literal)
            ends = [one.replace("\0", name) for one in (end, self.between) if one is not None]
            if literal == (self.empty or "").replace("\0", name) and any(text.startswith(e, start) for e in ends):
                return name, {}, start
            read = self.arguments.read(text, start, ends, {key for of, key in strings if of == name}.__contains__)
            if read is not None:
                return name, *read
        return None


@dataclass(frozen=True)
class Syntax:
    """``layouts``: those with calls, and of more fields, first. ``calls`` is None where the template prints none, or
    none that can be read: then ``why`` says why."""

    layouts: tuple[FieldLayout, ...]
    calls: CallSyntax | None
    why: str


def syntax_of(codec: Codec, inputs: TemplateInputs) -> Syntax:
    """What the template is found to write; learnt once for prompts with tools, once for those without."""
    own = repr(sorted(inputs.own.items()))
    key = codec.renderer.source(inputs.tools), bool(inputs.tools), bool(inputs.documents), own
    if key not in codec.syntaxes:
        codec.syntaxes[key] = _Learner(codec, inputs).syntax()
    return codec.syntaxes[key]


class _Learner:
    def __init__(self, codec: Codec, inputs: TemplateInputs):
        self.codec, self.inputs = codec, inputs

    def syntax(self) -> Syntax:
        calls, why = None, ""
        try:
            calls = self._calls()
        except UnparsableTemplate as error:
            why = str(error)
        kinds = [(r, c, k) for r, c, k in product((True, False), repeat=3) if c or k]
        layouts = [self._layout(r, c, calls if k else None) for r, c, k in kinds if calls or not k]
        found = dict.fromkeys(filter(None, layouts))
        return Syntax(tuple(sorted(found, key=lambda one: ("calls" not in one.fields, -len(one.fields)))), calls, why)

    def _turn(self, reasoning: bool, content: bool, arguments: Sequence[dict]) -> tuple[str, int] | None:
        """The turn's text from the end of the question to the stop token, and where in it the model begins to write;
        None where the template refuses."""
        calls = [
            {"id": i, "type": "function", "function": {"name": name, "arguments": given}}
            for i, name, given in zip(_IDS, _NAMES, arguments, strict=False)
        ]
        answer = Message("assistant", _CONTENT if content else None, _REASONING if reasoning else None, tuple(calls))
        try:
            rendered = render(self.codec, self.inputs.conversation((PROBE, answer), "probe"))
            tokens = rendered.tokens
        except (TemplateFailure, InputError):
            return None
        span = turn_span(self.codec, rendered, 1, 1.0)
        asked = max((run.end for run in rendered.runs if run.message == 0), default=-1)
        if span.first >= span.last or asked < 0:
            return None
        end = tokens.starts[span.last - 1] if span.ending == "stop" else len(rendered.text)
        return rendered.text[asked:end], span.start - asked

    def _layout(self, reasoning: bool, content: bool, calls: CallSyntax | None) -> FieldLayout | None:
        """None where the template refuses the combination, or leaves one of its fields out."""
        turn = self._turn(reasoning, content, [{_KEYS[0]: _TEXTS[0]}] if calls else [])
        if turn is None:
            return None
        text, learnt_from = turn
        words = (("reasoning", _REASONING, reasoning), ("content", _CONTENT, content), ("calls", _NAMES[0], calls))
        fields = sorted((text.find(word), field, len(word)) for field, word, there in words if there)
        literals, at = [], 0
        for start, field, length in fields:
            if start < at:  # not printed
                return None
            literals.append(text[at:start])
            at = start + length
            if field == "calls" and calls is not None and (at := self._arguments_end(calls, text, at)) < 0:
                return None
        literals = [literal.replace(_NAMES[0], "\0") for literal in (*literals, text[at:])]
        return FieldLayout(tuple(field for _, field, _ in fields), tuple(literals), min(learnt_from, len(literals[0])))

    @staticmethod
    def _arguments_end(calls: CallSyntax, text: str, at: int) -> int:
        """Where the probe's arguments end after its name; -1 where they are written otherwise than by `calls`."""
        middle = calls.middle.replace("\0", _NAMES[0])
        if not text.startswith(middle, at):
            return -1
        at += len(middle)
        if isinstance(calls.arguments, JsonText):
            read = calls.arguments.read(text, at, (), lambda key: False)
            return read[1] if read else -1
        tail = _TEXTS[0] + calls.arguments.closing + calls.arguments.close
        start = text.find(tail, at)
        return start + len(tail) if start >= 0 else -1

    # -- calls

    def _called(self, *arguments: dict) -> str | None:
        """The text of a turn of calls from the first one's name on, with ``\\0`` for that name; None: not printed."""
        for content in (False, True):
            text = (self._turn(False, content, arguments) or ("", 0))[0]
            if any(word in text for word in _IDS):
                raise UnparsableTemplate("the template prints the ids of calls")
            at = text.find(_NAMES[0])
            if at >= 0:
                return text[at + len(_NAMES[0]) :].replace(_NAMES[0], "\0")
        return None

    def _calls(self) -> CallSyntax | None:
        """None where the template prints no calls. Raises `UnparsableTemplate`."""
        one, two = {_KEYS[0]: _TEXTS[0]}, {_KEYS[1]: _TEXTS[1]}
        text, pair = self._called(one), self._called(one, two)
        if text is None:
            return None
        notation: Arguments
        if (found := found_json(text, 0, one)) is not None:
            start, end, notation = found
            middle, empty = text[:start], None
        else:
            end, middle, empty, notation = self._items(text)
        begins_alike = pair is not None and pair[:end] == text[:end] and _NAMES[1] in pair
        between = pair[end : pair.index(_NAMES[1])] if pair is not None and begins_alike else None
        return CallSyntax(notation, middle, empty, between, self._marks(middle))

    def _items(self, text: str) -> tuple[int, str, str | None, Items]:
        texts = self._called(dict(zip(_KEYS, _TEXTS, strict=True)))
        numbers = self._called(dict(zip(_KEYS, _NUMBERS, strict=True)))
        as_texts, as_numbers = _split(texts, _TEXTS), _split(numbers, _NUMBERS)
        if not as_texts or not as_numbers or as_texts[0] != as_numbers[0]:
            raise UnparsableTemplate("the arguments of calls are neither JSON nor written one after another")
        start, middle_text, separator_text, end_text = as_texts
        _, middle, separator, tail = as_numbers
        opening = middle_text.removeprefix(middle)
        closing = separator_text.removesuffix(separator)
        if middle + opening != middle_text or closing + separator != separator_text or end_text != closing + tail:
            raise UnparsableTemplate("strings among the arguments of calls are not told by marks around them")
        bare = self._called({})
        close, empty = "", None
        if bare is not None:
            shared = common_length(tail[::-1], bare[::-1])
            close, empty = tail[: len(tail) - shared], bare[: len(bare) - shared]
        spelled = self._spelled(middle_text, separator_text, opening)
        notations = self._notations(middle, separator, opening, closing)
        notation = Items(middle, separator, close, opening, closing, spelled, notations)
        end = text.find(_TEXTS[0] + closing + close) + len(_TEXTS[0] + closing + close)
        return end, start, empty, notation

    def _printed(self, value: Any, middle: str, separator: str) -> str | None:
        """How a value of the first of two arguments is written."""
        text = self._called({_KEYS[0]: value, _KEYS[1]: 0})
        _, found, rest = (text or "").partition(f"{_KEYS[0]}{middle}")
        inside, found_too, _ = rest.rpartition(f"{separator}{_KEYS[1]}")
        return inside if found and found_too else None

    def _spelled(self, middle: str, separator: str, quote: str) -> str:
        inside = self._printed(_HARD, middle, separator) or ""
        found = next((name for name in SPELLINGS if unspelled(inside, name, quote) == (_HARD,)), None)
        if found is None:
            raise UnparsableTemplate(f"the template writes the string {_HARD!r} as {inside!r}, which hides what it was")
        return found

    def _notations(self, middle: str, separator: str, opening: str, closing: str) -> tuple[str, ...]:
        """The notations that give some value back, as it was."""
        printed = [(value, self._printed(value, middle, separator)) for value in _VALUES]
        return tuple(
            name
            for name, read in NOTATIONS.items()
            if any(text is not None and tried(read, text, opening, closing) == (value,) for value, text in printed)
        )

    def _marks(self, middle: str) -> tuple[str, ...]:
        """What tells of a call, and stands in no turn without one: the template's marks, or else what opens it."""
        plain = self._turn(True, True, []) or self._turn(False, True, []) or ("", 0)
        turn = next(filter(None, (self._turn(False, content, [{_KEYS[0]: _TEXTS[0]}]) for content in (True, False))))
        opening = turn[0][turn[1] :].partition(_NAMES[0])[0].rpartition(_CONTENT)[2]
        marks = dict.fromkeys(mark for mark in _MARK.findall(opening + middle) if mark not in plain[0])
        return tuple(marks) or tuple(filter(None, [opening.strip()]))


def _split(text: str | None, values: Sequence[Any]) -> tuple[str, str, str, str] | None:
    """What stands before, within, between and after two items."""
    words = [word for pair in zip(_KEYS, map(str, values), strict=True) for word in pair]
    match = re.fullmatch("(.*?)" + "(.*?)".join(map(re.escape, words)) + "(.*)", text or "", re.DOTALL)
    return (match[1], match[2], match[3], match[5]) if match and match[2] == match[4] else None
