"""The source of rollouts: what it hands to the trainer, and how it comes back. fNN: rows of public faults."""

import json
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from small_rollouts import CPU, STOP, Holds, Letters, Run, Share

from strop.common.errors import Halted, InputError, RollBack
from strop.model.policy import Policy
from strop.rewards import Score
from strop.rewards.kinds import FunctionReward
from strop.rollout.engine import Request, SamplingParams
from strop.rollout.rows import measure, rows_of
from strop.rollout.settings import GradingSettings, WatchSettings
from strop.rollout.torch_engine import TorchEngine
from strop.train.step import gradients, optimizer_step


@pytest.fixture
def small(make_model):
    usual = {"vocab_size": 8, "bos_token_id": 1, "eos_token_id": STOP, "pad_token_id": STOP}
    return lambda **more: make_model(**{**usual, **more})


def sequences(batch):
    """Every sequence of a row written out with its ancestors, and the trained positions by sequence."""
    starts = [sum(batch.seq_lens[:i]) for i in range(len(batch.seq_lens))]

    def whole(i):
        own = batch.tokens[starts[i] : starts[i] + batch.seq_lens[i]].tolist()
        return (whole(batch.parent[i]) if batch.parent[i] >= 0 else []) + own

    return {i: whole(i) for i in set(batch.seq_index.tolist())}


def plain_logprobs(model, ids, temperature=1.0):
    """Of every token but the first, by transformers' own call and a plain log_softmax."""
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].double() / temperature
    return torch.log_softmax(logits, -1)[torch.arange(len(ids) - 1), torch.tensor(ids[1:])]


# -- what is in a batch


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_f01_f04_f07_f23_ids_and_log_probabilities_are_those_sampled_at_the_temperature(small, make_model, temperature):
    twin = small()
    run = Run(small(), rollout={"temperature": temperature, "updates_per_rollout": 2})
    step = run.source.next_step()
    seen = 0
    for batch in step.batches:
        for i, ids in sequences(batch).items():
            mine = batch.seq_index == i
            answer = batch.labels[mine].tolist()
            assert ids[len(ids) - len(answer) :] == answer  # all that was sampled is trained, and nothing else
            expected = plain_logprobs(twin, ids, temperature)[-len(answer) :].float()
            for name in ("rollout_logprobs", "old_logprobs"):
                torch.testing.assert_close(batch.streams[name][mine], expected, atol=2e-5, rtol=0)
            seen += 1
    assert seen == 8
    outputs = run.policy(step.batches[0], run.objective.want, None, run.objective.temperature)
    ratio, count = run.objective.metrics(outputs, step.batches[0])["ratio"]
    assert (ratio / count).item() == pytest.approx(1, abs=1e-5)


def test_f05_f09_a_sampled_stop_is_trained_with_its_own_log_probability_and_none_is_appended(small):
    run = Run(small(), rollout={"group_size": 16, "updates_per_rollout": 2})
    batches = run.source.next_step().batches
    stops = torch.cat([b.streams["rollout_logprobs"][b.labels == STOP] for b in batches])
    assert len(stops)
    assert (stops < -0.01).all()
    for batch in batches:
        for i in sequences(batch):
            answer = batch.labels[batch.seq_index == i].tolist()
            assert STOP not in answer[:-1]
            assert answer[-1] == STOP or len(answer) == 4


def test_f09_nothing_changes_where_the_padding_token_is_the_stop_token(small):
    """Batches and gradients; torch would leave the row of a padding token out of the embedding's gradient."""
    found = []
    for pad in (STOP, 7):
        model = small(pad_token_id=pad, tie_word_embeddings=False)
        model.load_state_dict(small(tie_word_embeddings=False).state_dict())
        run = Run(model, rollout={"group_size": 16}, inside=STOP)
        batches = run.source.next_step().batches
        told, _ = gradients(run.weights, run.objective, batches)
        found.append((batches, told, {name: tensor.grad.clone() for name, tensor in run.weights.named.items()}))
    (one, told, mine), (other, told_too, theirs) = found
    assert any((batch.tokens == STOP).any() for batch in one)
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a.tokens, b.tokens)
        assert torch.equal(a.labels, b.labels)
        assert all(torch.equal(values, b.streams[name]) for name, values in a.streams.items())
    assert told == told_too
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in mine.items())
    [rows] = [tensor for name, tensor in mine.items() if "embed_tokens" in name]
    assert rows[STOP].abs().max() > 0


