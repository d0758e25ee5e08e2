"""Reinforcement learning as a user has it: recipes and verbs, what is refused beforehand, a run that is stopped."""

import json

import pytest
import yaml

from strop.cli import main
from strop.common.console import make_console
from strop.common.errors import Halted, InputError
from strop.common.registry import load_plugins
from strop.config.recipe import load_recipe, stage_recipe
from strop.environments.base import TAKEN
from strop.rollout.source import RolloutSource
from strop.runs.pipeline import run_recipe
from strop.train import loop

ROLLOUT = {"prompts_per_step": 2, "group_size": 4, "max_tokens": 6, "keep_every": 1}
REWARD = "def letters(samples):\n    return [sum(c in 'aeiou' for c in s.answer) for s in samples]\n"
TASK = """
from strop.rewards import Judgement
from strop.tasks.base import AnswerTask, Item, register


@register("vowels")
class Vowels(AnswerTask):
    metrics = ()

    def items(self):
        return []

    def train_items(self, count, seed):
        return [Item(f"v{i}", "v", [{"role": "user", "content": f"Say {i}."}], i) for i in range(count or 3)]

    @classmethod
    def grade(cls, item, answer):
        if item.data == 99:
            raise KeyError("no such item")
        right = sum(c in "aeiou" for c in answer)
        return Judgement("wrong_answer", right, 6)
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    """One file for all: a task has one home."""
    file = tmp_path_factory.mktemp("plugins") / "task.py"
    file.write_text(TASK)
    return file


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"question": f"What is {i} and 1?", "answer": str(i + 1)} for i in range(4)]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "mine.py").write_text(REWARD)
    return tmp_path


def recipe(here, model, *overrides, plugin=None, **stage):
    given = {"kind": "rl", "data": ["sums.jsonl"], "rollout": ROLLOUT, **stage}
    given["train"] = {"max_steps": 2, "learning_rate": 1e-3, **given.get("train", {})}
    content = {"name": "small", "model": str(model), "compute": {"dtype": "float32"}, "stages": {"rl": given}}
    if plugin:
        content["plugins"] = [str(plugin)]
    (here / "recipe.yaml").write_text(yaml.safe_dump(content))
    return load_recipe(here / "recipe.yaml", overrides)


def run(one, **how):
    return run_recipe(one, make_console(stderr=True), **how)


def test_a_file_and_a_task_are_trained_on_with_their_own_grades_and_a_function_on_both(here, model_folder, plugin):
    rewards = {
        "right": {"kind": "exact", "as_number": True},
        "vowels": {"kind": "task", "by": "pass_ratio"},
        "more": {"kind": "function", "function": "mine.py:letters", "weight": 0.1},
    }
    one = recipe(
        here, model_folder, plugin=plugin, data=[{"path": "sums.jsonl"}, {"task": "vowels"}], rewards=rewards,
        rollout={**ROLLOUT, "prompts_per_step": 7}, objective={"kl_coef": 0.1},
    )  # fmt: skip
    summary = run(one)
    folder = here / "runs/small/rl"
    assert summary["facts"]["rl"]["batches of rollouts"] == 2
    assert (folder / "model/config.json").is_file()
    rows = [json.loads(line) for line in (folder / "rollouts/step-000001.jsonl").read_text().splitlines()]
    assert len(rows) == 7  # one epoch of both
    for row in rows:
        graded = {"right", "more"} if row["name"].startswith("sums.jsonl") else {"vowels", "more"}
        for answer in row["answers"]:
            assert set(answer["parts"]) == graded
            vowels = sum(c in "aeiou" for c in answer["answer"])
            assert answer["parts"]["more"] == vowels
            if "vowels" in graded:
                assert answer["reward"] == pytest.approx(vowels / 6 + 0.1 * vowels)
    told = json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])
    assert {"reward/right", "reward/vowels", "reward/more_std", "rollout/pass_rate", "kl_loss", "ratio"} <= set(told)
    assert run(one)["facts"] == summary["facts"]  # done before


ENVIRONMENT = """
from typing import ClassVar, Literal

