"""Two ranks train what one does: processes over gloo, each with its own rows of every step."""

import json
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
from processes import as_ranks
from small_runs import FLOAT32, SETTINGS, make_examples

from strop.data.source import PackedSource
from strop.data.step import Step
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.objectives.sft import CrossEntropy
from strop.train.checkpoint import checkpoints
from strop.train.loop import train
from strop.train.step import evaluation
from strop.train.weights import Weights
from strop.train.world import World

COMPUTES = {"float32": FLOAT32, "bfloat16": Compute(torch.device("cpu"), torch.bfloat16)}


class Told(PackedSource):
    """With a metric of its own, which differs between the ranks."""

    def next_step(self):
        step = super().next_step()
        return Step(step.batches, {"reward": 1.0 + self.rank}, step.ends_epoch)


def run(make_model, folder, world, compute, steps=None):
    """Trained parameters by name."""
    policy = Policy(make_model(), compute, probe=False)
    more = {"max_steps": steps, "ema_decay": 0.5} if steps else {}
    settings = SETTINGS.model_copy(update={"checkpoint_every": 2, "eval_every": 3, **more})
    weights, objective = Weights(policy, settings), CrossEntropy("seq_mean", z_loss=1e-3)
    ranks = {"rank": world.rank, "world_size": world.size}
    source = Told(make_examples(24), global_batch_size=6, micro_batch_tokens=30, epochs=2, **ranks)
    held_out = PackedSource(make_examples(6, seed=9), global_batch_size=6, micro_batch_tokens=30, **ranks).next_step()
    train(
        weights, source, objective, settings, folder,
        evaluate=lambda: evaluation(policy, objective, held_out.batches, world),
    )  # fmt: skip
    with weights.whole():
        return {name: p.detach().clone() for name, p in policy.named_parameters()}


def rank_of_two(rank, folder, make_model):
    store = f"file://{folder / 'store'}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2, timeout=timedelta(seconds=120))
    world = World.current()
    assert (world.rank, world.size) == (rank, 2)
    assert world.sum({"a": rank + 1.0, f"only {rank}": 5.0}) == {"a": 3.0, "only 0": 5.0, "only 1": 5.0}
    assert world.mean({"a": rank, **({"late": 7.0} if rank else {})}) == {"a": 0.5, "late": 7.0}
    assert world.max({"a": -rank, **({"late": 7.0} if rank else {})}) == {"a": 0, "late": 7.0}
    assert [world.agree(rank == 1), world.agree(False)] == [True, False]
    _sums_gradients(world)
    trained = {name: run(make_model, folder / name, world, compute) for name, compute in COMPUTES.items()}
    three = run(make_model, folder / "cut", world, FLOAT32, steps=3)
    resumed = run(make_model, folder / "cut", world, FLOAT32, steps=3)  # again, from the checkpoint of step 2
    assert all(torch.equal(resumed[name], value) for name, value in three.items())
    torch.save({**trained, "three": three}, folder / f"rank-{rank}.pt")
    dist.destroy_process_group()


def _sums_gradients(world):
    everywhere, somewhere, nowhere = (torch.zeros(3, requires_grad=True) for _ in range(3))
    everywhere.grad = torch.full((3,), 1.0 + world.rank)
    if world.rank == 1:
        somewhere.grad = torch.ones(3)
    world.sum_gradients([everywhere, somewhere, nowhere])
    assert everywhere.grad.tolist() == [3.0] * 3
    assert somewhere.grad.tolist() == [1.0] * 3
    assert nowhere.grad is None


def test_two_ranks_train_what_one_does(make_model, tmp_path):
    whole = PackedSource(make_examples(24), global_batch_size=6, micro_batch_tokens=30, epochs=2)
    assert {len(whole.next_step().batches) % 2 for _ in range(whole.steps)} == {0, 1}  # sometimes a rank fills up
    as_ranks(rank_of_two, 2, tmp_path, make_model)
    ranks = [torch.load(tmp_path / f"rank-{rank}.pt") for rank in (0, 1)]
    for kind, compute in COMPUTES.items():
        near = 1e-4 if compute is FLOAT32 else 3e-2
        expected = run(make_model, tmp_path / f"one {kind}", World(), compute)
        for name, value in expected.items():
            assert torch.equal(ranks[0][kind][name], ranks[1][kind][name]), name
            torch.testing.assert_close(ranks[0][kind][name], value, rtol=1e-3, atol=near)
        two, one = (_rows(tmp_path / name) for name in (kind, f"one {kind}"))
        assert [row["step"] for row in two] == [row["step"] for row in one]
        for a, b in zip(two, one, strict=True):
            for name in a.keys() & {"tokens", "trained_tokens", "lr"}:
                assert a[name] == b[name]
            for name in a.keys() & {"loss", "cross_entropy", "z_loss", "grad_norm", "eval_loss"}:
                assert a[name] == pytest.approx(b[name], rel=near), name
        assert {row["reward"] for row in two if "loss" in row} == {1.5}
        assert {row["reward"] for row in one if "loss" in row} == {1.0}
    state = checkpoints(tmp_path / "cut/checkpoints")[-1]
    assert {path.name for path in state.glob("state*")} == {"state.pt", "state-rank-1.pt"}
    alone = run(make_model, tmp_path / "cut", World(), FLOAT32, steps=3)  # one process goes on where two were
    for name, value in ranks[0]["three"].items():
        torch.testing.assert_close(alone[name], value, rtol=1e-3, atol=1e-4)


def _rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_one_rank_is_the_identity():
    world = World.current()
    assert (world.rank, world.size) == (0, 1)
    assert world.sum({"a": 2}) == world.mean({"a": 2}) == {"a": 2}
    assert world.gather("x") == ["x"]
    assert [world.agree(0), world.agree(15)] == [False, True]
    weight = torch.ones(2, dtype=torch.bfloat16, requires_grad=True)
    weight.sum().backward()
    kept = weight.grad
    world.sum_gradients([weight])
    assert weight.grad is kept
