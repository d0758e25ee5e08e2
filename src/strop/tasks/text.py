"""How well a model predicts a text: bits per byte, which compare across tokenizers, and perplexity, which does not."""

from __future__ import annotations

import math
from itertools import islice
from typing import Literal

from pydantic import Field, model_validator

from strop.common.errors import InputError
from strop.tasks.base import Document, TaskSettings, TextTask, register
from strop.tasks.fields import check_text
from strop.tasks.folders import own_rows
from strop.tasks.metrics import TASK, Metric
from strop.tasks.prompts import field_of


class TextSettings(TaskSettings):
    documents: Literal["file", "paragraph", "line"] = Field("file", description="What one document of a .txt is.")

    @model_validator(mode="after")
    def _own_file(self) -> TextSettings:
        if self.path is None:
            raise ValueError("path: name a text file, or one of rows with a text each.")
        return self


@register("text")
class TextFile(TextTask):
    """A text file, or the ``text`` of every row of another file; ``count`` documents of it."""

    Settings = TextSettings
    settings: TextSettings
    reads_path = True
    source = "path: a .txt file, or a file of rows with a text each"
    metrics = (
        Metric(
            "bits_per_byte", "bits for each byte of UTF-8", "number", -1, TASK, lead=3, per="bytes", nats=math.log(2)
        ),
        Metric("loss", "loss, nats per token", "nats", -1),
        Metric("perplexity", "exponential of the loss per token; compare within one tokenizer", "number", -1, exp=True),
    )

    def documents(self) -> list[Document]:
        found = []
        said: list[str] = []
        rows = own_rows(self.settings.path, said.append, format="text", documents=self.settings.documents)
        for place, row in islice(rows, self.settings.count):
            text = check_text(field_of(row, place, ("text", "content"), "the text"), "text", place)
            if text:
                found.append(Document(place, text))
        self.notes = said
        if not found:
            raise InputError(f"evals.{self.name}: {self.settings.path} holds no text; give one that does.")
        return found
