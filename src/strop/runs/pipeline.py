"""A recipe's stages in order, each resumable, then the summary and the report.

A stage whose settings and inputs are the same as when it was done is skipped; one that was cut off goes on from its
newest checkpoint. Where settings or inputs of a training stage changed, it is said which, and the caller has decided
what then happens: stop, go on from the checkpoint with the new ones, or do it afresh beside the old result.
"""

from __future__ import annotations

import shlex
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from strop import __version__
from strop.chat.builtin import template_text
from strop.common import tracking
from strop.common.console import heading, say, speaking_on, working
from strop.common.errors import InputError, Interrupted
from strop.common.files import folder_stamp, write_json
from strop.common.flat import flat
from strop.config.recipe import Recipe
from strop.data.keys import files_digest
from strop.evals.gates import check_limit, metric_named, named_gates
from strop.model.names import resolve
from strop.model.precision import best_compute
from strop.report import write_report
from strop.report.live import read_progress
from strop.runs.begin import Beginning, Changed, begin, listed
from strop.runs.live import Live
from strop.runs.made_from import Change, key_of
from strop.runs.missing import Missing, all_named, missing, without
from strop.runs.provenance import provenance, write_provenance
from strop.runs.run_folder import check_data, check_ranks, check_recipe, claimed
from strop.runs.stage_folder import STATE, StageFolder, read_state, write_config
from strop.runs.summary import UNSAFE, describe_machine, show, summarise
from strop.runs.trackers import Trackers
from strop.sandbox import unsafe_local
from strop.stages.base import Context, Stage, StageResult
from strop.tasks import open_task
from strop.train.metrics import peak_memory_gb, reset_peak_memory
from strop.train.world import World


def run_recipe(
    recipe: Recipe,
    console: Console,
    changed: Changed = "stop",
    *,
    open_page: bool = False,
    allow_missing: bool = False,
) -> dict[str, Any]:
    """Run every stage, write ``summary.json`` and ``report.html`` and return the summary. ``open_page``: show the page
    in a browser while it runs.

    With ``allow_missing`` the run goes without data and evals that cannot be had, which is said and noted.
    Of several ranks the first one decides, writes and speaks; the others take part in what a stage computes.
    Raises InputError for bad input, Interrupted when a signal stopped a stage.
    """
    world = World.current()
    if world.rank:
        console = Console(quiet=True)
    check_ranks(recipe, world.size)
    check_data(recipe.run_folder, chain.from_iterable(one.local_data(recipe) for one in recipe.stages.values()))
    left_out = missing(recipe) if allow_missing else []
    if left_out:
        recipe, also = without(recipe, left_out)
        left_out += also
    for one in left_out:
        say(console, f"left out (--allow-missing): {one}", style="yellow")
    with ExitStack() as held:
        if world.rank == 0:
            held.enter_context(claimed(recipe.run_folder))
        held.enter_context(unsafe_local(recipe.unsafe_local))
        held.enter_context(speaking_on(console))
        if world.rank:
            return _Run(recipe, console, changed, world, None, left_out).run()
        live = held.enter_context(Live(recipe.run_folder, console, open_page))
        trackers = held.enter_context(Trackers(recipe, console, changed))
        summary = _Run(recipe, console, changed, world, live, left_out).run()
        trackers.finish(summary)
        return summary