def test_f06_the_difference_between_sampler_and_trainer_is_told_and_small(small):
    for more in ({}, {"updates_per_rollout": 2}):
        metrics = Run(small(), rollout=more).source.next_step().metrics
        assert 0 <= metrics["rollout/mismatch"] <= metrics["rollout/mismatch_max"] < 1e-4


def test_f12_rows_of_any_size_give_the_same_gradient(small):
    found = []
    for tokens in (9, 20, 512):
        run = Run(small(), train={"micro_batch_tokens": tokens}, rollout={"updates_per_rollout": 2})
        batches = run.source.next_step().batches
        told, norm = gradients(run.weights, run.objective, batches)
        found.append((len(batches), told["loss"], norm))
    assert found[0][0] > found[1][0] > found[2][0] == 1
    for _, loss, norm in found[1:]:
        assert loss == pytest.approx(found[0][1], abs=1e-6)
        assert norm == pytest.approx(found[0][2], rel=1e-4)


def test_a_prompt_stands_once_in_a_row_and_again_where_its_group_is_cut_up(small):
    run = Run(small(), truths="c", rollout={"prompts_per_step": 1})
    [batch] = run.source.next_step().batches
    assert batch.seq_lens[0] == 4
    assert set(batch.parent) == {-1, 0}
    cut = Run(small(), truths="c", rollout={"prompts_per_step": 1}, train={"micro_batch_tokens": 8})
    assert len(cut.source.next_step().batches) == 4


def test_one_trajectory_that_no_row_holds_is_refused(small):
    with pytest.raises(InputError, match="micro_batch_tokens"):
        Run(small(), train={"micro_batch_tokens": 5}).source.next_step()


def test_mini_batches_and_passes_cover_the_batch(small):
    run = Run(small(), truths="cdef", rollout={"prompts_per_step": 4, "mini_batches": 2, "updates_per_rollout": 3})
    steps = [run.source.next_step() for _ in range(7)]
    assert [bool(step.metrics) for step in steps] == [True, *[False] * 5, True]
    names = [tuple(b.labels.tolist() for b in step.batches) for step in steps[:6]]
    assert names[0] != names[1]
    for a, b in ((2, 3), (4, 5)):
        assert {str(names[a]), str(names[b])} == {str(names[0]), str(names[1])}


# -- weights that change


def test_f20_f21_after_an_update_the_same_prompt_is_answered_by_the_new_weights(small):
    run = Run(small(), lora=True, truths="c", rollout={"prompts_per_step": 1})
    request = [Request((4, 3, 5, 4), SamplingParams(4, 1.0, seed=7), 4, "again")]
    batches = run.source.next_step().batches  # now, as it makes the engine forget
    before = run.engine.generate(request)
    optimizer_step(run.weights, run.objective, batches, 1.0)
    after, fresh = run.engine.generate(request), TorchEngine(run.policy, frozenset({STOP})).generate(request)
    assert [one.logprobs for one in after] != [one.logprobs for one in before]
    assert [(one.tokens, one.logprobs) for one in after] == [(one.tokens, one.logprobs) for one in fresh]


@pytest.mark.parametrize(
    ("lora", "tied", "trained"),
    [
        (False, True, "embed_tokens.weight"),
        (True, True, "lora_A"),
        ({"token_ids": (3, 5)}, True, "embed_tokens.token_adapter"),
        ({"token_ids": (3, 5)}, False, "lm_head.token_adapter"),
        ({"modules_to_save": ["embed_tokens", "norm"]}, False, "embed_tokens.modules_to_save"),
        ({"modules_to_save": ["lm_head"]}, False, "lm_head.modules_to_save"),
    ],
)
def test_f25_the_reference_is_the_model_of_the_start_whatever_is_trained(small, lora, tied, trained):
    """Embeddings too, whole or single rows of them."""
    own = {"tie_word_embeddings": tied}
    twin = small(**own)
    reference = None if lora else Policy(small(**own), CPU).requires_grad_(False).eval()
    run = Run(small(**own), lora=lora, reference=reference, objective={"kl_coef": 0.1})
    start = {name: tensor.detach().clone() for name, tensor in run.weights.named.items() if trained in name}
    for number in range(3):
        step = run.source.next_step()
        optimizer_step(run.weights, run.objective, step.batches, 1.0)
        for batch in step.batches:
            for i, ids in sequences(batch).items():
                mine = batch.seq_index == i
                expected = plain_logprobs(twin, ids)[-int(mine.sum()) :].float()
                torch.testing.assert_close(batch.streams["ref_logprobs"][mine], expected, atol=2e-5, rtol=0)
        assert (step.metrics["rollout/kl_to_reference"] > 1e-4) == (number > 0)
    assert start
    assert not any(torch.equal(run.weights.named[name], tensor) for name, tensor in start.items())


