"""A GGUF file becomes an ordinary Hugging Face folder, once, in the user's cache.

What transformers' own GGUF loading leaves to be mended before the result is a normal model:

- quantised blocks are asked for dequantised (on a GPU they may stay packed otherwise), and the marks of a quantised
  model are removed, so that it can be trained and saved;
- GGUF keeps floats in 32 bits, so 1e-05 comes back as 9.999999747378752e-06; the shortest decimal with the same 32 bits
  is what the author wrote;
- a byte-level tokenizer's way of splitting text is only declared by name (`tokenizer.ggml.pre`), and transformers
  builds GPT-2's for names that it does not know. Wrong splits train and measure a model on tokens that it never saw,
  so names that neither side knows are refused.

No weight is rounded: dequantised values (a 16-bit scale times a small integer, plus a 16-bit offset) need float32;
a file of plain floats keeps its own type.
"""

import hashlib
import importlib.util
import io
import json
import logging
import sys
from collections import Counter
from contextlib import nullcontext, redirect_stderr
from pathlib import Path

from strop.common.errors import InputError
from strop.common.folders import cache_folder, whole_folder
from strop.model.load import first_line, quiet_transformers

CONVERSION = 1  # raised when the result of converting changes, so that older folders are not reused

PLAIN_FLOATS = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}

# Both lists follow llama.cpp's table of pre-tokenizer types, less the families whose published tokenizer also
# normalises the text, which GGUF does not record.
GPT2_SPLIT = {"gpt-2", "phi-2"}
DIGITS_THEN_GPT2_SPLIT = {"smollm", "starcoder", "refact"}

log = logging.getLogger(__name__)


def convert(file: Path) -> Path:
    """The Hugging Face folder made from the GGUF `file`; made now if there is none from the same bytes yet.

    Beside the usual files it holds `gguf_source.json`: the file's name and hash and how many tensors it held of each
    GGUF type. Safe to call from several processes at once.

    Raises InputError for a file that is no GGUF, that transformers cannot read, or whose tokenizer cannot be rebuilt
    faithfully; for a missing extra; where the cache has no room.
    """
    with file.open("rb") as stream:
        if stream.read(4) != b"GGUF":
            raise InputError(f"{file} is not a GGUF file (its first four bytes are not 'GGUF'); download it again.")
        stream.seek(0)
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    target = cache_folder() / "models" / f"{file.stem}-{digest[:16]}-v{CONVERSION}"
    if (target / "config.json").is_file():
        return target

    missing = [name for name in ("gguf", "accelerate") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"{file}: reading GGUF needs {' and '.join(missing)}: pip install 'strop[gguf]'.")
    log.info("converting %s once into %s", file, target)
    try:
        kinds, pre_tokenizer, n_parameters = _describe(file)
        # The bar of this conversion is drawn whatever transformers is asked.
        unseen = nullcontext() if sys.stderr.isatty() else redirect_stderr(io.StringIO())
        with quiet_transformers(), unseen:
            tokenizer = _load_tokenizer(file, pre_tokenizer)
            model = _load_model(file, kinds)
    except (ValueError, IndexError) as error:  # what the readers raise for a truncated file or an unknown architecture
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{file}: this GGUF file cannot be converted ({first_line(error)}); "
            "download the model's Hugging Face folder and pass that instead."
        ) from error
    tokenizer.model_max_length = model.config.get_text_config().max_position_embeddings
    source = {"file": file.name, "sha256": digest, "tensor_types": kinds, "conversion": CONVERSION}
    with whole_folder(target, n_parameters * model.dtype.itemsize, replace=False) as folder, quiet_transformers():
        tokenizer.save_pretrained(folder)
        model.save_pretrained(folder)
        (folder / "gguf_source.json").write_text(json.dumps(source, indent=2) + "\n")
    return target


def _describe(file: Path) -> tuple[dict[str, int], str | None, int]:
    """Tensors per GGUF type, the declared pre-tokenizer (None if the vocabulary is not byte level), the parameters."""
    from gguf import GGUFReader

    reader = GGUFReader(file)

    def field(key: str):
        return reader.fields[key].contents() if key in reader.fields else None

    if (field("split.count") or 1) > 1:
        raise InputError(f"{file} is one part of a split GGUF; join the parts with llama-gguf-split --merge first.")
    kinds = dict(Counter(tensor.tensor_type.name for tensor in reader.tensors))
    byte_level = field("tokenizer.ggml.model") == "gpt2"
    pre_tokenizer = field("tokenizer.ggml.pre") or "default" if byte_level else None
    return kinds, pre_tokenizer, sum(int(tensor.n_elements) for tensor in reader.tensors)


def _load_tokenizer(file: Path, declared: str | None):
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    for key in ("is_local", "local_files_only", "vocab_file", "name_or_path"):  # of this machine, not of the tokenizer
        tokenizer.init_kwargs.pop(key, None)
    backend = tokenizer.backend_tokenizer
    # A byte-level vocabulary starts from GPT-2's split; a Sequence means that transformers knew the declared name.
    if declared is None or isinstance(backend.pre_tokenizer, pre_tokenizers.Sequence) or declared in GPT2_SPLIT:
        return tokenizer
    if declared not in DIGITS_THEN_GPT2_SPLIT:
        raise InputError(
            f"{file}: its tokenizer splits text in the way called {declared!r}, which cannot be rebuilt here; "
            "download the model's Hugging Face folder and pass that instead."
        )
    digits = pre_tokenizers.Digits(individual_digits=True)
    gpt2 = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    backend.pre_tokenizer = pre_tokenizers.Sequence([digits, gpt2])
    return tokenizer


def _load_model(file: Path, kinds: dict[str, int]):
    import numpy as np
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig

    floats = [PLAIN_FLOATS.get(kind) for kind in kinds]
    # F32 norms beside half-precision matrices: the half type is the model's. Anything quantised: float32, see above.
    halves = [dtype for dtype in floats if dtype in ("float16", "bfloat16")]
    dtype = getattr(torch, halves[0] if halves and None not in floats else "float32")
    model = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=dtype, quantization_config=GgufConfig(dequantize=True)
    )
    for name in ("is_quantized", "quantization_method", "hf_quantizer"):
        model.__dict__.pop(name, None)
    for name in ("quantization_config", "_model_name_or_path"):
        model.config.__dict__.pop(name, None)
    for name, value in list(vars(model.config).items()):
        if isinstance(value, float):
            setattr(model.config, name, float(str(np.float32(value))))
    return model
