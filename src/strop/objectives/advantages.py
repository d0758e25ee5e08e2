"""From rewards to advantages: what the source of rollouts does before it makes batches. Pure functions.

Shapes: N answers (rollouts; one with tool steps is one, however many segments it is trained in), S trained tokens of
all of them, in order of time within each answer. ``owner [S]`` int64 is the answer that a token belongs to. Tokens that
are not trained (tool output, padding) are not among them, so they have no part in anything here.

``across`` sums numbers by name over the ranks (`World.sum`), for what is taken over the whole batch of rollouts; a
group is whole on one rank.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from strop.objectives.kl import kl_estimate
from strop.objectives.policy_settings import Advantage, PolicyGradientSettings, Scale

EPSILON = 1e-6
"""Added to a standard deviation before dividing by it."""

Across = Callable[[Mapping[str, float]], dict[str, float]]


@dataclass(frozen=True)
class Credit:
    """``advantages [S]``; ``returns [S]``, what values are to predict (gae alone, else None); ``metrics`` for the log.

    float64; batches have their streams in float32.
    """

    advantages: Tensor
    returns: Tensor | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


def shape_rewards(
    rewards: Tensor, lengths: Tensor, truncated: Tensor, longest: int, settings: PolicyGradientSettings
) -> tuple[Tensor, Tensor]:
    """What becomes of rewards ``[N]`` by the answers' lengths: the new ones, and whether each answer counts, bool.

    ``lengths [N]``: tokens that were sampled; ``truncated [N]`` bool: cut off before it ended; ``longest``: tokens that
    an answer may have. ``truncated: penalise`` takes ``truncation_penalty`` off; with ``mask`` such an answer does not
    count: give its tokens no weight, and leave it out of every baseline. ``overlong_buffer`` b takes off, with L =
    ``longest`` (Yu et al. 2025, DAPO, equation 13): ``overlong_penalty · clip((length - (1-b)·L) / (b·L), 0, 1)``.
    """
    if settings.truncated == "penalise":
        rewards = rewards - settings.truncation_penalty * truncated.to(rewards.dtype)
    if settings.overlong_buffer is not None:
        buffer = settings.overlong_buffer * longest
        over = (lengths.to(rewards.dtype) - (longest - buffer)) / buffer
        rewards = rewards - settings.overlong_penalty * over.clamp(0, 1)
    counted = ~truncated if settings.truncated == "mask" else torch.ones_like(truncated)
    return rewards, counted


def answer_advantages(
    rewards: Tensor,
    groups: Tensor,
    counted: Tensor | None = None,
    *,
    baseline: Advantage = "group_mean",
    scale: Scale = "none",
    across: Across = dict,
) -> Tensor:
    """Advantages ``[N]`` of answers from their rewards ``[N]``; ``groups [N]``: any integers, in any order and number.

    - ``group_mean``: the reward minus the mean of its group, itself included (Shao et al. 2024, GRPO).
    - ``leave_one_out``: minus the mean of the group's others (Kool et al. 2019; Ahmadian et al. 2024, RLOO).
    - ``batch_mean``: minus the mean of all; ``none``: the reward itself.

    Then divided by a standard deviation of rewards (n - 1 in the denominator) plus `EPSILON`: that of the group
    (``group_std``) or of all answers (``batch_std``). A group without spread, or of one answer, has advantages of
    exactly 0, and so has a whole batch without spread under ``batch_mean``; one under ``none`` is not divided. Answers
    that are not ``counted`` (bool) get 0 and change nothing for the others, whatever their reward is.
    """
    if baseline == "gae":
        raise ValueError("gae is a matter of tokens: see gae().")
    counted = torch.ones_like(rewards, dtype=torch.bool) if counted is None else counted
    rewards_of = torch.where(counted, rewards, 0.0).double()
    deviation = rewards_of
    if baseline in ("group_mean", "leave_one_out") or scale == "group_std":
        from_mean, size, std = _within_groups(rewards_of, groups, counted)
        deviation = from_mean
        if baseline == "leave_one_out":  # r - (Σ - r)/(n - 1) = (r - Σ/n) n/(n - 1)
            deviation = from_mean * size / (size - 1).clamp_min(1)
        if scale == "group_std":
            deviation = deviation / (std + EPSILON)
    if baseline == "batch_mean" or scale == "batch_std":
        mean, std = _moments(rewards_of[counted], across)
        if baseline == "batch_mean":
            deviation = rewards_of - mean if std else torch.zeros_like(rewards_of)
        if scale == "batch_std" and std:
            deviation = deviation / (std + EPSILON)
    return torch.where(counted, deviation, 0.0).to(rewards.dtype)


def gae(
    rewards: Tensor,
    values: Tensor,
    owner: Tensor,
    *,
    gamma: float = 1.0,
    lam: float = 0.95,
    bootstrap: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Generalised advantages and returns, each ``[S]``, of rewards and values per trained token (Schulman et al. 2016).

    ``δ_t = r_t + γ V_{t+1} - V_t``, ``A_t = δ_t + γλ A_{t+1}``, return ``A_t + V_t``, where t + 1 is the answer's next
    trained token: neither a tool's tokens nor the seam between segments discounts anything. After an answer's last
    token the episode is done and V is 0, or what ``bootstrap [N]`` says of it (``truncated: bootstrap``: of answers
    that were cut off the value at their last token, which is there before the first update like all others).
    """
    order = torch.argsort(owner, stable=True)
    _, column, lens = owner[order].unique_consecutive(return_inverse=True, return_counts=True)
    if not len(lens):
        return torch.zeros_like(rewards), torch.zeros_like(rewards)
    place = torch.arange(len(owner), device=owner.device) - (lens.cumsum(0) - lens)[column]
    last = values.new_zeros(len(lens)) if bootstrap is None else bootstrap[owner[order].unique_consecutive()]
    next_values = torch.empty_like(values)
    sorted_values = values[order]
    next_values[:-1] = sorted_values[1:]
    next_values[lens.cumsum(0) - 1] = last.to(values.dtype)
    table = values.new_zeros(int(lens.max()), len(lens))  # a row per step, a column per answer
    table[place, column] = rewards[order] + gamma * next_values - sorted_values
    for t in range(len(table) - 2, -1, -1):  # after an answer's end there are zeros
        table[t] += gamma * lam * table[t + 1]
    advantages = torch.empty_like(values)
    advantages[order] = table[place, column]
    return advantages, advantages + values


