"""Adapters in every family that is exact on packed rows: off, they are not there; merged, they are in the weights."""

import pytest
import torch
from families import EXACT, VOCABULARY, build

from strop.chat import Example
from strop.common.errors import InputError
from strop.data.batch import make_batch
from strop.model.blocks import decoder_blocks
from strop.model.lora import adapters_off, add_lora
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.model.preflight import check_lora, check_packable
from strop.model.settings import LoraSettings

TOKENS = torch.arange(3, 20)[None]


@pytest.mark.parametrize("family", EXACT)
def test_adapters_fit_and_merge(family):
    model = build(*EXACT[family])
    lora = LoraSettings(r=2)
    check_packable(model)
    check_lora(model, lora, torch.device("cpu"), "lora")
    assert len(decoder_blocks(model)) == model.config.get_text_config().num_hidden_layers
    before = model(TOKENS).logits
    adapters = add_lora(model, lora)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    adapted = model(TOKENS).logits
    assert (adapted - before).abs().max() > 0.1
    with adapters_off(model):
        assert torch.equal(model(TOKENS).logits, before)
    adapted.sum().backward()
    assert all((p.grad is not None) == p.requires_grad for p in model.parameters())
    torch.testing.assert_close(adapters.merge()(TOKENS).logits, adapted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", EXACT)
def test_rows_of_new_tokens_are_trained_beside_them_on_packed_rows(family):
    """Through the policy, whose kernels take the place of peft's layers."""
    new = [VOCABULARY, VOCABULARY + 1]
    model = build(*EXACT[family])
    model.resize_token_embeddings(VOCABULARY + 2, mean_resizing=False)
    adapters = add_lora(model, LoraSettings(r=2), token_ids=new)
    policy = Policy(model, Compute(torch.device("cpu"), torch.float32))
    batch = make_batch([Example([1, 5, new[0], 6, new[1], 7], [0.0, *[1.0] * 5], "x", (), ())])
    trained = policy(batch)["logprobs"]
    trained.sum().backward()
    rows = [p for name, p in model.named_parameters() if "trainable_tokens" in name and p.requires_grad]
    assert rows
    assert all(row.grad.abs().sum(1).min() > 0 for row in rows)
    policy.plain_model()
    with torch.no_grad():
        merged = Policy(adapters.merge(), policy.compute)(batch)["logprobs"]
    torch.testing.assert_close(merged, trained.detach(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("settings", [{"dropout": 0.1}, {"dora": True}])
def test_stacked_experts_take_neither_dropout_nor_dora(settings):
    with pytest.raises(InputError, match=r"MixtralForCausalLM.*lora\.targets"):
        add_lora(build(*EXACT["Mixtral"]), LoraSettings(r=2, **settings))
    add_lora(build(*EXACT["Mixtral"]), LoraSettings(r=2, targets=["q_proj"], **settings))
