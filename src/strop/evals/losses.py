"""The loss on held-out conversations: a yardstick that is the same whatever a recipe trains."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from strop.chat import ChatEncoder, ChatSettings, Example, parse_conversation
from strop.common.errors import InputError, NotFinite
from strop.data.batch import make_batch
from strop.data.packing import pack
from strop.data.readers import Row
from strop.evals.partial import Partial
from strop.evals.results import LossResult
from strop.model.policy import Policy


def yardstick(settings: ChatSettings, window: int | None) -> ChatSettings:
    """The settings that a held-out loss is measured with: the recipe's template, and every assistant token alike.

    What the recipe trains does not count: its weights, those in the file, ``train_on``, the switches of fields,
    ``drift``, ``max_length`` and ``too_long``. A turn with ``train: false`` is not measured. A conversation longer than
    the model's ``window`` (in tokens) is measured up to there.
    """
    return settings.unweighted().model_copy(
        update={
            "train_on": "assistant",
            "train_reasoning": True,
            "train_tool_calls": True,
            "train_python": True,
            "max_length": window,
            "too_long": "truncate",
            "drift": "allow",
            "trained_fraction": (0.0, 1.0),
            "waive": sorted({*settings.waive, "trained_fraction"}),  # what has nothing to measure is counted instead
        }
    )


@dataclass(frozen=True)
class HeldOut:
    """``examples``: what is measured, in the order of the file. Of ``rows`` conversations, ``empty`` have no token to
    measure and are left out, and ``cut`` are measured up to the model's window of ``window`` tokens."""

    examples: list[Example]
    rows: int
    empty: list[str]
    cut: int
    window: int | None

    def notes(self) -> list[str]:
        """What of the file is not measured, in words; nothing where all of it is."""
        notes = []
        if self.empty:
            notes.append(
                f"{len(self.empty):,} of {self.rows:,} conversations have no assistant text that could be "
                f"measured and are left out; the first: {self.empty[0]}"
            )
        if self.cut:
            notes.append(
                f"{self.cut:,} of {self.rows:,} conversations are longer than the model's window of {self.window:,} "
                "tokens and are measured up to there"
            )
        return notes


def held_out(rows: Sequence[Row], encoder: ChatEncoder, name: str) -> HeldOut:
    """Encode the conversations of the evaluation ``name``; ``encoder`` has the settings of `yardstick`.

    Raises InputError for a row that cannot be encoded, and where nothing is left to measure.
    """
    examples, empty, count = [], [], 0
    before, limit = encoder.report.truncated, encoder.settings.max_length
    for place, row in rows:
        count += 1
        # The first token of a sequence is not measured: it has nothing before it to be predicted from.
        found = [e for e in encoder.encode(parse_conversation(row, place)) if any(e.loss_weights[1:])]
        examples += found
        empty += [] if found else [place]
    if not examples:
        what = f"none of its {count:,} conversations has assistant text" if count else "the file has no conversation"
        raise InputError(
            f"evals.{name}: nothing is left to measure: {what} that is not marked train: false"
            f"{f' within the first {limit:,} tokens' if limit else ''}; give conversations with answers, or leave this "
            "evaluation out."
        )
    return HeldOut(examples, count, empty, encoder.report.truncated - before, limit)


def run_loss_task(
    examples: Sequence[Example],
    policy: Policy,
    micro_batch_tokens: int,
    partial: Partial | None = None,
    on_finished: Callable[[int], None] | None = None,
) -> list[LossResult]:
    """Loss of every example's measured tokens, each counting 1 whatever its weight; in the order of ``examples``.

    ``partial`` keeps what is done and gives what was done before; ``on_finished`` is told how many more are done.
    Raises NotFinite when a loss is not a finite number.
    """
    done: dict[int, Any] = {i: partial.get("loss", i) if partial is not None else None for i in range(len(examples))}
    left = [i for i, known in done.items() if known is None]
    with policy.measuring():
        for members in _rows([len(examples[i].tokens) for i in left], micro_batch_tokens):
            chosen = [left[m] for m in members]
            batch = make_batch([examples[i] for i in chosen]).to(policy.compute.device)
            losses = -policy(batch)["logprobs"]
            sums = losses.new_zeros(batch.sequences).index_add_(0, batch.seq_index, losses).tolist()
            counts = torch.bincount(batch.seq_index, minlength=batch.sequences).tolist()
            for i, loss, count in zip(chosen, sums, counts, strict=True):
                if not math.isfinite(loss):
                    raise NotFinite(
                        f"{examples[i].place}: the model's loss there is {loss}, so it cannot be measured; its weights "
                        "or logits hold NaN or infinity: take an earlier checkpoint, or train at a lower learning rate."
                    )
                done[i] = [loss, count]
                if partial is not None:
                    partial.add("loss", i, done[i])
            if on_finished is not None:
                on_finished(len(chosen))
    return [LossResult(example.place, example.place, *done[i]) for i, example in enumerate(examples)]


def _rows(lengths: Sequence[int], row_tokens: int) -> list[list[int]]:
    """Indices of ``lengths`` in flat rows; one that is longer than a row is a row by itself."""
    short = [i for i, length in enumerate(lengths) if length <= row_tokens]
    rows = [[short[m] for m in members] for members in pack([lengths[i] for i in short], row_tokens)]
    return [*rows, *([i] for i, length in enumerate(lengths) if length > row_tokens)]
