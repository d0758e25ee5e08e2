"""What an evaluation needs, looked at before anything is trained or generated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from strop.chat import ChatEncoder, ChatSettings, fit_tokenizer
from strop.chat.saved import chat_of
from strop.common.errors import InputError
from strop.common.registry import home_of
from strop.evals.choices import encode_questions
from strop.evals.losses import held_out, yardstick
from strop.evals.prompts import prompts_of
from strop.evals.texts import encode_documents
from strop.model.names import load_generation_config, load_tokenizer, stop_token_ids
from strop.model.window import window_of
from strop.rewards import judge_program
from strop.tasks import open_task
from strop.tasks.base import NO_KIND, AnswerTask, ChoiceTask, LossTask, Task, TaskSettings, TextTask
from strop.tasks.records import TestCase


def check_evals(evals: Mapping[str, TaskSettings], chat: ChatSettings, model: Path) -> None:
    """Raise InputError for what would stop one of the evaluations of a model like that in the folder ``model``.

    Looked at: the files and what is in them, the template on every prompt, the model's window, and whether programs can
    be run here at all.
    """
    tokenizer = load_tokenizer(model)
    chat, _ = chat_of(chat, model, tokenizer)
    fit_tokenizer(tokenizer, chat.template)
    stop_ids = stop_token_ids(tokenizer, load_generation_config(model))
    limit = window_of(model)
    programs = False
    for name, settings in evals.items():
        task = open_task(name, settings)
        if not getattr(task, "metrics", ()):  # one that is only trained on needs none
            raise InputError(f"{home_of(type(task))}: the task {name!r} has no metrics; give it some.")
        if isinstance(task, LossTask):
            held_out(task.rows(), ChatEncoder(tokenizer, yardstick(chat, limit), stop_ids), name)
            continue
        lengths = _lengths(task, ChatEncoder(tokenizer, chat, stop_ids))
        if not lengths:
            raise InputError(f"evals.{name}: there is no problem to measure; give it some, or leave it out.")
        if task.how != "text" and limit is not None and min(lengths) >= limit:
            raise InputError(
                f"evals.{name}: each of its {len(lengths):,} prompts fills the model's window of {limit:,} tokens "
                f"(the shortest has {min(lengths):,}), so none can be answered; use shorter problems or leave it out."
            )
        programs |= getattr(task, "runs_programs", False)
        environment = getattr(task.settings, "environment", None)
        programs |= environment is not None and environment.needs_sandbox()
    if programs:
        check_sandbox()


def _lengths(task: Task, encoder: ChatEncoder) -> list[int]:
    """Tokens of every prompt or text of a task."""
    if isinstance(task, TextTask):
        return list(map(len, encode_documents(task.all_documents, encoder)))
    if isinstance(task, ChoiceTask):
        return [one.longest - 1 for one in encode_questions(task, encoder)]
    if isinstance(task, AnswerTask):
        return list(map(len, prompts_of(task, encoder)))
    raise TypeError(NO_KIND.format(task.name))


def check_sandbox() -> None:
    """Raise InputError where a program cannot be run and judged on this machine."""
    judgement = judge_program("print(int(input()) + 1)", [TestCase("1\n", "2\n")])
    if not judgement.accepted:
        raise InputError(
            f"programs cannot be judged on this machine: a trial of one line ended in {judgement.verdict} "
            f"({judgement.detail or judgement.stderr_tail}); leave the evaluations that run programs out, or use "
            "another machine."
        )
