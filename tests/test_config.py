"""Recipes: what is wrong is said with its place and its mend."""

from pathlib import Path

import pytest

from strop.common.errors import InputError
from strop.config import load_config
from strop.config.aliases import ALIASES
from strop.config.recipe import Recipe
from strop.config.shape import paths

GOOD = """\
name: x
model: smollm2-135m
stages:
  baseline: {kind: eval}
  sft:
    kind: sft
    data:
      - {task: general_chat}
    train:
      epochs: 1
"""
REWARDED = """\
name: x
model: smollm2-135m
stages:
  rl:
    kind: rl
    data: [{task: reverse}]
    rewards:
      mine: {kind: function}
"""
MINE = "stages.rl.rewards.mine.function"
PARTS = GOOD.replace("- {task: general_chat}", "parts: [{task: general_chat}]")
MEASURED = "evals={general_chat: {}}"


def load(tmp_path, text=GOOD, *overrides):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    return load_config(Recipe, path, overrides)


def test_overrides_reach_sections_lists_and_numbers(tmp_path):
    recipe = load(
        tmp_path, GOOD, MEASURED, "stages.sft.train.learning_rate=3e-5", "stages.sft.data.0.count=7", "name=y"
    )
    assert recipe.stages["sft"].train.learning_rate == 3e-5
    assert recipe.stages["sft"].data[0].count == 7
    assert recipe.name == "y"
    assert str(recipe.run_folder) == "runs/y"


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        (
            GOOD.replace("epochs", "epoch"),
            (),
            r"r\.yaml:10: unknown key 'stages.sft.train.epoch'; did you mean 'epochs'",
        ),
        (
            GOOD.replace("model:", "modell:"),
            (),
            r"r\.yaml:2: unknown key 'modell'; did you mean 'model'|r\.yaml:1: model",
        ),
        (GOOD.replace("kind: eval", "kind: evil"), (), r"r\.yaml:4: stages.baseline"),
        (GOOD.replace("epochs: 1", "epochs: -1"), (), r"r\.yaml:10: stages.sft.train.epochs: .*greater than 0"),
        (GOOD.replace("{task: general_chat}", "{}"), (), r"r\.yaml:8: stages.sft.data.0: give either `path`"),
        (GOOD + "evals:\n  trivia: {}\n", (), r"evals.trivia: not a built-in task"),
        ("a: [1", (), r"r\.yaml:1: not valid YAML"),
        ("? [a, b]\n: 1\n", (), r"r\.yaml:1: not valid YAML: found unhashable key"),
        ("- 1", (), r"expected `key: value` lines"),
        (GOOD, ("stages.sft.train.lr=1",), r"override 'stages.sft.train.lr=1': unknown key"),
        (GOOD, ("stages.sft.train.epochs=many",), r"override 'stages.sft.train.epochs=many'"),
        (GOOD, ("nonsense",), r"write section.key=value"),
        (GOOD, ("stages.sft.data.4.count=1",), r"no position in a list of 1"),
        (GOOD, ("name.x=1",), r"stands under a value"),
        (GOOD, ("stages.stf.train.epochs=1",), r"there is no stage 'stf'; the stages are baseline, sft\.$"),
        (GOOD, ("lr=1",), r"'lr'; here that is stages\.<name>\.train\.learning_rate\.$"),
        (
            GOOD.replace("kind: eval", "kind: evil"),
            (),
            r"'evil'; did you mean .eval.\? The kinds are blind, distill,.*tokenizer\.$",
        ),
        (
            GOOD.replace("kind: eval", ""),
            (),
            r"r\.yaml:4: stages.baseline: say what kind it is: `kind: blind` or `kind: distill` or `kind: ",
        ),
        (GOOD.replace("stages:", "stage:"), (), r"^\S*r\.yaml:3: unknown key 'stage'; did you mean 'stages'\?$"),
        (GOOD + "evals:\n  trivia: {count: 5}\n", (), r"r\.yaml:12: evals\.trivia: not a built-in task"),
        (GOOD + "evals:\n  gsmk8: {shots: 5}\n", (), r"r\.yaml:12: evals\.gsmk8: .*; did you mean 'gsm8k'\?$"),
        (GOOD + "evals:\n  my: {task: answerz, path: x}\n", (), r"evals\.my: 'answerz' .*; did you mean 'answers'\?$"),
        (GOOD + "evals:\n  gsm8k: {shotz: 5}\n", (), r"r\.yaml:12: .*'evals\.gsm8k\.shotz'; did you mean 'shots'\?$"),
        (GOOD + "evals:\n  gsm8k: {samples: 4, k: [8]}\n", (), r"evals\.gsm8k\.k: pass@8 needs as many answers"),
        (GOOD.replace("epochs: 1", "max_steps: 1.5"), (), r"max_steps: expected a whole number, found 1\.5\.$"),
        (GOOD.replace("epochs: 1", f"seed: {2**44}"), (), r"seed: must be less than 17592186044416, found 175921860"),
        (GOOD.replace("epochs: 1", "schedule: cos"), (), r"schedule: expected one of constant, linear, cosine, wsd, "),
        (GOOD.replace("      epochs: 1", ""), (), r"train: expected a section of `key: value` lines, found nothing\.$"),
        (GOOD.replace("epochs: 1", "packing: true"), (), r"'stages.sft.train.packing'; leave it out: rows are always "),
        (GOOD.replace("epochs: 1", "max_seq_length: 9"), (), r"max_seq_length'; here that is chat\.max_length\.$"),
        (REWARDED, (), r"^\S*r\.yaml:8: 'function' is missing in stages\.rl\.rewards\.mine"),
        (REWARDED, (f"{MINE}=a.py:f", f"{MINE[:-8]}weight=x"), r"stages\.rl\.rewards\.mine\.weight: expected a number"),
        (
            PARTS,
            ("stages.sft.data.columns={prompt: q}",),
            r"data\.columns: is said of a part, .* write parts\.0\.columns",
        ),
        (
            GOOD + "    lora:\n",
            (MEASURED,),
            r"^\S*r\.yaml:11: stages\.sft\.lora: nothing follows it; write lora: \{\} for its",
        ),
        (
            GOOD,
            (MEASURED, "stages.sft.lora="),
            r"^override 'stages\.sft\.lora=': stages\.sft\.lora: nothing follows it",
        ),
        ("", (), r"r\.yaml: holds nothing; a recipe has at least"),
        ("name: x\n---\nname: y\n", (), r"not valid YAML: but found another document"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path, text, overrides, message):
    with pytest.raises(InputError, match=message) as caught:
        load(tmp_path, text, *overrides)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "override"), [("lora: null", None), ("lora:", "stages.sft.lora.r=4"), ("seed: 1", None)]
)
def test_a_section_that_is_said_to_be_none_or_is_filled_by_an_override_is_taken(tmp_path, said, override):
    text = GOOD + ("    " if "lora" in said else "      ") + said + "\n"
    lora = load(tmp_path, text, MEASURED, *([override] if override else [])).stages["sft"].lora
    assert (lora and lora.r) == (4 if override else None)


