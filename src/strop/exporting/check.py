"""``--check``: everybody who is at hand loads what was written, and is asked the same as strop's engine."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from strop.common.console import say, working
from strop.common.errors import InputError
from strop.exporting.agreement import Agreement, Reference, agreement, reference


@dataclass(frozen=True)
class Written:
    """What was made of the model in ``source``: ``target`` in this ``format``, its weights ``rounded`` to a number
    format on the way; ``file`` is a GGUF of llama.cpp's ``outtype``, if it is one."""

    source: Path
    target: Path
    format: str
    rounded: torch.dtype | None = None
    file: Path | None = None
    outtype: str = ""


def check(console: Console, written: Written, llama_cpp: Path | None, vllm: Path | None) -> dict[str, dict[str, Any]]:
    """{program: its `Agreement` as a dict}, told on ``console``. ``llama_cpp``: a checkout; ``vllm``: a Python.

    transformers (with peft for adapters) always; llama.cpp's server for GGUF where it is found; vLLM where it is named
    or its command is on the PATH. Raises InputError where transformers, or what is named, does not load what was
    written; of what is found on the PATH it is said.
    """
    with working("check: strop's engine"):
        wanted = reference(written.source, rounded=written.rounded, matrices_only=written.file is not None)
    found: dict[str, Agreement] = {}

    def told(name: str, agreed: Agreement) -> None:
        found[name] = agreed
        say(console, f"check: {_sentence(name, agreed)}", style="green" if agreed.difference is None else "red")

    if written.file is not None:
        _gguf(console, written.file, written.outtype, llama_cpp, wanted, told)
    else:
        told("transformers", _transformers(written, wanted))
        if written.format == "hf" and (python := vllm or _vllm_on_path()) is not None:
            from strop.exporting.ask_servers import open_vllm

            said = _said_unless(vllm is not None, console, "vLLM")
            with working("check: vLLM"), said, open_vllm(python, written.target, wanted) as program:
                told("vLLM", agreement(wanted, program))
    if not found:
        raise InputError(f"{written.target}: is written, and none of the programs could be asked; see above.")
    return {name: agreed.to_dict() for name, agreed in found.items()}


def _transformers(written: Written, wanted: Reference) -> Agreement:
    from strop.exporting.ask_transformers import Transformers, adapted, loaded
    from strop.model import adapter
    from strop.model.names import resolve

    with working("check: transformers"):
        if written.format == "adapter":
            model = adapted(written.target, *adapter.base_of(written.target, resolve))
        else:
            model = loaded(written.target)
        return agreement(wanted, Transformers(*model, wanted))


def _gguf(
    console: Console,
    file: Path,
    outtype: str,
    llama_cpp: Path | None,
    wanted: Reference,
    told: Callable[[str, Agreement], None],
) -> None:
    from strop.exporting.ask_servers import LLAMA_SERVER, built_server, open_llama
    from strop.exporting.ask_transformers import Transformers, loaded
    from strop.model import gguf

    built, on_path = llama_cpp and built_server(llama_cpp), shutil.which(LLAMA_SERVER)
    server = built if built or on_path is None else Path(on_path)
    with working("check: transformers"), _said_unless(server is None, console, "transformers"):
        told("transformers", agreement(wanted, Transformers(*loaded(gguf.convert(file)), wanted)))
    if server is None:
        place = "" if llama_cpp is None else f"built in {llama_cpp} or "
        say(console, f"check: llama.cpp itself was not asked: no {LLAMA_SERVER} is {place}on the PATH")
        return
    said = _said_unless(built is not None, console, "llama.cpp")
    with working("check: llama.cpp"), said, open_llama(server, file, wanted, outtype) as program:
        told("llama.cpp", agreement(wanted, program))


@contextmanager
def _said_unless(wanted: bool, console: Console, name: str) -> Iterator[None]:
    """Where a program that nobody asked for cannot be asked, that is said, and the check goes on."""
    try:
        yield
    except InputError as error:
        if wanted:
            raise
        say(console, f"check: {name} was not asked: {error}", style="yellow")


def _vllm_on_path() -> Path | None:
    """The Python beside the command ``vllm``."""
    command = shutil.which("vllm")
    python = None if command is None else Path(command).resolve().parent / "python"
    return python if python is not None and python.is_file() else None


def _sentence(name: str, agreed: Agreement) -> str:
    if agreed.difference is not None:
        return f"{name}: {agreed.difference}"
    tied = f" ({agreed.ties} of them up to a tie of two tokens)" if agreed.ties else ""
    return f"{agreed.prompts} of {agreed.prompts} greedy answers of {name} are those of strop's engine in float32{tied}"
