"""What can be known of a model to be trained from its ``config.json`` alone, before any weight is loaded.

The model is built on torch's meta device: all names and shapes, no memory.
"""

from __future__ import annotations

import difflib
import importlib.util
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from strop.common.errors import InputError
from strop.model.load import check_writes, outline
from strop.model.settings import ALL_LINEAR, LoraSettings
from strop.model.window import window

ATTENTION = frozenset({"full_attention", "attention", "sliding_attention", "dense", "sparse", "moe"})
"""Kinds of layers that keep the sequences of a flat row apart; others (state space, convolution, chunks) mix them."""


SMALLEST = 8
"""Rows and columns that a matrix must have for ``all-linear`` to take it."""


def check_training(
    folder: Path,
    lora: LoraSettings | None,
    max_length: int | None,
    device: torch.device,
    stage: str,
    writes: bool = True,
) -> None:
    """Raise InputError for what would fail later, or silently go wrong: ``stage`` is where the settings stand;
    ``writes``: the model is to write texts, not to score them."""
    model = outline(folder)
    if writes:
        check_writes(model)
    check_packable(model)
    limit = window(model.config)
    if limit is not None and max_length is not None and max_length > limit:
        raise InputError(
            f"chat.max_length is {max_length} and the model reads at most {limit} tokens "
            f"(max_position_embeddings); set chat.max_length to {limit} or less."
        )
    if lora is not None:
        check_lora(model, lora, device, f"{stage}.lora")


def check_packable(model: PreTrainedModel) -> None:
    """Raise InputError where the config tells that a layer would mix the sequences of a row."""
    check_layer_kinds(model)
    if not model._can_set_attn_implementation():
        raise InputError(
            f"{type(model).__name__} does not let its attention be set, so its rows cannot be packed; "
            "choose a model with plain softmax attention."
        )


def check_layer_kinds(model: PreTrainedModel) -> None:
    """Raise InputError for layers that the config names and that are no attention."""
    kinds = getattr(model.config.get_text_config(), "layer_types", None) or ()
    if other := sorted(set(kinds) - ATTENTION):
        raise InputError(
            f"{type(model).__name__} cannot be trained on packed rows: it has layers of the kind {', '.join(other)}, "
            "which would mix the sequences of a row. Choose a model with plain softmax attention."
        )


def check_length(model: PreTrainedModel, tokens: int, place: str) -> None:
    """Raise InputError where the longest example, at ``place``, is longer than what the model reads."""
    limit = window(model.config)
    if limit is not None and tokens > limit:
        raise InputError(
            f"{place}: has {tokens} tokens and the model reads at most {limit} (max_position_embeddings); "
            f"set chat.max_length to {limit} or less."
        )


def check_lora(model: PreTrainedModel, lora: LoraSettings, device: torch.device, where: str) -> None:
    """Raise InputError for adapters that this model or this machine cannot have. ``where``: the settings' place."""
    if lora.quantize and device.type != "cuda":
        raise InputError(
            f"{where}.quantize: {lora.quantize} needs a CUDA device and this run computes on {device}; leave it out."
        )
    if lora.quantize and importlib.util.find_spec("bitsandbytes") is None:
        raise InputError(f"{where}.quantize: {lora.quantize} needs bitsandbytes: pip install 'strop[qlora]'.")
    modules = dict(model.named_modules())
    for field in ("targets", "modules_to_save"):
        for wanted in getattr(lora, field):
            if wanted != ALL_LINEAR and not any(named(name, [wanted]) for name in modules):
                raise InputError(f"{where}.{field}: no module is called {wanted}; {_nearest(wanted, modules, field)}")
    refuse_tied(lora, tied_names(model))
    for name, module in _targets(model, lora):
        shape = _matrix(module)
        if shape is None:
            raise InputError(
                f"{where}.targets: {name} is a {type(module).__name__}, which takes no adapter; "
                "name linear layers, or put it in modules_to_save."
            )
        if lora.r > min(shape):
            raise InputError(
                f"{where}.r is {lora.r}, more than the rank of {name} ({shape[0]} × {shape[1]}); "
                f"set it to {min(shape)} or less, or leave that module out of targets."
            )


def _targets(model: PreTrainedModel, lora: LoraSettings) -> list[tuple[str, nn.Module]]:
    if lora.targets != [ALL_LINEAR]:
        return [(name, m) for name, m in model.named_modules() if named(name, lora.targets)]
    head, small = model.get_output_embeddings(), set(too_small(model))
    linear = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear | Conv1D) and m is not head]
    return [(name, module) for name, module in linear if name not in small]


def too_small(model: PreTrainedModel) -> list[str]:
    """Linear layers that ``all-linear`` leaves out: a gate of one row has no low rank to speak of."""
    shapes = {name: _matrix(module) for name, module in model.named_modules()}
    return [name for name, shape in shapes.items() if shape is not None and min(shape) < SMALLEST]


def tied_names(model: PreTrainedModel) -> tuple[str, ...]:
    """Names of the input embedding and the head where they are one matrix; else nothing."""
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    if head is None or head.weight is not embedding.weight:
        return ()
    return tuple(name for name, module in model.named_modules() if module is embedding or module is head)


def head_name(model: PreTrainedModel) -> str:
    head = model.get_output_embeddings()
    return next((name for name, module in model.named_modules() if module is head), "lm_head")


def embedding_name(model: PreTrainedModel) -> str:
    embedding = model.get_input_embeddings()
    return next(name for name, module in model.named_modules() if module is embedding)


def named(module: str, names: list[str]) -> bool:
    """Whether a list of names names this module, as peft reads them: whole, or from a dot on."""
    return any(module == name or module.endswith(f".{name}") for name in names)


def refuse_tied(settings: LoraSettings, tied: tuple[str, ...]) -> None:
    """Raise InputError for adapters on one of two tied matrices: merged, they would change the other one too."""
    for name in tied:
        if named(name, settings.targets):
            raise InputError(
                f"lora.targets: {name} shares its matrix with {next(t for t in tied if t != name)} in this model, so "
                "adapters on it cannot be merged; leave it out, or put it in lora.modules_to_save."
            )


def _matrix(module: nn.Module) -> tuple[int, int] | None:
    """Rows and columns of what an adapter can stand beside; None for other modules."""
    if isinstance(module, nn.Linear | nn.Embedding | Conv1D):
        rows, columns = module.weight.shape
        return rows, columns
    return None


def _nearest(wanted: str, modules: dict[str, nn.Module], field: str) -> str:
    last = {name.rpartition(".")[2] for name, module in modules.items() if name and _matrix(module)}
    known = dict.fromkeys([*([ALL_LINEAR] if field == "targets" else []), *last, *modules])
    close = difflib.get_close_matches(wanted, known, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(sorted(last))}."
