"""Whether a tokenizer's ids, a model's ``config.json`` and its rows belong together; and rows that were never trained.

Everything is read from the files' headers, or from the matrices that a loaded model has anyway.

Shapes: V rows, D width, K ids.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from strop.common.errors import InputError
from strop.model.load import outline, size_fault, stored

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Fault:
    """Something wrong with a model: what, how bad, and what to do."""

    kind: str
    level: Literal["error", "warning"]
    message: str
    mend: str

    def __str__(self) -> str:
        return f"{self.message}; {self.mend}"


FAINT = 1e-3
"""A row shorter than this share of the median row has never been trained."""
SAME = 1e-2
"""Two rows nearer than this share of the median row are one: what training makes different is farther apart."""


def check_tokens(tokenizer: Any, rows: int, used: Collection[int], name: str) -> str | None:
    """A tokenizer with more tokens than the model has rows: the words of a warning; None where it has not.

    ``used``: ids that are certain to come up (stop tokens, what the template prints). Raises InputError where one of
    them has no row.
    """
    beyond = sorted((index, token) for token, index in tokenizer.get_vocab().items() if index >= rows)
    if not beyond:
        return None
    needed = [(index, token) for index, token in beyond if index in used]
    index, token = (needed or beyond)[0]
    count = "1 token" if len(beyond) == 1 else f"{len(beyond)} tokens"
    message = (
        f"{name}: its tokenizer has {count} without a row in the model ({token} is {index}, and the model has rows 0 "
        f"to {rows - 1}){'' if needed else ', which the data must not hold'}; give the model rows for them "
        f"(model.resize_token_embeddings({beyond[-1][0] + 1}) in transformers, then save it) or use the "
        "tokenizer that belongs to it"
    )
    if needed:
        raise InputError(f"{message}.")
    return message


def template_token_ids(tokenizer: Any) -> frozenset[int]:
    """The ids of added tokens whose text stands in the chat template."""
    template = getattr(tokenizer, "chat_template", None)
    texts = template.values() if isinstance(template, dict) else [template or ""]
    added = {index: token.content for index, token in tokenizer.added_tokens_decoder.items() if token.content.strip()}
    return frozenset(index for index, content in added.items() if any(content in text for text in texts))


def token_ids(tokenizer: Any, names: Collection[str]) -> frozenset[int]:
    """The ids of ``lora.train_tokens``. Raises InputError for what is no token."""
    vocabulary = tokenizer.get_vocab()
    for name in names:
        if name not in vocabulary:
            raise InputError(f"lora.train_tokens: the tokenizer has no token {name!r}; check the spelling or drop it.")
    return frozenset(vocabulary[name] for name in names)


def untrained_rows(matrices: Mapping[str, Tensor], ids: Collection[int]) -> dict[int, str]:
    """Which of the ids have rows that no training has told apart, and why; ``matrices``: ``[V,D]`` by name.

    A model cannot produce a token whose row in the head is another's too, and cannot tell it where it reads it.
    """
    import torch

    found: dict[int, str] = {}
    for name, matrix in matrices.items():
        mine = sorted(i for i in set(ids) if 0 <= i < len(matrix) and i not in found)
        if not mine:
            continue
        lengths = torch.linalg.vector_norm(matrix.detach(), dim=1, dtype=torch.float32)  # [V]
        usual = lengths.median().item()
        for i in mine:
            row = matrix[i].detach().float()
            if lengths[i] <= FAINT * usual:
                found[i] = f"its row of the {name} is as good as zero"
                continue
            # Rows of about the same length first: few are compared in full.
            near = ((lengths - lengths[i]).abs() <= SAME * usual).nonzero()[:, 0]
            near = near[near != i]
            distance = torch.linalg.vector_norm(matrix[near].detach().float() - row, dim=1)
            if len(near) and distance.min() <= SAME * usual:
                found[i] = f"its row of the {name} is that of token {near[distance.argmin()].item()}"
    return dict(sorted(found.items()))


def matrices_of(model: PreTrainedModel) -> dict[str, Tensor]:
    """The matrices with a row per token of a loaded model; a tied one once."""
    found = {"embedding": model.get_input_embeddings().weight}
    head = model.get_output_embeddings()
    return found if head is None or head.weight is found["embedding"] else {**found, "head": head.weight}


def matrices_in(folder: Path) -> dict[str, Tensor]:
    """The same out of a folder's files, without loading the model; nothing where they are not safetensors."""
    from strop.model.preflight import embedding_name, head_name

    model = outline(folder)
    wanted = {f"{embedding_name(model)}.weight": "embedding"}
    if "head" in matrices_of(model):
        wanted[f"{head_name(model)}.weight"] = "head"
    return {wanted[key]: tensor[:] for key, tensor in stored(folder) if key in wanted}


def untrained_fault(tokenizer: Any, faults: Mapping[int, str], adapters: bool | None = None) -> Fault | None:
    """Control tokens whose rows were never trained, and what to do; ``adapters``: whether these alone are trained."""
    if not faults:
        return None
    names = dict(zip(faults, tokenizer.convert_ids_to_tokens(list(faults)), strict=True))
    message = "the model was never trained on control tokens that it needs ("
    message += "; ".join(f"{names[i]}: {why}" for i, why in faults.items()) + ")"
    listed = "[" + ", ".join(json.dumps(name, ensure_ascii=False) for name in names.values()) + "]"
    mends: dict[bool | None, str] = {
        True: f"set lora.train_tokens: {listed}",
        False: "this training learns them; adapters alone would not",
    }
    mend = mends.get(adapters, f"full fine-tuning learns them, and adapters do with lora.train_tokens: {listed}")
    return Fault("untrained_tokens", "warning", message, mend)


def vocabulary_faults(folder: Path, tokenizer: Any, stop_ids: Collection[int]) -> list[Fault]:
    """What is wrong between a folder's tokenizer, config and weights, but for what its data say; for `strop doctor`.

    ``vocab_size`` unlike the weights, control tokens whose rows were never trained.
    """
    used = {*stop_ids, *template_token_ids(tokenizer)}
    matrices = matrices_in(folder)
    size = (found := size_fault(folder)) and Fault("other_shape", "error", *found)
    return [f for f in (size, untrained_fault(tokenizer, untrained_rows(matrices, used))) if f is not None]
