"""The loss on texts as they stand, token by token, whatever their length."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from strop.chat import ChatEncoder
from strop.chat.text import text_ids
from strop.common.errors import InputError, NotFinite
from strop.evals.partial import Partial
from strop.evals.results import LossResult
from strop.rollout.engine import Scorer
from strop.tasks.base import Document


def encode_documents(documents: Sequence[Document], encoder: ChatEncoder) -> list[list[int]]:
    """The ids of each text after one token that is not measured, so that every token of the text is: the one that
    begins a document where the tokenizer has it, else its end token. Raises InputError where it has neither."""
    first = encoder.document_start[0] or ([encoder.document_end[0]] if encoder.document_end else [])
    if not first:
        raise InputError(
            "the tokenizer has neither a token that begins a text nor one that ends it, so a text's first token has "
            "nothing before it to be predicted from; set eos_token."
        )
    return [[*first, *text_ids(document.text, encoder)] for document in documents]


def measure_documents(
    documents: Sequence[Document],
    encoded: Sequence[Sequence[int]],
    engine: Scorer,
    partial: Partial,
    on_measured: Callable[[int], None] = lambda count: None,
) -> list[LossResult]:
    """The summed loss (nats) of every token of each text, given up to a window before it. Raises NotFinite where it is
    not finite."""
    for i, ids in enumerate(encoded):
        if partial.get("text", i) is None:
            [logprobs] = engine.score_documents([ids])
            loss = -math.fsum(logprobs)
            if not math.isfinite(loss):
                raise NotFinite(f"{documents[i].name}: the model's loss there is {loss}, so it cannot be measured.")
            partial.add("text", i, [loss, len(logprobs)])
            on_measured(1)
    done = [partial.get("text", i) for i in range(len(documents))]
    return [
        LossResult(document.name, document.name, loss, tokens, len(document.text.encode()))
        for document, (loss, tokens) in zip(documents, done, strict=True)
    ]