def credit(
    settings: PolicyGradientSettings,
    rewards: Tensor,
    groups: Tensor,
    owner: Tensor,
    *,
    counted: Tensor | None = None,
    kl_coef: float | None = None,
    old_logprobs: Tensor | None = None,
    ref_logprobs: Tensor | None = None,
    values: Tensor | None = None,
    bootstrap: Tensor | None = None,
    across: Across = dict,
) -> Credit:
    """Advantages per trained token, as the settings say; rewards ``[N]`` are those after `shape_rewards`.

    With ``kl_place: reward`` each token's reward is minus ``kl_coef`` (by default the settings'; `AdaptiveKL` has
    another) times the estimate at the policy that sampled, from ``old_logprobs`` and ``ref_logprobs`` ``[S]``; an
    answer's reward is the sum over its tokens, or with gae its own reward stands on its last trained token. ``values
    [S]`` are the policy's before the first update. With ``batch_std`` gae's advantages get mean 0 and deviation 1 over
    the tokens of answers that count.

    Metrics: ``kl_penalty``, what the KL divergence costs an answer in the mean (nats, before the coefficient);
    ``value_explained``, the share of the returns' variance that the values explain.
    """
    rewards = rewards.double()
    counted = torch.ones_like(rewards, dtype=torch.bool) if counted is None else counted
    tokens = counted[owner]
    metrics: dict[str, float] = {}
    penalty = None
    if settings.kl_coef and settings.kl_place == "reward":
        if old_logprobs is None or ref_logprobs is None:
            raise ValueError("a KL divergence in the reward is made of old_logprobs and ref_logprobs; give both.")
        estimate = kl_estimate(old_logprobs.double(), ref_logprobs.double(), settings.kl_estimator)
        penalty = (settings.kl_coef if kl_coef is None else kl_coef) * estimate
        told = across({"sum": estimate[tokens].sum().item(), "count": float(counted.sum())})
        metrics["kl_penalty"] = told["sum"] / (told["count"] or 1.0)
    if settings.advantage == "gae":
        if values is None:
            raise ValueError("gae needs the values of every trained token.")
        values = values.double()
        per_token = on_last_token(rewards, owner) - (0.0 if penalty is None else penalty)
        advantages, returns = gae(
            per_token, values, owner, gamma=settings.gamma, lam=settings.gae_lambda, bootstrap=bootstrap
        )
        metrics["value_explained"] = explained_variance(values[tokens], returns[tokens], across)
        if settings.advantage_scale == "batch_std":
            mean, std = _moments(advantages[tokens], across)
            advantages = (advantages - mean) / (std + EPSILON)
        return Credit(torch.where(tokens, advantages, 0.0), torch.where(tokens, returns, 0.0), metrics)
    if penalty is not None:
        rewards = rewards.index_add(0, owner, -penalty)
    of_answers = answer_advantages(
        rewards, groups, counted, baseline=settings.advantage, scale=settings.advantage_scale, across=across
    )
    return Credit(of_answers[owner], None, metrics)


