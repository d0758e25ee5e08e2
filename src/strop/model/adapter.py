"""Folders that hold adapters alone: what is written beside them, and the model that they make with their base.

An adapter folder is peft's: ``adapter_config.json`` and ``adapter_model.safetensors``. strop puts the tokenizer, a card
and ``strop_adapter.json`` beside them, which name the base as the user did.
"""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strop.common.errors import InputError
from strop.common.files import folder_stamp, write_json
from strop.common.folders import cache_folder
from strop.model.generation import read_json_object
from strop.model.load import load_folder, save_model
from strop.model.new_tokens import fit_embeddings
from strop.model.tokenizer import tokenizer_in

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from strop.model.base import Base
    from strop.model.settings import LoraSettings

CONFIG = "adapter_config.json"
_SETS = ("target_modules", "exclude_modules", "modules_to_save")
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
RECORD = "strop_adapter.json"
MERGED = "strop_merged.json"
MERGING = 1  # raised when the result of merging changes, so that older folders are not reused

log = logging.getLogger(__name__)


def is_adapter(folder: Path) -> bool:
    return (folder / CONFIG).is_file() and not (folder / "config.json").is_file()


def describe(folder: Path, base: Base, tokenizer: PreTrainedTokenizerBase, lora: LoraSettings) -> None:
    """Write beside saved adapters what they are: tokenizer, card and record."""
    tokenizer.save_pretrained(folder)
    place = str(base.folder.absolute()) if Path(base.name).expanduser().exists() else None
    record = {"format": 1, "base": base.name, "place": place, "rows": base.rows, "new": list(base.new)}
    write_json(folder / RECORD, record)
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    # Sets of peft's, which a process writes in an order of its own: two runs would differ in it.
    config |= {name: sorted(config[name]) for name in _SETS if isinstance(config.get(name), list)}
    write_json(folder / CONFIG, {**config, "base_model_name_or_path": base.name})
    (folder / "README.md").write_text(_card(base, lora), encoding="utf-8")


def note_merged(adapter: Path) -> Callable[[Path], None]:
    """What writes into a model's folder that it is these adapters, merged."""
    content = {"format": 1, "adapter": _digest(adapter)}
    return lambda model: write_json(model / MERGED, content)


def merged(folder: Path, resolve: Callable[[str], Path]) -> Path:
    """The folder of the model that an adapter folder and its base make.

    Where ``../model`` is that model (a stage writes both), it is that one; else it is made once, in the cache, in
    float32. ``resolve`` finds the base by its name.

    Raises InputError where the adapters cannot be read, their base is not to be found, or they do not fit it.
    """
    config = read_json_object(folder / CONFIG)
    weights = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if weights is None:
        raise InputError(f"{folder}: has {CONFIG} but no {WEIGHTS[0]}; save or download the adapter again.")
    digest = _digest(folder)
    sibling = folder.absolute().parent / "model"
    if (sibling / "config.json").is_file() and _read(sibling / MERGED).get("adapter") == digest:
        return sibling
    base = _base(folder, config, sibling, resolve)
    mark = hashlib.sha256(repr((digest, str(base.absolute()), folder_stamp(base))).encode()).hexdigest()[:16]
    target = cache_folder() / "models" / f"adapter-{mark}-v{MERGING}"
    if not (target / "config.json").is_file():
        log.warning(f"{folder}: merging these adapters into {base}, once, into {target}")
        _merge(folder, base, target)
    return target


def base_of(folder: Path, resolve: Callable[[str], Path]) -> tuple[Path, int | None]:
    """The folder of the model that adapters go beside, and the rows that its embedding needs; None: those it has.

    Raises InputError where the base is not to be found.
    """
    base = _base(folder, read_json_object(folder / CONFIG), folder.absolute().parent / "model", resolve)
    record = _read(folder / RECORD)
    return base, record.get("rows") if record.get("new") else None


def _base(folder: Path, config: dict[str, Any], sibling: Path, resolve: Callable[[str], Path]) -> Path:
    record = _read(folder / RECORD)
    said = [record.get("base"), record.get("place"), config.get("base_model_name_or_path")]
    names = dict.fromkeys(name for name in said if isinstance(name, str) and name)
    failures = []
    for name in names:
        try:
            return resolve(name)
        except InputError as error:
            failures.append(str(error))
    hint = f" The merged model is in {sibling}." if (sibling / "config.json").is_file() else ""
    why = f"its base is not to be found: {failures[0]}" if failures else f"{CONFIG} names no base model."
    raise InputError(f"{folder} holds adapters alone, and {why}{hint}")


