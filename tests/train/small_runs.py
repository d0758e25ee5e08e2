"""Runs of a tiny model on random rows, for tests of the loop."""

import json

import torch

from strop.chat import Example
from strop.data.batch import make_batch
from strop.data.source import PackedSource
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.objectives.sft import supervised_objective
from strop.train import loop
from strop.train.neftune import Neftune
from strop.train.settings import SftTrainSettings
from strop.train.step import evaluation
from strop.train.weights import Weights

FLOAT32 = Compute(torch.device("cpu"), torch.float32)


def make_examples(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for _ in range(count):
        n = int(torch.randint(3, 20, (1,), generator=generator))
        tokens = torch.randint(0, 97, (n,), generator=generator).tolist()
        rows.append(Example(tokens, [0.0] * (n // 2) + [1.0] * (n - n // 2), "test", (), ()))
    return rows


SETTINGS = SftTrainSettings(
    global_batch_size=4, micro_batch_tokens=40, learning_rate=1e-2, epochs=2, checkpoint_every=3, eval_every=4
)


def run(model, folder, settings=SETTINGS, compute=FLOAT32, *, evaluates=True, **kwargs):
    rows = make_examples(24)
    source = PackedSource(rows, global_batch_size=4, micro_batch_tokens=40, epochs=settings.epochs, seed=0)
    policy = Policy(model, compute, probe=False)
    held_out = [make_batch(make_examples(4, seed=9))]
    objective = supervised_objective(settings)
    evaluate = lambda: evaluation(policy, objective, held_out)  # noqa: E731
    evaluate = evaluate if evaluates else None
    alpha = settings.neftune_alpha
    noise = {"neftune": Neftune(policy, alpha, settings.seed)} if alpha else {}
    weights = Weights(policy, settings)
    totals = loop.train(weights, source, objective, settings, folder, evaluate=evaluate, stateful=noise, **kwargs)
    weights.whole().__enter__()  # float32, to be compared
    return totals


def deterministic_rows(folder):
    """metrics.jsonl without what a clock or the machine decides."""
    keep = ("step", "loss", "lr", "grad_norm", "tokens", "trained_tokens", "eval_loss")
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k in keep} for line in lines]


def kill_in_step_six(monkeypatch):
    """Have the sixth optimiser step end the run as a power cut would; returns the real step, to be put back."""
    real_step, calls = loop.optimizer_step, []

    def step_then_die(*args):
        calls.append(1)
        if len(calls) == 6:
            raise SystemError("the power went")
        return real_step(*args)

    monkeypatch.setattr(loop, "optimizer_step", step_then_die)
    return real_step
