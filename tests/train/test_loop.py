"""The loop: gradients do not depend on how a step is cut up, and a stopped run goes on as if it never stopped."""

import os
import random
import signal

import numpy as np
import pytest
import torch
from small_runs import FLOAT32, SETTINGS, deterministic_rows, kill_in_step_six, make_examples, run

from strop.common.errors import InputError, Interrupted
from strop.data.batch import make_batch
from strop.data.source import PackedSource, fill
from strop.model.policy import Policy
from strop.objectives.sft import CrossEntropy
from strop.train import loop
from strop.train.checkpoint import Keep, checkpoints, load_checkpoint, save_checkpoint, step_of
from strop.train.keeper import Keeper
from strop.train.neftune import Neftune
from strop.train.step import gradients as gradients_of
from strop.train.step import optimizer_step
from strop.train.weight_files import read_once, take
from strop.train.weights import Weights
from strop.train.world import World


def gradients(model, micro_batches, reduction):
    """Gradients of one step before clipping."""
    policy = Policy(model, FLOAT32, probe=False)
    loss, _ = gradients_of(Weights(policy, SETTINGS), CrossEntropy(reduction), micro_batches)
    return loss["loss"], [p.grad.clone() for p in policy.parameters()]


@pytest.mark.parametrize("reduction", ["token_mean", "seq_mean", "seq_sum"])
def test_eight_micro_batches_of_one_equal_one_of_eight(make_model, reduction):
    rows = make_examples(8)
    loss_1, grads_1 = gradients(make_model(), [make_batch([r]) for r in rows], reduction)
    loss_8, grads_8 = gradients(make_model(), [make_batch(rows)], reduction)
    assert loss_1 == pytest.approx(loss_8, rel=1e-6)
    torch.testing.assert_close(grads_1, grads_8, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("reduction", ["token_mean", "seq_mean", "seq_sum"])
def test_loss_and_gradients_equal_a_plain_float64_reference(make_model, reduction):
    rows = make_examples(5, seed=1)
    loss, grads = gradients(make_model(), [make_batch(rows[:2]), make_batch(rows[2:])], reduction)
    model = make_model().double()
    per_sequence, counts = [], []
    for row in rows:
        logprobs = torch.log_softmax(model(input_ids=torch.tensor([row.tokens]), use_cache=False).logits[0], -1)
        trained = [i for i, w in enumerate(row.loss_weights) if w and i]
        per_sequence.append(-sum(logprobs[i - 1, row.tokens[i]] for i in trained))
        counts.append(len(trained))
    expected = {
        "token_mean": sum(per_sequence) / sum(counts),
        "seq_mean": sum(s / c for s, c in zip(per_sequence, counts, strict=True)) / len(rows),
        "seq_sum": sum(per_sequence) / len(rows),
    }[reduction]
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    for got, parameter in zip(grads, model.parameters(), strict=True):
        torch.testing.assert_close(got.double(), parameter.grad, atol=1e-4, rtol=1e-4)


def test_stopped_by_a_signal_and_resumed_equals_uninterrupted_bit_for_bit(make_model, tmp_path, monkeypatch):
    whole = make_model()
    run(whole, tmp_path / "whole")

    real_step, calls = loop.optimizer_step, []

    def step_then_signal(*args):
        calls.append(1)
        result = real_step(*args)
        if len(calls) == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return result

    monkeypatch.setattr(loop, "optimizer_step", step_then_signal)
    with pytest.raises(Interrupted, match="step 5 of 12") as caught:
        run(make_model(), tmp_path / "cut")
    assert caught.value.signum == signal.SIGTERM
    monkeypatch.setattr(loop, "optimizer_step", real_step)
    resumed = make_model(seed=7)  # other weights: all must come from the checkpoint
    run(resumed, tmp_path / "cut")

    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))
    assert deterministic_rows(tmp_path / "cut") == deterministic_rows(tmp_path / "whole")


