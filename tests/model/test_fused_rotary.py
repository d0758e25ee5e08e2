"""Rotary embedding by the kernel: right against float64, in this one model, and only where it is the usual one."""

import copy

import pytest
import torch
from transformers.models.gpt_oss.modeling_gpt_oss import GptOssAttention
from transformers.models.llama import modeling_llama
from transformers.models.llama.modeling_llama import LlamaAttention
from transformers.models.qwen3.modeling_qwen3 import Qwen3Attention

from strop.model.attention import FlatLayout
from strop.model.cpu import rotary as kernel
from strop.model.cpu.kernels import kernels
from strop.model.fused import fuse
from strop.model.fused_rotary import with_fused_rotary
from strop.model.kv_cache import CachedRow
from strop.model.policy import Policy
from strop.model.precision import Compute

needs_kernels = pytest.mark.skipif(kernels() is None, reason="no kernels on this machine")
BFLOAT16 = Compute(torch.device("cpu"), torch.bfloat16)


def reference(x, cos, sin):
    a, b = x.chunk(2, dim=-1)
    return x * cos[:, None] + torch.cat((-b, a), dim=-1) * sin[:, None]


@needs_kernels
@pytest.mark.parametrize("width", [32, 64, 128])
@pytest.mark.parametrize("layout", ["by token", "by head", "strided"])
def test_values_and_gradients_against_float64(width, layout):
    """One rounding to bfloat16: half a unit in the last place, and float32's beside it."""
    torch.manual_seed(0)
    heads, tokens = 3, 37
    if layout == "by token":
        x = torch.randn(1, tokens, heads, width).bfloat16().transpose(1, 2)
    elif layout == "by head":
        x = torch.randn(1, heads, tokens, width).bfloat16()
    else:
        x = torch.randn(1, heads, tokens, 2 * width).bfloat16()[..., ::2]
    cos, sin = (torch.randn(1, tokens, width).bfloat16() for _ in range(2))  # halves differ, as they may
    x = x.detach().requires_grad_()
    exact = x.detach().double().requires_grad_()
    y, expected = kernel.rotary(x, cos, sin), reference(exact, cos.double(), sin.double())
    upstream = torch.randn(y.shape).bfloat16()
    y.backward(upstream)
    expected.backward(upstream.double())
    for got, right in ((y, expected), (x.grad, exact.grad)):
        assert got.dtype == torch.bfloat16
        error = (got.double() - right).abs()
        assert (error <= 2**-8 * right.abs() + 1e-6).all()


@needs_kernels
def test_what_the_kernel_does_not_compute_is_left_to_the_model():
    x, cos = torch.zeros(1, 2, 5, 64).bfloat16(), torch.zeros(1, 5, 64).bfloat16()
    assert kernel.supported(x, cos, cos)
    assert not kernel.supported(x.float(), cos, cos)
    assert not kernel.supported(x, cos.float(), cos)
    assert not kernel.supported(x[..., :48], cos[..., :48], cos[..., :48])
    assert not kernel.supported(x, cos[..., :32], cos[..., :32])  # a part of the head is rotated
    assert not kernel.supported(x.expand(2, -1, -1, -1), cos, cos)
    assert not kernel.supported(x, cos.clone().requires_grad_(), cos)


def test_only_attention_that_rotates_in_the_usual_way_is_taken():
    assert with_fused_rotary(LlamaAttention) is with_fused_rotary(LlamaAttention)
    assert with_fused_rotary(Qwen3Attention) is not None
    assert with_fused_rotary(GptOssAttention) is None
    assert with_fused_rotary(torch.nn.Linear) is None


@needs_kernels
def test_one_model_uses_it_and_its_family_stays_as_it_is(make_model, monkeypatch):
    sizes = {"hidden_size": 128, "num_attention_heads": 4, "head_dim": 32}
    model = make_model(**sizes).bfloat16()
    tokens = torch.arange(12)[None]
    exact = make_model(**sizes)(input_ids=tokens).logits
    plain = model(input_ids=tokens).logits
    own = modeling_llama.apply_rotary_pos_emb
    called = []
    real = kernel.rotary
    monkeypatch.setattr(kernel, "rotary", lambda *args: called.append(1) or real(*args))
    fuse(model)
    fused = model(input_ids=tokens).logits
    assert len(called) == 2 * 2  # queries and keys of two layers
    assert (fused - exact).norm() < 1.1 * (plain - exact).norm() < 0.1 * exact.norm()
    assert modeling_llama.apply_rotary_pos_emb is own
    other = make_model(**sizes).bfloat16()
    other(input_ids=tokens)
    assert len(called) == 4
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin.model.layers[0].self_attn.q_proj.weight.zero_()
    assert not torch.equal(twin(input_ids=tokens).logits, fused)
    assert torch.equal(model(input_ids=tokens).logits, fused)


@needs_kernels
def test_a_policy_rotates_with_the_kernel(make_model, monkeypatch):
    called = []
    real = kernel.rotary
    monkeypatch.setattr(kernel, "rotary", lambda *args: called.append(1) or real(*args))
    policy = Policy(make_model(hidden_size=128, num_attention_heads=4, head_dim=32).bfloat16(), BFLOAT16)
    called.clear()
    policy(CachedRow(*[torch.arange(7)] * 3, FlatLayout((7,))), ("hidden",))
    assert len(called) == 4
