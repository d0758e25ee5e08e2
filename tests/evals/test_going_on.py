"""An evaluation that was cut off goes on where it was; items that cannot be asked are counted, never dropped."""

import io
import json

import pytest
import torch

from strop.chat import ChatEncoder, ChatSettings
from strop.common.console import make_console
from strop.evals.measure import Measurement
from strop.evals.partial import Partial, key_of
from strop.evals.results import TOO_LONG
from strop.evals.run import answered, generate_answers, judge_answers
from strop.model.names import load_generation_config, load_model, load_tokenizer, stop_token_ids
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.rewards import Judgement
from strop.rollout.engine import Rollout, SamplingParams
from strop.rollout.torch_engine import TorchEngine
from strop.sandbox import is_unsafe, unsafe_local
from strop.tasks.base import AnswerSettings, AnswerTask, Item, TaskSettings
from strop.tasks.code_basics import generate
from strop.tasks.functions import ProblemTask
from strop.tasks.records import write_records

FLOAT32 = Compute(torch.device("cpu"), torch.float32)
STOP = 2


class Scripted:
    """An engine that answers each prompt with its own ids, and breaks off after ``left`` answers."""

    window, stop_ids = 20, frozenset({STOP})

    def __init__(self, left=100):
        self.left, self.asked = left, []

    def generate(self, requests, params=None, on_token=None, on_finished=None):
        for i, prompt in enumerate(request.prompt for request in requests):
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            self.asked.append(tuple(prompt))
            on_finished(i, Rollout(tuple(prompt), (*prompt, STOP), (0.0,) * (len(prompt) + 1), "stop"))


@pytest.fixture
def measure(tmp_path):
    records = generate("test", 6, 3)
    task = ProblemTask("mine", TaskSettings(), records)
    prompts = [[10 + i] * (25 if i == 4 else 3) for i in range(6)]  # the fifth fills the window
    texts = {10 + i: r.response if i != 1 else "I would sort them." for i, r in enumerate(records)}
    decode = lambda ids: texts[ids[0]]  # noqa: E731

    def call(engine, name="x", unsafe=False):
        partial = Partial(tmp_path / name, "k")
        rollouts = generate_answers(prompts, engine, SamplingParams(), partial)
        with unsafe_local(unsafe):
            return judge_answers(task, answered(rollouts, decode, engine.stop_ids), {4: "25 are too many"}, partial)

    return call


def test_only_what_is_left_is_generated_and_the_results_are_the_same(measure):
    whole, first, second = Scripted(), Scripted(2), Scripted()
    expected = measure(whole, "whole")
    with pytest.raises(KeyboardInterrupt):
        measure(first)
    assert measure(second) == expected
    assert (len(first.asked), len(second.asked)) == (2, 3)
    assert first.asked + second.asked == whole.asked


def test_verdicts_without_a_sandbox_are_none_of_a_call_with_it(measure, monkeypatch):
    judged = []

    def judge(task, items, answers):
        judged.append((is_unsafe(), len(answers)))
        return [Judgement("accepted" if is_unsafe() else "wrong_answer", int(is_unsafe()), 1)] * len(answers)

    monkeypatch.setattr(ProblemTask, "judge", judge)
    unsafe = measure(Scripted(), unsafe=True)
    generated = Scripted()
    confined = measure(generated)
    assert generated.asked == []  # answers are the same in either case
    assert [one.verdict for one in unsafe].count("accepted") == 5
    assert [one.verdict for one in confined].count("accepted") == 0
    assert measure(Scripted(), unsafe=True) == unsafe
    assert judged == [(True, 6), (False, 6)]


def test_a_prompt_that_fills_the_window_has_a_result_of_its_own(measure):
    engine = Scripted()
    results = measure(engine)
    assert [r.verdict for r in results] == ["accepted", "no_code", "accepted", "accepted", "no_code", "accepted"]
    assert [r.finish_reason for r in results] == ["stop"] * 4 + [TOO_LONG, "stop"]
    assert (results[4].tokens, results[4].answer, results[4].passed) == (0, "", 0)
    assert results[4].total == len(generate("test", 6, 3)[4].tests) > 0
    assert results[4].detail == "25 are too many"
    assert len(engine.asked) == 5


def test_verdicts_that_are_there_are_not_judged_again(measure, monkeypatch):
    expected = measure(Scripted())
    judged = []
    monkeypatch.setattr("strop.tasks.base.map_in_workers", lambda grade, jobs, on_death: judged.extend(jobs))
    assert measure(Scripted(0)) == expected
    assert judged == []


@pytest.mark.parametrize("end", ['{"kind": "answer", "index": 1, "va', "nonsense\n", "[1]\n"])
def test_a_cut_line_is_dropped_and_the_file_goes_on_whole(tmp_path, end):
    path = tmp_path / "p"
    one = Partial(path, "k")
    one.add("answer", 0, [[1, 2], "stop"])
    one.close()
    with path.open("a") as file:
        file.write(end)
    two = Partial(path, "k")
    assert (two.get("answer", 0), two.get("answer", 1)) == ([[1, 2], "stop"], None)
    two.add("answer", 1, [[3], "length"])
    two.close()
    three = Partial(path, "k")
    assert (three.count("answer"), three.get("answer", 1)) == (2, [[3], "length"])


