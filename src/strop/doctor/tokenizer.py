"""The tokenizer: what its settings would do to labels, and ids that the model's embedding has no row for."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from strop.doctor.findings import Finding, Level, Tally
from strop.doctor.machine import ModelShape


def check_tokenizer(tokenizer: Any, stop_ids: Collection[int]) -> Iterator[Finding]:
    """``stop_ids``: all ids that end a turn, the model's generation_config included."""
    if tokenizer.eos_token_id is None:
        level: Level = "warning" if stop_ids else "error"
        message = "the tokenizer has no eos_token" + ("" if stop_ids else ", and nothing else says what ends an answer")
        mend = "set eos_token in tokenizer_config.json to the token that ends a turn"
        yield Finding("no_eos", level, 1, message, mend)
    pad = tokenizer.pad_token_id
    if pad is not None and pad in stop_ids:
        message = (
            f"the padding token {tokenizer.pad_token!r} is also a stop token: strop never pads, so nothing is lost "
            "here, but a trainer that masks padding by its id also masks every stop token, and its model never stops"
        )
        mend = "for other trainers give the tokenizer a pad_token of its own"
        yield Finding("pad_is_stop", "note", 1, message, mend, text=tokenizer.pad_token)


def beyond(names: Mapping[int, str], grown: Collection[int], shape: ModelShape) -> dict[int, str]:
    """The tokens without a row; ``grown``: ids of tokens that strop adds rows for, which their template needs."""
    return {index: name for index, name in names.items() if index >= shape.rows > 0 and index not in grown}


def check_vocabulary(
    missing: Mapping[int, str], used: Tally, stop_ids: Collection[int], shape: ModelShape
) -> Iterator[Finding]:
    """``used``: the conversations that hold each of the tokens without a row, by id."""
    if shape.vocabulary and shape.rows and shape.vocabulary != shape.rows:
        message = f"config.json says vocab_size {shape.vocabulary:,}, and the weights have {shape.rows:,} rows"
        mend = f"set vocab_size to {shape.rows} in config.json, or get the model again: it does not load as it is"
        yield Finding("vocab_size", "error", 1, message, mend)
    unused = []
    for index, name in missing.items():
        count = used.counts[str(index)]
        if not count and index not in stop_ids:
            unused.append(name)
            continue
        where = f"{{n}} ⟨conversation|conversations⟩ with {name!r}" if count else f"the stop token {name!r}"
        message = (
            f"{where}, whose id is {index}, and the model's embedding has {shape.rows:,} rows (0 to {shape.rows - 1})"
        )
        mend = "add rows with resize_token_embeddings(len(tokenizer)), or take the tokenizer that belongs to the model"
        yield used.finding(str(index), "error", message, mend, name="id_beyond_embedding")
    if unused:
        shown = ", ".join(map(repr, unused[:5])) + (f" and {len(unused) - 5} more" if len(unused) > 5 else "")
        message = f"{len(unused):,} tokens of the tokenizer have no row in the model's embedding: {shown}"
        mend = "nothing as long as no text holds them; they would stop a run"
        yield Finding("unused_id_beyond_embedding", "warning", len(unused), message, mend)
