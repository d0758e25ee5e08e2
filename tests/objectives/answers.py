"""Answers with rewards and log-probabilities, and batches of them, for tests of the policy gradient."""

from dataclasses import dataclass, replace

import torch

from strop.chat import Example
from strop.data.prefixes import make_group_batch
from strop.objectives.advantages import credit, shape_rewards
from strop.objectives.policy_gradient import PolicyGradient
from strop.objectives.policy_settings import PolicyGradientSettings

LENGTHS = (3, 1, 5, 2, 4, 2)
GROUPS = (0, 0, 0, 1, 1, 1)
REWARDS = (1.0, 0.25, -0.5, 0.0, 2.0, 0.75)
LONGEST = 5
PROMPT = 3


@dataclass
class Answers:
    """Per answer, float64 ``[length]`` each; all numbers are exact in float32, in which batches have them."""

    new: list[torch.Tensor]
    old: list[torch.Tensor]
    ref: list[torch.Tensor]
    sampler: list[torch.Tensor]
    values: list[torch.Tensor]
    old_values: list[torch.Tensor]


def make_answers(spread=0.4, seed=0, lengths=LENGTHS):
    """``spread``: how far the policy has moved since it sampled, in nats per token."""
    generator = torch.Generator().manual_seed(seed)

    def noise(scale):
        return [scale * torch.randn(n, generator=generator) for n in lengths]

    def moved(start, scale):
        return [(a + b).clamp_max(-1e-3).double() for a, b in zip(start, noise(scale), strict=True)]

    old = [-0.2 - x.abs() for x in noise(1.5)]
    values = noise(1.0)
    return Answers(
        moved(old, spread),
        [x.double() for x in old],
        moved(old, 0.5),
        moved(old, 0.3),
        moved(values, 0.5),
        [x.double() for x in values],
    )


def flat(parts, which=None):
    return torch.cat([parts[i] for i in (range(len(parts)) if which is None else which)])


def streams_of(answers, settings, rewards=REWARDS, groups=GROUPS, truncated=None):
    """What the source of rollouts makes of rewards: streams per answer, by name."""
    lengths = torch.tensor([len(x) for x in answers.old])
    truncated = torch.zeros(len(lengths), dtype=torch.bool) if truncated is None else torch.tensor(truncated)
    shaped, counted = shape_rewards(torch.tensor(rewards).double(), lengths, truncated, LONGEST, settings)
    given = credit(
        settings,
        shaped,
        torch.tensor(groups),
        torch.repeat_interleave(torch.arange(len(lengths)), lengths),
        counted=counted,
        old_logprobs=flat(answers.old),
        ref_logprobs=flat(answers.ref),
        values=flat(answers.old_values),
    )
    cut = lengths.tolist()
    streams = {
        "advantages": list(given.advantages.split(cut)),
        "old_logprobs": answers.old,
        "ref_logprobs": answers.ref,
        "rollout_logprobs": answers.sampler,
        "old_values": answers.old_values,
    }
    return streams | ({"returns": list(given.returns.split(cut))} if given.returns is not None else {})


def batch_of(which, streams, share=False, weights=None):
    """Answers of these numbers in one row, streams in float64; with ``share`` the prompt of a group goes in once.

    With ``weights`` of every token the streams are the batch's own, float32 at the positions with a weight.
    """
    grouped = {}
    for i in which:
        grouped.setdefault(GROUPS[i] if share else i, []).append(i)
    lengths = [len(x) for x in streams["advantages"]]

    def example(i):
        tokens = [GROUPS[i] + 1] * PROMPT + [10 + i] * lengths[i]
        return Example(tokens, [0.0] * PROMPT + (weights[i] if weights else [1.0] * lengths[i]), "test", (), ())

    nested = {
        name: [[[0.0] * PROMPT + rows[i].tolist() for i in group] for group in grouped.values()]
        for name, rows in streams.items()
    }
    batch = make_group_batch([[example(i) for i in group] for group in grouped.values()], share, nested)
    order = [i for group in grouped.values() for i in group]
    if weights:
        return order, replace(batch, streams={name: value.double() for name, value in batch.streams.items()})
    exact = {name: flat(rows, order) for name, rows in streams.items()}
    return order, replace(batch, streams={name: value.double() for name, value in exact.items()})


def outputs_of(answers, order):
    """What the policy gives at the trained positions, as leaves; the entropy is some function of them."""
    leaves = {
        "logprobs": flat(answers.new, order).clone().requires_grad_(),
        "values": flat(answers.values, order).clone().requires_grad_(),
    }
    return {**leaves, "entropy": leaves["logprobs"].square()}


def total_of(objective, batch, outputs):
    totals, parts = objective.normalisers(batch), objective.loss(outputs, batch)
    assert parts.keys() == totals.keys()
    return sum(part / totals[name] for name, part in parts.items())


def objective_of(preset, **overrides):
    """With what the settings became."""
    one_update = overrides.pop("one_update", False)
    settings = PolicyGradientSettings(preset=preset, **overrides)
    return settings, PolicyGradient(settings, one_update=one_update, longest=LONGEST)
