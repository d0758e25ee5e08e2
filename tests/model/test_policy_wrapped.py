"""A policy as distributed training wraps it, on one rank: the same outputs, gradients and answers."""

import pytest
import torch
import torch.distributed as dist
from families import EXACT, build, examples
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from strop.data.batch import make_batch
from strop.model.policy import Policy, scalar_head
from strop.model.precision import Compute
from strop.rollout.engine import SamplingParams
from strop.rollout.torch_engine import TorchEngine

WANT = ("logprobs", "values")


@pytest.fixture
def one_rank():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def policy():
    model = build(*EXACT["Gemma 2"])
    return Policy(model, Compute(torch.device("cpu"), torch.float32), heads={"values": scalar_head(model)})


def outputs_and_gradients(wrapped, parameters):
    outputs = wrapped(make_batch(examples()), WANT, temperature=0.7)
    sum(value.square().sum() for value in outputs.values()).backward()
    gradients = [p.grad.full_tensor() if isinstance(p.grad, DTensor) else p.grad for p in parameters]
    return [outputs[name].detach() for name in WANT], gradients


@pytest.mark.parametrize("kind", ["fsdp", "ddp"])
def test_wrapping_changes_nothing(one_rank, kind):
    """Generation comes first: what it leaves behind must not disturb training."""
    plain, inside = policy(), policy()
    params = SamplingParams(max_tokens=6, temperature=0.7)
    if kind == "fsdp":
        for layer in inside.model.model.layers:
            fully_shard(layer)
        wrapped = fully_shard(inside)
        answers = [TorchEngine(p, frozenset({2})).generate([[4, 5, 6], [7, 8]], params) for p in (plain, wrapped)]
        assert answers[0] == answers[1]
    else:
        wrapped = DistributedDataParallel(inside)
    expected = outputs_and_gradients(plain, plain.parameters())
    got = outputs_and_gradients(wrapped, inside.parameters())
    torch.testing.assert_close(got, expected, atol=1e-6, rtol=1e-6)
