"""A run that is killed in the middle of any part of its work ends as the one that was not, to the last bit."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PLACES = [
    *(f"eval: {part}" for part in ("answers", "verdicts", "options", "losses", "texts", "half a line")),
    *(f"sft: {part}" for part in ("checkpoint", "evaluation", "tasks")),
    *(f"sft: {what}, its {part}" for what in ("model", "export") for part in ("files", "name")),
    "tools: rollouts",
    "tools: grading",
    "ahead: rollouts",
]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Of every place what was not as it should have been."""
    command = [sys.executable, str(Path(__file__).parent / "killing.py"), str(tmp_path_factory.mktemp("killed"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("place", PLACES)
def test_killed_there_and_gone_on_is_uninterrupted(told, place):
    assert told[place] == []


def test_every_place_was_asked_about(told):
    assert list(told) == PLACES
