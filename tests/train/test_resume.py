"""Stopped and resumed = uninterrupted, bit for bit, whatever optimises and whatever else has a state."""

import json

import pytest
import torch
from small_runs import SETTINGS, deterministic_rows, kill_in_step_six, run

from strop.model.precision import Compute
from strop.train import loop

LAYERED = [{"match": "embedding", "lr_scale": 0.5}, {"match": r"layers\.1\.", "weight_decay": 0.1}]


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "adamw", "groups": LAYERED},
        {"optimizer": "muon", "schedule": "wsd", "warmup_steps": 2, "decay_ratio": 0.5},
        {"optimizer": "adafactor", "schedule": "linear"},
        {"optimizer": "adamw_8bit", "ema_decay": 0.8, "neftune_alpha": 5.0},
        {"optimizer": "muon", "ema_decay": 0.9, "neftune_alpha": 10.0, "groups": LAYERED, "z_loss": 1e-4},
        {"gradient_checkpointing": True, "neftune_alpha": 5.0, "label_smoothing": 0.1},
    ],
    ids=lambda s: " ".join(f"{k}={v}" for k, v in s.items() if k != "groups"),
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_killed_at_step_five_and_resumed_equals_uninterrupted(settings, dtype, make_model, tmp_path, monkeypatch):
    compute = Compute(torch.device("cpu"), dtype)
    settings = type(SETTINGS)(**{**SETTINGS.model_dump(exclude_defaults=True), **settings})
    sizes = {"vocab_size": 97, "hidden_size": 64, "intermediate_size": 96}  # matrices with 8-bit moments among them
    whole = make_model(**sizes)
    run(whole, tmp_path / "whole", settings, compute)

    real_step = kill_in_step_six(monkeypatch)
    with pytest.raises(SystemError):
        run(make_model(**sizes), tmp_path / "cut", settings, compute)
    monkeypatch.setattr(loop, "optimizer_step", real_step)
    resumed = make_model(seed=7, **sizes)
    run(resumed, tmp_path / "cut", settings, compute)

    assert len(deterministic_rows(tmp_path / "whole")) > 12
    assert deterministic_rows(tmp_path / "cut") == deterministic_rows(tmp_path / "whole")
    for (name, a), b in zip(whole.named_parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b), name


def test_the_log_shows_each_groups_rate_and_every_component(make_model, tmp_path):
    settings = SETTINGS.model_copy(update={"groups": [], "z_loss": 0.01, "label_smoothing": 0.1, "max_steps": 3})
    settings = type(SETTINGS)(
        **{
            **settings.model_dump(exclude_defaults=True),
            "groups": [{"match": "embedding", "lr_scale": 0.25}, {"match": "q_proj", "learning_rate": 0.5}],
            "init_lr_frac": 0.1,
        }
    )
    run(make_model(), tmp_path, settings)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    rows = [row for row in rows if "loss" in row]
    for row in rows:
        assert row["loss"] == pytest.approx(row["cross_entropy"] + row["z_loss"])
        assert row["nll"] != row["cross_entropy"]
        assert row["lr/embedding"] == pytest.approx(0.25 * row["lr"])
        assert row["lr/matrices"] == pytest.approx(row["lr"])
        assert row["lr/q_proj"] == pytest.approx(0.5 / SETTINGS.learning_rate * row["lr"])
    assert max(row["lr"] for row in rows) == pytest.approx(0.1 * SETTINGS.learning_rate)
