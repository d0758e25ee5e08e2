"""One step of group-relative policy optimisation, strop beside TRL's GRPOTrainer, `make bench-grpo`.

    python bench/grpo.py [--prompts 4] [--group 8] [--tokens 128] [--limit S] [--rounds N] [--only VARIANT] [--json]

The same prompts (random ids, 100 tokens), groups, answers of exactly so many tokens, temperature 1, no KL divergence,
one update per batch of rollouts, a reward that costs nothing. A step is everything: rollouts, rewards, update (what
is neither of the first two). Tokens/s are those that are trained. ``ahead``: staleness 1; "rollouts" is then what a
step waits for them and "beside" what they take; the memory is that of the training process alone, the cores are those
of both. A trainer of TRL that is not through after ``--limit`` seconds is stopped: the steps it has done on the clock
count, and where it has done none, its row says how long the unfinished one had taken, and the ratio is given as at
least so much.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, Literal

from common.machine import fast_bfloat16
from common.results import show
from common.runs import ALLOCATOR, TimeUp, Variant, compare, parse, parser, within

BF16 = {"bf16": fast_bfloat16(), "model_dtype": "float32"}
VARIANTS = {
    "strop": Variant("strop"),
    "strop LoRA": Variant("strop", {"lora": {"r": 16}}),
    "strop ahead": Variant("strop", {"staleness": 1}),
    "strop LoRA ahead": Variant("strop", {"lora": {"r": 16}, "staleness": 1}),
    "TRL": Variant("trl", {**BF16, "per_device_train_batch_size": 8}, ALLOCATOR),
    "TRL two at a time": Variant("trl", {**BF16, "per_device_train_batch_size": 2}, ALLOCATOR),
    "TRL all at once": Variant("trl", {**BF16, "per_device_train_batch_size": 1_000}, ALLOCATOR),
    "TRL bfloat16 weights": Variant("trl", {"bf16": False, "model_dtype": "bfloat16"}, ALLOCATOR),
}
COLUMNS = {
    "seconds_per_step": "s/step",
    "at_least_seconds": "at least",
    "rollout_seconds": "rollouts",
    "ahead_seconds": "beside",
    "reward_seconds": "rewards",
    "train_seconds": "update",
    "sampled_per_second": "sampled/s",
    "peak_memory_gb": "peak GB",
    "cores_busy": "cores",
    "cpu_seconds": "CPU s/step",
}
NOTHING_STOPS = -1  # no token has this id


def prompts_of(given: argparse.Namespace) -> list[list[int]]:
    import numpy as np
    from common.models import RANDOM

    vocabulary = RANDOM[given.model]["vocab_size"] if given.model in RANDOM else 40_000
    draw = np.random.default_rng(0)
    count = given.prompts * (given.warmup + given.steps + 1)
    return draw.integers(3, vocabulary, (count, 16 if given.smoke else 100)).tolist()


def measure(given: argparse.Namespace, variant: Variant) -> dict:
    made = _trl(given, dict(variant.settings)) if variant.side == "trl" else _strop(given, dict(variant.settings))
    if made["seconds_per_step"] is None:
        return made
    made["train_seconds"] = made["seconds_per_step"] - made["rollout_seconds"] - made["reward_seconds"]
    return {**made, "sampled_per_second": given.prompts * given.group * given.tokens / made["seconds_per_step"]}


def _strop(given: argparse.Namespace, settings: dict[str, Any]) -> dict:
    from common.models import policy_of
    from common.strop_side import Clocked

    from strop.data.mixture import Mixture
    from strop.model.memory import keep_freed_memory
    from strop.objectives.policy_gradient import PolicyGradient
    from strop.objectives.policy_settings import PolicyGradientSettings
    from strop.rewards import Score
    from strop.rewards.kinds import Reward
    from strop.rollout.grading import Grader
    from strop.rollout.prompts import Prompt, Prompts
    from strop.rollout.settings import GradingSettings, PromptMixtureSettings, RolloutSettings
    from strop.rollout.source import RolloutSource
    from strop.rollout.torch_engine import TorchEngine
    from strop.rollout.worker_engine import WorkerEngine
    from strop.train.loop import train
    from strop.train.settings import RlTrainSettings
    from strop.train.weights import Weights

    class Even(Reward):
        kind: Literal["even"] = "even"

        def one(self, sample):
            return Score(sample.answer.count("0") / 100)

    class Words:
        def decode(self, ids, **_):
            return " ".join(map(str, ids))

    class Split:
        """The source, with the seconds of every step's rollouts and rewards."""

        steps = None

        def __init__(self, source):
            self.source, self.seconds, self.cpu = source, {"rollout": [], "reward": [], "ahead": []}, []

        def next_step(self):
            self.cpu.append(_cpu_seconds(engine.pid) if staleness else 0.0)
            step = self.source.next_step()
            for name, seconds in self.seconds.items():
                found = "rollout/ahead_seconds" if name == "ahead" else f"seconds/{name}"
                seconds.append(step.metrics.get(found, 0.0))
            return step

        def state_dict(self):
            return self.source.state_dict()

    keep_freed_memory()
    lora, staleness = settings.get("lora"), settings.get("staleness", 0)
    policy = policy_of(given.model, lora)
    chosen = RlTrainSettings(
        learning_rate=1e-6,
        max_steps=given.warmup + given.steps + 1,
        micro_batch_tokens=given.micro_batch_tokens,
        checkpoint_every=None,
    )
    rollout = RolloutSettings(
        prompts_per_step=given.prompts, group_size=given.group, max_tokens=given.tokens, keep_every=None,
        staleness=staleness,
    )  # fmt: skip
    objective = PolicyGradientSettings(preset="grpo", kl_coef=0).decided(apart=bool(staleness))
    asked = [Prompt(str(i), [], tuple(ids), "") for i, ids in enumerate(prompts_of(given))]
    mixture = Mixture([Prompts(asked)], PromptMixtureSettings(parts=[{"task": "words"}]))
    weights = Weights(policy, chosen)
    stop = frozenset({NOTHING_STOPS})
    engine = (
        WorkerEngine(policy, partial(policy_of, given.model, lora), stop) if staleness else TorchEngine(policy, stop)
    )
    grader = Grader({"even": Even()}, GradingSettings())
    source = RolloutSource(
        policy, engine, mixture, grader, Words(), rollout, objective, micro_batch_tokens=given.micro_batch_tokens
    )
    split = Split(source)
    clocked = Clocked(split, given.warmup, given.steps)
    with tempfile.TemporaryDirectory() as folder:
        train(weights, clocked, PolicyGradient(objective, one_update=True, longest=given.tokens), chosen, Path(folder))
    if staleness:
        engine.close()
    source.close()
    found = clocked.found()
    found["cores_busy"] += (split.cpu[-1] - split.cpu[given.warmup]) / given.steps / found["seconds_per_step"]
    found["cpu_seconds"] = found["cores_busy"] * found["seconds_per_step"]
    return {**found, **_means(split.seconds, given.warmup, given.steps)}


