"""A calculator within the text, for models without a notation of tools: its results are written while they write.

GSM8K's notation (Cobbe et al. 2021, arXiv:2110.14168): after ``<<3*4=`` the result and ``>>`` are put in. nanochat's:
after ``<|python_start|>3*4<|python_end|>`` comes ``<|output_start|>12<|output_end|>``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple

from pydantic import Field, PrivateAttr

from strop.chat import ChatEncoder, Part
from strop.common.errors import InputError
from strop.environments.base import Environment, Observation, Start, Turn, register
from strop.tools.base import CallError
from strop.tools.calculator import calculate


class Notation(NamedTuple):
    """``begin`` expression ``ask``, and then ``before`` result ``end``, which are put in."""

    begin: str
    ask: str
    before: str
    end: str


NOTATIONS = {
    "gsm8k": Notation("<<", "=", "", ">>"),
    "nanochat": Notation("<|python_start|>", "<|python_end|>", "<|output_start|>", "<|output_end|>"),
}


@register("inline")
class Inline(Environment):
    """The answer is one turn. What is no arithmetic gets ``error`` for a result (``malformed``); after ``max_calls``
    the model writes its own (``exhausted``). Counted: ``calls``, and these.

    A turn is stopped where the text ends with the mark that asks, so an ``=`` that shares a token with what follows it
    is the model's own.
    """

    kind: Literal["inline"]
    notation: Literal["gsm8k", "nanochat"] = Field("gsm8k", description="<<3*4=12>>, or nanochat's python parts.")
    max_calls: int = Field(16, ge=1, description="Calls that are executed in a trajectory.")
    max_turns: int = Field(1, ge=1, le=1, description="One: results stand within the answer.")
    timed: ClassVar[bool] = False
    pauses: ClassVar[bool] = True
    _called: int = PrivateAttr(0)
    _over: bool = PrivateAttr(False)

    def check(self, encoder: ChatEncoder) -> None:
        marks = NOTATIONS[self.notation]
        if self.notation == "nanochat" and (missing := [m for m in marks if m not in encoder.controls.values()]):
            raise InputError(
                f"environment.notation: nanochat needs the token {missing[0]}, which this tokenizer lacks; set "
                "chat.template: nanochat, or environment.notation: gsm8k."
            )

    def reset(self, start: Start):
        self._called, self._over = 0, False
        return super().reset(start)

    def pause(self, text: str) -> bool:
        asked = self._asked(text) is not None
        self._over |= asked and self._called >= self.max_calls
        return asked and not self._over

    def parts(self, written: Sequence[tuple[str, bool]]) -> list[Part]:
        """nanochat's template writes the marks itself, and whatever stands between those of a result is a result."""
        if self.notation != "nanochat":
            return super().parts(written)
        begin, ask, before, end = map(re.escape, NOTATIONS[self.notation])
        found, at, text = [], 0, "".join(piece for piece, _ in written)
        for match in re.finditer(f"{begin}(?P<python>.*?){ask}|{before}(?P<python_output>.*?){end}", text, re.DOTALL):
            kind = "python_output" if match["python"] is None else "python"
            found += [Part("text", text[at : match.start()]), Part(kind, match[kind])]
            at = match.end()
        return [part for part in [*found, Part("text", text[at:])] if part.text]

    def may_pause(self, piece: str) -> bool:
        return piece[-1:] == NOTATIONS[self.notation].ask[-1]

    def _asked(self, text: str) -> str | None:
        """The expression that the text ends with; None where it does not ask."""
        marks = NOTATIONS[self.notation]
        _, begun, expression = text.rpartition(marks.begin)
        if not begun or not expression.endswith(marks.ask):
            return None
        expression = expression.removesuffix(marks.ask)
        return None if marks.end in expression or marks.ask in expression or not expression.strip() else expression

    def step(self, turn: Turn) -> Observation:
        if not turn.paused:
            return Observation(done=True, counts={"exhausted": 1} if self._over else {})
        self._called += 1
        marks, counts = NOTATIONS[self.notation], {"calls": 1}
        try:
            result = calculate(self._asked(turn.text) or "")
        except CallError:
            result = "error"
            counts["malformed"] = 1
        return Observation(insert=(marks.before, result, marks.end), counts=counts)
