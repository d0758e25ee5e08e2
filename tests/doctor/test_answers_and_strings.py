"""Answers that are all the same or say nothing, names to be filled in, control strings of others, scripts, default
system lines, ids without a row, and what neither a flat row nor the model can take."""

import json
from pathlib import Path

import pytest
from broken_data import conversation, sound_rows

from strop.chat import ChatEncoder, ChatSettings
from strop.doctor import read_set
from strop.doctor.findings import Tally
from strop.doctor.identity import Identity
from strop.doctor.languages import check_languages, identify, script_of
from strop.doctor.lengths import check_fit
from strop.doctor.machine import ModelShape
from strop.doctor.masks import MaskCheck
from strop.doctor.placeholders import check_placeholders
from strop.doctor.tokenizer import beyond, check_vocabulary
from strop.doctor.turns import check_answers, is_hollow
from strop.train.settings import TrainSettings


def rows_of(*raw, format="auto"):
    return read_set("data", lambda on_bad: [(f"d:{i}", row) for i, row in enumerate(raw, 1)], format).rows


def pair(question, answer):
    return conversation(("user", question), ("assistant", answer))


def answers(*texts):
    return list(check_answers(rows_of(*[pair(f"q{i}", text) for i, text in enumerate(texts)])))


@pytest.mark.parametrize(
    ("texts", "level", "count", "words"),
    [
        (["I will answer later."] * 500, "warning", 500, "all answers (100.0%) are the same text"),
        ([["Comes LATER. ", "comes  later."][n % 2] for n in range(20)], "warning", 20, "all answers (100.0%)"),
        (["Yes."] * 6 + [f"word{c}" for c in "abcdef"], "warning", 6, "6 of 12 answers (50.0%)"),
        (["Yes."] * 3 + [f"word{c}" for c in "abcdefgh"], "note", 3, "3 of 11 answers (27.3%)"),
    ],
)
def test_answers_that_are_all_the_same(texts, level, count, words):
    [finding] = answers(*texts)
    assert (finding.kind, finding.level, finding.count, finding.place) == ("same_answer", level, count, "d:1")
    assert finding.message.startswith(words)
    assert finding.text == texts[0].strip()


def test_answers_that_differ_are_not_mentioned():
    assert answers(*[row["messages"][1]["content"] for row in sound_rows()]) == []
    assert answers(*["Yes."] * 9) == []  # too few to tell
    assert answers(*[f"#### {n}" for n in range(20)]) == []  # numbers are answers


def test_answers_that_say_nothing():
    [finding] = answers("...", "N/A", "n/a.", "-", *[f"whole answer {c}" for c in "abcdef"])
    assert (finding.kind, finding.level, finding.count) == ("hollow_answer", "warning", 4)
    assert finding.message == "4 answers say nothing (40.0% of 10): no word, or one like N/A"
    assert [is_hollow(text) for text in ("7", "👍", "No.", "nothing", "[]", "无")] == [False] * 4 + [True] * 2


@pytest.mark.parametrize(
    ("text", "script", "language"),
    [
        ("你好", "Han", "zh"),
        ("はい", "Kana", "ja"),
        ("私は学生です", "Kana", "ja"),
        ("네", "Hangul", "ko"),
        ("Да", "Cyrillic", "Cyrillic"),
        ("नमस्ते", "Devanagari", "Devanagari"),
        ("مرحبا", "Arabic", "Arabic"),
        ("Γεια", "Greek", "el"),
        ("שלום", "Hebrew", "he"),
        ("สวัสดี", "Thai", "th"),
        ("Yes", "Latin", "?"),
        ("AI是什么", "Han", "zh"),
        ("42!", None, "?"),
    ],
)
def test_scripts_are_told_from_letters_alone(text, script, language):
    assert script_of(text) == script
    assert identify(text)[0] == language


def test_shares_of_scripts_and_short_answers_in_another_script():
    english = "The bread is on the table in the kitchen, and the cheese is still in the fridge."
    mix, [finding] = check_languages(rows_of(pair("今天天气", "很好。"), pair("今天天气", english), pair("你好", "42")))
    assert mix.user == {"zh": 1.0}
    assert mix.user_scripts == {"Han": 1.0}
    assert mix.assistant_scripts == {name: pytest.approx(1 / 3) for name in ("Han", "Latin", "none")}
    assert (finding.kind, finding.count, finding.place) == ("language_mismatch", 1, "d:2")


