"""The training loop, the only one: a stage is a source of batches and an objective.

It owns steps, accumulation, clipping, the schedule, logging, checkpoints, signals and resume.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from strop.common.console import make_console, working
from strop.common.errors import Diverged, Halted, InputError, Interrupted, NotFinite, RollBack, Stopped
from strop.common.heartbeat import beat
from strop.data.batch import Batch
from strop.data.step import Source, Step
from strop.model.blocks import compiled_blocks, recompute_activations, worth_compiling
from strop.objectives.objective import Objective, loss_named
from strop.train import course
from strop.train.best import Best
from strop.train.checkpoint import step_of
from strop.train.clock import Clock
from strop.train.ema import EMA
from strop.train.evaluations import Evaluations, Tasks, Wanted
from strop.train.health import Health
from strop.train.keeper import Keeper
from strop.train.metrics import MetricsLog, Progress, peak_memory_gb
from strop.train.profile import STEP, traced
from strop.train.random_state import kept_random_state
from strop.train.roll_back import record, set_aside
from strop.train.schedule import check_schedule, lr_share
from strop.train.settings import RlTrainSettings, TrainSettings
from strop.train.signals import checkpoint_signal, first_signal, number
from strop.train.step import evaluation as loss_of
from strop.train.step import optimizer_step
from strop.train.watchdog import watchdog
from strop.train.weights import Weights
from strop.train.world import World

_STOPPING = "finishing this step, then writing a checkpoint; again to stop now"


def train(
    weights: Weights,
    source: Source,
    objective: Objective,
    settings: TrainSettings | RlTrainSettings,
    folder: Path,
    *,
    world: World | None = None,
    evaluate: Callable[[], dict[str, float]] | None = None,
    tasks: Tasks | None = None,
    wanted: Wanted | None = None,
    trusted: Callable[[], int] | None = None,
    stateful: Mapping[str, Any] | None = None,
    title: str = "train",
    console: Console | None = None,
    about: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Train ``weights`` in place; returns the totals of the run.

    Continues from the newest checkpoint in ``folder/checkpoints`` if there is one, with the same result bit for bit as
    if it had never stopped. ``evaluate`` gives metrics (``eval_loss``, if that is one of them) at both ends and every
    ``eval_every`` steps, on every rank; ``tasks`` others at both ends and every ``tasks_every`` steps, which may take
    long. Both leave random numbers as they were. With ``ema_decay`` the averaged weights are evaluated, and are the
    policy's when this returns; with ``wanted`` those of the step where that was best. Writes ``folder/metrics.jsonl``.
    SIGINT, SIGTERM and ``max_hours`` finish the step, write a checkpoint and raise Interrupted; SIGUSR1 writes one and
    goes on. ``stateful``: what else shapes the run and has a ``state_dict`` for checkpoints (NEFTune's noise).
    ``about`` goes into every checkpoint's ``checkpoint.json``: what somebody needs who loads it by itself.

    With several ranks (``world``; by default torch.distributed's) each calls this with its own source; the first one
    writes and speaks.

    The totals hold ``eval_loss`` (`course.measured`), ``best`` (`Best`), ``rollbacks`` and ``warnings``, sentences
    about a run that went wrong. A step whose loss or gradient is no finite number changes nothing and is counted
    (`Health`). Raises Diverged where there are ``max_bad_steps`` in a row, or a weight is none. A source that raises
    Halted has given no step: a checkpoint of the step before is written, and it is raised on. One that raises
    RollBack is put back with the weights (its ``roll_back``) to the newest checkpoint up to the step that it names;
    ``trusted`` says up to which step nothing is amiss: the newest checkpoint up to there stays, and one of step 0 is
    written.
    """
    world = world or World.current()
    console = (console or make_console()) if world.rank == 0 else Console(quiet=True)
    run = _Run(weights, source, objective, settings, folder, world, stateful, title, console)
    run.keeper.trusted, run.keeper.about = trusted, about or {}
    run.evaluated = Evaluations(evaluate, tasks, settings)
    run.best = Best(wanted, weights, folder) if wanted else None
    run.resume()
    policy = weights.policy.train()
    if settings.gradient_checkpointing:
        recompute_activations(policy.model, int(settings.gradient_checkpointing))
    compiled = worth_compiling(settings.compile, policy.compute.device, run.say)
    profiled = min(run.steps, run.step + STEP) if settings.profile and world.rank == 0 else 0
    with (
        compiled_blocks(policy.model) if compiled else nullcontext(),
        Progress(title, run.steps, done=run.step, console=console) as progress,
        first_signal(_STOPPING if world.rank == 0 else "") as stopped,
        checkpoint_signal() as requested,
        run.keeper,
        watchdog(settings.watchdog_minutes, folder),
    ):
        step = None
        while True:
            run.keeper.poll()
            run.evaluations(stopped)
            late = run.clock.is_late()
            stop = world.agree(stopped or late)
            due = run.well and run.keeper.is_due(step, run.step, run.steps)
            on_request = step is not None and requested.pop()  # one that comes before a step is kept for after it
            if world.agree(due or on_request) or (stop and step):
                run.checkpoint()
            if stop and not run.step:
                raise Interrupted(number(stopped), "stopped before the first step; the same command begins again.")
            if stop:
                raise Interrupted(number(stopped), run.left(late))
            if run.step >= run.steps:
                break
            try:
                with traced(run.step + 1 == profiled, folder, policy.compute.device):
                    step, row = run.take_step()
                if run.log:
                    run.log.write(row)
                progress.show(row)
                run.look(row)
            except RollBack as asked:
                run.roll_back(asked)
                step = None
                continue
            except Halted:
                if run.step:
                    run.checkpoint()
                raise
    return run.finish()


