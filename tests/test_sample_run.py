"""Sampling data as a user has it: the verb, rows that the stages after it train on, what is refused beforehand."""

import json

import pytest

from strop.cli import main
from strop.common.console import make_console
from strop.common.errors import Halted, InputError
from strop.config.load import load_values
from strop.config.recipe import Recipe, load_recipe, stage_recipe
from strop.evals.partial import Partial
from strop.rollout.torch_engine import TorchEngine
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


TRAINED = {"kind": "sft", "data": [{"stage": "sample"}], "train": {"max_steps": 1}}


def pipeline(model, *overrides, sampled=None, **stages):
    """A recipe that samples and then does ``stages``."""
    own = {"rewards": {"l": {"kind": "function", "function": "mine.py:letters"}}, "threshold": 1, "keep": "all"}
    first = {"kind": "sample", "data": ["sums.jsonl"], "rollout": {"group_size": 6, "max_tokens": 8}, **own}
    content = {"name": "both", "model": str(model), "compute": {"dtype": "float32"}}
    content["stages"] = {"sample": {**first, **(sampled or {})}, **stages}
    return load_values(Recipe, content, overrides, "test")


def test_a_later_stage_of_the_recipe_trains_on_the_rows(here, model_folder, capsys):
    run(pipeline(model_folder, sft=TRAINED))
    run(recipe(model_folder, "name=alone", *LETTERS, "threshold=1", "keep=all"))
    data = ["--data", "runs/alone/sample/rows.jsonl", "train.max_steps=1", "compute.dtype=float32"]
    assert main(["sft", str(model_folder), *data]) == 0
    one, other = (here / f"runs/{name}/sft/model/model.safetensors" for name in ("both", "sft"))
    assert one.read_bytes() == other.read_bytes()
    capsys.readouterr()
    run(pipeline(model_folder, sft=TRAINED))
    assert capsys.readouterr().err.count("skipped") == 2
    run(pipeline(model_folder, "stages.sample.rollout.seed=1", sft=TRAINED))
    assert "sft: done again, since the rows that it reads are others" in capsys.readouterr().err
    assert one.read_bytes() != other.read_bytes()


def test_held_out_rows_of_a_stage_and_pairs_of_one_among_other_data(here, model_folder):
    own = [{"prompt": f"{i}", "chosen": "b", "rejected": "c"} for i in range(5)]
    (here / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in own))
    dpo = {"kind": "preference", "data": [{"stage": "sample"}, "pairs.jsonl"], "train": {"max_steps": 1}}
    run(pipeline(model_folder, sampled={"as": "pairs"}, dpo={**dpo, "eval_data": {"fraction": 0.3}}))
    assert (here / "runs/both/dpo/model/config.json").is_file()


@pytest.mark.parametrize(
    ("sampled", "stages", "words"),
    [
        ({}, {"dpo": {**TRAINED, "kind": "preference"}}, "dpo: data: trains on pairs, and stage sample leaves conver"),
        ({"as": "pairs"}, {"sft": TRAINED}, "sft: data: trains on conversations, and stage sample leaves pairs"),
        ({}, {"sft": {**TRAINED, "data": [{"stage": "smaple"}]}}, r"'smaple' is no earlier stage .*\(sample\)"),
        ({}, {"sft": {**TRAINED, "data": [{"stage": "sft"}]}}, "'sft' is no earlier stage"),
        ({}, {"sft": {**TRAINED, "data": [{"stage": "sample", "path": "x"}]}}, "give either"),
    ],
)
def test_what_is_known_of_the_rows_beforehand_is_said_beforehand(here, model_folder, sampled, stages, words):
    with pytest.raises(InputError, match=words):
        pipeline(model_folder, sampled=sampled, **stages)


def test_rows_that_are_not_there_yet_are_told_of_by_who_wants_to_look_at_them(here, model_folder):
    one = pipeline(model_folder, sft=TRAINED)
    with pytest.raises(InputError, match=r"stages\.sft\.data: the rows of stage sample are not there yet"):
        one.examined()
    run(one)
    assert one.examined()["sft"].mixture.parts[0].path == one.run_folder / "sample/rows.jsonl"


def test_a_sampling_that_is_cut_off_goes_on_at_the_answer_where_it_was(here, model_folder, monkeypatch):
    """Batches of two prompts; the power goes at the third answer of the second batch."""
    given = [*LETTERS, "threshold=1", "keep=all", "compute.max_rows=3"]
    run(recipe(model_folder, "name=whole", *given))
    real, kept, asked = Partial.add, [], []

    def add(self, *what):
        real(self, *what)
        kept.append(what)
        if len(kept) == 15:
            raise SystemError("the power went")

    with monkeypatch.context() as patch:
        patch.setattr(Partial, "add", add)
        with pytest.raises(SystemError):
            run(recipe(model_folder, "name=cut", *given))
    generate = TorchEngine.generate

    def counted(self, requests, *arguments, **named):
        asked.append(len(requests))
        return generate(self, requests, *arguments, **named)

    monkeypatch.setattr(TorchEngine, "generate", counted)
    run(recipe(model_folder, "name=cut", *given))
    assert sum(asked) in (2, 3)  # of five prompts: the first batch is done, and perhaps the first prompt of the second
    assert sampled(here, "cut") == sampled(here, "whole")
    told = [json.loads((here / f"runs/{name}/sample/sampling.json").read_text()) for name in ("cut", "whole")]
    assert all(one.pop("seconds") >= 0 for one in told)
    assert told[0] == told[1]
    assert not (here / "runs/cut/sample/batches").exists()
