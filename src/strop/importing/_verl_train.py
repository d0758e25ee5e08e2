"""What verl's trainers share: adapters, the optimiser's course, checkpoints."""

from __future__ import annotations

from strop.importing._sources import steps_of_epoch
from strop.importing.draft import Draft, number, whole

_SCHEDULES = {"constant": "constant", "cosine": "cosine", "wsd": "wsd"}
_AT_EPOCHS = "after_each_epoch"


def lora(draft: Draft, section: str) -> None:
    """Adapters, where a rank is given."""
    rank = draft.whole(f"{section}.lora_rank")
    if not rank:
        for name in ("lora_rank", "lora_alpha", "target_modules", "exclude_modules"):
            draft.needless(f"{section}.{name}", "lora_rank is 0, so there are no adapters")
        return
    draft.put("lora.r", rank, f"{section}.lora_rank")
    draft.put("lora.alpha", draft.number(f"{section}.lora_alpha"), f"{section}.lora_alpha")
    draft.put("lora.targets", draft.texts(f"{section}.target_modules"), f"{section}.target_modules")


def steps_of_batch(draft: Draft) -> int:
    """Optimiser steps on one batch of rollouts, which is what verl counts (its learning rate too); 1 without them."""
    each = draft.stage.get("rollout", {})
    return each.get("updates_per_rollout", 1) * each.get("mini_batches", 1)


def optimizer(draft: Draft, section: str, *ratios: str) -> None:
    """Moments and warm-up; ``ratios``: what the share of warm-up may be called, the first that is given."""
    betas = draft.get(f"{section}.betas")
    if isinstance(betas, list) and len(betas) == 2:
        draft.put("train.beta1", number(betas[0]), f"{section}.betas")
        draft.put("train.beta2", number(betas[1]), f"{section}.betas")
    ratios = tuple(f"{section}.{name}" for name in ratios or ("lr_warmup_steps_ratio",))
    ratio = next((name for name in ratios if name in draft.given), ratios[-1])
    steps = f"{section}.lr_warmup_steps"
    if (count := draft.whole(steps) or -1) > 0:
        draft.put("train.warmup_steps", count * steps_of_batch(draft), steps)
    else:
        draft.put("train.warmup_ratio", draft.number(ratio) or 0.0, ratio)
    for name in (steps, *ratios):
        draft.needless(name, "off, or another setting goes before it")


def schedule(draft: Draft, section: str, *older: str) -> None:
    """The course of the rate; ``older``: what earlier versions call it."""
    name = next((f"{section}.{one}" for one in older if f"{section}.{one}" in draft.given),
                f"{section}.lr_scheduler_type")  # fmt: skip
    given, floor, stable = str(draft.get(name)), f"{section}.min_lr_ratio", f"{section}.lr_wsd_stable_steps_ratio"
    if given in _SCHEDULES:
        draft.put("train.schedule", _SCHEDULES[given], name)
        if given != "constant":
            draft.put("train.min_lr_ratio", draft.number(floor) or 0.0, floor)
        if given == "wsd":  # theirs is a share of what comes after the warm-up
            rest = 1 - draft.stage["train"].get("warmup_ratio", 0.0)
            draft.put("train.decay_ratio", round((1 - (draft.number(stable) or 0.9)) * rest, 6), stable)
    else:
        draft.leave(name, f"strop has no {given}; train.schedule is constant, linear, cosine or wsd")
    draft.needless(floor, "a constant rate has no floor")
    draft.needless(stable, "the schedule is no wsd")


def saving(draft: Draft) -> None:
    """Checkpoints and evaluations: theirs count batches of rollouts, ours optimiser steps."""
    times = steps_of_batch(draft)
    if draft.get("trainer.save_freq") == _AT_EPOCHS:
        if draft.stage["kind"] == "rl":  # whose prompts have no epochs here
            draft.leave("trainer.save_freq", "train.checkpoint_every is in steps; auto is every 10 minutes and the end")
        else:
            draft.put("train.checkpoint_every", "auto", "trainer.save_freq")
    elif (every := draft.whole("trainer.save_freq") or -1) > 0:
        draft.put("train.checkpoint_every", every * times, "trainer.save_freq")
    draft.needless("trainer.save_freq", "checkpoints are written every 10 minutes and at the end")
    at_epochs = draft.get("trainer.test_freq") == _AT_EPOCHS
    tests = -1 if at_epochs else draft.whole("trainer.test_freq") or -1
    epoch = None
    if at_epochs and draft.stage["kind"] == "sft" and "eval_data" in draft.stage:
        epoch = steps_of_epoch(draft.stage.get("data"), draft.count("data.train_batch_size"))
    if epoch is not None:
        draft.put("train.eval_every", epoch, "trainer.test_freq")
    elif tests > 0 and "eval_data" in draft.stage:
        draft.put("train.eval_every", tests, "trainer.test_freq")
    elif at_epochs and draft.stage["kind"] == "sft":
        draft.leave("trainer.test_freq", "train.eval_every is in steps; the evaluation loss is measured at both ends")
    elif tests > 0 or at_epochs:
        draft.leave(
            "trainer.test_freq", "tasks are measured every train.tasks_every steps, once train.tasks names some"
        )
    draft.needless("trainer.test_freq", "off, as here")
    for name in ("trainer.max_ckpt_to_keep", "trainer.max_actor_ckpt_to_keep"):
        if draft.get(name) is not None:
            draft.put("train.keep_checkpoints", max(1, whole(draft.get(name))), name)


def lengths(draft: Draft, length: int, *names: str) -> None:
    """The longest example, and what becomes of longer ones."""
    draft.put("chat.max_length", length, *names)
    way = {"error": "error", "right": "truncate"}.get(str(draft.get("data.truncation")))
    if way is None:
        draft.leave("data.truncation", "what is too long is an error, dropped, or loses its end (chat.too_long)")
    draft.put("chat.too_long", way or "error", "data.truncation")
