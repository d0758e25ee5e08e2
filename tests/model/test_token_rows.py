"""Rows of single tokens trained beside adapters: they get their gradients, are saved, merged and gone on with."""

import pytest
import torch
from peft import PeftModel
from transformers import PhiConfig, PhiForCausalLM

from strop.chat import Example
from strop.data.batch import make_batch
from strop.data.source import PackedSource
from strop.model.lora import adapters_off, add_lora
from strop.model.new_tokens import fit_embeddings
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.model.settings import LoraSettings
from strop.objectives.sft import CrossEntropy
from strop.train.groups import tensor_kinds
from strop.train.loop import train
from strop.train.settings import TrainSettings
from strop.train.weights import Weights

FLOAT32, BFLOAT16 = (Compute(torch.device("cpu"), dtype) for dtype in (torch.float32, torch.bfloat16))
KNOWN, NEW = range(97), [97, 98, 99]
EXAMPLE = Example([1, 5, 97, 98, 6, 99, 7, 98], [0.0] * 2 + [1.0] * 6, "x", (), ())
TOKENS = torch.tensor([EXAMPLE.tokens])


def grown(model, dtype=torch.float32):
    fit_embeddings(model, KNOWN, NEW)
    return model.to(dtype)


def phi():
    """Untied, with an output bias."""
    torch.manual_seed(0)
    config = PhiConfig(vocab_size=97, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4)
    model = PhiForCausalLM(config).eval()
    torch.nn.init.normal_(model.lm_head.bias)
    return model


def rows_of(model):
    return {name: p for name, p in model.named_parameters() if p.requires_grad and "trainable_tokens" in name}


def move(model, scale=0.05):
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += scale * torch.randn(parameter.shape, generator=generator).to(parameter.dtype)


def logprobs(model):
    logits = model(TOKENS).logits[0].float().log_softmax(-1)
    return torch.stack([logits[i - 1, EXAMPLE.tokens[i]] for i in range(2, 8)])


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("known", [False, True])
def test_gradients_are_those_of_the_whole_matrices_rows(make_model, tied, known):
    """Against a model all of whose weights are trained, the adapters being nothing yet."""
    whole = grown(make_model(tie_word_embeddings=tied))
    expected = Policy(whole, FLOAT32)
    (expected(make_batch([EXAMPLE]))["logprobs"] * torch.arange(1.0, 7)).sum().backward()
    model = grown(make_model(tie_word_embeddings=tied))
    add_lora(model, LoraSettings(r=4), token_ids=NEW)
    policy = Policy(model, FLOAT32)
    out = policy(make_batch([EXAMPLE]), gradient=torch.arange(1.0, 7) if known else None)["logprobs"]
    (out * torch.arange(1.0, 7)).sum().backward()
    found = [p.grad for p in rows_of(model).values()]
    wanted = [whole.model.embed_tokens.weight.grad[NEW], *([] if tied else [whole.lm_head.weight.grad[NEW]])]
    assert len(found) == len(wanted)
    for got, gradient in zip(found, wanted, strict=True):
        assert gradient.abs().max() > 0.01
        torch.testing.assert_close(got, gradient, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["tied", "untied", "biased"])
def test_saved_loaded_by_peft_and_merged_they_are_the_same_model(tmp_path, make_model, kind):
    def base():
        return grown(phi() if kind == "biased" else make_model(tie_word_embeddings=kind == "tied"))

    model = base()
    adapters = add_lora(model, LoraSettings(r=4), token_ids=NEW)
    before = Policy(base(), FLOAT32)(make_batch([EXAMPLE]))["logprobs"]
    policy = Policy(model, FLOAT32)
    move(model)
    with torch.no_grad():
        trained = policy(make_batch([EXAMPLE]))["logprobs"]
        with adapters_off(model):
            torch.testing.assert_close(policy(make_batch([EXAMPLE]))["logprobs"], before, atol=1e-5, rtol=0)
    assert (trained - before).abs().max() > 0.01
    adapters.save(tmp_path)
    torch.testing.assert_close(logprobs(PeftModel.from_pretrained(base(), tmp_path)), trained, atol=1e-4, rtol=1e-4)
    policy.plain_model()
    merged = adapters.merge()
    assert merged.state_dict().keys() == base().state_dict().keys()
    head, embedding = merged.get_output_embeddings().weight, merged.get_input_embeddings().weight
    assert (head is embedding) == (kind == "tied")
    assert torch.equal(embedding[:97], base().get_input_embeddings().weight[:97])
    if kind != "biased":  # its head is trained whole
        assert torch.equal(head[:97], base().get_output_embeddings().weight[:97])
    assert (embedding[NEW] - base().get_input_embeddings().weight[NEW]).abs().max() > 0.01
    with torch.no_grad():
        again = Policy(merged, FLOAT32)(make_batch([EXAMPLE]))["logprobs"]
    torch.testing.assert_close(again, trained, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("settings", "rows"),
    [
        ({}, 2),
        ({"modules_to_save": ["lm_head"]}, 1),
        ({"modules_to_save": ["embed_tokens"]}, 1),
        ({"targets": ["lm_head", "q_proj"]}, 1),
        ({"modules_to_save": ["embed_tokens", "lm_head"]}, 0),
    ],
)
def test_what_is_trained_anyway_needs_no_rows(make_model, settings, rows):
    model = grown(make_model(tie_word_embeddings=False))
    add_lora(model, LoraSettings(r=4, **settings), token_ids=NEW)
    assert len(rows_of(model)) == rows


