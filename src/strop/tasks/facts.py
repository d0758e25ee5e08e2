"""Questions about facts that stand in the small world's texts; a quarter is asked in no conversation to train on."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from pydantic import Field

from strop.data.readers import NamedSet
from strop.data.rows import Row
from strop.rewards import Judgement
from strop.rewards.reasoning import without_reasoning
from strop.tasks.base import AnswerSettings, AnswerTask, Item, register
from strop.tasks.metrics import NO_ANSWER, accuracy
from strop.tasks.small_world.world import LANGUAGES, Fact, Language, facts, world


class FactsSettings(AnswerSettings):
    language: Language = Field("en", description="en or zh.")


@register("facts")
class Facts(AnswerTask):
    """Every held-out fact, each asked in one way; right is an answer that names the object and no other of its kind."""

    Settings = FactsSettings
    settings: FactsSettings
    metrics = (accuracy("questions answered with the fact", lead=3), NO_ANSWER)
    source = "strop's small world"
    licence = "Apache-2.0"

    def items(self) -> list[Item]:
        held_out = [fact for fact in facts(self.settings.language) if fact.held_out]
        return _items(held_out, self.settings.seed)[: self.settings.count]

    def train_items(self, count: int | None, seed: int) -> list[Item]:
        known = [fact for fact in facts(self.settings.language) if not fact.held_out]
        return _items(known, seed)[:count]

    @classmethod
    def grade(cls, item: Item, answer: str) -> Judgement:
        fact: Fact = item.data
        said = without_reasoning(answer)
        if not said.strip():
            return Judgement("no_answer", 0, 1, f"the answer is empty, expected {fact.b}")
        others = {other.b for other in facts(fact.language) if other.relation == fact.relation} - {fact.b, fact.a}
        # Of Chinese words one may stand within another, and within the question's own: the longest are looked for.
        named = {other for other in others if other in said and other not in fact.a and other not in fact.b}
        right = fact.b in said.replace(fact.a, "") and not named
        return Judgement("accepted" if right else "wrong_answer", int(right), 1, f"expected {fact.b}")

    @classmethod
    def sets(cls) -> Mapping[str, NamedSet]:
        return {
            **{f"facts_{language}": _rows(f"facts_{language}", _ask, language) for language in LANGUAGES},
            **{f"small_talk_{language}": _rows(f"small_talk_{language}", _talk, language) for language in LANGUAGES},
        }


def _items(chosen: list[Fact], seed: int) -> list[Item]:
    random, made = Random(f"facts {seed}"), []
    for fact in chosen:
        text = random.choice(world()["questions"][fact.relation][fact.language]).format(a=fact.a)
        name = f"facts/{fact.language}/{fact.relation}/{fact.name}"
        made.append(Item(name, f"{fact.relation}/{fact.name}", [{"role": "user", "content": text}], fact))
    return made


def _ask(language: Language, random: Random) -> list[dict[str, str]]:
    fact = random.choice([fact for fact in facts(language) if not fact.held_out])
    asked = world()["questions"][fact.relation]
    question, answer = random.choice(asked[language]), asked[f"{language}_answer"]
    return [_turn("user", question.format(a=fact.a)), _turn("assistant", answer.format(a=fact.a, b=fact.b))]


def _talk(language: Language, random: Random) -> list[dict[str, str]]:
    questions, answers = random.choice(world()["talk"])[language]
    first = [_turn("user", random.choice(questions)), _turn("assistant", random.choice(answers))]
    return [*first, *_ask(language, random)] if random.random() < 0.3 else first


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _rows(name: str, draw, language: Language) -> NamedSet:
    def rows(count: int | None, seed: int) -> list[Row]:
        random = Random(f"{name} {seed}")
        return [(f"{name}[{seed}-{i}]", {"messages": draw(language, random)}) for i in range(count or 500)]

    return rows
