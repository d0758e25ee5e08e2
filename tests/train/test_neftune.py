"""Noise on embeddings: its size, whom it reaches, and that it is the same again from a saved state."""

from dataclasses import replace

import pytest
import torch
from small_runs import FLOAT32, make_examples

from strop.data.batch import make_batch
from strop.model.policy import Policy
from strop.rollout.engine import SamplingParams
from strop.rollout.torch_engine import TorchEngine
from strop.train.neftune import Neftune, whole_lengths

WIDTH = 32  # of the tiny model


@pytest.fixture
def policy(make_model):
    return Policy(make_model(), FLOAT32, probe=False).train()


def embeddings(policy, batch):
    """What the first layer gets, ``[T,D]``."""
    seen = []
    hook = policy.model.model.layers[0].register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0][0]))
    policy(batch)
    hook.remove()
    return seen[0].detach()


def test_noise_is_uniform_with_the_papers_bound_for_each_sequences_own_length(policy):
    batch = make_batch(make_examples(6))
    plain = embeddings(policy, batch)
    Neftune(policy, alpha=5.0)
    noise = (torch.stack([embeddings(policy, batch) for _ in range(200)]) - plain).split(batch.seq_lens, 1)
    for n, part in zip(batch.seq_lens, noise, strict=True):
        bound = 5.0 / (n * WIDTH) ** 0.5
        assert 0.99 * bound < part.abs().max() <= bound * (1 + 1e-5) + 1e-6
        assert part.mean().abs() < 0.01 * bound
        assert part.var().item() == pytest.approx(bound**2 / 3, rel=0.03)  # of a uniform distribution


def test_a_sequence_that_continues_another_one_counts_both(policy):
    rows = make_examples(3)
    batch = make_batch(rows, parent=[-1, 0, 1])
    a, b, c = batch.seq_lens
    assert whole_lengths(batch) == [a, a + b, a + b + c]
    plain = embeddings(policy, batch)
    Neftune(policy, alpha=1.0)
    noise = (torch.stack([embeddings(policy, batch) for _ in range(200)]) - plain).split(batch.seq_lens, 1)
    for part, n in zip(noise, whole_lengths(batch), strict=True):
        assert part.abs().max().item() == pytest.approx((n * WIDTH) ** -0.5, rel=0.01)


def test_evaluation_and_generation_get_none(policy):
    batch = make_batch(make_examples(3))
    plain = policy(batch)["logprobs"]
    params = SamplingParams(max_tokens=5)
    generated = TorchEngine(policy, frozenset({2})).generate([[5, 6, 7]], params)
    Neftune(policy, alpha=50.0)
    assert not torch.equal(policy(batch)["logprobs"], plain)
    with pytest.raises(IndexError):  # a pass that failed leaves nothing behind
        policy(replace(batch, trained_index=batch.trained_index + 10**6))
    assert TorchEngine(policy, frozenset({2})).generate([[5, 6, 7]], params) == generated
    assert torch.equal(policy.eval()(batch)["logprobs"], plain)


def test_the_same_noise_again_from_a_saved_state_whatever_else_draws_random_numbers(policy):
    batch = make_batch(make_examples(3))
    neftune = Neftune(policy, alpha=5.0, seed=3)
    policy(batch)
    state = {name: value.clone() for name, value in neftune.state_dict().items()}
    torch.manual_seed(1)
    drawn = torch.rand(3)
    torch.manual_seed(1)
    once = policy(batch)["logprobs"]
    assert torch.equal(torch.rand(3), drawn)  # its own generator
    assert not torch.equal(policy(batch)["logprobs"], once)
    neftune.load_state_dict(state)
    assert torch.equal(policy(batch)["logprobs"], once)