def test_none_are_trained_where_none_are_named(make_model):
    model = make_model()
    add_lora(model, LoraSettings(r=4))
    assert not rows_of(model)


@pytest.mark.parametrize("tied", [True, False])
def test_they_are_embedding_and_head_to_the_optimiser(make_model, tied):
    model = grown(make_model(tie_word_embeddings=tied))
    add_lora(model, LoraSettings(r=4), token_ids=NEW)
    kinds = tensor_kinds(model)
    assert [kinds[name] for name in rows_of(model)] == (["embedding"] if tied else ["embedding", "head"])


@pytest.mark.parametrize("compute", [FLOAT32, BFLOAT16])
def test_they_are_gone_on_with_bit_for_bit(tmp_path, make_model, compute):
    def run(folder, steps):
        model = grown(make_model(), compute.dtype)
        add_lora(model, LoraSettings(r=4), seed=3, token_ids=NEW)
        start = {name: p.detach().float().clone() for name, p in rows_of(model).items()}
        settings = TrainSettings(
            epochs=2, global_batch_size=2, micro_batch_tokens=30, learning_rate=0.01, warmup_ratio=0.0,
            min_lr_ratio=1.0, checkpoint_every=1, max_steps=steps,
        )  # fmt: skip
        source = PackedSource([EXAMPLE] * 4, global_batch_size=2, micro_batch_tokens=30, epochs=2)
        weights = Weights(Policy(model, compute), settings)
        train(weights, source, CrossEntropy("token_mean"), settings, folder)
        with weights.whole():
            return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}, start

    whole, start = run(tmp_path / "whole", None)
    run(tmp_path / "cut", 2)
    resumed, _ = run(tmp_path / "cut", None)
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
    assert all(value.dtype == torch.float32 for value in whole.values())
    [(name, first)] = start.items()
    assert (whole[name] - first).abs().min(1).values.max() > 0
    assert not torch.equal(whole[name][0], whole[name][1])  # the mean no longer


def test_frozen_beside_them_a_float32_base_is_merged_from_its_own_weights(tmp_path, make_model):
    """Held in bfloat16 while training; the merge gives adapter on base as plain transformers and peft have it."""
    held = grown(make_model(), torch.bfloat16)
    held.model.rotary_emb.inv_freq = make_model().model.rotary_emb.inv_freq
    adapters = add_lora(held, LoraSettings(r=4), token_ids=NEW)
    move(held, 1e-3)
    for parameter in held.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    adapters.save(tmp_path)
    merged = adapters.merge(base=grown(make_model()))
    plain = PeftModel.from_pretrained(grown(make_model()), tmp_path)
    torch.testing.assert_close(merged(TOKENS).logits, plain(TOKENS).logits, atol=1e-5, rtol=1e-5)
    own = grown(make_model())
    assert torch.equal(merged.model.norm.weight, own.model.norm.weight)
    assert torch.equal(merged.model.embed_tokens.weight[:97], own.model.embed_tokens.weight[:97])
    rounded = own.model.layers[0].mlp.up_proj.weight.bfloat16().float()
    assert (merged.model.layers[0].mlp.up_proj.weight - rounded).abs().max() > 1e-4