def test_the_language_of_plain_text():
    rows = rows_of({"text": "今天天气很好"}, {"text": "Да, конечно, завтра мы идём в парк все вместе."}, format="text")
    mix, _ = check_languages(rows)
    assert mix.text == {"zh": 0.5, "ru": 0.5}
    assert mix.text_scripts == {"Han": 0.5, "Cyrillic": 0.5}
    assert mix.user == mix.assistant_scripts == {}


def strings(*texts, own=()):
    found = check_placeholders(rows_of(*[pair("q", text) for text in texts]), own)
    return {f.kind: (f.level, f.count, f.message.rpartition(": ")[2]) for f in found}


def test_names_to_be_filled_in():
    found = strings("I am {{name}} by {{ author }}, {{name}}.", "Dear [Your Name],", "Ask <FIRST_NAME> or <NAME>.", "x")
    assert found == {
        "placeholder": (
            "warning",
            3,
            "{{name}} (×2), {{ author }} (×1), [Your Name] (×1), <FIRST_NAME> (×1), <NAME> (×1)",
        )
    }
    assert strings("Hello {name}, welcome.") == {"placeholder_braces": ("note", 1, "{name} (×1)")}


@pytest.mark.parametrize(
    "text",
    [
        "```python\nprint(f'{name} {{x}}')\n```",
        "Use `{name}` there.",
        r"\frac{abc}{xyz} and x^{abc}",
        "<div> and <BR> and [a link](http://x) and [1]",
        "{ value }",
        "[your account](https://example.org)",
    ],
)
def test_code_formulas_and_links_are_no_names(text):
    assert strings(text) == {}


def test_control_strings_of_other_models():
    found = strings(
        "Sure.</s>", "Hi<|eot_id|><|eot_id|>", "[INST] x [/INST]", "<start_of_turn>", "<|mine|>", own=["<|mine|>"]
    )
    assert found == {
        "foreign_control_tokens": (
            "warning",
            4,
            "<|eot_id|> (×2), </s> (×1), [INST] (×1), [/INST] (×1), <start_of_turn> (×1)",
        )
    }


def test_a_system_line_of_the_templates_own_beside_other_names(tokenizer):
    template = (
        "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful AI assistant named Kim, "
        "trained by Us<|im_end|>\n' }}{% endif %}" + tokenizer.chat_template
    )

    def found(*rows):
        rows = rows_of(*rows)
        settings = ChatSettings(template=template)
        check, identity = MaskCheck(ChatEncoder(tokenizer, settings), settings, None, {}), Identity()
        for row in rows:
            identity.look(row, check.look(row)[0])
        return identity.findings(rows)

    other = [pair("Who are you?", f"I am Nano, number {n}.") for n in range(4)]
    [finding] = found(*other, pair("Who are you?", "I am Kim."), pair("Tell me.", "I am Sure it rains."))
    assert (finding.kind, finding.level, finding.count, finding.place) == ("default_system", "warning", 4, "d:1")
    assert "(Nano, mostly)" in finding.message
    assert "'You are a helpful AI assistant named Kim, trained by Us'" in finding.message
    assert found(*[pair("Who are you?", "I am Kim.")] * 4) == []
    own = [{"messages": [{"role": "system", "content": "You are Nano."}, *row["messages"]]} for row in other]
    assert found(*own) == []


def test_ids_that_the_embedding_has_no_row_for():
    shape = ModelShape(None, 8, 2, 16, 306, rows=306)
    missing = beyond({305: "a", 306: "<|end2|>", 307: "<new>", 308: "<rare>"}, {307}, shape)
    assert missing == {306: "<|end2|>", 308: "<rare>"}
    used = Tally()
    used.add("306", "d:1")
    error, warning = check_vocabulary(missing, used, (), shape)
    assert (error.kind, error.level, error.count, error.place) == ("id_beyond_embedding", "error", 1, "d:1")
    assert (
        error.message
        == "1 conversation with '<|end2|>', whose id is 306, and the model's embedding has 306 rows (0 to 305)"
    )
    assert (warning.kind, warning.level, warning.count) == ("unused_id_beyond_embedding", "warning", 1)
    [stop, _] = check_vocabulary(missing, Tally(), (306,), shape)
    assert stop.message.startswith("the stop token '<|end2|>', whose id is 306")
    [size] = check_vocabulary({}, Tally(), (), ModelShape(None, 8, 2, 16, 316, rows=306))
    assert size.message == "config.json says vocab_size 316, and the weights have 306 rows"
    assert list(check_vocabulary({}, Tally(), (), ModelShape(None, 8, 2, 16, 306, rows=306))) == []


