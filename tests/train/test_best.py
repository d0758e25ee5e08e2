"""The weights of the best step are there for every checkpoint that a run may go on from."""

import small_runs
import torch
from small_runs import SETTINGS, run

from strop.common.errors import RollBack
from strop.data.source import PackedSource
from strop.train.evaluations import Wanted

LOWEST = Wanted("eval_loss", "eval_loss", -1)


def settings_of(**more):
    given = {"schedule": "constant", "eval_every": 1, "checkpoint_every": 1, "keep_last": 2, **more}
    return SETTINGS.model_copy(update=given)


def losses(monkeypatch, *values):
    """What the evaluations of a run give, one after the other."""
    left = iter(values)
    monkeypatch.setattr(small_runs, "evaluation", lambda *given: {"eval_loss": next(left)})


def trained(make_model, folder, settings):
    model = make_model()
    return model, run(model, folder, settings, wanted=LOWEST)


def same(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_a_run_that_goes_on_from_an_earlier_checkpoint_has_the_best_weights_until_that(
    make_model, tmp_path, monkeypatch
):
    """The newest is damaged, and the steps after the one before it turn out worse than the best until then."""
    losses(monkeypatch, 3.0, 2.0, 9.0)
    expected, _ = trained(make_model, tmp_path / "short", settings_of(max_steps=1))
    losses(monkeypatch, 3.0, 2.0, 1.0)
    trained(make_model, tmp_path / "run", settings_of(max_steps=2))
    with (tmp_path / "run/checkpoints/step-000002/optimizer.pt").open("ab") as file:
        file.write(b"torn")
    losses(monkeypatch, 5.0)
    model, totals = trained(make_model, tmp_path / "run", settings_of(max_steps=2))
    assert (totals["best"]["step"], totals["best"]["value"], totals["best"]["last"]) == (1, 2.0, 5.0)
    assert same(model, expected)


def test_a_run_that_goes_back_has_the_best_weights_until_then(make_model, tmp_path, monkeypatch):
    """An alarm at step 3 that takes it back to step 1 (as one of held-out metrics may), where it was worse than at 2,
    and all that comes after is worse than at 1."""
    losses(monkeypatch, 3.0, 2.0)
    expected, _ = trained(make_model, tmp_path / "short", settings_of(max_steps=1))
    real, calls = PackedSource.next_step, []

    def next_step(self):
        calls.append(1)
        if len(calls) == 3:
            raise RollBack("an alarm.", 1, 2)
        return real(self)

    monkeypatch.setattr(PackedSource, "next_step", next_step)
    losses(monkeypatch, 3.0, 2.0, 1.0, 7.0, 8.0)
    model, totals = trained(make_model, tmp_path / "run", settings_of(max_steps=3))
    assert (totals["best"]["step"], totals["rollbacks"][0]["to_step"]) == (1, 1)
    assert same(model, expected)


def test_best_weights_that_no_checkpoint_speaks_of_go(make_model, tmp_path, monkeypatch):
    losses(monkeypatch, 5.0, 4.0, 3.0, 3.5, 2.0, 1.0)
    trained(make_model, tmp_path, settings_of(max_steps=5))
    assert sorted(path.name for path in (tmp_path / "best").iterdir()) == ["step-000004", "step-000005"]
