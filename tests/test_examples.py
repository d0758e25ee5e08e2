"""The scripts in examples/, each as a user runs it, on a tiny model."""

import json
import shutil
from pathlib import Path

import pytest
from processes import STROP, in_a_child

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
SAYS = {
    "sft_own_data": "model: runs/capitals/sft/model",
    "reward_function": "runs/vowels/grpo/model",
    "tool_environment": "runs/lookup/grpo/model",
    "own_objective": "focal nll",
    "loop_by_hand": "loss on all 4",
}

# What `python PATH MODEL` does, but for loading strop, which takes longer than all else.
RUN = """
import os, runpy, sys
os.chdir({folder!r})
sys.argv = {arguments}
sys.path[0] = os.path.dirname(sys.argv[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_every_example_is_here_and_short():
    assert {path.stem for path in EXAMPLES} == set(SAYS)
    assert all(len(path.read_text().splitlines()) < 60 for path in EXAMPLES)


@pytest.fixture(scope="module")
def chatty_model(model_folder, tmp_path_factory):
    """One that ends turns now and then: a tenth of its tokens do so."""
    folder = shutil.copytree(model_folder, tmp_path_factory.mktemp("models") / "chatty")
    told = json.loads((folder / "generation_config.json").read_text())
    told["eos_token_id"] = [1, *range(300, 360)]
    (folder / "generation_config.json").write_text(json.dumps(told))
    return folder


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path, chatty_model, empty_cache, tmp_path):
    done = in_a_child(
        RUN.format(folder=str(tmp_path), arguments=[str(path), str(chatty_model)]),
        STROP,
        STROP_CACHE=str(empty_cache()),
    )
    assert SAYS[path.stem] in done.stdout
