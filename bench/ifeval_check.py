"""IFEval's graders against lm-evaluation-harness's, instruction by instruction, on made answers and on kept ones.

    python bench/ifeval_check.py input_data.jsonl
    python bench/ifeval_check.py input_data.jsonl --kept runs/eval-…/eval/evals/ifeval.jsonl

input_data.jsonl: Google's 541 prompts. Three answers are made to each: the prompt itself; one that is put together to
follow its instructions; and that one spoilt (a line before and after it, asterisks, commas, capitals, cut sentences),
so that strict and loose grades differ. ``--kept`` adds answers that a model gave. The harness guesses languages without
a seed (here both have the same one), and draws a letter where a prompt asks for a character that is none: such an
instruction, and the prompt that has it, are counted apart. Exit code 1 where any other grade differs.
Needs the extras ``ifeval`` and ``lm-eval``.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import langdetect

from strop.tasks.base import Item
from strop.tasks.ifeval import IFEval, IfevalSettings, follows, is_no_letter
from strop.tasks.sentences import need_sentences

LEVELS = ("prompt_strict", "instruction_strict", "prompt_loose", "instruction_loose")
THEIRS = ("prompt_level_strict_acc", "inst_level_strict_acc", "prompt_level_loose_acc", "inst_level_loose_acc")
FILLER = "the small boat sails over calm water while people on the shore wave and sing old songs"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("prompts", type=Path)
    parser.add_argument("--kept", type=Path, action="append", default=[], help="answers that an evaluation kept")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    need_sentences("ifeval_check")
    logging.disable(logging.ERROR)  # the checkers' word on every text in no language
    task = IFEval("ifeval", IfevalSettings(path=options.prompts))
    items = task.all_items
    made = {"the prompt": [item.data.prompt for item in items], "followed": [followed(item) for item in items]}
    made["spoilt"] = [spoilt(text, i) for i, text in enumerate(made["followed"])]
    sets = {name: list(zip(items, answers, strict=True)) for name, answers in made.items()}
    named = {item.name: item for item in items}
    for path in options.kept:
        rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        sets[str(path)] = [(named[row["name"]], row["answer"]) for row in rows]
    report = {name: compared(pairs) for name, pairs in sets.items()}
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        print("\n".join(table(report)))
    return 1 if any(one["differing"] for one in report.values()) else 0


def compared(answers: list[tuple[Item, str]]) -> dict[str, Any]:
    """Both sides' metrics, how many grades are equal, and which are not; ``drawn``: how many the harness draws."""
    equal, drawn, differing = 0, 0, []
    ours: dict[str, list[float]] = {level: [] for level in LEVELS}
    theirs: dict[str, list[float]] = {level: [] for level in LEVELS}
    for item, answer in answers:
        graded = _theirs(item, answer)
        letters = list(map(is_no_letter, item.data.names, item.data.arguments))
        strict, loose = zip(*follows(item.data, answer), strict=True)
        parts = IFEval.grade(item, answer).parts
        found = {"prompt_strict": [all(strict)], "instruction_strict": list(strict)}
        found |= {"prompt_loose": [all(loose)], "instruction_loose": list(loose)}
        shares = {level: sum(values) / len(values) for level, values in found.items()}
        assert parts == shares, (item.name, parts, shares)  # what is compared is what a result holds
        for level in LEVELS:
            ours[level] += found[level]
            theirs[level] += graded[level]
            no_letter = [any(letters)] if level.startswith("prompt") else letters
            for place, pair in enumerate(zip(found[level], graded[level], strict=True)):
                if no_letter[place]:
                    drawn += 1
                elif pair[0] == pair[1]:
                    equal += 1
                else:
                    differing.append(f"{item.name} {level} {place}")
    means = {
        side: {level: sum(values) / len(values) for level, values in one.items()}
        for side, one in (("strop", ours), ("lm-eval", theirs))
    }
    counts = {"prompts": len(answers), "grades": equal + drawn + len(differing), "equal": equal}
    return counts | {"drawn": drawn, "differing": differing} | means


def _theirs(item: Item, answer: str) -> dict[str, list[bool]]:
    from lm_eval.tasks.ifeval.utils import process_results

    langdetect.DetectorFactory.seed = 0
    found = item.data
    doc = {"key": item.name, "instruction_id_list": list(found.names), "prompt": found.prompt}
    graded = process_results(doc | {"kwargs": [dict(one) for one in found.arguments]}, [answer])
    values = (graded[name] for name in THEIRS)
    return {
        level: list(value) if isinstance(value, list) else [value] for level, value in zip(LEVELS, values, strict=True)
    }


