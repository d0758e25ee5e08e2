"""A generated answer read back into reasoning, content and calls, and the next prompt made of it."""

import published
import pytest

from strop.chat import ChatEncoder, ChatSettings, Message, fit_tokenizer, parse_conversation
from strop.chat.thoughts import read_reply

THINK = "<|im_start|>assistant\n<think>\n"
CLOSED = "<|im_start|>assistant\n<think>\n\n</think>\n\n"


@pytest.mark.parametrize(
    ("text", "tail", "reasoning", "content"),
    [
        ("4", "", None, "4"),
        ("<think>\nadd\n</think>\n\n4", "<|im_start|>assistant\n", "add", "4"),
        ("\n<think>add</think>\n4", "<|assistant|>", "add", "4"),
        ("<think>\n\n</think>\n\n4", "<|im_start|>assistant\n", "", "4"),
        ("add\n</think>\n\n4", THINK, "add", "4"),
        ("\n</think>\n\n4", THINK, "", "4"),
        ("add </think> and </think>4", THINK, "add ", " and </think>4"),
        ("<think>\nadd\n</think>\n\n4", THINK, "add", "4"),  # a model that opens it again
        ("add and ad", THINK, "add and ad", ""),  # cut off before it was closed
        ("4 </think>", CLOSED, None, "4 </think>"),  # the prompt has closed it
        ("4 <think> is a word </think>", "<|im_start|>assistant\n", None, "4 <think> is a word </think>"),
        ("<think>never closed", "<|im_start|>assistant\n", None, "<think>never closed"),
        ("<|channel>thought\nadd\n<channel|>4", "<|turn>model\n", "add", "4"),
        ("<|START_THINKING|>add<|END_THINKING|><|START_RESPONSE|>4<|END_RESPONSE|>", "", "add", "4"),
        ("[THINK]add[/THINK]4", "[/INST]", "add", "4"),
        ("<|channel|>final<|message|>4", "<|start|>assistant", None, "4"),
        ("<|channel|>final<|message|>4<|return|>", "<|start|>assistant", None, "4"),
        (
            "<|channel|>analysis<|message|>add<|end|><|start|>assistant<|channel|>final<|message|>4\n<|end|>",
            "<|start|>assistant",
            "add",
            "4\n",
        ),
        ("<|channel|>analysis<|message|>add and ad", "<|start|>assistant", "add and ad", ""),
        (" to=self<|message|>add<|eom|><|start|>assistant to=user<|message|>4", "<|start|>assistant", "add", "4"),
        ("words before <|channel|>final<|message|>4", "", None, "words before <|channel|>final<|message|>4"),
    ],
)
def test_reasoning_and_content(text, tail, reasoning, content):
    assert read_reply(text, tail) == Message("assistant", content, reasoning)


def test_a_call_in_a_channel():
    start = "<|channel|>analysis<|message|>look<|end|><|start|>assistant"
    after, ahead = "<|channel|>commentary to=functions.add <|constrain|>json", " to=functions.add<|channel|>commentary"
    for header in (after, ahead):
        reply = read_reply(f'{start}{header}<|message|>{{"a": 1}}<|call|>', "<|start|>assistant")
        call = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
        assert reply == Message("assistant", "", "look", (call,))
    broken = "<|channel|>commentary to=functions.add<|message|>{oh<|call|>"
    assert read_reply(broken, "<|start|>assistant").content == broken  # nothing is lost


def sampled(name: str, messages: list[dict]) -> tuple[ChatEncoder, str, str]:
    """The encoder, the prompt's text and the last turn as the model would write it, without its stop token."""
    settings = ChatSettings(stop_tokens=list(published.TEMPLATES[name].stops), waive=["missing_stop"])
    encoder = ChatEncoder(published.tokenizer(name), settings)
    [found] = encoder.inspect(parse_conversation({"messages": messages}, "f:1"))
    turn = found.example.turns[-1]
    if turn.drifted:
        pytest.skip("the template does not print the turn as it was sampled")
    end = found.starts[turn.last - 1] if turn.ending == "stop" else turn.end
    return encoder, found.text[: turn.start], found.text[turn.start : end]


@pytest.mark.parametrize("name", published.names())
def test_what_each_published_template_prints_is_read_back(name):
    question = {"role": "user", "content": "user_1"}
    answer = {"role": "assistant", "content": "answer_1\nis this", "reasoning_content": "reason_1\n\nthinks"}
    encoder, prompt, text = sampled(name, [question, answer])
    reply = encoder.parse(text, [question]).message
    assert reply.content == answer["content"]
    assert read_reply(text, prompt[-64:]).content.strip() == answer["content"]
    assert reply.reasoning_content == (answer["reasoning_content"] if "reason_1" in text else None)
    # Handed back as it was generated, or read, it makes the prompt that the template makes of the fields.
    again = {"role": "user", "content": "user_2"}
    served = encoder.prompt([question, reply if "reason_1" in text else answer, again])
    assert encoder.prompt([question, answer, again]) == served
    if "<think>" not in text or published.TEMPLATES[name].eos != "<|im_end|>":  # these read content themselves
        return
    assert encoder.prompt([question, {"role": "assistant", "content": text}, again]) == served


def test_a_template_without_reasoning_gets_it_back_where_the_model_wrote_it(make_encoder, make_tokenizer):
    tokenizer = make_tokenizer()
    fit_tokenizer(tokenizer, "chatml")
    question, text = {"role": "user", "content": "hi"}, "<think>\nhm\n</think>\n\nhello"
    assert make_encoder().parse(text, [question]).message == Message("assistant", text)
    assert ChatEncoder(tokenizer).parse(text, [question]).message == Message("assistant", "hello", "hm")


@pytest.mark.parametrize("name", ["qwen3_8", "qwen3_5_think", "nemotron_3_nano", "gptoss"])
def test_an_answer_given_back_as_it_was_generated(name):
    question, again = {"role": "user", "content": "2+2?"}, {"role": "user", "content": "3+3?"}
    answer = {"role": "assistant", "content": "4", "reasoning_content": "add them"}
    encoder, _, text = sampled(name, [question, answer])
    served = encoder.prompt([question, answer, again])
    assert encoder.prompt([question, {"role": "assistant", "content": text}, again]) == served
    [whole] = encoder.encode(parse_conversation({"messages": [question, answer, again, answer]}, "f:1"))
    if not whole.turns[1].drifted:
        assert whole.tokens[: whole.turns[1].first] == served
