"""A tokenizer trained on the recipe's own data, and the recipe's new model made again to read its tokens."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator

from strop.chat import BUILT_IN, Conversation, LeftOut, Text, fit_tokenizer, parse_row
from strop.common.errors import InputError
from strop.common.folders import whole_folder
from strop.data.keys import data_identity
from strop.data.readers import rows_of_part
from strop.data.settings import DataField, as_mixture, with_texts
from strop.model.bpe import BYTES, END, train_bpe
from strop.model.settings import NewModel
from strop.stages.base import Context, Stage, StageResult, register
from strop.tasks.base import named_sets

if TYPE_CHECKING:
    from strop.config.recipe import Recipe

MEASURED = 1000
"""Texts, evenly spread, that are encoded, decoded and counted when the tokenizer is trained."""


@register("tokenizer")
class TokenizerStage(Stage):
    """Byte-level BPE; ``tokenizer`` in the stage's folder holds it, ``model`` the recipe's new model with it."""

    kind: Literal["tokenizer"]
    data: DataField = Field(description="What it is trained on: texts and conversations.")
    vocab_size: int = Field(4096, ge=1, description="Tokens in all, the 256 bytes and the special tokens included.")
    min_frequency: int = Field(2, ge=1, description="How often a pair must stand in the data to become a token.")
    max_token_length: int | None = Field(None, ge=1, description="Bytes in the longest token; no limit by default.")
    split_digits: bool = Field(True, description="Whether every digit is a token of its own.")
    special_tokens: list[str] = Field(
        [], description=f"Further special tokens, besides {END} and those of chat.template."
    )
    trains: ClassVar[bool] = True

    _texts = field_validator("data")(with_texts)

    @field_validator("special_tokens")
    @classmethod
    def _names(cls, names: list[str]) -> list[str]:
        if not all(names) or len(set(names)) < len(names) or END in names:
            raise ValueError(f"give each once, none empty, and not {END}, which is there anyway.")
        return names

    def check(self, recipe: Recipe) -> None:
        if self.start is not None:
            raise ValueError("from: it begins with the recipe's new model, and no other; leave it out.")
        if not isinstance(recipe.model, NewModel) or recipe.model.tokenizer is not None:
            raise ValueError(
                "the recipe's model has a tokenizer; a tokenizer is trained for a model that is made new: "
                "model: {new: {model_type: llama, …}}, without tokenizer."
            )
        needed = self._needed(recipe)
        if self.vocab_size < needed:
            raise ValueError(
                f"vocab_size: {self.vocab_size:,} has no room for the {BYTES} bytes and {needed - BYTES} special "
                f"tokens; set {needed:,} or more."
            )

    def _needed(self, recipe: Recipe) -> int:
        template = BUILT_IN.get(recipe.chat.template or "")
        return BYTES + len({END, *self.special_tokens, *(template.tokens if template else ())})

    def inputs(self, recipe: Recipe) -> dict[str, Any]:
        return {"data": [data_identity(part) for part in as_mixture(self.data).parts]}

    def local_data(self, recipe: Recipe) -> Iterator[Path]:
        yield from (part.path for part in as_mixture(self.data).parts if part.path is not None)

    def run(self, context: Context) -> StageResult:
        from strop.model.names import resolve

        texts = [text for text in self._texts_of_data(context) if text]
        if not texts:
            raise InputError(f"stages.{context.name}.data: there is no text in it; give some to train a tokenizer on.")
        template = context.recipe.chat.template
        room = self.vocab_size - self._needed(context.recipe) + BYTES + 1  # what is no token of the template
        tokenizer = train_bpe(
            texts, room,
            min_frequency=self.min_frequency, max_token_length=self.max_token_length, split_digits=self.split_digits,
        )  # fmt: skip
        tokenizer.add_special_tokens({"additional_special_tokens": self.special_tokens})
        fit_tokenizer(tokenizer, template)
        if left := self.vocab_size - len(tokenizer):
            context.say(
                f"vocab_size: {len(tokenizer):,} of {self.vocab_size:,} tokens, since no further pair stands in the "
                f"data {self.min_frequency} times; {left:,} fewer are used."
            )
        place = context.folder / "tokenizer"
        with whole_folder(place, 0, replace=True) as scratch:
            tokenizer.save_pretrained(scratch)
        new = context.recipe.model
        assert isinstance(new, NewModel)  # see check
        made = resolve(new.model_copy(update={"tokenizer": str(place)}))
        with whole_folder(context.folder / "model", 0, replace=True) as scratch:
            shutil.copytree(made, scratch, dirs_exist_ok=True)
        facts = {"tokenizer": f"{len(tokenizer):,} tokens, {_measured(tokenizer, texts)}"}
        context.say(f"tokenizer: {facts['tokenizer']}; {place}")
        return StageResult(facts=facts)

    def _texts_of_data(self, context: Context) -> Iterator[str]:
        mixture = as_mixture(self.data)
        skip = (lambda error: context.say(f"bad row skipped: {error}")) if mixture.on_bad_row == "skip" else None
        for part in mixture.parts:
            for place, row in rows_of_part(part, named_sets(), skip, context.say):
                yield from _texts_of(parse_row(row, place, part.format))


def _texts_of(read: Conversation | Text | LeftOut) -> Iterator[str]:
    """What stands in a row, part by part: tools and calls as JSON, which is how templates print them."""
    if isinstance(read, Text):
        yield read.text
    elif isinstance(read, Conversation):
        yield from (json.dumps(tool, ensure_ascii=False) for tool in read.tools or ())
        for message in read.messages:
            yield from (text for text in (message.content, message.reasoning_content) if text)
            for call in message.tool_calls:
                yield json.dumps(call["function"], ensure_ascii=False, default=dict)


def _measured(tokenizer: Any, texts: list[str]) -> str:
    """Bytes per token over `MEASURED` of the texts. Raises InputError where one does not come back as it was."""
    chosen = texts[:: -(-len(texts) // MEASURED)]
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in chosen]
    for text, own in zip(chosen, ids, strict=True):
        if tokenizer.decode(own) != text:
            raise InputError(f"the tokenizer does not give back this text, but another: {text[:80]!r}")
    n_bytes, n_tokens = sum(len(text.encode()) for text in chosen), len(list(chain.from_iterable(ids)))
    return f"{n_bytes / n_tokens:.2f} bytes of UTF-8 per token"
