"""One step of group-relative policy optimisation, strop beside TRL's GRPOTrainer, `make bench-grpo`.

    python bench/grpo.py [--prompts 4] [--group 8] [--tokens 128] [--rounds N] [--only VARIANT] [--json] [--smoke]

The same prompts (random ids, 100 tokens), groups, answers of exactly so many tokens, temperature 1, no KL divergence,
one update per batch of rollouts, a reward that costs nothing. A step is everything: rollouts, rewards, update.
Tokens/s are those that are trained. ``ahead``: staleness 1; "rollouts" is then what a step waits for them and "beside"
what they take; the memory is that of the training process alone, the cores are those of both.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, Literal

from common.results import show
from common.runs import ALLOCATOR, Variant, compare, parse, parser

BF16 = {"bf16": True, "model_dtype": "float32"}
VARIANTS = {
    "strop": Variant("strop"),
    "strop LoRA": Variant("strop", {"lora": {"r": 16}}),
    "strop ahead": Variant("strop", {"staleness": 1}),
    "strop LoRA ahead": Variant("strop", {"lora": {"r": 16}, "staleness": 1}),
    "TRL": Variant("trl", {**BF16, "per_device_train_batch_size": 8}, ALLOCATOR),
    "TRL all at once": Variant("trl", {**BF16, "per_device_train_batch_size": 1_000}, ALLOCATOR),
    "TRL bfloat16 weights": Variant("trl", {"bf16": False, "model_dtype": "bfloat16"}, ALLOCATOR),
}
COLUMNS = {
    "seconds_per_step": "s/step",
    "rollout_seconds": "rollouts",
    "ahead_seconds": "beside",
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
    return {**made, "sampled_per_second": given.prompts * given.group * given.tokens / made["seconds_per_step"]}


def _strop(given: argparse.Namespace, settings: dict[str, Any]) -> dict:
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
        """The source, with the seconds of its rollouts after the warm-up."""

        steps = None

        def __init__(self, source):
            self.source, self.seconds, self.beside, self.cpu = source, [], [], []

        def next_step(self):
            self.cpu.append(_cpu_seconds(engine.pid) if staleness else 0.0)
            step = self.source.next_step()
            self.seconds.append(step.metrics["seconds/rollout"])
            self.beside.append(step.metrics.get("rollout/ahead_seconds", 0.0))
            return step

        def state_dict(self):
            return self.source.state_dict()

    keep_freed_memory()
    lora, staleness = settings.get("lora"), settings.get("staleness", 0)
    policy = _policy(given.model, lora)
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
    engine = WorkerEngine(policy, partial(_policy, given.model, lora), stop) if staleness else TorchEngine(policy, stop)
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
    timed, beside = (x[given.warmup : given.warmup + given.steps] for x in (split.seconds, split.beside))
    found = clocked.found()
    found["cores_busy"] += (split.cpu[-1] - split.cpu[given.warmup]) / given.steps / found["seconds_per_step"]
    return {
        **found,
        "rollout_seconds": sum(timed) / len(timed),
        "ahead_seconds": sum(beside) / len(beside),
        "cpu_seconds": found["cores_busy"] * found["seconds_per_step"],
    }


def _cpu_seconds(pid: int) -> float:
    """That a process was given so far, on all cores (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def _policy(name: str, lora: dict[str, Any] | None) -> Any:
    from common.models import make_model

    from strop.model.lora import add_lora
    from strop.model.policy import Policy
    from strop.model.precision import best_compute
    from strop.model.settings import LoraSettings

    compute = best_compute()
    model = make_model(name, compute.dtype) if lora else make_model(name)
    return Policy(add_lora(model, LoraSettings(**lora)).network if lora else model, compute)


def _trl(given: argparse.Namespace, settings: dict[str, Any]) -> dict:
    import time

    import torch
    from common.clock import now, rates
    from common.models import make_model
    from common.trl_side import arguments, words
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    model = make_model(given.model, getattr(torch, settings.pop("model_dtype")))
    tokenizer = words(model.get_input_embeddings().weight.shape[0])
    ends, seconds = [], []

    class Ends(TrainerCallback):
        def on_step_end(self, *args, **kwargs):
            ends.append(now())

    class Split(GRPOTrainer):
        def _generate(self, *args, **kwargs):
            begun = time.perf_counter()
            made = super()._generate(*args, **kwargs)
            seconds.append(time.perf_counter() - begun)
            return made

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
    trainer.train()
    tokens = given.steps * given.prompts * given.group * given.tokens
    found = rates(tokens, tokens, ends[given.warmup - 1], ends[-1], given.steps)
    return {**found, "rollout_seconds": sum(seconds[given.warmup :]) / given.steps}


def main() -> None:
    options = parser(__doc__, warmup=1, steps=2)
    options.add_argument("--prompts", type=int, default=4, help="prompts in a batch of rollouts")
    options.add_argument("--group", type=int, default=8, help="answers to each")
    options.add_argument("--tokens", type=int, default=128, help="tokens of an answer")
    given = parse(options)
    if given.smoke:
        given.prompts, given.group, given.tokens = 2, 4, 8
    results = compare(given, VARIANTS, measure)
    trl = [row["seconds_per_step"] for name, row in results.items() if name.startswith("TRL")]
    extra: dict[str, Any] = {}
    if trl and "strop" in results:
        extra["ratio_vs_trl"] = round(min(trl) / results["strop"]["seconds_per_step"], 3)
        extra["peak_memory_gb"] = results["strop"]["peak_memory_gb"]
    show("grpo", given, results, VARIANTS, COLUMNS, extra, data="random ids")


if __name__ == "__main__":
    main()
