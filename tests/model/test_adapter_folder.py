"""Folders of adapters as models: found by their base's name, told apart from what was merged before."""

import json
import shutil

import pytest
import torch
from peft import PeftModel
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from strop.common.errors import InputError
from strop.model import adapter
from strop.model.base import Base
from strop.model.lora import add_lora
from strop.model.names import load_model, load_tokenizer, resolve, save_model
from strop.model.new_tokens import fit_embeddings
from strop.model.settings import LoraSettings

TOKENS = torch.tensor([[1, 5, 97, 6, 98]])
LORA = LoraSettings(r=4)


def tokenizer(*added):
    backend = Tokenizer(models.WordLevel({f"w{i}": i for i in range(97)}, unk_token="w0"))
    backend.add_special_tokens(list(added))
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="w2", chat_template="{{ messages }}")


@pytest.fixture
def stage(tmp_path, make_model, monkeypatch):
    """A stage's folder with `adapter` and `model`, its base `base`, and the logits that both are to give."""
    monkeypatch.setenv("STROP_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    save_model(make_model(), tokenizer(), tmp_path / "base")
    new = {"<a>": 97, "<b>": 98}
    model, fitted = make_model(), tokenizer(*new)
    fit_embeddings(model, range(97), new.values())
    adapters = add_lora(model, LORA, token_ids=new.values())
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    folder = tmp_path / "run/sft"
    adapters.save(folder / "adapter")
    base = Base("base", tmp_path / "base", 99, frozenset(range(97)), new)
    adapter.describe(folder / "adapter", base, fitted, LORA)
    expected = model(TOKENS).logits.detach()
    save_model(adapters.merge(), fitted, folder / "model", adapter.note_merged(folder / "adapter"))
    return folder, expected


def logits(folder):
    return load_model(folder)(TOKENS).logits


def test_what_was_merged_beside_it_is_used(stage):
    folder, expected = stage
    assert resolve(folder / "adapter") == (folder / "model").absolute()
    torch.testing.assert_close(logits(folder / "adapter"), expected, atol=1e-4, rtol=1e-4)


def test_alone_it_is_merged_into_its_base_once(stage, caplog):
    folder, expected = stage
    shutil.rmtree(folder / "model")
    found = resolve(folder / "adapter")
    assert found.parent.name == "models"
    assert "merging these adapters" in caplog.text
    torch.testing.assert_close(logits(folder / "adapter"), expected, atol=1e-4, rtol=1e-4)
    caplog.clear()
    assert resolve(folder / "adapter") == found
    assert "merging" not in caplog.text
    assert load_tokenizer(found).convert_tokens_to_ids("<b>") == 98


def test_other_adapters_in_its_place_are_not_taken_for_it(stage):
    folder, _ = stage
    weights = folder / "adapter" / "adapter_model.safetensors"
    from safetensors.torch import load_file, save_file

    save_file({name: torch.zeros_like(value) for name, value in load_file(weights).items()}, weights)
    assert resolve(folder / "adapter") != (folder / "model").absolute()


def test_the_base_is_found_from_elsewhere(stage, tmp_path, monkeypatch):
    folder, expected = stage
    shutil.rmtree(folder / "model")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    torch.testing.assert_close(logits(folder / "adapter"), expected, atol=1e-4, rtol=1e-4)


def test_a_base_that_is_gone_is_named_with_what_there_is_instead(stage, tmp_path):
    folder, _ = stage
    (folder / "model" / adapter.MERGED).unlink()
    shutil.rmtree(tmp_path / "base")
    with pytest.raises(InputError, match=r"adapters alone, and its base is not to be found: .*'base'") as error:
        resolve(folder / "adapter")
    assert f"The merged model is in {folder / 'model'}" in str(error.value)


def test_a_folder_without_its_weights(stage):
    folder, _ = stage
    (folder / "adapter" / "adapter_model.safetensors").unlink()
    with pytest.raises(InputError, match=r"no adapter_model\.safetensors"):
        resolve(folder / "adapter")


def test_it_loads_by_peft_on_the_base_with_new_rows_as_its_card_says(stage, tmp_path):
    folder, expected = stage
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    base.resize_token_embeddings(99, mean_resizing=False)
    again = PeftModel.from_pretrained(base, folder / "adapter")
    torch.testing.assert_close(again(TOKENS).logits, expected, atol=1e-4, rtol=1e-4)


def test_the_card_names_the_base_as_the_user_did(stage):
    folder, _ = stage
    card = (folder / "adapter" / "README.md").read_text()
    assert "# Adapters (LoRA) for base\n" in card
    assert "AutoModelForCausalLM.from_pretrained('base')" in card
    assert "base.resize_token_embeddings(99, mean_resizing=False)" in card
    assert "`<a>`, `<b>`" in card
    assert "base_model:" not in card  # no hub id
    config = json.loads((folder / "adapter" / "adapter_config.json").read_text())
    assert config["target_modules"] == sorted(config["target_modules"])
    assert config["base_model_name_or_path"] == "base"


@pytest.mark.parametrize(
    ("name", "load"),
    [
        ("org/name", "from_pretrained('org/name')"),
        ("smollm2-135m", "load_model('smollm2-135m')"),
        ("x/y.gguf", "load_model('x/y.gguf')"),
    ],
)
def test_the_card_loads_the_base_by_what_knows_its_name(tmp_path, make_model, name, load):
    add_lora(model := make_model(), LORA)
    model.save_pretrained(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    adapter.describe(tmp_path, Base(name, tmp_path / "cache", 97, frozenset(), {}), tokenizer(), LORA)
    card = (tmp_path / "README.md").read_text()
    assert load in card
    assert ("base_model: org/name" in card) == (name == "org/name")
    assert "cache" not in card
    assert "resize" not in card


def test_a_base_in_float32_is_read_again_where_less_was_held(tmp_path, make_model):
    save_model(make_model(), tokenizer(), tmp_path / "whole")
    save_model(make_model().to(torch.bfloat16), tokenizer(), tmp_path / "half")
    whole, half = (Base("b", tmp_path / name, 97, frozenset(range(97)), {}) for name in ("whole", "half"))
    assert whole.whole(torch.float32) is None
    assert half.whole(torch.bfloat16) is None
    again = whole.whole(torch.bfloat16)
    assert torch.equal(again.lm_head.weight, make_model().lm_head.weight)
