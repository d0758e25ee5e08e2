"""The mend that is named for a drift is one that works: each is tried here as a user would."""

import copy

import published
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from strop.chat import ChatEncoder, ChatSettings, fit_tokenizer, parse_conversation
from strop.chat.drift import MENDS
from strop.common.errors import InputError


@pytest.fixture(scope="module")
def blank_lines():
    """A maker of tokenizers with one token for a blank line, which ends where a word follows, as GPT-2's does."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=262, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(["\n\n", "a\n\n", "\n\n\n\n"] * 9, trainer)
    state = backend.to_str()

    def make(template: str | None = None, own: str | None = None) -> PreTrainedTokenizerFast:
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(state))
        tokenizer.chat_template = own
        fit_tokenizer(tokenizer, template)
        return tokenizer

    assert make().tokenize("\n\n") == ["ĊĊ"]
    assert make().tokenize("\n\na") == ["Ċ", "Ċ", "a"]
    return make


TALK = [
    {"role": "user", "content": "hello there"},
    {"role": "assistant", "content": "hi you"},
    {"role": "user", "content": "more"},
    {"role": "assistant", "content": "fine"},
]


def parsed(messages: list[dict], **beside):
    return parse_conversation({"messages": messages, **beside}, "f:1")


def test_a_header_whose_last_token_the_answer_changes(blank_lines):
    encoder = ChatEncoder(blank_lines("llama3"), ChatSettings(template="llama3"))
    [found] = encoder.inspect(parsed(TALK))
    assert [(w.kind, w.message, w.mend) for w in found.warnings] == [
        ("drift", 1, MENDS["template"]),
        ("drift", 3, MENDS["template"]),
    ]
    assert encoder.report.drift_mends == {"template": 2}
    for drift in ("split", "error"):
        with pytest.raises(
            InputError, match=r"no split of the conversation makes them equal, but chat\.template: chatml"
        ):
            ChatEncoder(blank_lines("llama3"), ChatSettings(template="llama3", drift=drift)).encode(parsed(TALK))
    mended = ChatEncoder(blank_lines("chatml"), ChatSettings(template="chatml", drift="error"))
    assert len(mended.encode(parsed(TALK))) == 1
    assert mended.report.drift_turns == 0


def test_where_chatml_would_drift_too_it_is_not_named(blank_lines):
    header = "<|im_start|>' ~ m.role ~ '\n"
    own = "{% for m in messages %}{{ '" + header + "' ~ m.content ~ '<|im_end|>' }}{% endfor %}"
    own += "{{ '<|im_start|>assistant\n' if add_generation_prompt }}"
    tokenizer = blank_lines("chatml")
    for template in (own, tokenizer.chat_template):
        tokenizer.chat_template = template
        encoder = ChatEncoder(tokenizer, ChatSettings(stop_tokens=["<|im_end|>"]))
        [found] = encoder.inspect(parsed([TALK[0], {"role": "assistant", "content": "\n\nhi"}]))
        assert [(w.kind, w.mend) for w in found.warnings if w.kind == "drift"] == [("drift", MENDS["allow"])]


def test_what_is_found_out_of_a_run_does_not_depend_on_who_encodes_a_row(blank_lines):
    encoder = ChatEncoder(blank_lines("llama3"), ChatSettings(template="llama3"))
    for _ in range(202):
        encoder.encode(parsed(TALK))
    assert encoder.report.drift_turns == 404
    assert encoder.report.drift_mends == {"template": 2 * (20 + 2)}  # the first 20, the 101st and the 201st


@pytest.mark.parametrize("name", published.names())
def test_the_mends_for_published_templates_work(name):
    stops = list(published.TEMPLATES[name].stops)
    waive = ["missing_stop", "cut_turn", "empty_turn", "trained_fraction"]
    chatml = copy.deepcopy(published.tokenizer(name))
    fit_tokenizer(chatml, "chatml")
    for kind in ("multi", "thinking", "tools", "tools, thinking"):
        row = published.CONVERSATIONS[kind]
        for kwargs in published.variables(name):
            given = {"stop_tokens": stops, "waive": waive, "template_kwargs": kwargs, "audit_every": 0}
            tokenizer = published.tokenizer(name)
            try:
                [found] = ChatEncoder(tokenizer, ChatSettings(**given)).inspect(parse_conversation(row, "f:1"))
            except InputError:
                continue
            mends = [warning.mend for warning in found.warnings if warning.kind == "drift"]
            assert all(mends), (kind, kwargs)
            split = ChatEncoder(tokenizer, ChatSettings(**given, drift="split"))
            if set(mends) == {MENDS["split"]}:
                split.encode(parse_conversation(row, "f:1"))
                assert split.report.drift_turns == 0
            elif mends:
                with pytest.raises(InputError, match="no split of the conversation makes them equal"):
                    split.encode(parse_conversation(row, "f:1"))
            if MENDS["template"] in mends:
                settings = ChatSettings(template="chatml", drift="error", audit_every=0)
                ChatEncoder(chatml, settings).encode(parse_conversation(row, "f:1"))