def test_no_reference_is_asked_where_the_kl_coefficient_is_zero(small):
    step = Run(small()).source.next_step()
    assert "ref_logprobs" not in step.batches[0].streams
    assert "rollout/kl_to_reference" not in step.metrics


# -- what is dropped


class Fails(Share):
    """No score for the answer that begins with ``letter``, and a share for the others."""

    letter: str = ""

    def one(self, sample):
        from strop.rewards.timed import Failed

        return Failed("raised ValueError: no") if sample.answer.startswith(self.letter) else super().one(sample)


def advantages(run):
    """The advantage of every answer in a step, by prompt and answer."""
    found = {}
    for batch in run.source.next_step().batches:
        for i, ids in sequences(batch).items():
            [value] = set(batch.streams["advantages"][batch.seq_index == i].tolist())
            found.setdefault(tuple(ids), []).append(value)
    return found


def test_f19_f31_an_answer_whose_reward_failed_is_left_out_named_and_changes_no_other(small, tmp_path):
    whole = Run(small(), rollout={"group_size": 8})
    groups = whole.source
    drawn = advantages(whole)
    letter = next(chr(97 + ids[4]) for ids in drawn if sum(other[4] == ids[4] for other in drawn) == 1)
    failing = Run(
        small(), tmp_path, rewards={"share": Fails(letter=letter)}, rollout={"group_size": 8, "keep_every": 1},
        grading=GradingSettings(max_failed=0.5),
    )  # fmt: skip
    assert groups.rollouts == 1
    left = advantages(failing)
    gone = {ids for ids in drawn if chr(97 + ids[4]) == letter}
    assert set(left) == set(drawn) - gone
    assert gone
    prompt = next(iter(gone))[:4]
    rewards = {ids: Share().one(_sample(ids)).value for ids in left}
    mine = [rewards[ids] for ids in left for _ in left[ids] if ids[:4] == prompt]
    mean, std = torch.tensor(mine).mean().item(), torch.tensor(mine).std().item()
    for ids in (ids for ids in left if ids[:4] == prompt):
        assert left[ids][0] == pytest.approx((rewards[ids] - mean) / (std + 1e-6), abs=1e-4)
    assert "rewards.share" in failing.said[0]
    assert "raised ValueError: no" in failing.said[0]
    rows = [json.loads(line) for line in (tmp_path / "rollouts/step-000001.jsonl").read_text().splitlines()]
    kept = [answer for row in rows for answer in row["answers"]]
    assert len(kept) == 16
    for answer in kept:
        failed = answer["answer"].startswith(letter)
        assert ("failures" in answer, answer["reward"] is None) == (failed, failed)
        if failed:
            assert {value for _, value in answer["tokens"]} == {0.0}


def _sample(ids):
    from strop.rewards.kinds import Sample

    answer = [i for i in ids[4:] if i != STOP]
    return Sample("", [], Letters().decode(answer))


def test_more_failures_than_may_be_stop_the_run_with_a_checkpoint_and_the_batch_is_made_again(small, tmp_path):
    class Later(Share):
        calls: list = []  # noqa: RUF012 - pydantic copies it

        def score(self, samples):
            from strop.rewards.timed import Failed

            self.calls.append(1)
            return [Failed("gave nan")] * len(samples) if len(self.calls) > 6 else super().score(samples)

    run = Run(small(), tmp_path, rewards={"late": Later()})
    with pytest.raises(Halted, match=r"rewards\.late: 8 of 8 answers have no reward.*gave nan.*max_failed"):
        run.go()
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-000003"]
    assert (run.source.rollouts, run.source.taken) == (3, 6)
    mended = Run(small(), tmp_path, rewards={"late": Share()}, train={"max_steps": 5})
    assert mended.go()["step"] == 5
    straight = Run(small(), tmp_path / "other", rewards={"late": Share()}, train={"max_steps": 5})
    straight.go()
    assert same_weights(mended, straight)


