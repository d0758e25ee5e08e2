"""The training loop, the only one: a stage is a source of batches and an objective.

It owns steps, accumulation, clipping, the schedule, logging, checkpoints, signals and resume.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from strop.common.console import make_console
from strop.common.errors import Diverged, Halted, InputError, Interrupted, NotFinite
from strop.data.batch import Batch
from strop.data.step import Source, Step
from strop.model.blocks import compiled_blocks, recompute_activations, worth_compiling
from strop.objectives.objective import Objective
from strop.train import course
from strop.train.checkpoint import checkpoints, load_checkpoint, random_state, save_checkpoint, step_of
from strop.train.ema import EMA
from strop.train.metrics import MetricsLog, Progress, peak_memory_gb
from strop.train.profile import STEP, traced
from strop.train.schedule import check_schedule, lr_share
from strop.train.settings import TrainSettings
from strop.train.step import evaluation as loss_of
from strop.train.step import optimizer_step
from strop.train.weights import Weights
from strop.train.world import World

CHECKPOINT_SECONDS = 600.0  # under checkpoint_every: auto, the longest time without one


def train(
    weights: Weights,
    source: Source,
    objective: Objective,
    settings: TrainSettings,
    folder: Path,
    *,
    world: World | None = None,
    evaluate: Callable[[], dict[str, float]] | None = None,
    stateful: Mapping[str, Any] | None = None,
    title: str = "train",
    console: Console | None = None,
    about: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Train ``weights`` in place; returns the totals of the run.

    Continues from the newest checkpoint in ``folder/checkpoints`` if there is one, with the same result bit for bit as
    if it had never stopped. ``evaluate`` gives metrics (``eval_loss``, if that is one of them) at both ends and every
    ``eval_every`` steps, on every rank. With ``ema_decay`` the averaged weights are evaluated, and are the policy's
    when this returns. Writes ``folder/metrics.jsonl``. SIGINT and SIGTERM finish the step, write a checkpoint and raise
    Interrupted. ``stateful``: what else shapes the run and has a ``state_dict`` for checkpoints (NEFTune's noise).
    ``about`` goes into every checkpoint's ``checkpoint.json``: what somebody needs who loads it by itself.

    With several ranks (``world``; by default torch.distributed's) each calls this with its own source; the first one
    writes and speaks.

    The totals hold ``eval_loss`` (`course.measured`) and ``warnings``, sentences about a run that went wrong. Raises
    Diverged when the loss, its gradient or a weight is no finite number; nothing of that step is kept. A source that
    raises Halted has given no step: a checkpoint of the step before is written, and it is raised on.
    """
    world = world or World.current()
    console = (console or make_console()) if world.rank == 0 else Console(quiet=True)
    run = _Run(weights, source, objective, settings, folder, world, evaluate, stateful, title, console)
    run.resume()
    run.log = MetricsLog(folder / "metrics.jsonl", after_step=run.step) if world.rank == 0 else None
    policy = weights.policy.train()
    if settings.gradient_checkpointing:
        recompute_activations(policy.model, int(settings.gradient_checkpointing))
    compiled = worth_compiling(settings.compile, policy.compute.device)
    profiled = min(run.steps, run.step + STEP) if settings.profile and world.rank == 0 else 0
    with (
        compiled_blocks(policy.model) if compiled else nullcontext(),
        Progress(title, run.steps, done=run.step, console=console) as progress,
        first_signal("finishing this step, then writing a checkpoint; again to stop now") as stopped,
    ):
        if evaluate and run.step == 0:
            run.evaluation()
            if world.agree(stopped):
                raise Interrupted(_number(stopped), "stopped before the first step; the same command begins again.")
        while run.step < run.steps:
            try:
                with traced(run.step + 1 == profiled, folder, policy.compute.device):
                    step, row = run.take_step()
            except Halted:
                if run.step:
                    run.checkpoint(about or {})
                raise
            if run.log:
                run.log.write(row)
            progress.show(row)
            every = settings.eval_every
            if evaluate and (run.step == run.steps or (every and run.step % every == 0)):
                run.evaluation()
            stop = world.agree(stopped)
            if world.agree(run.checkpoint_is_due(step)) or stop:
                run.checkpoint(about or {})
            if stop:
                where = folder / "checkpoints" / f"step-{run.step:06d}"
                raise Interrupted(
                    _number(stopped),
                    f"stopped at step {run.step} of {run.steps}; {where} is written. "
                    "Run the same command again to go on from there.",
                )
    return run.finish()


