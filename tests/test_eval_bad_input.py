"""What users give an evaluation that cannot be right: a line and exit code 2, or a number and a note, never a zero."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from safetensors.torch import load_file, save_file

from strop.cli import main

ANSWERS = "my:task=answers:path=mine.jsonl:max_tokens=3"
CHOICE = "choice:path=choice.jsonl"


def write(name, *rows):
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def strop(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("mine.jsonl", *({"prompt": f"Say {n}.", "answer": str(n)} for n in range(12)))
    write("choice.jsonl", *({"query": f"Say {n}?", "choices": ["a", "b"], "gold": n % 2} for n in range(4)))
    write("gsm8k.jsonl", {"question": "1 + 1?", "answer": "#### 2"})
    Path("book.txt").write_text("hello world " * 20)

    def call(*arguments):
        code = main(["eval", *map(str, arguments), "--json", "compute.dtype=float32"])
        out, err = capsys.readouterr()
        tasks = json.loads(out)["results"][0]["tasks"] if code == 0 else {}
        return SimpleNamespace(code=code, err=err, tasks=tasks)

    return call


@pytest.fixture
def changed(model_folder, tmp_path):
    """The small model with some weights multiplied, or without its template."""

    def make(name, factor=1.0, template=True):
        folder = tmp_path / "changed"
        shutil.copytree(model_folder, folder)
        if not template:
            for path in folder.glob("chat_template*"):
                path.unlink()
            config = json.loads((folder / "tokenizer_config.json").read_text())
            config.pop("chat_template", None)
            (folder / "tokenizer_config.json").write_text(json.dumps(config))
        weights = load_file(folder / "model.safetensors")
        chosen = {key: weight * factor for key, weight in weights.items() if name in key}
        assert chosen
        save_file(weights | chosen, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    return make


def refused(done, said):
    assert done.code == 2
    *before, last = done.err.strip().splitlines()
    assert last.startswith("strop: ")
    assert said in last
    assert not any("Traceback" in line or line.startswith("strop: ") for line in before)


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        (f"{ANSWERS}:limit=0", "evals.my.count: must be at least 1, found 0"),
        (f"{ANSWERS}:limit=-3", "evals.my.count: must be at least 1, found -3"),
        (f"{ANSWERS}:graader=exact", "my has no setting 'graader'; did you mean 'grader'?"),
        (f"{ANSWERS}:samples=2:k=[3]", "pass@3 needs as many answers"),
        ("gsm8", "'gsm8' is not a built-in task"),
        ("my:task=quiz:path=mine.jsonl", "'quiz' is not a built-in task"),
        (f"{ANSWERS}:limit=", "limit has no value; write limit=VALUE"),
        ("my:path=mine.jsonl", "measure it with evals: {NAME: {task: answers, path: mine.jsonl"),
        ("my:task=answers:path=null.jsonl", "null.jsonl:1: 'answer' is null, and it is the reference answer"),
        ("my:task=answers:path=said.jsonl", "said.jsonl:1: 'prompt' ends with an answer of the assistant's"),
        ("arc_easy:path=mine.jsonl", "give question, choices (a list of texts) and answer (an index or a letter)"),
        ("arc_easy:path=blank.jsonl", "blank.jsonl:1: 'choices[1]' is empty"),
        ("arc_easy:path=open.jsonl", "it has question, choices, answer (null)"),
        ("arc_easy:path=many.jsonl", "many.jsonl:1: 27 choices, and letters are there for 26"),
        ("my:task=answers:path=cut.jsonl", "cut.jsonl:1: not JSON (Unterminated string starting at column 12)"),
        ("e:task=answers:path=empty.jsonl", "empty.jsonl: holds no row"),
        ("e:path=twins.jsonl:task=answers", "evals.e: 2 items are called 'x'; give each a name of its own"),
        ("gsm8k:path=gsm8k.jsonl:shots=2:style=chat:shots_path=gsm8k.jsonl", "2 examples are asked for and 1 there"),
        ("gsm8k:path=choice.jsonl", "choice.jsonl:1"),
        (f"{CHOICE}:style=completion:options=letter", "evals.choice.options"),
    ],
)
def test_one_line_and_what_to_do(strop, model_folder, tasks, said):
    Path("empty.jsonl").touch()
    write("null.jsonl", {"prompt": "a", "answer": None})
    write("said.jsonl", {"prompt": [{"role": "assistant", "content": "a"}], "answer": "b"})
    write("blank.jsonl", {"question": "a", "choices": ["b", " "], "answer": 0})
    write("open.jsonl", {"question": "a", "choices": ["b", "c"], "answer": None})
    write("many.jsonl", {"question": "a", "choices": [*"abcdefghijklmnopqrstuvwxyz", "aa"], "answer": 0})
    Path("cut.jsonl").write_text('{"prompt": "a')
    write("twins.jsonl", {"id": "x", "prompt": "a", "answer": "b"}, {"id": "x", "prompt": "c", "answer": "d"})
    refused(strop(model_folder, "--tasks", tasks), said)


def test_more_than_there_are_and_the_same_twice_are_said(strop, model_folder):
    write("mine.jsonl", *({"prompt": f"Say {n // 2}.", "answer": "1"} for n in range(4)))
    done = strop(model_folder, "--tasks", f"{ANSWERS},{CHOICE},text:path=book.txt", "--limit", 9)
    notes = {name: task["notes"] for name, task in done.tasks.items()}
    assert notes["my"][:2] == [
        "9 items are asked for (count, limit) and 4 are there; these are measured",
        "2 of 4 items are token for token an earlier one, and count again",
    ]
    assert notes["choice"] == ["9 items are asked for (count, limit) and 4 are there; these are measured"]
    assert done.tasks["my"]["metrics"]["my_accuracy"]["n"] == 4


def test_the_same_option_twice_is_counted_and_twelve_have_letters(strop, model_folder):
    twelve = [f"{n}" for n in range(12)]
    rows = ({"question": "a", "choices": ["b", " b"], "answer": 1}, {"question": "a", "choices": twelve, "answer": "L"})
    write("choice.jsonl", *rows)
    done = strop(model_folder, "--tasks", f"{CHOICE},letters:task={CHOICE}:style=chat:options=letters")
    assert done.tasks["letters"]["metrics"]["letters_acc"]["n"] == 2
    assert done.tasks["choice"]["notes"][:1] == [
        "1 of 2 questions have the same option twice; the first of both counts, so that some may have no right answer "
        "that can be given"
    ]
    assert done.tasks["choice"]["metrics"]["choice_acc"]["n"] == 2


def test_answers_that_never_end_are_cut_counted_and_said(strop, model_folder):
    done = strop(model_folder, "--tasks", ANSWERS)
    metrics = {name: one["value"] for name, one in done.tasks["my"]["metrics"].items()}
    assert metrics == {
        "my_accuracy": 0, "my_no_answer_rate": 1, "my_stop_rate": 0, "my_truncation_rate": 1, "my_answer_tokens": 3,
    }  # fmt: skip
    assert any("12 of 12 answers were cut off by max_tokens" in note for note in done.tasks["my"]["notes"])
    assert any("in 12 of 12 answers none was found" in note for note in done.tasks["my"]["notes"])


def test_a_base_model_without_a_template_is_measured_where_no_template_is_needed(strop, changed):
    base = changed("embed", template=False)
    done = strop(base, "--tasks", f"{CHOICE},text:path=book.txt,gsm8k:path=gsm8k.jsonl:style=completion:max_tokens=2")
    assert done.tasks.keys() == {"choice", "text", "gsm8k"}
    for tasks in (ANSWERS, f"{CHOICE}:style=chat:options=letters", "gsm8k:path=gsm8k.jsonl", "general_chat:limit=2"):
        refused(strop(base, "--tasks", tasks), "the tokenizer has no chat template; set chat.template to")


@pytest.mark.parametrize("tasks", [ANSWERS, CHOICE, "text:path=book.txt"])
def test_logits_that_are_not_finite_are_no_score(strop, changed, tasks):
    """Finite weights, so that only computing shows it."""
    refused(strop(changed("norm", 1e38), "--tasks", tasks), "are NaN or infinite")


def test_nan_weights(strop, changed):
    refused(strop(changed("norm", float("nan")), "--tasks", CHOICE), "the weights hold NaN or infinity")