@pytest.mark.parametrize(
    ("settings", "kinds"),
    [
        ({}, {"too_long_for_model": 2, "row_too_short": 1}),
        ({"max_length": 40, "too_long": "drop"}, {}),
        ({"max_length": 40, "too_long": "truncate"}, {}),
        ({"max_length": 150, "too_long": "truncate"}, {"too_long_for_model": 2}),
        ({"max_length": 150, "too_long": "drop"}, {"too_long_for_model": 1}),
    ],
)
def test_what_neither_a_row_nor_the_model_can_take(settings, kinds):
    rows = rows_of(pair("q", "a"), pair("q", "b"), pair("q", "c"))
    for row, tokens in zip(rows, (50, 120, 300), strict=True):
        row.tokens, row.trained = tokens, 10
    found = list(check_fit(rows, ChatSettings(**settings), TrainSettings(micro_batch_tokens=200), 100))
    assert {finding.kind: finding.count for finding in found} == kinds
    assert all(finding.level == "error" for finding in found)


def test_a_data_file_is_told_what_a_recipe_is_told(recipe, model_folder, examined):
    long = conversation(("user", "Count on."), ("assistant", " ".join(map(str, range(1200)))))
    Path("data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*sound_rows(), long]))
    alone = examined("data.jsonl", "--model", model_folder)
    within = examined(recipe, "chat.max_length=null", "chat.too_long=error", "stages.sft.train.micro_batch_tokens=2048")
    for found in (alone, within):
        assert found.code == 3
        assert [f["place"] for f in found.kinds["row_too_short"]] == ["data.jsonl:21"]
        assert [f["count"] for f in found.kinds["too_long_for_model"]] == [1]


def test_rows_that_the_template_refuses_are_rejected_in_the_table(recipe, examined):
    Path("data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in sound_rows()))
    template = "{% for m in messages %}{% if 'apples' in m.content %}{{ raise_exception('no') }}{% endif %}"
    template += "{{ '<|im_start|>' + m.role + m.content + '<|im_end|>' }}{% endfor %}"
    found = examined(recipe, f"chat.template={json.dumps(template)}")
    [data] = json.loads(found.out)["stages"]["sft"]["sets"]
    assert (data["rows"], data["rejected"]) == (20, 1)
    assert found.kinds["refused"][0]["count"] == 1


def test_a_share_held_out_is_not_examined_as_training_data(recipe, examined):
    Path("data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*sound_rows(), sound_rows()[0]]))
    found = examined(recipe, "stages.sft.eval_data={fraction: 0.1}")
    stage = json.loads(found.out)["stages"]["sft"]
    assert stage["sets"][0]["rows"] in (18, 19)
    assert stage["evaluation_items_compared"] == 1 + 2
    assert "contamination" not in found.kinds
    assert any(remark.startswith("eval_data: 2 rows held out (fraction 0.1, seed 0)") for remark in stage["remarks"])


def test_eval_data_that_is_the_training_file_is_all_copies(recipe, examined):
    Path("data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in sound_rows()))
    found = examined(recipe, "stages.sft.eval_data=[{path: data.jsonl}]")
    [finding] = found.kinds["contamination"]
    assert (finding["count"], finding["level"]) == (20, "error")
    assert finding["message"].startswith("20 of 20 items of data.jsonl are exact copies of training data (")
    assert "overlap" not in found.kinds
    short = [pair(f"q{n}", "yes" if n % 2 else "no") for n in range(20)]
    Path("data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in short))
    assert examined(recipe, "stages.sft.eval_data=[{path: data.jsonl}]").kinds["contamination"][0]["count"] == 20


def test_files_left_out_of_a_folder_are_said(recipe, examined):
    for name in ("train.jsonl", "unit_test.jsonl"):
        Path("set").mkdir(exist_ok=True)
        Path("set", name).write_text("".join(json.dumps(row) + "\n" for row in sound_rows()))
    found = examined(recipe, "stages.sft.data.0.path=set")
    assert "set: read train.jsonl; left out as other splits: unit_test.jsonl (test)" in found.err


def test_names_with_brackets_are_no_markup(model_folder, tmp_path, monkeypatch, capsys):
    from strop.cli import main

    monkeypatch.chdir(tmp_path)
    rows = [pair("[/INST] say [/x]", f"{n} [bold] [/INST]") for n in range(12)]
    Path("[").mkdir()
    Path("[/x].jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["doctor", "[/x].jsonl", "--model", str(model_folder)]) == 0
    out = capsys.readouterr().out
    assert "[/x].jsonl:1" in out
    assert "[/INST] (×24)" in out
