"""The examples that both sides are given: the same token ids and the same mask."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.models import RANDOM


@dataclass(frozen=True)
class Tokens:
    """What a batch needs of an example, for made-up ones."""

    tokens: list[int]
    loss_weights: list[float]
    place: str = "bench"


def conversations(path: Path | None, count: int) -> list[dict]:
    """Rows of a data file, or of the built-in training set; ``question``/``answer`` rows become prompt/completion."""
    if path is None:
        from strop.tasks.code_basics import generate

        return [{"messages": record.messages()} for record in generate("train", count, seed=0)]
    from strop.data.readers import read_jsonl

    found = [row for _, row in read_jsonl(path, count)]
    if "question" in found[0]:
        return [{"prompt": row["question"], "completion": row["answer"]} for row in found]
    return found


def examples(given: argparse.Namespace) -> list[Tokens]:
    """Conversations through strop's encoder, or random ids for models without a tokenizer and with ``--length``."""
    if given.model in RANDOM or given.length:
        vocabulary = RANDOM[given.model]["vocab_size"] if given.model in RANDOM else 1000
        return random_examples(given.rows, given.length or min(220, given.micro_batch_tokens), vocabulary)
    from strop.chat import ChatEncoder, ChatSettings, parse_conversation
    from strop.model.names import load_tokenizer

    encoder = ChatEncoder(load_tokenizer(given.model), ChatSettings())
    rows = [parse_conversation(row, f"row {i}") for i, row in enumerate(conversations(given.data, given.rows))]
    return [Tokens(e.tokens, e.loss_weights) for row in rows for e in encoder.encode(row)]


def random_examples(count: int, length: int, vocabulary: int) -> list[Tokens]:
    """Sequences of half to the whole of ``length`` tokens, the later 60 % trained, as in GSM8K as chat."""
    draw = np.random.default_rng(0)
    made = []
    for _ in range(count):
        n = int(draw.integers(length // 2, length + 1))
        prompt = round(0.4 * n)
        made.append(Tokens(draw.integers(3, vocabulary, n).tolist(), [0.0] * prompt + [1.0] * (n - prompt)))
    return made