def followed(item: Item) -> str:
    """An answer that follows most instructions of a prompt: none of every combination is promised."""
    found = item.data
    given = dict(zip(found.names, found.arguments, strict=True))
    text = "\n\n".join(_paragraphs(given))
    letters = given.get("keywords:letter_frequency", {})
    if letters.get("let_relation") == "at least":
        text += " " + letters["letter"] * letters["let_frequency"]
    if "detectable_content:number_placeholders" in given:
        n = given["detectable_content:number_placeholders"]["num_placeholders"]
        text += "".join(f" [place {i}]" for i in range(n))
    if "detectable_format:number_bullet_lists" in given:
        text += "".join(f"\n* point {n}" for n in range(given["detectable_format:number_bullet_lists"]["num_bullets"]))
    if "detectable_format:number_highlighted_sections" in given:
        n = given["detectable_format:number_highlighted_sections"]["num_highlights"]
        text += "\n" + " ".join(f"*part {i}*" for i in range(n))
    if "detectable_format:constrained_response" in given:
        text = "My answer is yes."
    if "detectable_format:json_format" in given:
        text = json.dumps({"answer": text})
    if "combination:two_responses" in given:
        text = f"{text}\n******\nAnother one. {text}"
    if "combination:repeat_prompt" in given:
        text = f"{given['combination:repeat_prompt']['prompt_to_repeat']}\n{text}"
    if "detectable_format:title" in given:
        text = f"<<A title>>\n{text}"
    if "detectable_content:postscript" in given:
        text += f"\n{given['detectable_content:postscript']['postscript_marker']} and so on"
    if "change_case:english_lowercase" in given:
        text = text.lower()
    if "change_case:english_capital" in given:
        text = text.upper()
    if "punctuation:no_comma" in given:
        text = text.replace(",", "")
    if "startend:end_checker" in given:
        text += f" {given['startend:end_checker']['end_phrase']}"
    if "startend:quotation" in given:
        text = f'"{text}"'
    return text


def _paragraphs(given: dict[str, Any]) -> Iterator[str]:
    words = " ".join(given.get("keywords:existence", {}).get("keywords", []))
    often = given.get("keywords:frequency", {})
    if often.get("relation") == "at least":
        words += f" {often['keyword']}" * often["frequency"]
    capitals = given.get("change_case:capital_word_frequency", {})
    if capitals.get("capital_relation") == "at least":
        words += " LOUD" * capitals["capital_frequency"]
    sentence = f"{FILLER.capitalize()} {words}".strip()
    sentences = given.get("length_constraints:number_sentences", {})
    count = sentences.get("num_sentences", 3) - (sentences.get("relation") == "less than")
    long = given.get("length_constraints:number_words", {})
    if long.get("relation") == "at least":
        sentence += " " + " ".join(FILLER.split() * (long["num_words"] // 15 + 1))
    first = given.get("length_constraints:nth_paragraph_first_word", {})
    paragraphs = first.get("num_paragraphs") or given.get("length_constraints:number_paragraphs", {}).get(
        "num_paragraphs", 1
    )
    for n in range(1, paragraphs + 1):
        start = f"{first['first_word']} is here. " if n == first.get("nth_paragraph") else ""
        body = start + " ".join([f"{sentence}."] * max(1, count if paragraphs == 1 else 1))
        if "detectable_format:multiple_sections" in given:
            one = given["detectable_format:multiple_sections"]
            body = "\n".join(f"{one['section_spliter']} {i + 1}\n{body}" for i in range(one["num_sections"]))
        yield body
        if "length_constraints:number_paragraphs" in given and n < paragraphs:
            yield "***"


def spoilt(text: str, seed: int) -> str:
    """The answer with what models do to it; which, is drawn by ``seed``."""
    draw = random.Random(seed)
    ways = (
        lambda t: f"Sure, here it is:\n{t}",
        lambda t: f"{t}\nI hope this helps, friend!",
        lambda t: f"**{t}**",
        lambda t: t.swapcase(),
        lambda t: t[: len(t) // 2],
        lambda t: f"\n\n {t} \n",
        lambda t: t.replace(".", " e.g. Mr. X, U.S. etc.?! "),
        lambda t: f"Ein Satz auf Deutsch. {t}",
    )
    for way in draw.sample(ways, draw.randint(1, 3)):
        text = way(text)
    return text


def table(report: dict[str, Any]) -> Iterator[str]:
    yield "| answers | grades | equal | drawn by lm-eval | differing | " + " | ".join(LEVELS) + " |"
    yield "|" + "---|" * (5 + len(LEVELS))
    for name, one in report.items():
        levels = (f"{one['strop'][level]:.4f} / {one['lm-eval'][level]:.4f}" for level in LEVELS)
        counts = (one["grades"], one["equal"], one["drawn"], len(one["differing"]))
        yield f"| {name} | " + " | ".join((*(f"{n:,}" for n in counts), *levels)) + " |"
    for name, one in report.items():
        if one["differing"]:
            yield f"{name}: {', '.join(one['differing'][:20])}"


if __name__ == "__main__":
    sys.exit(main())
