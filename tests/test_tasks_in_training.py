"""Tasks measured while a stage trains: what is written, that nothing of the training changes, going on, the best."""

import json
import os
import signal

import pytest
import torch
import yaml
from safetensors.torch import load_file

from strop.common.console import make_console
from strop.common.errors import InputError, Interrupted
from strop.common.registry import load_plugins
from strop.config.recipe import load_recipe
from strop.evals import in_training
from strop.evals.rates import rate_change
from strop.evals.results import ItemResult, write_results
from strop.runs.pipeline import run_recipe
from strop.tasks.base import AnswerSettings
from strop.train import loop

WORDS = ["red", "blue", "green", "tree", "house", "river", "stone", "cloud"]
TASK = """
import torch

from strop.rewards import Judgement
from strop.tasks.base import AnswerTask, Item, register
from strop.tasks.metrics import TASK, Metric

@register("letters")
class Letters(AnswerTask):
    metrics = (
        Metric("share", "vowels of eight", "rate", 1, TASK, lead=0, value=lambda r: r.passed / r.total),
        Metric("length", "letters", value=lambda r: len(r.answer)),
    )

    def items(self):
        torch.rand(3)  # a task may draw from the generator that dropout draws from
        said = ["red", "blue", "green", "tree", "house", "river"][: self.settings.count]
        return [Item(w, w, [{"role": "user", "content": f"Say {w}."}], w) for w in said]

    @classmethod
    def grade(cls, item, answer):
        return Judgement("wrong_answer", min(8, sum(c in "aeiou" for c in answer)), 8)
"""
ROLLOUT = {"prompts_per_step": 2, "group_size": 4, "max_tokens": 6}
KINDS = {
    "sft": {"data": ["chat.jsonl"], "eval_data": ["held.jsonl"]},
    "preference": {"data": ["pairs.jsonl"], "eval_data": {"fraction": 0.25}},
    "rl": {
        "data": ["sums.jsonl"],
        "rollout": ROLLOUT,
        "rewards": {"stop": {"kind": "regex", "pattern": "[aeiou]"}},
        "objective": {"kl_coef": 0.0},
    },
}


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    file = tmp_path_factory.mktemp("plugins") / "letters.py"
    file.write_text(TASK)
    return file


@pytest.fixture(scope="module")
def folder(make_model_folder):
    return make_model_folder([" ".join(WORDS)], 300)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STROP_CACHE", str(tmp_path / "cache"))
    ask = [f"Tell me about {word} {i}." for i, word in enumerate(WORDS * 2)]
    rows = {
        "chat": [{"prompt": q, "completion": WORDS[i % 5]} for i, q in enumerate(ask)],
        "held": [{"prompt": q, "completion": WORDS[i % 7]} for i, q in enumerate(ask[:3])],
        "pairs": [{"prompt": q, "chosen": f"yes {i}", "rejected": "no"} for i, q in enumerate(ask)],
        "sums": [{"question": q, "answer": str(i)} for i, q in enumerate(ask)],
    }
    for name, several in rows.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in several))
    return tmp_path


TRAIN = {"max_steps": 4, "learning_rate": 1e-2, "warmup_ratio": 0.0, "checkpoint_every": 1}
MEASURED = {"tasks": {"letters": {"count": 4}}, "tasks_every": 2}


def recipe(here, model, plugin, name, kind, train=None, evals=None, **stage):
    given = {"kind": kind, **KINDS[kind], **stage}
    given["train"] = {**TRAIN, **({} if kind == "rl" else {"global_batch_size": 4, "epochs": 2}), **(train or {})}
    content = {
        "name": name,
        "model": str(model),
        "compute": {"dtype": "float32"},
        "plugins": [str(plugin)],
        "evals": evals or {"letters": {"max_tokens": 8}},
        "stages": {kind: given},
    }
    (here / f"{name}.yaml").write_text(yaml.safe_dump(content))
    return load_recipe(here / f"{name}.yaml")