from strop.environments.base import Environment, Observation, register


@register("twice")
class Twice(Environment):
    kind: Literal["twice"]
    rewards: ClassVar[bool] = True

    def step(self, turn):
        if turn.number == 2:
            return Observation(reward=0.5, done=True)
        return Observation([{"role": "user", "content": "And again?"}], reward=len(turn.text) / 100)
"""


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    file = tmp_path_factory.mktemp("plugins") / "twice.py"
    file.write_text(ENVIRONMENT)
    load_plugins([file])
    return file


@pytest.fixture(scope="module")
def brief_model(model_folder, make_brief):
    """One of whose tokens a tenth end a turn."""
    return make_brief(model_folder, range(300, 360))


@pytest.fixture
def asked(here):
    rows = [{"prompt": "Say something."}, {"prompt": "Say more."}]
    (here / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_an_environment_of_a_plug_in_answers_and_rewards_and_its_turns_are_kept(here, brief_model, twice, asked):
    one = recipe(
        here, brief_model, plugin=twice, data=["asked.jsonl"], environment={"kind": "twice", "weight": 2},
        rewards={"more": {"kind": "length", "most": 50, "slack": 1}}, rollout={**ROLLOUT, "max_tokens": 40},
    )  # fmt: skip
    run(one)
    folder = here / "runs/small/rl"
    told = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert {"rollout/turns", "rollout/segments"} <= set(told[0])
    kept = [json.loads(line) for line in (folder / "rollouts/step-000001.jsonl").read_text().splitlines()]
    answers = [answer for row in kept for answer in row["answers"]]
    assert len(answers) == 8
    for answer in answers:
        roles = [turn["role"] for turn in answer["turns"]]
        assert roles in (["assistant"], ["assistant", "user", "assistant"])
        assert sum(turn.get("tokens", 0) for turn in answer["turns"]) == len(answer["tokens"])
        if "environment" in answer["parts"]:
            assert answer["reward"] == pytest.approx(2 * answer["parts"]["environment"] + answer["parts"]["more"])
    rates = [answer["parts"]["environment"] for answer in answers if answer["finish_reason"] == "stop"]
    assert rates
    assert all(rate >= 0.5 for rate in rates)


def test_f22_turns_ahead_of_training_killed_and_gone_on_are_uninterrupted_bit_for_bit(
    here, brief_model, twice, asked, monkeypatch
):
    def begin(name):
        (here / name).mkdir()
        monkeypatch.chdir(here / name)
        given = {"prompts_per_step": 2, "group_size": 4, "max_tokens": 200, "keep_every": 1, "staleness": 1}
        return recipe(
            here, brief_model, plugin=twice, data=[str(here / "asked.jsonl")], environment="twice", rollout=given,
            rewards={"more": {"kind": "length", "most": 150, "slack": 100}}, objective={"kl_coef": 0.0},
            train={"max_steps": 3, "checkpoint_every": 1, "micro_batch_tokens": 2048},
        )  # fmt: skip

    def left(name):
        folder = here / name / "runs/small/rl"
        rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        untimed = [{k: v for k, v in row.items() if "second" not in k and k != "memory_gb"} for row in rows]
        kept = [(folder / f"rollouts/step-00000{i}.jsonl").read_text() for i in (1, 2, 3)]
        return untimed, kept, (folder / "model/model.safetensors").read_bytes()

    run(begin("whole"))
    cut, next_step = begin("cut"), RolloutSource.next_step

    def killed(source):
        if source.given == 2:
            raise RuntimeError("killed")
        return next_step(source)

    with monkeypatch.context() as patched:
        patched.setattr(RolloutSource, "next_step", killed)
        with pytest.raises(RuntimeError, match="killed"):
            run(cut)
    run(cut)
    rows, kept, weights = left("cut")
    assert (rows, kept, weights) == left("whole")
    assert [row["rollout/version_lag"] for row in rows] == [0, 1, 1]
    assert min(row["rollout/turns"] for row in rows) > 1
    assert any(row["loss"] for row in rows[1:])


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ({"environment": "nothing"}, "no kind of environment"),
        ({"environment": {"kind": ["tools"]}}, "no kind of environment"),
        ({"environment": {"kind": "inline", "tools": []}}, "tools"),
        (
            {"environment": {"kind": "tools", "weight": 5}},
            r"environment\.weight would not be read.*tools gives no rewards",
        ),
        ({"environment": {"kind": "inline", "weight": 0}}, r"environment\.weight would not be read.*inline gives no"),
        ({"environment": {"kind": "inline", "unrewarded": -1}}, r"environment\.unrewarded would not be read"),
        ({"environment": "inline", "rewards": {"environment": {"kind": "stop"}}}, "give it another name"),
    ],
)
def test_environments_that_are_none_are_refused(here, model_folder, stage, words):
    with pytest.raises(InputError, match=words):
        recipe(here, model_folder, **stage)


def test_a_row_that_an_environment_cannot_begin_with_is_named(here, model_folder, tmp_path):
    file = tmp_path / "counted.py"
    file.write_text(
        """
