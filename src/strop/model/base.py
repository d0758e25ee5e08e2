"""The model that adapters stand beside, as a stage began with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from strop.model.load import load_folder, stored
from strop.model.new_tokens import fit_embeddings

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Base:
    """``name`` as the user gave it, ``folder`` where it is; ``rows`` of its embedding as they are trained.

    ``known``: the ids that its own tokenizer had. ``new``: the tokens, with their ids, that were given rows.
    """

    name: str
    folder: Path
    rows: int
    known: frozenset[int]
    new: dict[str, int]

    def whole(self, held: torch.dtype) -> PreTrainedModel | None:
        """The base in float32, where its files hold more digits than ``held`` does; else None."""
        import torch

        if held == torch.float32 or _formats(self.folder) == {_NAMES.get(str(held))}:
            return None
        model = load_folder(self.folder, torch.float32)
        fit_embeddings(model, self.known, self.new.values())
        return model


_NAMES = {"torch.bfloat16": "BF16", "torch.float16": "F16"}


def _formats(folder: Path) -> set[str]:
    """The formats of the floating-point weights in a folder's safetensors files; of other files nothing is known."""
    found = {tensor.get_dtype() for _, tensor in stored(folder)}
    return {name for name in found if name[0] in "FB"} - {"BOOL"}