@dataclass
class _Run:
    recipe: Recipe
    console: Console
    changed: Changed
    world: World
    live: Live | None  # of the first rank
    left_out: list[Missing] = field(default_factory=list)
    done: dict[str, dict[str, Any]] = field(default_factory=dict)

    def run(self) -> dict[str, Any]:
        recipe, folder = self.recipe, self.recipe.run_folder
        self.compute = best_compute(recipe.compute.device, recipe.compute.dtype)
        with working(f"{recipe.model_name}: looked up, or downloaded"):
            model: Path = self.world.in_turn(lambda: resolve(recipe.model))
        with all_named(recipe):
            plan = self.world.first(lambda: self._plan(model))
        say(self.console, f"{recipe.name}: {recipe.model_name} on {self.compute}, into {folder}", style="bold")
        if recipe.unsafe_local:
            say(self.console, f"unsafe_local: {UNSAFE}.", style="bold red")
        with all_named(recipe):
            self.world.first(lambda: self._preflight(model) if any(plan.values()) else None)
        for name in recipe.stages:
            if (beginning := plan[name]) is not None:
                maker = recipe.model_from(name)
                self.done[name] = self._do(name, beginning, folder / maker / "model" if maker else model)
            else:
                self.done[name] = self.world.first(partial(read_state, folder / name))
                say(self.console, f"{name}: done before with the same settings and inputs, skipped.")
                if (new := StageFolder(folder / name).new).exists():
                    text = f"{new} holds an unfinished run with other settings; delete it if it is not wanted."
                    say(self.console, text)
        return self.world.first(self._finish)

    def _preflight(self, model: Path) -> None:
        folder = self.recipe.run_folder
        for name, stage in self.recipe.stages.items():
            stage.preflight(self._context(name, folder / name, model))
        self.made_with = provenance(describe_machine(self.compute))
        write_provenance(folder, self.made_with, model, self.made_from)
        write_config(folder, self._config())

    def _plan(self, model: Path) -> dict[str, Beginning | None]:
        """How every stage begins (None: done before), before any of them is touched. Raises InputError where one may
        not be done."""
        recipe = self.recipe
        check_recipe(recipe.run_folder, list(recipe.stages), recipe.name)
        _check_gates(recipe)
        inputs = {name: _inputs(recipe, stage) for name, stage in recipe.stages.items()}
        own = {"name": recipe.model_name, "files": folder_stamp(model)}
        keys: dict[str, str] = {}
        plan, self.made_from = {}, {}
        for name, stage in recipe.stages.items():
            folder = StageFolder(recipe.run_folder / name)
            folder.recover()
            rows = {maker: keys[maker] for maker in stage.reads()}
            maker = recipe.model_from(name)
            origin = {"stage": maker, "key": keys[maker]} if maker else own
            made_from = flat({**inputs[name], "model": origin, "rows": rows, "compute": str(self.compute)})
            keys[name], self.made_from[name] = key_of(made_from), made_from
            plan[name] = begin(
                folder, made_from, trains=stage.trains, changed=self.changed, run=recipe.name, resume=stage.resume
            )
        return plan

    def _finish(self) -> dict[str, Any]:
        folder = self.recipe.run_folder
        started = time.perf_counter()
        if self.live:
            self.live.finishing()
        summary = summarise(self.recipe, self.done, self.compute)
        summary["notes"] += [
            f"{name} went on from {change['from']} with "
            f"{listed(Change(one['setting'], one['before'], one['now']) for one in change['changed'])}."
            for name, state in self.done.items()
            for change in state.get("changes", ())
        ]
        summary["notes"] += [f"Left out, since data could not be had: {one}" for one in self.left_out]
        write_json(folder / "summary.json", summary)
        with working("report: writing"):
            summary["report"] = str(write_report(folder))
        summary["minutes"]["report"] = (time.perf_counter() - started) / 60
        write_json(folder / "summary.json", summary)
        show(summary, self.console)
        say(self.console, f"report: {summary['report']}\nnumbers: {folder / 'summary.json'}")
        if any(stage.trains and stage.hands_on for stage in self.recipe.stages.values()):
            say(self.console, f"next: strop chat {shlex.quote(str(folder))}")
        return summary

    def _do(self, name: str, beginning: Beginning, model: Path) -> dict[str, Any]:
        stage = self.recipe.stages[name].with_rows(self.recipe.rows_of).with_models(self.recipe.model_of)
        folder, place = StageFolder(self.recipe.run_folder / name), beginning.place
        heading(self.console, name)
        if beginning.words:
            say(self.console, beginning.words)
        begun, before = self.world.first(lambda: self._begin(name, folder, beginning))
        reset_peak_memory()
        started = time.perf_counter()
        context = replace(
            self._context(name, place, model), made_from=beginning.state["made_from"], so_far=partial(self._show, name)
        )
        with self._stoppable(name, stage):
            result = stage.run(context)
        if not isinstance(result, StageResult):
            raise InputError(f"{name}: run of the kind {stage.kind} gave {result!r}; it is to give a StageResult.")
        minutes = before + (time.perf_counter() - started) / 60
        state = {**begun, "done": True, "minutes": minutes, "peak_memory_gb": peak_memory_gb()}
        state |= result.to_dict()
        return self.world.first(lambda: self._end(name, folder, place, state))

    def _begin(self, name: str, folder: StageFolder, beginning: Beginning) -> tuple[dict[str, Any], float]:
        """The stage's state as it begins, and the minutes that it has taken already."""
        # One that was cut off may go on with another version of something, and is then of both.
        known, place = beginning.state.get("provenance", []), beginning.place
        begun = {**beginning.state, "provenance": [*(one for one in known if one != self.made_with), self.made_with]}
        before = (begun, {} if beginning.progress is None else read_state(beginning.progress))
        unsafe = any(one.pop("unsafe_local", False) for one in before) and not self.recipe.stages[name].judges_anew
        if self.recipe.unsafe_local or unsafe:
            begun["unsafe_local"] = True
        if beginning.goes_on:
            write_config(place, self._config())  # what has no effect may have changed
            write_json(place / STATE, begun)
        else:
            folder.begin(begun, place, self._config(), beginning.progress, beginning.checkpoint)
        # Of whatever ended it, a kill too, `Live` wrote down when it was last there.
        told = read_progress(self.recipe.run_folder)
        minutes = told.get("minutes", 0.0) if beginning.goes_on and told.get("stage") == name else 0.0
        if self.live:
            self.live.stage(name, list(self.recipe.stages), self._summary_with(name, StageResult()), minutes)
        return begun, minutes

    def _show(self, name: str, result: StageResult) -> None:
        """On the run's page, the stage ``name`` with what there is of its result."""
        if self.live:
            self.live.so_far(self._summary_with(name, result))

    def _summary_with(self, name: str, result: StageResult) -> dict[str, Any]:
        so_far = {one: stage for one, stage in self.recipe.stages.items() if one in self.done or one == name}
        unfinished = self.recipe.model_copy(update={"stages": so_far, "gates": {}})
        return summarise(unfinished, {**self.done, name: {"minutes": None, **result.to_dict()}}, self.compute)

    def _end(self, name: str, folder: StageFolder, place: Path, state: dict[str, Any]) -> dict[str, Any]:
        _check_left(name, self.recipe.stages[name], place)
        write_json(place / STATE, state)
        tracking.track(name, {metric: one["value"] for metric, one in state.get("metrics", {}).items()})
        if place == folder.new:
            # What they say is of the stage that goes.
            for outdated in ("summary.json", "report.html"):
                (self.recipe.run_folder / outdated).unlink(missing_ok=True)
            folder.take_place()
        say(self.console, f"{name}: done in {state['minutes']:.1f} min.")
        return state

    def _config(self) -> str:
        return yaml.safe_dump(self.recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)

    def _context(self, name: str, place: Path, model: Path) -> Context:
        return Context(self.recipe, name, model, place, self.compute, self.console)

    @contextmanager
    def _stoppable(self, name: str, stage: Stage) -> Iterator[None]:
        """A signal outside of the training loop, which has ways of its own, ends in one line that says what is kept."""
        received = [signal.SIGINT]

        def stop(signum: int, frame: Any) -> None:
            received[0] = signal.Signals(signum)
            raise KeyboardInterrupt

        main = threading.current_thread() is threading.main_thread()
        before = signal.signal(signal.SIGTERM, stop) if main else None
        try:
            yield
        except KeyboardInterrupt:
            raise Interrupted(received[0], f"stopped in {name}; {stage.if_stopped}.") from None
        finally:
            if main:
                signal.signal(signal.SIGTERM, before)


