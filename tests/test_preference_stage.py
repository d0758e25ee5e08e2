"""Preference and reward-model stages from the command line: what they learn, going on, what is refused and saved."""

import pytest
import torch
from dying import dying_at, failing_at
from preference_runs import LABELLED, PAIRS, TEXTS, metrics_of, runner
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from strop.chat.answers import parse_answers
from strop.data.groups import Group, group_batch, mismatched
from strop.data.prepared import PreparedExample
from strop.model.precision import Compute
from strop.rollout.reward_model import load_reward_model

FLOAT32 = Compute(torch.device("cpu"), torch.float32)


@pytest.fixture(scope="session")
def folder(make_model_folder):
    return make_model_folder(TEXTS, 330)


@pytest.fixture
def run(tmp_path, folder, capsys, monkeypatch):
    return runner(tmp_path, folder, capsys, monkeypatch)


@pytest.mark.parametrize("type", ["dpo", "simpo", "kto"])
def test_what_can_be_told_apart_is_learnt(run, type):
    rows = LABELLED if type == "kto" else PAIRS
    done = run("dpo", rows, f"objective.type={type}", "eval_data.fraction=0.25")
    assert done.code == 0, done.err
    after = float(done.facts["reward accuracy"].split("→ ")[1].split()[0])
    assert after > 0.95, done.facts
    start = next(row for row in metrics_of(done.stage) if "eval_loss" in row)
    if type != "simpo":  # against itself as it was: log 2, and 1/2 for kto
        assert start["eval_loss"] == pytest.approx(0.6931 if type == "dpo" else 0.5, abs=1e-4)


