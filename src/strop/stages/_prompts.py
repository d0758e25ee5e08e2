"""Prompts of a stage that asks, as they are looked at before it begins and read when it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from strop.chat import ChatEncoder, fit_tokenizer
from strop.chat.saved import chat_of
from strop.evals.preflight import check_sandbox
from strop.model.names import load_generation_config, load_tokenizer, stop_token_ids
from strop.model.window import window_of
from strop.rollout.grading import check_rewards
from strop.rollout.prompts import Prompts, check_lengths, read_prompts
from strop.stages.base import Context

if TYPE_CHECKING:
    from strop.stages._graded import GradedStage


def check_prompts(stage: GradedStage, context: Context, max_tokens: int) -> list[Prompts]:
    """The prompts, without the model's weights. Raises InputError for what would stop the stage, programs that cannot
    be run here among it."""
    tokenizer = load_tokenizer(context.model)
    chat, _ = chat_of(context.recipe.chat, context.model, tokenizer)
    fit_tokenizer(tokenizer, chat.template)
    stop_ids = stop_token_ids(tokenizer, load_generation_config(context.model))
    parts = checked_prompts(stage, ChatEncoder(tokenizer, chat, stop_ids), window_of(context.model), max_tokens)
    programs = any(prompt.task is not None and prompt.task.runs_programs for part in parts for prompt in part)
    if programs or (stage.environment and stage.environment.needs_sandbox()):
        check_sandbox()
    return parts


def checked_prompts(stage: GradedStage, encoder: ChatEncoder, window: int | None, max_tokens: int) -> list[Prompts]:
    """The prompts. Raises InputError where one cannot be made, is too long, or is graded by nothing, and where the
    environment and the template do not go together."""
    encoder.require_template()
    if stage.environment:
        stage.environment.check(encoder)
    parts = read_prompts(stage.data, encoder, stage.environment)
    check_lengths(parts, window, max_tokens)
    check_rewards(stage.rewards, parts, bool(stage.environment and stage.environment.rewards))
    return parts
