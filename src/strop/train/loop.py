"""The training loop, the only one: a stage is a source of batches and an objective.

It owns steps, accumulation, clipping, the schedule, logging, checkpoints, signals and resume.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from strop.data.batch import Batch
from strop.data.source import Source
from strop.errors import Interrupted
from strop.model.policy import Policy
from strop.objectives.objective import Objective
from strop.train.checkpoint import checkpoints, load_checkpoint, save_checkpoint
from strop.train.metrics import MetricsLog, Progress, peak_memory_gb
from strop.train.optim import learning_rate, make_optimizer
from strop.train.settings import TrainSettings


def train(
    policy: Policy,
    source: Source,
    objective: Objective,
    settings: TrainSettings,
    folder: Path,
    *,
    evaluate: Callable[[], dict[str, float]] | None = None,
    title: str = "train",
) -> dict[str, Any]:
    """Train ``policy`` in place; returns the totals of the run.

    Continues from the newest checkpoint in ``folder/checkpoints`` if there is one, with the same result bit for bit as
    if it had never stopped. ``evaluate`` gives metrics (``eval_loss``) at both ends and every ``eval_every`` steps.
    Writes ``folder/metrics.jsonl``. SIGINT and SIGTERM finish the step, write a checkpoint and raise Interrupted.
    """
    steps = min(source.steps, settings.max_steps or source.steps)
    optimizer = make_optimizer(policy, settings)
    totals = {"step": 0, "tokens": 0, "trained_tokens": 0, "seconds": 0.0}
    found = checkpoints(folder / "checkpoints")
    if found:
        state = load_checkpoint(found[-1], policy, optimizer)
        source.load_state_dict(state["source"])
        totals = state["totals"]
    log = MetricsLog(folder / "metrics.jsonl", after_step=totals["step"])
    policy.train()
    if settings.gradient_checkpointing:
        policy.model.gradient_checkpointing_enable({"use_reentrant": False})

    def checkpoint() -> None:
        state = {"source": source.state_dict(), "totals": totals}
        save_checkpoint(folder / "checkpoints", totals["step"], policy, optimizer, state, settings.keep_checkpoints)

    with Progress(title, steps, done=totals["step"]) as progress, _Signals() as stopped:
        if evaluate and not found:
            log.write({"step": 0, **evaluate()})
        while totals["step"] < steps:
            started = time.perf_counter()
            rate = learning_rate(totals["step"], steps, settings)
            for group in optimizer.param_groups:
                group["lr"] = rate
            batches = source.next_step()
            loss, norm = optimizer_step(policy, objective, optimizer, batches, settings.max_grad_norm)
            seconds = time.perf_counter() - started
            tokens = sum(len(b.tokens) for b in batches)
            trained = sum(len(b.labels) for b in batches)
            totals["step"] += 1
            totals["tokens"] += tokens
            totals["trained_tokens"] += trained
            totals["seconds"] += seconds
            row = {
                "step": totals["step"],
                **loss,
                "lr": rate,
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
                log.write({"step": totals["step"], **evaluate()})
            if stopped.signum or (settings.checkpoint_every and totals["step"] % settings.checkpoint_every == 0):
                checkpoint()
            if stopped.signum:
                where = folder / "checkpoints" / f"step-{totals['step']:06d}"
                raise Interrupted(
                    stopped.signum,
                    f"stopped at step {totals['step']} of {steps}; {where} is written. "
                    "Run the same command again to go on from there.",
                )
    policy.eval()
    return {**totals, "peak_memory_gb": peak_memory_gb()}


def optimizer_step(
    policy: Policy, objective: Objective, optimizer, batches: Iterable[Batch], max_grad_norm: float
) -> tuple[dict[str, float], float]:
    """One optimiser step over the micro-batches of a global batch.

    Each loss component is divided by its normaliser summed over all micro-batches, so the gradient is that of one
    large batch. Returns ``{"loss": total, component: value …}`` (nats) and the gradient's 2-norm before clipping.
    Raises FloatingPointError, with the weights untouched, when the gradient is not finite.
    """
    batches = [b.to(policy.compute.device) for b in batches]
    totals: dict[str, float] = {}
    for batch in batches:
        for name, value in objective.normalisers(batch).items():
            totals[name] = totals.get(name, 0.0) + value
    optimizer.zero_grad()
    sums: dict[str, float] = dict.fromkeys(totals, 0.0)
    for batch in batches:
        parts = objective.loss(policy(batch, objective.want), batch)
        sum(part / (totals[name] or 1.0) for name, part in parts.items()).backward()
        for name, part in parts.items():
            sums[name] += part.item()
    norm = torch.nn.utils.clip_grad_norm_(policy.parameters(), max_grad_norm).item()
    if not math.isfinite(norm):
        raise FloatingPointError(
            f"the gradient is {norm}: training has diverged. The weights are as they were before this step; "
            "lower learning_rate, or look at the conversations of this step."
        )
    optimizer.step()
    values = {name: total / (totals[name] or 1.0) for name, total in sums.items()}
    return {"loss": sum(values.values()), **(values if len(values) > 1 else {})}, norm


@torch.no_grad()
def evaluation_loss(policy: Policy, objective: Objective, batches: Iterable[Batch]) -> float:
    """The objective's loss (nats) over fixed batches, normalised over all of them together."""
    training = policy.training
    policy.eval()
    sums: dict[str, float] = {}
    totals: dict[str, float] = {}
    for batch in (b.to(policy.compute.device) for b in batches):
        for name, value in objective.normalisers(batch).items():
            totals[name] = totals.get(name, 0.0) + value
        for name, part in objective.loss(policy(batch, objective.want), batch).items():
            sums[name] = sums.get(name, 0.0) + part.item()
    policy.train(training)
    return sum(sums[name] / (totals[name] or 1.0) for name in sums)


class _Signals:
    """Remembers the first SIGINT or SIGTERM, so that the step in hand can be finished; a second one acts at once."""

    def __enter__(self):
        self.signum = 0
        self._previous = {}
        try:
            for signum in (signal.SIGINT, signal.SIGTERM):
                self._previous[signum] = signal.signal(signum, self._remember)
        except ValueError:  # not the main thread: signals stay with whoever owns them
            self._previous = {}
        return self

    def _remember(self, signum, frame):
        self.signum = signum
        signal.signal(signum, self._previous[signum])

    def __exit__(self, *_):
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)
