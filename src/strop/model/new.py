"""Models made new: from a configuration and a tokenizer, with weights that nothing has trained."""

from __future__ import annotations

import difflib
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strop.common.errors import InputError
from strop.common.folders import cache_folder
from strop.model.load import WRONG_CONFIG, auto_class, save_model
from strop.model.tokenizer import tokenizer_alone, tokenizer_in

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

MAKING = 1  # raised when the result of making changes, so that older folders are not reused
OLD_NAMES = {"rope_theta", "rope_scaling"}  # that configurations take and keep under another name


def make_new(config: dict[str, Any], tokenizer: Path, seed: int = 0) -> Path:
    """The folder of the model that ``config`` describes, float32 and the same for the same arguments; made once.

    ``config``: the fields of a transformers configuration; ``architectures`` decides between a causal language model
    (the default) and one that scores sequences (``num_labels`` is 1 unless given). ``vocab_size`` and the ids of
    special tokens are the tokenizer's unless given. ``tokenizer``: its folder, or a tokenizer.json.

    Raises InputError where the family is unknown, a field is none of its, or the values do not go together.
    """
    import torch

    said = json.dumps([config, seed, _digest(tokenizer)], sort_keys=True, default=str)
    target = cache_folder() / "models" / f"new-{hashlib.sha256(said.encode()).hexdigest()[:16]}-v{MAKING}"
    if (target / "config.json").is_file():
        return target
    tokens = tokenizer_alone(tokenizer) or tokenizer_in(tokenizer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            made = _config(config, tokens)
            model = auto_class(made.architectures).from_config(made, dtype=torch.float32)
        except WRONG_CONFIG as error:
            if isinstance(error, InputError):
                raise
            why = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"model.new: no model can be made of these fields: {why}") from error
    save_model(model, tokens, target)
    return target


def _config(given: dict[str, Any], tokenizer: PreTrainedTokenizerBase) -> PreTrainedConfig:
    from transformers import AutoConfig
    from transformers.models.auto import modeling_auto

    architectures = given.get("architectures") or []
    architectures = [architectures] if isinstance(architectures, str) else list(architectures)
    tables = (
        modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
        modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    )
    families = {name: family for table in tables for family, name in table.items()}  # model types by class names
    family = given.get("model_type") or families.get(architectures[0])
    if family is None:
        raise InputError(
            f"model.new.architectures: transformers has no {architectures[0]} that generates or scores;"
            f"{_nearest(architectures[0], families)}"
        )
    if family not in families.values():
        raise InputError(
            f"model.new.model_type: transformers has no {family} that generates or scores;"
            f"{_nearest(family, dict.fromkeys(families.values()))}"
        )
    default = AutoConfig.for_model(family)
    fields = {name: value for name, value in given.items() if name not in ("model_type", "architectures")}
    known = {name for name in dir(default) if not name.startswith("_") and not callable(getattr(default, name, None))}
    for name in fields:
        if name not in known | OLD_NAMES:
            raise InputError(f"model.new: {name} is no field of a {family} configuration;{_nearest(name, known)}")
    special = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    fields = {"num_labels": 1, "vocab_size": len(tokenizer), **special, **fields}
    if fields["vocab_size"] < len(tokenizer):
        raise InputError(
            f"model.new: vocab_size is {fields['vocab_size']} and the tokenizer has {len(tokenizer)} tokens; "
            "leave vocab_size out, or set it to as many or more."
        )
    return AutoConfig.for_model(family, **fields, architectures=architectures or None)


def _nearest(name: str, known: Any) -> str:
    if close := difflib.get_close_matches(name, list(known), n=3):
        return f" did you mean {' or '.join(close)}?"
    return " see that family's page in transformers' documentation."


def _digest(tokenizer: Path) -> list[str]:
    """Of vocabulary, merges, template and settings: all files that decide what a tokenizer does."""
    files = [tokenizer] if tokenizer.is_file() else sorted(path for path in tokenizer.iterdir() if _its_own(path))
    return [f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in files]


def _its_own(path: Path) -> bool:
    of_the_model = ("config.json", "generation_config.json", "model.safetensors.index.json")
    return path.is_file() and path.suffix in (".json", ".txt", ".model", ".jinja") and path.name not in of_the_model
