"""torchrun's processes as a user has them: where one fails all end and the cause is told once; what is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from processes import RANKS, STROP, loaded_python

from strop.cli import main

FAULT = """
import os
import signal

from strop.train import loop

if os.environ.get("RANK") == "1" and os.environ["FAULT"]:
    before = loop._Run.take_step

    def take_step(self):
        if self.step == 2:
            if os.environ["FAULT"] == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ValueError("a fault of rank 1")
        return before(self)

    loop._Run.take_step = take_step
"""


@pytest.fixture
def recipe(tmp_path, monkeypatch, make_model_folder):
    monkeypatch.chdir(tmp_path)
    rows = [{"prompt": f"Say {i}.", "completion": str(i)} for i in range(12)]
    (tmp_path / "chat.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "fault.py").write_text(FAULT)
    train = {"global_batch_size": 4, "max_steps": 4, "checkpoint_every": 1}
    stage = {"kind": "sft", "data": ["chat.jsonl"], "train": train}
    content = {
        "name": "small",
        "model": str(make_model_folder(["Say one. user assistant"])),
        "compute": {"dtype": "float32"},
        "stages": {"sft": stage},
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content))
    (tmp_path / "faulty.yaml").write_text(yaml.safe_dump({**content, "plugins": ["fault.py"]}))


def torchrun(*arguments, python=None, **variables):
    """``python``: what torchrun and the ranks are run by, the interpreter's own path or that of `loaded_python`."""
    python = python or loaded_python("torch.distributed.launcher.api", *STROP, *RANKS)
    command = [python, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "strop", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHON_EXEC": python, **variables}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)


@pytest.mark.parametrize("how", ["raise", "kill"])
def test_where_one_fails_all_end_and_the_cause_is_told_once(recipe, how):
    """The time limit of a rank that waits is hours, and of this test minutes."""
    done = torchrun("run", "faulty.yaml", "compute.parallel=shard", FAULT=how)
    assert done.returncode
    if how == "raise":
        assert done.stderr.count("strop: rank 1 of 2 failed") == 1
        assert done.stderr.count("ValueError: a fault of rank 1") == 1
    else:
        assert done.stderr.count("strop: rank 1 of 2 (process") == done.stderr.count("ended without a word") == 1
    for of_others in ("Connection closed by peer", "DistBackendError", "cannot be reached"):
        assert of_others not in done.stderr
    if how == "kill":
        kept = list(Path("runs/small/sft/checkpoints").glob("step-*"))  # one may have been in writing
        again = torchrun("run", "faulty.yaml", "compute.parallel=shard", FAULT="")
        assert again.returncode == 0, again.stderr
        assert ("going on from step" in again.stdout) == bool(kept)


def test_a_number_of_ranks_that_cannot_work_is_refused_once(recipe, tmp_path):
    done = torchrun("run", "recipe.yaml", "stages.sft.train.global_batch_size=1", python=sys.executable)
    said = [line for line in done.stderr.splitlines() if line.startswith("strop:")]
    assert said == [
        "strop: stages.sft.train.global_batch_size is 1, which 2 processes cannot share out: raise it to at least 2, "
        "or start fewer."
    ]
    assert "exitcode  : 2" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_world_size_without_torchrun_is_refused(recipe, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert main(["run", "recipe.yaml"]) == 2
    assert "RANK, LOCAL_RANK" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
    monkeypatch.setenv("WORLD_SIZE", "two")
    for name in ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "0")
    assert main(["run", "recipe.yaml"]) == 2
    assert "WORLD_SIZE=two" in capsys.readouterr().err


def test_verbs_of_one_process_are_refused_by_several(monkeypatch, capsys):
    """As torchrun sets the environment; a cluster's own variables alone mean nothing."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    main(["runs"])
    assert "torchrun" not in capsys.readouterr().err
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    for verb in (["runs"], ["eval", "m", "--tasks", "reverse"], ["inspect", "chat.jsonl"]):
        assert main(verb) == 2
        assert "call it without torchrun" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("stages.sft.train.optimizer=muon", "needs whole matrices"),
        ("stages.sft.train.offload_optimizer=true", "host's memory"),
    ],
)
def test_what_cannot_be_cut_up_is_refused_beforehand(recipe, tmp_path, capsys, setting, said):
    assert main(["run", "recipe.yaml", "compute.parallel=shard", setting]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
