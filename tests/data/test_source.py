"""Steps of batches: the same after any stop, for any number of ranks, and refused for other data."""

import numpy as np
import pytest
import torch

from strop.chat import Example
from strop.common.errors import InputError
from strop.data.batch import make_batch
from strop.data.mixture import InMemory, Mixture
from strop.data.prepared import PreparedExample
from strop.data.settings import DataSettings, MixtureSettings
from strop.data.source import PackedSource, rows_of
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.objectives.sft import CrossEntropy
from strop.train.settings import TrainSettings
from strop.train.step import gradients as gradients_of
from strop.train.weights import Weights


def examples(count, start=0, weight=1.0):
    return [
        Example([start + i] * (i % 4 + 2), [0.0] + [weight] * (i % 4 + 1), f"d.jsonl:{start + i + 1}", (), ())
        for i in range(count)
    ]


def mixed(seed=3, weight=1.0, **settings):
    parts = [DataSettings(path="a.jsonl"), DataSettings(path="b.jsonl")]
    if settings.get("mix") == "weights":
        parts[1] = DataSettings(path="b.jsonl", weight=3)
    stores = [InMemory(examples(9)), InMemory(examples(6, 9, weight))]
    return Mixture(stores, MixtureSettings(parts=parts, **settings), seed)


def source(data=None, **kwargs):
    kwargs = {"global_batch_size": 4, "micro_batch_tokens": 8, "epochs": 2.5, **kwargs}
    return PackedSource(data or mixed(), **kwargs)


def flat(step):
    return [(b.tokens.tolist(), b.weights.tolist()) for b in step]


@pytest.mark.parametrize("settings", [{}, {"mix": "weights"}, {"mix": "weights", "total": 7}])
def test_put_back_at_any_step_the_rest_is_the_same(settings):
    whole = source(mixed(**settings))
    states, steps = [], []
    for _ in range(whole.steps):
        states.append(whole.state_dict())
        steps.append(flat(whole.next_step().batches))
    assert len({str(step) for step in steps}) == whole.steps
    for at, state in enumerate(states):
        again = source(mixed(**settings))
        again.load_state_dict(state)
        assert [flat(again.next_step().batches) for _ in range(at, whole.steps)] == steps[at:]


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_ranks_together_have_the_rows_of_one_in_their_order(world_size):
    whole = source()
    ranks = [source(rank=rank, world_size=world_size) for rank in range(world_size)]
    for _ in range(whole.steps):
        expected = flat(whole.next_step().batches)
        steps = [flat(rank.next_step().batches) for rank in ranks]
        together = [steps[i % world_size][i // world_size] for i in range(len(expected))]
        assert together == expected
        rows = -(-len(expected) // world_size)
        assert [len(own) for own in steps] == [rows] * world_size
        for i in range(len(expected), rows * world_size):  # a rank without a row of its own gets an untrained one
            tokens, weights = steps[i % world_size][-1]
            assert (len(tokens), weights) == (1, [])


@pytest.mark.parametrize("reduction", ["token_mean", "seq_mean"])
def test_the_gradients_of_all_ranks_add_up_to_those_of_one(reduction, make_model):
    def gradients(batches):
        policy = Policy(make_model(), Compute(torch.device("cpu"), torch.float32), probe=False)
        loss, _ = gradients_of(Weights(policy, TrainSettings()), CrossEntropy(reduction), batches)
        return loss["loss"], [p.grad.clone() for p in policy.parameters()]

    loss, expected = gradients(source().next_step().batches)
    ranks = [source(rank=rank, world_size=4).next_step().batches for rank in range(4)]
    together, found = gradients([batch for rank in ranks for batch in rank])
    assert together == pytest.approx(loss)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


def test_epochs_given_out_are_counted():
    whole = source(examples(10), epochs=3)  # 4 a step
    counted = []
    for _ in range(whole.steps):
        whole.next_step()
        counted.append(whole.epoch)
    assert counted == [0, 0, 1, 1, 2, 2, 2, 3]


def test_steps_follow_the_length_of_the_epochs():
    assert source(examples(10), epochs=1).steps == 2  # 10 examples, 4 a step
    assert source(examples(10), epochs=2.5).steps == 6
    assert source(mixed(mix="weights", total=100), epochs=3).steps == 75
    assert source(examples(3), epochs=1).steps == 1


def test_a_step_larger_than_the_data_goes_through_it_again():
    [batch] = source(examples(3), epochs=1, global_batch_size=7, micro_batch_tokens=99).next_step().batches
    first = [batch.tokens[at].item() for at in (batch.positions == 0).nonzero()[:, 0]]
    counts = np.bincount(first)
    assert sorted(counts.tolist()) == [2, 2, 3]


@pytest.mark.parametrize(
    "other",
    [
        mixed(weight=0.5),  # as many examples and tokens, and another weight
        mixed(seed=4),
        mixed(mix="weights"),
        examples(14),
    ],
)
def test_a_state_of_other_data_or_order_is_refused(other):
    with pytest.raises(InputError, match=r"other data, or another mix or seed.*new run folder"):
        source(other, seed=3).load_state_dict(source().state_dict())


def test_a_state_that_does_not_tell_its_data_is_refused():
    with pytest.raises(InputError, match="earlier version"):
        source().load_state_dict({"taken": 4, "seed": 3, "examples": 15})


def test_what_is_longer_than_a_row_is_named():
    data = [*examples(4), Example([1] * 9, [1.0] * 9, "d.jsonl:77", (), ())]
    message = r"d\.jsonl:77: has 9 tokens and a row holds 8; raise micro_batch_tokens to at least 9"
    with pytest.raises(InputError, match=message):
        source(data)
    with pytest.raises(InputError, match=message):
        rows_of(data, 8)


def test_batches_are_the_same_from_arrays_as_from_lists():
    data = examples(5, weight=0.3)
    arrays = [
        PreparedExample(np.array(e.tokens, np.int32), np.array(e.loss_weights, np.float32), e.place) for e in data
    ]
    a, b = make_batch(data), make_batch(arrays)
    for name in ("tokens", "positions", "trained_index", "labels", "weights", "seq_index"):
        assert getattr(a, name).dtype == getattr(b, name).dtype
        assert getattr(a, name).equal(getattr(b, name))
    assert a.seq_lens == b.seq_lens