def run(one, **how):
    return run_recipe(one, make_console(stderr=True), **how)


def rows(here, name, kind):
    """metrics.jsonl without what the clock and the machine decide."""
    lines = (here / f"runs/{name}/{kind}/metrics.jsonl").read_text().splitlines()
    clock = ("second", "memory")
    return [{k: v for k, v in json.loads(line).items() if not any(c in k for c in clock)} for line in lines]


def weights(here, name, kind):
    return load_file(here / f"runs/{name}/{kind}/model/model.safetensors")


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    ("kind", "stage", "train"),
    [
        ("sft", {"lora": {"r": 4, "dropout": 0.3, "targets": ["all-linear"]}}, {"neftune_alpha": 5.0}),
        ("sft", {}, {"ema_decay": 0.5, "neftune_alpha": 5.0}),
        ("preference", {}, {}),
        ("rl", {}, {}),
    ],
    ids=["sft, dropout and noise", "sft, averaged weights", "preference", "rl"],
)
def test_measuring_tasks_changes_no_weight_and_is_written_with_intervals(here, folder, plugin, kind, stage, train):
    run(recipe(here, folder, plugin, "without", kind, train, **stage))
    run(recipe(here, folder, plugin, "with", kind, {**train, **MEASURED}, **stage))
    assert equal(weights(here, "without", kind), weights(here, "with", kind))
    told = rows(here, "with", kind)
    measured = [row for row in told if "tasks/letters_share" in row]
    assert [row for row in told if row not in measured] == rows(here, "without", kind)
    assert [row["step"] for row in measured] == [0, 2, 4]
    assert all(
        row["tasks/letters_share_low"] <= row["tasks/letters_share"] <= row["tasks/letters_share_high"]
        for row in measured
    )
    assert measured[0]["tasks/letters_length"] != measured[-1]["tasks/letters_length"]  # the weights of the moment
    for row in measured:
        items = (here / f"runs/with/{kind}/evals/step-{row['step']:06d}/letters.jsonl").read_text().splitlines()
        shares = [json.loads(item)["values"]["letters_share"] for item in items]
        assert len(shares) == 4
        assert sum(shares) / 4 == pytest.approx(row["tasks/letters_share"])


@pytest.mark.parametrize("kind", ["sft", "rl"])
@pytest.mark.parametrize("how", ["killed in it", "killed after it", "signal in it"])
def test_cut_off_in_or_after_a_measurement_and_gone_on_is_uninterrupted(
    here, folder, plugin, monkeypatch, kind, how, capsys
):
    train = {**MEASURED, "keep_best": "letters_share"}
    run(recipe(here, folder, plugin, "whole", kind, train))
    real, real_step = in_training.InTraining.__call__, loop.optimizer_step

    def cut(self, step, look):
        def cut_at_two():
            if step == 2 and how == "killed in it":
                raise SystemError("the power went")
            if step == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            look()

        return real(self, step, look if how == "killed after it" else cut_at_two)

    steps = []

    def die_in_step_three(*given):
        steps.append(1)
        if len(steps) == 3:
            raise SystemError("the power went")
        return real_step(*given)

    with monkeypatch.context() as patch:
        patch.setattr(in_training.InTraining, "__call__", cut)
        if how == "killed after it":
            patch.setattr(loop, "optimizer_step", die_in_step_three)
        with pytest.raises(Interrupted if how == "signal in it" else SystemError):
            run(recipe(here, folder, plugin, "cut", kind, train))
    checkpoints = {path.name for path in (here / f"runs/cut/{kind}/checkpoints").iterdir()}
    assert checkpoints == {"step-000001" if how == "killed in it" else "step-000002"}
    run(recipe(here, folder, plugin, "cut", kind, train))
    assert rows(here, "cut", kind) == rows(here, "whole", kind)
    assert equal(weights(here, "cut", kind), weights(here, "whole", kind))
    for at in (0, 2, 4):
        cut_items, items = (
            (here / f"runs/{name}/{kind}/evals/step-{at:06d}/letters.jsonl").read_text() for name in ("cut", "whole")
        )
        assert cut_items == items


