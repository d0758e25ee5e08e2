"""Recipes that come with strop load; those of reinforcement learning run offline, made small, on a tiny model."""

import json
from pathlib import Path

import pytest
import yaml

from strop.common.console import make_console
from strop.common.errors import InputError
from strop.config.recipe import Recipe, load_recipe
from strop.objectives.policy_settings import PRESETS
from strop.runs.pipeline import run_recipe
from strop.tasks.files import open_task

RECIPES = Path(__file__).parents[1] / "recipes"
SMALL = (
    "compute.dtype=float32", "stages.sft.train.max_steps=1", "stages.sft.data.0.count=8", "evals.general_chat.count=2",
    "stages.rl.rollout.prompts_per_step=2", "stages.rl.rollout.group_size=2", "stages.rl.rollout.max_tokens=8",
    "stages.rl.rollout.no_spread=keep", "stages.rl.train.max_steps=2", "stages.rl.train.warmup_steps=0",
    "stages.rl.rollout.keep_every=1",
)  # fmt: skip


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_loads_and_is_called_as_its_file(path):
    assert load_recipe(path).name == path.stem


def comes_back(recipe):
    """Whether it is the same when a run has written it into its folder, and reads it from there."""
    written = recipe.model_dump(mode="json")
    return (
        type(recipe).model_validate(yaml.safe_load(yaml.safe_dump(written, sort_keys=False))).model_dump(mode="json")
        == written
    )


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_written_in_full_is_the_same(path):
    """A run's config.yaml says everything, what is as by default too, and none of that is an offence."""
    assert comes_back(load_recipe(path))


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_of_reinforcement_learning_written_in_full_is_the_same(preset):
    stage = {"kind": "rl", "data": ["asked.jsonl"], "objective": {"preset": preset}}
    assert comes_back(Recipe.model_validate({"name": "one", "model": "m", "stages": {"rl": stage}}))


HUMANEVAL = {"task_id": "a/0", "prompt": "def f(x):\n", "entry_point": "f", "canonical_solution": "    return x\n",
             "test": "def check(f):\n    assert f(1) == 1\n"}  # fmt: skip
MBPP = {"task_id": 11, "text": "Add one.", "test_list": ["assert f(1) == 2"], "code": "def f(x): return x + 1"}
CHOICE = {"question": "Which?", "choices": ["this", "that"], "answer": 0}


@pytest.mark.parametrize("row", [HUMANEVAL, MBPP, CHOICE], ids=["humaneval", "mbpp", "choice"])
def test_what_is_left_to_the_layout_of_a_file_and_to_the_model_is_left_to_them_again(row, tmp_path):
    """Written in full, a task's own default would be one that somebody had set, or none of its settings."""
    file = tmp_path / "items.jsonl"
    file.write_text(json.dumps(row) + "\n")
    values = {"name": "one", "model": "m", "evals": {"own": {"path": str(file)}}, "stages": {"eval": {"kind": "eval"}}}
    first = Recipe.model_validate(values)
    again = Recipe.model_validate(yaml.safe_load(yaml.safe_dump(first.model_dump(mode="json"), sort_keys=False)))
    assert open_task("own", again.evals["own"]).settings == open_task("own", first.evals["own"]).settings
    assert again.chat.model_fields_set == first.chat.model_fields_set == set()


def run(name, model, folder, *overrides):
    given = [f"model={model}", f"folder={folder}", *SMALL, *overrides]
    return run_recipe(load_recipe(RECIPES / f"{name}.yaml", given), make_console(stderr=True))


def asked_in_training(folder):
    lines = [line for path in (folder / "rl/rollouts").iterdir() for line in path.read_text().splitlines()]
    return {json.loads(line)["messages"][-1]["content"] for line in lines}


def asked_in_measuring(folder, task):
    lines = (folder / f"eval/evals/{task}.jsonl").read_text().splitlines()
    return {json.loads(line)["prompt"] for line in lines}


