"""One seed fixes a run: twice the same, replayed from its folder, verified; and the folder says what made it."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from strop.cli import main
from strop.runs.provenance import PACKAGES, git_state, hub_commit
from strop.runs.run_folder import claimed
from strop.runs.verify import compared
from strop.train import loop
from strop.train.metrics import is_timing

TRAIN = {"global_batch_size": 4, "learning_rate": 1e-2, "epochs": 2}
PAIRS = [{"prompt": f"Say {i}.", "chosen": str(i), "rejected": f"no {i}"} for i in range(12)]
CHAT = [{"prompt": f"Say {i}.", "completion": str(i)} for i in range(12)]
ASKED = [{"question": f"What is {i} and 1?", "answer": str(i + 1)} for i in range(4)]
SFT = {"kind": "sft", "data": ["chat.jsonl"], "eval_data": {"fraction": 0.2}, "train": {**TRAIN, "eval_every": 2}}
STAGES = {
    "sft": {**SFT, "train": {**SFT["train"], "neftune_alpha": 5.0}},
    "lora": {**SFT, "lora": {"r": 4, "dropout": 0.2}},
    "preference": {"kind": "preference", "data": ["pairs.jsonl"], "train": TRAIN},
    "reward_model": {"kind": "reward_model", "data": ["pairs.jsonl"], "train": TRAIN},
    "rl": {
        "kind": "rl",
        "data": ["asked.jsonl"],
        "rollout": {"prompts_per_step": 2, "group_size": 4, "max_tokens": 6},
        "rewards": {"short": {"kind": "length", "most": 6, "slack": 6}},
        "train": {"max_steps": 3, "learning_rate": 1e-3},
    },
}


@pytest.fixture
def made(tmp_path, model_folder, monkeypatch):
    """Write a recipe of the stages named; gives the function that does."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STROP_CACHE", str(tmp_path / "cache"))
    for name, rows in (("chat", CHAT), ("pairs", PAIRS), ("asked", ASKED)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def write(*names):
        stages = {name: STAGES[name] for name in names}
        recipe = {"name": "one", "model": str(model_folder), "compute": {"dtype": "float32"}, "stages": stages}
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
        return tmp_path

    return write


def rows(stage: Path):
    found = [json.loads(line) for line in (stage / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if not is_timing(key)} for row in found]


@pytest.mark.parametrize("stage", STAGES)
def test_two_runs_of_one_configuration_log_the_same_and_another_seed_does_not(made, stage):
    made(stage)
    seeded = f"stages.{stage}.train.seed=5"
    for name, more in (("a", []), ("b", []), ("c", [seeded])):
        assert main(["run", "recipe.yaml", f"name={name}", *more]) == 0
    a, b, c = (rows(Path(f"runs/{name}/{stage}")) for name in "abc")
    assert a == b
    assert a != c
    assert {"loss", "grad_norm", "lr", "tokens"} <= a[-1].keys() | a[0].keys() | a[1].keys()


def test_a_run_is_replayed_from_its_folder_wherever_one_stands(made, tmp_path, monkeypatch, capsys):
    here = made("sft")
    assert main(["run", "recipe.yaml"]) == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    capsys.readouterr()
    assert main(["run", "../runs/one/config.yaml"]) == 0  # the run itself
    said = capsys.readouterr().out
    assert f"in {here}, where one was made" in said
    assert "skipped" in said
    monkeypatch.chdir(elsewhere)
    assert main(["run", "../runs/one", "name=other"]) == 0
    assert rows(here / "runs/other/sft") == rows(here / "runs/one/sft")
    assert not (elsewhere / "runs").exists()
    monkeypatch.chdir(elsewhere)
    assert main(["run", "../runs/one", "folder=mine"]) == 0  # a place is where one stands
    assert rows(elsewhere / "mine/sft") == rows(here / "runs/one/sft")
    assert not (here / "mine").exists()
    again = json.loads((here / "runs/other/provenance.json").read_text())
    (here / "runs/one/provenance.json").write_text(json.dumps({**again, "directory": "/not/there"}))
    assert main(["run", str(here / "runs/one")]) == 2
    assert "made in /not/there, which is not there" in capsys.readouterr().err
    assert main(["run", str(elsewhere)]) == 2
    assert "give a recipe (YAML), or the folder of a run" in capsys.readouterr().err


def test_a_run_that_was_moved_or_copied_is_the_run_of_that_folder(made, tmp_path, monkeypatch, capsys):
    here = made("sft")
    assert main(["run", "recipe.yaml"]) == 0
    copy = shutil.copytree(here / "runs/one", tmp_path / "other place/copy")
    (here / "runs/one").rename(here / "runs/moved")
    for place in ("runs/moved", copy, copy / "sft/config.yaml"):
        monkeypatch.chdir(here)
        capsys.readouterr()
        assert main(["run", str(place)]) == 0
        said = capsys.readouterr().out
        assert "sft: done before with the same settings and inputs, skipped." in said
        assert main(["run", str(place), "--verify", "1"]) == 0
    assert not (here / "runs/one").exists()
    assert main(["run", "runs/moved", "name=again"]) == 0
    assert (here / "runs/again/sft/model").is_dir()


def test_first_steps_are_verified_and_what_differs_is_named(made, capsys):
    here = made("sft", "lora")
    assert main(["run", "recipe.yaml"]) == 0
    before = {path: path.read_bytes() for path in (here / "runs").rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main(["run", "runs/one", "--verify", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["same"]
    assert [one["stage"] for one in found["stages"]] == ["sft", "lora"]
    assert [one["steps"] for one in found["stages"]] == [2, 2]
    assert main(["run", "runs/one", "--verify", "1000", "--json"]) == 0  # all there is, evaluations at the end too
    sft = json.loads(capsys.readouterr().out)["stages"][0]
    assert sft["rows"] == len(rows(here / "runs/one/sft"))
    assert before == {path: path.read_bytes() for path in (here / "runs").rglob("*") if path.is_file()}

    log = here / "runs/one/lora/metrics.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    second = next(row for row in lines if row["step"] == 2 and "loss" in row)
    second["grad_norm"] += 0.5
    log.write_text("".join(json.dumps(row) + "\n" for row in lines))
    assert main(["run", "runs/one", "--verify", "2"]) == 3
    said = capsys.readouterr().out
    assert "sft: the same" in said
    assert "lora: not the same: at step 2 grad_norm was" in said
    assert "(by -0.5)" in said
    assert "Inputs, code, packages and machine are those of the run" in said
    assert main(["run", "runs/one", "--verify", "1"]) == 0
    capsys.readouterr()

    with (here / "chat.jsonl").open("a") as file:
        file.write(json.dumps(CHAT[0]) + "\n")
    assert main(["run", "runs/one", "--verify", "2", "--json"]) == 3
    first = json.loads(capsys.readouterr().out)["stages"][0]
    assert first["reasons"]
    assert all(reason.startswith("data.") for reason in first["reasons"])
    assert main(["run", "recipe.yaml", "name=none", "--verify", "2"]) == 2
    assert "no finished training stage" in capsys.readouterr().err


def test_a_stage_is_verified_from_the_model_and_with_the_reward_that_it_had(made, capsys):
    """Of a recipe whose stages branch: `from`, and a reward that another stage trains."""
    learned = {"learned": {"kind": "model", "stage": "reward_model"}}
    branching = {
        "sft": SFT,
        "lora": STAGES["lora"],
        "preference": {**STAGES["preference"], "from": "sft"},
        "reward_model": STAGES["reward_model"],
        "rl": {**STAGES["rl"], "from": "sft", "rewards": learned},
    }
    here = made("sft")
    recipe = yaml.safe_load((here / "recipe.yaml").read_text())
    (here / "recipe.yaml").write_text(yaml.safe_dump({**recipe, "stages": branching}, sort_keys=False))
    assert main(["run", "recipe.yaml"]) == 0
    capsys.readouterr()
    code = main(["run", "runs/one", "--verify", "1", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert {one["stage"]: one["first"] for one in found["stages"]} == dict.fromkeys(branching)
    assert code == 0


def test_verifying_leaves_off_when_the_steps_are_there(made, monkeypatch):
    """Whatever signals training itself listens to."""
    made("sft")
    assert main(["run", "recipe.yaml"]) == 0
    real, steps = loop.optimizer_step, []

    def slow(*given):
        steps.append(1)
        time.sleep(0.5)
        return real(*given)

    monkeypatch.setattr(loop, "optimizer_step", slow)
    assert main(["run", "runs/one", "--verify", "1"]) == 0
    assert len(steps) in (1, 2)  # of 5: the one after may have begun


def test_what_a_kill_left_half_written_is_cleared_away(tmp_path):
    stays = [tmp_path / "sft/.hidden", tmp_path / "sft/model.0a1b2c3d", tmp_path / "sft/.note.txt"]
    goes = [tmp_path / "sft/.stage.json.0a1b2c3d", tmp_path / "sft/.model.4711-0a1b2c3d/weights"]
    for path in (*stays, *goes):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (tmp_path / "sft/stage.json").write_text("{}")
    with claimed(tmp_path):
        assert all(path.exists() for path in stays)
        assert not any(path.exists() for path in goes)
        assert not goes[1].parent.exists()


def test_steps_that_are_missing_are_no_agreement():
    two = [{"step": 1, "loss": 1.0}, {"step": 2, "loss": float("nan")}]
    assert compared("s", two, two)["same"]
    assert compared("s", two, two[:1])["first"] == {"step": 1, "key": "steps", "before": 2, "now": 1}
    assert compared("s", [*two, {"step": 2, "eval_loss": 1.0}], two)["same"]


def test_a_run_says_what_it_was_made_with(made):
    here = made("sft")
    assert main(["run", "recipe.yaml"]) == 0
    said = json.loads((here / "runs/one/provenance.json").read_text())
    assert said["packages"].keys() == set(PACKAGES)
    assert said["directory"] == str(here)
    assert said["machine"]["cores"] >= 1
    digests = [value for name, value in said["inputs"]["sft"].items() if name.startswith("data.")]
    assert any(len(str(value)) == 64 for value in digests)
    [stage] = json.loads((here / "runs/one/sft/stage.json").read_text())["provenance"]
    assert stage == {key: value for key, value in said.items() if key not in ("model", "inputs")}


def test_the_commit_of_a_checkout_is_known_and_whether_it_is_dirty(tmp_path):
    def git(*words):
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True)

    package = tmp_path / "src"
    package.mkdir()
    (package / "__init__.py").write_text("")
    assert git_state(package) == {}
    git("init", "-q")
    assert git_state(package) == {}  # around it, but not of it
    git("add", ".")
    git("commit", "-qm", "one")
    clean = git_state(package)
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False
    (package / "__init__.py").write_text("x = 1")
    assert git_state(package) == {**clean, "dirty": True}


def test_the_commit_of_a_model_on_the_hub_is_in_its_place(tmp_path):
    commit = "0123456789abcdef0123456789abcdef01234567"
    assert hub_commit(Path(f"/c/hub/models--a--b/snapshots/{commit}")) == commit
    assert hub_commit(tmp_path) is None


@pytest.mark.parametrize("name", ["seconds", "tokens_per_second", "seconds/train", "rollout/ahead_seconds"])
def test_timings_are_known_by_name(name):
    assert is_timing(name)
    assert not any(map(is_timing, ("loss", "tokens", "rollout/length", "second_moment", "eval_loss")))
