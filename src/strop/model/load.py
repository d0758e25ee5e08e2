"""A model's folder loaded, and a model saved into one, as what it is: a causal language model, or one that scores.

torch is imported where weights are wanted, so that finding a model and its tokenizer does without.
"""

from __future__ import annotations

import pickle
import re
import struct
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub.errors import StrictDataclassError

from strop.common.errors import InputError
from strop.common.folders import whole_folder
from strop.model.generation import check_generation_config, read_json_object
from strop.model.whole import weights_fault

if TYPE_CHECKING:
    import torch
    from transformers import (
        AutoModelForCausalLM,
        AutoModelForSequenceClassification,
        PreTrainedModel,
        PreTrainedTokenizerBase,
    )
    from transformers.utils.quantization_config import QuantizationConfigMixin

# What is wrong in config.json shows as any of these; torch's own errors are RuntimeError.
WRONG_CONFIG = (
    *(OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, ArithmeticError),
    StrictDataclassError,
)
# And in a .bin file.
WRONG_PICKLE = (pickle.UnpicklingError, struct.error, EOFError)
_LAYER = re.compile(r"\.\d+\.")
SCORING = "ForSequenceClassification"
META = "meta"  # torch's device of tensors that have shapes and no numbers


def auto_class(
    architectures: Sequence[str] | None,
) -> type[AutoModelForCausalLM] | type[AutoModelForSequenceClassification]:
    """transformers' class that makes such a model: a causal language model, or one that scores whole sequences."""
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    scoring = any(str(name).endswith(SCORING) for name in architectures or ())
    return AutoModelForSequenceClassification if scoring else AutoModelForCausalLM


def outline(folder: Path) -> PreTrainedModel:
    """The model that ``folder/config.json`` describes, without weights. Raises InputError when it is none."""
    import torch
    from transformers import AutoConfig

    read_json_object(folder / "config.json")
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        with torch.device("meta"):
            return auto_class(config.architectures).from_config(config)
    except WRONG_CONFIG as error:
        own = read_json_object(folder / "config.json").get("auto_map")
        code = " Its own code (auto_map) is not run: choose a model that transformers knows." if own else ""
        raise InputError(
            f"{folder}: config.json does not describe a causal language model ({first_line(error)}).{code}"
        ) from error


