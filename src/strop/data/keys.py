"""What prepared data depends on, as content: the same key means the same examples."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import strop
from strop.chat.builtin import template_text
from strop.common.errors import NotReachable
from strop.data.encoding import Encoding, Job
from strop.data.files import data_files
from strop.data.held_out import Portion
from strop.data.prepared import LAYOUT
from strop.data.rows import reading
from strop.data.settings import DataSettings

_LIBRARIES = ("tokenizers", "transformers", "jinja2", "numpy")
_CODE = ("chat", "data", "tasks")
_CODE_FILES = (".py", ".jinja", ".jsonl")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def ingredients(part: DataSettings, encoding: Encoding, job: Job, portion: Portion | None = None) -> dict[str, Any]:
    """Everything that the examples of a part are made from, in words and hashes. Raises InputError for missing data.

    ``portion``: which of its rows, where some are held out.
    """
    tokenizer = encoding.tokenizer
    return {
        "layout": LAYOUT,
        "code": code_digest(),
        "libraries": {name: version(name) for name in _LIBRARIES},
        "data": data_identity(part),
        "portion": portion and portion.to_dict(),
        "format": job.format,
        "skip": job.skip,
        "content": job.content,
        "system_prompts": job.draws and asdict(job.draws),
        "tokenizer": {
            "class": type(tokenizer).__name__,
            "backend": _sha256(tokenizer.backend_tokenizer.to_str()),
            "special_tokens": tokenizer.special_tokens_map,
            "chat_template": _sha256(json.dumps(getattr(tokenizer, "chat_template", None), sort_keys=True)),
        },
        "template": _sha256(template_text(encoding.settings.template) or ""),  # a file's content, not its name
        "chat": encoding.settings.model_dump(mode="json"),
        "stop_ids": sorted(encoding.stop_ids),
        "reads": encoding.reads,
        "window": encoding.window if encoding.settings.max_length is None else None,
    }


def key_of(made_from: dict[str, Any]) -> str:
    return _sha256(json.dumps(made_from, sort_keys=True))[:32]


def data_identity(part: DataSettings) -> dict[str, Any]:
    """Of a file its content, of the hub's data the commit, of a named set what it is drawn by; and which rows of it,
    read how. Raises InputError for data that are not there, or a hub that does not say which commit it has."""
    how = part.model_dump(include={"split", "count", "format", "columns", "documents"})
    if part.path is not None:
        files = data_files(part.path, part.split, part.subset)
        # The name counts too, because messages about the examples give it.
        read_as = {"task": part.task, "seed": part.seed} if part.task else {}
        return {"path": str(part.path), "content": files_digest(files), **read_as, **how}
    if part.hub is not None:
        return {"hub": part.hub, "commit": hub_commit(part.hub, part.revision), "subset": part.subset, **how}
    if part.stage is not None:  # of its rows nothing is known yet; the run adds what they are made from
        return {"stage": part.stage, **how}
    return {"task": part.task, "seed": part.seed, **how}


def files_digest(files: Iterable[Path]) -> str:
    """Of the names and contents of files. Raises InputError where one cannot be read."""
    digests = []
    for file in files:
        with reading(file):
            stat = file.stat()
            digests.append([file.name, _content(file, stat.st_size, stat.st_mtime_ns)])
    return _sha256(json.dumps(digests))


@lru_cache(maxsize=1024)
def _content(file: Path, size: int, mtime_ns: int) -> str:
    """Size and time are there so that a file that changed while the program runs is read again."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Of the code that makes examples: no version number has to be thought of when it changes."""
    root = Path(strop.__file__).parent
    files = (file for folder in _CODE for file in sorted((root / folder).rglob("*")))
    content = [[str(f.relative_to(root)), _sha256(f.read_bytes())] for f in files if f.suffix in _CODE_FILES]
    return _sha256(json.dumps(content))


def hub_commit(name: str, revision: str | None = None) -> str:
    """The full hash of a data set's commit. Raises NotReachable where the hub does not say it."""
    if revision is not None and _COMMIT.fullmatch(revision):
        return revision
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, HTTPError

    mend = "check the name, or set revision to a commit's full hash to use what was prepared before without a network."
    try:
        commit = HfApi().dataset_info(name, revision=revision).sha
    except (OSError, HTTPError, HFValidationError) as error:
        first_line = str(error).strip().partition("\n")[0]
        raise NotReachable(f"{name}: the hub does not say which commit this is ({first_line}); {mend}") from error
    if commit is None:
        raise NotReachable(f"{name}: the hub does not say which commit this is; {mend}")
    return commit


def _sha256(content: str | bytes) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()