@pytest.mark.parametrize("better", [1, -1])
@pytest.mark.parametrize("train", [{}, {"ema_decay": 0.5}], ids=["", "averaged"])
def test_the_model_is_that_of_the_step_where_the_metric_was_best(here, folder, plugin, monkeypatch, better, train):
    """A task says how good each step is; the model that is left is that of a run that ends at the best of them."""
    values = {0: 0.5, 1: 0.4, 2: 0.9, 3: 0.9, 4: 0.1} if better == 1 else {0: 0.5, 1: 0.1, 2: 0.2, 3: 0.4, 4: 0.1}
    best = 2 if better == 1 else 1
    real = in_training.InTraining.__call__

    def told(self, step, look):
        return {**real(self, step, look), "tasks/letters_share": values[step]}

    monkeypatch.setattr(in_training.InTraining, "__call__", told)
    monkeypatch.setattr("strop.tasks.metrics.Metric.better", better, raising=False)
    real_wanted = loop.Best.__init__

    def wanted(self, one, *given):
        real_wanted(self, type(one)(one.key, one.name, better), *given)

    monkeypatch.setattr(loop.Best, "__init__", wanted)
    given = {**train, "tasks": ["letters"], "tasks_every": 1, "keep_best": "letters_share", "schedule": "constant"}
    summary = run(recipe(here, folder, plugin, "best", "sft", given))
    assert (
        f"that of step {best} of 4: letters_share {values[best]:.3f}, its best" in summary["facts"]["sft"]["model kept"]
    )
    short = {**given, "max_steps": best, "keep_best": None}
    run(recipe(here, folder, plugin, "short", "sft", short))
    assert equal(weights(here, "best", "sft"), weights(here, "short", "sft"))
    assert [path.name for path in (here / "runs/best/sft/best").iterdir()] == [f"step-{best:06d}"]


def test_a_training_that_improves_nothing_leaves_the_model_as_it_came(here, folder, plugin):
    data = {"data": ["chat.jsonl"], "eval_data": ["held.jsonl"]}
    one = recipe(here, folder, plugin, "worse", "sft", {"keep_best": "eval_loss", "learning_rate": 3.0}, **data)
    summary = run(one)
    assert any("training did not improve eval_loss" in text for text in summary["warnings"])
    before, after = load_file(folder / "model.safetensors"), weights(here, "worse", "sft")
    assert equal({name: before[name] for name in after}, after)


@pytest.mark.parametrize(
    ("train", "words"),
    [
        ({"tasks": ["humaneval"]}, r"train\.tasks\.humaneval: is not among the recipe's evals \(letters\)"),
        ({"tasks": {"letters": {"cuont": 3}}}, r"train\.tasks\.letters\.cuont: is none of this task's settings"),
        ({"tasks": {"letters": {"count": 0}}}, r"train\.tasks\.letters\.count: .*greater than or equal to 1"),
        ({"tasks_every": 2}, "no task is named"),
        ({"keep_best": "letters_share"}, "is not measured; name its task"),
        ({"keep_best": "eval_loss"}, "there is no evaluation loss"),
        ({"tasks": ["letters"], "keep_best": "letters_shar"}, "did you mean 'letters_share'"),
        ({"tasks": ["letters"], "keep_best": "letters_length"}, "neither more nor less is better"),
    ],
)
def test_what_cannot_be_measured_or_best_is_refused_beforehand(here, folder, plugin, train, words):
    with pytest.raises(InputError, match=words):
        run(recipe(here, folder, plugin, "bad", "sft", train, eval_data=[]))
    assert not (here / "runs/bad/sft").exists()


