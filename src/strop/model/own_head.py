"""A model whose head is its embedding, written as one with a head of its own: the same numbers, one matrix more.

For vLLM servers that get new weights while they run: its build for CPUs (0.32) packs the head when it starts, and where
the head is the embedding it keeps that copy when weights are loaded. A head of its own is loaded as every other matrix.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel

from strop.model.preflight import head_name, tied_names

FLAG = "tie_word_embeddings"


def shares_head(config: PretrainedConfig) -> bool:
    """Whether the head is the embedding."""
    return bool(getattr(config.get_text_config(), FLAG, False))


def shares_head_in(folder: Path) -> bool:
    """The same of the model in ``folder``. Raises OSError or ValueError where there is none that can be read."""
    return shares_head(AutoConfig.from_pretrained(folder, local_files_only=True))


@contextmanager
def with_own_head(model: PreTrainedModel, state: dict[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Within the block ``model.config`` says that the head is a matrix of its own; gives ``state`` with a copy of the
    embedding as the head's. As they are where the head is one already."""
    if not tied_names(model):
        yield state
        return
    name = f"{head_name(model)}.weight"
    configs = {id(one): one for one in (model.config, model.config.get_text_config())}.values()
    before = [getattr(one, FLAG, None) for one in configs]
    try:
        for one in configs:
            setattr(one, FLAG, False)
        yield {**state, name: state[name].clone()}
    finally:
        for one, flag in zip(configs, before, strict=True):
            setattr(one, FLAG, flag)
