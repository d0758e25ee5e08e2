"""The verbs that train: each is a recipe of one stage, as on the command line, and `run` is any recipe."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from strop.api.given import Handed, override
from strop.api.result import Result, result_of
from strop.common.console import make_console
from strop.common.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from strop.config.recipe import Recipe

Changed = Literal["stop", "continue", "fresh"]
Name = str | Path


def sft(model: Name, data: Any, **settings: Any) -> Result:
    """Learn to answer as conversations do.

    ``data``: a path, a hub id, ``task:NAME``, the settings of a part, a list of these, or rows (mappings, a
    `datasets.Dataset` …). ``settings`` are those of ``strop sft`` as Python values: of the stage (``eval_data``,
    ``lora`` …), of the recipe (``name``, ``folder``, ``chat``, ``compute`` …), and those of ``train`` by their own
    names too (``learning_rate``, ``epochs`` …). ``objective``: a function ``(outputs, batch)`` that gives the loss of
    each trained token. ``changed``: what to do where a run of this name has other settings: ``stop`` (raise InputError
    with the differences), ``continue`` or ``fresh``. ``quiet``: print nothing. Raises InputError for bad input,
    Interrupted when a signal stopped it with a checkpoint written.
    """
    return _train("sft", "sft", model, data, settings)


def dpo(model: Name, data: Any, **settings: Any) -> Result:
    """Learn from chosen and rejected answers (``objective={"type": …}``: DPO and its relatives), or labelled ones."""
    return _train("dpo", "preference", model, data, settings)


def reward_model(model: Name, data: Any, **settings: Any) -> Result:
    """Train a model that scores answers (``strop rm``)."""
    return _train("rm", "reward_model", model, data, settings)


def grpo(model: Name, data: Any, rewards: Any = None, **settings: Any) -> Result:
    """Learn from rewards of the model's own answers, compared within groups.

    ``rewards``: parts by name; each a function (a list of `strop.rewards.kinds.Sample`, the answers to one prompt, in,
    as many numbers out), the name of a kind (``exact``), or settings; or one function. Functions run in worker
    processes with a time limit (``grading``), lambdas and those of notebooks too: they are sent by value.
    ``environment``: a class of your own, settings (whose ``tools`` may be functions), or the name of a kind.
    """
    return _train("grpo", "rl", model, data, {**settings, **({} if rewards is None else {"rewards": rewards})})


def ppo(model: Name, data: Any, rewards: Any = None, **settings: Any) -> Result:
    """The same with learnt values."""
    settings = {"objective": {"preset": "ppo"}, **settings, **({} if rewards is None else {"rewards": rewards})}
    return _train("ppo", "rl", model, data, settings)


def distill(model: Name, data: Any, teacher: Name, **settings: Any) -> Result:
    """Learn the distributions of ``teacher``, on the data's answers or on the model's own."""
    return _train("distill", "distill", model, data, {**settings, "teacher": str(teacher)})


def run(
    recipe: Name | Mapping[str, Any], *, changed: Changed = "stop", quiet: bool = False, **overrides: Any
) -> Result:
    """Run a recipe: a YAML file, or what one says. ``overrides`` may name nested settings with dots:
    ``run("r.yaml", model="x", **{"stages.sft.train.epochs": 1})``."""
    from strop.config.load import load_values
    from strop.config.recipe import load_recipe, plugins_of, recipe_with

    given = [override(key, value) for key, value in overrides.items()]
    if isinstance(recipe, Mapping):
        values = deepcopy(dict(recipe))
        return _run(load_values(recipe_with(plugins_of(values, given)), values, given, "strop.run"), changed, quiet)
    return _run(load_recipe(Path(recipe), given), changed, quiet)


def _train(verb: str, kind: str, model: Name, data: Any, settings: dict[str, Any]) -> Result:
    from strop.config.recipe import Recipe, stage_recipe
    from strop.stages.base import STAGES

    changed, quiet = settings.pop("changed", "stop"), settings.pop("quiet", False)
    handed = Handed(Path(settings.get("folder") or Path("runs") / str(settings.get("name", verb))))
    stage_fields = STAGES[kind].model_fields
    train_fields = stage_fields["train"].annotation.model_fields  # type: ignore[union-attr]
    stage: dict[str, Any] = {"kind": kind, "data": handed.data(data)}
    train: dict[str, Any] = {}
    more: dict[str, Any] = {}
    for name, value in settings.items():
        if name in stage_fields:
            stage[name] = value
        elif name in train_fields:
            train[name] = value
        elif name in Recipe.model_fields:
            more[name] = value
        else:
            near = difflib.get_close_matches(name, [*stage_fields, *train_fields, *Recipe.model_fields], n=1)
            raise InputError(
                f"strop.{verb}: there is no setting {name!r}{f'; did you mean {near[0]}?' if near else '.'}"
            )
    if "rewards" in stage:
        stage["rewards"] = handed.rewards(stage["rewards"])
    if stage.get("environment") is not None and "environment" in stage_fields:
        stage["environment"] = handed.environment(stage["environment"])
    if "eval_data" in stage and not (isinstance(stage["eval_data"], Mapping) and "fraction" in stage["eval_data"]):
        stage["eval_data"] = handed.data(stage["eval_data"])
    if callable(stage.get("objective")):
        stage["objective"] = handed.function(stage["objective"])
    if "evals" in more:
        more["evals"] = handed.tasks(more["evals"])
    if twice := sorted(train.keys() & dict(stage.get("train") or {}).keys()):
        raise InputError(f"strop.{verb}: {twice[0]} is given twice, by itself and within train; leave one out.")
    if train:
        stage["train"] = {**dict(stage.get("train") or {}), **train}
    if handed.plugins:
        more["plugins"] = [*map(str, more.get("plugins", [])), *handed.plugins]
    return _run(stage_recipe(verb, str(model), stage, more=more), changed, quiet)


def _run(recipe: Recipe, changed: Changed, quiet: bool) -> Result:
    from strop.runs.pipeline import run_recipe

    return result_of(recipe, run_recipe(recipe, console_of(quiet), changed=changed))


def console_of(quiet: bool) -> Console:
    """Where a run speaks."""
    console = make_console()
    console.quiet = quiet
    return console
