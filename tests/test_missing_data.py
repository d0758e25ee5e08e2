"""Data of a recipe that cannot be had: named all at once, and left out only where that is allowed."""

import json

import pytest
import yaml

from strop.common.console import make_console
from strop.common.errors import InputError
from strop.config.recipe import load_recipe
from strop.data import keys
from strop.runs import missing as module
from strop.runs.missing import missing, without
from strop.runs.pipeline import run_recipe

CHAT = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Without a hub."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chat.jsonl").write_text((json.dumps(CHAT) + "\n") * 4)

    class Api:
        def dataset_info(self, name, revision=None):
            raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    module._asked.cache_clear()
    return tmp_path


def recipe(here, model, **more):
    stage = {
        "kind": "sft",
        "data": [{"path": "chat.jsonl"}, {"path": "nowhere.jsonl"}, {"hub": "some/chats"}, {"task": "arc_easy"}],
        "eval_data": [{"path": "lost.jsonl"}],
        "train": {"max_steps": 1, "eval_every": 1, "tasks": ["mmlu", "general_chat"], "tasks_every": 1},
    }
    content = {
        "name": "small", "model": str(model), "compute": {"dtype": "float32"},
        "evals": {"general_chat": {"count": 2}, "mmlu": {}, "mine": {"task": "answers", "path": "gone.jsonl"}},
        "gates": {"chat_loss": {"max_rise": "50%"}, "mmlu.acc": {"max_drop": 0.1}},
        "stages": {"sft": {**stage, **more}, "eval": {"kind": "eval"}},
    }  # fmt: skip
    (here / "recipe.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return load_recipe(here / "recipe.yaml")


GONE = [
    "evals.mmlu",
    "evals.mine",
    "stages.sft.data.1",
    "stages.sft.data.2",
    "stages.sft.data.3",
    "stages.sft.eval_data.0",
]


def test_everything_that_cannot_be_had_is_found_and_the_rest_is_not(here, model_folder):
    assert [str(one).partition(": ")[0] for one in missing(recipe(here, model_folder))] == GONE


def test_all_of_it_is_named_at_once_and_what_could_be_done(here, model_folder):
    with pytest.raises(InputError) as raised:
        run_recipe(recipe(here, model_folder), make_console(stderr=True))
    lines = str(raised.value).splitlines()
    assert [line.partition(": ")[0] for line in lines] == GONE
    assert "--allow-missing" in lines[-1]
    assert not (here / "runs/small/sft").exists()


def test_one_thing_alone_is_said_as_ever(here, model_folder):
    one = recipe(here, model_folder, data=["nowhere.jsonl"], eval_data=[], train={"max_steps": 1})
    one = one.model_copy(update={"evals": {"general_chat": one.evals["general_chat"]}, "gates": {}})
    with pytest.raises(InputError) as raised:
        run_recipe(one, make_console(stderr=True))
    assert str(raised.value).startswith("nowhere.jsonl: there is no such file")
    assert "--allow-missing" not in str(raised.value)  # nothing would be left to train on
    with pytest.raises(InputError, match=r"cannot run \(stages\.sft\.data: give at least one part"):
        run_recipe(one, make_console(stderr=True), allow_missing=True)


def test_the_run_goes_without_it_and_says_so(here, model_folder, capsys):
    summary = run_recipe(recipe(here, model_folder), make_console(stderr=True), allow_missing=True)
    said = capsys.readouterr().err.replace("\n", " ")
    also = ["stages.sft.train.tasks.mmlu", "stages.sft.train.eval_every", "gates.mmlu.acc"]
    assert said.count("left out (--allow-missing)") == len([*GONE, *also])
    notes = [note.split(": ")[1] for note in summary["notes"] if note.startswith("Left out")]
    assert notes == [*GONE, *also]
    assert set(summary["gates"]) == {"general_chat_loss"}
    rows = [json.loads(line) for line in (here / "runs/small/sft/metrics.jsonl").read_text().splitlines()]
    assert any("tasks/general_chat_loss" in row for row in rows)
    assert not any("eval_loss" in row for row in rows)


def test_where_nothing_would_be_left_it_is_refused(here, model_folder):
    one = recipe(here, model_folder, data=[{"path": "nowhere.jsonl"}])
    with pytest.raises(InputError, match=r"(?s)nowhere.jsonl.*without these the recipe cannot run"):
        without(one, missing(one))


def test_the_hub_is_asked_once_for_each_data_set(here, model_folder, monkeypatch):
    asked = []
    asked = []
    monkeypatch.setattr(module, "hub_commit", lambda name, revision: asked.append(name) or "0" * 40)
    assert len(missing(recipe(here, model_folder))) == 3  # the files
    missing(recipe(here, model_folder))
    assert sorted(asked) == ["allenai/ai2_arc", "cais/mmlu", "some/chats"]


def test_a_commit_that_is_named_in_full_needs_no_hub(here):
    assert keys.hub_commit("some/chats", "a" * 40) == "a" * 40
