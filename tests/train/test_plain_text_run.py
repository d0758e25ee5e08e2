"""A model without a chat template is trained on plain text, cut into windows of what it reads."""

import json

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from strop.cli import main
from strop.model.names import save_model


def base_model(folder, make_model):
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        ["hello world"], trainers.BpeTrainer(vocab_size=300, special_tokens=["<|end|>"], initial_alphabet=alphabet)
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|end|>")
    model = make_model(
        vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=0, pad_token_id=0, max_position_embeddings=64
    )
    save_model(model, tokenizer, folder)
    return tokenizer


def test_text_needs_no_template_and_long_text_is_cut_into_windows(tmp_path, make_model, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STROP_CACHE", str(tmp_path / "cache"))
    tokenizer = base_model(tmp_path / "base", make_model)
    story = " ".join(f"hello world {number}" for number in range(60))
    (tmp_path / "text.jsonl").write_text(json.dumps({"text": story, "url": "u"}) + "\n")
    (tmp_path / "recipe.yaml").write_text(
        "name: text\nmodel: base\nstages:\n  sft:\n    kind: sft\n    data: [{path: text.jsonl, format: text}]\n"
        "    train: {epochs: 1, global_batch_size: 2}\n"
    )
    code = main(["run", "recipe.yaml"])
    out = capsys.readouterr().out
    assert code == 0
    tokens = len(tokenizer(story)["input_ids"]) + 1  # the end token
    windows = -(-(tokens - 1) // 63)
    assert windows > 3
    flat = " ".join(out.split())
    assert f"1 conversation, {tokens + windows - 1} tokens, {tokens - 1} trained" in flat
    assert "text.jsonl: text (1)" in flat
    assert "columns not read: url (1 row)" in flat


def test_conversations_still_need_one(tmp_path, make_model, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STROP_CACHE", str(tmp_path / "cache"))
    base_model(tmp_path / "base", make_model)
    (tmp_path / "chat.jsonl").write_text(json.dumps({"prompt": "q", "completion": "a"}) + "\n")
    (tmp_path / "recipe.yaml").write_text(
        "name: chat\nmodel: base\nstages:\n  sft: {kind: sft, data: [{path: chat.jsonl}], train: {epochs: 1}}\n"
    )
    assert main(["run", "recipe.yaml"]) == 2
    assert "the tokenizer has no chat template; set chat.template to chatml" in capsys.readouterr().err


def test_of_nothing_no_mask_is_proven(tmp_path, make_model, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STROP_CACHE", str(tmp_path / "cache"))
    base_model(tmp_path / "base", make_model)
    (tmp_path / "bad.jsonl").write_text("no JSON\n")
    (tmp_path / "recipe.yaml").write_text(
        "name: bad\nmodel: base\nstages:\n  sft: {kind: sft, data: {parts: [{path: bad.jsonl}], on_bad_row: skip}}\n"
    )
    assert main(["run", "recipe.yaml"]) == 2
    said = capsys.readouterr()
    assert "there is no example to train on" in said.err
    assert "bad rows skipped: 1; the first: bad.jsonl:1: not JSON" in said.out
    assert "mask proven" not in said.out