from typing import Literal

from strop.environments.base import Environment, Observation, register


@register("counted")
class Counted(Environment):
    kind: Literal["counted"]

    def reset(self, start):
        return [{"role": "user", "content": f"Count to {int(start.truth)}."}]

    def step(self, turn):
        return Observation(done=True)
"""
    )
    load_plugins([file])
    (here / "asked.jsonl").write_text('{"prompt": "a", "answer": "3"}\n{"prompt": "b", "answer": "tea"}\n')
    words = r"asked.jsonl:2: the environment counted cannot begin with it \(ValueError: invalid literal .*'tea'\)"
    with pytest.raises(InputError, match=words):
        run(recipe(here, model_folder, data=["asked.jsonl"], environment="counted"))


def test_the_names_of_a_batchs_own_numbers_are_taken(here, model_folder):
    run(recipe(here, model_folder, objective={"preset": "ppo", "kl_coef": 0.1, "kl_target": 0.1}))
    rows = [json.loads(line) for line in (here / "runs/small/rl/metrics.jsonl").read_text().splitlines()]
    names = {name.removeprefix("rollout/") for row in rows for name in row if name.startswith("rollout/")}
    assert names <= TAKEN


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"watch": {"kl": 0.1}, "objective": {"kl_coef": 0}},
            r"watch\.kl would not be read: without objective\.kl_coef",
        ),
        ({"watch": {"overoptimization": 0.1}}, r"watch\.overoptimization would not be read: train\.tasks names no"),
        ({"watch": {"max_rollbacks": 3}}, r"watch\.max_rollbacks would not be read: watch\.alarm is warn"),
    ],
)
def test_an_alarm_that_can_never_be_raised_is_refused(here, model_folder, given, words):
    with pytest.raises(InputError, match=words):
        recipe(here, model_folder, **given)
    recipe(here, model_folder, watch={"kl": None, "overoptimization": None}, objective={"kl_coef": 0})


def test_tools_that_do_not_go_with_the_template_are_refused_before_the_run(here, model_folder):
    one = recipe(here, model_folder, environment="tools")
    with pytest.raises(InputError, match=r"the template prints no tool calls; set chat\.template: chatml"):
        run(one)
    with pytest.raises(InputError, match="is no tool"):
        run(recipe(here, model_folder, environment={"kind": "tools", "tools": ["abacus"]}))


def test_tools_are_called_in_a_run_on_a_template_that_has_them_and_lent_in_a_chat_after_it(here, model_folder, capsys):
    one = recipe(
        here, model_folder, "chat.template=chatml", environment={"kind": "tools", "tools": ["calculator", "python"]},
        train={"micro_batch_tokens": 4096},
    )  # fmt: skip
    run(one)
    told = json.loads((here / "runs/small/rl/metrics.jsonl").read_text().splitlines()[0])
    assert told["rollout/turns"] >= 1
    chat = ["chat", "runs/small", "--prompt", "Hello", "--max-tokens", "4"]
    assert main(chat) == 0
    assert "lent as in the training: calculator, python (--no-tools goes without)" in capsys.readouterr().err
    assert main([*chat, "--no-tools"]) == 0
    assert "lent" not in capsys.readouterr().err


def test_a_grader_that_raises_stops_the_run_and_is_named(here, model_folder, plugin):
    one = recipe(
        here, model_folder, plugin=plugin, data=[{"task": "vowels", "count": 100}], rewards={"v": {"kind": "task"}},
        rollout={**ROLLOUT, "prompts_per_step": 100, "group_size": 2}, grading={"max_failed": 0.0},
    )  # fmt: skip
    with pytest.raises(Halted, match=r"rewards\.v: 2 of 200 answers.*v99: raised KeyError"):
        run(one)


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ({"rollout": {**ROLLOUT, "top_p": 0.9}}, "rollout.top_p would let the sampler"),  # f02
        ({"rollout": {**ROLLOUT, "min_p": 0.1}}, "rollout.min_p would let the sampler"),
        ({"rollout": {**ROLLOUT, "group_size": 1}}, "group_size: 1 leaves nothing to compare"),
        ({"lora": {"dropout": 0.1}}, "lora.dropout"),
        ({"rewards": {}}, "at least one reward"),
        ({"train": {"epochs": 2}}, "epochs"),
        ({"rollout": {**ROLLOUT, "mini_batches": 3}}, "mini_batches 3 is more"),
        *(
            (
                {"rollout": {**ROLLOUT, "no_spread": "drop"}, "objective": {"preset": preset}},
                "drop would throw away what",
            )
            for preset in ("reinforce", "ppo")
        ),
        ({"watch": {"no_spread": 0.5}, "objective": {"preset": "reinforce"}}, r"watch\.no_spread would not be read"),
        ({"rollout": {**ROLLOUT, "refill": 2}, "grading": {"max_failed": 0}}, "refill would never act.*no_spread=drop"),
        ({"objective": {"correction_cap": 3}}, "correction_cap would not be read: the weights that are trained sample"),
    ],
)
def test_f02_settings_that_would_go_wrong_are_refused(here, model_folder, stage, words):
    with pytest.raises(InputError, match=words):
        recipe(here, model_folder, **stage)


@pytest.mark.parametrize(
    "stage",
    [
        {"rollout": {**ROLLOUT, "no_spread": "drop", "refill": 2}, "grading": {"max_failed": 0}},
        {"rollout": {**ROLLOUT, "no_spread": "drop"}, "objective": {"preset": "rloo"}},
        {"rollout": {**ROLLOUT, "refill": 2}},  # in the place of groups that failed
        {"rollout": {**ROLLOUT, "refill": 2}, "objective": {"truncated": "mask"}, "grading": {"max_failed": 0}},
        {"watch": {"no_spread": None}, "objective": {"preset": "ppo"}},
    ],
)
def test_settings_of_dropped_groups_that_act_are_taken(here, model_folder, stage):
    assert recipe(here, model_folder, **stage).stages["rl"].kind == "rl"


def test_a_cap_of_the_correction_is_taken_where_other_weights_or_another_program_sample(here, model_folder):
    cap = {"objective": {"preset": "grpo", "correction_cap": 3}}
    ahead = recipe(here, model_folder, rollout={**ROLLOUT, "staleness": 1}, **cap).stages["rl"]
    vllm = "rollout={engine: vllm, vllm: {url: ['http://127.0.0.1:9']}}"
    served = recipe(here, model_folder, vllm, **cap).stages["rl"]
    for stage in (ahead, served):
        decided = stage.objective.decided(apart=True)
        assert (decided.correction, decided.correction_cap) == ("truncate", 3)


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        (
            {"data": [{"path": "sums.jsonl", "truth": "none"}]},
            r"sums\.jsonl:1: there is no ground truth.*truth: COLUMN",
        ),
        ({"data": [{"path": "sums.jsonl", "prompt": "none"}]}, r"sums\.jsonl:1: there is no prompt"),
        ({"rewards": {"t": {"kind": "task"}}}, "no reward applies to this prompt"),
        ({"rewards": {"f": {"kind": "function", "function": "mine.py:nothing"}}}, "no function nothing"),
        ({"rollout": {**ROLLOUT, "max_tokens": 4000}}, "the model's window holds"),
        ({"train": {"micro_batch_tokens": 8}}, "micro_batch_tokens to at least"),
        ({"train": {"max_steps": 6, "warmup_steps": 10}}, "warmup_steps 10 of 6 steps leaves none at the peak"),
        ({"data": [{"task": "humaneval"}]}, "humaneval has no items to train on"),
        ({"data": [{"task": "general_chat"}]}, "measures a loss"),
    ],
)
def test_what_would_stop_the_run_is_refused_before_it_begins(here, model_folder, stage, words):
    one = recipe(here, model_folder, **stage)
    with pytest.raises(InputError, match=words):
        run(one)
    assert not (here / "runs/small/rl").exists()


def test_an_engine_that_would_not_be_used_is_refused(here, model_folder):
    with pytest.raises(InputError, match=r"stages\.rl: samples with the weights that are trained.*int8"):
        recipe(here, model_folder, "rollout.int8=true")


def told(here):
    return [json.loads(line) for line in (here / "runs/small/rl/metrics.jsonl").read_text().splitlines()]


def test_f06_sampler_and_trainer_agree_on_every_token_in_float32_and_the_difference_is_told_in_bfloat16(
    here, model_folder
):
    given = {"rewards": {"length": {"kind": "length", "most": 6, "slack": 6}}, "objective": {"entropy_coef": 0.1}}
    run(recipe(here, model_folder, train={"max_steps": 3}, **given))
    for row in told(here):
        assert max(row["mismatch_max"], row["rollout/mismatch_max"]) < 1e-4
        assert row["rollout/version_lag"] == 0
    run(recipe(here, model_folder, "compute.dtype=bfloat16", train={"max_steps": 1}, **given), changed="fresh")
    [row] = told(here)
    assert 0 < row["mismatch"] <= row["mismatch_max"] < 1


def test_a_stage_whose_rollouts_run_ahead(here, model_folder):
    import multiprocessing

    import torch

    threads = torch.get_num_threads()
    one = recipe(
        here, model_folder, rollout={**ROLLOUT, "staleness": 1}, lora={"r": 4}, train={"max_steps": 3},
        rewards={"more": {"kind": "function", "function": "mine.py:letters"}}, objective={"entropy_coef": 0.1},
    )  # fmt: skip
    run(one)
    rows = told(here)
    assert [row["rollout/version_lag"] for row in rows] == [0, 1, 1]
    assert max(rows[0]["mismatch_max"], rows[0]["rollout/mismatch_max"]) < 1e-4
    assert rows[1]["mismatch_max"] > 1e-4  # there were updates in between
    assert [row["correction_weight"] != 1 for row in rows[1:]] == [True, True]
    assert rows[1]["rollout/ahead_seconds"] > 0
    for i, row in enumerate(rows):
        lines = (here / f"runs/small/rl/rollouts/step-00000{i + 1}.jsonl").read_text().splitlines()
        assert {a["version"] for line in lines for a in json.loads(line)["answers"]} == {max(0, i - 1)}
        spent = [row[f"seconds/{name}"] for name in ("rollout", "reward", "measure", "train")]
        assert min(spent) >= 0
        assert sum(spent) == pytest.approx(row["seconds"])
    assert torch.get_num_threads() == threads
    assert not [one for one in multiprocessing.active_children() if one.name == "strop sampler"]


def test_rollouts_do_not_run_ahead_of_a_training_on_a_gpu_in_a_process_on_the_cpu(here, model_folder):
    import torch

    from strop.model.precision import Compute
    from strop.stages._rl import check_rollouts
    from strop.stages.base import Context

    one = recipe(here, model_folder, rollout={**ROLLOUT, "staleness": 1})
    compute = Compute(torch.device("cuda"), torch.float32)
    context = Context(one, "rl", model_folder, here, compute, make_console(stderr=True))
    with pytest.raises(InputError, match=r"stages\.rl\.rollout\.staleness: .* on cuda; set it to 0, or .*vllm"):
        check_rollouts(one.stages["rl"], context)


def test_what_is_not_there_any_more_is_told(here, model_folder):
    one = recipe(here, model_folder, data=["gone.jsonl"])
    with pytest.raises(InputError, match=r"gone\.jsonl: there is no such file"):
        run(one)


def test_a_mended_reward_goes_on_from_the_checkpoint(here, model_folder, capsys):
    (here / "mine.py").write_text(
        "n = []\n" + REWARD.replace("    return", "    n.append(1)\n    assert len(n) <= 2\n    return")
    )
    rewards = {"mine": {"kind": "function", "function": "mine.py:letters"}}
    given = {"rewards": rewards, "grading": {"workers": 1}, "train": {"max_steps": 3}}
    recipe(here, model_folder, **given)
    assert main(["run", "recipe.yaml"]) == 1  # the third call fails: the second batch
    said = capsys.readouterr().err
    assert "rewards.mine: 4 of 4" not in said
    assert "raised AssertionError" in said
    assert "--continue" in said
    assert (here / "runs/small/rl/checkpoints/step-000001").is_dir()
    (here / "mine.py").write_text(REWARD)
    assert main(["run", "recipe.yaml"]) == 2
    assert "--continue goes on" in capsys.readouterr().err
    assert main(["run", "recipe.yaml", "--continue"]) == 0
    steps = [json.loads(line)["step"] for line in (here / "runs/small/rl/metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3]


def test_the_verbs_are_recipes_of_one_stage(here, model_folder, capfd):
    data = {"kind": "rl", "data": ["sums.jsonl"]}
    grpo = stage_recipe("grpo", "x", data, ["rollout.group_size=4", "chat.max_length=99"])
    assert grpo.stages["grpo"].objective.preset == "grpo"
    assert grpo.stages["grpo"].rollout.group_size == 4
    assert set(grpo.stages["grpo"].rewards) == {"task", "exact"}
    small = [f"rollout.{name}={value}" for name, value in ROLLOUT.items()]
    command = ["ppo", str(model_folder), "--data", "sums.jsonl", "train.max_steps=2", "compute.dtype=float32", *small]
    assert main([*command, "objective.kl_coef=0", "objective.value_clip=0.5", "rewards.stop.kind=stop"]) == 0
    said = " ".join("".join(capfd.readouterr()).split())
    assert "is trained once, so the ratio is 1 and value_clip: 0.5 of the objective changes nothing; rollout.up" in said
    told = json.loads((here / "runs/ppo/ppo/metrics.jsonl").read_text().splitlines()[1])
    assert {"value_loss", "value_error", "rollout/value_explained"} <= set(told)


def rows(here, name):
    """metrics.jsonl without what the clock and the machine decide."""
    lines = (here / f"runs/{name}/rl/metrics.jsonl").read_text().splitlines()
    found = map(json.loads, lines)
    return [{k: v for k, v in row.items() if "second" not in k and "memory" not in k} for row in found]


@pytest.fixture
def bad_batches(monkeypatch):
    """Alarm at the batches of rollouts whose numbers are in the list, counted over the whole run."""
    numbers, real = [], RolloutSource._alarms

    def alarms(self, metrics):
        if self.rollouts in numbers:
            metrics = {**metrics, "rollout/most_common_answer": 1.0}
        return real(self, metrics)

    monkeypatch.setattr(RolloutSource, "_alarms", alarms)
    return numbers


WATCH = {"alarm": "rollback", "first": 1, "patience": 2, "max_rollbacks": 1, "no_spread": None, "length": None}
LONG = {"max_steps": 8, "checkpoint_every": 1}
STOP = {"vowel": {"kind": "regex", "pattern": "[aeiou]"}}


def test_an_alarm_takes_the_run_back_to_before_it_and_on_with_other_prompts(
    here, model_folder, bad_batches, monkeypatch, capsys
):
    given = {"watch": WATCH, "train": LONG, "rewards": STOP}
    run(recipe(here, model_folder, "name=fine", **given))
    bad_batches += [4, 5]  # the second raises it, before the sixth step
    summary = run(recipe(here, model_folder, "name=whole", **given))
    assert "rolled back to step 4" in capsys.readouterr().err
    fine, whole = rows(here, "fine"), rows(here, "whole")
    assert [row["step"] for row in whole] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert whole[:4] == fine[:4]
    assert not any(a == b for a, b in zip(whole[4:], fine[4:], strict=True))  # other prompts, other draws
    stage = here / "runs/whole/rl"
    [told] = map(json.loads, (stage / "rollbacks.jsonl").read_text().splitlines())
    assert (told["at_step"], told["to_step"]) == (6, 4)
    assert told["reason"].startswith("alarm constant_answers, at step 6")
    assert [
        json.loads(line)["step"] for line in (stage / "rolled-back/001/metrics.jsonl").read_text().splitlines()
    ] == [5]
    aside = sorted(path.name for path in (stage / "rolled-back/001/rollouts").iterdir())
    assert aside == ["step-000005.jsonl", "step-000006.jsonl"]  # and the batch that raised it
    assert summary["facts"]["rl"]["rolled back"] == "step 6 → 4"
    assert any("The run went back to step 4." in text for text in summary["warnings"])
    asked = [
        [
            json.loads(line)["name"]
            for line in (here / f"runs/{name}/rl/rollouts/step-000005.jsonl").read_text().splitlines()
        ]
        for name in ("whole", "fine")
    ]
    assert asked[0] != asked[1]

    real, calls = loop.optimizer_step, []

    def die_in_the_second_step_after_it(*arguments):
        calls.append(1)
        if len(calls) == 7:
            raise SystemError("the power went")
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "optimizer_step", die_in_the_second_step_after_it)
        with pytest.raises(SystemError):
            run(recipe(here, model_folder, "name=cut", **given))
    run(recipe(here, model_folder, "name=cut", **given))
    assert rows(here, "cut") == whole
    one, other = (here / f"runs/{name}/rl/model/model.safetensors" for name in ("cut", "whole"))
    assert one.read_bytes() == other.read_bytes()


def test_a_run_goes_back_so_often_and_not_more(here, model_folder, bad_batches):
    bad_batches += range(1, 100)
    with pytest.raises(Halted, match=r"alarm constant_answers, at step 2.*it went back 1 times"):
        run(recipe(here, model_folder, watch=WATCH, train={**LONG, "checkpoint_every": None}, rewards=STOP))
    [told] = map(json.loads, (here / "runs/small/rl/rollbacks.jsonl").read_text().splitlines())
    assert (told["at_step"], told["to_step"]) == (3, 0)  # a checkpoint of the start is there, though none was asked for
    assert (here / "runs/small/rl/checkpoints/step-000001").is_dir()
