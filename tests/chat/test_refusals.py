"""What is said of a conversation that the template refuses, with a mend that was tried."""

import pytest

from conftest import CHATML
from strop.chat import ChatEncoder, ChatSettings, fit_tokenizer, parse_conversation
from strop.common.errors import InputError

CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
CALLING = [
    {"role": "user", "content": "1 and 2?"},
    {"role": "assistant", "tool_calls": [CALL]},
    {"role": "tool", "content": "3"},
    {"role": "assistant", "content": "3"},
]
PRINTS = CHATML.replace("m['content'] +", "(m.content or m.tool_calls | tojson) +")
PICKY = PRINTS.replace(
    "{% for m in messages %}", "{% for m in messages %}{{ raise_exception('no') if m.role == 'tool' }}"
)


def refusal(encoder, messages) -> str:
    with pytest.raises(InputError) as caught:
        encoder.encode(parse_conversation({"messages": messages}, "f:1"))
    return str(caught.value)


def test_tool_calls_and_a_template_without_them(make_encoder, make_tokenizer):
    assert refusal(make_encoder(), CALLING) == (
        "f:1: the chat template has no place for tool calls and their results ('dict object' has no attribute "
        "'content'); set chat.template: chatml, which has them"
    )
    tokenizer = make_tokenizer()
    fit_tokenizer(tokenizer, "chatml")
    assert (
        len(
            ChatEncoder(tokenizer, ChatSettings(template="chatml")).encode(
                parse_conversation({"messages": CALLING}, "f:1")
            )
        )
        == 1
    )


def test_a_template_with_calls_that_refuses_something_else(make_encoder):
    said = "f:1: the chat template refused this conversation: no; mend the conversation, or "
    assert refusal(make_encoder(PICKY), CALLING) == said + "set chat.template: chatml, which takes it"


def test_another_template_is_named_where_it_takes_the_conversation(make_tokenizer):
    tokenizer = make_tokenizer()
    fit_tokenizer(tokenizer, "nanochat")
    encoder = ChatEncoder(tokenizer, ChatSettings(template="nanochat"))
    assert refusal(encoder, CALLING).endswith("; set chat.template: chatml, which has them")
    fit_tokenizer(tokenizer, "chatml")
    tokenizer.chat_template = "{{ raise_exception('never') }}" + tokenizer.chat_template
    [user, answer] = CALLING[0], CALLING[3]
    assert refusal(ChatEncoder(tokenizer, ChatSettings()), [user, answer]).endswith(
        "set chat.template: chatml, which takes it"
    )
