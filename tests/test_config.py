"""Recipes: what is wrong is said with its place and its mend."""

import pytest

from strop.config import load_config
from strop.errors import InputError
from strop.recipe import Recipe

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


def load(tmp_path, text=GOOD, *overrides):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    return load_config(Recipe, path, overrides)


def test_overrides_reach_sections_lists_and_numbers(tmp_path):
    recipe = load(tmp_path, GOOD, "stages.sft.train.learning_rate=3e-5", "stages.sft.data.0.count=7", "name=y")
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
        (GOOD + "evals:\n  mmlu: {}\n", (), r"evals.mmlu: not a built-in task"),
        ("a: [1", (), r"r\.yaml:1: not valid YAML"),
        ("- 1", (), r"expected `key: value` lines"),
        (GOOD, ("stages.sft.train.lr=1",), r"override 'stages.sft.train.lr=1': unknown key"),
        (GOOD, ("stages.sft.train.epochs=many",), r"override 'stages.sft.train.epochs=many'"),
        (GOOD, ("nonsense",), r"write section.key=value"),
        (GOOD, ("stages.sft.data.4.count=1",), r"no position in a list of 1"),
        (GOOD, ("name.x=1",), r"stands under a value"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path, text, overrides, message):
    with pytest.raises(InputError, match=message) as caught:
        load(tmp_path, text, *overrides)
    assert "\n" not in str(caught.value)


def test_a_missing_recipe(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_config(Recipe, tmp_path / "none.yaml")
