"""Texts of the small world: what a new model is pretrained on, and how well it predicts others of the same kind."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from pydantic import Field

from strop.chat.text import Document as PlainText
from strop.data.readers import NamedSet
from strop.data.rows import Row
from strop.tasks.base import Document, TaskSettings, TextTask, register
from strop.tasks.small_world.world import LANGUAGES, Language, document
from strop.tasks.text import TextFile


class StoriesSettings(TaskSettings):
    language: Language = Field("en", description="en or zh.")


@register("stories")
class Stories(TextTask):
    """Stories and facts, 200 by default; drawn otherwise than those that are trained on."""

    Settings = StoriesSettings
    settings: StoriesSettings
    metrics = TextFile.metrics
    source = "drawn by strop from a seed, in its small world"
    licence = "Apache-2.0"

    def documents(self) -> list[Document]:
        """A short text of facts may by chance stand among those that are trained on."""
        language, count = self.settings.language, self.settings.count or 200
        texts = _texts(language, "test", count, self.settings.seed)
        return [Document(f"stories/{language}-{self.settings.seed}-{i}", text) for i, text in enumerate(texts)]

    @classmethod
    def sets(cls) -> Mapping[str, NamedSet]:
        def of(language: Language) -> NamedSet:
            def rows(count: int | None, seed: int) -> list[Row]:
                texts = _texts(language, "train", count or 2000, seed)
                return [(f"stories_{language}[{seed}-{i}]", PlainText(text=text)) for i, text in enumerate(texts)]

            return rows

        return {f"stories_{language}": of(language) for language in LANGUAGES}


def _texts(language: Language, split: str, count: int, seed: int) -> list[str]:
    random = Random(f"stories {language} {split} {seed}")
    return [document(language, random) for _ in range(count)]
