"""Rewards for the form of an answer: what it looks like, whatever it says. Works without torch."""

from __future__ import annotations

import re
import unicodedata
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from strop.rewards.code import Score
from strop.rewards.extract import extract_program
from strop.rewards.reward import Reward, Sample, checked_pattern
from strop.rewards.syntax import syntax_error

_THOUGHT = re.compile(r"\s*<think>(?P<thought>.*?)</think>(?P<answer>.*)", re.DOTALL)
_FENCED = re.compile(r"^(```|~~~).*?(?:^\1|\Z)", re.DOTALL | re.MULTILINE)
_SCRIPTS = {
    "en": ("LATIN", "FULLWIDTH LATIN"),
    "zh": ("CJK", "IDEOGRAPHIC"),
    "ja": ("CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "HALFWIDTH KATAKANA"),
    "ko": ("HANGUL", "HALFWIDTH HANGUL"),
    "ru": ("CYRILLIC",),
    "ar": ("ARABIC",),
    "th": ("THAI",),
    "hi": ("DEVANAGARI",),
}
"""By language: how Unicode's names of its letters begin."""


class RegexReward(Reward):
    """1 where the pattern is found in the answer, or is the whole of it, else 0: the form of an answer."""

    kind: Literal["regex"]
    pattern: str = Field(description="A Python regular expression; a dot is any character, also the end of a line.")
    whole: bool = Field(False, description="Whether the pattern must match the whole answer.")
    timed: ClassVar[bool] = True

    @field_validator("pattern")
    @classmethod
    def _is_a_pattern(cls, pattern: str) -> str:
        return checked_pattern(pattern)

    def one(self, sample: Sample) -> Score:
        search = re.fullmatch if self.whole else re.search
        found = search(self.pattern, sample.answer.strip() if self.whole else sample.answer, re.DOTALL)
        return Score(float(found is not None), reason="" if found else "does not match")


class StopReward(Reward):
    """1 where the answer ended by itself, 0 where it was cut off."""

    kind: Literal["stop"]

    def one(self, sample: Sample) -> Score:
        ended = sample.finish_reason == "stop"
        return Score(float(ended), reason="" if ended else "was cut off")


class ThinkReward(Reward):
    """1 where the answer is ``<think>…</think>`` once, with text inside and after it, else 0. Where the prompt ends
    with ``<think>``, the answer begins inside."""

    kind: Literal["think"]

    def one(self, sample: Sample) -> Score:
        match = _THOUGHT.fullmatch(sample.whole)
        marks = sample.whole.count("<think>") + sample.whole.count("</think>")
        if match is None or marks != 2:
            return Score(0.0, reason="is not one <think>…</think> and then an answer")
        empty = next((name for name in ("thought", "answer") if not match[name].strip()), None)
        return Score(float(empty is None), reason=f"the {empty} is empty" if empty else "")


class LengthReward(Reward):
    """0 up to ``most - slack`` tokens, falling to -1 at ``most`` and from there on: soft overlong punishment (Yu et al.
    2025, DAPO, arXiv:2503.14476, equation 13)."""

    kind: Literal["length"]
    most: int = Field(ge=1, description="Tokens from which on the score is -1.")
    slack: int = Field(ge=1, description="Tokens over which it falls from 0.")

    def one(self, sample: Sample) -> Score:
        over = sample.tokens - (self.most - self.slack)
        return Score(-min(1.0, max(0.0, over / self.slack)), reason=f"{sample.tokens} tokens" if over > 0 else "")


class RepetitionReward(Reward):
    """Minus the share of n-grams of words that stood in the answer before: 0 where nothing is repeated (Yeo et al.
    2025, Demystifying Long Chain-of-Thought Reasoning, arXiv:2502.03373, count them alike)."""

    kind: Literal["repetition"]
    n: int = Field(4, ge=1, description="Words in an n-gram.")

    def one(self, sample: Sample) -> Score:
        words = sample.answer.split()
        grams = list(zip(*(words[i:] for i in range(self.n)), strict=False))
        repeated = 1 - len(set(grams)) / len(grams) if grams else 0.0
        return Score(-repeated, reason=f"{repeated:.0%} of {self.n}-grams are repeated" if repeated else "")


class CompilesReward(Reward):
    """1 where the answer holds a program of Python that compiles, else 0; nothing is run."""

    kind: Literal["compiles"]
    timed: ClassVar[bool] = True

    def one(self, sample: Sample) -> Score:
        program = extract_program(sample.whole)
        if program is None:
            return Score(0.0, reason="no program")
        error = syntax_error(program)
        return Score(float(error is None), reason=error or "")


class LanguageReward(Reward):
    """The share of the answer's letters that are of the language's script, reasoning included: code in fences and
    digits are in every language. 0 without a letter."""

    kind: Literal["language"]
    language: Literal["en", "zh", "ja", "ko", "ru", "ar", "th", "hi"] = Field(description="What is to be written in.")

    def one(self, sample: Sample) -> Score:
        letters = [letter for letter in _FENCED.sub("", sample.answer) if letter.isalpha()]
        if not letters:
            return Score(0.0, reason="no letters")
        own = sum(unicodedata.name(letter, "").startswith(_SCRIPTS[self.language]) for letter in letters)
        share = own / len(letters)
        return Score(share, reason="" if own == len(letters) else f"{share:.0%} of its letters are {self.language}")
