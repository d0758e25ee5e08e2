"""A source of rollouts small enough for tests: a tiny model, letters for a tokenizer, rewards without processes."""

from functools import partial
from typing import Literal

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from strop.data.mixture import Mixture
from strop.model.lora import add_lora
from strop.model.policy import Policy, scalar_head
from strop.model.precision import Compute
from strop.model.settings import LoraSettings
from strop.objectives.policy_gradient import PolicyGradient
from strop.objectives.policy_settings import PolicyGradientSettings
from strop.rewards import Score
from strop.rewards.kinds import Reward
from strop.rollout.grading import Grader
from strop.rollout.prompts import Prompt, Prompts
from strop.rollout.settings import GradingSettings, PromptMixtureSettings, RolloutSettings, WatchSettings
from strop.rollout.source import RolloutSource
from strop.rollout.torch_engine import TorchEngine
from strop.rollout.worker_engine import WorkerEngine
from strop.train.loop import train
from strop.train.settings import RlTrainSettings
from strop.train.weights import Weights

CPU = Compute(torch.device("cpu"), torch.float32)
STOP = 2


class Letters:
    """Token i is the letter i."""

    def decode(self, ids, **_):
        return "".join(chr(97 + i) for i in ids)


class Holds(Reward):
    """1 where the answer begins with the letter that is right."""

    kind: Literal["holds"] = "holds"

    def one(self, sample):
        return Score(float(sample.answer.startswith(sample.truth)), reason=f"wants {sample.truth}")


class Share(Reward):
    """Share of the answer's letters that come before the middle of the alphabet: a spread in almost any group."""

    kind: Literal["share"] = "share"

    def one(self, sample):
        return Score(sum(ord(c) % 2 for c in sample.answer) / max(1, len(sample.answer)))


def adapted(model, lora):
    """Adapters in the model: ``lora`` is True, or settings of them and ``token_ids``."""
    given = {"r": 4, **({} if lora is True else lora)}
    return add_lora(model, token_ids=given.pop("token_ids", ()), settings=LoraSettings(**given))


def policy_like(config, lora):
    """A policy as `Run` makes its own, in another process: frozen weights are those of the same seed."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**config)).eval()
    if lora:
        adapted(model, lora)
    return Policy(model, CPU)


class Copied(TorchEngine):
    """An engine with a copy of the weights, of the last `sync`, in this process: what `WorkerEngine` is in another."""

    def __init__(self, policy, stop_ids, lora=False):
        self.trainers, self.batches = policy, 0
        super().__init__(policy_like(policy.model.config.to_dict(), lora), stop_ids)

    @torch.no_grad()
    def sync(self):
        super().sync()
        theirs = dict(self.trainers.named_parameters())
        for name, mine in self.policy.named_parameters():
            mine.copy_(theirs[name])

    def generate(self, *given, **how):
        self.batches += 1
        return super().generate(*given, **how)


class Run:
    """Policy, source and objective as a stage makes them; with ``staleness: 1`` it has a process, which `close` ends.

    ``patience``: of the engine with its process, in seconds; ``engine``: made elsewhere, of the policy; ``inside``: the
    third token of every prompt."""

    def __init__(self, model, folder=None, *, rewards=None, truths="cd", lora=False, reference=None, inside=5, **given):
        make = partial(policy_like, model.config.to_dict(), lora)
        torch.manual_seed(0)
        self.adapters = adapted(model, lora) if lora else None
        self.policy = Policy(model, CPU)
        objective = {"preset": "grpo", "kl_coef": 0.0, **given.pop("objective", {})}
        apart = bool(given.get("rollout", {}).get("staleness"))
        self.settings = PolicyGradientSettings(**objective).decided(apart)
        if self.settings.uses_values:
            self.policy.value_head = scalar_head(model, 0)
        self.train = RlTrainSettings(
            **{"max_steps": 100, "learning_rate": 1e-2, "warmup_ratio": 0.0, "checkpoint_every": None,
               "micro_batch_tokens": 256, **given.pop("train", {})}
        )  # fmt: skip
        rollout = {"prompts_per_step": 2, "group_size": 4, "max_tokens": 4, "keep_every": None}
        self.rollout = RolloutSettings(**{**rollout, **given.pop("rollout", {})})
        prompts = [
            Prompt(
                f"prompt {i}",
                [{"role": "user", "content": truth}],
                (3 + (i + 1) % 5, 3 + i // 5, inside, 3 + (i + 1) % 5),
                truth,
            )
            for i, truth in enumerate(truths)
        ]
        mixture = Mixture([Prompts(prompts)], PromptMixtureSettings(parts=[{"task": "letters"}]), seed=1)
        self.weights = Weights(self.policy, self.train)
        self.said = []
        grader = Grader(rewards or {"share": Share()}, given.pop("grading", GradingSettings()))
        patience, engine = given.pop("patience", 60.0), given.pop("engine", None)
        if self.rollout.staleness and engine is None:
            self.engine = WorkerEngine(self.policy, make, frozenset({STOP}), patience=patience)
        else:
            self.engine = (engine or TorchEngine)(self.policy, frozenset({STOP}))
        self.source = RolloutSource(
            self.policy, self.engine, mixture, grader,
            Letters(), self.rollout, self.settings, micro_batch_tokens=self.train.micro_batch_tokens, seed=3,
            reference=reference, watch=given.pop("watch", WatchSettings()), folder=folder,
            last_step=self.train.max_steps, say=self.said.append, player=given.pop("player", None),
        )  # fmt: skip
        assert not given
        self.folder = folder
        self.objective = PolicyGradient(
            self.settings,
            temperature=self.rollout.temperature,
            one_update=self.source.one_update,
            longest=self.rollout.max_tokens,
        )

    def go(self):
        return train(self.weights, self.source, self.objective, self.train, self.folder)

    def close(self):
        if isinstance(self.engine, WorkerEngine):
            self.engine.close()
        self.source.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()
