"""Sampled data with tool calls: rows hold whole conversations, of which the model's own tokens alone are trained."""

import itertools
import json
from contextlib import contextmanager
from pathlib import Path

import pytest
from small_turns import Scripted

from strop.chat import ChatEncoder, ChatSettings, fit_tokenizer, parse_row
from strop.chat.answers import parse_answers, prompt_of
from strop.cli import main
from strop.common.console import make_console
from strop.common.errors import Interrupted
from strop.config.recipe import stage_recipe
from strop.model.names import load_tokenizer
from strop.runs.pipeline import run_recipe

END = {"chatml": "<|im_end|>", "nanochat": "<|assistant_end|>"}


def call(expression):
    return (
        f'<tool_call>\n{{"name": "calculator", "arguments": {{"expression": "{expression}"}}}}\n</tool_call><|im_end|>'
    )


class Stopped(Scripted):
    """Whoever runs it interrupts it after so many calls."""

    def __init__(self, encoder, texts, calls):
        super().__init__(encoder, *texts)
        self.left = calls

    def generate(self, requests, params=None, on_token=None, on_finished=None):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        found = super().generate(requests, params, on_token)
        for number, one in enumerate(found):
            on_finished and on_finished(number, one)
        return found

    def sync(self):
        pass


@pytest.fixture
def sampled(model_folder, tmp_path, monkeypatch):
    """The rows of one prompt to which sample i gives the i-th list of texts, a text a turn."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sums.jsonl").write_text(json.dumps({"question": "6*7?", "answer": "42"}) + "\n")

    def sample(*texts, template="chatml", name="sample", calls=100, **stage):
        @contextmanager
        def scripted(settings, loaded, *_, **__):
            yield Stopped(loaded.encoder, texts, calls)

        monkeypatch.setattr("strop.stages._sample.open_engine", scripted)
        given = {"kind": "sample", "data": ["sums.jsonl"], "rollout": {"group_size": len(texts), "max_tokens": 200}}
        rewards = {"right": {"kind": "exact", "as_number": True}}
        overrides = [f"name={name}", f"chat.template={template}", "compute.dtype=float32"]
        values = {**given, "rewards": rewards, "environment": "tools", **stage}
        run_recipe(stage_recipe("sample", str(model_folder), values, overrides), make_console(stderr=True))
        return [json.loads(line) for line in (tmp_path / f"runs/{name}/sample/rows.jsonl").read_text().splitlines()]

    return sample


def encoder_of(model_folder, template):
    tokenizer = load_tokenizer(model_folder)
    fit_tokenizer(tokenizer, template)
    settings = ChatSettings(template=template)
    return ChatEncoder(tokenizer, settings, tokenizer.convert_tokens_to_ids([END[template]]))


def stretches(encoder, conversation):
    """What is trained and what is not, as text."""
    [example] = encoder.encode(conversation)
    parts = itertools.groupby(zip(example.tokens, example.loss_weights, strict=True), key=lambda pair: pair[1] > 0)
    return [(encoder.tokenizer.decode([token for token, _ in part]), learnt) for learnt, part in parts]


def trained(encoder, conversation):
    return [text for text, learnt in stretches(encoder, conversation) if learnt]


RIGHT = [call("6*7"), "It is 42.<|im_end|>"]
MENDED = ["<tool_call>\n{calculator</tool_call><|im_end|>", call("7*6"), "It is 42!<|im_end|>"]
GUESSED = ["It is 41.<|im_end|>"]
OTHER = MENDED[1:]
COPIED = [call("6*7"), "It is 43.<|im_end|>"]


def test_a_row_is_the_whole_conversation_and_only_what_the_model_wrote_is_trained(sampled, model_folder):
    rows = sampled(RIGHT, MENDED, GUESSED, keep="passing")
    assert [row["sample"] for row in rows] == [0, 1]
    first, mended = (row["completion"] for row in rows)
    function = {"name": "calculator", "arguments": {"expression": "6*7"}}
    assert first == [
        {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": function}]},
        {"role": "tool", "content": "42", "name": "calculator"},
        {"role": "assistant", "content": "It is 42."},
    ]
    assert rows[0]["counts"] == {"turns": 2, "segments": 1, "calls": 1}
    assert [tool["function"]["name"] for tool in rows[0]["tools"]] == ["calculator"]
    encoder = encoder_of(model_folder, "chatml")
    whole = stretches(encoder, parse_row(rows[0], "r:1"))
    assert [text for text, learnt in whole if learnt] == RIGHT
    assert [text for text, learnt in whole if not learnt][1:] == [
        "\n<|im_start|>tool\n<tool_response>\n42\n</tool_response><|im_end|>\n<|im_start|>assistant\n",
        "\n",
    ]
    # A call that cannot be read is there to be read, and not to be learnt.
    assert [message.get("train", True) for message in mended if message["role"] == "assistant"] == [False, True, True]
    assert mended[1]["content"].startswith("error: ")
    assert trained(encoder, parse_row(rows[1], "r:2")) == MENDED[1:]


def test_of_pairs_the_turns_that_both_have_are_the_prompt_and_each_answers_own_turns_are_compared(
    sampled, model_folder
):
    [row] = sampled(RIGHT, COPIED, OTHER, **{"as": "pairs"})
    assert (row["about_chosen"]["sample"], row["about_rejected"]["sample"]) == (0, 1)
    chosen, rejected = (one.conversation for one in parse_answers(row, "r:1", "auto", "pairs"))
    encoder = encoder_of(model_folder, "chatml")
    assert trained(encoder, chosen) == ["It is 42.<|im_end|>"]  # the call and its result stand in both
    assert trained(encoder, rejected) == ["It is 43.<|im_end|>"]
    assert prompt_of(chosen) == prompt_of(rejected)
    assert [role for role, _ in prompt_of(chosen)[:-1]] == ["user", "assistant", "tool"]

    [row] = sampled(OTHER, GUESSED, **{"as": "pairs"}, name="apart")
    chosen, rejected = (one.conversation for one in parse_answers(row, "r:1", "auto", "pairs"))
    assert trained(encoder, chosen) == OTHER
    assert trained(encoder, rejected) == GUESSED
    assert [role for role, _ in prompt_of(chosen)[:-1]] == ["user"]


@pytest.mark.parametrize(
    ("layout", "verb", "more"),
    [
        ("conversations", "sft", []),
        ("pairs", "dpo", []),
        ("pairs", "rm", []),
        ("labelled", "dpo", ["objective.type=kto"]),
    ],
)
def test_other_stages_read_the_rows_as_they_are(sampled, model_folder, layout, verb, more, capsys):
    rows = sampled(RIGHT, MENDED, GUESSED, COPIED, **{"as": layout, "keep": "all"})
    told = json.loads(Path("runs/sample/summary.json").read_text())["facts"]["sample"]
    assert told["an answer in the mean"] == "2.00 turns, 1.00 segments, 1.00 calls, 0.25 malformed"
    assert len(rows) == {"conversations": 4, "pairs": 2, "labelled": 4}[layout]
    if layout == "labelled":
        assert [row["label"] for row in rows] == [True, True, False, False]
    settings = ["train.max_steps=1", "compute.dtype=float32", "chat.template=chatml", *more]
    assert main([verb, str(model_folder), "--data", "runs/sample/sample/rows.jsonl", *settings]) == 0
    assert "tools are not printed" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("template", "notation", "text", "result", "content"),
    [
        ("chatml", "gsm8k", "6*7=<<6*7=|>> 42.", "42>>", "6*7=<<6*7=42>>>> 42."),
        (
            "nanochat",
            "nanochat",
            "so <|python_start|>6*7<|python_end|>| 42.",
            "<|output_start|>42<|output_end|>",
            "so 6*742 42.",
        ),
    ],
)
def test_what_a_calculator_put_into_an_answer_is_not_trained(
    sampled, model_folder, template, notation, text, result, content
):
    answer = text.replace("|>> 42", ">> 42").replace("|>|", "|>") + END[template]
    [row] = sampled([answer], template=template, environment={"kind": "inline", "notation": notation})
    encoder = encoder_of(model_folder, template)
    conversation = parse_row(row, "r:1")
    assert conversation.messages[-1].content == content
    first, second = (text + END[template]).split("|>>" if notation == "gsm8k" else "|>|")
    before, after = (first, ">>" + second) if notation == "gsm8k" else (first + "|>", second)
    found = stretches(encoder, conversation)
    assert found[1:4] == [(before, True), (result, False), (after, True)]
    assert "tools" not in row


def test_turns_that_were_played_are_not_played_again(sampled, monkeypatch):
    texts = [RIGHT, COPIED, GUESSED]
    whole = sampled(*map(list, texts), keep="all")
    with pytest.raises(Interrupted):
        sampled(*map(list, texts), keep="all", name="cut", calls=1)
    _, *played = Path("runs/cut/sample/batches/000000.partial.jsonl").read_text().splitlines()
    assert len(played) == 1  # GUESSED has one turn
    again = sampled(*map(list, texts), keep="all", name="cut")
    strip = lambda rows: [{k: v for k, v in row.items() if k != "model"} for row in rows]  # noqa: E731
    assert strip(again) == strip(whole)
    assert [row["completion"][-1]["content"] for row in again] == ["It is 42.", "It is 43.", "It is 41."]
