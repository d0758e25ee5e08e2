"""Rollouts one batch ahead of training: whose they are, what the ratio is to, and how it all comes back. fNN: rows of
public faults."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from small_rollouts import CPU, STOP, Holds, Run, Share
from test_rollout_source import plain_logprobs, same_weights, sequences

from strop.common.errors import Halted
from strop.model.policy import Policy
from strop.rollout.engine import EngineLost, Request, SamplingParams
from strop.rollout.settings import GradingSettings, RolloutSettings, WatchSettings
from strop.rollout.torch_engine import TorchEngine
from strop.train.step import gradients, optimizer_step

AHEAD = {"staleness": 1}
AGAIN = [Request((4, 3, 5, 4), SamplingParams(4, 1.0, seed=7), 4, "again")]


@pytest.fixture
def small(make_model):
    return lambda **more: make_model(vocab_size=8, bos_token_id=1, eos_token_id=STOP, pad_token_id=STOP, **more)


def told(rollouts):
    return [(one.tokens, one.logprobs) for one in rollouts]


@pytest.mark.parametrize("lora", [False, True])
def test_f20_f21_the_process_has_the_weights_of_the_last_sync_and_forgets_what_older_ones_computed(small, lora):
    with Run(small(), lora=lora, rollout=AHEAD, truths="c", objective={"preset": "reinforce"}) as run:
        mine = lambda: told(TorchEngine(run.policy, frozenset({STOP})).generate(AGAIN))  # noqa: E731
        run.engine.sync()
        before = told(run.engine.generate(AGAIN))
        assert before == mine()
        optimizer_step(run.weights, run.objective, run.source.next_step().batches, 1.0)
        run.source._ahead.whole()
        assert told(run.engine.generate(AGAIN)) == before  # of before the step, as long as nobody says otherwise
        run.engine.sync()
        after = told(run.engine.generate(AGAIN))
        assert after != before
        assert after == mine()