def test_a_signal_while_the_first_evaluation_runs_ends_before_the_first_step(make_model, tmp_path, monkeypatch, capfd):
    def signalled(*args):
        os.kill(os.getpid(), signal.SIGINT)
        return {"eval_loss": 1.0}

    monkeypatch.setattr("small_runs.evaluation", signalled)
    with pytest.raises(Interrupted, match="before the first step") as caught:
        run(make_model(), tmp_path)
    assert caught.value.signum == signal.SIGINT
    assert "again to stop now" in capfd.readouterr().err
    assert checkpoints(tmp_path / "checkpoints") == []


def test_killed_without_warning_goes_on_from_the_last_checkpoint(make_model, tmp_path, monkeypatch):
    whole = make_model()
    run(whole, tmp_path / "whole")

    real_step = kill_in_step_six(monkeypatch)
    with pytest.raises(SystemError):
        run(make_model(), tmp_path / "cut")
    (tmp_path / "cut/checkpoints/.step-000005.1-a").mkdir()  # a checkpoint that was being written
    monkeypatch.setattr(loop, "optimizer_step", real_step)
    resumed = make_model(seed=7)
    run(resumed, tmp_path / "cut")
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))
    assert deterministic_rows(tmp_path / "cut") == deterministic_rows(tmp_path / "whole")


@pytest.mark.parametrize("smoothing", [0.0, 0.9])
def test_losses_of_two_objectives_are_not_compared(make_model, tmp_path, monkeypatch, smoothing):
    """A run that goes on with another objective ends without telling that the first one's loss rose."""
    real_step = kill_in_step_six(monkeypatch)
    with pytest.raises(SystemError):
        run(make_model(), tmp_path)
    monkeypatch.setattr(loop, "optimizer_step", real_step)
    worse = SETTINGS.model_copy(update={"label_smoothing": smoothing, "learning_rate": 0.0})
    compared = []
    monkeypatch.setattr(loop.course, "warnings", lambda totals, moved, exact: compared.append(moved) or [])
    run(make_model(), tmp_path, worse)
    assert [moved is None for moved in compared] == [smoothing > 0]


@pytest.mark.parametrize(("most", "said"), [(13, True), (12, False), (None, False)])
def test_more_steps_than_the_data_give_are_said(make_model, tmp_path, capsys, most, said):
    settings = SETTINGS.model_copy(update={"max_steps": most, "eval_every": None})
    assert run(make_model(), tmp_path, settings, evaluates=False)["step"] == 12
    assert ("max_steps is 13, and the data give 12 in this many epochs" in capsys.readouterr().out) == said


def test_training_lowers_the_loss(make_model, tmp_path):
    run(make_model(), tmp_path, SETTINGS.model_copy(update={"epochs": 12}))
    losses = [r["loss"] for r in deterministic_rows(tmp_path) if "loss" in r]
    assert losses[-1] < losses[0] - 1


def test_a_checkpoint_that_cannot_be_written_leaves_the_earlier_ones(make_model, tmp_path, monkeypatch):
    weights = Weights(Policy(make_model(), FLOAT32, probe=False), SETTINGS)
    save_checkpoint(tmp_path, 1, take(weights, copy=False), [{}], Keep(2))

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(InputError, match=r"step-000002.*No space left.*free some space.*earlier ones are whole"):
        save_checkpoint(tmp_path, 2, take(weights, copy=False), [{}], Keep(2))
    assert [p.name for p in tmp_path.iterdir()] == ["step-000001"]


class _WithOthers(World):
    """Rank 0 of those whose sums are larger by ``more``: what the others bring."""

    def __init__(self, more):
        super().__init__()
        self.more = more

    def sum(self, numbers):
        return {name: value + self.more for name, value in numbers.items()}


@pytest.mark.parametrize("more", [0.0, 5.0])
def test_a_row_of_nothing_is_a_step_where_another_rank_has_something(make_model, more):
    """By moments of the step before; alone, nothing moves. All ranks see the same sums, so they do the same."""
    policy = Policy(make_model(), FLOAT32, probe=False)
    weights, objective = Weights(policy, SETTINGS), CrossEntropy("token_mean")
    weights.optimizer.set_rates(1.0)
    batch = make_batch(make_examples(4))
    optimizer_step(weights, objective, [batch], 1.0)
    before = [tensor.detach().clone() for tensor in weights.named.values()]
    told, norm = optimizer_step(weights, objective, [fill(batch)], 1.0, _WithOthers(more))
    assert norm == 0
    assert told.get("untrained") == (None if more else 1)
    same = [torch.equal(a, b) for a, b in zip(before, weights.named.values(), strict=True)]
    assert not any(same) if more else all(same)


