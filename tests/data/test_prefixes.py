"""What examples share goes in once, and nothing else changes: values and gradients of the row written out."""

import pytest
import torch

from strop.chat import Example
from strop.data.batch import make_batch
from strop.data.prefixes import common_prefix, make_group_batch
from strop.model.policy import Policy
from strop.model.precision import Compute

FLOAT32 = Compute(torch.device("cpu"), torch.float32)
FLOAT64 = Compute(torch.device("cpu"), torch.float64)


def example(tokens, weights=None):
    return Example(list(tokens), weights or [0.0] + [1.0] * (len(tokens) - 1), "test", (), ())


def draw(n, seed):
    return torch.randint(3, 97, (n,), generator=torch.Generator().manual_seed(seed)).tolist()


def answers(prefix, *lens, trained_prefix=False, seed=0):
    """Examples that share exactly ``prefix`` tokens; the weights differ from token to token and member to member."""
    start = draw(prefix, 99 + seed)
    rows = []
    for i, n in enumerate(lens):
        tokens = [*start, (7 * seed + i) % 97, *draw(n - 1, 10 * seed + i)]
        weights = [0.0 if j < prefix and not trained_prefix else 0.25 * (1 + (i + j) % 4) for j in range(len(tokens))]
        rows.append(example(tokens, weights))
    return rows


GROUPS = {
    "a pair": [answers(12, 5, 9)],
    "a group of eight": [answers(30, 1, 2, 3, 4, 5, 6, 7, 40)],
    "several groups": [answers(12, 5, 9, seed=1), answers(3, 4, seed=2), answers(290, 8, 20, 3, seed=3)],
    "a prefix of one token": [answers(1, 5, 9)],
    "no common prefix": [answers(0, 5, 9, 3)],
    "identical": [[example(draw(11, 4))] * 3],
    "one is the start of the other": [[example(draw(6, 4)), example(draw(6, 4) + draw(5, 5))]],
    "one token each": [[example([5]), example([5])]],
    "a trained prefix": [answers(12, 5, 9, 4, trained_prefix=True)],
}


def streams_of(groups):
    return {"advantages": [[[i + 0.01 * j for j in range(len(e.tokens))] for i, e in enumerate(g)] for g in groups]}


def rows_by_token(batch):
    """Every trained token as (its number within the sequence that it counts for, label, weight, advantage), sorted.

    Sequences that hold examples are numbered in their order, shared parts left out.
    """
    parents = {p for p in batch.parent if p >= 0}
    number = {s: n for n, s in enumerate(s for s in range(batch.sequences) if s not in parents)}
    place = (batch.positions[batch.trained_index] + 1).tolist()
    columns = batch.labels.tolist(), batch.weights.tolist(), batch.streams["advantages"].tolist()
    return [(number[s], *rest) for s, *rest in zip(batch.seq_index.tolist(), place, *columns, strict=True)]


@pytest.mark.parametrize("name", GROUPS)
def test_every_trained_token_keeps_its_label_weight_stream_and_example(name):
    groups = GROUPS[name]
    shared = make_group_batch(groups, streams=streams_of(groups))
    plain = make_group_batch(groups, share=False, streams=streams_of(groups))
    assert rows_by_token(shared) == rows_by_token(plain)
    assert shared.weights.sum() == plain.weights.sum()
    assert all(n > 0 for n in shared.seq_lens)
    assert len(shared.tokens) == len(plain.tokens) - sum((len(g) - 1) * common_prefix(g) for g in groups)


def values_and_gradients(policy, batch):
    policy.zero_grad()
    out = policy(batch, ("logprobs", "entropy"))
    loss = (batch.weights * (out["logprobs"].sin() + out["entropy"])).sum()
    loss.backward()
    return out, [p.grad.clone() for p in policy.parameters()]


