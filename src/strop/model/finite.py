"""Numbers that are none: NaN and infinity in weights and in log-probabilities, found and named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from strop.common.errors import InputError, NotFinite
from strop.model.tokenizer import tokenizer_in

if TYPE_CHECKING:
    from strop.data.batch import Batch


@torch.no_grad()
def check_weights(model: nn.Module, folder: Path) -> None:
    """Raise InputError where a weight is NaN or infinite, with the first tensor and its first such row.

    One pass over each tensor, which makes nothing as large.
    """
    bad = [(name, p) for name, p in model.named_parameters() if p.is_floating_point() and not _finite(p)]
    if not bad:
        return
    name, parameter = bad[0]
    rows = (~torch.isfinite(parameter.flatten(1) if parameter.ndim > 1 else parameter[:, None])).any(1).nonzero()[:, 0]
    first = int(rows[0])
    matrices = [m.weight for m in (model.get_input_embeddings(), model.get_output_embeddings()) if m is not None]
    per_token = any(parameter is matrix for matrix in matrices)
    token = f" ({_token(folder, first)})" if per_token else ""
    more = f", and in {len(bad) - 1} more tensors" if len(bad) > 1 else ""
    raise InputError(
        f"{folder}: its log-probabilities cannot be finite, since the weights hold NaN or infinity: {name} in "
        f"{len(rows)} of {len(parameter)} rows, the first of them {first}{token}{more}; get the model again, or go "
        "back to an earlier checkpoint."
    )


def check_logprobs(logprobs: Tensor, batch: Batch, name: Callable[[int], str] = str) -> None:
    """Raise NotFinite where a log-probability ``[S]`` of a batch is NaN or +inf, with the first token it is of."""
    if _finite(logprobs):
        return
    bad = (torch.isnan(logprobs) | (logprobs == torch.inf)).nonzero()[:, 0]
    if not len(bad):
        return  # -inf: a token that the model rules out
    at = int(bad[0])
    sequence = int(batch.seq_index[at])
    raise NotFinite(
        f"the model's log-probabilities are not finite (first: token {name(int(batch.labels[at]))} of sequence "
        f"{sequence}; {len(bad)} of {len(logprobs)}); its weights or its number format are at fault: try "
        "compute.dtype=float32, or an earlier checkpoint."
    )


def _finite(x: Tensor) -> bool:
    """By the smallest and the largest number: NaN is handed on by both."""
    return x.numel() == 0 or all(bool(torch.isfinite(edge)) for edge in torch.aminmax(x.detach()))


def _token(folder: Path, index: int) -> str:
    try:
        token = tokenizer_in(folder).convert_ids_to_tokens(index)
    except InputError:  # a folder may hold a model without one
        return "of no token"
    return f"the token {token!r}" if token is not None else "of no token"
