"""``strop export``: a model for others to load, or prompts for verl; and whether the model answers as before."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from strop.common.console import make_console, say, speaking_on, working
from strop.common.errors import InputError

FORMATS = ("hf", "adapter", "gguf", "verl")


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line."""

    source: str
    target: Path
    format: Literal["hf", "adapter", "gguf", "verl"] = "hf"
    dtype: str | None = None
    own_head: bool = False
    outtype: str | None = None
    llama_cpp: Path | None = None
    vllm: Path | None = None
    split: str | None = None
    count: int | None = None
    seed: int | None = None
    check: bool = False
    fresh: bool = False
    json: bool = False


_ONLY = {"hf": ("dtype", "own_head", "vllm"), "gguf": ("outtype", "llama_cpp"), "verl": ("split", "count", "seed")}
"""The options that only one of the formats reads."""


def export(request: Request) -> tuple[int, dict[str, Any]]:
    """(exit code, the account): 1 where ``check`` found a difference. Raises InputError for what cannot be exported."""
    for form, name in ((form, name) for form, names in _ONLY.items() for name in names):
        if getattr(request, name) not in (None, False) and request.format != form:
            raise InputError(f"--{name.replace('_', '-')} is for --format {form}; leave it out with {request.format}.")
    if request.vllm is not None and not request.check:
        raise InputError("--vllm names who answers with --check; say --check too, or leave it out.")
    if request.vllm is not None and shutil.which(request.vllm.expanduser()) is None:
        raise InputError(
            f"--vllm {request.vllm}: there is no such program; name the Python of an environment with vLLM."
        )
    with speaking_on(make_console(stderr=request.json)):
        return (0, _prompts(request)) if request.format == "verl" else _model(request)


def _prompts(request: Request) -> dict[str, Any]:
    from strop.exporting.verl import verl_rows, write_verl

    for option, least in (("count", 1), ("seed", 0)):
        if (given := getattr(request, option)) is not None and given < least:
            raise InputError(f"--{option} {given}: give {least} or more.")
    if request.check:
        raise InputError("--check compares a model's answers, and --format verl writes data; leave it out.")
    if request.target.suffix != ".parquet":
        raise InputError(f"--to {request.target}: verl reads Parquet; give a name that ends in .parquet.")
    if request.target.exists() and not request.fresh:
        raise InputError(f"{request.target}: is there already; say --fresh to replace it, or give another with --to.")
    rows = verl_rows(request.source, request.split, request.count, request.seed or 0)
    with working("prompts", request.count) as work:
        written = write_verl(work.through(rows), request.target)
    say(make_console(stderr=request.json), f"{request.target}: {written:,} prompts with ground truth\n"
        f"next: data.train_files={request.target} in verl")  # fmt: skip
    return {"format": "verl", "path": str(request.target), "rows": written}


def _model(request: Request) -> tuple[int, dict[str, Any]]:
    from strop.exporting import folders
    from strop.exporting.check import Written, check
    from strop.exporting.source import source_of

    console = make_console(stderr=request.json)
    with working("export: the source, adapters merged where there are any"):
        source = source_of(request.source)
    folders.check_target(request.target, source, request.fresh)
    folders.check_source(source.model)
    account: dict[str, Any] = {"format": request.format, "path": str(request.target), "model": str(source.model)}
    written = Written(source.model, request.target, request.format)
    if request.format == "hf":
        with working("export: the model's files"):
            rounded = folders.write_model(source, request.target, request.dtype, request.own_head)
        written = replace(written, rounded=rounded)
    elif request.format == "adapter":
        folders.write_adapter(source, request.target)
    else:
        outtype = request.outtype or "f16"
        if request.check and outtype not in folders.OUTTYPES:
            raise InputError(
                f"--check: weights in {outtype} are other ones, so answers differ; check f32, f16 or bf16."
            )
        with working("export: llama.cpp's converter"):
            file, known = folders.write_gguf(
                source, request.target, outtype, request.llama_cpp, lambda text: say(console, text)
            )
        written = replace(written, rounded=folders.OUTTYPES.get(outtype), file=file, outtype=outtype)
        account |= {"file": str(file), "pre_tokenizer": known}
    size = sum(path.stat().st_size for path in request.target.iterdir())
    say(console, f"{request.target}: {request.format}, {size / 1e6:,.1f} MB, with a card (README.md)")
    if not request.check:
        return 0, account
    account["check"] = check(console, written, request.llama_cpp, request.vllm)
    return int(any(found["difference"] is not None for found in account["check"].values())), account