def test_groups_without_spread_are_kept_or_dropped_and_filled_up_within_a_bound(small):
    class Never(Share):
        def one(self, sample):  # the answers to some prompts are all alike
            return super().one(sample if sample.truth == "d" else replace(sample, answer="a"))

    many = "cdcdcdcdcdcd"
    given = {"prompts_per_step": 4, "group_size": 16}
    kept = Run(small(), truths=many, rewards={"never": Never()}, rollout=given).source
    metrics = kept.next_step().metrics
    flat = metrics["rollout/no_spread"]
    assert 0 < flat < 1
    assert metrics["rollout/dropped"] == 0
    assert kept.taken == 4
    dropped = Run(small(), truths=many, rewards={"never": Never()}, rollout={**given, "no_spread": "drop"}).source
    step = dropped.next_step()
    assert step.metrics["rollout/dropped"] == flat
    assert dropped.taken == 4
    assert all((b.streams["advantages"] != 0).any() for b in step.batches)
    filled = Run(small(), truths=many, rewards={"never": Never()}, rollout={**given, "no_spread": "drop", "refill": 3})
    metrics = filled.source.next_step().metrics
    assert metrics["rollout/refills"] >= 1
    assert filled.source.taken > 4
    assert metrics["rollout/groups"] == filled.source.taken


def test_a_batch_of_which_all_is_dropped_trains_nothing_and_says_so(small, tmp_path):
    run = Run(
        small(), tmp_path, rewards={"holds": Holds()}, truths="z", train={"max_steps": 2},
        rollout={"prompts_per_step": 1, "no_spread": "drop", "refill": 2},
    )  # fmt: skip
    before = {name: tensor.clone() for name, tensor in run.weights.named.items()}
    run.go()
    assert all(torch.equal(before[name], tensor) for name, tensor in run.weights.named.items())
    assert "every group was dropped" in run.said[0]


def test_cut_off_answers_that_are_masked_are_in_no_row_and_in_no_baseline(small):
    run = Run(small(), objective={"truncated": "mask"}, rollout={"group_size": 16, "prompts_per_step": 2})
    step = run.source.next_step()
    ended = [ids for batch in step.batches for ids in sequences(batch).values()]
    assert ended
    assert all(ids[-1] == STOP for ids in ended)
    assert len(ended) < 32
    assert step.metrics["rollout/truncated"] == pytest.approx(1 - len(ended) / 32)


class Early(Share):
    """The rewards of the first two batches of two prompts differ, later ones are all equal."""

    asked: list = []  # noqa: RUF012 - pydantic copies it

    def score(self, samples):
        self.asked.append(1)
        return super().score(samples) if len(self.asked) <= 4 else [Score(0.0)] * len(samples)


def early(small, folder, **train):
    rollout = {"no_spread": "drop", "group_size": 16}
    return Run(small(), folder, rewards={"early": Early()}, rollout=rollout, train={"weight_decay": 0.1, **train})


def test_a_batch_of_which_all_is_dropped_moves_nothing_although_the_optimiser_has_moments(small, tmp_path):
    run = early(small, tmp_path, max_steps=5, schedule="linear")
    given, seen = run.source.next_step, []

    def next_step():
        parts = run.weights.optimizer._parts.values()
        moments = [t.clone() for part in parts for one in part.state.values() for t in one.values()]
        seen.append([*(t.detach().clone() for t in run.weights.named.values()), *moments])
        return given()

    run.source.next_step = next_step
    run.go()
    first, second, third, fourth, fifth = seen
    assert not torch.equal(first[0], second[0])
    assert not torch.equal(second[0], third[0])
    assert len(third) > len(first)  # there are moments
    for later in (fourth, fifth):
        assert all(torch.equal(a, b) for a, b in zip(third, later, strict=True))
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row.get("untrained") for row in rows] == [None, None, 1, 1, 1]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5]
    assert len({row["lr"] for row in rows}) == 5  # the schedule goes on


