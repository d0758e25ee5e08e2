"""Whole stages by several ranks, whole models or rows of them (FSDP2): what one process does, to rounding."""

import io
import json
import os
import shutil
from contextlib import chdir, nullcontext
from datetime import timedelta
from functools import cache
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
import torch.distributed as dist
import yaml
from processes import as_ranks
from rich.console import Console
from safetensors.torch import load_file

from strop.chat import Example
from strop.config.recipe import load_recipe
from strop.data.batch import make_batch
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.objectives.sft import CrossEntropy
from strop.runs.pipeline import run_recipe
from strop.train.settings import TrainSettings
from strop.train.shards import make_weights
from strop.train.step import optimizer_step
from strop.train.world import World

WORDS = ["red", "blue", "green", "tree", "house", "river", "stone", "cloud"]
TASK = """
from strop.rewards import Judgement
from strop.tasks.base import AnswerTask, Item, register
from strop.tasks.metrics import TASK, Metric

@register("ranks_letters")
class Letters(AnswerTask):
    metrics = (Metric("share", "vowels of eight", "rate", 1, TASK, lead=0, value=lambda r: r.passed / r.total),)

    def items(self):
        said = ["red", "blue", "green", "tree", "house"]
        return [Item(w, w, [{"role": "user", "content": f"Say {w}."}], w) for w in said]

    @classmethod
    def grade(cls, item, answer):
        return Judgement("wrong_answer", min(8, sum(c in "aeiou" for c in answer)), 8)
"""
REWARD = "def vowels(samples):\n    return [float(sum(c in 'aeiou' for c in s.answer)) for s in samples]\n"
TRAIN = {"global_batch_size": 4, "micro_batch_tokens": 64, "learning_rate": 1e-3, "max_steps": 4}
TRAIN |= {"schedule": "constant", "warmup_steps": 0}
ROLLOUT = {"prompts_per_step": 4, "group_size": 4, "max_tokens": 6, "keep_every": 1}
SFT = {
    "kind": "sft",
    "data": ["chat.jsonl"],
    "eval_data": ["held.jsonl"],
    "train": {**TRAIN, "eval_every": 2, "checkpoint_every": 2},
}
HALF = "stages.sft.train.max_steps=2"
COMPARED = ("loss", "grad_norm", "eval_loss", "tokens", "trained_tokens", "reward", "tasks", "rollout/kl_to_reference")
PAIRS = {"data": ["pairs.jsonl"], "eval_data": {"fraction": 0.3}, "train": TRAIN}
RL = {
    "kind": "rl",
    "data": ["sums.jsonl"],
    "rollout": ROLLOUT,
    "rewards": {"vowels": {"kind": "function", "function": "mine.py:vowels"}},
    "grading": {"workers": 1},
    "objective": {"kl_coef": 0.05},
    "train": {"max_steps": 2, "learning_rate": 1e-3, "micro_batch_tokens": 64},
}
LORA = {"r": 4, "targets": ["all-linear"]}
MEASURED = {"tasks": ["ranks_letters"], "tasks_every": 2}
STAGES = {
    "sft": {**SFT, "train": {**SFT["train"], **MEASURED, "ema_decay": 0.5, "keep_best": "eval_loss"}},
    "lora": {**SFT, "lora": LORA, "train": {**TRAIN, "gradient_checkpointing": True}},
    "dpo": {"kind": "preference", **PAIRS},
    "kto": {"kind": "preference", **PAIRS, "objective": {"type": "kto"}},
    "rm": {"kind": "reward_model", **PAIRS},
    "distill": {
        "kind": "distill", "data": ["chat.jsonl"], "teacher": "TEACHER", "on_policy": 0.5, "train": TRAIN,
        "rollout": {"max_tokens": 6}, "objective": {"top_k": 4},
    },
    "grpo": RL,
    "grpo_lora": {**RL, "lora": LORA, "rollout": {**ROLLOUT, "updates_per_rollout": 2, "mini_batches": 2}},
}  # fmt: skip
CASES = {
    2: [*((name, "shard") for name in STAGES), ("sft", "replicate"), ("dpo", "replicate"), ("grpo", "replicate")],
    4: [("sft", "shard"), ("lora", "replicate"), ("dpo", "shard"), ("grpo", "shard")],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory, make_model_folder):
    """Data, models and recipes: a copy of it is worked in."""
    here = tmp_path_factory.mktemp("ranks")
    texts = [f"Say {w}. What is 1 and 2? {w}" for w in WORDS]
    # heads of 32: what generates in one kernel does so for gathered weights, too
    sizes = {"hidden_size": 64, "head_dim": 32, "num_attention_heads": 2, "num_key_value_heads": 1}
    model, teacher = (make_model_folder(texts, 300, seed=seed, **sizes) for seed in (0, 1))
    chat = [{"prompt": f"Say {w}.", "completion": w + " " + other} for w in WORDS for other in WORDS[:2]]
    pairs = [{"prompt": f"Say {w}.", "chosen": w, "rejected": v} for w in WORDS for v in ("no", "never")]
    sums = [{"question": f"What is {i} and 1?", "answer": str(i + 1)} for i in range(6)]
    for name, rows in {"chat": chat, "held": chat[::5], "pairs": pairs, "sums": sums}.items():
        (here / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (here / "task.py").write_text(TASK)
    (here / "mine.py").write_text(REWARD)
    for name, stage in STAGES.items():
        stage = {**stage, **({"teacher": str(teacher)} if "teacher" in stage else {})}
        trained = {"train": stage["train"]["tasks"]} if "tasks" in stage["train"] else {}
        given = {"name": name, "model": str(model), "plugins": [str(here / "task.py")], "stages": {name: stage}}
        if trained:
            given["evals"] = {"ranks_letters": {"max_tokens": 6}}
            given["stages"]["after"] = {"kind": "eval"}
        (here / f"{name}.yaml").write_text(yaml.safe_dump({**given, "compute": {"dtype": "float32"}}, sort_keys=False))
    return here


DRAWN = ("sft-shard", "dpo-replicate", "grpo")
"""Runs whose page is drawn, by their folders: nothing here reads one, and it takes half as long as all else."""


def run(name, *overrides, folder=None):
    """Do a recipe of the current folder in ``folder``."""
    recipe = load_recipe(Path(f"{name}.yaml"), [f"folder={folder or name}", *overrides])
    not_drawn = patch("strop.runs.pipeline.write_report", lambda folder: folder / "report.html")
    with nullcontext() if (folder or name) in DRAWN else not_drawn:
        run_recipe(recipe, Console(file=io.StringIO()), changed="continue")


def found(name, folder=None):
    """A stage's rows of metrics.jsonl by step and kind, the run's summary, the model."""
    folder = Path(folder or name)
    rows = [json.loads(line) for line in (folder / name / "metrics.jsonl").read_text().splitlines()]
    summary = json.loads((folder / "summary.json").read_text())
    return rows, summary, load_file(folder / name / "model/model.safetensors")


@pytest.fixture(scope="module")
def alone(place):
    """A function that does a recipe in one process, uninterrupted, and gives what is `found` then."""

    @cache
    def run_alone(name):
        with chdir(place):
            run(name)
            return found(name)

    return run_alone


def a_rank(rank, size, here, make_model):
    os.environ.update(LOCAL_RANK=str(rank), LOCAL_WORLD_SIZE=str(size))
    os.chdir(here)
    store = f"file://{here / 'store'}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=size, timeout=timedelta(seconds=300))
    for name, parallel in CASES[size]:
        run(name, f"compute.parallel={parallel}", folder=f"{name}-{parallel}")
    for parallel in ("shard", "replicate"):
        run("sft", f"compute.parallel={parallel}", folder=f"one-then-{parallel}")
        run("sft", HALF, f"compute.parallel={parallel}", folder=f"{parallel}-then-one")
    seeds = World.current().gather(torch.initial_seed())
    assert len(set(seeds)) == size, f"{seeds}: every rank would drop the same places of its rows"
    for_bytes = World.current().gather(state_bytes(make_model, World.current()))
    if rank == 0:
        torch.save(for_bytes, "bytes.pt")
    dist.destroy_process_group()


def state_bytes(make_model, world):
    """After a step of a bfloat16 model: bytes of weights, masters, gradients and moments, by what they lie in."""
    policy = Policy(
        make_model(hidden_size=128, intermediate_size=256), Compute(torch.device("cpu"), torch.bfloat16), probe=False
    )
    weights = make_weights(policy, TrainSettings(), "shard", world)
    row = make_batch([Example(list(range(5, 15)), [0.0] * 5 + [1.0] * 5, "test", (), ())])
    optimizer_step(weights, CrossEntropy("token_mean"), [row], 1.0, world)
    held = [t for p in (*policy.parameters(), *weights.named.values()) for t in (p, p.grad)]
    held += [t for part in weights.optimizer._parts.values() for one in part.state.values() for t in one.values()]
    local = [getattr(t, "_local_tensor", t) for t in held if isinstance(t, torch.Tensor)]
    return sum({s.data_ptr(): s.nbytes() for s in (t.untyped_storage() for t in local)}.values())


@pytest.mark.parametrize("size", CASES)
def test_several_ranks_do_what_one_does(size, place, alone, tmp_path, make_model, monkeypatch):
    expected = {name: alone(name) for name in sorted({name for name, _ in CASES[size]})}
    here = tmp_path / "here"
    shutil.copytree(place, here, ignore=shutil.ignore_patterns(*STAGES))
    monkeypatch.chdir(here)
    run("sft", HALF, folder="one-then-shard")
    shutil.copytree("one-then-shard", "one-then-replicate")
    as_ranks(a_rank, size, size, here, make_model)
    for name, parallel in CASES[size]:
        same(expected[name], found(name, f"{name}-{parallel}"), (name, parallel))
    for parallel in ("shard", "replicate"):
        run("sft", folder=f"{parallel}-then-one")
        for folder in (f"{parallel}-then-one", f"one-then-{parallel}"):
            same(expected["sft"], found("sft", folder), folder)
    mine = torch.load("bytes.pt")
    assert max(mine) <= {2: 0.6, 4: 0.4}[size] * state_bytes(make_model, World())


def same(one, several, what):
    rows, told = one[0], several[0]
    assert [row["step"] for row in told] == [row["step"] for row in rows], what
    for expected, row in zip(rows, told, strict=True):
        compared = [name for name in expected if name.split("/")[0] in COMPARED or name in COMPARED]
        for name in compared:
            assert row[name] == pytest.approx(expected[name], rel=1e-3, abs=1e-4), (what, row["step"], name)
    assert all(row["grad_norm"] > 0 for row in rows if "grad_norm" in row), what  # there is something to be equal
    assert several[1].get("measured") == one[1].get("measured"), what
    for name, tensor in one[2].items():
        torch.testing.assert_close(
            several[2][name], tensor, rtol=1e-3, atol=2e-4, msg=lambda m, n=name: f"{what} {n} {m}"
        )
