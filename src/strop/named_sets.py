"""The data sets that have names instead of files: what `task:` may say in a recipe and on the command line."""

from __future__ import annotations

from strop.data.readers import NamedSet, Row, built_in
from strop.tasks.code_basics import generate


def _problems(split: str, count: int, seed: int) -> list[Row]:
    return [(f"code_basics[{r.name}]", {"messages": r.messages()}) for r in generate(split, count, seed)]


NAMED_SETS: dict[str, NamedSet] = {
    "code_basics": lambda count, seed: _problems("train", count or 512, seed),
    "code_basics_test": lambda count, seed: _problems("test", count or 64, seed),
    "functions": built_in("functions", "train"),
    "general_chat": built_in("general_chat", "train"),
    "general_chat_heldout": built_in("general_chat", "heldout"),
}