def test_a_batch_of_which_all_is_dropped_is_no_step_of_the_averaged_weights(small, tmp_path):
    short, long = (early(small, tmp_path / str(n), max_steps=n, ema_decay=0.5) for n in (2, 5))
    short.go()
    long.go()
    assert same_weights(short, long)


@pytest.mark.parametrize("tokens", [256, 9])
@pytest.mark.parametrize("truncated", ["bootstrap", "keep"])
def test_a_cut_off_answer_goes_on_with_the_value_after_its_last_token_or_counts_as_ended(small, truncated, tokens):
    """Against transformers' own hidden states and Schulman et al. 2016, equation 11, as a loop."""
    run = Run(
        small(), objective={"preset": "ppo", "kl_coef": 0.0, "truncated": truncated, "advantage_scale": "none"},
        rollout={"group_size": 8}, train={"micro_batch_tokens": tokens},
    )  # fmt: skip
    run.policy.value_head.weight.data.normal_(generator=torch.Generator().manual_seed(5))
    twin, seen = small(), []
    for batch in run.source.next_step().batches:
        for i, ids in sequences(batch).items():
            mine = batch.seq_index == i
            with torch.no_grad():
                hidden = twin.model(torch.tensor([ids])).last_hidden_state[0]
                values = (hidden @ run.policy.value_head.weight.T).squeeze(-1).tolist()
            count, cut = int(mine.sum()), ids[-1] != STOP
            after = values[-1] if cut and truncated == "bootstrap" else 0.0
            reward, running, expected = Share().one(_sample(ids)).value, 0.0, []
            for t in reversed(range(len(ids) - count - 1, len(ids) - 1)):
                running = (reward if t == len(ids) - 2 else 0.0) + after - values[t] + 0.95 * running
                after = values[t]
                expected.insert(0, running)
            assert batch.streams["advantages"][mine].tolist() == pytest.approx(expected, abs=1e-4)
            assert batch.streams["old_values"][mine].tolist() == pytest.approx(values[-count - 1 : -1], abs=1e-4)
            seen.append(cut)
    assert {True, False} == set(seen)
    assert len(seen) == 16


# -- resume


def same_weights(one, other):
    return all(torch.equal(tensor, other.weights.named[name]) for name, tensor in one.weights.named.items())


@pytest.mark.parametrize(
    "objective",
    [
        {"preset": "grpo"},
        {"preset": "rloo", "kl_coef": 0.05, "kl_target": 0.01},
        {"preset": "ppo", "kl_coef": 0.02},
    ],
    ids=["grpo", "rloo", "ppo"],
)
@pytest.mark.parametrize("killed_after", [2, 4])
def test_f22_killed_and_resumed_is_uninterrupted_bit_for_bit(small, tmp_path, objective, killed_after):
    """Four updates a batch: 2 is between the updates on one batch of rollouts, 4 between two batches."""

    def make(folder, **more):
        reference = Policy(small(), CPU).requires_grad_(False).eval()
        return Run(
            small(), folder, reference=reference, objective=objective, train={"max_steps": 7, **more},
            truths="cdefg", rollout={"prompts_per_step": 3, "mini_batches": 2, "updates_per_rollout": 2},
        )  # fmt: skip

    whole = make(tmp_path / "whole")
    whole.go()
    cut = make(tmp_path / "cut", checkpoint_every=1)
    given = cut.source.next_step

    def killed():
        if cut.source.given == killed_after:
            raise RuntimeError("killed")
        return given()

    cut.source.next_step = killed
    with pytest.raises(RuntimeError, match="killed"):
        cut.go()
    again = make(tmp_path / "cut", checkpoint_every=1)
    again.go()
    assert same_weights(again, whole)
    assert not same_weights(again, cut)
    assert (again.source.taken, again.source.rollouts) == (whole.source.taken, whole.source.rollouts) == (6, 2)
    told = [
        [{k: v for k, v in json.loads(line).items() if "second" not in k and k != "memory_gb"} for line in file]
        for folder in ("whole", "cut")
        for file in [(tmp_path / folder / "metrics.jsonl").read_text().splitlines()]
    ]
    assert told[0] == told[1]
    assert len(told[0]) == 7