def test_a_gradient_that_is_not_finite_leaves_the_weights_alone(make_model):
    model = make_model()
    with torch.no_grad():
        model.model.norm.weight[0] = float("nan")
    before = [p.clone() for p in model.parameters()]
    weights = Weights(Policy(model, FLOAT32, probe=False), SETTINGS)
    with pytest.raises(FloatingPointError, match="weights are as they were before this step"):
        loop.optimizer_step(weights, CrossEntropy(), [make_batch(make_examples(2))], 1.0)
    for a, b in zip(before, model.parameters(), strict=True):
        torch.testing.assert_close(b, a, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        (Keep(2), [4, 5]),
        (Keep(1, every=2), [2, 4, 5]),
        (Keep(1, trusted=3), [3, 5]),
        (Keep(1, every=3, trusted=2), [2, 3, 5]),
    ],
    ids=str,
)
def test_the_checkpoints_that_are_kept(make_model, tmp_path, keep, left):
    weights = Weights(Policy(make_model(), FLOAT32, probe=False), SETTINGS)
    for step in range(1, 6):
        save_checkpoint(tmp_path, step, take(weights, copy=False), [{}], keep)
    assert [step_of(path) for path in checkpoints(tmp_path)] == left


@pytest.mark.parametrize(("every", "left"), [("auto", [5, 10, 12]), (None, [5, 10]), (4, [5, 10, 12])])
def test_a_checkpoint_of_every_so_many_steps_is_there_whenever_others_are_due(make_model, tmp_path, every, left):
    settings = SETTINGS.model_copy(update={"checkpoint_every": every, "keep_every": 5, "eval_every": None})
    run(make_model(), tmp_path, settings, evaluates=False)
    assert [step_of(path) for path in checkpoints(tmp_path / "checkpoints")] == left


def test_a_rank_that_is_new_has_random_numbers_of_its_own(make_model, tmp_path):
    settings = SETTINGS.model_copy(update={"max_steps": 3, "eval_every": None, "neftune_alpha": 5.0})
    run(make_model(), tmp_path, settings, evaluates=False)
    [path] = checkpoints(tmp_path / "checkpoints")
    weights = Weights(Policy(make_model(), FLOAT32, probe=False), settings)

    def drawn(rank):
        load_checkpoint(path, weights, rank)
        return (*torch.rand(2).tolist(), np.random.rand(), random.random())

    assert drawn(1) == drawn(1)
    assert len({number for rank in range(3) for number in drawn(rank)}) == 3 * 4

    def noise(rank):
        policy = Policy(make_model(), FLOAT32, probe=False)
        made = Neftune(policy, 5.0, settings.seed + rank)
        of = PackedSource(make_examples(24), global_batch_size=4, micro_batch_tokens=40)
        keeper = Keeper(tmp_path, Weights(policy, settings), of, settings, World(rank, 2), print, {"neftune": made})
        keeper.load(path)
        return made.state_dict()["generator"]

    assert not torch.equal(noise(0), noise(1))


def test_an_optimisers_file_is_read_in_parts_of_its_own_memory(tmp_path):
    made = torch.Generator().manual_seed(0)
    state = {i: {"m": torch.randn(50 + i, generator=made), "step": i, "codes": torch.arange(9)} for i in range(20)}
    tree = {"adamw": {"state": state, "param_groups": [{"betas": (0.9, 0.95), "params": [0, 1]}]}}
    torch.save(tree, tmp_path / "optimizer.pt")
    read = read_once(tmp_path / "optimizer.pt", parts=3)
    (tmp_path / "optimizer.pt").write_bytes(b"")  # tensors of a mapped file would be gone with it
    torch.testing.assert_close(read, tree, rtol=0, atol=0)
