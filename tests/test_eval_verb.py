"""strop eval: tasks by one line, models one after the other, kept answers graded again."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from strop.cli import main
from strop.common.errors import InputError
from strop.rewards import Judgement
from strop.runs.evaluate import evaluation_recipe, parse_tasks
from strop.runs.live import Live
from strop.sandbox import is_unsafe
from strop.stages.base import STAGES


@pytest.mark.parametrize(
    ("text", "evals"),
    [
        ("gsm8k", {"gsm8k": {}}),
        ("gsm8k:limit=200,mmlu:path=a:b:shots=0", {"gsm8k": {"count": 200}, "mmlu": {"path": "a:b", "shots": 0}}),
        ("mmlu:subjects=[law,art]", {"mmlu": {"subjects": ["law", "art"]}}),
        ("text:path=2024", {"text": {"path": "2024"}}),
        ("text:path=2024-01-01:documents=line", {"text": {"path": "2024-01-01", "documents": "line"}}),
        ("text:path=no:count=3", {"text": {"path": "no", "count": 3}}),
        ("text:path=null", {"text": {"path": None}}),
        (
            """text:path="a,b: c.txt":count=3,text:name='null':path='it''s'""",
            {"text": {"path": "a,b: c.txt", "count": 3}, "null": {"task": "text", "path": "it's"}},
        ),
        ("answers:path=q.jsonl:suffix=Answer: yes", {"answers": {"path": "q.jsonl", "suffix": "Answer: yes"}}),
        ('answers:suffix=It\'s "5", text:path=b', {"answers": {"suffix": 'It\'s "5"'}, "text": {"path": "b"}}),
        ("answers:columns={prompt: no, answer: 'a,b'}", {"answers": {"columns": {"prompt": "no", "answer": "a,b"}}}),
        ("answers:columns=null:samples=2", {"answers": {"columns": None, "samples": 2}}),
        ("mmlu:subjects=[2024, on]:shots=0", {"mmlu": {"subjects": ["2024", "on"], "shots": 0}}),
        (
            "mine:task=answers:path=1e3:temperature=0.5",
            {"mine": {"task": "answers", "path": "1e3", "temperature": 0.5}},
        ),
        ("gsm8k, gsm8k:name=g5:style=completion", {"gsm8k": {}, "g5": {"task": "gsm8k", "style": "completion"}}),
    ],
)
def test_tasks_by_one_line(text, evals):
    assert parse_tasks(text) == evals


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gsm8k,gsm8k", "two tasks are called 'gsm8k'"),
        ("gsm8k:limit", "'limit' is no setting"),
        ("gsm8k:limit=1:count=2", "count stands there twice"),
        ("gsm8k,", "a task's name is missing"),
        ('text:path="a,b', "close the quote"),
    ],
)
def test_what_is_written_otherwise_is_refused(text, said):
    with pytest.raises(InputError, match=said):
        parse_tasks(text)


@pytest.fixture
def strop(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"prompt": f"Say {n}.", "answer": str(n)} for n in range(4)]
    Path("mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def call(*arguments):
        code = main(["eval", *map(str, arguments)])
        out, err = capsys.readouterr()
        return SimpleNamespace(code=code, out=out, err=err)

    return call


TASK = "my:task=answers:path=mine.jsonl:grader=exact:max_tokens=6"


def test_several_samples_then_the_same_command_then_graded_again(strop, model_folder, heard):
    command = (model_folder, "--tasks", TASK, "--samples", 3, "--out", "run", "--json", "compute.dtype=float32")
    done = strop(*command)
    assert done.code == 0, done.err
    [result] = json.loads(done.out)["results"]
    task = result["tasks"]["my"]
    assert {"my_accuracy", "my_pass@1", "my_pass@3", "my_stop_rate", "my_truncation_rate"} <= set(task["metrics"])
    assert (task["metrics"]["my_accuracy"]["n"], task["metrics"]["my_accuracy"]["groups"]) == (12, 4)
    assert task["metrics"]["my_pass@3"]["n"] == 4
    assert task["settings"]["samples"] == 3
    assert "skipped" in strop(*command).err

    file = Path("run/eval/evals/my.jsonl")
    kept = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(one["name"], one["sample"]) for one in kept[:4]] == [("my/0", 0), ("my/0", 1), ("my/0", 2), ("my/1", 0)]
    for one in kept[:3]:  # as if a mended grader found these right
        one |= {"answer": "0", "finish_reason": "stop"}
    file.write_text("".join(json.dumps(one) + "\n" for one in kept))
    heard.clear()
    again = strop("--regrade", "run", "--json")
    assert heard == {"my: judged": (12, 12)}
    assert again.code == 0, again.err
    metrics = json.loads(Path("run/summary.json").read_text())["measured"]
    assert (metrics["my_accuracy"]["value"], metrics["my_pass@3"]["value"]) == (0.25, 0.25)
    assert "verdicts changed" in again.err
    Path("mine.jsonl").write_text('{"id": "other", "prompt": "Say 9.", "answer": "9"}\n')
    refused = strop("--regrade", "run")
    assert refused.code == 2
    assert "holds answers to other items" in refused.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("MODEL", "--tasks", "gsmk8"), "'gsmk8' is not a built-in task"),
        (("MODEL", "--tasks", "my:task=answers:path=gone.jsonl"), "gone.jsonl: there is no such file"),
        (("MODEL", "--tasks", f"{TASK}:samples=2:k=[4]"), "pass@4 needs as many answers"),
        (("MODEL", "--tasks", "arc_easy:path=mine.jsonl"), "mine.jsonl:1: is no multiple-choice question"),
        (("MODEL", "--tasks", "text:path=mine.jsonl", "--samples", 2), "--samples: none of the tasks (text) has it"),
        (("MODEL", "MODEL", "--tasks", TASK), "is named twice"),
        (("MODEL", "nowhere", "--tasks", TASK), "There is no model 'nowhere'"),
        (("--tasks", TASK), "name a model"),
        (("MODEL",), "name what to measure"),
        (("--regrade", "nothing"), "holds no finished evaluation"),
    ],
)
def test_one_clear_line(strop, model_folder, arguments, said):
    done = strop(*(model_folder if one == "MODEL" else one for one in arguments))
    assert done.code == 2
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_the_model_of_a_run_in_training_is_not_an_earlier_stages(strop, model_folder):
    training = {"stage.kind": "sft", "stage.train.max_steps": 9}
    for stage, state in (
        ("sft", {"done": True, "made_from": training}),
        ("more", {"made_from": training}),
        ("eval", {"made_from": {"stage.kind": "eval"}}),
    ):
        Path("runs/x", stage).mkdir(parents=True)
        Path("runs/x", stage, "stage.json").write_text(json.dumps(state))
    shutil.copytree(model_folder, "runs/x/sft/model")
    done = strop("runs/x", "--tasks", TASK)
    assert done.code == 2
    assert done.err == (
        "strop: runs/x: stage more is not finished; finish the run with `strop run runs/x`, or measure the folder of a "
        "stage that is done (runs/x/sft).\n"
    )
    assert strop("runs/x/sft", "--tasks", TASK).code == 0
    shutil.rmtree("runs/x/more")
    assert strop("runs/x", "--tasks", TASK).code == 0  # what is not finished leaves no model


def test_unsafe_local_is_named_in_the_terminal_and_in_every_report(strop, model_folder):
    said = "unsafe_local: programs in answers run on this machine without a sandbox"
    plain = strop(model_folder, "--tasks", TASK, "--out", "plain", "compute.dtype=float32")
    unsafe = strop(model_folder, "--tasks", TASK, "--out", "run", "--unsafe-local", "compute.dtype=float32")
    assert (plain.code, unsafe.code) == (0, 0), unsafe.err
    assert said in unsafe.out
    assert said not in plain.out
    for folder, there in (("plain", False), ("run", True)):
        assert (said in Path(folder, "report.html").read_text()) is there
        assert any(said in text for text in json.loads(Path(folder, "summary.json").read_text())["warnings"]) is there
        assert (said in strop("--regrade", folder).out) is there
    assert not is_unsafe()
    # Seen again: what was done without a sandbox is said by a run that skips it.
    again = strop(model_folder, "--tasks", TASK, "--out", "run", "compute.dtype=float32")
    assert "skipped" in again.out
    assert said in Path("run/report.html").read_text()


def test_the_minutes_of_a_stage_that_went_on_are_all_of_them(strop, model_folder, monkeypatch):
    def judge(task, items, answers):
        monkeypatch.undo()
        monkeypatch.chdir(here)
        raise KeyboardInterrupt

    here = Path.cwd()
    monkeypatch.setattr("strop.tasks.answers.Answers.judge", judge)
    command = (model_folder, "--tasks", TASK, "--out", "run", "name=x", "compute.dtype=float32")
    assert strop(*command).code == 130
    told = json.loads(Path("run/progress.json").read_text())
    assert 0 < told["minutes"] < 5
    Path("run/progress.json").write_text(json.dumps(told | {"minutes": 7.0}))
    assert strop(*command).code == 0
    assert 7 < json.loads(Path("run/summary.json").read_text())["minutes"]["eval"] < 12
    # What is begun anew has taken no time yet.
    assert strop(*command, "evals.my.max_tokens=5").code == 0
    assert json.loads(Path("run/summary.json").read_text())["minutes"]["eval"] < 5


def test_an_evaluation_that_goes_on_in_the_sandbox_uses_no_verdict_from_without(strop, model_folder, monkeypatch):
    judged = []

    def judge(task, items, answers):
        if len(judged) == 1:
            judged.append(None)
            raise KeyboardInterrupt
        judged.append((is_unsafe(), len(answers)))
        return [Judgement("accepted", 1, 1) if is_unsafe() else Judgement("wrong_answer", 0, 1)] * len(answers)

    monkeypatch.setattr("strop.tasks.answers.Answers.judge", judge)
    monkeypatch.setattr("strop.evals.run.JUDGED_AT_ONCE", 2)
    command = (model_folder, "--tasks", TASK, "--out", "run", "--json", "compute.dtype=float32")
    assert strop(*command, "--unsafe-local").code == 130
    done = strop(*command)
    assert "going on; 4 of 4 answers" in done.err
    assert judged == [(True, 2), None, (False, 2), (False, 2)]
    assert json.loads(done.out)["results"][0]["tasks"]["my"]["metrics"]["my_accuracy"]["value"] == 0
    assert "without a sandbox" not in Path("run/report.html").read_text()


def test_what_is_measured_is_on_the_page_before_the_rest_is(strop, model_folder, monkeypatch):
    shown = []
    monkeypatch.setattr(Live, "so_far", lambda live, summary: shown.append(summary["measured"]))
    done = strop(model_folder, "--tasks", f"{TASK},general_chat:count=2", "--out", "run", "compute.dtype=float32")
    assert done.code == 0, done.err
    assert [("my_accuracy" in one, "general_chat_loss" in one) for one in shown] == [(True, False), (True, True)]


STAGES_OF_MINE = """
from pathlib import Path
from typing import Literal

