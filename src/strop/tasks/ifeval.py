"""IFEval: instructions whose following a program can check (Zhou et al. 2023, arXiv:2311.07911).

The checkers are Google's, as the package ``if-verifiable`` keeps them. ``prompt_strict``: every instruction of a prompt
is followed; ``instruction_strict``: the share of all instructions; ``…_loose``: the same where one of eight variants of
the answer follows it (without its first line, its last, its asterisks). Nothing is drawn: languages are guessed with a
fixed seed, and where the checker for letters is asked for another character, which makes it draw a letter in its place
(two of the 541 prompts), that character is counted.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import islice
from typing import Any, NamedTuple

from pydantic import Field

from strop.common.errors import InputError
from strop.rewards import Judgement
from strop.rewards.code import Verdict
from strop.rewards.reasoning import without_reasoning
from strop.tasks.base import AnswerSettings, AnswerTask, Item, TaskSettings, register
from strop.tasks.fields import check_text, check_texts
from strop.tasks.folders import own_rows
from strop.tasks.metrics import NO_ANSWER, TASK, Metric, part
from strop.tasks.prompts import task_rows
from strop.tasks.sentences import need_sentences

HUB = "google/IFEval"
NEED_SENTENCES = ("length_constraints:number_sentences", "change_case:capital_word_frequency")
"""Instructions whose checkers cut text into sentences, with data of NLTK's."""
LETTERS = "keywords:letter_frequency"


class IfevalSettings(AnswerSettings):
    max_tokens: int = Field(1280, ge=1, description="Longest answer, in tokens.")


class Instructions(NamedTuple):
    """What a prompt asks for: names and arguments of its instructions."""

    prompt: str
    names: tuple[str, ...]
    arguments: tuple[Mapping[str, Any], ...]


def _share(name: str, about: str) -> Metric:
    """Of all instructions: each prompt counts as often as it has some."""
    return Metric(name, about, "rate", 1, value=lambda r: r.parts[name], weight="total")


@register("ifeval")
class IFEval(AnswerTask):
    """541 prompts with one to three instructions each."""

    Settings = IfevalSettings
    settings: IfevalSettings
    reads_path = True
    hub = HUB
    source = f"{HUB} (hub), or path: Google's input_data.jsonl (Zhou et al. 2023, arXiv:2311.07911)"
    licence = "Apache-2.0"
    metrics = (
        part("prompt_strict", "prompts all of whose instructions are followed", TASK, lead=1, bound=0.05),
        _share("instruction_strict", "instructions that are followed"),
        part("prompt_loose", "the same of prompts, of the best of eight variants of the answer"),
        _share("instruction_loose", "the same of instructions, of the best of eight variants of the answer"),
        NO_ANSWER,
    )

    def __init__(self, name: str, settings: TaskSettings):
        super().__init__(name, settings)
        if any(importlib.util.find_spec(package) is None for package in ("if_verifiable", "nltk", "langdetect")):
            raise InputError("ifeval's checkers are in if-verifiable, which is not installed; run: pip install "
                             "'strop[ifeval]'")  # fmt: skip

    def items(self) -> list[Item]:
        path = self.settings.path
        said: list[str] = []
        rows = task_rows(None, HUB, split="train") if path is None else own_rows(path, said.append)
        rows = islice(rows, self.settings.count)
        read = [(place, row, _instructions(row, place)) for place, row in rows]
        if any(name in NEED_SENTENCES for _, _, found in read for name in found.names):
            need_sentences(f"evals.{self.name}")
        made = []
        for index, (_, row, found) in enumerate(read):
            name = f"ifeval/{row.get('key', index)}"
            made.append(Item(name, name, [{"role": "user", "content": found.prompt}], found))
        pairs = [pair for item in made for pair in zip(item.data.names, item.data.arguments, strict=True)]
        if counted := sum(is_no_letter(*pair) for pair in pairs):
            said.append(f"{counted:,} of {len(pairs):,} instructions count a character that is no letter; Google's "
                          "checker draws a letter in its place, here that character is counted")  # fmt: skip
        self.notes = said
        return made

    @classmethod
    def tests(cls, item: Item) -> int:
        return len(item.data.names)

    @classmethod
    def grade(cls, item: Item, answer: str) -> Judgement:
        """Accepted where every instruction is followed, strictly. An empty answer follows none."""
        found: Instructions = item.data
        said = without_reasoning(answer)
        answer = said if said == answer else said.strip()  # the empty lines after reasoning are no part of the answer
        checks = follows(found, answer)
        n, strict, loose = len(checks), sum(s for s, _ in checks), sum(either for _, either in checks)
        parts = {
            "prompt_strict": float(strict == n),
            "instruction_strict": strict / n,
            "prompt_loose": float(loose == n),
            "instruction_loose": loose / n,
        }
        missed = ", ".join(name for name, (ok, _) in zip(found.names, checks, strict=True) if not ok)
        verdict: Verdict = "accepted" if strict == n else "wrong_answer" if answer.strip() else "no_answer"
        return Judgement(verdict, strict, n, f"not followed: {missed}" if missed else "", parts=parts)


