"""Byte-level BPE tokenizers, trained (Sennrich et al. 2016; Radford et al. 2019): every text has ids and comes back.

A model that has no tokenizer yet reads bytes: the same tokenizer without a merge.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strop.common.errors import InputError
from strop.common.folders import cache_folder, whole_folder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BYTES = 256
END = "<|endoftext|>"
_MAKING = 1  # raised when the result of making changes, so that older folders are not reused


def train_bpe(
    texts: Iterable[str],
    vocab_size: int,
    *,
    min_frequency: int = 2,
    max_token_length: int | None = None,
    split_digits: bool = True,
    end_token: str = END,
) -> PreTrainedTokenizerFast:
    """A tokenizer of at most ``vocab_size`` tokens: ``end_token`` (id 0, its eos), the 256 bytes, and as many merges of
    the pairs that ``texts`` hold at least ``min_frequency`` times; fewer where the texts hold no more.

    ``max_token_length``: bytes in the longest token. ``split_digits``: no token holds a digit and anything else.
    Raises InputError where the vocabulary has no room for the bytes.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    if vocab_size < BYTES + 1:
        raise InputError(f"vocab_size {vocab_size} has no room for the {BYTES} bytes and {end_token}; raise it.")
    bpe = Tokenizer(models.BPE())
    bytes_of = pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = [pre_tokenizers.Digits(individual_digits=True)] if split_digits else []
    bpe.pre_tokenizer = pre_tokenizers.Sequence([*digits, bytes_of])
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        max_token_length=max_token_length,
        special_tokens=[AddedToken(end_token, special=True, normalized=False)],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=end_token, clean_up_tokenization_spaces=False)


def bytes_alone() -> Path:
    """The folder of a tokenizer that knows the bytes and the end token, made once."""
    target = cache_folder() / "models" / f"bytes-{hashlib.sha256(END.encode()).hexdigest()[:8]}-v{_MAKING}"
    if not (target / "tokenizer.json").is_file():
        with whole_folder(target, 10_000, replace=False) as scratch:
            train_bpe([], BYTES + 1).save_pretrained(scratch)
    return target


def token_bytes(tokenizer: Any) -> list[int]:
    """How many bytes of UTF-8 text each id stands for, by id; 0 for special tokens.

    Of byte-level tokenizers each character of a token's name is a byte; of others (SentencePiece's) ``<0xNN>`` is one,
    and ``▁`` a space. Raises InputError for a tokenizer that is neither.
    """
    decoder = json.loads(tokenizer.backend_tokenizer.to_str())["decoder"]
    kinds = {one["type"] for one in (decoder.get("decoders", [decoder]) if decoder else ())}
    added = tokenizer.added_tokens_decoder
    names = tokenizer.get_vocab()
    if not kinds & {"ByteLevel", "ByteFallback", "Metaspace"}:
        raise InputError("the tokenizer is neither byte-level nor SentencePiece's, so its tokens' bytes are not known.")
    count = [0] * (max(names.values()) + 1)
    for name, index in names.items():
        if index in added:
            count[index] = 0 if added[index].special else len(name.encode())
        elif "ByteLevel" in kinds:
            count[index] = len(name)
        else:
            is_byte = len(name) == 6 and name.startswith("<0x") and name.endswith(">")
            count[index] = 1 if is_byte else len(name.replace("▁", " ").encode())
    return count
