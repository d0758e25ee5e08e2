"""What is to be looked at: the data, the settings that turn it into tokens, and whose tokenizer does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from strop.chat import ChatEncoder, ChatSettings, fit_tokenizer
from strop.chat.saved import chat_of
from strop.common.errors import InputError
from strop.common.packaged import recipe_file
from strop.config import load_overrides
from strop.config.recipe import RECIPES, load_recipe
from strop.data.files import refuse_run
from strop.data.settings import ReadSettings, part_of
from strop.model.names import load_generation_config, load_tokenizer, resolve, stop_token_ids
from strop.model.tokenizer import tokenizer_alone
from strop.model.window import window_of


class _Overrides(BaseModel):
    """What overrides may set where there is no recipe."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    chat: ChatSettings = Field(default_factory=ChatSettings, description="How conversations become tokens.")
    data: ReadSettings = Field(default_factory=ReadSettings, description="How the data are read, e.g. data.split=test.")


@dataclass(frozen=True)
class Subject:
    """The parts of the data in order, each as settings of data (``path``, ``hub`` or ``task`` and what goes with it);
    the chat settings; and the model and the tokens of a flat row, where the data is a recipe."""

    parts: list[dict[str, Any]]
    chat: ChatSettings
    model: str | None = None
    row_tokens: int | None = None


def subject(data: str, overrides: Sequence[str], template: str | None, stop: Sequence[str]) -> Subject:
    """Understand DATA: a recipe (its first stage that trains on conversations), ``task:NAME``, a file, or a hub id.

    Raises InputError when a recipe does not load or trains on no conversations, or a setting is wrong.
    """
    if (recipe := recipe_file(Path(data))).suffix in RECIPES:
        found = _from_recipe(recipe, overrides)
    else:
        refuse_run(Path(data))
        given = load_overrides(_Overrides, overrides)
        found = Subject([part_of(data) | given.data.model_dump(exclude_unset=True)], given.chat)
    changes: dict[str, Any] = {"stop_tokens": [*found.chat.stop_tokens, *stop]} if stop else {}
    if template is not None:
        changes["template"] = template
    return replace(found, chat=found.chat.model_copy(update=changes))


@dataclass(frozen=True)
class Tools:
    """The encoder, the name of whose tokenizer it uses, the tokens that end a turn, and what there is to say of it."""

    name: str
    encoder: ChatEncoder
    stops: list[str]
    notes: tuple[str, ...] = ()


def tools(subject: Subject, model: str | None, tokenizer: str | None) -> Tools:
    """With the tokenizer of what is named, or of the recipe's model.

    Raises InputError when none is named, or it does not load, has no template, or lacks a token of the settings.
    """
    if model and tokenizer:
        raise InputError("give --model or --tokenizer, not both: each brings a tokenizer.")
    name = tokenizer or model or subject.model
    if name is None:
        raise InputError("name the model whose tokenizer is used: --model M, or --tokenizer T (with --template FILE).")
    loaded, config = (tokenizer_alone(tokenizer) if tokenizer else None), None
    chat = subject.chat
    notes: list[str] = []
    if loaded is None:
        loaded, config = load_tokenizer(name), load_generation_config(name)
        chat, notes = chat_of(chat, resolve(name), loaded)
    if not hasattr(loaded, "backend_tokenizer"):
        raise InputError(f"{name}: its tokenizer tells no character offsets; one with a tokenizer.json is needed.")
    fit_tokenizer(loaded, chat.template)
    reads = None if tokenizer else _window(name)
    lengths = [length for length in (subject.row_tokens, reads) if length]
    encoder = ChatEncoder(loaded, chat, stop_token_ids(loaded, config), min(lengths, default=None), reads=reads)
    return Tools(name, encoder, loaded.convert_ids_to_tokens(sorted(encoder.stop_ids)), tuple(notes))


def _window(model: str) -> int | None:
    """How many tokens the model reads, where its config.json says so."""
    try:
        return window_of(resolve(model))
    except InputError:  # what is wrong with a model that has a good tokenizer is not looked at here
        return None


def _from_recipe(path: Path, overrides: Sequence[str]) -> Subject:
    recipe = load_recipe(path, overrides)
    stage = next(iter(recipe.examined().values()), None)
    if stage is None:
        raise InputError(
            f"{path}: none of its stages trains on conversations, so there are none to inspect; give a data file."
        )
    parts = [part.model_dump(exclude_none=True) for part in stage.mixture.parts]
    model = recipe.model if isinstance(recipe.model, str) else str(resolve(recipe.model))
    chat = recipe.chat.model_copy(update=dict(stage.chat))
    return Subject(parts, chat, model, stage.train.micro_batch_tokens)
