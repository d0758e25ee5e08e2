"""A small model learns to use a tool: what is asked for is to be had from it alone. A known optimum."""

import json
from typing import ClassVar, Literal

import pytest
import torch
from pydantic import PrivateAttr
from small_rollouts import CPU
from small_turns import make_tokenizer

from strop.chat import ChatEncoder
from strop.data.mixture import Mixture
from strop.environments.tools import Tools
from strop.model.policy import Policy, scalar_head
from strop.objectives.policy_gradient import PolicyGradient
from strop.objectives.policy_settings import PolicyGradientSettings
from strop.rewards.kinds import ExactReward
from strop.rollout.grading import Grader
from strop.rollout.prompts import Prompt, Prompts
from strop.rollout.settings import GradingSettings, PromptMixtureSettings, RolloutSettings
from strop.rollout.source import RolloutSource
from strop.rollout.torch_engine import TorchEngine
from strop.rollout.turns import Player
from strop.tools.base import Tool
from strop.train.loop import train
from strop.train.settings import RlTrainSettings
from strop.train.weights import Weights

CALL = '<call>{"name": "look", "arguments": {}}</call>'
LETTERS = "abcd"


class Look(Tool):
    """Tells the letter that is behind this item."""

    timed = False
    name, description = "look", "Looks behind."
    parameters: ClassVar[dict] = {}

    def __init__(self, letter):
        self.letter = letter

    def call(self, arguments, seconds):
        return self.letter


class Behind(Tools):
    """All prompts are alike, so what is right can only be looked up."""

    kind: Literal["behind"] = "behind"
    _letter: str = PrivateAttr("")

    def reset(self, start):
        self._letter = start.truth
        return super().reset(start)

    @property
    def by_name(self):
        return {"look": Look(self._letter)}


class OneByOne(ExactReward):
    """The same without a process."""

    timed: ClassVar[bool] = False


def teach_the_form(model, encoder, player, start):
    """Answers of the right form: as often a call as a letter at random, and after a call, as often as not, what the
    tool said."""
    said = encoder.tokenizer.encode
    begin, rows = list(player.opening("p", start).ids), []
    generator = torch.Generator().manual_seed(0)
    for number in range(64):
        first, second = (LETTERS[i] for i in torch.randint(4, (2,), generator=generator))
        second = first if number % 4 == 1 else second
        if number % 2:
            told = said(f"\n<|tool|>{first}<|end|>\n<|assistant|>")
            turns = [(said(f"{CALL}<|end|>"), 1), (told, 0), (said(f"{second}<|end|>"), 1)]
        else:
            turns = [(said(f"{second}<|end|>"), 1)]
        ids = begin + [token for part, _ in turns for token in part]
        labels = [-100] * len(begin) + [token if own else -100 for part, own in turns for token in part]
        rows.append((torch.tensor([ids]), torch.tensor([labels])))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(20):
        for first in range(0, 64, 8):
            loss = sum(model(input_ids=ids, labels=labels).loss for ids, labels in rows[first : first + 8]) / 8
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


@pytest.mark.parametrize("preset", ["grpo", pytest.param("ppo", marks=pytest.mark.slow)])
def test_the_tool_is_used_and_what_it_says_is_repeated(make_model, tmp_path, preset):
    """Without the tool one in four is right."""
    tokenizer = make_tokenizer([CALL])
    encoder = ChatEncoder(tokenizer)
    model = make_model(vocab_size=len(tokenizer), initializer_range=0.1)
    settings = PolicyGradientSettings(preset=preset, kl_coef=0.0, entropy_coef=0.01)
    rollout = RolloutSettings(prompts_per_step=4, group_size=16, max_tokens=6, keep_every=100)
    how = RlTrainSettings(max_steps=60, learning_rate=2e-3, warmup_ratio=0.0, checkpoint_every=None,
                          micro_batch_tokens=4096, schedule="constant")  # fmt: skip
    player = Player(encoder, Behind(max_turns=2), how.micro_batch_tokens)
    messages, prompts = [{"role": "user", "content": "?"}], []
    for number in range(64):
        one = Prompt(f"p{number}", messages, (), LETTERS[number % 4])
        prompts.append(Prompt(one.name, messages, tuple(player.opening(one.name, one.start).ids), one.truth))
    teach_the_form(model, encoder, player, prompts[0].start)
    policy = Policy(model, CPU)
    if settings.uses_values:
        policy.value_head = scalar_head(model, 0)
    mixture = Mixture([Prompts(prompts)], PromptMixtureSettings(parts=[{"task": "letters"}]), seed=1)
    weights = Weights(policy, how)
    grader = Grader({"right": OneByOne(kind="exact")}, GradingSettings())
    source = RolloutSource(
        policy, TorchEngine(policy, encoder.stop_ids), mixture, grader, tokenizer, rollout, settings,
        micro_batch_tokens=how.micro_batch_tokens, folder=tmp_path, player=player,
    )  # fmt: skip
    train(weights, source, PolicyGradient(settings, one_update=True, longest=6), how, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    first, last = rows[:5], rows[-5:]
    mean = lambda part, name: sum(row[name] for row in part) / len(part)  # noqa: E731
    assert mean(first, "reward") < 0.5
    assert mean(last, "reward") > 0.8  # 1 is the most, and exploring costs some of it
    assert mean(last, "rollout/turns") > 1.95
    assert mean(last, "rollout/calls") > 0.95
    kept = json.loads((tmp_path / "rollouts/step-000001.jsonl").read_text().splitlines()[0])
    used = next(one for one in kept["answers"] if one["counts"].get("calls"))
    assert [turn["role"] for turn in used["turns"]][:2] == ["assistant", "tool"]
    assert used["turns"][0] == {"role": "assistant", "tokens": 2, "calls": [{"name": "look", "arguments": {}}]}
    assert used["turns"][1]["text"] == kept["truth"]
