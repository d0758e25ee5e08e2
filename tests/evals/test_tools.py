"""GSM8K with and without a calculator, by one code path; what was played is kept, gone on with and graded again."""

import json
from pathlib import Path

import pytest

from strop.cli import main
from strop.environments.base import Start
from strop.evals.partial import Partial
from strop.evals.played import play_answers
from strop.evals.results import FAULT
from strop.evals.run import judge_answers
from strop.rollout.engine import Rollout, SamplingParams
from strop.rollout.turns import Player
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
    answers = play_answers(task, task.settings.environment, encoder, engine, SamplingParams(100), partial)
    assert [one.text for one in answers.values()] == ["<<12300+45=12345>>\n#### 21"] * 2
    assert engine.calls == 2
    assert answers[0].counts == {"turns": 1, "calls": 1}
    assert answers[0].tokens == len(tokenizer.encode(text, add_special_tokens=False))
    results = judge_answers(task, answers, {}, partial)
    assert [one.verdict for one in results] == ["accepted", "wrong_answer"]
    assert results[0].turns == [{"role": "assistant", "text": answers[0].text}]
    idle = Writes(tokenizer, "", left=0)
    assert play_answers(task, task.settings.environment, encoder, idle, SamplingParams(100), partial) == answers


class Calls(Writes):
    """At each turn what it would say there, by how many results of tools the prompt has."""

    def __init__(self, tokenizer, *turns):
        super().__init__(tokenizer, "")
        self.turns = turns

    def generate(self, requests, params=None, on_token=None, on_finished=None):
        results = self.tokenizer.decode(requests[0].prompt).count("<tool_response>")
        self.text = self.turns[min(results, len(self.turns) - 1)]
        return super().generate(requests, params, on_token, on_finished)


def chat_of_tools(model_folder):
    from strop.chat import ChatEncoder, ChatSettings, fit_tokenizer
    from strop.model.names import load_tokenizer

    tokenizer = load_tokenizer(model_folder)
    fit_tokenizer(tokenizer, "chatml")
    stops = tokenizer.convert_tokens_to_ids(["<|im_end|>"])
    return tokenizer, ChatEncoder(tokenizer, ChatSettings(template="chatml"), stops)


def called(expression):
    arguments = json.dumps({"expression": expression})
    return f'<tool_call>\n{{"name": "calculator", "arguments": {arguments}}}\n</tool_call><|im_end|>'


def finished(answer):
    return f"{answer}<|im_end|>"


@pytest.mark.parametrize(
    ("turns", "settings", "finish", "verdict", "counts"),
    [
        ([called("3*7"), finished("#### 21")], {}, "stop", "accepted", {"turns": 2, "calls": 1}),
        (
            [called("3*"), called("3*7"), finished("#### 21")],
            {},
            "stop",
            "accepted",
            {"turns": 3, "calls": 2, "malformed": 1},
        ),
        ([called("3*7")], {"max_turns": 2}, "turns", "wrong_answer", {"turns": 2, "calls": 2, "out_of_turns": 1}),
        (
            [called("3*7"), called("3*7"), finished("#### 21")],
            {"max_calls": 1},
            "stop",
            "accepted",
            {"turns": 3, "calls": 2, "exhausted": 1},
        ),
    ],
    ids=["called", "malformed", "out of turns", "exhausted"],
)
def test_turns_with_the_calculator_have_the_budgets_of_training(
    problems, model_folder, tmp_path, turns, settings, finish, verdict, counts
):
    """What is played for an evaluation is what is played for training: one player, and the same counts."""
    tokenizer, encoder = chat_of_tools(model_folder)
    environment = {"kind": "tools", **settings}
    task = open_task("gsm8k", Gsm8kSettings(path=problems, environment=environment, count=1))
    engine, partial = Calls(tokenizer, *turns), Partial(tmp_path / "a", "k")
    engine.stop_ids = encoder.stop_ids
    [answer] = play_answers(task, task.settings.environment, encoder, engine, SamplingParams(400), partial).values()
    assert (answer.finish_reason, answer.counts) == (finish, counts)
    [result] = judge_answers(task, {0: answer}, {}, partial)
    assert result.verdict == verdict
    assert [turn["role"] for turn in answer.turns][:2] == ["assistant", "tool"]
    player, item = Player(encoder, task.settings.environment), task.all_items[0]
    opening = player.opening("0", Start(item.name, item.messages, data=item.data))
    [episode] = player.play(engine, [opening], SamplingParams(400))
    trained = episode.trajectory(0)
    assert (trained.text, trained.finish_reason, trained.length) == (answer.text, finish, answer.tokens)
    assert trained.counts == {"segments": 1, **counts}


def test_the_tokens_of_all_turns_together_are_bounded(problems, model_folder, tmp_path):
    tokenizer, encoder = chat_of_tools(model_folder)
    task = open_task("gsm8k", Gsm8kSettings(path=problems, environment="tools", count=1))
    first = len(tokenizer.encode(called("3*7"), add_special_tokens=False))
    engine = Calls(tokenizer, called("3*7"), finished("It is 21, I say.\n#### 21"))
    engine.stop_ids = encoder.stop_ids
    [answer] = play_answers(
        task, task.settings.environment, encoder, engine, SamplingParams(first + 3), Partial(tmp_path / "a", "k")
    ).values()
    assert (answer.finish_reason, answer.tokens, answer.counts["turns"]) == ("length", first + 3, 2)


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
    answers = play_answers(
        task, task.settings.environment, ChatEncoder(tokenizer), engine, SamplingParams(100), partial
    )
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
