"""Rollouts one batch ahead of training: whose they are, what the ratio is to, how it all comes back, and what becomes
of the process that samples. fNN: rows of public faults."""

import json
import multiprocessing
import os
import signal
import time
from functools import cache
from pathlib import Path

import pytest
import torch
from processes import loaded_context
from small_rollouts import CPU, STOP, Copied, Run, Share
from small_turns import make_encoder
from test_rollout_source import plain_logprobs, same_weights, sequences

from strop.common.errors import Halted, InputError, NotFinite
from strop.environments.base import read_environment
from strop.model.policy import Policy
from strop.rollout.engine import EngineLost, Pauses, Request, SamplingParams
from strop.rollout.settings import RolloutSettings, WatchSettings
from strop.rollout.torch_engine import TorchEngine
from strop.rollout.turns import Player
from strop.train import loop
from strop.train.step import gradients, optimizer_step

AHEAD = {"staleness": 1}
AGAIN = [Request((4, 3, 5, 4), SamplingParams(4, 1.0, seed=7), 4, "again")]


@pytest.fixture(autouse=True)
def loaded_already(monkeypatch):
    """What samples begins with strop loaded, which takes longer than a test of it; that of `endless` begins empty."""
    context = loaded_context()
    monkeypatch.setattr("strop.rollout.worker_engine.multiprocessing.get_context", lambda _: context)