def test_f22_a_state_of_other_prompts_or_another_seed_is_refused(small):
    state = Run(small()).source.state_dict()
    with pytest.raises(InputError, match="other prompts"):
        Run(small(), truths="ce").source.load_state_dict(state)
    with pytest.raises(InputError, match="other prompts"):
        Run(small()).source.load_state_dict({**state, "seed": 4})


def test_what_is_drawn_depends_on_seed_batch_prompt_and_answer_alone(small):
    alone, together = Run(small(), rollout={"prompts_per_step": 1}), Run(small(), rollout={"prompts_per_step": 2})
    first = {tuple(ids) for b in alone.source.next_step().batches for ids in sequences(b).values()}
    both = {tuple(ids) for b in together.source.next_step().batches for ids in sequences(b).values()}
    assert first < both


# -- told, kept, alarmed


def test_metrics_and_kept_rollouts_are_those_of_the_answers(small, tmp_path):
    class Grades(Holds):
        needs_truth: ClassVar[bool] = True

    rewards = {"share": Share(weight=2.0), "holds": Grades(weight=0.5)}
    run = Run(small(), tmp_path, rewards=rewards, train={"max_steps": 3}, rollout={"keep_every": 2})
    run.go()
    assert sorted(path.name for path in (tmp_path / "rollouts").iterdir()) == ["step-000001.jsonl", "step-000003.jsonl"]
    rows = [json.loads(line) for line in (tmp_path / "rollouts" / "step-000001.jsonl").read_text().splitlines()]
    answers = [answer for row in rows for answer in row["answers"]]
    assert len(rows) == 2
    assert len(answers) == 8
    for row in rows:
        for answer in row["answers"]:
            assert answer["reward"] == pytest.approx(2 * answer["parts"]["share"] + 0.5 * answer["parts"]["holds"])
            assert answer["reasons"] == {"holds": f"wants {row['truth']}"}
            assert answer["right"] == (answer["parts"]["holds"] == 1)  # the part that knows the ground truth
            text = "".join(token for token, _ in answer["tokens"])
            assert text == answer["answer"] + ("c" if answer["finish_reason"] == "stop" else "")
    told = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])
    of = torch.tensor([answer["reward"] for answer in answers])
    lengths = [len(answer["tokens"]) for answer in answers]
    assert told["reward"] == pytest.approx(of.mean().item())
    assert told["reward_std"] == pytest.approx(of.std(correction=0).item(), abs=1e-6)
    assert told["reward/share"] == pytest.approx(sum(a["parts"]["share"] for a in answers) / 8)
    for name, values in (("reward", of.tolist()), ("reward/share", [a["parts"]["share"] for a in answers])):
        for share in (10, 50, 90):  # linear between the two that are next
            place = sorted(values), share / 100 * 7
            below = int(place[1])
            expected = place[0][below] + (place[1] - below) * (place[0][min(7, below + 1)] - place[0][below])
            assert told[f"{name}_p{share}"] == pytest.approx(expected, abs=1e-6)
    assert told["rollout/length"] == sum(lengths) / 8
    assert told["rollout/length_max"] == max(lengths)
    assert told["rollout/stop_rate"] == sum(a["finish_reason"] == "stop" for a in answers) / 8
    assert told["failed"] == 0
    spent = sum(told[f"seconds/{name}"] for name in ("rollout", "reward", "measure", "train"))
    assert spent == pytest.approx(told["seconds"])
    every = [value for a in answers for _, value in a["tokens"]]
    assert told["rollout/advantage_p50"] == pytest.approx(torch.tensor(every).quantile(0.5).item(), abs=1e-5)
    assert told["rollout/advantage_mean"] == pytest.approx(sum(every) / len(every), abs=1e-5)