@pytest.mark.parametrize("window", [None, 5])
@pytest.mark.parametrize("name", [n for n in GROUPS if n != "one token each"])
def test_values_and_gradients_equal_those_written_out(name, window, make_model):
    model = make_model()
    if window:
        from transformers import MistralConfig, MistralForCausalLM

        config = model.config.to_dict()
        names = "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads"
        config = MistralConfig(**{k: config[k] for k in names.split()}, sliding_window=window, initializer_range=0.3)
        torch.manual_seed(0)
        model = MistralForCausalLM(config).eval()
    policy = Policy(model, FLOAT32)
    shared, plain = (make_group_batch(GROUPS[name], share=share) for share in (True, False))
    out, grads = values_and_gradients(policy, shared)
    expected, expected_grads = values_and_gradients(policy, plain)
    torch.testing.assert_close(out, expected, atol=3e-5, rtol=1e-5)
    for got, want in zip(grads, expected_grads, strict=True):
        assert (got - want).norm() <= 1e-5 * want.norm()


def test_values_and_gradients_equal_those_written_out_in_float64(make_model):
    policy = Policy(make_model().double(), FLOAT64)
    groups = GROUPS["a trained prefix"] + GROUPS["a group of eight"]
    out, grads = values_and_gradients(policy, make_group_batch(groups))
    expected, expected_grads = values_and_gradients(policy, make_group_batch(groups, share=False))
    # Log-probabilities are given back in float32; the gradients keep more.
    torch.testing.assert_close(out, expected, atol=1e-6, rtol=1e-6)
    for got, want in zip(grads, expected_grads, strict=True):
        assert (got - want).norm() <= 1e-6 * want.norm()


def test_prefixes_of_prefixes(make_model):
    """Three levels: 0 ← 1 ← 3, 4; 0 ← 2; and 5 alone, against every leaf written out."""
    own = [draw(9, 0), draw(1, 1), draw(20, 2), draw(3, 3), draw(260, 4), draw(4, 5)]
    parent = (-1, 0, 0, 1, 1, -1)
    nodes = [example(tokens, [0.0] * len(tokens)) for tokens in own]
    for i in (2, 3, 4, 5):
        nodes[i] = example(own[i], [0.5 + 0.1 * j for j in range(len(own[i]))])

    def written_out(i):
        above = [] if parent[i] < 0 else written_out(parent[i])[0]
        return above + own[i], [0.0] * len(above) + list(nodes[i].loss_weights)

    policy = Policy(make_model(), FLOAT32)
    out, grads = values_and_gradients(policy, make_batch(nodes, parent=parent))
    leaves = [example(*written_out(i)) for i in (2, 3, 4, 5)]
    expected, expected_grads = values_and_gradients(policy, make_batch(leaves))
    torch.testing.assert_close(out, expected, atol=3e-5, rtol=1e-5)
    for got, want in zip(grads, expected_grads, strict=True):
        assert (got - want).norm() <= 1e-5 * want.norm()


def test_sequence_streams_name_what_is_an_example():
    groups = [answers(4, 2, 3, seed=1), answers(0, 2, 2, seed=2), answers(2, 5, 1, seed=3)]
    values = {"pair": [[0, 0], [1, 1], [2, 2]], "preferred": [[1, -1]] * 3}
    batch = make_group_batch(groups, sequence_streams=values)
    assert batch.parent == (-1, 0, 0, -1, -1, -1, 5, 5)
    assert batch.sequence_streams["pair"].tolist() == [-1, 0, 0, 1, 1, -1, 2, 2]
    assert batch.sequence_streams["preferred"].tolist() == [0, 1, -1, 1, -1, 0, 1, -1]
    assert set(batch.seq_index.tolist()) == {1, 2, 3, 4, 6, 7}


def test_the_common_prefix_leaves_every_example_a_token():
    assert common_prefix([example([1, 2, 3]), example([1, 2, 4])]) == 2
    assert common_prefix([example([1, 2, 3]), example([1, 2, 3])]) == 2
    assert common_prefix([example([1]), example([1, 2])]) == 0
    assert common_prefix([example([2, 3]), example([1, 3])]) == 0
