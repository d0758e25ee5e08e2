"""The kernel that computes all layers for rows of a cache: against the modules, who gets it, alike in every batch."""

import contextlib
import copy

import pytest
import torch
from peft.tuners.lora import LoraLayer
from transformers import AutoConfig, AutoModelForCausalLM

from strop.common.errors import InputError
from strop.model import accelerate
from strop.model.cpu.int8 import quantised
from strop.model.cpu.kernels import call
from strop.model.kv_cache import KVCache, PagedLayout, cache_shapes
from strop.model.lora import add_lora
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.model.settings import LoraSettings
from strop.rollout.engine import Request, SamplingParams
from strop.rollout.torch_engine import TorchEngine

pytestmark = pytest.mark.skipif(not accelerate.available(), reason="no kernels on this machine")
BF16 = Compute(torch.device("cpu"), torch.bfloat16)
SIZES = {
    "vocab_size": 96, "hidden_size": 96, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 6,
    "num_key_value_heads": 2, "head_dim": 32, "initializer_range": 0.2, "max_position_embeddings": 512,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
TAKEN = {
    "llama": {},
    "llama, biases": {"attention_bias": True},
    "llama, one head of keys": {"num_key_value_heads": 1},
    "mistral": {"sliding_window": 70},
    "qwen2": {},
    "qwen3": {},
}
LEFT = {
    "gemma": {},  # its gate is no SiLU
    "gemma2": {},
    "granite": {"residual_multiplier": 0.3, "attention_multiplier": 0.2},
    "olmo2": {},  # norms stand elsewhere
    "mixtral": {"num_local_experts": 2},
    "llama, odd width": {"hidden_size": 120},
    "llama, bias in the gated unit": {"mlp_bias": True},
}


def build(name, changes, dtype=torch.bfloat16):
    torch.manual_seed(0)
    config = AutoConfig.for_model(name.split(",")[0], **{**SIZES, **changes})
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:  # norms and biases, away from their neutral start
                parameter.add_(0.1 * torch.randn_like(parameter))
    return Policy(model.to(dtype), BF16).eval()


@torch.inference_mode()
def states(policy):
    """Hidden states of two sequences that come in pieces: many tokens, few, one; across pages that are out of order."""
    shapes, dtype = cache_shapes(policy)
    cache = KVCache(shapes, dtype, torch.device("cpu"))
    cache.grow(8)
    tokens = torch.randint(0, 96, (200,), generator=torch.Generator().manual_seed(1)).tolist()
    found, done = [], [0, 0]
    for counts in ((100, 60), (1, 1), (3, 30), (1, 1)):
        done = [a + n for a, n in zip(done, counts, strict=True)]
        layout = PagedLayout(cache, counts, tuple(done), ((4, 1, 0), (5, 2)), (100, 70))
        row = layout.row(tokens[: sum(counts)], range(sum(counts)))
        found.append(policy(row, ("hidden",))["hidden"].float())
    return torch.cat(found)


@pytest.mark.parametrize("name", TAKEN)
def test_it_computes_what_the_modules_do(name):
    policy = build(name, TAKEN[name])
    policy.choose_decoder()
    assert policy._kernel_decoder is not None
    ours = states(policy)
    policy._kernel_decoder = None
    theirs = states(policy)
    exact = states_in_float32(policy)
    # Both round to bfloat16 at every layer; the kernel is as near to float32 as the modules are.
    assert (ours - exact).abs().mean() < 1.2 * (theirs - exact).abs().mean()
    assert (ours - theirs).abs().mean() < 0.03 * exact.abs().mean()


@pytest.mark.parametrize("targets", [["all-linear"], ["q_proj", "v_proj", "down_proj"]])
def test_adapters_are_computed_with_what_they_adapt(targets):
    policy = build("llama", {"attention_bias": True})
    adapted = add_lora(policy.plain_model(), LoraSettings(r=5, alpha=7, dropout=0.5, targets=targets))
    parts = [m for m in adapted.network.modules() if isinstance(m, LoraLayer)]
    for layer in parts:
        torch.nn.init.normal_(layer.lora_B["default"].weight, std=0.1)
    adapted.network.to(torch.bfloat16)
    policy = Policy(adapted.network, BF16).eval()
    policy.choose_decoder()
    assert policy._kernel_decoder is not None
    on = states(policy)
    with policy.reference():
        policy.choose_decoder()
        assert policy._kernel_decoder is not None
        off = states(policy)
    with torch.no_grad():  # what an optimiser does
        parts[0].lora_B["default"].weight.zero_()
    policy.choose_decoder()
    changed = states(policy)
    for found, doing in ((changed, contextlib.nullcontext()), (off, policy.reference())):
        with doing:
            policy._kernel_decoder = None
            assert (found - states(policy)).abs().mean() < 0.03 * found.abs().mean()
    assert (on - off).abs().mean() > 0.1 * off.abs().mean()
    assert (on - changed).abs().mean() > 0.02 * on.abs().mean()
    policy.train()  # dropout: peft's own layers
    policy.choose_decoder()
    assert policy._kernel_decoder is None


def states_in_float32(policy):
    plain = Policy(copy.deepcopy(policy.plain_model()).float(), Compute(torch.device("cpu"), torch.float32)).eval()
    return states(plain)


@pytest.mark.parametrize("name", LEFT)
def test_other_shapes_are_left_to_the_modules(name):
    policy = build(name, LEFT[name])
    policy.choose_decoder()
    assert policy._kernel_decoder is None
    assert states(policy).isfinite().all()


def test_what_becomes_of_a_model_is_looked_at_again():
    policy = build("llama", {})
    policy.choose_decoder()
    assert policy._kernel_decoder is not None
    hook = policy.model.model.layers[1].register_forward_hook(lambda *_: None)
    policy.choose_decoder()
    assert policy._kernel_decoder is None
    hook.remove()
    policy.choose_decoder()
    assert policy._kernel_decoder is not None
    policy.model.model.layers[1].float()
    policy.choose_decoder()
    assert policy._kernel_decoder is None


def test_an_answer_is_the_same_to_the_bit_whatever_else_is_generated():
    """One by one, all at once, in another order, and with so little memory that rows have to wait and go on."""
    policy = build("llama", {})
    generator = torch.Generator().manual_seed(2)
    asked = [
        Request(torch.randint(3, 96, (n,), generator=generator).tolist(),
                SamplingParams(max_tokens=70, temperature=1.0, ignore_eos=True), 3, f"r{n}")
        for n in (4, 64, 65, 150, 31)
    ]  # fmt: skip
    engine = TorchEngine(policy, frozenset({2}))
    together = engine.generate(asked)
    assert len({r.tokens for r in together}) == 15
    again = engine.generate(asked)  # now every prompt is known
    alone = [r for one in asked for r in TorchEngine(policy, frozenset({2})).generate([one])]
    tight = TorchEngine(policy, frozenset({2}), max_rows=4, cache_gb=7 * 64 * 3 * 2 * 64 * 2 / 1e9).generate(
        asked[::-1]
    )
    tight = [r for i in range(5) for r in tight[(4 - i) * 3 : (5 - i) * 3]]
    assert again == together
    assert alone == together
    assert tight == together


def test_weights_in_8_bits():
    """As good as the modules with the rounded weights, the same alone and together, and made again when they change."""
    policy = build("llama", {})
    policy.choose_decoder()
    exact, rounded = (build("llama", {}).plain_model().float() for _ in range(2))
    exact, rounded = (Policy(model, Compute(torch.device("cpu"), torch.float32)).eval() for model in (exact, rounded))
    usual = (states(policy) - states(exact)).abs().mean()
    with torch.no_grad():
        for module in rounded.model.modules():
            if isinstance(module, torch.nn.Linear):
                q, scale = quantised(module.weight)
                assert (module.weight.float() - q * scale[:, None]).abs().max() <= scale.max() / 2
                module.weight.copy_(q * scale[:, None])
    policy.choose_decoder(int8 := accelerate.Int8Weights())
    ours = states(policy)
    assert (ours - states(rounded)).abs().mean() < 1.2 * usual
    hidden = torch.randn(7, 96).bfloat16()
    logits, expected = policy.raw_logits(hidden).float(), hidden.float() @ rounded.model.lm_head.weight.t()
    assert (logits - expected).abs().mean() < 0.01 * expected.abs().mean()
    with torch.no_grad():
        policy.model.model.layers[1].mlp.down_proj.weight.zero_()
    policy.choose_decoder(int8)
    assert not torch.equal(states(policy), ours)

    requests = [Request([5 + i, 9, 11], SamplingParams(max_tokens=20, ignore_eos=True), name=str(i)) for i in range(9)]
    together = TorchEngine(policy, frozenset({2}), int8=True).generate(requests)
    assert together[4:5] == TorchEngine(policy, frozenset({2}), int8=True).generate(requests[4:5])
    assert together != TorchEngine(policy, frozenset({2})).generate(requests)
    with pytest.raises(InputError, match="leave int8 out"):
        TorchEngine(build("gemma", {}), frozenset({2}), int8=True).generate([[1, 5]])


@pytest.mark.parametrize("rows", [1, 2, 5, 6, 11, 300])
@pytest.mark.parametrize("bias", [False, True])
def test_products_of_few_rows(rows, bias):
    torch.manual_seed(rows)
    x, w = torch.randn(rows, 96).bfloat16(), torch.randn(48, 96).bfloat16()
    b = torch.randn(48).bfloat16() if bias else None
    out = torch.empty(rows, 48)
    call("strop_linear", x, w, None, None, b, out, rows, 48, 96)
    expected = x.double() @ w.double().t() + (b.double() if bias else 0)
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-4)
    single = torch.empty(1, 48)
    call("strop_linear", x[-1:].contiguous(), w, None, None, b, single, 1, 48, 96)
    assert torch.equal(single[0], out[-1])