def test_work_for_another_key_is_not_taken(tmp_path):
    Partial(tmp_path / "p", "k").add("answer", 0, 1)
    assert Partial(tmp_path / "p", "other").count("answer") == 0


def test_the_key_knows_the_model_and_the_settings(tmp_path):
    (tmp_path / "model.safetensors").write_text("a")
    key = key_of(tmp_path, [1, 2], "\udc80")
    assert key == key_of(tmp_path, [1, 2], "\udc80") != key_of(tmp_path, [1, 3], "\udc80")
    (tmp_path / "model.safetensors").write_text("ab")
    assert key != key_of(tmp_path, [1, 2], "\udc80")


@pytest.fixture
def measurement(model_folder, tmp_path):
    """Measure the small model on six problems and four conversations; gives (what came out, what was printed)."""
    write_records(tmp_path / "mine.jsonl", generate("test", 6, 0))
    evals = {
        "general_chat": TaskSettings(count=4),
        "mine": TaskSettings(path=tmp_path / "mine.jsonl", max_tokens=12),
    }
    tokenizer = load_tokenizer(model_folder)
    encoder = ChatEncoder(tokenizer, ChatSettings(), stop_token_ids(tokenizer, load_generation_config(model_folder)))

    def run(name, stop_after=None, task=None):
        policy = Policy(load_model(model_folder, FLOAT32.dtype), FLOAT32)
        policy.model.config.max_position_embeddings = 2048
        engine = TorchEngine(policy, encoder.stop_ids, max_rows=2)
        if stop_after is not None:
            generate_all = engine.generate

            def generate_some(requests, on_finished):
                def count(i, rollout):
                    on_finished(i, rollout)
                    count.left -= 1
                    if not count.left:
                        raise KeyboardInterrupt

                count.left = stop_after
                return generate_all(requests, on_finished=count)

            engine.generate = generate_some
        out = io.StringIO()
        one = Measurement(model_folder, policy, tokenizer, encoder, engine, tmp_path / name, make_console(file=out))
        return one.run(evals) if task is None else one.measure([task]), out.getvalue()

    run.folder = tmp_path
    return run


def test_an_interrupted_measurement_ends_as_an_uninterrupted_one(measurement):
    whole, _ = measurement("whole")
    with pytest.raises(KeyboardInterrupt):
        measurement("cut", stop_after=2)
    lines = (measurement.folder / "cut/mine.partial.jsonl").read_text().splitlines()
    assert [json.loads(line)["kind"] for line in lines[1:]] == ["answer"] * 2
    again, said = measurement("cut")
    assert "general_chat: going on; 4 of 4 conversations are there from before" in said
    assert "mine: going on; 2 of 6 answers are there from before" in said
    assert again == whole
    for task in ("mine", "general_chat"):
        files = [(measurement.folder / name / f"{task}.jsonl").read_text() for name in ("whole", "cut")]
        assert files[0] == files[1]
    assert not list(measurement.folder.glob("*/*.partial.jsonl"))


class Words(AnswerTask):
    """Graded by an object without a text of its own, which holds a set."""

    metrics = ()

    def __init__(self, held):
        super().__init__("words", AnswerSettings(max_tokens=4))
        self.held = held

    def items(self):
        return [Item(f"words/{n}", f"{n}", [{"role": "user", "content": f"hello {n}"}], self.held(n)) for n in range(4)]

    @classmethod
    def grade(cls, item, answer):
        return Judgement("wrong_answer", 0, 1)


class Held:
    def __init__(self, n):
        self.words = {"hello", "world", n}


def test_data_without_a_text_of_its_own_is_gone_on_with(measurement):
    with pytest.raises(KeyboardInterrupt):
        measurement("held", 2, Words(Held))
    _, said = measurement("held", task=Words(Held))
    assert "words: going on; 2 of 4 answers are there from before" in said


def test_data_that_nobody_could_tell_again_are_named(measurement):
    with pytest.raises(KeyboardInterrupt):
        measurement("held", 2, Words(lambda n: lambda: n))
    _, said = measurement("held", task=Words(lambda n: lambda: n))
    assert "words: what its answers are graded by holds a function or class without a name of its own" in said
    assert "going on" not in said


def test_answers_that_the_judge_failed_on_are_counted_in_words(measurement, monkeypatch):
    fault = Judgement("judge_fault", 0, 1, "the judge died")
    monkeypatch.setattr("strop.tasks.base.AnswerTask.judge", lambda task, items, answers: [fault] * len(answers))
    _, said = measurement("fault")
    assert "mine: 6 of 6 answers could not be judged (the judge died); they count as not solved" in said


def test_what_a_task_was_measured_by_is_told(measurement):
    done, said = measurement("one")
    assert set(done["tasks"]["mine"]) == {name for name in done["metrics"] if name.startswith("mine_")}
    assert done["tasks"]["general_chat"] == ["general_chat_loss"]
    assert done["answered"] == ["mine"]
    assert set(done["measures"]) == set(done["metrics"])
    assert (done["measures"]["mine_accepted@1"]["unit"], done["measures"]["mine_accepted@1"]["bound"]) == ("rate", None)
    assert done["measures"]["general_chat_loss"]["relative"] is True
    assert "mine: 6 items in" in said
    assert "\r" not in said