def _means(seconds: dict[str, list[float]], warmup: int, steps: int) -> dict[str, float]:
    """``rollout_seconds`` and the like: means over the steps on the clock."""
    return {f"{name}_seconds": sum(each[warmup:][:steps]) / steps for name, each in seconds.items()}


def _cpu_seconds(pid: int) -> float:
    """That a process was given so far, on all cores (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def _trl(given: argparse.Namespace, settings: dict[str, Any]) -> dict:
    import time

    import torch
    from common.clock import now, peak_memory_gb, rates
    from common.models import make_model
    from common.trl_side import arguments, words
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    model = make_model(given.model, getattr(torch, settings.pop("model_dtype")))
    tokenizer = words(model.get_input_embeddings().weight.shape[0])
    ends, seconds = [], {"rollout": [], "reward": []}

    class Ends(TrainerCallback):
        def on_train_begin(self, *args, **kwargs):
            ends.append(now())

        def on_step_end(self, *args, **kwargs):
            ends.append(now())

    def timed(name, call):
        begun = time.perf_counter()
        made = call()
        seconds[name].append(time.perf_counter() - begun)
        return made

    class Split(GRPOTrainer):
        def _generate(self, *args, **kwargs):
            return timed("rollout", lambda: super(Split, self)._generate(*args, **kwargs))

        def _calculate_rewards(self, *args, **kwargs):
            return timed("reward", lambda: super(Split, self)._calculate_rewards(*args, **kwargs))

    config = GRPOConfig(
        **arguments(
            given.prompts * given.group,
            given.warmup + given.steps,
            {
                "num_generations": given.group,
                "max_completion_length": given.tokens,
                "generation_kwargs": {"min_new_tokens": given.tokens},
                "beta": 0.0,
                "loss_type": "grpo",
                "gradient_checkpointing": False,
                "shuffle_dataset": False,
                **settings,
            },
        )
    )
    trainer = Split(
        model=model,
        reward_funcs=lambda completions, **_: [text.count("0") / 100 for text in completions],
        args=config,
        train_dataset=Dataset.from_list([{"prompt": tokenizer.decode(ids)} for ids in prompts_of(given)]),
        processing_class=tokenizer,
    )
    trainer.add_callback(Ends())
    try:
        with within(given.limit):
            trainer.train()
    except TimeUp:
        print(f"stopped after {given.limit:g} s", file=sys.stderr)
    steps = len(ends) - 1 - given.warmup
    if steps < 1:
        told = {f"{name}_seconds": each[-1] for name, each in seconds.items() if each}
        late = {"at_least_seconds": now().wall - ends[-1].wall, "peak_memory_gb": peak_memory_gb()}
        return {"seconds_per_step": None, "steps_done": 0, **told, **late}
    tokens = steps * given.prompts * given.group * given.tokens
    found = rates(tokens, tokens, ends[given.warmup], ends[-1], steps)
    return {**found, "steps_done": steps, **_means(seconds, given.warmup, steps)}


def main() -> None:
    options = parser(__doc__, warmup=1, steps=2)
    options.add_argument("--prompts", type=int, default=4, help="prompts in a batch of rollouts")
    options.add_argument("--group", type=int, default=8, help="answers to each")
    options.add_argument("--tokens", type=int, default=128, help="tokens of an answer")
    options.add_argument("--limit", type=float, default=900, help="seconds that a trainer of TRL may take")
    given = parse(options)
    if given.smoke:
        given.prompts, given.group, given.tokens = 2, 4, 8
    results = compare(given, VARIANTS, measure)
    show("grpo", given, results, VARIANTS, COLUMNS, told(results), data="random ids")


def told(results: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Times of TRL's fastest variant over strop's: ``ratio_vs_trl``, or, where none was through with a step,
    ``ratio_vs_trl_at_least``; and the peak of both."""
    trl = {name: row for name, row in results.items() if name.startswith("TRL")}
    if not trl or "strop" not in results:
        return {}

    def seconds(row: dict[str, Any]) -> float:
        return row["seconds_per_step"] or row["at_least_seconds"]

    done = {name: row for name, row in trl.items() if row["seconds_per_step"]}
    best = min(done or trl, key=lambda name: seconds(trl[name]))
    ratio = "ratio_vs_trl" if done else "ratio_vs_trl_at_least"
    return {
        "TRL best": best,
        ratio: round(seconds(trl[best]) / results["strop"]["seconds_per_step"], 3),
        "peak_memory_gb": {"strop": results["strop"]["peak_memory_gb"], "TRL": trl[best]["peak_memory_gb"]},
    }


if __name__ == "__main__":
    main()