def test_gsm8k_is_trained_with_the_question_that_is_measured(tmp_path, model_folder):
    for name, first in (("train", 0), ("test", 50)):
        rows = [{"question": f"{i} + 1?", "answer": f"It is {i + 1}.\n#### {i + 1}"} for i in range(first, first + 9)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    train, test = tmp_path / "train.jsonl", tmp_path / "test.jsonl"
    paths = [f"evals.gsm8k.path={test}", f"stages.sft.data.0.path={train}", f"stages.rl.data.0.path={train}"]
    small = ["evals.gsm8k.count=3", "evals.gsm8k.max_tokens=4"]
    summary = run("gsm8k_rl", model_folder, tmp_path / "run", *paths, *small)
    assert set(summary["gates"]) == {"general_chat_loss"}
    assert {"gsm8k_flexible_extract", "general_chat_loss"} <= set(summary["change"])
    trained, measured = asked_in_training(tmp_path / "run"), asked_in_measuring(tmp_path / "run", "gsm8k")
    assert len(measured) == 3
    assert not trained & measured
    assert len({text.partition("? ")[2] for text in trained | measured}) == 1  # the same sentence about the end


def test_code_basics_is_trained_on_other_families_than_it_is_measured_on(tmp_path, model_folder):
    small = ["evals.code_basics.count=3", "evals.code_basics.max_tokens=4", "evals.humaneval.count=2"]
    small += ["evals.humaneval.max_tokens=4", "stages.sft.data.1.count=2", "stages.sft.data.2.count=2"]
    small += [
        "stages.rl.data.0.count=8",
        "evals.sampled.count=3",
        "evals.sampled.max_tokens=4",
        "evals.sampled.samples=2",
    ]
    summary = run("code_basics_rl", model_folder, tmp_path, *small)
    assert set(summary["gates"]) == {"humaneval_pass@1", "general_chat_loss"}
    assert {"accepted@1", "pass_ratio", "humaneval_pass@1"} <= set(summary["change"])
    assert not asked_in_training(tmp_path) & asked_in_measuring(tmp_path, "code_basics")


def test_preference_trains_a_reward_model_and_the_model_on_pairs_of_the_run_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(RECIPES.parent)  # its tokenizer is a path
    small = [f"folder={tmp_path / 'run'}", "evals.reverse.count=8", "stages.sft.train.epochs=4"]
    small += ["stages.pairs.data.0.count=40", "stages.reward.train.epochs=1"]
    small += ["stages.dpo.train.epochs=1", "stages.dpo.train.global_batch_size=8"]
    summary = run_recipe(load_recipe(RECIPES / "preference.yaml", small), make_console(stderr=True))
    rows = [json.loads(line) for line in (tmp_path / "run/pairs/rows.jsonl").read_text().splitlines()]
    assert rows
    assert all(row["about_chosen"]["reward"] > row["about_rejected"]["reward"] for row in rows)
    assert (tmp_path / "run/reward/model/model.safetensors").is_file()
    assert "reverse_accuracy" in summary["change"]


def test_guide_goes_from_the_data_to_a_page_for_people(tmp_path, monkeypatch):
    monkeypatch.chdir(RECIPES.parent)  # its tokenizer is a path
    rl = ["rollout.prompts_per_step=4", "train.max_steps=2", "train.warmup_steps=0", "data.0.count=8"]
    small = [f"folder={tmp_path / 'run'}", "evals.reverse.count=8", "stages.sft.train.epochs=4"]
    small += ["stages.pairs.data.0.count=40", "stages.reward_model.train.epochs=1", "stages.data_quality.stop_at=never"]
    small += [f"stages.{name}.{one}" for name in ("ppo", "grpo") for one in rl]
    small += ["stages.ppo.rollout.keep_every=1", "stages.people.count=3"]
    summary = run_recipe(load_recipe(RECIPES / "guide.yaml", small), make_console(stderr=True))
    folder = tmp_path / "run"
    assert json.loads((folder / "data_quality/findings.json").read_text())["sets"]
    learned = [json.loads(line) for line in (folder / "ppo/rollouts/step-000001.jsonl").read_text().splitlines()]
    scores = [answer["parts"]["learned"] for row in learned for answer in row["answers"]]
    assert len(set(scores)) > 1  # of the reward model that the run itself trained
    assert (folder / "people/pairs.html").is_file()
    key = json.loads((folder / "people/pairs.key.json").read_text())
    assert {key["first"], key["second"]} == {str(folder / "after_sft"), str(folder / "eval")}
    assert "blind pairs" in summary["facts"]["people"]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("stages.data_quality.of=pairs", "trains on no conversations"),
        ("stages.data_quality.of=reward_model", "rows that pairs makes"),
        ("stages.data_quality.of=nothing", "is no stage of this recipe"),
        ("stages.people.of=[eval, after_sft, sft]", "people"),
        ("stages.people.of=[eval, eval]", "compared with itself"),
        ("stages.people.of=[eval, later]", "is no earlier stage"),
        ("stages.ppo.rewards.learned.stage=sft", "is no earlier stage that trains a model of scores"),
        ("stages.ppo.rewards.learned.path=there", "give either path"),
    ],
)
def test_stages_that_name_others_say_what_is_wrong_with_the_name(override, words):
    with pytest.raises(InputError, match=words):
        load_recipe(RECIPES / "guide.yaml", [override])
