"""A model fitted to tokens that its vocabulary did not have, and to the tokens that end its answers.

Shapes: V rows (tokens), D width.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


def fit_embeddings(model: PreTrainedModel, known: Collection[int], new: Collection[int]) -> int:
    """Give the ids ``new`` rows that are the mean of the rows of the ids ``known``; returns by how many rows V grew.

    The mean is that of real tokens: padding rows that the vocabulary never used are left out of it, and used first when
    they are among ``new``. It is taken of the input and of an untied output matrix separately, and of the output bias;
    tied matrices stay tied. The result depends on nothing but the weights (transformers' own ``mean_resizing`` draws
    from a normal distribution around the mean), and the global random state stays as it is.
    """
    import torch

    if not new:
        return 0
    old_rows = model.get_input_embeddings().weight.shape[0]
    rows = max(old_rows, max(new) + 1)
    if rows > old_rows:
        devices = [model.device] if model.device.type == "cuda" else []
        with torch.random.fork_rng(devices):  # the new rows are drawn first, and then overwritten below
            model.resize_token_embeddings(rows, mean_resizing=False)
    sources = sorted(i for i in known if i < old_rows)
    whole = sources == list(range(len(sources)))
    source = slice(len(sources)) if whole else torch.tensor(sources, device=model.device)
    target = torch.tensor(sorted({*new, *range(old_rows, rows)}), device=model.device)
    with torch.no_grad():
        for parameter in _per_token(model):
            parameter[target] = parameter[source].mean(0, dtype=torch.float32).to(parameter.dtype)
    return rows - old_rows


def stop_at(model: PreTrainedModel, ids: Collection[int]) -> None:
    """Have the model's generation settings stop at ``ids``, besides where they stop already.

    They are saved with the model, and whoever serves it takes the end of an answer from them. A model that only scores
    texts has none.
    """
    if not hasattr(model, "generation_config"):
        return
    config = model.generation_config
    listed = config.eos_token_id
    present = [listed] if isinstance(listed, int) else list(listed or ())
    stops = present + sorted(set(ids) - set(present))
    if stops != present:
        config.eos_token_id = stops[0] if len(stops) == 1 else stops


def _per_token(model: PreTrainedModel) -> Iterator[Tensor]:
    """The parameters with an entry per token, each once: matrices ``[V,D]`` and the output bias ``[V]``."""
    embeddings, head = model.get_input_embeddings(), model.get_output_embeddings()
    yield embeddings.weight
    if head is None:
        return
    if head.weight is not embeddings.weight:
        yield head.weight
    if getattr(head, "bias", None) is not None:
        yield head.bias
