"""The tokenizer of a model folder, without torch where that gives the same one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strop.common.errors import InputError
from strop.model.whole import tokenizer_fault

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# `AutoTokenizer` imports torch (two seconds) to find out which class reads the folder. For these pairs of a model type
# and the class that `tokenizer_config.json` declares, it is known to be the declared one.
_GENERIC = ("TokenizersBackend", "PreTrainedTokenizerFast")
DECLARED = {
    *((kind, name) for kind in (None, "llama", "smollm3", "qwen3", "qwen3_moe", "gemma3_text") for name in _GENERIC),
    *((kind, "Qwen2Tokenizer") for kind in ("qwen2", "qwen3", "qwen3_moe")),
}
_FILES = ("tokenizer.json", "tokenizer.model", "vocab*", "*.model", "*.tiktoken", "*bpe*")


def tokenizer_in(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a Hugging Face folder, with a model or without. Raises InputError where none loads."""
    name = declared_class(folder)
    with _loading(folder):
        if name is None:
            from transformers import AutoTokenizer

            return AutoTokenizer.from_pretrained(folder, local_files_only=True)
        import transformers

        return getattr(transformers, name).from_pretrained(folder, local_files_only=True)


def tokenizer_alone(name: str | Path) -> PreTrainedTokenizerBase | None:
    """The tokenizer that a ``tokenizer.json`` file or a folder without a model holds; None where it is neither.
    Raises InputError for one that does not load.
    """
    path = Path(name).expanduser()
    if path.is_file() and path.suffix == ".json":
        from transformers import PreTrainedTokenizerFast

        with _loading(path):
            return PreTrainedTokenizerFast(tokenizer_file=str(path))
    if (path / "tokenizer.json").is_file() and not (path / "config.json").is_file():
        return tokenizer_in(path)
    return None


@contextmanager
def _loading(place: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # The tokenizers library raises nothing narrower for a broken file than Exception itself.
        if type(error) is not Exception and not isinstance(error, OSError | ValueError | KeyError):
            raise
        if place.is_dir() and not any(path for pattern in _FILES for path in place.glob(pattern)):
            raise InputError(
                f"{place}: holds no tokenizer (tokenizer.json, or what its kind has instead); put the files of the "
                "model's own there."
            ) from error
        first_line = f"{error} is missing" if isinstance(error, KeyError) else str(error).strip().split("\n")[0]
        why = tokenizer_fault(place) or first_line
        raise InputError(f"{place}: the tokenizer does not load: {why}") from error


def declared_class(folder: Path) -> str | None:
    """The class that transformers would choose for the folder's tokenizer, where the files alone tell; else None."""
    declared = _read(folder / "tokenizer_config.json")
    if "auto_map" in declared or not (folder / "tokenizer.json").is_file():
        return None
    name = str(declared.get("tokenizer_class"))
    kind = _read(folder / "config.json").get("model_type")
    if (kind, name) not in DECLARED:
        return None
    return "PreTrainedTokenizerFast" if name in _GENERIC else name


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError):  # transformers says what is wrong with it
        return {}
    return content if isinstance(content, dict) else {}
