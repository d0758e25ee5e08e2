"""The verbs as Python functions: what is handed in, what comes back, and what is refused in words."""

import json
import subprocess
import sys
import threading
import types
from pathlib import Path
from typing import ClassVar, Literal

import pytest

import strop
from strop.common.given import digest_of, read_given, write_given
from strop.environments.base import Environment, Observation
from strop.rewards import Judgement
from strop.tasks.base import AnswerTask, Item
from strop.tasks.metrics import Metric

ROWS = [{"prompt": f"What is {i} and 1?", "completion": str(i + 1), "answer": str(i + 1)} for i in range(6)]
QUICK = {"compute": {"dtype": "float32"}, "quiet": True}
ROLLOUT = {"prompts_per_step": 2, "group_size": 4, "max_tokens": 6, "keep_every": 1}
BONUS = 0.5


class Pat(Environment):
    kind: Literal["pat"] = "pat"
    rewards: ClassVar[bool] = True

    def step(self, turn):
        return Observation(reward=BONUS, done=True)


class Echo(AnswerTask):
    metrics = (Metric("right", "echoes", "rate", 1, lead=0, value=lambda one: one.passed / one.total),)

    def items(self):
        return [Item(w, w, [{"role": "user", "content": f"Say {w}."}], w) for w in ("red", "tree")][
            : self.settings.count
        ]

    @classmethod
    def grade(cls, item, answer):
        return Judgement("accepted" if item.data in answer else "wrong_answer", int(item.data in answer), 1)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_importing_strop_loads_neither_the_verbs_nor_torch():
    code = (
        "import strop, sys; print({'torch', 'strop.api'} & set(sys.modules), 'sft' in dir(strop), strop.sft.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set() True sft\n"
    with pytest.raises(AttributeError, match="no attribute 'sftt'"):
        strop.sftt  # noqa: B018


def test_rows_are_trained_on_and_the_result_speaks(here, model_folder):
    how = {"name": "mine", "global_batch_size": 2, "eval_data": ROWS[:2], "evals": {"echo": Echo}, **QUICK}
    result = strop.sft(model_folder, ROWS, max_steps=2, **how)
    assert result.folder == Path("runs/mine")
    assert (result.model / "config.json").is_file()
    assert [row["step"] for row in result.steps() if "loss" in row] == [1, 2]
    assert result.metrics["sft/eval_loss"] > 0
    model = result.load()
    assert isinstance(model.chat("What is 1 and 1?", max_tokens=3), str)
    both = model.generate(["a", [{"role": "user", "content": "b"}]], samples=2, max_tokens=3, temperature=1.0)
    assert [len(one) for one in both] == [2, 2]
    assert model.generate(["a"], samples=2, max_tokens=3, temperature=1.0)[0] == both[0]  # its own seed alone
    again = strop.sft(model_folder, ROWS, max_steps=2, **how)
    assert again.metrics == result.metrics  # done before: the same rows and class are the same files
    with pytest.raises(strop.InputError, match="max_steps"):
        strop.sft(model_folder, ROWS, max_steps=3, **how)


def test_functions_lambdas_and_an_environment_grade_in_other_processes(here, model_folder):
    worth = 0.25

    def nested(samples):
        return [worth * len(one.answer) for one in samples]

    rewards = {"nested": nested, "tokens": lambda samples: [one.tokens for one in samples], "stops": {"kind": "stop"}}
    result = strop.grpo(model_folder, ROWS, rewards=rewards, rollout=ROLLOUT, max_steps=1, environment=Pat, **QUICK)
    kept = [json.loads(x) for x in (result.folder / "grpo/rollouts/step-000001.jsonl").read_text().splitlines()]
    answers = [one for row in kept for one in row["answers"]]
    assert len(answers) == 8
    for one in answers:
        assert one["parts"]["nested"] == 0.25 * len(one["answer"])
        assert one["parts"]["tokens"] == len(one["tokens"])
        assert one["finish_reason"] != "stop" or one["parts"]["environment"] == BONUS
    config = (result.folder / "grpo/config.yaml").read_text()
    assert "runs/grpo/functions/nested-" in config
    assert "runs/grpo/classes/pat-" in config


def test_a_loss_of_ones_own_that_is_cross_entropy_trains_the_same_weights(here, model_folder):
    from safetensors.torch import load_file

    def plain(outputs, batch):
        return -outputs["logprobs"]

    how = {"global_batch_size": 2, "max_steps": 2, "learning_rate": 1e-3, **QUICK}
    mine = strop.sft(model_folder, ROWS, name="mine", objective=plain, **how)
    usual = strop.sft(model_folder, ROWS, name="usual", **how)
    a, b = (load_file(one.model / "model.safetensors") for one in (mine, usual))
    start = load_file(model_folder / "model.safetensors")
    assert max((a[name] - start[name]).abs().max().item() for name in a) > 1e-4
    for name in a:
        assert (a[name] - b[name]).abs().max() < 1e-6
    with pytest.raises(strop.InputError, match="gives the loss of each trained token"):
        strop.sft(model_folder, ROWS, name="mean", objective=lambda o, b: o["logprobs"].mean(), max_steps=1, **QUICK)
    with pytest.raises(strop.InputError, match="gave losses that no gradient goes back from"):
        strop.sft(model_folder, ROWS, name="cut", objective=lambda o, b: -o["logprobs"].detach(), max_steps=1, **QUICK)
    with pytest.raises(strop.InputError, match="label_smoothing is of cross-entropy"):
        strop.sft(model_folder, ROWS, name="two", objective=plain, label_smoothing=0.1, **QUICK)


def test_a_task_class_is_measured_and_two_measurements_are_compared(here, model_folder):
    one = strop.evaluate(model_folder, [Echo], max_tokens=4, folder="runs/a", **QUICK)
    two = strop.evaluate(model_folder, {"echo": Echo}, max_tokens=6, folder="runs/b", **QUICK)
    assert set(one.metrics) == set(two.metrics) >= {"echo_right"}
    assert one.model is None
    [comparison] = strop.compare_runs(one, two)
    assert comparison.metrics["echo_right"].change.n == 2


def test_a_recipe_is_run_with_dotted_overrides(here, model_folder):
    recipe = {
        "name": "r",
        "model": str(model_folder),
        "stages": {"sft": {"kind": "sft", "data": [{"path": "x.jsonl"}]}},
    }
    Path("x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    result = strop.run(recipe, quiet=True, name="2024", **{"stages.sft.train.max_steps": 1})
    assert result.folder == Path("runs/2024")
    assert recipe["stages"]["sft"] == {"kind": "sft", "data": [{"path": "x.jsonl"}]}


def test_what_cannot_be_used_is_refused_in_a_sentence(here, model_folder):
    lock = threading.Lock()
    with pytest.raises(strop.InputError, match="cannot be sent to the processes"):
        strop.grpo(model_folder, ROWS, rewards={"locked": lambda samples: [lock.locked() for _ in samples]})
    with pytest.raises(strop.InputError, match="no setting 'lerning_rate'; did you mean learning_rate"):
        strop.sft(model_folder, ROWS, lerning_rate=1)
    with pytest.raises(strop.InputError, match="no rows"):
        strop.sft(model_folder, [])
    with pytest.raises(strop.InputError, match="what JSON cannot"):
        strop.sft(model_folder, [{"prompt": "x", "completion": object()}])


def test_the_digest_of_a_class_is_of_all_that_each_of_its_methods_reads(monkeypatch):
    names = [f"W{i}" for i in range(20)]
    methods = "\n".join(f"    def m{i}(self): return {name}" for i, name in enumerate(names))
    module = types.ModuleType("many")
    exec("\n".join([*(f"{name} = 0" for name in names), "class Many:", methods]), vars(module))
    monkeypatch.setitem(sys.modules, "many", module)
    plain = digest_of(module.Many)
    assert {digest_of(module.Many) for _ in range(20)} == {plain}
    for name in names:
        monkeypatch.setattr(module, name, 1)
        assert digest_of(module.Many) != plain
        monkeypatch.setattr(module, name, 0)


def test_the_digest_of_a_function_is_of_its_code_and_what_it_reads(tmp_path):
    def make(source, **names):
        names = {"__name__": "__main__", **names}
        exec(compile(source, f"<{len(source)}>", "exec"), names)
        return names["f"]

    one = make("def f(s):\n    return [g(x) for x in s]\ndef g(x): return x + K\n", K=1)
    moved = make("\n\n# a comment\ndef f(s):\n    return [g(x) for x in s]\ndef g(x): return x + K\n", K=1)
    others = [
        make("def f(s):\n    return [g(x) for x in s]\ndef g(x): return x - K\n", K=1),
        make("def f(s):\n    return [g(x) for x in s]\ndef g(x): return x + K\n", K=2),
    ]
    assert digest_of(one) == digest_of(moved)
    assert len({digest_of(one), *map(digest_of, others)}) == 3
    path = write_given(tmp_path, one, "f")
    assert read_given(path)([1, 2]) == [2, 3]
    assert write_given(tmp_path, moved, "f") == path
