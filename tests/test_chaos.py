"""A few kills of bench/chaos.py; and that it sees a difference of one bit and half of a checkpoint."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

BENCH = Path(__file__).parents[1] / "bench"
sys.path.insert(0, str(BENCH))

from common.chaos_kills import PARTS, START, Ended, draw, parts_of  # noqa: E402
from common.chaos_same import differences, half_visible  # noqa: E402


def test_killed_and_gone_on_is_identical():
    command = [sys.executable, str(BENCH / "chaos.py"), "--kills", "3", "--stage", "lora", "--no-faults", "--json"]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=alone)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["differences"] == []
    assert found["identical"]
    [row] = found["stages"]
    assert row["times"] == found["kills"] == sum(row["at"].values()) == 3


@pytest.fixture
def two(tmp_path):
    """Two run folders that are the same."""
    for name in ("a", "b"):
        folder = tmp_path / name / "sft/checkpoints/step-000002"
        folder.mkdir(parents=True)
        save_file({"w": torch.arange(8.0)}, folder / "model.safetensors")
        torch.save({"m": torch.ones(4), "t": {"loss": 1.0, "seconds": random.random()}}, folder / "optimizer.pt")
        torch.save({"step": 2}, folder / "state.pt")
        (folder / "checkpoint.json").write_text('{"step": 2}')
        row = {"step": 1, "loss": float("nan"), "seconds": random.random(), "tokens_per_second": random.random()}
        (tmp_path / name / "sft/metrics.jsonl").write_text(json.dumps(row) + "\n")
    return tmp_path / "a", tmp_path / "b"


def test_a_bit_a_row_and_a_file_are_differences_and_timings_are_none(two):
    a, b = two
    assert differences(a, b) == []
    place = b / "sft/checkpoints/step-000002"
    bits = torch.arange(8.0).view(torch.int32).clone()
    bits[3] ^= 1
    save_file({"w": bits.view(torch.float32)}, place / "model.safetensors")
    torch.save({"m": torch.ones(4), "t": {"loss": 2.0, "seconds": 0.0}}, place / "optimizer.pt")
    (b / "sft/more.json").write_text("{}")
    found = {Path(one["file"]).name: one for one in differences(a, b)}
    assert found.keys() == {"model.safetensors", "optimizer.pt", "more.json"}
    assert found["model.safetensors"]["bytes"] == 1
    assert found["optimizer.pt"]["what"].startswith("t.loss: 1.0 and 2.0")


def test_half_of_a_checkpoint_is_seen_where_it_has_its_name_and_not_while_it_is_written(two):
    run = two[0]
    place = run / "sft/checkpoints/step-000002"
    assert half_visible(run) == []
    (place / "optimizer.pt").write_bytes((place / "optimizer.pt").read_bytes()[:-40])
    (place / "state.pt").unlink()
    found = half_visible(run)
    assert len(found) == 2
    assert found[0].endswith("lacks state.pt")
    assert "optimizer.pt: " in found[1]
    place.rename(place.with_name(".step-000002.123"))
    assert half_visible(run) == []


def test_instants_are_drawn_by_the_seed_and_go_round_the_parts_of_the_work():
    entered = [(name, 1.0 + i) for i, name in enumerate(["step", "step", "checkpoint", "checkpoint"] * 3)]
    rehearsal = Ended(0, "", 20.0, entered=entered, operations=50)
    drawn = [draw(random.Random(3), rehearsal, number) for number in range(12)]
    assert drawn == [draw(random.Random(3), rehearsal, number) for number in range(12)]
    assert [one.part for one in drawn[1::2]] == ["file"] * 6
    assert {one.part for one in drawn[::2]} == {START, "step", "checkpoint"}
    assert all(1 <= one.count <= 50 for one in drawn)
    assert parts_of(rehearsal)["step"] == (6, 1.0)
    assert set(PARTS) >= {"step", "checkpoint", "rollouts", "grading", "evaluation", "final model"}
