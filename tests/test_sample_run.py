"""Sampling data as a user has it: the verb, rows that the stages after it train on, what is refused beforehand."""

import json

import pytest

from strop.cli import main
from strop.common.console import make_console
from strop.common.errors import Halted, InputError
from strop.config.recipe import load_recipe, stage_recipe
from strop.runs.pipeline import run_recipe

REWARD = "def letters(samples):\n    return [sum(c in 'aeiou' for c in s.answer) for s in samples]\n"
LETTERS = ["rewards={l: {kind: function, function: 'mine.py:letters'}}", "threshold=3"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"question": f"What is {i} and 1?", "answer": str(i + 1)} for i in range(5)]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "mine.py").write_text(REWARD)
    return tmp_path


def recipe(model, *overrides, data=("sums.jsonl",)):
    stage = {"kind": "sample", "data": list(data), "rollout": {"group_size": 6, "max_tokens": 8}}
    return stage_recipe("sample", str(model), stage, ["compute.dtype=float32", *overrides])


def run(one, **how):
    return run_recipe(one, make_console(stderr=True), **how)


def sampled(here, name="sample"):
    return [json.loads(line) for line in (here / f"runs/{name}/sample/rows.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("layout", "training"),
    [
        ("conversations", ["sft"]),
        ("pairs", ["dpo"]),
        ("labelled", ["dpo", "objective.type=kto"]),
    ],
)
def test_rows_are_what_the_next_command_trains_on(here, model_folder, layout, training):
    model = str(model_folder)
    small = ["rollout.group_size=6", "rollout.max_tokens=8", "compute.dtype=float32", "rollout.top_p=0.95"]
    keep = f"as={layout}", "keep=all", "compute.max_rows=5"  # several batches
    assert main(["sample", model, "--data", "sums.jsonl", *LETTERS, *small, *keep]) == 0
    rows = sampled(here)
    counts = json.loads((here / "runs/sample/sample/sampling.json").read_text())
    assert (counts["prompts"], counts["answers"], counts["rows"]) == (5, 30, len(rows))
    assert {row["origin"] for row in rows} <= {f"sums.jsonl:{i + 1}" for i in range(5)}
    for row in rows:
        for side in ("completion", "chosen", "rejected"):
            if side in row:
                about = row if side == "completion" else row[f"about_{side}"]
                assert about["reward"] == about["parts"]["l"] == sum(c in "aeiou" for c in row[side][0]["content"])
        if layout == "labelled":
            assert row["label"] == (row["reward"] >= 3)
    verb, *more = training
    data = ["--data", "runs/sample/sample/rows.jsonl", "train.max_steps=1", "compute.dtype=float32", *more]
    assert main([verb, model, *data]) == 0
    config = (here / "runs/sample/sample/config.yaml").read_text()
    (here / "again.yaml").write_text(config)  # a run's own settings are a recipe
    assert load_recipe(here / "again.yaml").stages["sample"].layout == layout
    assert run(load_recipe(here / "again.yaml"))["facts"]["sample"]["rows"] == len(rows)  # done before


def test_answers_depend_on_the_seed_and_not_on_what_is_asked_beside(here, model_folder):
    many = [*LETTERS, "keep=all"]
    run(recipe(model_folder, *many, "name=a"))
    run(recipe(model_folder, *many, "name=b", "compute.max_rows=6"))  # other batches
    run(recipe(model_folder, *many, "name=c", "rollout.seed=1"))
    run(recipe(model_folder, *many, "name=d", data=[{"path": "sums.jsonl", "count": 2}]))
    a, b, c, d = (sampled(here, name) for name in "abcd")
    assert a == b
    assert [row["completion"] for row in a] != [row["completion"] for row in c]
    assert d == [row for row in a if row["origin"] in ("sums.jsonl:1", "sums.jsonl:2")]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["as=pairs", "rollout.group_size=1"], "as: pairs compares answers"),
        (["as=labelled", "keep=passing"], "leaves no unwanted answer"),
        (["min_margin=0.5"], "min_margin is of pairs"),
        (["most_per_prompt=2"], "most_per_prompt does nothing"),
        (["rollout.temperature=0"], "temperature 0 gives the same answer 6 times"),
        (["rollout.prompts_per_step=2"], "prompts_per_step"),
        (["as=tables"], r"stages\.sample\.as"),
    ],
)
def test_settings_that_do_nothing_or_contradict_each_other_are_refused(here, model_folder, settings, words):
    with pytest.raises(InputError, match=words):
        recipe(model_folder, *settings)


@pytest.mark.parametrize(
    ("data", "settings", "words"),
    [
        ({"path": "sums.jsonl", "truth": "none"}, [], "there is no ground truth"),
        ("sums.jsonl", ["rewards={t: {kind: task}}"], "no reward applies to this prompt"),
        ("sums.jsonl", ["rollout.max_tokens=4000"], "the model's window holds"),
        ("gone.jsonl", [], "there is no such file"),
    ],
)
def test_what_would_stop_it_is_refused_before_it_begins(here, model_folder, data, settings, words):
    one = recipe(model_folder, *settings, data=[data])
    with pytest.raises(InputError, match=words):
        run(one)
    assert not (here / "runs/sample/sample").exists()


def test_no_row_and_failing_rewards_end_the_run_and_say_why(here, model_folder):
    with pytest.raises(InputError, match=r"no row is left \(prompts: 5, answers: 30, rows: 0, passing: 0"):
        run(recipe(model_folder, *LETTERS, "keep=passing", "threshold=1000"))
    (here / "mine.py").write_text("def letters(samples):\n    raise KeyError('x')\n")
    with pytest.raises(Halted, match=r"30 of 30 answers have no reward; the first: rewards\.l: .*KeyError"):
        run(recipe(model_folder, *LETTERS, "name=other"))
    assert not (here / "runs/other/sample/rows.jsonl").exists()
