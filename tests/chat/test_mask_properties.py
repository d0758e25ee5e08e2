"""Over random conversations and several kinds of tokenizer: only the assistant's turns are trained, and all of them."""

import json
import random

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from strop.chat import ChatEncoder, ChatSettings, parse_conversation

WORDS = [
    "hello",
    " ",
    "\n",
    "\n\n",
    "é",
    "日本",
    "🙂",
    "<|im_end|>",
    "<think>",
    "</s>",
    "<|im_start|>assistant\n",
    "{{ x }}",
    "'\"",
    "<",
]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
ADDED = ["<|im_start|>", "<|im_end|>", "</s>"]


def byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        ["hello assistant user system"] * 4,
        trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, special_tokens=ADDED, show_progress=False),
    )
    return tokenizer


def sentencepiece_like() -> Tokenizer:
    """As Llama 2 and Mistral: a space before each piece of text, characters outside the vocabulary as bytes."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokens = [f"<0x{value:02X}>" for value in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=["<unk>", *tokens, *ADDED], show_progress=False)
    tokenizer.train_from_iterator(["▁hello▁assistant▁user<|im_start|>im_end\n"] * 4, trainer)
    state = json.loads(tokenizer.to_str())  # the bytes are in the vocabulary, and are no added tokens
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] not in tokens]
    return Tokenizer.from_str(json.dumps(state))


def swallowing() -> Tokenizer:
    """As Phi-3: the end token takes the white space after it along."""
    tokenizer = byte_level()
    tokenizer.add_special_tokens([AddedToken("<|im_end|>", rstrip=True, special=True)])
    return tokenizer


@pytest.mark.parametrize("make", [byte_level, sentencepiece_like, swallowing])
def test_only_the_assistants_turns_are_trained_and_all_of_them(make):
    backend = make()
    backend.add_tokens(["<think>"])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>")
    tokenizer.chat_template = TEMPLATE
    encoder = ChatEncoder(tokenizer, ChatSettings(audit_every=1))
    random_source = random.Random(0)
    for number in range(60):
        messages, answers = [], []
        for _ in range(random_source.randint(1, 4)):
            for role in ("system", "user", "assistant", "tool"):
                if role == "assistant" or random_source.random() < 0.6:
                    content = "".join(random_source.choices(WORDS, k=random_source.randint(1, 8)))
                    messages.append({"role": role, "content": content})
                    answers += [content + "<|im_end|>"] if role == "assistant" else []
        try:
            [example] = encoder.encode(parse_conversation({"messages": messages}, f"random:{number}"))
        except Exception as error:
            raise AssertionError(f"{messages}") from error
        trained = [piece for piece, weight in example.pieces if weight]
        assert len(trained) == len(answers)
        for piece, answer in zip(trained, answers, strict=True):
            # A token at a border may take in white space of the template's, and nothing else.
            assert answer in piece
            assert not piece.replace(answer, "", 1).strip()
        controls = [encoder.controls[t] for t in example.tokens if t in encoder.controls]
        assert controls == ["<|im_start|>", "<|im_end|>"] * len(messages)
    assert encoder.report.conversations == 60
    assert encoder.report.control_strings > 100


@pytest.mark.parametrize("answer", ["  if x:\n    y", "\n\nhello", "hello"])
@pytest.mark.parametrize("space", ["", " ", "\n"])
def test_a_header_that_swallows_white_space_is_given_and_not_trained(space, answer):
    # As Phi-3's <|assistant|>: it takes the white space after it along, an answer's indentation too; but it stands in
    # the prompt that is served.
    backend = byte_level()
    strips = [AddedToken(token, rstrip=True, special=True) for token in ("<|user|>", "<|assistant|>", "<|im_end|>")]
    backend.add_special_tokens(strips)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>")
    tokenizer.chat_template = (
        "{% for m in messages %}<|{{ m.role }}|>" + space + "{{ m.content }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>" + space + "{% endif %}"
    )
    messages = [{"role": "user", "content": "  hello"}, {"role": "assistant", "content": answer}]
    encoder = ChatEncoder(tokenizer)
    [example] = encoder.encode(parse_conversation({"messages": messages * 2}, "d:1"))
    alone = tokenizer(answer.lstrip() + "<|im_end|>", add_special_tokens=False).input_ids
    assert example.tokens == tokenizer.apply_chat_template(messages * 2, return_dict=False)
    assert [t for t, w in zip(example.tokens, example.loss_weights, strict=True) if w] == alone * 2
    assert encoder.report.unusual == []
