"""The task: problems of the held-out families to measure on, those of the others to train on."""

from __future__ import annotations

from collections.abc import Mapping

from strop.data.readers import NamedSet
from strop.data.rows import Row
from strop.tasks.base import TaskSettings, register
from strop.tasks.code_basics.generate import generate
from strop.tasks.problems import ProblemTask


@register("code_basics")
class CodeBasics(ProblemTask):
    """``count`` problems of the held-out families, 96 by default."""

    own_prefix = ""
    source = "drawn by strop from a seed"
    licence = "Apache-2.0"

    def __init__(self, name: str, settings: TaskSettings):
        super().__init__(name, settings, generate("test", settings.count or 96, settings.seed))

    @classmethod
    def sets(cls) -> Mapping[str, NamedSet]:
        return {
            "code_basics": lambda count, seed: _conversations("train", count or 512, seed),
            "code_basics_test": lambda count, seed: _conversations("test", count or 64, seed),
        }


def _conversations(split: str, count: int, seed: int) -> list[Row]:
    return [(f"code_basics[{r.name}]", {"messages": r.messages()}) for r in generate(split, count, seed)]