@contextmanager
def first_signal(words: str) -> Iterator[list[int]]:
    """Gives the list that the first SIGINT or SIGTERM comes into, so that the step in hand can be finished; a second
    one acts at once.

    ``words`` are said on standard error as soon as the first one comes.
    """
    came: list[int] = []
    previous = {}

    def remember(signum, frame):
        came.append(signum)
        for each, handler in previous.items():  # the second may be the other one
            signal.signal(each, handler)
        os.write(2, f"\n{words}\n".encode())  # print may be in the middle of a line of its own

    with suppress(ValueError):  # not the main thread: signals stay with whoever owns them
        for signum in (signal.SIGINT, signal.SIGTERM):
            previous[signum] = signal.signal(signum, remember)
    try:
        yield came
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)


def _number(stopped: list[int]) -> int:
    return stopped[0] if stopped else signal.SIGTERM  # of another rank


class _Run:
    """What `train` does, piece by piece; its arguments are those of `train`."""

    def __init__(self, weights, source, objective, settings, folder, world, evaluate, stateful, title, console):
        self.weights, self.source, self.objective, self.settings = weights, source, objective, settings
        self.folder, self.world, self.evaluate, self.stateful = folder, world, evaluate, dict(stateful or {})
        self.title, self.console = title, console
        self.log: MetricsLog | None = None
        self.first: Sequence[Batch] = ()  # the batches of the first step, where their loss is to be compared
        if source.steps is None and settings.max_steps is None:
            raise InputError(f"{title}: this data has no end; say after how many steps to stop: max_steps.")
        self.steps = min(n for n in (source.steps, settings.max_steps) if n is not None)
        check_schedule(self.steps, settings)
        self.ema = EMA(weights.named, settings.ema_decay, weights.push) if settings.ema_decay else None
        self.totals: dict[str, Any] = {"step": 0, "tokens": 0, "trained_tokens": 0, "seconds": 0.0}
        self.written = time.monotonic()  # when the last checkpoint was

    @property
    def step(self) -> int:
        return self.totals["step"]

    def resume(self) -> None:
        """Go to where the newest checkpoint is, if there is one."""
        found = checkpoints(self.folder / "checkpoints")
        if not found:
            return
        state = load_checkpoint(found[-1], self.weights, self.world.rank, self.world.size)
        if self.objective.comparable:
            self.first = self.source.next_step().batches  # as when the run began
        self.source.load_state_dict(state["source"])
        self.totals.update(state["totals"])
        for name, extra in {**self.stateful, **({"ema": self.ema} if self.ema else {})}.items():
            extra.load_state_dict(state[name])
        self.say(f"going on from step {self.step} of {self.steps} ({found[-1]}).")

    def take_step(self) -> tuple[Step, dict[str, Any]]:
        """One optimiser step; returns what it trained on and its row of metrics."""
        started, settings = time.perf_counter(), self.settings
        share = lr_share(self.step, self.steps, settings)
        rates = self.weights.optimizer.set_rates(share)
        step = self.source.next_step()
        try:
            told, norm = optimizer_step(self.weights, self.objective, step.batches, settings.max_grad_norm, self.world)
        except FloatingPointError as error:
            raise self.diverged(str(error), self.step + 1) from error
        if self.step == 0:
            self.totals["first_loss"] = told["loss"]
            self.first = step.batches if self.objective.comparable else ()
        if self.ema:
            self.ema.update()
        tokens = sum(len(b.tokens) for b in step.batches if len(b.labels))
        done = self.world.sum({"tokens": tokens, "trained_tokens": sum(len(b.labels) for b in step.batches)})
        seconds = time.perf_counter() - started
        spent = [value for name, value in step.metrics.items() if name.startswith("seconds/")]
        split = {"seconds/train": seconds - sum(spent)} if spent else {}
        for name, value in {"step": 1, **done, "seconds": seconds}.items():
            self.totals[name] += value
        row = {
            "step": self.step,
            **told,
            **self.world.mean({**step.metrics, **split}),
            "lr": settings.learning_rate * share,
            **({f"lr/{name}": rate for name, rate in rates.items()} if settings.groups else {}),
            "grad_norm": norm,
            **done,
            **{f"{name}_per_second": count / seconds for name, count in done.items()},
            "seconds": seconds,
            "memory_gb": peak_memory_gb(),
        }
        return step, row

    def evaluation(self) -> None:
        with self.ema.in_place() if self.ema else nullcontext():
            row = self.measured(self.evaluate, "the evaluation loss", "the evaluation loss cannot be measured")
        if self.log:
            self.log.write({"step": self.step, **row})
        if "eval_loss" in row:
            self.say(course.measured(self.totals, self.step, row["eval_loss"]))

    def measured(self, measure: Callable[[], dict[str, float]], what: str, failed: str) -> dict[str, float]:
        """What ``measure`` gives; raises Diverged where its ``eval_loss`` (called ``what``) is no finite number."""
        try:
            row = measure()
        except NotFinite as error:
            if self.step == 0:
                raise  # the model was so when it came
            raise self.diverged(f"{failed}: {error}", self.step) from error
        if not math.isfinite(loss := row.get("eval_loss", 0.0)):
            raise self.diverged(f"{what} is {loss}.", self.step)
        return row

    def checkpoint_is_due(self, step: Step) -> bool:
        every = self.settings.checkpoint_every
        if every != "auto":
            return every is not None and self.step % every == 0
        late = time.monotonic() - self.written > CHECKPOINT_SECONDS
        return late or step.ends_epoch or self.step == self.steps

    def checkpoint(self, about: Mapping[str, Any]) -> None:
        self.check_weights()
        state = {"source": self.source.state_dict(), **random_state()}
        states = self.world.gather(state | {name: extra.state_dict() for name, extra in self.stateful.items()})
        if self.world.rank == 0:
            states[0] |= {"totals": self.totals, **({"ema": self.ema.state_dict()} if self.ema else {})}
            about, keep = {**about, "step": self.step, "steps": self.steps}, self.settings.keep_checkpoints
            save_checkpoint(self.folder / "checkpoints", self.step, self.weights, states, keep, about)
        self.world.barrier()
        self.written = time.monotonic()

    def finish(self) -> dict[str, Any]:
        """Leave the weights as the run made them; returns the totals."""
        self.check_weights()
        if self.ema:
            self.ema.swap()
        self.weights.finish()
        self.weights.policy.eval()
        moved = None
        if self.first:
            row = self.measured(
                partial(loss_of, self.weights.policy, self.objective, self.first, self.world),
                "after it the loss on the first step's examples",
                "after it the first step's examples have no loss",
            )
            moved = self.totals["first_loss"], row["eval_loss"]
        # Noise of NEFTune and weights that are an average are in the difference too: small ones say nothing then.
        said = course.warnings(self.totals, moved, exact=not (self.stateful or self.ema))
        return {**self.totals, "peak_memory_gb": peak_memory_gb(), "warnings": said}

    def check_weights(self) -> None:
        if bad := [name for name, tensor in self.weights.named.items() if not tensor.isfinite().all()]:
            raise self.diverged(f"{bad[0]} is no longer finite.", self.step)

    def diverged(self, what: str, step: int) -> Diverged:
        """A checkpoint of ``self.step``, the step of the weights with which it went wrong, holds them."""
        known = {step_of(path): path for path in checkpoints(self.folder / "checkpoints")}
        bad = known.pop(self.step, None) if self.step else None
        if known:
            first = f"move {bad} away, which holds the weights that diverged; then " if bad else ""
            way = f"{first}the same command with --continue goes on from {known[max(known)]}, which is whole."
        elif bad:
            way = (
                f"{bad} holds the weights that diverged, and no earlier checkpoint is there: start again with --fresh."
            )
        else:
            way = "no checkpoint was written, so the stage starts again."
        return Diverged(
            f"{self.title}: training diverged at step {step}: {what} Lower learning_rate (now "
            f"{self.settings.learning_rate:g}), or look at the data of this step; {way}"
        )

    def say(self, text: str) -> None:
        self.console.print(f"{self.title}: {text}", markup=False, highlight=False, soft_wrap=True)
