"""The script for a GPU machine: parts that fail or hang are said, and what was found is written after each."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import gpu

OBJECT = {"results": {"strop": {"tokens_per_second": 5.0}}, "ratios": {"a": 2}}
GOOD = ("-c", f"import json; print('words'); print(json.dumps({OBJECT}))")


def part(name, *command, seconds=20):
    return gpu.Part(name, seconds, command)


@pytest.fixture
def run(tmp_path, monkeypatch):
    def run(*parts, device="A card, 80 GB", **options):
        monkeypatch.setattr(gpu, "PARTS", parts)
        monkeypatch.setattr(gpu, "_device", lambda: device)
        given = [text for key, value in options.items() for text in (f"--{key}", str(value))]
        monkeypatch.setattr(sys, "argv", ["gpu.py", "--out", str(tmp_path / "out"), *given])
        code = gpu.main()
        file = tmp_path / "out/gpu.json"
        return code, json.loads(file.read_text()) if file.exists() else None

    return run


def test_every_part_is_kept_with_its_object_and_shown_as_text(run, tmp_path):
    code, found = run(part("one", *GOOD), part("two", *GOOD))
    assert code == 0
    assert found["device"] == "A card, 80 GB"
    assert found["parts"]["two"]["results"]["strop"]["tokens_per_second"] == 5
    text = (tmp_path / "out/gpu.txt").read_text()
    assert "strop: tokens_per_second 5" in text
    assert 'ratios: {"a": 2}' in text


def test_what_fails_hangs_or_prints_nothing_is_said_and_the_others_go_on(run, tmp_path):
    code, found = run(
        part("raises", "-c", "raise SystemExit('out of memory')"),
        part("hangs", "-c", "import time; print('begun', flush=True); time.sleep(60)", seconds=2),
        part("silent", "-c", "pass"),
        part("good", *GOOD),
    )
    assert code == 1
    failed = {name: row.get("failed", "") for name, row in found["parts"].items()}
    assert failed == {
        "raises": "exit code 1", "hangs": "not through after 2 s", "silent": "printed no object", "good": "",
    }  # fmt: skip
    assert "out of memory" in found["parts"]["raises"]["said"]
    assert "begun" in found["parts"]["hangs"]["said"]
    assert "FAILED, not through" in (tmp_path / "out/gpu.txt").read_text()


def test_no_part_begins_when_the_time_is_used_up(run):
    code, found = run(part("one", *GOOD), minutes=0.1)
    assert code == 1
    assert "time was used up" in found["parts"]["one"]["failed"]


def test_without_a_device_nothing_is_measured(run):
    assert run(part("one", *GOOD), device=None) == (2, None)


def test_the_parts_are_commands_that_there_are():
    for one in gpu.PARTS:
        if one.command is not gpu.TESTS:
            assert (gpu.BENCH / one.command[0]).is_file()
    assert sum(one.seconds for one in gpu.PARTS) > 9 * 60 - 60  # the budget is used
