"""Scored options and texts against plain forward passes, one by one, in float64."""

import json
import math

import pytest
import torch

from strop.chat import ChatEncoder, ChatSettings
from strop.chat.text import document_ids
from strop.evals.choices import chosen_option, encode_questions, notes_of, score_questions
from strop.evals.partial import Partial
from strop.evals.results import LossResult, loss_change, loss_estimate
from strop.evals.texts import encode_documents, measure_documents
from strop.model.names import load_model, load_tokenizer
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.rollout.torch_engine import TorchEngine
from strop.tasks import open_task
from strop.tasks.base import Document, Question
from strop.tasks.multiple_choice import ChoiceSettings
from strop.tasks.text import TextFile

FLOAT32 = Compute(torch.device("cpu"), torch.float32)
OPTIONS = ["hello", "world hello", "world one", "say one more"]


@pytest.fixture(scope="module")
def tokenizer(model_folder):
    return load_tokenizer(model_folder)


@pytest.fixture(scope="module")
def encoder(tokenizer):
    return ChatEncoder(tokenizer, ChatSettings(), frozenset({1}))


def engine_of(folder, **settings):
    return TorchEngine(Policy(load_model(folder, FLOAT32.dtype), FLOAT32), frozenset({1}), **settings)


@pytest.fixture(scope="module")
def plain(model_folder):
    model = load_model(model_folder, torch.float64)

    @torch.no_grad()
    def logprob(context, continuation):
        logprobs = model(torch.tensor([[*context, *continuation]])).logits[0].log_softmax(-1)
        at = range(len(context) - 1, len(context) + len(continuation) - 1)
        return sum(logprobs[place, token].item() for place, token in zip(at, continuation, strict=True))

    return logprob


def choices(tmp_path, **settings):
    rows = [{"query": f"Say {n} hello?", "choices": OPTIONS, "gold": n % 4} for n in range(9)]
    path = tmp_path / "c.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return open_task("choice", ChoiceSettings(path=path, **settings))


@pytest.mark.parametrize("how", [{}, {"options": "letters"}, {"options": "letters", "style": "chat"}])
def test_options_have_the_log_probabilities_of_plain_passes(tmp_path, model_folder, tokenizer, encoder, plain, how):
    """As lm-evaluation-harness encodes them; and whatever is computed together (its #704, #3055)."""
    task = choices(tmp_path, **how)
    encoded = encode_questions(task, encoder)
    found = [
        score_questions(task, encoded, engine_of(model_folder, max_rows=rows), Partial(tmp_path / f"p{rows}", "k"))
        for rows in (2, 64)
    ]
    for question, one, few, many in zip(task.all_questions, encoded, *found, strict=True):
        context = one.prompt if question.text is None else tokenizer.encode(question.text)
        wholes = [tokenizer.encode(question.text + o) if question.text else [*context, *tokenizer.encode(o)]
                  for o in question.options]  # fmt: skip
        expected = [plain(context, whole[len(context) :]) for whole in wholes]
        assert few.option_logprobs == pytest.approx(expected, abs=1e-3)
        assert many.option_logprobs == pytest.approx(expected, abs=1e-3)
        assert few.parts == many.parts
        by_byte = [value / n for value, n in zip(expected, question.lengths, strict=True)]
        assert few.parts["acc"] == float(expected.index(max(expected)) == question.answer)
        assert few.parts["acc_norm"] == float(by_byte.index(max(by_byte)) == question.answer)


def test_an_option_that_joins_the_prompts_last_token_is_scored_from_before_it(encoder):
    """With a space at the prompt's end that the options' first tokens hold, and without any."""
    question = Question("q", "q", [], ("hello", "world"), 0, (5, 5), text="Say one. user hel")
    from strop.evals.prompts import option_ids

    prompt, options, joined = option_ids(question, encoder, "t")
    for option, ids in zip(question.options, options, strict=True):
        assert [*prompt, *ids] == document_ids(question.text + option, encoder)
    assert joined == (len(prompt) < len(document_ids(question.text, encoder)))
    assert all(options)


def test_what_does_not_fit_the_window_counts_as_not_solved(tmp_path, model_folder, encoder):
    task = choices(tmp_path)
    encoded, engine = encode_questions(task, encoder), engine_of(model_folder)
    engine.window = encoded[0].longest - 1
    results = score_questions(task, encoded, engine, Partial(tmp_path / "p", "k"))
    assert (results[0].verdict, results[0].finish_reason, results[0].option_logprobs) == (
        "no_answer", "prompt_too_long", [],
    )  # fmt: skip
    assert any("do not fit the model's window" in note for note in notes_of(task, encoded, engine.window))


def test_a_letter_of_several_tokens_is_said_and_of_equals_the_first_counts(tmp_path, encoder):
    task = choices(tmp_path, options="letters")
    encoded = encode_questions(task, encoder)
    several = sum(any(len(ids) > 1 for ids in one.options) for one in encoded)
    assert any("a letter is more than one token" in note for note in notes_of(task, encoded, 512)) == bool(several)
    question = task.all_questions[0]
    assert chosen_option(question, [-1.0, -1.0, -2.0, -3.0]).answer == "A"


def test_the_beginning_of_a_document_is_put_there_once(model_folder):
    """Twice, it costs points (lm-evaluation-harness #2797); a control string in a question is text."""
    tokenizer = load_tokenizer(model_folder)
    from tokenizers.processors import TemplateProcessing

    tokenizer.bos_token = "<|start|>"
    start = tokenizer.convert_tokens_to_ids("<|start|>")
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|start|> $A", special_tokens=[("<|start|>", start)]
    )
    encoder = ChatEncoder(tokenizer, ChatSettings(), frozenset({1}))
    assert document_ids("hello", encoder).count(start) == 1
    assert document_ids("<|start|>hello", encoder) == document_ids("hello", encoder)
    assert document_ids("hello <|end|>", encoder).count(tokenizer.convert_tokens_to_ids("<|end|>")) == 0


def test_bits_per_byte_are_those_of_a_plain_pass(tmp_path, model_folder, encoder, plain):
    documents = [Document("a", "Say one. süß"), Document("b", "hello world hello")]
    encoded = encode_documents(documents, encoder)
    results = measure_documents(documents, encoded, engine_of(model_folder), Partial(tmp_path / "p", "k"))
    for document, ids, one in zip(documents, encoded, results, strict=True):
        assert one.loss == pytest.approx(-plain(ids[:1], ids[1:]), abs=1e-3)
        assert (one.tokens, one.bytes) == (len(ids) - 1, len(document.text.encode()))
    bits, loss, perplexity = (loss_estimate(results, metric).value for metric in TextFile.metrics)
    total = sum(one.loss for one in results)
    assert bits == pytest.approx(total / math.log(2) / sum(one.bytes for one in results))
    assert loss == pytest.approx(total / sum(one.tokens for one in results))
    assert perplexity == pytest.approx(math.exp(loss))


def test_the_change_of_a_perplexity_is_of_the_same_texts():
    before = [LossResult(f"{i}", f"{i}", 10.0 + i, 5, 9) for i in range(8)]
    after = [LossResult(one.name, one.name, one.loss - 1, 5, 9) for one in before]
    metric = TextFile.metrics[2]
    change = loss_change(before, after, metric)
    expected = loss_estimate(after, metric).value - loss_estimate(before, metric).value
    assert change.value == pytest.approx(expected)
    assert change.low < change.value < change.high < 0