@pytest.fixture
def one_thread():
    """A process that samples takes threads from the trainer, and on some processors products depend on how many."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def small(make_model):
    return lambda **more: make_model(vocab_size=8, bos_token_id=1, eos_token_id=STOP, pad_token_id=STOP, **more)


def ahead(model, *given, rollout=None, **more):
    return Run(model, *given, engine=Copied, rollout={**AHEAD, **(rollout or {})}, **more)


def rows_of(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def timeless(rows):
    return [{k: v for k, v in row.items() if "second" not in k and k != "memory_gb"} for row in rows]


def fails_in(steps, monkeypatch):
    """These optimiser steps (from 1, over the whole process) find no finite loss; returns the tokens of every step."""
    real, trained = loop.optimizer_step, []

    def step(weights, objective, batches, *rest):
        trained.append([batch.tokens.tolist() for batch in batches])
        if len(trained) in steps:
            raise FloatingPointError("the loss is nan")
        return real(weights, objective, batches, *rest)

    monkeypatch.setattr(loop, "optimizer_step", step)
    return trained


def test_a_run_that_goes_back_waits_for_what_is_made_ahead(small, tmp_path, monkeypatch):
    """One engine answers one at a time."""
    at_work, together = [], []

    class Slow(Copied):
        def generate(self, *given, **how):
            together.extend(at_work)
            at_work.append(1)
            found = super().generate(*given, **how)
            time.sleep(0.3)
            at_work.pop()
            return found

    fails_in({2}, monkeypatch)
    train = {"max_steps": 4, "max_bad_steps": 1, "on_bad_steps": "rollback", "checkpoint_every": 1}
    run = Run(small(), tmp_path, engine=Slow, rollout=AHEAD, train=train)
    totals = run.go()
    run.close()
    assert len(totals["rollbacks"]) == 1
    assert not together


def test_a_run_that_goes_back_trains_nothing_more_of_the_batch_at_fault(small, tmp_path, monkeypatch):
    trained = fails_in({4}, monkeypatch)  # the second half of the second batch
    train = {"max_steps": 6, "max_bad_steps": 1, "on_bad_steps": "rollback", "checkpoint_every": 1}
    rollout = {"mini_batches": 2, "keep_every": 1}
    run = Run(small(), tmp_path, truths="cdefcdef", rollout=rollout, train=train)
    totals = run.go()
    assert [(one["at_step"], one["to_step"]) for one in totals["rollbacks"]] == [(5, 3)]
    assert trained[3] not in trained[4:]
    begun = [row["step"] for row in rows_of(tmp_path) if "rollout/groups" in row]
    assert begun == [1, 3, 4, 6]


# -- whose the answers are


def test_answers_are_of_the_weights_before_the_last_batch_and_old_log_probabilities_of_those_of_now(small):
    run = ahead(small(), rollout={"updates_per_rollout": 2})
    twins = []
    for number in range(3):
        twins.append(small())
        twins[-1].load_state_dict(run.policy.model.state_dict())
        step = run.source.next_step()
        assert step.metrics["rollout/version_lag"] == min(number, 1)
        behind = twins[max(0, number - 1)]
        for batch in step.batches:
            for i, ids in sequences(batch).items():
                mine = batch.seq_index == i
                for name, model in (("rollout_logprobs", behind), ("old_logprobs", twins[-1])):
                    expected = plain_logprobs(model, ids)[-int(mine.sum()) :].float()
                    torch.testing.assert_close(batch.streams[name][mine], expected, atol=2e-5, rtol=0)
        assert (step.metrics["rollout/mismatch"] > 1e-3) == (number > 0)
        for batches in (step.batches, run.source.next_step().batches):
            optimizer_step(run.weights, run.objective, batches, 1.0)


def reference_gradient(model, batch, decoupled, clip, cap=2.0):
    """Of the mean over answers of the mean over tokens of ``w·min(r·A, clip(r)·A)``, in float64 and token by token.

    decoupled: r = π/π_old, w = min(π_old/π_sampler, cap). direct: r = π/π_sampler and w = 1, or cispo's weight r.
    """
    model = model.double()
    losses, weights = [], []
    for i, ids in sequences(batch).items():
        where = (batch.seq_index == i).nonzero().flatten().tolist()
        logprobs = torch.log_softmax(model(torch.tensor([ids])).logits[0], -1)
        terms = []
        for place, s in zip(range(len(ids) - len(where), len(ids)), where, strict=True):
            now = logprobs[place - 1, ids[place]]
            sampler, old, advantage = (
                batch.streams[name][s].double() if name in batch.streams else now.detach()
                for name in ("rollout_logprobs", "old_logprobs", "advantages")
            )
            r = (now - (old if decoupled else sampler)).exp()
            w = (old - sampler).exp().clamp(max=cap) if decoupled else torch.ones((), dtype=torch.float64)
            if clip == "cispo":
                terms.append(r.detach().clamp(max=5.0) * advantage * now)
            else:
                terms.append(w * torch.minimum(r * advantage, r.clamp(0.8, 1.2) * advantage))
            weights.append((w if decoupled else r).item())
        losses.append(-sum(terms) / len(terms))
    loss = sum(losses) / (len(losses) if clip == "ppo" else 1)
    if clip == "cispo":  # a mean over all tokens
        loss = sum(loss * (batch.seq_index == i).sum() for i, loss in zip(sequences(batch), losses, strict=True))
        loss = loss / len(batch.labels)
    loss.backward()
    return [p.grad for p in model.parameters()], weights


@pytest.mark.parametrize("updates", [1, 2])
@pytest.mark.parametrize(
    ("objective", "decoupled"),
    [
        ({"preset": "grpo"}, True),
        ({"preset": "grpo", "correction": "direct"}, False),
        ({"preset": "cispo"}, False),
    ],
    ids=["decoupled", "direct", "cispo"],
)
def test_the_loss_is_to_the_policy_that_sampled_as_a_plain_loop_has_it(small, objective, decoupled, updates):
    run = ahead(small(), objective=objective, rollout={"updates_per_rollout": updates, "group_size": 8})
    for _ in range(2 * updates - 1):  # of the second batch the last update
        optimizer_step(run.weights, run.objective, run.source.next_step().batches, 1.0)
    [batch] = run.source.next_step().batches
    twin = small()
    twin.load_state_dict(run.policy.model.state_dict())
    clip = run.settings.clip
    expected, weights = reference_gradient(twin, batch, decoupled, clip)
    assert max(abs(w - 1) for w in weights) > 0.02
    told, norm = gradients(run.weights, run.objective, [batch])
    assert norm > 0.01
    assert told["ratio_max"] == 1 if decoupled and updates == 1 else told["ratio_max"] > 1.001
    got = [p.grad for p in run.policy.model.parameters()]
    torch.testing.assert_close([g.double() for g in got], expected, atol=2e-5 * norm, rtol=2e-4)


def test_what_corrects_by_default():
    from strop.objectives.policy_settings import PRESETS, PolicyGradientSettings

    for name in PRESETS:
        settings = PolicyGradientSettings(preset=name)
        assert settings.decided(apart=False).correction == "none"
        assert settings.decided(apart=True).correction == ("direct" if name == "cispo" else "truncate")
        assert PolicyGradientSettings(preset=name, correction="mask").decided(apart=True).correction == "mask"


def test_f06_what_the_process_samples_has_the_trainers_log_probabilities(small):
    with Run(small(), rollout=AHEAD) as run:
        assert run.engine.window == 512
        metrics = run.source.next_step().metrics
        assert metrics["rollout/version_lag"] == 0
        assert metrics["rollout/mismatch_max"] < 1e-4
        later = run.source.next_step().metrics  # nothing was trained in between
        assert later["rollout/version_lag"] == 1
        assert later["rollout/mismatch_max"] < 1e-4
        assert {"seconds/rollout", "rollout/ahead_seconds", "rollout/ahead_reward_seconds"} <= set(later)


def test_the_process_tells_weights_that_give_no_numbers_from_what_it_refuses(small):
    with Run(small(), rollout=AHEAD) as run:
        run.engine.sync()
        with pytest.raises(InputError, match="window") as refused:
            run.engine.generate([Request((4,) * 600, SamplingParams(4, 1.0, seed=7), 1, "long")])
        assert not isinstance(refused.value, NotFinite)
        with torch.no_grad():
            run.policy.model.lm_head.weight.fill_(torch.nan)
        run.engine.sync()
        with pytest.raises(NotFinite, match="no token can be drawn"):
            run.engine.generate(AGAIN)


def test_an_engine_with_a_copy_takes_weights_when_it_is_told_to_and_never_by_itself(small):
    run = ahead(small())
    run.engine.sync()
    before = [p.clone() for p in run.engine.policy.parameters()]
    optimizer_step(run.weights, run.objective, run.source.next_step().batches, 1.0)
    run.source._ahead.whole()
    run.engine.generate(AGAIN)
    assert all(torch.equal(x, y) for x, y in zip(before, run.engine.policy.parameters(), strict=True))
    run.engine.sync()
    assert all(torch.equal(x, y) for x, y in zip(run.policy.parameters(), run.engine.policy.parameters(), strict=True))


@pytest.mark.parametrize("lora", [False, True])
def test_f20_f21_the_process_has_the_weights_of_the_last_sync_and_forgets_what_older_ones_computed(small, lora):
    def told(engine):
        return [(one.tokens, one.logprobs) for one in engine.generate(AGAIN)]

    with Run(small(), lora=lora, rollout=AHEAD, truths="c", objective={"preset": "reinforce"}) as run:
        run.engine.sync()
        before = told(run.engine)
        assert before == told(TorchEngine(run.policy, frozenset({STOP})))
        optimizer_step(run.weights, run.objective, run.source.next_step().batches, 1.0)
        run.source._ahead.whole()
        assert told(run.engine) == before  # as long as nobody says otherwise
        run.engine.sync()
        after = told(run.engine)
        assert after != before
        assert after == told(TorchEngine(run.policy, frozenset({STOP})))


def test_a_process_that_does_not_even_listen_keeps_nobody_waiting(small, monkeypatch):
    monkeypatch.setattr("strop.rollout.worker_engine.GRACE_SECONDS", 0.5)
    with Run(small(), rollout=AHEAD, patience=2.0) as run:
        run.engine.sync()
        os.kill(run.engine.pid, signal.SIGSTOP)
        many = [Request([5] * 500, SamplingParams(1), name=str(i)) for i in range(500)]  # more than a pipe takes
        with pytest.raises(EngineLost, match=r"took nothing, or went silent.*for 2 seconds"):
            run.engine.generate(many)


# -- resume


RESUMED = {
    "grpo": {"objective": {"preset": "grpo"}},
    "rloo": {
        "objective": {"preset": "rloo", "kl_coef": 0.05, "kl_target": 0.01},
        "rollout": {"no_spread": "drop", "refill": 2, "group_size": 3},
    },
    "cispo": {"objective": {"preset": "cispo"}, "rollout": {"updates_per_rollout": 1, "mini_batches": 1}},
}


@pytest.fixture(scope="module")
def whole_runs(small, tmp_path_factory):
    """A function that makes a run of `RESUMED`, and one that gives it when it has ended uninterrupted, and its rows."""

    def make(name, folder, **more):
        given = RESUMED[name]
        rollout = {"prompts_per_step": 3, "mini_batches": 2, "updates_per_rollout": 2, **given.get("rollout", {})}
        reference = Policy(small(), CPU).requires_grad_(False).eval()
        return ahead(
            small(), folder, reference=reference, objective=given["objective"], rollout=rollout, truths="cdefg",
            train={"max_steps": 9, **more},
        )  # fmt: skip

    @cache
    def whole(name):
        folder = tmp_path_factory.mktemp("whole")
        run = make(name, folder)
        run.go()
        return run, rows_of(folder)

    return make, whole


@pytest.mark.parametrize("name", RESUMED)
@pytest.mark.parametrize("killed_after", [1, 2, 4, 5])
def test_f22_killed_and_resumed_is_uninterrupted_bit_for_bit(whole_runs, tmp_path, name, killed_after):
    """With four updates a batch 4 is between two batches, and 5 after the first update on a batch made ahead."""
    make, whole_run = whole_runs
    whole, rows = whole_run(name)
    cut = make(name, tmp_path / "cut", checkpoint_every=1)
    _kill_after(cut, killed_after)
    with pytest.raises(RuntimeError, match="killed"):
        cut.go()
    again = make(name, tmp_path / "cut", checkpoint_every=1)
    again.go()
    assert same_weights(again, whole)
    assert not same_weights(again, cut)
    assert (again.source.taken, again.source.rollouts) == (whole.source.taken, whole.source.rollouts)
    assert timeless(rows) == timeless(rows_of(tmp_path / "cut"))
    assert {row["rollout/version_lag"] for row in rows[1:] if "reward" in row} == {1}


def _kill_after(run, steps):
    given = run.source.next_step

    def killed():
        if run.source.given == steps:
            raise RuntimeError("killed")
        return given()

    run.source.next_step = killed


def test_f22_with_the_process_too(small, tmp_path, one_thread):
    given = {"truths": "cdefg", "rollout": {**AHEAD, "prompts_per_step": 3}, "train": {"max_steps": 5}}
    whole = Run(small(), tmp_path / "whole", engine=Copied, **given)
    whole.go()
    given["train"] = {"max_steps": 5, "checkpoint_every": 1}
    with Run(small(), tmp_path / "cut", **given) as cut:
        _kill_after(cut, 3)
        with pytest.raises(RuntimeError, match="killed"):
            cut.go()
    with Run(small(), tmp_path / "cut", **given) as again:
        again.go()
    assert same_weights(again, whole)
    assert timeless(rows_of(tmp_path / "cut")) == timeless(rows_of(tmp_path / "whole"))
    assert not _samplers()


WORDS = [f"<<{a}+{b}=" for a in range(10) for b in range(20)]


def test_f22_a_calculator_that_stops_the_model_while_it_writes_too(make_model, tmp_path):
    encoder = make_encoder(words=WORDS)
    ids = {"bos_token_id": 1, "eos_token_id": STOP, "pad_token_id": STOP}

    def given(**train):
        player = Player(encoder, read_environment({"kind": "inline", "max_calls": 3}), 256)
        rollout = {**AHEAD, "prompts_per_step": 3, "max_tokens": 12}
        return {"truths": "cdefg", "player": player, "rollout": rollout, "train": {"max_steps": 5, **train}}

    def model():
        return make_model(vocab_size=len(encoder.tokenizer), **ids)

    with Run(model(), tmp_path / "whole", **given()) as whole:
        whole.go()
    with Run(model(), tmp_path / "cut", **given(checkpoint_every=1)) as cut:
        _kill_after(cut, 3)
        with pytest.raises(RuntimeError, match="killed"):
            cut.go()
    with Run(model(), tmp_path / "cut", **given(checkpoint_every=1)) as again:
        again.go()
    assert same_weights(again, whole)
    assert not same_weights(again, cut)
    rows = timeless(rows_of(tmp_path / "whole"))
    assert rows == timeless(rows_of(tmp_path / "cut"))
    assert all(row["rollout/calls"] > 1 for row in rows)
    assert not _samplers()


def test_an_engine_in_another_process_asks_after_some_tokens_and_no_others(small):
    def told(rollouts):
        return [(one.tokens, one.logprobs, one.finish_reason) for one in rollouts]

    asked = []
    with Run(small(), rollout=AHEAD) as run:
        run.engine.sync()
        ending, other = run.engine.generate(AGAIN)[0].tokens[1:3]
        run.engine.sync()

        def ends(index, token):
            asked.append((index, token))
            return token == ending

        found = run.engine.generate(AGAIN, on_token=Pauses(frozenset({ending, other}), ends))
        here = TorchEngine(run.policy, frozenset({STOP})).generate(AGAIN, on_token=lambda _, token: token == ending)
        assert told(found) == told(here)
        assert found[0].finish_reason == "cancelled"
        for index, one in enumerate(found):  # in order, up to the last that it had to ask for
            last = max((i for i, token in enumerate(one.tokens) if token in (ending, other)), default=-1)
            assert [token for i, token in asked if i == index] == list(one.tokens[: last + 1])
        with pytest.raises(ValueError, match="Pauses"):
            run.engine.generate(AGAIN, on_token=ends)


def test_no_batch_is_begun_that_no_step_would_train(small, tmp_path):
    run = ahead(small(), tmp_path, train={"max_steps": 6}, rollout={"updates_per_rollout": 2})
    run.go()
    assert run.engine.batches == run.source.rollouts == 3
    assert not run.source._ahead


# -- what goes wrong


def test_rewards_that_fail_ahead_stop_the_run_where_the_batch_would_be_trained(small, tmp_path):
    class Later(Share):
        calls: list = []  # noqa: RUF012 - pydantic copies it

        def score(self, samples):
            from strop.rewards.timed import Failed

            self.calls.append(1)
            return [Failed("gave nan")] * len(samples) if len(self.calls) > 4 else super().score(samples)

    run = ahead(small(), tmp_path, rewards={"late": Later()}, train={"max_steps": 4})
    with pytest.raises(Halted, match=r"rewards\.late: 8 of 8 answers have no reward.*gave nan.*max_failed"):
        run.go()
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-000002"]
    mended = ahead(small(), tmp_path, rewards={"late": Share()}, train={"max_steps": 4})
    assert mended.go()["step"] == 4
    lags = [row["rollout/version_lag"] for row in rows_of(tmp_path)]
    assert lags == [0, 1, 0, 1]  # the third is made again, by the weights of then


def test_an_alarm_that_stops_the_run_leaves_the_batch_as_it_was_made(small, tmp_path):
    given = {"truths": "zz", "rewards": {"holds": Share()}, "train": {"max_steps": 4}}
    watch = WatchSettings(patience=1, no_spread=None, kl=None, mismatch=1e-9)
    stopped = ahead(small(), tmp_path, watch=watch.model_copy(update={"alarm": "stop", "patience": 2}), **given)
    with pytest.raises(Halted, match=r"alarm mismatch, at step 2.*staleness 1"):
        stopped.go()
    again = ahead(small(), tmp_path, watch=WatchSettings(mismatch=None), **given)
    again.go()
    whole = ahead(small(), tmp_path / "whole", watch=WatchSettings(mismatch=None), **given)
    whole.go()
    assert same_weights(again, whole)
    assert again.engine.batches == 2


@pytest.mark.parametrize(
    ("sign", "words"),
    [(signal.SIGKILL, "killed by signal 9"), (signal.SIGSTOP, "no sign of life for 5 seconds")],
    ids=["dies", "hangs"],
)
def test_a_process_that_is_lost_stops_the_run_with_a_checkpoint(small, tmp_path, sign, words):
    given = {"rollout": AHEAD, "train": {"max_steps": 6}}
    with Run(small(), tmp_path, patience=5.0, **given) as run:
        next_step = run.source.next_step

        def struck():
            if run.source.given == 2:
                run.source._ahead.whole()
                os.kill(run.engine.pid, sign)
            return next_step()

        run.source.next_step = struck
        with pytest.raises(Halted, match=f"the sampling process is lost: .*{words}.*goes on from the checkpoint"):
            run.go()
        with pytest.raises(EngineLost, match=words):  # from then on
            run.engine.generate(AGAIN)
        run.engine.release()
    [checkpoint] = (tmp_path / "checkpoints").iterdir()
    assert checkpoint.name == "step-000003"  # the batch that was there is trained first
    assert not _samplers()
    again = Run(small(), tmp_path, engine=Copied, **given)
    assert again.go()["step"] == 6
    assert [row["rollout/version_lag"] for row in rows_of(tmp_path)] == [0, 1, 1, 0, 1, 1]


def endless(make_model, pipe):
    run = Run(make_model(), rollout=AHEAD)
    pipe.send(run.engine.pid)
    run.engine.sync()
    pipe.send("has the weights")
    while True:
        run.engine.generate([Request([5], SamplingParams(500, 1.0, ignore_eos=True), 64)])


@pytest.mark.parametrize("when", ["starts", "works"])
def test_the_process_leaves_when_its_trainer_is_killed(make_model, when):
    pipe, theirs = multiprocessing.Pipe()
    trainer = loaded_context().Process(target=endless, args=(make_model, theirs))
    trainer.start()
    theirs.close()
    sampler = pipe.recv()
    if when == "works":
        assert pipe.recv() == "has the weights"
        time.sleep(1.0)
    assert _alive(sampler)
    trainer.kill()
    trainer.join()
    until = time.monotonic() + 30
    while _alive(sampler) and time.monotonic() < until:
        time.sleep(0.1)
    assert not _alive(sampler)


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _samplers():
    return [one for one in multiprocessing.active_children() if one.name == "strop sampler"]


def test_threads_of_a_second_process_need_one():
    with pytest.raises(ValueError, match="set staleness: 1"):
        RolloutSettings(sampler_threads=1)
