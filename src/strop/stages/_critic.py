"""The values of reinforcement learning: a head on the policy, or a critic, a model of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from strop.common.errors import InputError
from strop.model.blocks import recompute_activations
from strop.model.names import resolve
from strop.model.policy import scalar_head
from strop.model.preflight import check_training
from strop.model.window import window_of
from strop.rollout.loaded import Loaded, load
from strop.stages._tokens import check_same_tokens
from strop.stages.base import Context

if TYPE_CHECKING:
    from strop.stages.rl import RlStage

_MEND = "choose a critic of the same family, or critic.separate=true."


def check_critic(stage: RlStage, context: Context) -> None:
    """Raise InputError for a critic that could not read what the policy writes."""
    if stage.critic is None or stage.critic.model is None:
        return
    folder, where = resolve(stage.critic.model), "critic.model"
    at = f"stages.{context.name}.{where}"
    check_training(folder, stage.lora, context.recipe.chat.max_length, context.compute.device, at, writes=False)
    check_same_tokens(stage.critic.model, context, where, _MEND)
    reads, policy_reads = window_of(folder), window_of(context.model)
    if reads is not None and (policy_reads is None or reads < policy_reads):
        raise InputError(
            f"{at}: {stage.critic.model} reads {reads:,} tokens and the policy "
            f"{'more' if policy_reads is None else f'{policy_reads:,}'}; choose a critic that reads as many."
        )


def add_values(stage: RlStage, context: Context, loaded: Loaded) -> None:
    """Give the policy what its values come from: a new linear head; or a critic, which begins as the policy did, or as
    the model that is named, with that one's score for a value where it is a reward model (Ouyang et al. 2022)."""
    policy, seed = loaded.policy, stage.train.seed
    if stage.critic is None:
        policy.value_head = scalar_head(policy.model, seed)
        return
    name = stage.critic.model or context.model_name
    folder = context.model if stage.critic.model is None else resolve(stage.critic.model)
    check_critic(stage, context)
    critic = load(
        folder, loaded.chat, context.compute, name=name, to_train=True, lora=stage.lora, seed=seed, scores=True
    ).policy
    critic.value_head = critic.model.score
    if every := stage.train.gradient_checkpointing:
        recompute_activations(critic.model, int(every))
    policy.critic = critic
    trained = sum(p.numel() for p in critic.parameters() if p.requires_grad)
    context.say(f"critic: {name}, a model of its own; {trained:,} parameters are trained")