def test_what_is_measured_changes_the_key_only_where_the_model_depends_on_it(here, folder, plugin, capsys):
    run(recipe(here, folder, plugin, "one", "sft"))
    run(recipe(here, folder, plugin, "one", "sft", MEASURED))
    assert "skipped" in capsys.readouterr().err
    with pytest.raises(InputError, match="keep_best"):
        run(recipe(here, folder, plugin, "one", "sft", {**MEASURED, "keep_best": "letters_share"}))


def test_the_last_measurement_is_that_of_an_eval_stage(here, folder, plugin):
    one = recipe(here, folder, plugin, "both", "sft", {"tasks": ["letters"]})
    content = yaml.safe_load((here / "both.yaml").read_text())
    content["stages"]["then"] = {"kind": "eval"}  # after sft in the order of yaml, too
    (here / "both.yaml").write_text(yaml.safe_dump(content))
    one = load_recipe(here / "both.yaml")
    summary = run(one)
    stage = here / "runs/both"
    assert (stage / "then/evals/letters.jsonl").read_text() == (
        stage / "sft/evals/step-000004/letters.jsonl"
    ).read_text()
    last = [row for row in rows(here, "both", "sft") if "tasks/letters_share" in row][-1]
    assert last["tasks/letters_share"] == summary["measured"]["letters_share"]["value"]


def test_the_watch_of_an_rl_stage_and_the_report_hear_of_it(here, folder, plugin):
    summary = run(recipe(here, folder, plugin, "heard", "rl", MEASURED))
    state = torch.load(here / "runs/heard/rl/checkpoints/step-000004/state.pt", weights_only=True)
    held = state["source"]["watch"]["held_out"]["letters_share"]
    told = {
        row["step"]: row["tasks/letters_share"] for row in rows(here, "heard", "rl") if "tasks/letters_share" in row
    }
    assert held["step"] == max(told, key=lambda step: (told[step], -step))
    assert summary["facts"]["rl"]["letters_share"].startswith(f"{told[0]:.3f} → {told[4]:.3f}")
    page = (here / "runs/heard/report.html").read_text()
    assert "Tasks while rl trained" in page
    shown = page[page.index("Tasks while rl trained") :].partition("</section>")[0]
    assert "<b>letters_share</b>" in shown
    assert f"{100 * told[0]:.1f}\N{NO-BREAK SPACE}%" in shown
    assert "letters_length" not in shown  # of it neither more nor less is better


def test_a_fall_is_what_the_interval_of_the_paired_change_leaves_of_it(tmp_path, plugin):
    load_plugins([plugin])
    settings = {"letters": AnswerSettings()}
    measured = in_training.InTraining(settings, tmp_path, None, None, None, None, tmp_path, make_console(), "rl")
    share = measured.leading["letters"].name

    def keep(step, right, n=200):
        items = [
            ItemResult(str(i), str(i), "", "", "", 0, 1, "", "", "stop", 1, True, values={share: float(i < right)})
            for i in range(n)
        ]
        write_results(measured.place(step) / "letters.jsonl", items)
        return {f"tasks/{share}": right / n, "seconds/tasks": 1.0}

    log = []
    (tmp_path / "metrics.jsonl").touch()
    for step, right, best, fallen in ((0, 100, 0, False), (5, 160, 5, False), (10, 158, 5, False), (15, 90, 5, True)):
        row = keep(step, right)
        [(at, fall)] = measured.falls(step, row).values()
        assert (at, fall > 0) == (best, fallen)
        log.append(json.dumps({"step": step, **row}) + "\n")
        (tmp_path / "metrics.jsonl").write_text("".join(log))
    assert 0.2 < fall < 70 / 200  # certain is less than what is seen
    change = rate_change(
        [float(i < 160) for i in range(200)], [float(i < 90) for i in range(200)], list(map(str, range(200)))
    )
    assert fall == pytest.approx(-change.high)
    assert measured.facts(15)[share].startswith("0.500 → 0.450 (95 % interval of the change")
