"""The tokenizer's own settings: what they would do to labels, here and in other programs."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from strop.doctor.findings import Finding


def check_tokenizer(tokenizer: Any, stop_ids: Collection[int]) -> list[Finding]:
    """``stop_ids``: all ids that end a turn, the model's generation_config included."""
    found = []
    if tokenizer.eos_token_id is None:
        level = "warning" if stop_ids else "error"
        message = "the tokenizer has no eos_token" + ("" if stop_ids else ", and nothing else says what ends an answer")
        mend = "set eos_token in tokenizer_config.json to the token that ends a turn"
        found.append(Finding("no_eos", level, 1, message, mend))
    pad = tokenizer.pad_token_id
    if pad is not None and pad in stop_ids:
        message = (
            f"the padding token {tokenizer.pad_token!r} is also a stop token: strop never pads, so nothing is lost "
            "here, but a trainer that masks padding by its id also masks every stop token, and its model never stops"
        )
        mend = "for other trainers give the tokenizer a pad_token of its own"
        found.append(Finding("pad_is_stop", "note", 1, message, mend, text=tokenizer.pad_token))
    return found
