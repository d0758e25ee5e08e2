"""A byte-level BPE trained here, and small templates with the features of the published ones."""

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from strop.chat import ChatEncoder, ChatSettings, parse_conversation

ADDED = ["<s>", "<|im_start|>", "<|im_end|>", "<|eot|>", "<|start|>", "<|head|>", "<|user|>", "<|assistant|>"]
PLAIN_ADDED = [
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
]  # added, but not "special", as in Qwen's vocabulary

CHATML = (
    "{% for m in messages %}"
    "{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def train_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=340, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False, special_tokens=ADDED
    )
    tokenizer.train_from_iterator(["hello world, the user said hi; the assistant said hello there"] * 3, trainer)
    tokenizer.add_tokens(PLAIN_ADDED)
    return tokenizer


@pytest.fixture(scope="session")
def backend_json() -> str:
    return train_tokenizer().to_str()


@pytest.fixture
def make_tokenizer(backend_json):
    def make(template: str | None = CHATML, eos: str = "<|im_end|>") -> PreTrainedTokenizerFast:
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer.from_str(backend_json), bos_token="<s>", eos_token=eos
        )
        tokenizer.chat_template = template
        return tokenizer

    return make


@pytest.fixture
def make_encoder(make_tokenizer):
    def make(own: str | None = CHATML, eos: str = "<|im_end|>", stop_ids=frozenset(), **settings) -> ChatEncoder:
        settings = {"audit_every": 1, **settings}
        return ChatEncoder(make_tokenizer(own, eos), ChatSettings(**settings), stop_ids)

    return make


@pytest.fixture
def encode(make_encoder):
    """Encode messages; returns the text with the trained parts in ⟦⟧, and the encoder."""

    def run(messages, template: str = CHATML, tools=None, **settings):
        encoder = make_encoder(template, **settings)
        row = {"messages": messages, **({"tools": tools} if tools else {})}
        [example] = encoder.encode(parse_conversation(row, "data.jsonl:1"))
        decode = encoder.text_encoder._backend.decode
        for weights, pick in (((True,), bool), ((True, False), lambda weight: True)):
            ids = [t for t, w in zip(example.tokens, example.loss_weights, strict=True) if pick(w)]
            text = "".join(piece for piece, weight in example.pieces if (weight > 0) in weights)
            assert decode(ids, skip_special_tokens=False) == text  # the pieces tell the truth about the tokens
        return "".join(f"⟦{text}⟧" if weight else text for text, weight in example.pieces), encoder

    return run


def user(content: str) -> dict:
    return {"role": "user", "content": content}


def assistant(content: str | None = None, **more) -> dict:
    return {"role": "assistant", "content": content, **more}


@pytest.fixture
def turns():
    return user, assistant
