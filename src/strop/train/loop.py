"""The training loop, the only one: a stage is a source of batches and an objective.

It owns steps, accumulation, clipping, the schedule, logging, checkpoints, signals and resume.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from strop.console import make_console
from strop.data.source import Source
from strop.errors import Diverged, Interrupted
from strop.model.blocks import compiled_blocks, recompute_activations, worth_compiling
from strop.model.policy import Policy
from strop.objectives.objective import Objective
from strop.train.checkpoint import checkpoints, load_checkpoint, save_checkpoint
from strop.train.course import Course, warnings
from strop.train.ema import EMA
from strop.train.groups import tensor_kinds
from strop.train.masters import Masters
from strop.train.measure import evaluation as loss_of
from strop.train.metrics import MetricsLog, Progress, peak_memory_gb
from strop.train.neftune import Neftune
from strop.train.optim import halvable, make_optimizer
from strop.train.profile import STEP, traced
from strop.train.schedule import check_schedule, lr_share
from strop.train.settings import TrainSettings
from strop.train.signals import Signals
from strop.train.step import optimizer_step

CHECKPOINT_SECONDS = 600.0
"""Under ``checkpoint_every: auto``, the longest time without one."""


def train(
    policy: Policy,
    source: Source,
    objective: Objective,
    settings: TrainSettings,
    folder: Path,
    *,
    evaluate: Callable[[], dict[str, float]] | None = None,
    title: str = "train",
    console: Console | None = None,
    about: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Train ``policy`` in place; returns the totals of the run.

    Continues from the newest checkpoint in ``folder/checkpoints`` if there is one, with the same result bit for bit as
    if it had never stopped. ``evaluate`` gives metrics (``eval_loss``) at both ends and every ``eval_every`` steps.
    With ``ema_decay`` the averaged weights are evaluated, and are the policy's when this returns. Writes
    ``folder/metrics.jsonl``. SIGINT and SIGTERM finish the step, write a checkpoint and raise Interrupted. ``about``
    goes into every checkpoint's ``checkpoint.json``: what somebody needs who loads it by itself.

    The totals hold ``eval_loss`` (see `Course`) and ``warnings``, sentences about a run that went wrong. Raises
    Diverged when the loss or its gradient is no number; nothing of that step is kept.
    """
    console = console or make_console()
    steps = min(source.steps, settings.max_steps or source.steps)
    check_schedule(steps, settings)
    kinds = tensor_kinds(policy)
    home = torch.device("cpu") if settings.offload_optimizer else None
    masters = Masters(policy, policy.compute.dtype, home, halvable(policy.named_parameters(), settings, kinds))
    named = masters.named
    optimizer = make_optimizer(named.items(), settings, kinds)
    masters.hand_over(optimizer)
    extras = _extras(policy, masters, settings)
    totals: dict[str, Any] = {"step": 0, "tokens": 0, "trained_tokens": 0, "seconds": 0.0}
    found = checkpoints(folder / "checkpoints")
    if found:
        state = load_checkpoint(found[-1], named, optimizer)
        masters.push()
        source.load_state_dict(state["source"])
        totals = state["totals"]
        for name, extra in extras.items():
            extra.load_state_dict(state[name])
        _say(console, f"{title}: going on from step {totals['step']} of {steps} ({found[-1]}).")
    ema = extras.get("ema")
    log = MetricsLog(folder / "metrics.jsonl", after_step=totals["step"])
    policy.train()
    if settings.gradient_checkpointing:
        recompute_activations(policy.model, int(settings.gradient_checkpointing))
    compiled = worth_compiling(settings.compile, policy.compute.device)
    profiled = min(steps, totals["step"] + STEP) if settings.profile else 0

    course = Course(totals)
    first: tuple[list[Any], float] | None = None  # the first step's batches and their loss before it
    written = time.monotonic()  # when the last checkpoint was

    def checkpoint() -> None:
        nonlocal written
        state = {"source": source.state_dict(), "totals": totals, **{k: v.state_dict() for k, v in extras.items()}}
        told = {**(about or {}), "step": totals["step"], "steps": steps}
        save_checkpoint(
            folder / "checkpoints", totals["step"], named, optimizer, state, settings.keep_checkpoints, told
        )
        written = time.monotonic()

    def evaluation() -> None:
        with ema.in_place() if ema else nullcontext():
            row = evaluate()
        if not math.isfinite(row["eval_loss"]):
            raise _diverged(title, totals["step"], f"the evaluation loss is {row['eval_loss']}", settings, folder)
        log.write({"step": totals["step"], **row})
        _say(console, f"{title}: {course.measured(totals['step'], row['eval_loss'])}")

    with (
        compiled_blocks(policy.model) if compiled else nullcontext(),
        Progress(title, steps, done=totals["step"], console=console) as progress,
        Signals("finishing this step, then writing a checkpoint; again to stop now") as stopped,
    ):
        if evaluate and not found:
            evaluation()
        while totals["step"] < steps:
            started = time.perf_counter()
            share = lr_share(totals["step"], steps, settings)
            rates = optimizer.set_rates(share)
            epoch = source.epoch
            batches = source.next_step()
            with traced(totals["step"] + 1 == profiled, folder, policy.compute.device):
                try:
                    loss, norm = optimizer_step(policy, objective, optimizer, batches, settings.max_grad_norm, masters)
                except FloatingPointError as error:
                    raise _diverged(title, totals["step"] + 1, str(error), settings, folder) from error
            if totals["step"] == 0:
                first = batches, loss["loss"]
            if ema:
                ema.update()
            seconds = time.perf_counter() - started
            tokens = sum(len(b.tokens) for b in batches if len(b.labels))
            trained = sum(len(b.labels) for b in batches)
            totals["step"] += 1
            totals["tokens"] += tokens
            totals["trained_tokens"] += trained
            totals["seconds"] += seconds
            row = {
                "step": totals["step"],
                **loss,
                "lr": settings.learning_rate * share,
                **({f"lr/{name}": rate for name, rate in rates.items()} if settings.groups else {}),
                "grad_norm": norm,
                "tokens": tokens,
                "trained_tokens": trained,
                "tokens_per_second": tokens / seconds,
                "trained_tokens_per_second": trained / seconds,
                "seconds": seconds,
                "memory_gb": peak_memory_gb(),
            }
            log.write(row)
            progress.show(row)
            last = totals["step"] == steps
            if evaluate and (last or (settings.eval_every and totals["step"] % settings.eval_every == 0)):
                evaluation()
            due = settings.checkpoint_every
            if due == "auto":
                late = time.monotonic() - written > CHECKPOINT_SECONDS
                due_now = last or late or source.epoch > epoch
            else:
                due_now = due is not None and totals["step"] % due == 0
            if stopped.signum or due_now:
                checkpoint()
            if stopped.signum:
                where = folder / "checkpoints" / f"step-{totals['step']:06d}"
                raise Interrupted(
                    stopped.signum,
                    f"stopped at step {totals['step']} of {steps}; {where} is written. "
                    "Run the same command again to go on from there.",
                )
    if ema:
        ema.settle()
    if "neftune" in extras:
        extras["neftune"].remove()
    masters.release()
    policy.eval()
    moved = None
    if first is not None and not extras:  # noise and averages would be in the difference
        batches, before = first
        moved = before, loss_of(policy, objective, batches)["eval_loss"]
    return {**totals, "peak_memory_gb": peak_memory_gb(), "warnings": warnings(totals, moved)}


def _diverged(title: str, step: int, what: str, settings: TrainSettings, folder: Path) -> Diverged:
    known = checkpoints(folder / "checkpoints")
    kept = (
        f"{known[-1]} is whole: the same command with a lower rate and --continue goes on from there."
        if known
        else "No checkpoint was written before."
    )
    return Diverged(
        f"{title}: training diverged at step {step}: {what} Lower learning_rate (now {settings.learning_rate:g}), "
        f"or look at the conversations of this step. {kept}"
    )


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _extras(policy: Policy, masters: Masters, settings: TrainSettings) -> dict[str, Any]:
    """What else has a state that a checkpoint keeps, by name."""
    extras: dict[str, Any] = {}
    if settings.neftune_alpha:
        extras["neftune"] = Neftune(policy, settings.neftune_alpha, settings.seed)
    if settings.ema_decay:
        extras["ema"] = EMA(masters.named, settings.ema_decay, masters.push)
    return extras