def test_all_problems_are_said_at_once_in_the_order_of_the_file(tmp_path):
    text = GOOD.replace("epochs: 1", "batch_size: 3\n      lr: many\n      weight_decay: -1").replace(
        "model:", "modle:"
    )
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    assert str(caught.value).replace(f"{tmp_path}/", "").splitlines() == [
        "r.yaml:2: unknown key 'modle'; did you mean 'model'?",
        "r.yaml:10: unknown key 'stages.sft.train.batch_size'; did you mean 'global_batch_size'?",
        "r.yaml:11: unknown key 'stages.sft.train.lr'; did you mean 'learning_rate'?",
        "r.yaml:12: stages.sft.train.weight_decay: must be at least 0, found -1.",
    ]


def test_a_key_that_stands_twice_is_an_error_with_both_lines(tmp_path):
    text = GOOD + "      max_steps: 3\n      epochs: 2\n  baseline: {kind: eval}\n"
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    assert str(caught.value).replace(f"{tmp_path}/", "").splitlines() == [
        "r.yaml:13: 'stages.baseline' stands twice, here and in line 4; keep one, or give one another name.",
        "r.yaml:12: 'stages.sft.train.epochs' stands twice, here and in line 10; keep one, or give one another name.",
    ]


def test_a_merged_section_is_no_key_that_stands_twice(tmp_path):
    text = GOOD.replace("baseline: {kind: eval}", "baseline: &eval {kind: eval}") + "  after:\n    <<: *eval\n"
    assert list(load(tmp_path, text, MEASURED).stages) == ["baseline", "sft", "after"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("my.jsonl", {"path": Path("my.jsonl")}),
        ("{path: my.jsonl, count: 3}", {"path": Path("my.jsonl"), "count": 3}),
        ("[a.jsonl]", {"path": Path("a.jsonl")}),
        ("task:general_chat", {"task": "general_chat"}),
        ("openai/gsm8k", {"hub": "openai/gsm8k"}),
        ("data/gsm8k.jsonl", {"path": Path("data/gsm8k.jsonl")}),
    ],
)
def test_a_part_may_be_its_name_alone(tmp_path, data, expected):
    recipe = load(tmp_path, GOOD.replace("\n      - {task: general_chat}", f" {data}"), MEASURED)
    [part] = recipe.stages["sft"].mixture.parts
    assert part.model_dump(exclude_defaults=True) == expected


