"""A recipe's stages in order, each resumable, then the summary and the report.

A stage whose settings and inputs are the same as when it was done is skipped; one that was cut off goes on from its
newest checkpoint. Where settings or inputs of a training stage changed, it is said which, and the caller has decided
what then happens: stop, go on from the checkpoint with the new ones, or do it afresh beside the old result.
"""

from __future__ import annotations

import hashlib
import shlex
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml
from rich.console import Console

from strop import __version__
from strop.chat.builtin import template_text
from strop.console import heading
from strop.data.files import data_files
from strop.data.keys import data_identity, files_digest
from strop.errors import InputError, Interrupted
from strop.files import write_json
from strop.model.memory import keep_freed_memory
from strop.model.names import resolve
from strop.model.precision import best_compute
from strop.recipe import EvalStage, Recipe, SftStage
from strop.report import write_report
from strop.runs.made_from import Change, MadeFrom, changes, flat, key_of
from strop.runs.run_folder import check_recipe, claimed
from strop.runs.stage_folder import STATE, StageFolder, read_state
from strop.summary import show, summarise
from strop.train.checkpoint import checkpoints
from strop.train.metrics import peak_memory_gb, reset_peak_memory

Changed = Literal["stop", "continue", "fresh"]


def run_recipe(recipe: Recipe, console: Console, changed: Changed = "stop") -> dict[str, Any]:
    """Run every stage, write ``summary.json`` and ``report.html`` and return the summary.

    ``changed`` is what to do with a training stage whose settings or inputs are not those of its result or checkpoint.

    Raises InputError for bad input, Interrupted when a signal stopped a stage.
    """
    with claimed(recipe.run_folder):
        return _Run(recipe, console, changed).run()


