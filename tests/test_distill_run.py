"""Distillation as a user has it: what the student learns, going on, what is refused beforehand."""

import json

import pytest
from dying import dying_at, failing_at
from preference_runs import PAIRS, TEXTS, metrics_of, runner
from safetensors import safe_open

from strop.model.names import load_tokenizer
from strop.train import loop

ROWS = [{"prompt": row["prompt"], "completion": row["chosen"]} for row in PAIRS]
OWN = "rollout.max_tokens=6"


@pytest.fixture(scope="session")
def folder(make_model_folder):
    return make_model_folder(TEXTS, 300)


@pytest.fixture(scope="session")
def teacher(make_model_folder):
    """Another model with the same tokens."""
    return make_model_folder(TEXTS, 300, seed=1)


@pytest.fixture
def run(tmp_path, folder, capsys, monkeypatch):
    return runner(tmp_path, folder, capsys, monkeypatch)


@pytest.mark.parametrize(
    "how",
    [
        ("objective.divergence=forward", "objective.sft_weight=0.1"),
        ("objective.divergence=reverse", "on_policy=1", OWN),
        ("objective.divergence=forward", "objective.temperature=2", "on_policy=0.5", OWN, "rollout.temperature=0.7"),
    ],
    ids=["forward on the data", "reverse on its own", "half and half"],
)
def test_the_student_comes_near_the_teacher_also_where_it_was_not_trained(run, teacher, how):
    done = run("distill", ROWS, f"teacher={teacher}", "eval_data.fraction=0.25", "train.learning_rate=1e-2", *how)
    assert done.code == 0, done.err
    rows = metrics_of(done.stage)
    first, last = (row["eval_kl"] for row in (rows[0], rows[-1]))
    assert last < 0.9 * first
    assert done.facts["KL divergence"] == f"{first:.4f} → {last:.4f}"
    assert (done.stage / "model/config.json").is_file()
    steps = [row for row in rows if "loss" in row]
    kl = [row["kl"] for row in steps]  # of single batches, of which no two are alike
    assert sum(kl[-3:]) < 0.95 * sum(kl[:3]), kl
    assert all(0 < row["teacher_mass"] <= 1 for row in steps)
    assert ("nll" in steps[0]) == ("sft_weight" in how[1])
    with safe_open(done.stage / "teacher/teacher.safetensors", "pt") as kept:
        assert {name: str(kept.get_tensor(name).dtype) for name in ("choices", "teacher_logprobs")} == {
            "choices": "torch.int32",
            "teacher_logprobs": "torch.float16",
        }


@pytest.mark.parametrize("divergence", ["forward", "reverse"])
def test_its_own_copy_has_nothing_to_learn(run, folder, divergence):
    done = run("distill", ROWS, f"teacher={folder}", f"objective.divergence={divergence}", "train.max_steps=2")
    assert done.code == 0, done.err
    assert abs(metrics_of(done.stage)[0]["kl"]) < 1e-5
    assert metrics_of(done.stage)[0]["agreement"] == 1.0


@pytest.mark.parametrize("share", [0, 0.5])
def test_killed_and_gone_on_is_uninterrupted_bit_for_bit(run, teacher, share):
    given = (f"teacher={teacher}", f"on_policy={share}", *([OWN] if share else []), "train.checkpoint_every=3")
    whole = run("distill", ROWS, *given, name="whole")
    assert whole.code == 0, whole.err
    with dying_at(6):
        run("distill", ROWS, *given, name="cut")
    again = run("distill", ROWS, *given, name="cut")
    assert "going on from step 3" in again.out
    assert "teacher: log-probabilities kept from before are used" in again.out
    one, other = ((done.stage / "model/model.safetensors").read_bytes() for done in (whole, again))
    assert one == other


def test_every_answer_of_its_own_is_sampled_by_the_weights_of_the_moment_and_learnt_whole(run, teacher, monkeypatch):
    real, seen = loop.optimizer_step, []

    def noted(weights, objective, batches, *args):
        seen.append([(b.tokens.tolist(), b.seq_lens, b.labels.tolist(), b.streams["given"].unique()) for b in batches])
        return real(weights, objective, batches, *args)

    monkeypatch.setattr(loop, "optimizer_step", noted)
    more = ("train.max_steps=6", "train.learning_rate=3e-2", "rollout.temperature=0")
    done = run("distill", ROWS[:8], f"teacher={teacher}", "on_policy=1", OWN, *more)
    assert done.code == 0, done.err
    answers = []
    for rows in seen:
        assert all(given.tolist() == [0.0] for *_, given in rows)
        tokens = [one for row, lens, *_ in rows for one in _cut(row, lens)]
        assert sum(lens for _, lens, *_ in rows for lens in lens) == sum(map(len, tokens))
        answers.append(sorted(map(tuple, tokens)))
    prompts = {tuple(load_tokenizer(done.stage / "model").apply_chat_template(
        [{"role": "user", "content": row["prompt"]}], add_generation_prompt=True, return_dict=False
    )) for row in ROWS[:8]}  # fmt: skip
    for one in answers[0]:
        [prompt] = [prompt for prompt in prompts if one[: len(prompt)] == prompt]
        assert 0 < len(one) - len(prompt) <= 6
    assert answers[0] != answers[-1]  # greedy, so other weights are what makes them differ


def _cut(row, lens):
    at = 0
    for n in lens:
        yield row[at : at + n]
        at += n


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("teacher=./none",), "teacher: There is no model './none'"),
        ((), "teacher"),
        (("on_policy=1", "objective.sft_weight=0.5"), "none is learnt from; lower on_policy"),
        (("rollout.max_tokens=9",), "rollout would not be read: set on_policy above 0"),
        (("on_policy=1", "chat.train_on=all"), "chat.train_on: all trains the prompt"),
        (("on_policy=1", "train.micro_batch_tokens=60"), "raise train.micro_batch_tokens, or lower rollout.max_tokens"),
        (("on_policy=1", "lora={dropout: 0.1}"), "lora.dropout would make"),
    ],
)
def test_what_cannot_be_distilled_is_refused_by_name(run, teacher, given, words):
    named = () if not given or given[0].startswith("teacher") else (f"teacher={teacher}",)
    failed = run("distill", ROWS[:4], *named, *given)
    assert failed.code == 2
    assert words in failed.err


def test_a_teacher_with_other_tokens_is_refused_before_anything_begins(run, make_model_folder):
    other = make_model_folder(["completely other words", json.dumps(ROWS)], 290)
    failed = run("distill", ROWS, f"teacher={other}")
    assert failed.code == 2
    assert "has other tokens than the model that is trained" in failed.err
    assert "(300 and 290 tokens)" in failed.err
    assert not failed.stage.exists()


@pytest.mark.parametrize("how", [(), ("on_policy=0.5", OWN)], ids=["on the data", "half and half"])
def test_a_run_that_goes_back_knows_the_teacher_of_what_comes_instead(run, teacher, how):
    back = ("train.max_steps=3", "train.max_bad_steps=1", "train.on_bad_steps=rollback", "train.checkpoint_every=1")
    with failing_at(2):
        done = run("distill", ROWS, f"teacher={teacher}", *back, *how)
    assert done.code == 0, done.err
    assert "rolled back to step 1" in done.out