from strop.stages.base import Stage, StageResult, register


@register("half")
class Half(Stage):
    kind: Literal["half"]

    def run(self, context):
        mark = context.folder / "half"
        if not mark.exists():
            mark.write_text("")
            raise KeyboardInterrupt
        return StageResult(facts={"half": "done"})
"""


def test_what_a_stage_did_without_a_sandbox_before_it_was_stopped_is_named(strop, model_folder, monkeypatch):
    Path("mine.py").write_text(STAGES_OF_MINE)
    Path("r.yaml").write_text(
        f"name: r\nmodel: {model_folder}\nplugins: [mine.py]\nfolder: run\nstages: {{one: {{kind: half}}}}\n"
    )
    list(STAGES)
    monkeypatch.setattr(STAGES, "_things", dict(STAGES._things))
    assert main(["run", "r.yaml", "--unsafe-local"]) == 130
    assert main(["run", "r.yaml"]) == 0
    said = "one: unsafe_local: programs in answers run on this machine without a sandbox"
    assert any(said in text for text in json.loads(Path("run/summary.json").read_text())["warnings"])
    assert said in Path("run/report.html").read_text()


def test_compare_names_what_ran_unconfined(strop, model_folder, capsys):
    for folder, options in (("plain", ()), ("run", ("--unsafe-local",))):
        strop(model_folder, "--tasks", TASK, "--out", folder, *options, "compute.dtype=float32")
    assert main(["compare", "plain", "run"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "unsafe_local: programs in the answers of run ran without a sandbox" in said


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        ("gsm8kk", "--tasks: 'gsm8kk' is not a built-in task"),
        ("nonesuch", "--tasks: 'nonesuch' is not a built-in task"),
        ("gsm8k:limit=2,max_tokens=4", "'max_tokens=4' is no task; settings of a task follow a colon: TASK:key=value:"),
        ("code_basics:limt=2", "--tasks: code_basics has no setting 'limt'; did you mean 'limit'?"),
        ("code_basics:max_token=2", "--tasks: code_basics has no setting 'max_token'; did you mean 'max_tokens'?"),
        ("humaneval:k=10", "pass@10 needs as many answers to each item, and samples is 2"),
        ("humaneval:k=[1,10]", "pass@10 needs as many answers to each item, and samples is 2"),
    ],
)
def test_what_is_wrong_with_a_task_is_told_with_what_the_options_say(tasks, said, capsys):
    assert main(["eval", "smollm2-135m", "--tasks", tasks, "--samples", "2"]) == 2
    assert said in capsys.readouterr().err


def test_options_count_for_what_a_task_asks_of_them():
    recipe = evaluation_recipe("m", parse_tasks("humaneval:k=10"), {"samples": 12}, (), None)
    assert (recipe.evals["humaneval"].samples, recipe.evals["humaneval"].k) == (12, [10])


def test_nothing_stays_of_a_run_that_could_not_begin(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.jsonl").write_text("")
    assert main(["eval", "smollm2-135m", "--tasks", "gsm8k:path=empty.jsonl"]) == 2
    assert "holds no row" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["empty.jsonl"]
    (tmp_path / "runs").mkdir()
    assert main(["eval", "smollm2-135m", "--tasks", "gsm8k:path=empty.jsonl"]) == 2
    assert list((tmp_path / "runs").iterdir()) == []


def test_models_whose_names_make_one_folder_have_two(strop, model_folder):
    for place in ("a/b", "a-b", "other"):
        shutil.copytree(model_folder, place)
    with Path("a/b/generation_config.json").open("a") as file:
        file.write("\n")
    done = strop("a/b", "a-b", "other", "--tasks", TASK, "--out", "F", "--json", "compute.dtype=float32")
    assert done.code == 0, done.err
    first, second, third = (result["folder"] for result in json.loads(done.out)["results"])
    assert first != second
    assert third == "F/other"
    assert all(Path(place, "eval/evals/my.jsonl").is_file() for place in (first, second, third))
    # One after the other, into the place of one of them, nothing gives way.
    refused = strop("a-b", "--tasks", TASK, "--out", first, "compute.dtype=float32")
    assert refused.code == 2
    assert "holds the run of another recipe" in refused.err
    same_name = strop("a/b", "--tasks", TASK, "--out", "G", "name=x", "compute.dtype=float32")
    assert same_name.code == 0
    assert strop("a-b", "--tasks", TASK, "--out", "G", "name=x", "compute.dtype=float32").code == 2