def test_an_alarm_warns_or_stops_with_a_checkpoint(small, tmp_path):
    given = {"truths": "zz", "rewards": {"holds": Holds()}, "train": {"max_steps": 4}}
    warned = Run(small(), tmp_path / "a", watch=WatchSettings(patience=2), **given)
    warned.go()
    assert [line for line in warned.said if line.startswith("alarm no_spread, at step 2")] == warned.source.alarms
    stopped = Run(small(), tmp_path / "b", watch=WatchSettings(patience=3, alarm="stop"), **given)
    with pytest.raises(Halted, match=r"alarm no_spread, at step 3.*watch\.alarm=warn"):
        stopped.go()
    assert [path.name for path in (tmp_path / "b" / "checkpoints").iterdir()] == ["step-000002"]
    again = Run(small(), tmp_path / "b", watch=WatchSettings(patience=3), **given)
    assert again.go()["step"] == 4


@pytest.mark.parametrize("preset", ["reinforce", "ppo"])
def test_groups_of_equal_rewards_are_no_alarm_where_answers_are_not_compared_within_them(small, tmp_path, preset):
    """All answers to one prompt get 1, to the other 0: that is all that there is to learn."""

    class ByPrompt(Share):
        def one(self, sample):
            return Score(float(sample.truth == "c"))

    run = Run(
        small(), tmp_path, rewards={"prompt": ByPrompt()}, watch=WatchSettings(patience=1, alarm="stop"),
        objective={"preset": preset, "kl_coef": 0.0}, train={"max_steps": 4},
    )  # fmt: skip
    found = []
    given = run.source.next_step

    def next_step():
        step = given()
        found.append(torch.cat([batch.streams["advantages"] for batch in step.batches]))
        return step

    run.source.next_step = next_step
    assert run.go()["step"] == 4
    assert not run.source.alarms
    for each in found:
        assert (each > 0).any()
        assert (each < 0).any()
        assert preset == "ppo" or set(each.tolist()) == {0.5, -0.5}


def test_a_run_that_goes_back_leaves_out_all_that_the_batch_at_fault_asked(small):
    """Four prompts and eight that were to take the place of dropped groups."""
    run = Run(
        small(), truths="z" * 20, rewards={"holds": Holds()}, watch=WatchSettings(patience=1, alarm="rollback"),
        rollout={"prompts_per_step": 4, "no_spread": "drop", "refill": 2},
    )  # fmt: skip
    source, asked, ask = run.source, [], run.source._gatherer._ask
    source._gatherer._ask = lambda batch, count: (asked.append((batch.taken, count)), ask(batch, count))
    before = source.state_dict()
    with pytest.raises(RollBack, match="alarm no_spread, at step 1") as raised:
        source.next_step()
    assert asked == [(0, 4), (4, 4), (8, 4)]
    source.roll_back(before, raised.value.reason)
    assert (source.taken, source.rollouts, source.given) == (12, 1, 0)
    with pytest.raises(RollBack):
        source.next_step()
    assert asked[3:] == [(12, 4), (16, 4), (20, 4)]


def test_a_function_that_is_not_there_is_refused_before_anything_is_sampled():
    from strop.rollout.grading import check_rewards

    with pytest.raises(InputError, match="no function nothing"):
        check_rewards({"mine": FunctionReward(kind="function", function="math:nothing")}, [])


def test_rows_of_keeps_every_trained_token_once_and_measures_in_order(small):
    run = Run(small())
    run.source.next_step()
    rows = rows_of([], {}, 10)
    assert rows.batches == []
    assert len(rows.owner) == 0
    assert measure(run.policy, run.source._mini[0], ("logprobs",), 1.0)["logprobs"].isfinite().all()


def test_one_answer_a_prompt_is_trained_without_groups(small, tmp_path):
    run = Run(
        small(), tmp_path, objective={"preset": "reinforce"}, truths="cdef",
        rollout={"group_size": 1, "prompts_per_step": 4}, train={"max_steps": 4},
    )  # fmt: skip
    run.go()
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["rollout/no_spread"] for row in rows] == [0, 0, 0, 0]
    assert not run.source.alarms
    assert any(row["grad_norm"] > 0 for row in rows)


def test_all_rewards_may_fail_where_that_is_allowed(small, tmp_path):
    run = Run(
        small(), tmp_path, rewards={"share": Fails(letter="")}, grading=GradingSettings(max_failed=1.0),
        train={"max_steps": 2},
    )  # fmt: skip
    run.go()
    told = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])
    assert told["failed"] == told["failed/share"] == 1
    assert "reward" not in told
