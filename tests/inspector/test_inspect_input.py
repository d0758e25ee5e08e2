"""What DATA, --model and --tokenizer may be, and one sentence with exit code 2 for what they may not."""

import json
import subprocess
import sys

import pytest

from strop.cli import main


def test_bad_rows_are_listed_and_the_rest_is_shown(inspect, data, turns):
    user, assistant = turns
    path = data([user("hi"), assistant("hello")], "{not json \x1b[31m", [user("hi")], [user("hi"), assistant("there")])
    code, out, _ = inspect(path)
    assert code == 3
    assert "nothing unusual met" not in out
    assert "3 · " in out
    assert "2 rows of 4 rejected" in out
    assert f"{path}:2: not JSON" in out
    assert f"{path}:3" in out
    assert "\x1b" not in out


def test_nothing_but_bad_rows_is_an_error(inspect, data, turns):
    user, _ = turns
    code, out, err = inspect(data([user("hi")], [user("hi")]))
    assert (code, out) == (2, "")
    assert err.startswith("strop: none of the rows can be used; the first: ")
    assert err.count("\n") == 1


def test_questions_without_a_header_are_not_miscounted(inspect, tmp_path):
    path = tmp_path / "anatomy_dev.csv"
    path.write_text("".join(f"Which is {n}?,1,2,3,4,{letter}\n" for n, letter in enumerate("ABCD")))
    code, _, err = inspect(path)
    assert code == 2
    assert "(without a header, so that its first question was taken for one)" in err
    assert "3 rows" not in err


def test_a_recipe_brings_data_and_chat_settings(inspect, data, turns, tmp_path, tokenizer_folder):
    user, assistant = turns
    path = data([user("hi"), assistant("hello"), user("hi"), assistant("there")])
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"name: x\nmodel: nowhere\nchat: {{train_on: last}}\nstages:\n  first:\n    kind: sft\n    data:\n"
        f"      - {{path: {path}}}\n      - {{task: general_chat, count: 1}}\n"
    )
    code, out, _ = inspect(recipe, "--json")
    first, second = json.loads(out)["conversations"]
    assert code == 0
    assert "".join(s["text"] for s in first["segments"] if s["trained"]) == "there<|im_end|>"
    assert (second["index"], second["place"]) == (1, "general_chat/train.jsonl:1")


@pytest.mark.parametrize("tokenizer", ["characters", None, "tokenizer.json"])
def test_the_recipe_of_a_new_model_is_shown_as_it_will_be_trained(
    inspect, data, turns, tmp_path, tokenizer_folder, monkeypatch, tokenizer
):
    monkeypatch.setenv("STROP_CACHE", str(tmp_path / "cache"))
    user, assistant = turns
    place = tokenizer_folder / tokenizer if tokenizer == "tokenizer.json" else tokenizer
    new = {"model_type": "llama", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        json.dumps(
            {
                "name": "x",
                "model": {"new": {**new, "intermediate_size": 32}, "tokenizer": place and str(place)},
                "chat": {"template": "chatml"},
                "stages": {"first": {"kind": "sft", "data": [str(data([user("hi"), assistant("hello")]))]}},
            }
        )
    )
    code, out, err = inspect(recipe, "--json")
    assert code == 0, err
    (shown,) = json.loads(out)["conversations"]
    assert "".join(s["text"] for s in shown["segments"] if s["trained"]) == "hello<|im_end|>"