@dataclass
class _Run:
    recipe: Recipe
    console: Console
    changed: Changed
    done: dict[str, dict[str, Any]] = field(default_factory=dict)

    def run(self) -> dict[str, Any]:
        recipe, folder = self.recipe, self.recipe.run_folder
        check_recipe(folder, list(recipe.stages), recipe.name)
        keep_freed_memory()
        self.compute = best_compute(recipe.compute.device, recipe.compute.dtype)
        model: Path = resolve(recipe.model)
        origin = {"name": recipe.model, "files": _model_fingerprint(model)}
        inputs = {
            name: _inputs(recipe, stage) for name, stage in recipe.stages.items()
        }  # all are there, before any work
        self._say(f"{recipe.name}: {recipe.model} on {self.compute}, into {folder}", style="bold")
        checked = False
        for name, stage in recipe.stages.items():
            stage_folder = StageFolder(folder / name)
            stage_folder.recover()
            made_from = flat({**inputs[name], "model": origin, "compute": str(self.compute)})
            state = read_state(stage_folder.path)
            if state.get("done") and state.get("key") == key_of(made_from):
                self._say(f"{name}: done before with the same settings and inputs, skipped.")
                self._mention_unfinished(stage_folder)
            else:
                if not checked:
                    _stages().preflight(recipe, model, self.compute)
                    checked = True
                state = self._do(name, stage, model, stage_folder, made_from)
            self.done[name] = state
            if isinstance(stage, SftStage):
                model, origin = stage_folder.path / "model", {"stage": name, "key": state["key"]}
        return self._finish()

    def _finish(self) -> dict[str, Any]:
        folder = self.recipe.run_folder
        started = time.perf_counter()
        summary = summarise(self.recipe, self.done, self.compute)
        write_json(folder / "summary.json", summary)
        summary["report"] = str(write_report(folder))
        summary["minutes"]["report"] = (time.perf_counter() - started) / 60
        write_json(folder / "summary.json", summary)
        show(summary, self.console)
        self._say(f"report: {summary['report']}\nnumbers: {folder / 'summary.json'}")
        if any(isinstance(s, SftStage) for s in self.recipe.stages.values()):
            self._say(f"next: strop chat {shlex.quote(str(folder))}")
        return summary

    # ------------------------------------------------------------ one stage

    def _do(
        self, name: str, stage: EvalStage | SftStage, model: Path, folder: StageFolder, made_from: MadeFrom
    ) -> dict[str, Any]:
        heading(self.console, name)
        key = key_of(made_from)
        place, state = self._place(name, stage, folder, made_from, key)
        reset_peak_memory()
        started = time.perf_counter()
        with self._stoppable(name, stage):
            if isinstance(stage, EvalStage):
                result = _stages().run_eval(self.recipe, model, place, self.compute, self.console)
            else:
                result = _stages().run_sft(stage, self.recipe, model, place, self.compute, self.console)
        minutes = (time.perf_counter() - started) / 60
        state = {**state, "done": True, "minutes": minutes, "peak_memory_gb": peak_memory_gb(), **result}
        write_json(place / STATE, state)
        if place == folder.new:
            # What they say is of the stage that goes.
            for outdated in ("summary.json", "report.html"):
                (self.recipe.run_folder / outdated).unlink(missing_ok=True)
            folder.take_place()
        self._say(f"{name}: done in {minutes:.1f} min.")
        return state

    def _place(
        self, name: str, stage: EvalStage | SftStage, folder: StageFolder, made_from: MadeFrom, key: str
    ) -> tuple[Path, dict[str, Any]]:
        """Where the stage works (its folder, or the new one beside it), and the state from which it goes on."""
        for place in (folder.new, folder.path):
            state = read_state(place)
            if state.get("key") == key and not state.get("done"):
                return place, state
        state = read_state(folder.path)
        begun = {"run": self.recipe.name, "key": key, "done": False, "made_from": made_from}
        place = folder.path
        if state.get("done") or checkpoints(folder.path / "checkpoints"):  # otherwise there is nothing to be kept
            place = folder.new
            found = changes(state["made_from"], made_from) if "made_from" in state else []
            begun |= self._changed(name, stage, folder, found)
            if place.exists():
                self._say(f"{name}: the unfinished run in {place} had yet other settings and gives way.")
        config = yaml.safe_dump(self.recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        folder.begin(begun, place, config)
        if "changes" in begun:
            folder.copy_progress(folder.path)
        return place, begun

    def _changed(
        self, name: str, stage: EvalStage | SftStage, folder: StageFolder, found: list[Change]
    ) -> dict[str, Any]:
        """What happens with a stage whose settings or inputs changed. Raises InputError to stop; gives ``changes`` for
        the state of a stage that goes on."""
        model_only = bool(found) and all(change.name.startswith("model.") for change in found)
        redone = model_only and any(change.name in ("model.key", "model.stage") for change in found)
        if isinstance(stage, EvalStage) or redone:
            why = "the model before it is another" if redone else _list(found)
            self._say(f"{name}: done again, since {why}; the earlier result stays until then.")
            return {}
        if self.changed == "stop":
            raise InputError("\n".join(self._choices(name, folder, found)))
        if self.changed == "fresh":
            self._say(f"{name}: done afresh ({_list(found)}); the earlier result stays until the new one is done.")
            return {}
        if fixed := [change for change in found if not change.continuable]:
            raise InputError(
                f"{name}: cannot go on with other data, seed, model, adapters or template ({_list(fixed)}); --fresh "
                "does it again from the start, name=… makes another run of it."
            )
        known = checkpoints(folder.path / "checkpoints")
        if not known:
            raise InputError(f"{name}: there is no checkpoint to go on from; --fresh does it again from the start.")
        self._say(f"{name}: goes on from {known[-1].name} with {_list(found)}.")
        earlier = read_state(folder.path).get("changes", [])
        said = [{"setting": c.name.removeprefix("stage."), "before": c.before, "now": c.now} for c in found]
        return {"changes": [*earlier, {"from": known[-1].name, "changed": said}]}

    def _choices(self, name: str, folder: StageFolder, found: list[Change]) -> Iterator[str]:
        what = "a finished model" if read_state(folder.path).get("done") else "a checkpoint"
        yield f"{name}: {folder.path} holds {what} of other settings or inputs, which stays as it is:"
        yield from (f"  {change}" for change in found)
        if all(change.continuable for change in found) and checkpoints(folder.path / "checkpoints"):
            yield "choose: --continue goes on from its checkpoint with the new ones;"
        else:
            yield "choose:"
        yield "  --fresh does the stage again from the start, and replaces the old result when it is done;"
        yield "  name=… (or folder=…) makes another run of it."

    def _mention_unfinished(self, folder: StageFolder) -> None:
        if folder.new.exists():
            self._say(f"{folder.new} holds an unfinished run with other settings; delete it if it is not wanted.")

    # ------------------------------------------------------------ signals and words

    @contextmanager
    def _stoppable(self, name: str, stage: EvalStage | SftStage) -> Iterator[None]:
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
            kept = (
                "answers that were given are kept, and the same command goes on from there"
                if isinstance(stage, EvalStage)
                else "steps since its newest checkpoint (if any) are done again by the same command"
            )
            raise Interrupted(received[0], f"stopped in {name}; {kept}.") from None
        finally:
            if main:
                signal.signal(signal.SIGTERM, before)

    def _say(self, text: str, style: str | None = None) -> None:
        self.console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)


def _stages() -> Any:
    from strop import stages  # transformers' models take two seconds, which a run that is all done does without

    return stages


def _list(found: list[Change]) -> str:
    return ", ".join(map(str, found)) or "an earlier version of strop did not write down what it was made from"


def _inputs(recipe: Recipe, stage: EvalStage | SftStage) -> dict[str, Any]:
    """All that the stage's result depends on but for its model: settings, data, strop's version.

    Raises InputError for data that are not there.
    """
    tree: dict[str, Any] = {
        "strop_version": __version__,
        "stage": stage.model_dump(mode="json"),
        "chat": recipe.chat.model_dump(mode="json"),
        "template_file": template_text(recipe.chat.template),  # of a file, what it says now
    }
    if isinstance(stage, EvalStage):
        tree["evals"] = {k: v.model_dump(mode="json") for k, v in recipe.evals.items()}
        files = {name: task.path for name, task in recipe.evals.items() if task.path is not None}
        tree["files"] = {name: files_digest(data_files(path)) for name, path in files.items()}
    else:
        tree["data"] = [data_identity(part) for part in stage.mixture.parts]
        tree["eval_data"] = [data_identity(part) for part in stage.eval_mixture.parts]
    return tree


def _model_fingerprint(folder: Path) -> str:
    """Names, sizes and times of a model's files: cheap for any size, and changes when a file is replaced."""
    files = sorted(p for p in folder.iterdir() if p.is_file())
    return hashlib.sha256(repr([(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files]).encode()).hexdigest()
