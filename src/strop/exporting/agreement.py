"""Whether an exported model answers as strop's own engine does: greedy answers in float32, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from strop.chat import ChatEncoder, ChatSettings, fit_tokenizer
from strop.chat.saved import chat_of
from strop.common.console import working
from strop.model.generation import read_generation_config
from strop.model.load import load_folder
from strop.model.names import stop_token_ids
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.model.tokenizer import tokenizer_in
from strop.rollout.engine import SamplingParams
from strop.rollout.torch_engine import TorchEngine

PROMPTS = (
    "Hello, who are you?",
    "What is 12 + 30?",
    "Write a Python function that returns the larger of two numbers.",
    "Name three colours, one on each line.",
)
TOKENS = 32
"""Of each answer."""
TIE = 1e-3
"""Two logits that are nearer than this are one to float32: where the answers part there, nothing is wrong."""


@dataclass(frozen=True)
class Agreement:
    """``same`` of ``prompts`` answers are the same, and ``ties`` part where two tokens are as good as equal;
    ``difference``: the first that is neither, in words."""

    prompts: int
    same: int
    ties: int
    difference: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return {"prompts": self.prompts, "same": self.same, "ties": self.ties, "difference": self.difference}


class Program(Protocol):
    """What loads the export and answers: ``name``; ``tie``, how near two logits are that it may take for equal."""

    name: str
    tie: float

    def prompt(self, text: str) -> list[int]:
        """The ids of a user's message, as whoever serves the export makes them."""
        ...

    def greedy(self, prompt: Sequence[int], count: int) -> list[int]:
        """At most ``count`` tokens, the one that ends the answer included."""
        ...

    def gap(self, ids: Sequence[int], ours: int, theirs: int) -> float:
        """How far the two tokens' logits are apart after ``ids``."""
        ...

    def decode(self, ids: Sequence[int]) -> str: ...


@dataclass(frozen=True)
class Reference:
    """What strop's engine makes of the model that is exported: for each question the prompt's ids and the answer's.

    ``stop``: the tokens that end an answer; ``variables``: of the chat template; ``templated``: whether there is one.
    """

    asked: tuple[tuple[str, list[int], list[int]], ...]
    tokenizer: Any
    stop: frozenset[int]
    variables: dict[str, Any]
    templated: bool


def reference(source: Path, *, rounded: torch.dtype | None = None, matrices_only: bool = False) -> Reference:
    """``rounded``: the format that the weights were rounded to on the way (``matrices_only``: not those of one
    dimension), so that strop's are rounded too.

    Raises InputError where the model is none that strop's engine computes.
    """
    network = load_folder(source, torch.float32)
    if rounded is not None:
        with torch.no_grad():
            for weight in network.parameters():
                if weight.dim() > 1 or not matrices_only:
                    weight.copy_(weight.to(rounded))
    own = tokenizer_in(source)
    chat, _ = chat_of(ChatSettings(), source, own)
    fit_tokenizer(own, chat.template)
    encoder = ChatEncoder(own, chat, stop_token_ids(own, read_generation_config(source)))
    engine = TorchEngine(Policy(network, Compute(torch.device("cpu"), torch.float32)), encoder.stop_ids)
    templated = own.chat_template is not None or chat.template is not None
    asked = []
    with working("check: strop's answers", len(PROMPTS)) as work:
        for text in work.through(PROMPTS):
            message = [{"role": "user", "content": text}]
            prompt = list(encoder.prompt(message)) if templated else list(own(text)["input_ids"])
            [rollout] = engine.generate([prompt], SamplingParams(max_tokens=TOKENS))
            asked.append((text, prompt, list(rollout.tokens)))
    return Reference(tuple(asked), own, encoder.stop_ids, dict(chat.template_kwargs), templated)


def agreement(wanted: Reference, program: Program) -> Agreement:
    """Ask ``program`` the same questions."""
    same = ties = 0
    with working(f"check: {program.name}'s answers", len(wanted.asked)) as work:
        for text, prompt, ours in work.through(wanted.asked):
            given = program.prompt(text)
            if prompt != given:
                at = _parting(prompt, given)
                shown = _shown(wanted, prompt[at : at + 5], program, given[at : at + 5])
                return Agreement(len(wanted.asked), same, ties, f"{text!r}: the prompt differs at token {at}: {shown}")
            theirs = program.greedy(prompt, TOKENS)
            if ours == theirs:
                same += 1
                continue
            at, far = _parting(ours, theirs), ""
            if at < min(len(ours), len(theirs)):
                gap = program.gap([*prompt, *ours[:at]], ours[at], theirs[at])
                if gap < program.tie:
                    ties += 1
                    continue
                far = f" (to {program.name} their logits are {gap:.3g} apart)"
            shown = _shown(wanted, ours[at : at + 5], program, theirs[at : at + 5])
            return Agreement(len(wanted.asked), same, ties, f"{text!r}: the answers part at token {at}: {shown}{far}")
    return Agreement(len(wanted.asked), same, ties)


def _parting(one: Sequence[int], other: Sequence[int]) -> int:
    """Where two lists begin to differ."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _shown(wanted: Reference, ours: Sequence[int], program: Program, theirs: Sequence[int]) -> str:
    own = repr(wanted.tokenizer.decode(ours)) if ours else "ends"
    return f"strop {own}, {program.name} {repr(program.decode(theirs)) if theirs else 'ends'}"
