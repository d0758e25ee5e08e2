"""GGUF by llama.cpp's own converter, which is asked first whether it knows how the model's tokenizer splits text."""

from __future__ import annotations

import ast
import hashlib
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from strop.common.errors import InputError

SCRIPT = "convert_hf_to_gguf.py"
HOURS = 12.0
"""For the largest models on the slowest disks."""
_TEXT = re.compile(r"^\s*chktxt\s*=\s*(.+)$", re.MULTILINE)
_MISSING = re.compile(r"^ModuleNotFoundError: No module named '([^'.]+)")
_KNOWN = re.compile(r'chkhsh\s*==\s*"([0-9a-f]{64})":\s*\n(?:\s*#.*\n)*\s*res\s*=\s*"([^"]+)"')


def converter(folder: Path | None, model: Path, target: Path, outtype: str) -> Path:
    """llama.cpp's script: in ``folder`` (its checkout), else on the PATH.

    Raises InputError where it is not there, with the command that makes the file without strop.
    """
    if folder is not None:
        place = folder if folder.name == SCRIPT else folder.expanduser() / SCRIPT
        if place.is_file():
            return place
        raise InputError(f"--llama-cpp {folder}: holds no {SCRIPT}; give the folder of a checkout of llama.cpp.")
    if (found := shutil.which(SCRIPT)) is not None:
        return Path(found)
    command = shlex.join(["python", f"LLAMA_CPP/{SCRIPT}", str(model), "--outfile", str(target), "--outtype", outtype])
    raise InputError(
        f"GGUF is written by llama.cpp's {SCRIPT}, which is not on the PATH: give the folder of a checkout with "
        f"--llama-cpp DIR, or run `{command}` yourself (LLAMA_CPP is that folder)."
    )


def pre_tokenizer(script: Path, tokenizer: Any) -> tuple[str | None, str]:
    """(what the converter calls the tokenizer's way of splitting text, a sentence about it); None where it knows none
    or cannot be asked.

    The converter tells byte-level tokenizers apart by a hash of the ids of one text, and refuses those that it does not
    know (`get_vocab_base_pre`).
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or "ByteLevel" not in repr(backend.pre_tokenizer):
        return None, "the tokenizer is not byte level, so the converter needs no name of its pre-tokenizer"
    sources = [script, *sorted((script.parent / "conversion").glob("*.py"))]
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in sources]
    found = next((match for text in texts if (match := _TEXT.search(text))), None)
    if found is None:
        return None, f"{script}: its check of pre-tokenizers was not found, so whether it knows this one is not known"
    ids = tokenizer.encode(ast.literal_eval(found[1].strip()))
    mark = hashlib.sha256(str(ids).encode()).hexdigest()
    known = {digest: name for text in texts for digest, name in _KNOWN.findall(text)}
    if mark in known:
        return known[mark], f"the converter knows the tokenizer's pre-tokenizer: {known[mark]}"
    return None, (
        f"the converter does not know how this tokenizer splits text (hash {mark[:16]}… is none of its {len(known)}), "
        "so it refuses the model: add it by llama.cpp's convert_hf_to_gguf_update.py, or take a newer llama.cpp"
    )


def convert(script: Path, model: Path, file: Path, outtype: str, target: Path) -> None:
    """Write ``file``, which is to become ``target``. Raises InputError with the converter's last words if it fails, or
    takes longer than `HOURS`."""
    command = [sys.executable, str(script), str(model), "--outfile", str(file), "--outtype", outtype]
    shown = shlex.join([*command[:4], str(target), *command[5:]])
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=3600 * HOURS)
    except subprocess.TimeoutExpired:
        raise InputError(
            f"{script}: the converter did not end within {HOURS:g} hours; run `{shown}` yourself."
        ) from None
    if done.returncode or not file.is_file():
        last = [line for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()][-1:]
        if last and (missing := _MISSING.search(last[0])):
            raise InputError(
                f"{script}: the converter needs {missing[1]}, which {sys.executable} does not have: "
                f"{shlex.join([sys.executable, '-m', 'pip', 'install', missing[1]])}"
            )
        raise InputError(
            f"{script}: the converter ended with {done.returncode} ({' '.join(last) or 'and said nothing'}); to see "
            f"all of it run `{shown}`."
        )
