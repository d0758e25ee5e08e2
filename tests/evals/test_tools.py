"""GSM8K with and without a calculator, by one code path; what was played is kept, gone on with and graded again."""

import json
from pathlib import Path

import pytest

from strop.cli import main
from strop.evals.partial import Partial
from strop.evals.played import play_answers
from strop.evals.results import FAULT
from strop.evals.run import judge_answers
from strop.rollout.engine import Rollout, SamplingParams
from strop.tasks import open_task
from strop.tasks.gsm8k import Gsm8kSettings

STOP = "<|end|>"


@pytest.fixture
def problems(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"question": f"What is {n} times 7?", "answer": f"It is {7 * n}.\n#### {7 * n}"} for n in (3, 4)]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "sums.jsonl"


class Writes:
    """Writes the same text at every item, token by token, from where its prompt has come to."""

    window = 4096

    def __init__(self, tokenizer, text, left=100):
        self.tokenizer, self.stop_ids, self.left = tokenizer, frozenset({tokenizer.eos_token_id}), left
        self.text, self.calls = text, 0

    def generate(self, requests, params=None, on_token=None, on_finished=None):
        self.calls += 1
        found = []
        for index, request in enumerate(requests):
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            said = self.tokenizer.decode(request.prompt)
            rest, said = self.text, said.rpartition("assistant\n")[2]
            begun = said.replace("12345>>", "")
            ids = self.tokenizer.encode(rest.removeprefix(begun), add_special_tokens=False)
            taken, reason = [], "length"
            for token in ids[: request.params.max_tokens]:
                taken.append(token)
                if token in self.stop_ids:
                    reason = "stop"
                    break
                if on_token and on_token(index, token):
                    reason = "cancelled"
                    break
            logs = (0.0,) * len(taken)
            found.append(Rollout(tuple(request.prompt), tuple(taken), logs, reason, logs))
            if on_finished:
                on_finished(index, found[-1])
        return found


def test_a_calculation_is_done_for_the_model_and_what_was_played_is_kept(problems, model_folder, tmp_path):
    from strop.chat import ChatEncoder
    from strop.model.names import load_tokenizer

    tokenizer = load_tokenizer(model_folder)
    encoder = ChatEncoder(tokenizer)
    task = open_task("gsm8k", Gsm8kSettings(path=problems, environment="inline"))
    text = f"<<12300+45=\n#### 21{STOP}"
    engine, partial = Writes(tokenizer, text), Partial(tmp_path / "a", "k")
    answers = play_answers(task, encoder, engine, SamplingParams(100), partial)
    assert [one.text for one in answers.values()] == ["<<12300+45=12345>>\n#### 21"] * 2
    assert engine.calls == 2
    assert answers[0].counts == {"turns": 1, "calls": 1}
    assert answers[0].tokens == len(tokenizer.encode(text, add_special_tokens=False))
    results = judge_answers(task, answers, {}, partial)
    assert [one.verdict for one in results] == ["accepted", "wrong_answer"]
    assert results[0].turns == [{"role": "assistant", "text": answers[0].text}]
    idle = Writes(tokenizer, "", left=0)
    assert play_answers(task, encoder, idle, SamplingParams(100), partial) == answers


def test_an_environment_that_fails_is_no_wrong_answer(problems, model_folder, tmp_path):
    from strop.chat import ChatEncoder
    from strop.model.names import load_tokenizer

    plugin = tmp_path / "falls.py"
    plugin.write_text(
        "from typing import Literal\nfrom strop.environments.base import Environment, register\n\n\n"
        "@register('falls')\nclass Falls(Environment):\n    kind: Literal['falls']\n\n"
        "    def step(self, turn):\n        raise OSError('down')\n"
    )
    from strop.common.registry import load_plugins

    load_plugins([plugin])
    tokenizer = load_tokenizer(model_folder)
    task = open_task("gsm8k", Gsm8kSettings(path=problems, environment="falls", count=1))
    partial = Partial(tmp_path / "a", "k")
    engine = Writes(tokenizer, f"#### 21{STOP}")
    answers = play_answers(task, ChatEncoder(tokenizer), engine, SamplingParams(100), partial)
    [result] = judge_answers(task, answers, {}, partial)
    assert (result.verdict, result.passed) == (FAULT, 0)
    assert "raised OSError: down" in result.detail


@pytest.mark.parametrize("style", ["chat", "completion"])
def test_the_verb_measures_with_and_without(problems, model_folder, capsys, style):
    tasks = f"gsm8k:path=sums.jsonl:max_tokens=8:style={style}:shots=0"
    with_tool = tasks.replace("gsm8k", "gsm8k:name=calculated:environment=inline")
    command = ["eval", str(model_folder), "--tasks", f"{tasks},{with_tool}", "--out", "run", "--json"]
    assert main([*command, "compute.dtype=float32"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)["results"][0]["tasks"]
    assert found["calculated"]["settings"]["environment"]["kind"] == "inline"
    assert "an answer in the mean: 1.00 turns" in err
    plain, played = (
        [json.loads(line) for line in Path(f"run/eval/evals/{name}.jsonl").read_text().splitlines()]
        for name in ("gsm8k", "calculated")
    )
    assert [one["answer"] for one in plain] == [one["answer"] for one in played]  # it never calculated
    assert all(one["turns"] == [] for one in plain)
    assert all(one["counts"]["turns"] == 1 for one in played)
    assert main(["eval", "--regrade", "run"]) == 0
    again = [json.loads(line) for line in Path("run/eval/evals/calculated.jsonl").read_text().splitlines()]
    assert again == played


def test_tools_that_do_not_go_with_texts_or_templates_are_refused(problems, model_folder, capsys):
    for style, words in (("chat", "the template prints no tool calls"), ("completion", "no tool calls")):
        tasks = f"gsm8k:path=sums.jsonl:style={style}:environment=tools"
        assert main(["eval", str(model_folder), "--tasks", tasks]) == 2
        assert words in capsys.readouterr().err
