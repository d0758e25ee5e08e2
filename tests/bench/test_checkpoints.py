"""How `bench/checkpoints.py` reads a run by the clock."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import checkpoints

WRITES = """
import json, sys, time
from pathlib import Path
with Path("m.jsonl").open("a") as file:
    for step in range(3):
        time.sleep(0.3)
        line = json.dumps({"step": step, "loss": 1.0}) + "\\n"
        file.write(line[:7]); file.flush()      # half a row, as a reader may find it
        file.write(line[7:] + '{"note": 1}\\n'); file.flush()
sys.exit(int(sys.argv[1]))
"""


def test_rows_are_seen_as_they_appear(tmp_path):
    metrics = tmp_path / "m.jsonl"
    metrics.write_text('{"step": -1, "loss": 2.0}\n')
    rows = checkpoints.rows_by_the_clock([sys.executable, "-c", WRITES, "0"], tmp_path, metrics)
    assert [row["step"] for _, row in rows] == [0, 1, 2]  # neither the one that was there nor notes
    times = [seconds for seconds, _ in rows]
    assert times == sorted(times)
    assert times[2] >= 0.9  # since the command began


def test_a_command_that_fails_ends_the_measurement(tmp_path):
    with pytest.raises(SystemExit, match="ended with 3"):
        checkpoints.rows_by_the_clock([sys.executable, "-c", WRITES, "3"], tmp_path, tmp_path / "m.jsonl")
