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

        stored_in = {tensor.get_dtype() for _, tensor in stored(self.folder)}  # of other files nothing is known
        own = {torch.bfloat16: "BF16", torch.float16: "F16"}.get(held)
        if held == torch.float32 or {name for name in stored_in if name.startswith(("F", "BF"))} == {own}:
            return None
        model = load_folder(self.folder, torch.float32)
        fit_embeddings(model, self.known, self.new.values())
        return model
