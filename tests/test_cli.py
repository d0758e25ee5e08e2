"""The command line says what it can do, and what is wrong, without a traceback."""

import json
import re
import shlex
import subprocess
import sys

import pytest

from strop.cli import STAGE_VERBS, _parser, main
from strop.config.recipe import stage_recipe


def test_without_a_verb_the_first_steps_are_shown(capsys):
    with pytest.raises(SystemExit) as caught:
        main([])
    assert not caught.value.code
    said = capsys.readouterr().out
    for command in ("strop demo", "strop run reverse", "strop sft MODEL --data my.jsonl", "strop --help"):
        assert command in said


def test_a_built_in_recipe_is_found_by_its_name_from_anywhere(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "revers"]) == 2
    assert "reverse" in capsys.readouterr().err
    assert main(["run", "reverse", "stages.rl.train.max_stepz=1"]) == 2
    assert "did you mean 'max_steps'" in capsys.readouterr().err
    for verb in ("doctor", "inspect"):
        assert main([verb, "from_scratch", "stages.sft.trainn.seed=1"]) == 2
        assert "did you mean 'train'" in capsys.readouterr().err
    (tmp_path / "reverse.yaml").write_text("name: 1 2\n")  # what is there goes first
    assert main(["run", "reverse.yaml"]) == 2
    assert "reverse.yaml:1: 'model' is missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["demmo"], "strop: there is no verb 'demmo'; did you mean 'demo'?"),
        (["my.yaml"], "strop: there is no verb 'my.yaml'; to run a recipe: strop run my.yaml"),
        (["run"], "strop run: give recipe: path of the recipe; of a run folder, which is run as it was"),
        (["chat"], "strop chat: give model: folder, run folder, hub id, .gguf file or smollm2-135m"),
        (["run", "a.yaml", "--frehs"], "strop run: there is no option --frehs; did you mean --fresh?"),
        (["run", "a.yaml", "--frehs=1", "name=y"], "strop run: there is no option --frehs; did you mean --fresh?"),
        (
            ["run", "a.yaml", "--lr", "1"],
            "there is no option --lr, but --allow-missing, --continue, --fresh, --help, --json, --open, --profile, ",
        ),
        (["run", "a.yaml", "--lr", "1"], "settings are written key=value, without dashes"),
        (["chat", "m", "more"], "strop chat: nothing is known of 'more'; what it takes besides options: model"),
        (["chat", "m", "--top", "1", "--keeep"], "strop chat: there is no option --keeep; did you mean --keep?"),
        (
            ["report", "r", "--lr"],
            "strop report: there is no option --lr, but --help, --json, --md, --open, --out\nexample: strop report",
        ),
        (["--jason"], "strop: there is no option --jason, but --help, --version"),
        (["run", "a.yaml", "--fresh", "--continue"], "argument --continue: not allowed with argument --fresh"),
    ],
)
def test_bad_usage_exits_with_2_and_shows_an_example(arguments, said, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert "usage: strop" in err
    assert said in err
    assert "example" in err or arguments[:1] in (["demmo"], ["my.yaml"], ["--jason"])


def test_a_missing_recipe_is_one_line(capsys):
    assert main(["run", "nowhere.yaml"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("strop: nowhere.yaml: there is no such file; give the path of a recipe (YAML), or a built-")
    assert line.endswith("trl_full, trl_lora, verl_code.")


def test_several_problems_are_several_lines(capsys, tmp_path):
    recipe = tmp_path / "r.yaml"
    recipe.write_text("nme: x\nmodel: m\nstages: {a: {kind: evil}}\n")
    assert main(["run", str(recipe)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"strop: {recipe}:") for line in lines)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            "ppo m --data d.jsonl objective.preset=grpo",
            "strop ppo: objective: grpo with advantage group_mean learns no",
        ),
        ("ppo m --data d.jsonl objective.preset=reinforce", "which is `strop grpo`"),
        ("grpo m --data d.jsonl objective.preset=ppo", "strop grpo: objective: ppo with advantage gae learns values"),
        ("grpo m --data d.jsonl kind=sft", "override 'kind=sft': strop grpo is one stage of kind rl"),
        ("sft m --data d.jsonl stages.more.kind=eval", "strop sft is one stage of kind sft"),
        ("dpo m --data d.jsonl model=other", "override 'model=other': the model is the one after `strop dpo`"),
        ("rm m --data d.jsonl data=other.jsonl", "override 'data=other.jsonl': the data are given by --data"),
        ("eval m --tasks reverse model=other", "override 'model=other': the model is the one after `strop eval`"),
        ("eval m --tasks reverse --out a folder=b", "override 'folder=b': the folder is given by --out"),
        ("eval m --tasks reverse stages.eval.kind=sft", "strop eval is one stage of kind eval"),
        ("doctor d.jsonl --model m model=other", "override 'model=other': the model is given by --model"),
        ("inspect r.yaml --model m model=other", "override 'model=other': --model says it"),
        ("inspect d.jsonl --model m --template t chat.template=u", "override 'chat.template=u': --template says it"),
    ],
)
def test_what_contradicts_the_verb_is_refused_in_one_line(arguments, said, capsys):
    """Both would be taken, and one of them read."""
    assert main(arguments.split()) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert said in line


@pytest.mark.parametrize("preset", ["reinforce", "rloo", "dr_grpo", "dapo", "gspo", "cispo"])
def test_grpo_is_the_verb_of_every_preset_without_values(preset):
    data = {"kind": "rl", "data": ["d.jsonl"]}
    assert stage_recipe("grpo", "m", data, [f"objective.preset={preset}"]).stages["grpo"].objective.preset == preset


def test_a_report_of_nothing_is_one_line(capsys, tmp_path):
    assert main(["report", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "summary.json is missing" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "nowhere.yaml"],
        ["doctor", "nowhere.jsonl", "--model", "nowhere"],
        ["inspect", "nowhere.jsonl", "--model", "nowhere"],
        ["chat", "nowhere", "--prompt", "x"],
        ["report", "nowhere"],
        ["demo", "nothing=1"],
    ],
)
def test_with_json_an_error_is_one_object_too(arguments, capsys):
    assert main([*arguments, "--json"]) == 2
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert told["exit_code"] == 2
    assert [f"strop: {line}" for line in told["error"].splitlines()] == said.err.splitlines()


def test_wrong_usage_with_json_is_one_object(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "strop", "run", "--json"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2
    assert json.loads(done.stdout) == {
        "error": "strop run: give recipe: path of the recipe; of a run folder, which is run as it was",
        "exit_code": 2,
    }


def test_an_encoding_without_the_character_is_no_traceback(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "strop", "run", "名前 … [/x].yaml"],
        capture_output=True,
        text=True,
        env={"PYTHONIOENCODING": "ascii", "PATH": ""},
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("strop: \\u540d\\u524d \\u2026 [/x].yaml: there is no such file")


def test_the_module_is_the_command():
    out = subprocess.run([sys.executable, "-m", "strop", "--help"], capture_output=True, text=True, check=True).stdout
    for verb in ("demo", "run", "chat", "report"):
        assert verb in out


@pytest.mark.parametrize("verb", STAGE_VERBS)
def test_the_example_of_a_training_verb_makes_a_recipe(verb, capsys):
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    [example] = re.findall(r"^example: strop (.*)$", capsys.readouterr().out, re.MULTILINE)
    options = _parser().parse_args(shlex.split(example))
    stage = {"kind": options.kind, "data": options.data, **options.settings}
    assert stage_recipe(verb, options.model, stage, options.overrides).stages
