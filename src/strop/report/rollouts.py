"""The kept rollouts of a run as data of its page: as many as fit, and what was left out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from markupsafe import Markup
from pydantic import BaseModel, Field

from strop.report.files import Number, read_rows
from strop.web import script_data

MOST_BYTES = 12 * 2**20


class KeptTurn(BaseModel):
    """A turn of an answer."""

    role: str
    text: str = ""
    name: str = ""
    tokens: int | None = None
    calls: list[dict[str, Any]] = Field(default_factory=list)
    malformed: str = ""


class KeptAnswer(BaseModel):
    """One answer of a group; ``tokens``: (text, advantage) of what was sampled, None for what an environment put in;
    ``right``: None where nothing tells. ``turns``, where an environment took part: of the model's each says how many of
    the ``tokens`` it has and what it calls, of others their text."""

    answer: str
    reward: Number = None
    parts: dict[str, Number] = Field(default_factory=dict)
    reasons: dict[str, str] = Field(default_factory=dict)
    failures: dict[str, str] = Field(default_factory=dict)
    finish_reason: str = "stop"
    right: bool | None = None
    tokens: list[tuple[str, Number]] = Field(default_factory=list)
    turns: list[KeptTurn] = Field(default_factory=list)


class KeptPrompt(BaseModel):
    """A line of ``rollouts/step-NNNNNN.jsonl``: a prompt and the answers to it."""

    name: str
    messages: list[dict[str, Any]]
    truth: Any = None
    answers: list[KeptAnswer]


@dataclass
class Embedded:
    """``data``: JSON for the page's script; ``prompts`` of ``all_prompts`` fit; ``failed``: a reason by (stage, part of
    the reward); ``partial``: the files of which prompts are missing."""

    batches: list[dict[str, Any]] = field(default_factory=list)
    entries: list[Markup] = field(default_factory=list)
    all_prompts: int = 0
    partial: list[str] = field(default_factory=list)
    failed: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def left_out(self) -> int:
        return self.all_prompts - len(self.entries)

    @property
    def data(self) -> Markup:
        return Markup(",\n").join(self.entries)


def embed(folder: Path, stages: Sequence[str], most_bytes: int = MOST_BYTES) -> Embedded:
    """The kept rollouts of ``stages``, at most ``most_bytes`` of them.

    What is left of the room is shared evenly among the files that are left, so that late steps are as well shown as
    early ones; of a file the first prompts are taken.

    Raises:
        InputError: a file is not what its name promises.
    """
    files = [(stage, path) for stage in stages for path in sorted((folder / stage / "rollouts").glob("step-*.jsonl"))]
    found, room = Embedded(), most_bytes
    for number, (stage, path) in enumerate(files):
        prompts = read_rows(path, KeptPrompt)
        share, taken = room // (len(files) - number), 0
        for prompt in prompts:
            for answer in prompt.answers:
                for part, why in answer.failures.items():
                    found.failed.setdefault((stage, part), why)
        for prompt in prompts:
            data = script_data(_entry(len(found.batches), prompt))
            size = len(data.encode())
            if size > share:
                found.partial.append(str(path.relative_to(folder)))
                break
            share, room, taken = share - size, room - size, taken + 1
            found.entries.append(data)
        found.all_prompts += len(prompts)
        found.batches.append({"stage": stage, "step": int(path.stem.removeprefix("step-")), "shown": taken})
    return found


def _entry(batch: int, prompt: KeptPrompt) -> dict[str, Any]:
    """What the script reads of a prompt: answers from the best reward to the worst, then those without one."""
    ordered = sorted(prompt.answers, key=lambda one: (one.reward is None, -(one.reward or 0.0)))
    return {
        "in": batch,
        "name": prompt.name,
        "messages": [_message(one) for one in prompt.messages],
        **({} if prompt.truth is None else {"truth": _text(prompt.truth)}),
        "answers": [_answer(one) for one in ordered],
    }


def _answer(one: KeptAnswer) -> dict[str, Any]:
    made = {
        "reward": one.reward,
        "right": one.right,
        "cut": one.finish_reason != "stop",
        "parts": one.parts,
        "reasons": one.reasons,
        "failures": one.failures,
        "tokens": sum(advantage is not None for _, advantage in one.tokens),
        **(_turns(one) if one.turns else {"runs": runs(one)}),
    }
    return {name: value for name, value in made.items() if value not in (None, {}, False) or name == "reward"} | (
        {"right": one.right} if one.right is not None else {}
    )


def _turns(one: KeptAnswer) -> dict[str, Any]:
    """``turns``: [role, text, calls, malformed, stretches]; ``runs``: the stretches of all turns of the model, of which
    each has so many."""
    told, found, at = [], [], 0
    for turn in one.turns:
        own = runs(KeptAnswer(answer="", tokens=one.tokens[at : at + turn.tokens])) if turn.tokens else []
        at += turn.tokens or 0
        found += own
        role = f"{turn.role} {turn.name}".strip()
        told.append([role, turn.text, [_text(call) for call in turn.calls], turn.malformed, len(own)])
    return {"turns": told, "runs": found}


def runs(one: KeptAnswer) -> list[list[Any]]:
    """``[text, advantage, tokens]`` of each stretch of tokens with one advantage.

    A character that several tokens share cannot be told from each; where one advantage holds for the whole answer its
    own text is shown instead, with the last token, where that is what ended it.
    """
    merged: list[list[Any]] = []
    for advantage, part in groupby(one.tokens, key=lambda token: None if token[1] is None else round(token[1], 4)):
        texts = [text for text, _ in part]
        merged.append(["".join(texts), advantage, len(texts)])
    if len(merged) == 1 and not merged[0][0].startswith(one.answer):
        end = one.tokens[-1][0] if one.finish_reason == "stop" and not one.answer.endswith(one.tokens[-1][0]) else ""
        merged[0][0] = one.answer + end
    return merged


def _message(message: dict[str, Any]) -> list[str]:
    """(role, text); whatever else a message has stands behind its text as JSON."""
    rest = {key: value for key, value in message.items() if key not in ("role", "content") and value is not None}
    texts = [_text(message.get("content") or "")] + ([_text(rest)] if rest else [])
    return [str(message.get("role", "")), "\n".join(text for text in texts if text)]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
