"""The chat settings that a model was trained with, kept in its folder, so that whoever loads it talks to it that way.

A tokenizer carries its template; it does not carry the template's variables, further stop tokens, or the instructions
that every conversation of the training began with. Those stand in ``strop_chat.json``.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from strop.chat.builtin import BUILT_IN, template_text
from strop.chat.settings import ChatSettings
from strop.common.errors import InputError
from strop.common.files import write_json

FILE = "strop_chat.json"
FORMAT = 1
KEPT = ("template_kwargs", "environment", "stop_tokens", "control_tokens", "assistant_may_write", "ordinary_tokens")
"""The fields of `ChatSettings`, beside ``template``, that decide what a prompt is, where an answer ends and what is
lent in a conversation."""
_TOLD_ELSEWHERE = ("template", "environment")


@dataclass(frozen=True)
class SavedChat:
    """What was saved with a model; empty where nothing was.

    ``settings``: fields of `ChatSettings`. ``system``: the instructions that every training conversation without its
    own had. ``dtype``: the number format that the recipe insisted on. ``note``: why the file is not followed.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    system: str | None = None
    dtype: str | None = None
    note: str | None = None


def save_chat(folder: Path, settings: ChatSettings, system: str | None = None, dtype: str | None = None) -> None:
    """Write what of the settings decides how the model in ``folder`` is talked to."""
    kept = {name: value for name in KEPT if (value := getattr(settings, name)) != _default(name)}
    if settings.template in BUILT_IN:  # of any other, the tokenizer has all that there is
        kept = {"template": settings.template, **kept}
    content = {"format": FORMAT, "settings": kept}
    content |= {name: value for name, value in (("system", system), ("dtype", dtype)) if value is not None}
    write_json(folder / FILE, content)


def read_chat(folder: Path) -> SavedChat:
    """What was saved in a model's folder. Raises InputError where the file is damaged, or holds settings that there are
    not."""
    file = folder / FILE
    try:
        content = json.loads(file.read_bytes())
    except FileNotFoundError:
        return SavedChat()
    except (OSError, ValueError) as error:
        raise InputError(
            f"{file}: the chat settings of the training cannot be read ({error}); delete it to go without."
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("format"), int):
        raise InputError(f"{file}: these are no chat settings of strop's; delete the file to go without.")
    if content["format"] != FORMAT:
        return SavedChat(
            note=f"{file} is of format {content['format']} and this strop reads {FORMAT}, so the chat settings of the "
            "training are not followed; use the strop that wrote it"
        )
    settings = content.get("settings", {})
    try:
        unknown = sorted(set(settings) - {"template", *KEPT})
        if unknown:
            raise ValueError(f"there is no setting {unknown[0]!r}")
        ChatSettings.model_validate(settings)
        system, dtype = content.get("system"), content.get("dtype")
        if not all(value is None or isinstance(value, str) for value in (system, dtype)):
            raise ValueError("system and dtype are texts")
    except (ValidationError, ValueError, TypeError) as error:
        first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise InputError(f"{file}: {first}; mend it, or delete it to go without.") from error
    return SavedChat(settings, system, dtype)


def chat_of(settings: ChatSettings, folder: Path, tokenizer: Any) -> tuple[ChatSettings, list[str]]:
    """The settings to use with the model in ``folder``, and what there is to say about them, a line each.

    Fields that somebody set win; the others are those that the model was trained with.

    Args:
        settings: of a recipe or a command line; what was set is known from ``model_fields_set``.
        tokenizer: the model's, as it was loaded.

    Raises:
        InputError: as `read_chat`, or the settings' template cannot be read.
    """
    saved = read_chat(folder)
    if saved.note:
        return settings, [saved.note]
    trained = dict(saved.settings)
    if "template" in trained and BUILT_IN[trained["template"]].text != tokenizer.chat_template:
        # The folder's own template, written by another version or changed since, is what everybody else goes by.
        stop = BUILT_IN[trained.pop("template")].stop
        trained["stop_tokens"] = [*trained.get("stop_tokens", []), stop]
    chosen = settings.model_fields_set
    taken = {name: value for name, value in trained.items() if name not in chosen}
    notes = []
    if shown := {k: v for k, v in taken.items() if k not in _TOLD_ELSEWHERE and v != getattr(settings, k)}:
        notes.append(f"chat settings saved with the model are used: {_listed(shown)}")
    differing = {name: trained.get(name, _default(name)) for name in KEPT if name in chosen}
    differing = {k: v for k, v in differing.items() if k not in _TOLD_ELSEWHERE and v != getattr(settings, k)}
    if (folder / FILE).is_file():
        if "template" in chosen and template_text(settings.template) not in (None, tokenizer.chat_template):
            differing = {"template": trained.get("template", "its tokenizer's"), **differing}
        if differing:
            notes.append(f"unlike the recipe's chat settings, the model was trained with {_listed(differing)}")
    return (settings.model_copy(update=taken) if taken else settings), notes


def _default(name: str) -> Any:
    return ChatSettings.model_fields[name].get_default(call_default_factory=True)


def _listed(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name} {json.dumps(value, ensure_ascii=False)}" for name, value in settings.items())
