"""The settings for generation that a model folder brings: read with care, since their stop tokens end answers.

Only the stop tokens are followed. What else the file asks for (penalties, temperature) would make chatting differ from
what was measured; `not_followed` names it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strop.common.errors import InputError

if TYPE_CHECKING:
    from transformers import GenerationConfig

FILE = "generation_config.json"
_SAMPLING = {"temperature", "top_k", "top_p", "min_p", "typical_p", "top_h", "epsilon_cutoff", "eta_cutoff"}
# Values that say nothing; and keys that change no answer, or that strop has settings of its own for.
_NEUTRAL = {
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "length_penalty": 1.0,
    "diversity_penalty": 0.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "num_beams": 1,
    "num_beam_groups": 1,
    "num_return_sequences": 1,
    "min_length": 0,
    "temperature": 1.0,
    "top_p": 1.0,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
}
_CHANGING = {
    *_NEUTRAL,
    *_SAMPLING,
    "min_new_tokens",
    "bad_words_ids",
    "suppress_tokens",
    "begin_suppress_tokens",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "sequence_bias",
    "exponential_decay_length_penalty",
    "guidance_scale",
    "stop_strings",
    "penalty_alpha",
    "dola_layers",
}


def read_generation_config(folder: Path) -> GenerationConfig:
    """The generation settings in a model folder; where it has no file for them, what its ``config.json`` implies.

    Raises InputError for a file that is no JSON object, or whose stop tokens are not ids.
    """
    from transformers import GenerationConfig

    file = check_generation_config(folder)
    try:
        return GenerationConfig.from_pretrained(folder, file.name, local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{file}: {str(error).strip().splitlines()[0]} Mend or delete it.") from error


def check_generation_config(folder: Path) -> Path:
    """The file with the settings. Raises InputError where it cannot be read, or holds ids that are none."""
    settings = _own(folder)
    file = folder / ("config.json" if settings is None else FILE)
    settings = read_json_object(file) if settings is None else settings
    for name in ("eos_token_id", "bos_token_id", "pad_token_id"):
        value = settings.get(name)
        ids = value if isinstance(value, list) else [] if value is None else [value]
        if any(type(found) is not int for found in ids):
            raise InputError(
                f"{file}: {name} is {json.dumps(value)}, and a token's id is a whole number (or a list of them); "
                "mend the file."
            )
    return file


def not_followed(folder: Path) -> dict[str, Any]:
    """What the folder's generation settings ask for that strop does not do: names and values."""
    settings = _own(folder) or {}
    samples = bool(settings.get("do_sample"))
    return {
        name: value
        for name, value in settings.items()
        if name in _CHANGING and value not in (None, _NEUTRAL.get(name), []) and (samples or name not in _SAMPLING)
    }


def read_json_object(file: Path) -> dict[str, Any]:
    """A JSON file whose top is an object. Raises InputError where it is not, or cannot be read."""
    try:
        content = json.loads(file.read_bytes())
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); get the model again.") from error
    except ValueError as error:
        raise InputError(f"{file}: is not JSON ({error}); get the file again.") from error
    if not isinstance(content, dict):
        raise InputError(f"{file}: holds a {_KINDS.get(type(content), 'value')} instead of settings by name; mend it.")
    return content


_KINDS = {list: "list", str: "string", int: "number", float: "number", bool: "true or false"}


def _own(folder: Path) -> dict[str, Any] | None:
    """What is in the file for it; None where there is none."""
    try:
        return read_json_object(folder / FILE) if (folder / FILE).is_file() else None
    except InputError as error:
        raise InputError(f"{error} Without it, config.json says where answers end: it may be deleted.") from error