def test_a_recipe_without_sft_has_nothing_to_show(inspect, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("name: x\nmodel: m\nevals: {general_chat: {}}\nstages: {first: {kind: eval}}\n")
    code, _, err = inspect(recipe)
    assert code == 2
    assert "none of its stages trains on conversations" in err


def test_other_formats_of_rows_and_files(inspect, tmp_path):
    (tmp_path / "data.csv").write_text("question,answer\nhi,hello\n")
    code, out, _ = inspect(tmp_path / "data.csv", "--json")
    [one] = json.loads(out)["conversations"]
    assert code == 0
    assert one["place"] == f"{tmp_path}/data.csv, row 1"
    assert "".join(segment["text"] for segment in one["segments"] if segment["trained"]) == "hello<|im_end|>"


def test_a_named_set(inspect):
    code, out, _ = inspect("task:code_basics", "--count", 2, "--json")
    assert code == 0
    assert [one["place"][:12] for one in json.loads(out)["conversations"]] == ["code_basics["] * 2


@pytest.mark.parametrize(
    ("path", "options", "says"),
    [
        ("nowhere.jsonl", [], "there is no such file"),
        ("task:nope", [], "there is no data set named 'nope'; known: arc_challenge"),
        (None, ["--tokenizer", "nowhere"], "There is no model 'nowhere'"),
        (None, ["--stop", "<|nope|>"], "no token '<|nope|>'"),
        (None, ["--template", "chatm"], "did you mean chatml?"),
        (None, ["--template", "{% for m in"], "does not compile"),
        (None, ["--index", "7"], "the data has 1 rows"),
        (None, ["--place", ":7"], "no row's place has that in it"),
        (None, ["--count", "0"], "at least one"),
        (None, ["--model", "m"], "not both"),
        (None, ["--json", "--html", "x"], "give one of them"),
        (None, ["chat.train_onn=last"], "did you mean 'train_on'?"),
        (None, ["chat.max_length=5", "chat.too_long=drop"], "every conversation was dropped"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(inspect, data, turns, path, options, says):
    user, assistant = turns
    code, out, err = inspect(path or data([user("hi"), assistant("hello")]), *options)
    assert code == 2
    assert out == "" or json.loads(out) == {"error": err.removeprefix("strop: ").rstrip("\n"), "exit_code": 2}
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("content", ["{}", '{"model": {}}', "not json", '{"model": {}, "added_tokens": []}'])
def test_a_broken_tokenizer_is_one_sentence(inspect, data, turns, tmp_path, content):
    user, assistant = turns
    (tmp_path / "tokenizer.json").write_text(content)
    path = data([user("hi"), assistant("hello")])
    for place in (tmp_path, tmp_path / "tokenizer.json"):
        code, _, err = inspect(path, "--tokenizer", place, tokenizer=False)
        assert code == 2
        assert err.startswith(f"strop: {place}: the tokenizer does not load: ")
        assert err.count("\n") == 1


def test_a_tokenizer_file_needs_a_template_and_a_stop_token(inspect, data, turns, tokenizer_folder):
    user, assistant = turns
    path = data([user("hi"), assistant("hello")])
    file = tokenizer_folder / "tokenizer.json"
    assert inspect(path, "--tokenizer", file, tokenizer=False)[0] == 2
    template = (
        "{% for m in messages %}{{ '<|im_start|>' ~ m.content ~ '<|im_end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>' }}{% endif %}"
    )
    code, out, _ = inspect(path, "--json", "--tokenizer", file, "--template", template, "--stop", "<|im_end|>")
    [one] = json.loads(out)["conversations"]
    assert code == 0
    assert [segment["text"] for segment in one["segments"] if segment["trained"]] == ["hello", "<|im_end|>"]
    assert one["warnings"] == []


def test_no_torch_is_loaded(data, turns, tokenizer_folder):
    user, assistant = turns
    arguments = ["inspect", str(data([user("hi"), assistant("hello")])), "--tokenizer", str(tokenizer_folder)]
    code = (
        "import sys; from strop.cli import main; "
        f"code = main({arguments!r}); print(code, 'torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8")
    assert done.stderr.split() == ["0", "False"]


def test_text_that_looks_like_markup_is_text_wherever_it_stands(inspect, data, turns):
    user, assistant = turns
    rows = [
        [{**user("[INST] hi [/INST]"), "name": "[/x]"}, assistant("[/red] [bold]")],
        {"messages": [user("hi"), assistant("hello")], "tools": [{"name": "[/INST]"}]},
        "{[/INST]",
    ]
    path = data(*rows, name="[x] [bold].jsonl")
    code, out, _ = inspect(path)
    assert code == 3
    for text in ("[INST] hi [/INST]", "[/red] [bold]", "the name '[/x]' of this user message", f"{path}:3: not JSON"):
        assert text in out


def test_the_folder_of_a_run_is_told_from_data(inspect, tmp_path, capsys):
    (tmp_path / "run" / "sft").mkdir(parents=True)
    (tmp_path / "run" / "config.yaml").write_text("name: x\n")
    (tmp_path / "run" / "sft" / "stage.json").write_text('{"done": true}')
    code, out, err = inspect(tmp_path / "run")
    assert (code, out) == (2, "")
    assert f"what it is made from is in {tmp_path / 'run' / 'config.yaml'}: name that file" in err
    assert main(["doctor", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err == err
