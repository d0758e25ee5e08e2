"""Models made from a configuration, and models that score: made, saved and loaded as what they are."""

import json

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from strop.common.errors import InputError
from strop.model.lora import add_lora
from strop.model.names import load_model, load_tokenizer, resolve, save_model
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.model.preflight import check_training
from strop.model.settings import LoraSettings, NewModel
from strop.rollout.plain_engine import PlainEngine
from strop.rollout.torch_engine import TorchEngine

CPU = torch.device("cpu")
SMALL = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
SCORING = {**SMALL, "architectures": ["LlamaForSequenceClassification"]}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STROP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


@pytest.fixture
def new(model_folder):
    def make(fields=SMALL, seed=0, **more):
        return NewModel(new={**fields, **more}, tokenizer=str(model_folder), seed=seed)

    return make


def weights(folder):
    return load_model(folder).state_dict()


def test_a_new_model_is_an_ordinary_folder(new, model_folder):
    folder = resolve(new())
    tokenizer = load_tokenizer(folder)
    assert tokenizer.get_vocab() == load_tokenizer(model_folder).get_vocab()
    assert tokenizer.chat_template == load_tokenizer(model_folder).chat_template
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert type(model).__name__ == "LlamaForCausalLM"
    assert (model.config.vocab_size, model.config.hidden_size) == (len(tokenizer), 32)
    assert model.config.eos_token_id == tokenizer.eos_token_id
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id  # so that it can be served
    Policy(load_model(folder), Compute(CPU, torch.float32))


def test_it_is_made_once_and_depends_on_what_was_asked(new, cache):
    state = torch.get_rng_state()
    folder = resolve(new())
    made = (folder / "model.safetensors").stat().st_mtime_ns
    assert resolve(new()) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == made
    assert torch.equal(torch.get_rng_state(), state)
    others = [resolve(new(seed=1)), resolve(new(num_hidden_layers=1))]
    assert len({folder, *others}) == 3 == len(list(cache.iterdir()))
    assert not torch.equal(weights(folder)["lm_head.weight"], weights(others[0])["lm_head.weight"])


def test_the_same_again_where_the_cache_was_emptied(new, tmp_path, monkeypatch):
    first = weights(resolve(new()))
    monkeypatch.setenv("STROP_CACHE", str(tmp_path / "another"))
    torch.manual_seed(7)
    again = weights(resolve(new()))
    assert all(torch.equal(again[name], value) for name, value in first.items())


def test_another_tokenizer_makes_another_model(new, make_model_folder):
    other = NewModel(new=SMALL, tokenizer=str(make_model_folder(["other words"])))
    assert resolve(other) != resolve(new())


def test_the_tokenizer_may_be_a_file(new, model_folder):
    folder = resolve(NewModel(new=SMALL, tokenizer=str(model_folder / "tokenizer.json")))
    assert load_tokenizer(folder).get_vocab() == load_tokenizer(model_folder).get_vocab()


def test_a_class_names_its_family(new):
    fields = {name: value for name, value in SMALL.items() if name != "model_type"}
    folder = resolve(new(fields, architectures=["Qwen2ForCausalLM"]))
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["Qwen2ForCausalLM"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden_sise": 32}, r"hidden_sise is no field of a llama configuration; did you mean hidden_size"),
        ({"hidden_size": 33}, r"model\.new: no model can be made .*33"),
        ({"hidden_size": "many"}, r"model\.new: no model can be made .*hidden_size"),
        ({"vocab_size": 5}, r"vocab_size is 5 and the tokenizer has"),
        ({"model_type": "lama"}, r"model\.new.*lama"),
        ({"model_type": None, "architectures": ["LamaForCausalLM"]}, r"did you mean LlamaForCausalLM"),
    ],
)
def test_what_cannot_be_made_says_why(new, fields, message, cache):
    with pytest.raises(InputError, match=message):
        resolve(new(**fields))
    assert not cache.exists() or not list(cache.iterdir())


def test_a_family_must_be_named(model_folder):
    with pytest.raises(ValidationError, match="name the family"):
        NewModel(new={"hidden_size": 32}, tokenizer=str(model_folder))


def scores_of(model, ids):
    with torch.no_grad():
        return torch.cat([model(input_ids=torch.tensor([row])).logits[0] for row in ids])


def test_a_scoring_model_stays_one_through_loading_and_saving(new, model_folder, tmp_path):
    ids = [[5, 6, 7], [8, 9]]
    model = load_model(resolve(new(SCORING)))
    assert type(model).__name__ == "LlamaForSequenceClassification"
    assert model.config.num_labels == 1
    with torch.no_grad():
        model.score.weight.add_(1.0)
    save_model(model, load_tokenizer(model_folder), tmp_path / "saved")
    assert json.loads((tmp_path / "saved/config.json").read_text())["architectures"] == [type(model).__name__]
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved")
    again = load_model(tmp_path / "saved")
    assert torch.equal(scores_of(plain, ids), scores_of(model, ids))
    assert torch.equal(scores_of(again, ids), scores_of(model, ids))


def test_a_language_model_loaded_to_score_gets_a_layer_for_it_alone(model_folder):
    torch.manual_seed(3)
    state = torch.get_rng_state()
    one, again = (load_model(model_folder, scores=True) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert one.score.weight.shape == (1, 32)
    assert torch.equal(one.score.weight, again.score.weight)
    own = load_model(model_folder)
    assert all(
        torch.equal(p, one.get_parameter(name)) for name, p in own.named_parameters() if name != "lm_head.weight"
    )


def test_adapters_that_score_find_their_model_again(model_folder, tmp_path):
    adapters = add_lora(load_model(model_folder, scores=True), LoraSettings(r=2))
    with torch.no_grad():
        for parameter in adapters.network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1)
    adapters.save(tmp_path / "adapter")
    config = json.loads((tmp_path / "adapter/adapter_config.json").read_text())
    config["base_model_name_or_path"] = str(model_folder)
    (tmp_path / "adapter/adapter_config.json").write_text(json.dumps(config))
    again, ids = load_model(tmp_path / "adapter"), [[5, 6, 7], [8, 9]]
    torch.testing.assert_close(scores_of(again, ids), scores_of(adapters.merge(), ids))


def test_other_missing_weights_are_still_refused(model_folder, tmp_path):
    folder = tmp_path / "cut"
    save_model(load_model(model_folder), load_tokenizer(model_folder), folder)
    kept = load_file(folder / "model.safetensors")
    kept.pop("model.norm.weight")
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"lack 1 of the model's weights .*norm"):
        load_model(folder, scores=True)


def test_a_scoring_model_does_not_talk_nor_learn_to(new):
    folder = resolve(new(SCORING))
    with pytest.raises(InputError, match="LlamaForSequenceClassification scores texts and writes none"):
        TorchEngine(Policy(load_model(folder), Compute(CPU, torch.float32)), frozenset({1}))
    with pytest.raises(InputError, match="scores texts"):
        PlainEngine(load_model(folder), frozenset({1}))
    with pytest.raises(InputError, match="scores texts"):
        check_training(folder, None, None, CPU, "sft")
