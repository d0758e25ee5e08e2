"""Two ranks train on judged answers, on scores and on a teacher's tokens what one does."""

from dataclasses import replace
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
from processes import as_ranks
from small_runs import FLOAT32, make_examples

from strop.chat import Example
from strop.data.batch import make_batch
from strop.data.prefixes import make_group_batch
from strop.model.policy import Policy, scalar_head
from strop.objectives.distillation import Distillation
from strop.objectives.distillation_settings import DistillationSettings
from strop.objectives.preference import preference_objective
from strop.objectives.preference_settings import PreferenceLossSettings
from strop.objectives.reward_model import BradleyTerry, Regression
from strop.train.settings import TrainSettings
from strop.train.step import optimizer_step
from strop.train.weights import Weights
from strop.train.world import World

PAIRED = {
    "dpo": {"sft_weight": 0.3},
    "cdpo": {"label_smoothing": 0.1},
    "robust": {"label_smoothing": 0.1},
    "hinge": {},
    "ipo": {"length_normalised": True},
    "simpo": {"gamma": 0.5},
    "orpo": {},
    "kto": {"desirable_weight": 1.5},
}
OBJECTIVES = {
    **{
        name: lambda n=name, s=s: preference_objective(PreferenceLossSettings(type=n, **s))
        for name, s in PAIRED.items()
    },
    "bradley_terry": BradleyTerry,
    "regression": Regression,
    "distillation": lambda: Distillation(DistillationSettings(divergence="reverse", sft_weight=0.2)),
}
CUTS = [[0, 1], [2, 3, 4], [5]]
"""The pairs of a step, by rows: a rank has two of the rows, the other one."""


def rows(scored):
    generator, made = torch.Generator().manual_seed(5), []
    for cut in CUTS:
        pairs = []
        for i in cut:
            prompt = make_examples(1, seed=i)[0].tokens
            answers = [torch.randint(8, 97, (2 + (i + k) % 4,), generator=generator).tolist() for k in range(2)]
            pairs.append(
                [Example([*prompt, 5 + k, *a], [0.0] * len(prompt) + [1.0] * (len(a) + 1), "t", (), ())
                 for k, a in enumerate(answers)]
            )  # fmt: skip
        batch = make_group_batch(
            pairs,
            sequence_streams={
                "pair": [[n, n] for n in range(len(cut))],
                "preferred": [[1, 1 if scored else -1] for _ in cut],
                "value": [[0.2 * i, -0.1] for i in cut],
            },
        )
        count = len(batch.labels)
        own = {
            "ref_logprobs": -3 * torch.rand(count, generator=generator),
            "choices": torch.stack([torch.randperm(97, generator=generator)[:4] for _ in range(count)]),
            "choice_temperature": torch.ones(count),
            "teacher_logprobs": torch.randn(count, 5, generator=generator).log_softmax(-1)[:, :4],
            "given": torch.ones(count),
        }
        streams = {**batch.sequence_streams, "kl": torch.full((batch.sequences,), 0.3)}
        made.append(replace(batch, streams=own, sequence_streams=streams))
    return made


def empty(like):
    """A row that only keeps a rank in step with the others."""
    row = make_batch([Example([3], [0.0], "t", (), ())], sequence_streams={n: [0.0] for n in like.sequence_streams})
    nothing = {**row.sequence_streams, "pair": torch.tensor([-1.0])}
    return replace(row, streams={n: v[:0] for n, v in like.streams.items()}, sequence_streams=nothing)


def steps(make_model, name, world):
    """The weights after two steps, and what was told of the second."""
    policy = Policy(make_model(), FLOAT32, probe=False)
    if name in ("bradley_terry", "regression"):
        policy.score_head = scalar_head(policy.model, 0)
    weights = Weights(policy, TrainSettings(learning_rate=1e-3))
    mine = rows(name == "regression")[world.rank :: world.size]
    if world.size > 1 and world.rank == 1:
        mine.append(empty(mine[0]))
    for _ in range(2):
        told, norm = optimizer_step(weights, OBJECTIVES[name](), mine, 1.0, world)
    return {n: p.detach().clone() for n, p in policy.named_parameters()}, {**told, "norm": norm}


def rank_of_two(rank, folder, make_model):
    store = f"file://{folder / 'store'}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2, timeout=timedelta(seconds=120))
    torch.save({name: steps(make_model, name, World.current()) for name in OBJECTIVES}, folder / f"rank-{rank}.pt")
    dist.destroy_process_group()


def test_two_ranks_train_what_one_does_whatever_is_minimised(make_model, tmp_path):
    as_ranks(rank_of_two, 2, tmp_path, make_model)
    ranks = [torch.load(tmp_path / f"rank-{rank}.pt") for rank in (0, 1)]
    for name in OBJECTIVES:
        expected, told = steps(make_model, name, World())
        (first, told_first), (second, told_second) = (rank[name] for rank in ranks)
        assert told_first == told_second
        assert told_first.keys() == told.keys()
        for key in told:
            assert told_first[key] == pytest.approx(told[key], rel=1e-4, abs=1e-6), (name, key)
        for parameter in expected:
            assert torch.equal(first[parameter], second[parameter]), (name, parameter)
            torch.testing.assert_close(first[parameter], expected[parameter], rtol=1e-3, atol=2e-5)
