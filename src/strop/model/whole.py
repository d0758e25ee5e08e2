"""What is wrong with the files of a model's folder, in words: weights that are missing or cut off, and the tokenizer's.

The libraries that read them say such things in their own words, without the file or what to do. Without torch.
"""

from __future__ import annotations

import json
from pathlib import Path

from strop.common.errors import InputError
from strop.model.generation import read_json_object

WEIGHTS, INDEX, PICKLED = "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json")
_POINTER = b"version https://git-lfs"
_AGAIN = "download or save the model again"


def weights_fault(folder: Path) -> str | None:
    """Why the weights in a folder cannot be read, as one sentence; None where their files are there and whole.

    Headers alone are read, so that it costs nothing for a large model.
    """
    parts = [folder / WEIGHTS]
    if not parts[0].is_file():
        if (folder / INDEX).is_file():
            try:
                named = read_json_object(folder / INDEX).get("weight_map")
            except InputError as error:
                return str(error)
            if not isinstance(named, dict) or not named:
                return f"{folder / INDEX}: names no weights (weight_map); get the file again."
            parts = [folder / str(name) for name in sorted(set(named.values()))]
        elif any(folder.glob(f"{Path(PICKLED).stem}*.bin")):
            parts = sorted(folder.glob(f"{Path(PICKLED).stem}*.bin"))
        else:
            return f"{folder}: holds no weights (no {WEIGHTS}, no {INDEX}); {_AGAIN}."
    if gone := [part for part in parts if not part.is_file()]:
        return (
            f"{folder}: {len(gone)} of the {len(parts)} files of its weights {'is' if len(gone) == 1 else 'are'} not "
            f"there (the first is {gone[0].name}); {_AGAIN}."
        )
    return next(filter(None, map(_file_fault, parts)), None)


def _file_fault(file: Path) -> str | None:
    size = file.stat().st_size
    with file.open("rb") as opened:
        begins = opened.read(len(_POINTER))
    if begins == _POINTER:
        return f"{file}: is a pointer of Git LFS and not the weights; run `git lfs pull` there, or {_AGAIN}."
    if not size:
        return f"{file}: is empty; {_AGAIN}."
    if file.suffix != ".safetensors":
        return None
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np"):
            return None
    except (OSError, SafetensorError) as error:
        what = "is cut off, or its header is damaged" if isinstance(error, SafetensorError) else "cannot be read"
        return f"{file}: {what} ({error}; {size:,} bytes); {_AGAIN}."


def tokenizer_fault(place: Path) -> str | None:
    """Why the tokenizer of a folder (or a ``tokenizer.json``) does not load, where its files alone tell: the end of a
    sentence, with what to do; else None."""
    for file in [place / name for name in TOKENIZER] if place.is_dir() else [place]:
        try:
            if file.is_file() and not isinstance(json.loads(file.read_bytes()), dict | list):
                return f"{file.name} holds no JSON object; get the file again."
        except (OSError, ValueError) as error:
            return f"{file.name} is not JSON ({error}); get the file again."
    template = place / "chat_template.jinja"
    try:
        if template.is_file():
            template.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return f"{template.name} is not UTF-8; save the file as UTF-8."
    return None
