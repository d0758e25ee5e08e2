"""The kernel that computes all layers for rows of a cache: against the modules, who gets it, alike in every batch."""

import contextlib
import copy
from itertools import takewhile

import pytest
import torch
from peft.tuners.lora import LoraLayer
from transformers import AutoConfig, AutoModelForCausalLM

from strop.common.errors import InputError
from strop.model import accelerate
from strop.model.cpu.int8 import quantised
from strop.model.cpu.kernels import call, float32_kernels, named
from strop.model.kv_cache import KVCache, PagedLayout, cache_shapes
from strop.model.lora import add_lora
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.model.settings import LoraSettings
from strop.rollout.engine import Request, SamplingParams
from strop.rollout.torch_engine import TorchEngine

CPU = torch.device("cpu")
NEAR = {torch.bfloat16: 0.03, torch.float32: 1e-5}
"""What kernel and modules may differ by, of the mean size of what they compute."""
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


@pytest.fixture(
    params=[
        pytest.param(torch.bfloat16, marks=pytest.mark.skipif(not accelerate.available(), reason="no kernels here")),
        pytest.param(torch.float32, marks=pytest.mark.skipif(float32_kernels() is None, reason="no compiler here")),
    ],
    ids=["bfloat16", "float32"],
)
def dtype(request):
    return request.param


def build(name, changes, dtype):
    torch.manual_seed(0)
    config = AutoConfig.for_model(name.split(",")[0], **{**SIZES, **changes})
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:  # norms and biases, away from their neutral start
                parameter.add_(0.1 * torch.randn_like(parameter))
    return Policy(model.to(dtype), Compute(CPU, dtype)).eval()


@torch.inference_mode()
def states(policy):
    """Hidden states of two sequences that come in pieces: many tokens, few, one; across pages that are out of order."""
    shapes, dtype = cache_shapes(policy)
    cache = KVCache(shapes, dtype, CPU)
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
def test_it_computes_what_the_modules_do(name, dtype):
    policy = build(name, TAKEN[name], dtype)
    policy.choose_decoder()
    assert policy._kernel_decoder is not None
    ours = states(policy)
    policy._kernel_decoder = None
    theirs = states(policy)
    assert (ours - theirs).abs().mean() < NEAR[dtype] * theirs.abs().mean()
    if dtype == torch.bfloat16:  # both round at every layer; the kernel is as near to float32 as the modules are
        exact = states_in_float32(policy)
        assert (ours - exact).abs().mean() < 1.2 * (theirs - exact).abs().mean()


@pytest.mark.parametrize("targets", [["all-linear"], ["q_proj", "v_proj", "down_proj"]])
def test_adapters_are_computed_with_what_they_adapt(targets, dtype):
    policy = build("llama", {"attention_bias": True}, dtype)
    adapted = add_lora(policy.plain_model(), LoraSettings(r=5, alpha=7, dropout=0.5, targets=targets))
    parts = [m for m in adapted.network.modules() if isinstance(m, LoraLayer)]
    for layer in parts:
        torch.nn.init.normal_(layer.lora_B["default"].weight, std=0.1)
    adapted.network.to(dtype)
    policy = Policy(adapted.network, Compute(CPU, dtype)).eval()
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
            assert (found - states(policy)).abs().mean() < NEAR[dtype] * found.abs().mean()
    assert (on - off).abs().mean() > 0.1 * off.abs().mean()
    assert (on - changed).abs().mean() > 0.02 * on.abs().mean()
    policy.train()  # dropout: peft's own layers
    policy.choose_decoder()
    assert policy._kernel_decoder is None


def states_in_float32(policy):
    plain = Policy(copy.deepcopy(policy.plain_model()).float(), Compute(CPU, torch.float32)).eval()
    return states(plain)


@pytest.mark.parametrize("name", LEFT)
def test_other_shapes_are_left_to_the_modules(name, dtype):
    policy = build(name, LEFT[name], dtype)
    policy.choose_decoder()
    assert policy._kernel_decoder is None
    assert states(policy).isfinite().all()


def test_what_becomes_of_a_model_is_looked_at_again(dtype):
    policy = build("llama", {}, dtype)
    policy.choose_decoder()
    assert policy._kernel_decoder is not None
    hook = policy.model.model.layers[1].register_forward_hook(lambda *_: None)
    policy.choose_decoder()
    assert policy._kernel_decoder is None
    hook.remove()
    policy.choose_decoder()
    assert policy._kernel_decoder is not None
    policy.model.model.layers[1].double()
    policy.choose_decoder()
    assert policy._kernel_decoder is None