def test_a_reward_model_learns_and_transformers_loads_it(run):
    done = run("rm", PAIRS, "eval_data.fraction=0.25", "train.epochs=10")
    assert done.code == 0, done.err
    assert float(done.facts["accuracy"].split()[0]) > 0.95
    assert {"expected calibration error", "correlation of score and length"} <= done.facts.keys()
    model = AutoModelForSequenceClassification.from_pretrained(done.stage / "model", dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(done.stage / "model")
    asked, said = zip(
        *[(row["prompt"], row[name]) for row in PAIRS[:4] for name in ("chosen", "rejected")], strict=True
    )
    turns = [
        [{"role": "user", "content": q}, {"role": "assistant", "content": a}] for q, a in zip(asked, said, strict=True)
    ]
    texts = [tokenizer.apply_chat_template(one, tokenize=False) for one in turns]
    scores = load_reward_model(done.stage, FLOAT32)(asked, said)
    for side in ("left", "right"):
        padded = tokenizer(texts, padding=True, padding_side=side, return_tensors="pt", add_special_tokens=False)
        ours = {name: padded[name] for name in ("input_ids", "attention_mask")}
        with torch.no_grad():
            assert model(**ours).logits[:, 0].tolist() == pytest.approx(scores, abs=1e-4)


def test_a_reward_model_learns_given_scores(run):
    rows = [{**{k: row[k] for k in ("prompt", "completion")}, "score": 2.0 * row["label"]} for row in LABELLED]
    done = run("rm", rows, "objective.type=regression", "eval_data.fraction=0.25", "train.epochs=12")
    assert done.code == 0, done.err
    assert float(done.facts["correlation with the scores given"]) > 0.9


@pytest.mark.parametrize("more", [(), ("lora={r: 4, targets: [all-linear]}",)])
def test_killed_and_gone_on_is_uninterrupted_with_the_same_reference(run, more):
    whole = run("dpo", PAIRS, *more, name="whole")
    assert whole.code == 0, whole.err
    with dying_at(6):
        run("dpo", PAIRS, *more, "train.checkpoint_every=3", name="cut")
    again = run("dpo", PAIRS, *more, "train.checkpoint_every=3", name="cut")
    assert "going on from step 3" in again.out
    assert ("log-probabilities kept from before are used" in again.out) == (not more)
    one, other = ((done.stage / "model/model.safetensors").read_bytes() for done in (whole, again))
    assert one == other


def test_a_run_that_goes_back_knows_the_reference_of_what_comes_instead(run):
    """Three steps of eight pairs of forty: what is left out is made up for by pairs that no step was to have."""
    back = ("train.max_steps=3", "train.max_bad_steps=1", "train.on_bad_steps=rollback", "train.checkpoint_every=1")
    with failing_at(2):
        done = run("dpo", PAIRS, *back)
    assert done.code == 0, done.err
    assert "rolled back to step 1" in done.out
    assert [row["step"] for row in metrics_of(done.stage)] == [1, 2, 3]


def test_held_out_answers_to_one_prompt_are_named(run):
    failed = run("dpo", LABELLED[::2], "objective.type=kto", "eval_data.fraction=0.025")
    assert failed.code == 2
    assert "eval_data: all answers (1, the first rows.jsonl:" in failed.err
    assert "hold out more" in failed.err


@pytest.mark.parametrize(
    ("row", "chat", "why"),
    [
        ({"prompt": "q", "chosen": "a", "rejected": "a"}, (), "the chosen and the rejected answer are the same; drop"),
        (
            {"prompt": "q", "chosen": "a" * 300 + "b", "rejected": "a" * 300 + "c"},
            ("chat.max_length=60", "chat.too_long=truncate"),
            "are the same after it was cut to chat.max_length",
        ),
        ({"prompt": "q", "chosen": "", "rejected": "a"}, (), "field chosen.content: an empty assistant turn"),
        ({"prompt": "q", "completion": "a"}, (), "the row holds no pair: expected chosen and rejected"),
        ({"prompt": "q", "chosen": "a", "rejected": "b", "margin": -1}, (), "field margin: expected a finite number"),
    ],
)
def test_a_row_that_is_no_pair_is_named(run, row, chat, why):
    failed = run("dpo", [*PAIRS[:3], row], *chat)
    assert failed.code == 2
    assert "rows.jsonl:4" in failed.err
    assert why in failed.err


@pytest.mark.parametrize("override", ["chat.train_on=all", "chat.too_long=split_turns", "objective.gamma=1.5"])
def test_settings_that_answers_cannot_have_are_refused(run, override):
    failed = run("dpo", PAIRS[:3], override)
    assert failed.code == 2
    assert override.partition("=")[0].partition(".")[2] in failed.err


def test_rows_in_other_layouts_are_the_same_pair():
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "good"}]
    bad = {"role": "assistant", "content": "bad"}
    rows = [
        {"prompt": "q", "chosen": "good", "rejected": "bad", "margin": 2},
        {"chosen": turns, "rejected": [turns[0], bad], "margin": 2},
        {"messages": turns, "rejected_response": "bad", "margin": 2},
    ]
    found = [parse_answers(row, "f:1", "auto", "pairs") for row in rows]
    assert found[0] == found[1] == found[2]
    assert [one.conversation.messages[-1].content for one in found[0]] == ["good", "bad"]
    assert [one.value for one in found[0]] == [2.0, 0.0]
    labelled = parse_answers(rows[0], "f:1", "auto", "labelled")
    assert [one.value for one in labelled] == [1.0, -1.0]


def test_mismatched_answers_are_to_other_prompts_and_of_both_labels():
    groups = []
    for i in range(40):
        tokens = torch.tensor([3, 10 + i // 2, 100 + i]).numpy()  # two answers to a prompt stand together
        weights = torch.tensor([0.0, 0.0, 1.0]).numpy()
        groups.append(Group((PreparedExample(tokens, weights, f"f:{i}", 1.0 - 2 * (i % 2)),), f"f:{i}", ("part", i)))
    found = mismatched(groups, 3)
    answers = [int(one.examples[0].tokens[-1]) - 100 for one in found]
    assert [one.examples[0].tokens[1] for one in found] == [group.examples[0].tokens[1] for group in groups]
    assert all(answer // 2 != i // 2 for i, answer in enumerate(answers))
    assert 10 < sum(answer % 2 for answer in answers) < 30
    batch = group_batch(groups[:2], "labelled")
    assert batch.sequence_streams["preferred"].tolist() == [1.0, -1.0]
