"""Training settings against what is usual."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from strop.doctor.findings import Finding

if TYPE_CHECKING:
    from strop.train.settings import TrainSettings

# Learning rates of full fine-tuning with AdamW: (parameters below, lowest, highest). The bounds enclose, with some
# room, published recipes: SmolLM2-135M/360M 1e-3 and 1.7B 3e-4, SmolLM3-3B 2e-5, Zephyr-7B 2e-5 (all in Hugging
# Face's alignment-handbook); Tülu 3 8B 5e-6 and 70B 2e-6 (Lambert et al. 2024, arXiv:2411.15124); InstructGPT 1.3B
# and 6B 9.65e-6, 175B 5.03e-6 (Ouyang et al. 2022, arXiv:2203.02155); Llama 2 chat 2e-5 (arXiv:2307.09288).
RATES = (
    (5e8, 1e-5, 1e-3),
    (2.5e9, 5e-6, 3e-4),
    (2e10, 1e-6, 5e-5),
    (float("inf"), 5e-7, 2e-5),
)
SOURCE = "published recipes of SmolLM2/3, Zephyr, Tülu 3, InstructGPT and Llama 2; docs/doctor.md"
_MOST_EPOCHS, _FEWEST_STEPS, _MOST_WARMUP = 5, 20, 0.3


def check_training(
    train: TrainSettings, examples: int, parameters: int | None, steps: int | None = None
) -> Iterator[Finding]:
    """``examples``: at least one; ``parameters`` None where the model's size is not known."""

    def warning(kind: str, message: str, mend: str, count: int = 1) -> Finding:
        return Finding(kind, "warning", count, message, mend)

    rate = train.learning_rate * train.init_lr_frac
    lowest, highest = next((low, high) for below, low, high in RATES if (parameters or 0) < below)
    # Other optimisers measure their steps otherwise.
    if parameters is not None and train.optimizer in ("adamw", "adamw_8bit") and not lowest <= rate <= highest:
        side, risk = (
            ("above", "it may forget or diverge") if rate > highest else ("below", "it may learn next to nothing")
        )
        message = (
            f"learning_rate {rate:g} is {side} the usual {lowest:g} … {highest:g} for full fine-tuning of a model with "
            f"{parameters / 1e6:,.0f}M parameters ({SOURCE})"
        )
        yield warning("learning_rate", message, f"{risk}; choose one within, or measure before and after")
    if train.epochs > _MOST_EPOCHS:
        message = f"{train.epochs:g} epochs: after 2 to 4 a model mostly learns its data by heart"
        yield warning("epochs", message, "lower epochs, and watch eval_loss (give eval_data)")
    steps = steps or max(1, round(examples * train.epochs / train.global_batch_size))
    if train.max_steps is not None:
        steps = min(steps, train.max_steps)
    if train.global_batch_size > examples:
        message = f"a step takes {train.global_batch_size} examples and there are only {examples:,}"
        yield warning("batch_size", message, f"lower global_batch_size to at most {max(1, examples // 8)}")
    if steps < _FEWEST_STEPS:
        count = "1 optimiser step" if steps == 1 else f"{steps} optimiser steps"
        message = f"only {count}: the schedule has hardly room for warm-up and decay"
        yield warning("few_steps", message, "lower global_batch_size, or train for more epochs", steps)
    elif not (train.warmup_ratio or train.warmup_steps):
        message = "no warm-up: AdamW's first steps are full-size steps in the direction of single gradients"
        yield warning("warmup", message, "set warmup_ratio to 0.03 … 0.1")
    if train.warmup_ratio > _MOST_WARMUP:
        yield warning("warmup", f"{train.warmup_ratio:.0%} of the steps are warm-up", "set warmup_ratio to 0.03 … 0.1")
