"""The held-out loss is one yardstick: the same tokens, each counting 1, whatever a recipe trains."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from strop.chat import ChatEncoder, ChatSettings
from strop.common.errors import InputError
from strop.evals.losses import held_out, run_loss_task, yardstick
from strop.evals.results import loss_estimate
from strop.model.names import load_model, load_tokenizer
from strop.model.policy import Policy
from strop.model.precision import Compute

FLOAT32 = Compute(torch.device("cpu"), torch.float32)
WINDOW = 512


def row(*turns, **fields):
    messages = [{"role": "user" if i % 2 == 0 else "assistant", "content": text} for i, text in enumerate(turns)]
    messages[-1] |= fields
    return {"messages": messages}


ROWS = [("f.jsonl:1", row("Say one.", "hello world")), ("f.jsonl:2", row("Say", "one", "two?", "hello hello"))]


@pytest.fixture(scope="module")
def policy(model_folder):
    return Policy(load_model(model_folder), FLOAT32)


@pytest.fixture(scope="module")
def tokenizer(model_folder):
    return load_tokenizer(model_folder)


@pytest.fixture
def examples(tokenizer):
    def make(rows=ROWS, window=WINDOW, **settings):
        return held_out(rows, ChatEncoder(tokenizer, yardstick(ChatSettings(**settings), window)), "general_chat")

    return make


@pytest.fixture
def loss(policy, examples):
    return lambda *args, **settings: (
        loss_estimate(run_loss_task(examples(*args, **settings).examples, policy, 64)).value
    )


@pytest.fixture
def plain(model_folder, examples):
    """Mean loss per assistant token, stop token included, from the model's own logits."""
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    total = count = 0
    for e in examples().examples:
        logits = model(torch.tensor([e.tokens])).logits[0].log_softmax(-1)
        for place in range(1, len(e.tokens)):
            if e.loss_weights[place]:
                total, count = total - logits[place - 1, e.tokens[place]].item(), count + 1
    return total / count


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"token_weights": {"hello": 3.0}},
        {"token_weights": {"hello": 0}},
        {"train_on": "last"},
        {"train_on": "all"},
        {"drift": "split"},
        {"drift": "error"},
        {"max_length": 12, "too_long": "drop"},
        {"max_length": 12, "too_long": "error"},
        {"max_length": 20, "too_long": "split_turns"},
        {"trained_fraction": (0.9, 1.0)},
    ],
)
def test_what_a_recipe_trains_does_not_change_the_loss(loss, plain, settings):
    assert loss(**settings) == pytest.approx(plain, abs=1e-5)


def test_weights_of_the_rows_do_not_count_and_untrained_turns_are_not_measured(loss):
    weighted = [
        (place, {"messages": [m | ({"weight": 0.5} if m["role"] == "assistant" else {}) for m in r["messages"]]})
        for place, r in ROWS
    ]
    assert loss(weighted) == pytest.approx(loss(), abs=1e-6)
    untrained = [*ROWS, ("f.jsonl:3", row("Say", "world world world", train=False))]
    assert loss(untrained) == pytest.approx(loss(), abs=1e-6)


def test_what_is_not_measured_is_counted(examples):
    long = row("Say one.", "hello world " * 40)
    late = row("Say one. " * 40, "hello")
    found = examples([*ROWS, ("f.jsonl:3", long), ("f.jsonl:4", late), ("f.jsonl:5", row("Say", "x", train=False))], 60)
    assert [e.place for e in found.examples] == ["f.jsonl:1", "f.jsonl:2", "f.jsonl:3"]
    assert len(found.examples[2].tokens) == 60
    assert found.notes() == [
        "2 of 5 conversations have no assistant text that could be measured and are left out; the first: f.jsonl:4",
        "1 of 5 conversations are longer than the model's window of 60 tokens and are measured up to there",
    ]
    assert examples().notes() == []


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("f.jsonl:1", row("Say", "x", train=False))], "none of its 1 conversations has assistant text"),
        ([("f.jsonl:1", row("Say one. " * 40, "hello"))], "within the first 60 tokens"),
        ([], "the file has no conversation"),
    ],
)
@pytest.mark.parametrize("too_long", ["drop", "error"])
def test_nothing_left_to_measure_is_one_sentence(examples, rows, message, too_long):
    with pytest.raises(InputError, match=r"^evals.general_chat: nothing is left to measure: .*" + message):
        examples(rows, 60, too_long=too_long, waive=["trained_fraction"])


def test_a_conversation_longer_than_a_row_is_a_row_by_itself(policy, examples):
    rows = [*ROWS, ("f.jsonl:3", row("Say one.", "hello world " * 40))]
    found = examples(rows).examples
    apart, together = run_loss_task(found, policy, 40), run_loss_task(found, policy, 4096)
    assert [r.name for r in apart] == [r.name for r in together] == ["f.jsonl:1", "f.jsonl:2", "f.jsonl:3"]
    assert [r.loss for r in apart] == pytest.approx([r.loss for r in together], rel=1e-5)


def test_a_model_without_finite_numbers_is_named_and_not_averaged(model_folder, examples):
    broken = Policy(load_model(model_folder), FLOAT32)
    with torch.no_grad():
        broken.model.model.norm.weight.fill_(float("nan"))
    with pytest.raises(InputError, match="the model's log-probabilities are not finite"):
        run_loss_task(examples().examples, broken, 64)