def on_last_token(rewards: Tensor, owner: Tensor) -> Tensor:
    """``rewards [N]`` -> ``[S]``: each answer's on the last of its trained tokens, 0 elsewhere."""
    last = torch.full_like(rewards, -1, dtype=torch.long)
    last = last.scatter_reduce(0, owner, torch.arange(len(owner), device=owner.device), "amax")
    trained = last >= 0
    return rewards.new_zeros(len(owner)).index_add(0, last[trained], rewards[trained])


def explained_variance(values: Tensor, returns: Tensor, across: Across = dict) -> float:
    """``1 - Var(returns - values) / Var(returns)``: 1 is a perfect prediction, 0 no better than a constant."""
    left, whole = _moments((returns - values).double(), across)[1], _moments(returns.double(), across)[1]
    return 1 - (left / whole) ** 2 if whole else 0.0


def _within_groups(rewards: Tensor, groups: Tensor, counted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Per answer ``[N]``: its deviation from its group's mean, the group's size and standard deviation."""
    number = groups.unique(return_inverse=True)[1]
    ones = counted.to(rewards.dtype)

    def total(x: Tensor) -> Tensor:
        return torch.zeros_like(rewards).index_add_(0, number, x * ones)[number]

    size = total(torch.ones_like(rewards)).clamp_min(1)
    # Measured from the group's smallest, so that equal rewards differ by exactly 0 however they round.
    least = torch.full_like(rewards, torch.inf)
    least = least.scatter_reduce(0, number, torch.where(counted, rewards, torch.inf), "amin")[number]
    above = torch.where(counted, rewards - least, 0.0)
    deviation = above - total(above) / size
    return deviation, size, (total(deviation.square()) / (size - 1).clamp_min(1)).sqrt()


def _moments(values: Tensor, across: Across) -> tuple[float, float]:
    """Mean and standard deviation (n - 1) over all ranks; 0 where the spread is rounding alone."""
    told = across({"count": float(len(values)), "sum": values.sum().item()})
    count = told["count"]
    mean = told["sum"] / (count or 1.0)
    squares = across({"squares": (values - mean).square().sum().item()})["squares"]
    std = (squares / max(count - 1, 1.0)) ** 0.5
    return mean, (0.0 if std <= 1e-12 * abs(mean) else std)