def load_folder(
    folder: Path,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    quantization: QuantizationConfigMixin | None = None,
    scores: bool = False,
) -> PreTrainedModel:
    """See `strop.model.names.load_model`. On the device `META` it has no numbers: what its files lack or hold too much
    is found for the price of their headers."""
    import torch
    from safetensors import SafetensorError

    from strop.model.finite import check_weights

    check_generation_config(folder)
    dtype = torch.float32 if dtype is None else dtype
    more: dict[str, Any] = {} if quantization is None else {"quantization_config": quantization}
    if placed := quantization is not None or device == META:  # where transformers reads them to
        more["device_map"] = {"": device or "cpu"}
    architectures = read_json_object(folder / "config.json").get("architectures")
    if scores:
        architectures, more["num_labels"] = [SCORING], 1
    try:
        with quiet_transformers(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # of a score layer that is new
            model, found = auto_class(architectures).from_pretrained(
                folder, dtype=dtype, local_files_only=True, output_loading_info=True, **more
            )
    except (*WRONG_CONFIG, *WRONG_PICKLE, SafetensorError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise InputError(_why_not(folder, error)) from error
    check_layers(folder, found["unexpected_keys"], dict(model.named_parameters()))
    missing = sorted(set(found["missing_keys"]) - ({"score.weight"} if scores else set()))
    if missing:
        raise InputError(
            f"{folder}: the weight files lack {len(missing)} of the model's weights (the first is {missing[0]}); "
            "download or save the model again."
        )
    model = model if device is None or placed else model.to(device)
    if device != META:
        check_weights(model, folder)
    return model


def _why_not(folder: Path, error: Exception) -> str:
    if why := weights_fault(folder):
        return why
    if fault := size_fault(folder):
        return f"{'; '.join(fault)}."
    if isinstance(error, WRONG_PICKLE):
        return f"{folder}: its .bin files hold no weights ({first_line(error)}); download or save the model again."
    return f"{folder}: the model does not load: {first_line(error)}"


def check_layers(folder: Path, unused: Collection[str], known: Collection[str]) -> None:
    """Raise InputError where the weight files hold more layers than ``config.json`` says (``unused`` weights beside
    ``known`` ones of another layer): what was made of them would be a part of the model, and only the numbers would
    tell. Layers that predict further tokens are no part of it."""
    if read_json_object(folder / "config.json").get("num_nextn_predict_layers"):
        return
    layers = {_LAYER.sub(".0.", name, count=1) for name in known}
    if left := sorted(name for name in unused if _LAYER.search(name) and _LAYER.sub(".0.", name, count=1) in layers):
        raise InputError(
            f"{folder}: the weight files hold layers that config.json does not have ({len(left)} weights, the first is "
            f"{left[0]}); get the model again, with its own config.json."
        )


def save_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: str | Path,
    beside: Callable[[Path], None] | None = None,
    state: dict[str, torch.Tensor] | None = None,
) -> None:
    """Write model, tokenizer, chat template and generation settings to `folder` in the standard Hugging Face layout.

    The folder appears whole or not at all, and replaces an older model in the same place. `beside` writes what else
    belongs into it, before it takes its place. `state`: the weights to write instead of the model's own.

    Raises InputError where the disk is full or read-only, or `folder` holds something that is not a model.
    """
    target = Path(folder).expanduser().absolute()
    if target.is_dir() and any(target.iterdir()) and not (target / "config.json").is_file():
        raise InputError(f"{target} already holds files that are not a model; choose a new folder to save into.")
    n_bytes = sum(p.numel() * p.element_size() for p in model.parameters())
    with whole_folder(target, n_bytes, replace=True) as scratch, quiet_transformers():
        tokenizer.save_pretrained(scratch)
        model.save_pretrained(scratch, **({} if state is None else {"state_dict": state}))
        if beside is not None:
            beside(scratch)


def check_writes(model: PreTrainedModel) -> None:
    """Raise InputError for a model that scores texts, where one is wanted that writes them."""
    if model.get_output_embeddings() is None:
        name = type(model).__name__
        raise InputError(f"{name} scores texts and writes none; choose a causal language model.")


def size_fault(folder: Path) -> tuple[str, str] | None:
    """The first weight whose shape in the files is not what ``config.json`` says, and what to do; None: all fit."""
    from safetensors import SafetensorError

    model = outline(folder)
    by_config = {name: tuple(p.shape) for name, p in model.named_parameters(remove_duplicate=False)}
    try:
        by_files = ((key, tuple(tensor.get_shape())) for key, tensor in stored(folder) if key in by_config)
        key, found = next(((key, shape) for key, shape in by_files if shape != by_config[key]), (None, ()))
    except (OSError, SafetensorError):
        return None  # loading says what is wrong with it
    if key is None:
        return None
    wanted = by_config[key]
    rows = model.get_input_embeddings().weight.shape[0]
    if len(found) == len(wanted) == 2 and wanted[0] == rows and found[1] == wanted[1]:
        message = f"{folder}: vocab_size in config.json is {wanted[0]} and the weights have {found[0]} rows ({key})"
        return message, f"set vocab_size to {found[0]}"
    sizes = [" × ".join(map(str, shape)) for shape in (found, wanted)]
    message = f"{folder}: {key} is {sizes[0]} in the weights and {sizes[1]} by config.json"
    return message, "get the model again, with its own config.json"


def stored(folder: Path) -> Iterator[tuple[str, Any]]:
    """The tensors in a folder's safetensors files by name, each as safetensors' own slice: read when it is asked."""
    from safetensors import safe_open

    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118
                yield key, tensors.get_slice(key)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars of transformers inside, unless standard error is a terminal; the settings found are put back.

    No warnings either: what is wrong with a model is said in one line by whoever loads it.
    """
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    silence = logging.is_progress_bar_enabled() and not sys.stderr.isatty()
    if silence:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if silence:
            logging.enable_progress_bar()


def first_line(error: Exception) -> str:
    """The first line, and the next one where it only announces that."""
    lines = [line.strip() for line in str(error).strip().split("\n") if line.strip()]
    return " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])