def test_every_foreign_name_leads_to_a_setting_that_there_is():
    known = set()
    for path in paths(Recipe):
        known |= {path[-1], ".".join(path[-2:])}
    wrong = {target for targets in ALIASES.values() for target in targets} - known
    assert wrong == set()


@pytest.mark.parametrize("name", ["lr", "batch_size", "eval_steps", "save_steps", "num_train_epochs", "optim"])
def test_names_of_other_tools_are_understood_where_the_setting_stands(tmp_path, name):
    with pytest.raises(InputError, match=rf"unknown key 'stages.sft.train.{name}'; did you mean '\w+'\?"):
        load(tmp_path, GOOD.replace("epochs", name))


def test_a_missing_recipe(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_config(Recipe, tmp_path / "none.yaml")


def test_rows_are_asked_only_of_a_stage_that_leaves_some(tmp_path):
    sample = "  sample: {kind: sample, data: [{task: gsm8k}], keep: passing}\n"
    recipe = load(tmp_path, GOOD.replace("  sft:\n", f"{sample}  sft:\n"), MEASURED)
    assert recipe.rows_of("sample") == Path("runs/x/sample/rows.jsonl")
    with pytest.raises(InputError, match=r"stages\.sft: leaves no rows"):
        recipe.rows_of("sft")


def refusal(tmp_path, text, *overrides):
    with pytest.raises(InputError) as refused:
        load(tmp_path, text, *overrides)
    return str(refused.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("stages.sft.train.weight_decay", "true"),
        ("stages.sft.train.aux_loss", "yes"),
        ("stages.sft.train.max_steps", "true"),
        ("stages.sft.train.checkpoint_every", "true"),
        ("stages.sft.train.seed", "false"),
        ("stages.sft.lora.r", "true"),
        ("stages.sft.data.0.weight", "true"),
        ("evals.general_chat.count", "true"),
        ("chat.max_length", "true"),
    ],
)
def test_true_and_false_are_no_numbers(tmp_path, key, value):
    found = {"yes": "true"}.get(value, value)
    said = f"override '{key}={value}': {key}: expected a number, found {found}."
    assert refusal(tmp_path, GOOD, MEASURED, f"{key}={value}") == said


def test_true_and_false_in_a_file_are_said_with_the_other_problems(tmp_path):
    text = GOOD.replace("epochs: 1", "epochs: false\n      weight_decay: true\n      lr: 1")
    lines = refusal(tmp_path, text).splitlines()
    assert [line.partition(": ")[2] for line in lines] == [
        "stages.sft.train.epochs: expected a number, found false.",
        "stages.sft.train.weight_decay: expected a number, found true.",
        "unknown key 'stages.sft.train.lr'; did you mean 'learning_rate'?",
    ]


def test_true_stays_where_it_is_one_of_the_values(tmp_path):
    given = ("dft=true", "gradient_checkpointing=true", "compile=false")
    free = "chat.template_kwargs={enable_thinking: false}"
    recipe = load(tmp_path, GOOD, MEASURED, free, *(f"stages.sft.train.{one}" for one in given))
    train = recipe.stages["sft"].train
    assert (train.dft, train.gradient_checkpointing, train.compile) == (True, True, False)
    assert recipe.chat.template_kwargs == {"enable_thinking": False}


RL = """\
name: x
model: smollm2-135m
stages:
  rl:
    kind: rl
    data: [{task: reverse}]
    rewards: {right: {kind: task}}
"""


@pytest.mark.parametrize(
    ("text", "given", "said"),
    [
        (GOOD, "stages.sft.train.checkpoint_every=0", "must be at least 1 or auto, found 0."),
        (GOOD, "stages.sft.train.checkpoint_every=often", "expected a whole number or auto, found 'often'."),
        (RL, "stages.rl.train.eval_every=3", "leave it out. There is no evaluation loss here: measure tasks."),
    ],
)
def test_what_may_be_one_thing_or_another_is_one_sentence(tmp_path, text, given, said):
    assert refusal(tmp_path, text, given) == f"override '{given}': {given.partition('=')[0]}: {said}"


@pytest.mark.parametrize("key", ["epochs", "global_batch_size", "neftune_alpha"])
def test_a_key_of_another_kind_of_stage_is_not_what_was_meant(tmp_path, key):
    said = refusal(tmp_path, RL, f"stages.rl.train.{key}=2")
    assert f"unknown key 'stages.rl.train.{key}'" in said
    assert "did you mean" not in said
    assert f"stages.<name>.train.{key}" not in said
