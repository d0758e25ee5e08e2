"""The scripts in examples/, each as a user runs it, on a tiny model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
SAYS = {
    "sft_own_data": "model: runs/capitals/sft/model",
    "reward_function": "runs/vowels/grpo/model",
    "tool_environment": "runs/lookup/grpo/model",
    "own_objective": "focal nll",
    "loop_by_hand": "loss on all 4",
}


def test_every_example_is_here_and_short():
    assert {path.stem for path in EXAMPLES} == set(SAYS)
    assert all(len(path.read_text().splitlines()) < 60 for path in EXAMPLES)


@pytest.fixture(scope="module")
def chatty_model(model_folder, tmp_path_factory):
    """One that ends turns now and then: a tenth of its tokens do so."""
    import shutil

    folder = shutil.copytree(model_folder, tmp_path_factory.mktemp("models") / "chatty")
    told = json.loads((folder / "generation_config.json").read_text())
    told["eos_token_id"] = [1, *range(300, 360)]
    (folder / "generation_config.json").write_text(json.dumps(told))
    return folder


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path, chatty_model, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(path.parents[1] / "src"), "STROP_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, str(path), str(chatty_model)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert SAYS[path.stem] in done.stdout
