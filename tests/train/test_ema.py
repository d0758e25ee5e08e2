"""The average of the weights: its formula, its place in a run, and that nothing is lost by looking at it."""

import pytest
import torch
from small_runs import FLOAT32, SETTINGS, deterministic_rows, make_examples, run

from strop.data.batch import make_batch
from strop.model.policy import Policy
from strop.objectives.sft import CrossEntropy
from strop.train.ema import EMA
from strop.train.step import evaluation


def test_the_average_follows_its_formula():
    weight = torch.tensor([1.0, -2.0], requires_grad=True)
    ema = EMA({"w": weight}, 0.9)
    expected = weight.detach().double().clone()
    for step in range(30):
        with torch.no_grad():
            weight += 0.1 * (step % 3)
        ema.update()
        expected = 0.9 * expected + 0.1 * weight.detach().double()
    torch.testing.assert_close(ema.state_dict()["w"].double(), expected, rtol=1e-5, atol=0)


def test_in_place_shows_the_average_and_gives_the_weights_back_bit_for_bit():
    weight, other = torch.randn(100, requires_grad=True), torch.randn(3, 4)
    published = []
    ema = EMA({"w": weight, "o": other}, 0.5, lambda: published.append(weight.detach().clone()))
    with torch.no_grad():
        weight.add_(torch.randn(100))
    ema.update()
    before, average = weight.detach().clone(), ema.state_dict()["w"].clone()
    place = weight.data_ptr()
    with ema.in_place():
        assert torch.equal(weight, average)
    assert torch.equal(weight, before)
    assert weight.data_ptr() == place  # an optimiser may hold views
    assert torch.equal(ema.state_dict()["w"], average)
    assert [torch.equal(p, average) for p in published] == [True, False]


def test_a_run_evaluates_and_leaves_the_average(make_model, tmp_path):
    """With a decay next to nothing the average is the weights; with one next to 1 it is where the run began."""
    plain, quick, slow = make_model(), make_model(), make_model()
    start = [p.detach().clone() for p in slow.parameters()]
    run(plain, tmp_path / "plain")
    run(quick, tmp_path / "quick", SETTINGS.model_copy(update={"ema_decay": 1e-9}))
    run(slow, tmp_path / "slow", SETTINGS.model_copy(update={"ema_decay": 1 - 1e-6}))
    for a, b in zip(quick.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    for a, b in zip(slow.parameters(), start, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-4)
    rows, plain_rows = (deterministic_rows(tmp_path / name) for name in ("slow", "plain"))
    held_out = [r["eval_loss"] for r in rows if "eval_loss" in r]
    assert max(held_out) - min(held_out) < 1e-3
    assert [r.get("loss") for r in rows] == [r.get("loss") for r in plain_rows]  # the average trains nothing
    policy = Policy(slow, FLOAT32, probe=False)
    left = evaluation(policy, CrossEntropy(), [make_batch(make_examples(4, seed=9))])["eval_loss"]
    assert left == pytest.approx(held_out[-1], rel=1e-6)