class _Run:
    """What `train` does, piece by piece; its arguments are those of `train`."""

    evaluated: Evaluations
    best: Best | None

    def __init__(self, weights, source, objective, settings, folder, world, stateful, title, console):
        self.weights, self.source, self.objective, self.settings = weights, source, objective, settings
        self.folder, self.world, self.stateful = folder, world, dict(stateful or {})
        self.title, self.console = title, console
        self.log: MetricsLog | None = None
        self.first: Sequence[Batch] = ()  # the batches of the first step, where their loss is to be compared
        if source.steps is None and settings.max_steps is None:
            raise InputError(f"{title}: this data has no end; say after how many steps to stop: max_steps.")
        self.steps = min(n for n in (source.steps, settings.max_steps) if n is not None)
        check_schedule(self.steps, settings)
        self.ema = EMA(weights.named, settings.ema_decay, weights.push) if settings.ema_decay else None
        self.totals: dict[str, Any] = {"step": 0, "tokens": 0, "trained_tokens": 0, "seconds": 0.0}
        self.health, self.clock = Health(settings, self.say), Clock(settings.max_hours)
        if source.steps is not None and (settings.max_steps or 0) > source.steps:
            self.say(
                f"max_steps is {settings.max_steps}, and the data give {self.steps} in this many epochs, after which "
                "the run ends; raise epochs for more."
            )
        self.keeper = Keeper(
            folder / "checkpoints",
            weights,
            source,
            settings,
            world,
            self.say,
            own=self.stateful,
            common={"ema": self.ema} if self.ema else {},
        )

    @property
    def step(self) -> int:
        return self.totals["step"]

    def resume(self) -> None:
        """Go to where the newest checkpoint is, if there is one, and open the log."""
        found = self.keeper.newest()
        if found:
            if self.objective.comparable:
                self.first = self.source.next_step().batches  # as when the run began
            if step_of(found) > self.steps:
                raise InputError(
                    f"{self.title}: {found} is of step {step_of(found)} already, and with these settings the run has "
                    f"{self.steps}; raise max_steps or epochs, or do the stage again with --fresh."
                )
            self.source.load_state_dict(self.load(found))
            self.say(f"going on from step {self.step} of {self.steps} ({found}).")
        if self.world.rank == 0:
            kept = partial(Evaluations.holds, step=self.step, totals=self.totals) if found else None
            self.log = MetricsLog(self.folder / "metrics.jsonl", kept, self.say)

    def load(self, checkpoint: Path) -> dict[str, Any]:
        """Put back all but the source, whose state is given."""
        state = self.keeper.load(checkpoint)
        self.totals = state["totals"]
        if self.totals.get("best", {}).get("metric") != (self.best and self.best.wanted.name):
            self.totals.pop("best", None)  # another one is wanted now
        if self.best and self.world.rank == 0:
            self.best.checkpointed(self.totals)
        return state["source"]

    def take_step(self) -> tuple[Step, dict[str, Any]]:
        """One optimiser step; returns what it trained on and its row of metrics."""
        started, settings = time.perf_counter(), self.settings
        share = lr_share(self.step, self.steps, settings) * self.totals.get("lr_factor", 1.0)
        rates = self.weights.optimizer.set_rates(share)
        step = self.next_step()
        told: Mapping[str, float | None] = {"loss": None, "skipped": 1}
        self.skipped, norm = "", None
        try:
            told, norm = optimizer_step(self.weights, self.objective, step.batches, settings.max_grad_norm, self.world)
        except FloatingPointError as error:
            self.skipped = str(error)
        if self.step == 0 and not self.skipped:
            self.totals |= {"first_loss": told["loss"], "first_loss_of": loss_named(self.objective)}
            self.first = step.batches if self.objective.comparable else ()
        if self.ema and not self.skipped and "untrained" not in told:
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

    def next_step(self) -> Step:
        """From the source, some of which ask the policy. Raises as that does, but RollBack or Diverged where the
        weights that were trained here give it no finite numbers."""
        try:
            return self.source.next_step()
        except NotFinite as error:
            if self.step == 0:
                raise  # the model was so when it came
            raise (self.health.unsound(self.totals, str(error)) or self.diverged(str(error), self.step)) from error

    @property
    def well(self) -> bool:
        """Whether the last step was no skipped one: until then the checkpoint from before stays the newest."""
        return not self.totals.get("bad_in_row")

    def look(self, row: Mapping[str, Any]) -> None:
        """At the step that was just taken. Raises Diverged, RollBack or Halted where it is to end here."""
        beat(f"step {self.step}")
        self.clock.took(row["seconds"])
        if not self.skipped:
            return self.health.trained(self.totals, row["loss"])
        try:
            self.health.skipped(self.totals, self.skipped)
        except FloatingPointError as error:
            raise self.diverged(str(error), self.step - self.totals["bad_in_row"] + 1) from error

    def evaluations(self, stopped: list[int]) -> None:
        """Measure what is due at this step and was not measured there before; a signal leaves it off."""

        def look() -> None:
            beat("an item that was measured")
            if stopped and self.world.size == 1:  # one of several ranks cannot leave off alone
                raise Stopped

        with suppress(Stopped):
            for measure in self.evaluated.due(self.step, self.steps, self.totals):
                with kept_random_state(), self.ema.in_place() if self.ema else nullcontext():
                    row = self.measured(
                        partial(measure, look), "the evaluation loss", "what is evaluated cannot be measured"
                    )
                    if self.best:
                        self.keeper.wait()  # what is being written speaks of the best until now
                        self.best.look(self.step, row, self.totals, write=self.world.rank == 0)
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

    def checkpoint(self) -> None:
        with working(f"{self.title}: checkpoint"):
            self._checkpoint()

    def _checkpoint(self) -> None:
        self.check_weights()
        self.keeper.write(self.totals, self.steps, self.best.checkpointed if self.best else lambda totals: None)

    def left(self, late: bool) -> str:
        """Where a run is that a signal or ``max_hours`` stops, when all is written."""
        self.keeper.wait()
        at, known = f"stopped at step {self.step} of {self.steps}", self.keeper.known
        if late:
            at += f" by max_hours {self.settings.max_hours:g} ({self.clock.left(self.steps - self.step)} are left)"
        if known and step_of(known[-1]) == self.step:
            return f"{at}; {known[-1]} is written. Run the same command again to go on from there."
        where = f"from {known[-1]}, which is whole" if known else "from the start"
        return f"{at}, and its checkpoint could not be written. The same command goes on {where}."

    def roll_back(self, asked: RollBack) -> None:
        """Go to the newest checkpoint that the source trusts, in weights and optimiser; the source draws on.

        Raises Halted, with a checkpoint, where the run went back as often as it may.
        """
        done, step = self.totals.get("rollbacks", []), self.step
        place = self.keeper.newest(up_to=asked.before)
        if len(done) >= asked.most or place is None:
            if step and not asked.unsound:
                self.checkpoint()
            often = f"it went back {len(done)} times" if place else "no checkpoint is there of the time before"
            raise Halted(
                f"{asked.reason} The run stops here: {often}. Lower learning_rate, or look at the data or the reward."
            )
        aside = self.world.first(lambda: set_aside(self.folder, step_of(place), len(done) + 1))
        factor = self.totals.get("lr_factor", 1.0) * asked.lr_factor
        self.source.roll_back(self.load(place), asked.reason)
        if factor != 1:
            self.totals["lr_factor"] = factor
        row = {"at_step": step + 1, "to_step": self.step, "reason": asked.reason, "aside": str(aside)}
        self.totals["rollbacks"] = [*done, row]
        if self.log:
            record(self.folder, self.totals["rollbacks"])
            self.log.close()
            self.log = MetricsLog(self.folder / "metrics.jsonl", lambda row: row["step"] <= self.step, self.say)
        self.checkpoint()
        rate = f", and learning rates are {factor:g} times what they were" if factor != 1 else ""
        self.say(
            f"rolled back to step {self.step} ({place}), {len(done) + 1} of at most {asked.most} times; other data "
            f"come from here on{rate}. What was trained since is in {aside}."
        )

    def finish(self) -> dict[str, Any]:
        """Leave the weights as the run made them; returns the totals."""
        self.check_weights()
        if self.log:
            self.log.close()
        if self.ema:
            self.ema.swap()
        self.weights.finish()
        self.weights.policy.eval()
        self.totals.pop("evaluated", None)
        if self.best and "best" in self.totals and self.totals["best"]["step"] != self.step:
            self.best.put_back(self.totals)
        moved = None
        if self.first and self.totals.get("first_loss_of") == loss_named(self.objective):
            row = self.measured(
                partial(loss_of, self.weights.policy, self.objective, self.first, self.world),
                "after it the loss on the first step's examples",
                "after it the first step's examples have no loss",
            )
            moved = self.totals["first_loss"], row["eval_loss"]
        # Noise of NEFTune and weights that are an average are in the difference too: small ones say nothing then.
        best = self.totals.get("best", {"step": self.step})["step"]
        exact = not (self.stateful or self.ema) and best == self.step
        said = [
            *self.keeper.finished(),
            *Health.finished(self.totals),
            *course.warnings(self.totals, moved if best else None, exact=exact),
            *course.kept(self.totals),
        ]
        return {**self.totals, "peak_memory_gb": peak_memory_gb(), "warnings": said}

    def check_weights(self) -> None:
        if bad := [name for name, tensor in self.weights.named.items() if not tensor.isfinite().all()]:
            raise self.diverged(f"{bad[0]} is no longer finite.", self.step)

    def diverged(self, what: str, step: int) -> Diverged:
        """A checkpoint of ``self.step``, the step of the weights with which it went wrong, holds them."""
        self.keeper.wait()
        known = {step_of(path): path for path in self.keeper.known}
        of_weights = self.step - self.totals.get("bad_in_row", 0)
        bad = known.pop(of_weights, None) if of_weights else None
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