def _merge(folder: Path, base: Path, target: Path) -> None:
    import torch
    from peft import PeftModel
    from safetensors import SafetensorError

    scores = read_json_object(folder / CONFIG).get("task_type") == "SEQ_CLS"
    model, tokenizer = load_folder(base, torch.float32, scores=scores), tokenizer_in(base)
    known = frozenset(tokenizer.get_vocab().values())
    if (folder / "tokenizer_config.json").is_file():
        tokenizer = tokenizer_in(folder)
    _grow(model, folder, known, tokenizer)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peft's, of names in transformers that will change
            model = PeftModel.from_pretrained(model, str(folder), autocast_adapter_dtype=False).merge_and_unload()
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f"{folder}: these adapters do not fit their base {base} ({first}).") from error

    def beside(scratch: Path) -> None:
        if (chat := folder / "strop_chat.json").is_file():
            (scratch / chat.name).write_bytes(chat.read_bytes())
        note_merged(folder)(scratch)

    save_model(model.requires_grad_(False), tokenizer, target, beside)


def _grow(model: PreTrainedModel, folder: Path, known: Collection[int], tokenizer: PreTrainedTokenizerBase) -> None:
    """Give the base the rows that the adapters were trained with, as their stage did."""
    if new := _read(folder / RECORD).get("new"):
        fit_embeddings(model, known, tokenizer.convert_tokens_to_ids(new))
        return
    rows = model.get_input_embeddings().weight.shape[0]
    if (wanted := _saved_rows(folder)) > rows:
        fit_embeddings(model, known, range(rows, wanted))


def _saved_rows(folder: Path) -> int:
    """Rows of an embedding or a head that were saved whole beside the adapters, since it had grown; 0 for none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / WEIGHTS[0], framework="pt") as tensors:
            whole = [n for n in tensors.keys() if n.endswith(".weight") and "lora_" not in n]  # noqa: SIM118
            found = [n for n in whole if "embed" in n or "lm_head" in n]
            return max((tensors.get_slice(name).get_shape()[0] for name in found), default=0)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{folder / WEIGHTS[0]}: cannot be read ({error}); save the adapter again.") from error


def _digest(folder: Path) -> str:
    """Of all that decides what the adapters are."""
    whole = hashlib.sha256()
    for name in (CONFIG, *WEIGHTS):
        if (folder / name).is_file():
            with (folder / name).open("rb") as stream:
                whole.update(hashlib.file_digest(stream, "sha256").digest())
    return whole.hexdigest()


def _read(file: Path) -> dict[str, Any]:
    return read_json_object(file) if file.is_file() else {}


def _card(base: Base, lora: LoraSettings) -> str:
    hub = base.name.count("/") == 1 and not Path(base.name).expanduser().exists()
    head = f"base_model: {base.name}\n" if hub else ""
    if base.name == "smollm2-135m" or base.name.endswith(".gguf"):  # names that strop alone knows
        load = f"from strop.model.names import load_model\nbase = load_model({base.name!r})\n"
    else:
        load = "from transformers import AutoModelForCausalLM\n"
        load += f"base = AutoModelForCausalLM.from_pretrained({base.name!r})\n"
    rows = ""
    if base.new:
        tokens = ", ".join(f"`{token}`" for token in base.new)
        rows = f"Trained with them are the rows of {len(base.new)} tokens that are new to the base: {tokens}.\n"
        load += f"base.resize_token_embeddings({base.rows}, mean_resizing=False)  # rows for the new tokens\n"
    return f"""---
{head}library_name: peft
tags: [lora, strop]
---

# Adapters (LoRA) for {base.name}

Low-rank adapters that strop trained beside the frozen weights of `{base.name}`: rank {lora.r}, alpha {lora.alpha:g}, \
on {", ".join(lora.targets)}. They are no model of their own.
{rows}
```python
{load}from peft import PeftModel
model = PeftModel.from_pretrained(base, THIS_FOLDER)
```

`strop chat THIS_FOLDER` talks to both together; the folder `model` beside this one holds them merged.
"""
