"""How often a GPU would be waited for: told from what is asked of tensors, which needs none.

To read a number of a tensor waits for all that was asked of the device before, and so does a copy from the host.
Neither may be done for each layer or each piece of work.
"""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from strop.chat import Example
from strop.data.batch import make_batch
from strop.model import accelerate, head
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.objectives.sft import CrossEntropy
from strop.rollout.engine import SamplingParams
from strop.rollout.torch_engine import TorchEngine
from strop.train.settings import SftTrainSettings
from strop.train.step import optimizer_step
from strop.train.weights import Weights

FLOAT32 = Compute(torch.device("cpu"), torch.float32)
aten = torch.ops.aten


class Waits(TorchDispatchMode):
    """Counts numbers that are read, and tensors that are made of Python's numbers."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func in (aten._local_scalar_dense.default, aten.lift_fresh.default, aten.nonzero.default)
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def as_on_a_gpu(monkeypatch):
    """By torch's operations, which a GPU has."""
    for name in ("head", "attention", "draw", "decoder"):
        monkeypatch.setattr(accelerate, name, lambda *_: None)


def step(make_model, count):
    weights = Weights(Policy(make_model(), FLOAT32), SftTrainSettings())
    weights.optimizer.set_rates(1.0)
    ids = [3 + i % 90 for i in range(64)]
    rows = [make_batch([Example(ids, [0.0, *[1.0] * 63], "", (), ())]) for _ in range(count)]
    with Waits() as waits:
        optimizer_step(weights, CrossEntropy(), rows, 1.0)
    return waits.count


def test_a_step_waits_as_often_however_many_pieces_the_head_is_made_in(make_model, monkeypatch):
    whole = step(make_model, 1)
    monkeypatch.setattr(head, "CHUNK_ROWS", 4)
    monkeypatch.setattr(head, "CHUNK_ELEMENTS", 1)
    assert step(make_model, 1) == whole
    assert step(make_model, 3) - whole <= 2 * 4


def test_a_generated_token_waits_as_often_however_many_layers_there_are(make_model):
    counts = []
    for layers in (2, 5):
        engine = TorchEngine(Policy(make_model(num_hidden_layers=layers), FLOAT32), frozenset({2}))
        params = SamplingParams(max_tokens=4, ignore_eos=True)
        engine.generate([[5, 6, 7]], params)  # the first call looks at every layer
        with Waits() as waits:
            engine.generate([[5, 6, 7] * 40, [9, 8]], params)  # in several pieces: it is longer than a page
        counts.append(waits.count)
    assert counts[0] == counts[1]
