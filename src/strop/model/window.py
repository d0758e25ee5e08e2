"""How many tokens a model reads at once, by its configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strop.common.errors import InputError

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def window(config: PretrainedConfig) -> int | None:
    """The most tokens that a model reads, or None where nothing says so; what stretches rotary positions counts."""
    config = config.get_text_config()
    return _stretched(getattr(config, "max_position_embeddings", None), getattr(config, "rope_parameters", None) or {})


def window_of(folder: Path) -> int | None:
    """The same of the model in a folder. Raises InputError where its config.json describes no model.

    Read from the file where it says so, since transformers' configurations load torch, which takes two seconds.
    """
    try:
        said = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        said = said.get("text_config") or said
        if positions := said.get("max_position_embeddings"):
            return _stretched(positions, said.get("rope_parameters") or said.get("rope_scaling") or {})
        from transformers import AutoConfig

        return window(AutoConfig.from_pretrained(folder, local_files_only=True))
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        first = str(error).partition("\n")[0]
        raise InputError(f"{folder}: config.json does not describe a model ({first}); get the model again.") from None


def _stretched(positions: int | None, rotary: Mapping[str, Any]) -> int | None:
    if positions is None or rotary.get("rope_type", rotary.get("type")) == "dynamic":
        return None
    stretched = (rotary.get("original_max_position_embeddings") or positions) * (rotary.get("factor") or 1)
    return max(positions, int(stretched))
