"""An exported model's folder, filled: the whole model, its adapters alone, or a GGUF file, each with a card."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch

from strop.chat import ChatSettings
from strop.chat.saved import chat_of
from strop.chat.template import ChatTemplate, TemplateFailure
from strop.common.errors import InputError
from strop.common.folders import whole_folder
from strop.exporting import gguf
from strop.exporting.card import card
from strop.exporting.source import Source
from strop.model.adapter import MERGED
from strop.model.generation import read_json_object
from strop.model.load import META, auto_class, load_folder, quiet_transformers, size_fault, stored
from strop.model.own_head import shares_head_in, with_own_head
from strop.model.tokenizer import tokenizer_in
from strop.model.whole import weights_fault

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
OUTTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
"""Of llama.cpp's types those that are a number format of torch; others (q8_0 …) are quantised."""
_MARKS = ("config.json", "adapter_config.json", "*.gguf")
_FORMATS = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}


def check_target(target: Path, source: Source, fresh: bool) -> None:
    """Raise InputError where something is in the way that is not to be replaced."""
    if target.exists() and not target.is_dir():
        raise InputError(f"{target}: is no folder, and a model is one; give another place with --to.")
    inside = Path(os.path.realpath(target))
    for place in filter(None, (source.model, source.adapters, source.run)):
        if inside == place.resolve() or place.resolve().is_relative_to(inside):
            raise InputError(f"{target}: holds what is exported; give another place with --to.")
    if source.stage is not None and inside.is_relative_to(source.stage.resolve()):
        raise InputError(f"{target}: lies in the stage that is exported; give another place with --to.")
    if not target.is_dir() or not any(target.iterdir()):
        return
    if not fresh:
        raise InputError(f"{target}: is there already; say --fresh to replace it, or give another place with --to.")
    if not any(any(target.glob(mark)) for mark in _MARKS):
        raise InputError(
            f"{target}: holds files that are no model, which --fresh does not replace; give another place."
        )


def check_source(folder: Path) -> None:
    """Raise InputError where a model's files are not whole: an export would hand that on."""
    if why := weights_fault(folder):
        raise InputError(why)
    if fault := size_fault(folder):
        raise InputError(f"{'; '.join(fault)}.")
    load_folder(folder, device=META)
    own = tokenizer_in(folder)
    chat_of(ChatSettings(), folder, own)
    templates = own.chat_template or ""
    for text in templates.values() if isinstance(templates, dict) else [templates]:
        try:
            ChatTemplate(text)
        except TemplateFailure as error:
            raise InputError(f"{folder}: its chat template does not compile: {error}; mend the template.") from error


def write_model(source: Source, target: Path, dtype: str | None, own_head: bool = False) -> torch.dtype | None:
    """The whole model as transformers, vLLM and others load it, its files as they are or in ``dtype``. ``own_head``:
    where the head is the embedding, as a matrix of its own.

    Gives the format that weights were rounded to; None where none was. Raises InputError.
    """
    files = [path for path in source.model.iterdir() if path.is_file() and path.name not in (MERGED, "README.md")]
    with whole_folder(target, sum(path.stat().st_size for path in files), replace=True) as scratch:
        held = {kind for _, tensor in stored(source.model) if (kind := _FORMATS.get(tensor.get_dtype()))}
        own_head = own_head and shares_head_in(source.model)
        if not own_head and (dtype is None or held == {dtype}):
            for path in files:
                shutil.copyfile(path, scratch / path.name)
            rounded = None
        else:
            weights = (".safetensors", ".bin", ".index.json")
            for path in files:
                if not path.name.endswith(weights) and path.name != "config.json":
                    shutil.copyfile(path, scratch / path.name)
            network = load_folder(source.model, None if dtype is None else DTYPES[dtype])
            state = network.state_dict()
            with quiet_transformers(), with_own_head(network, state) if own_head else nullcontext(state) as written:
                network.save_pretrained(scratch, state_dict=written)
            rounded = None if dtype in (None, "float32") else DTYPES[dtype]
        kind = auto_class(read_json_object(source.model / "config.json").get("architectures")).__name__
        load = f"from transformers import {kind}, AutoTokenizer\n"
        load += f'tokenizer = AutoTokenizer.from_pretrained("{target.name}")\n'
        load += f'model = {kind}.from_pretrained("{target.name}")'
        (scratch / "README.md").write_text(card(source, "The whole model", load), encoding="utf-8")
    return rounded


def write_adapter(source: Source, target: Path) -> None:
    """The adapters alone, as peft loads them. Raises InputError for what has none."""
    if source.adapters is None:
        raise InputError(
            f"{source.name}: has no adapters beside it (a stage with `lora` leaves them in its folder adapter/); "
            "export it whole with --format hf."
        )
    files = [path for path in source.adapters.iterdir() if path.is_file() and path.name != "README.md"]
    with whole_folder(target, sum(path.stat().st_size for path in files), replace=True) as scratch:
        for path in files:
            shutil.copyfile(path, scratch / path.name)
        own = source.adapters / "README.md"
        text = own.read_text(encoding="utf-8") if own.is_file() else ""
        load = text.partition("```python\n")[2].partition("\n```")[0].replace("THIS_FOLDER", f'"{target.name}"')
        peft = "from peft import AutoPeftModelForCausalLM\nmodel = AutoPeftModelForCausalLM"
        load = load or f'{peft}.from_pretrained("{target.name}")'
        form = "The adapters alone (LoRA, peft's layout), beside the frozen weights"
        (scratch / "README.md").write_text(card(source, form, load), encoding="utf-8")


def write_gguf(
    source: Source, target: Path, outtype: str, llama_cpp: Path | None, say: Callable[[str], None]
) -> tuple[Path, str | None]:
    """``target/NAME-TYPE.gguf`` by llama.cpp's converter; gives it, and what the converter calls the pre-tokenizer.

    Raises InputError where the converter is not there, does not know the tokenizer, or fails.
    """
    name = f"{target.name}-{outtype}.gguf"
    script = gguf.converter(llama_cpp, source.model, target / name, outtype)
    known, sentence = gguf.pre_tokenizer(script, tokenizer_in(source.model))
    say(sentence)
    with whole_folder(
        target, sum(p.stat().st_size for p in source.model.iterdir() if p.is_file()), replace=True
    ) as scratch:
        gguf.convert(script, source.model, scratch / name, outtype, target / name)
        text = card(source, f"The whole model as GGUF ({outtype})", f"llama-cli -m {name} -cnv")
        (scratch / "README.md").write_text(text, encoding="utf-8")
    return target / name, known