def follows(instructions: Instructions, answer: str) -> list[tuple[bool, bool]]:
    """Whether each instruction is followed, strictly and loosely (Zhou et al. 2023, section 2.2)."""
    import langdetect

    langdetect.DetectorFactory.seed = 0  # or a language is guessed anew each time
    variants = _variants(answer)
    found = []
    with _without_log():
        for name, arguments in zip(instructions.names, instructions.arguments, strict=True):
            check = _check_of(name, arguments, instructions.prompt)
            each = [bool(text.strip()) and bool(check(text)) for text in variants]
            found.append((each[0], any(each)))
    return found


@contextlib.contextmanager
def _without_log() -> Iterator[None]:
    """The checkers log an error for every text in no language, e.g. of digits alone, which counts as followed."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)


def _check_of(name: str, arguments: Mapping[str, Any], prompt: str) -> Callable[[str], bool]:
    if is_no_letter(name, arguments):
        character, n = arguments["letter"].lower(), arguments["let_frequency"]
        fewer = arguments["let_relation"] == "less than"
        return lambda text: (text.lower().count(character) < n) == fewer
    checker = checkers()[name](name)
    checker.build_description(**arguments)
    if "prompt" in (checker.get_instruction_args() or ()):
        checker.build_description(prompt=prompt)
    return checker.check_following


def is_no_letter(name: str, arguments: Mapping[str, Any]) -> bool:
    """Whether an instruction is to count a character that is no letter, in whose place Google's checker draws one."""
    letter = arguments.get("letter", "")
    return name == LETTERS and isinstance(letter, str) and len(letter) == 1 and not ("a" <= letter.lower() <= "z")


def _variants(answer: str) -> list[str]:
    """The answer; without its first line, its last, both; and each of these without asterisks."""
    lines = answer.split("\n")
    cut = ["\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1])]
    return [text for whole in (answer, *cut) for text in (whole, whole.replace("*", ""))]


@cache
def checkers() -> dict[str, type]:
    """The checkers by the names of their instructions."""
    from if_verifiable.ifeval.instructions_registry import INSTRUCTION_DICT

    return INSTRUCTION_DICT


def _instructions(row: Mapping[str, Any], place: str) -> Instructions:
    prompt = check_text(row.get("prompt"), "prompt", place, empty=False)
    names = check_texts(row.get("instruction_id_list"), "instruction_id_list", place)
    arguments = row.get("kwargs")
    if not names or not isinstance(arguments, list) or len(arguments) != len(names):
        raise InputError(f"{place}: 'kwargs' are not as many as 'instruction_id_list', or there are none; correct it.")
    if not all(one is None or isinstance(one, Mapping) for one in arguments):
        raise InputError(f"{place}: 'kwargs' are not an object (or null) for each instruction; correct them.")
    if unknown := [name for name in names if name not in checkers()]:
        raise InputError(f"{place}: there is no checker for the instruction {unknown[0]!r}; correct it.")
    given = [{key: value for key, value in (one or {}).items() if value is not None} for one in arguments]
    for name, one in zip(names, given, strict=True):
        if drawn := _drawn(name, one, place):
            raise InputError(
                f"{place}: 'kwargs' of {name} leave {drawn} to its checker, which would draw it anew for every answer; "
                "give it as the prompt has it."
            )
        _try(name, one, prompt, place)
    return Instructions(prompt, tuple(names), tuple(given))


def _drawn(name: str, given: Mapping[str, Any], place: str) -> str:
    """The argument that a checker replaces by what it draws, where there is one."""
    checker = checkers()[name](name)
    try:
        checker.build_description(**given)
    except _NOT_TAKEN as error:
        raise _not_taken(name, error, place) from None
    made = checker.get_instruction_args() or {}
    lacking = [key for key in made if key not in given and key != "prompt"]
    other = [key for key, value in made.items() if type(value) in (int, float) and value != given.get(key, value)]
    if "letter" in given and made["letter"] != str(given["letter"]).lower() and not is_no_letter(name, given):
        other.append("letter")
    return ", ".join(map(repr, (*lacking, *other)))


_NOT_TAKEN = (TypeError, ValueError, AttributeError, KeyError, OverflowError, re.error)
_ANSWER = "First, an answer.\n\nThen more of it."


def _try(name: str, given: Mapping[str, Any], prompt: str, place: str) -> None:
    """Raise InputError for arguments that a checker takes and then cannot check with: that would come out when every
    answer has been generated."""
    try:
        with _without_log():
            _check_of(name, given, prompt)(_ANSWER)
    except _NOT_TAKEN as error:
        raise _not_taken(name, error, place) from None
    except LookupError:  # NLTK's tables are not there, which is said where they are needed
        return


def _not_taken(name: str, error: Exception, place: str) -> InputError:
    return InputError(f"{place}: 'kwargs' of {name} are not what it takes: {error}; correct them.")