def _check_left(name: str, stage: Stage, place: Path) -> None:
    """Raises InputError where a stage has not left what its kind says that it leaves."""
    left = {"trains": "model" if stage.trains else None, "leaves": stage.leaves}
    for said, file in left.items():
        if file is not None and not (place / file).exists():
            raise InputError(
                f"{name}: the kind {stage.kind} is to leave {place / file} ({said} says so), and it is not there; let "
                f"its run write it, or leave {said} out of the class."
            )


def _check_gates(recipe: Recipe) -> None:
    """Raises InputError for a gate on what the recipe does not measure, before the first stage begins."""
    if not recipe.gates:
        return
    measures = {name: open_task(name, settings).measures() for name, settings in recipe.evals.items()}
    known = {name: metric for one in measures.values() for name, metric in one.items()}
    tasks = {name: list(one) for name, one in measures.items()}
    whole = {name: gate for name, gate in recipe.gates.items() if "/" not in name or name in known}
    named_gates(whole, tasks, known)
    for name in recipe.gates.keys() - whole.keys():  # a metric's part by source: the sources are known later
        whole_metric = metric_named(name.rpartition("/")[0], tasks, "gates.")
        check_limit(recipe.gates[name], known[whole_metric], f"gates.{name}")


def _inputs(recipe: Recipe, stage: Stage) -> dict[str, Any]:
    """All that the stage's result depends on but for its model: settings, data, strop's version.

    Raises InputError for data that are not there.
    """
    if not isinstance(own := stage.inputs(recipe), Mapping):
        raise InputError(f"inputs of the kind {stage.kind} gave {own!r}; it is to give values by name, {{}} for none.")
    return {
        "strop_version": __version__,
        "stage": stage.model_dump(mode="json", exclude=set() if stage.start else {"start"}),
        "chat": recipe.chat.model_dump(mode="json"),
        "template_file": template_text(recipe.chat.template),  # of a file, what it says now
        "plugins": {str(file): files_digest([file]) for file in recipe.plugins},
        **own,
    }