def test_an_answer_is_the_same_whatever_else_is_generated(dtype):
    """One by one, all at once, in another order, and with so little memory that rows have to wait and go on: in
    bfloat16 to the bit."""
    policy = build("llama", {}, dtype)
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
    tight = TorchEngine(
        policy, frozenset({2}), max_rows=4, cache_gb=7 * 64 * 3 * 2 * 64 * dtype.itemsize / 1e9
    ).generate(asked[::-1])
    tight = [r for i in range(5) for r in tight[(4 - i) * 3 : (5 - i) * 3]]
    for other in (again, alone, tight):
        if dtype == torch.bfloat16:
            assert other == together
        # float32: the modules compute prompts of long rows, and a draw on the edge between two tokens may be another
        assert sum(one.tokens != same.tokens for one, same in zip(other, together, strict=True)) <= 1
        for one, same in zip(other, together, strict=True):
            pairs = zip(one.tokens, same.tokens, strict=True)
            alike = len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
            ours, theirs = (torch.tensor(x.logprobs[:alike]) for x in (one, same))
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


def test_weights_in_8_bits(dtype):
    """As good as the modules with the rounded weights, the same alone and together, and made again when they change."""
    policy = build("llama", {}, dtype)
    policy.choose_decoder()
    exact, rounded = (build("llama", {}, dtype).plain_model().float() for _ in range(2))
    exact, rounded = (Policy(model, Compute(CPU, torch.float32)).eval() for model in (exact, rounded))
    usual = (states(policy) - states(exact)).abs().mean() + 1e-6 * states(exact).abs().mean()
    with torch.no_grad():
        for module in rounded.model.modules():
            if isinstance(module, torch.nn.Linear):
                q, scale = quantised(module.weight)
                assert (module.weight.float() - q * scale[:, None]).abs().max() <= scale.max() / 2
                module.weight.copy_(q * scale[:, None])
    policy.choose_decoder(int8 := accelerate.Int8Weights())
    ours = states(policy)
    assert (ours - states(rounded)).abs().mean() < 1.2 * usual
    hidden = torch.randn(7, 96).to(dtype)
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
        TorchEngine(build("gemma", {}, dtype), frozenset({2}), int8=True).generate([[1, 5]])


@pytest.mark.parametrize("k", [96, 1600])
@pytest.mark.parametrize("rows", [1, 2, 5, 6, 11, 20, 33, 71, 300])
@pytest.mark.parametrize("bias", [False, True])
def test_products_of_few_rows(rows, k, bias, dtype):
    """As in float64, and each row to the bit what it is alone, whichever way the rows are taken."""
    torch.manual_seed(rows)
    x, w = torch.randn(rows, k).to(dtype), torch.randn(48, k).to(dtype)
    b, name = torch.randn(48).to(dtype) if bias else None, named("strop_linear", x)
    q, scale = quantised(w)
    for weight, eight in ((w, (None, None)), (q * scale[:, None], (q, scale))):
        out, single = torch.empty(rows, 48), torch.empty(rows, 48)
        call(name, x, w, *eight, b, out, rows, 48, k)
        expected = x.double() @ weight.double().t() + (b.double() if bias else 0)
        torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-4)
        for i in range(rows):
            call(name, x[i].contiguous(), w, *eight, b, single[i], 1, 48, k)
        assert torch.equal(single, out)


@pytest.mark.skipif(float32_kernels() is None, reason="no compiler here")
def test_long_rows_in_float32_are_the_modules_which_are_faster_there():
    policy = build("llama", {}, torch.float32)
    policy.choose_decoder()
    kernel = policy._kernel_decoder
    assert [kernel.takes(n) for n in (1, 256, 257)] == [True, True, False]
    shapes, dtype = cache_shapes(policy)
    tokens = torch.randint(0, 96, (300,), generator=torch.Generator().manual_seed(1)).tolist()
    found = []
    for counts in ((300,), (200, 100)):  # at once by the modules, in two pieces by the kernel
        cache, done = KVCache(shapes, dtype, CPU), 0
        cache.grow(5)
        parts = []
        for n in counts:
            done += n
            row = PagedLayout(cache, (n,), (done,), ((0, 1, 2, 3, 4),), (300,)).row(tokens[done - n : done], range(n))
            with torch.inference_mode():
                parts.append(policy(row, ("hidden",))["hidden"])
        found.append(torch.cat(parts))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-4)
