"""The tokenizer against the model's embedding: ids that have no row there."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from strop.doctor.findings import Finding, Tally
from strop.doctor.machine import ModelShape


def beyond(names: Mapping[int, str], grown: Collection[int], shape: ModelShape | None) -> dict[int, str]:
    """The tokens without a row; ``grown``: ids of tokens that strop adds rows for, which their template needs."""
    if shape is None or not shape.rows:
        return {}
    return {index: name for index, name in names.items() if index >= shape.rows and index not in grown}


def check_vocabulary(
    missing: Mapping[int, str], used: Tally, stop_ids: Collection[int], shape: ModelShape | None
) -> Iterator[Finding]:
    """``used``: the conversations that hold each of the tokens without a row, by id."""
    if shape is None:
        return
    if shape.vocabulary and shape.rows and shape.vocabulary != shape.rows:
        message = f"config.json says vocab_size {shape.vocabulary:,}, and the weights have {shape.rows:,} rows"
        mend = f"set vocab_size to {shape.rows} in config.json, or get the model again: it does not load as it is"
        yield Finding("vocab_size", "error", 1, message, mend)
    for index, name in missing.items():
        count = used.counts[str(index)]
        if not count and index not in stop_ids:
            continue
        where = f"{{n}} ⟨conversation|conversations⟩ with {name!r}" if count else f"the stop token {name!r}"
        message = (
            f"{where}, whose id is {index}, and the model's embedding has {shape.rows:,} rows (0 to {shape.rows - 1})"
        )
        mend = "add rows with resize_token_embeddings(len(tokenizer)), or take the tokenizer that belongs to the model"
        yield used.finding(str(index), "error", message, mend, name="id_beyond_embedding")
    unused = [name for index, name in missing.items() if not used.counts[str(index)] and index not in stop_ids]
    if unused:
        shown = ", ".join(map(repr, unused[:5])) + (f" and {len(unused) - 5} more" if len(unused) > 5 else "")
        message = f"{len(unused):,} tokens of the tokenizer have no row in the model's embedding: {shown}"
        mend = "nothing as long as no text holds them; they would stop a run"
        yield Finding("unused_id_beyond_embedding", "warning", len(unused), message, mend)
