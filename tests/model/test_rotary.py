"""Rotary embedding by the kernel: right against float64, in this one model, and only where it is the usual one."""

import copy
from contextlib import nullcontext

import pytest
import torch
from families import EXACT, build
from transformers.models.llama import modeling_llama

from strop.model import accelerate
from strop.model.attention import FlatLayout
from strop.model.cpu import attention_layer
from strop.model.cpu import rotary as kernel
from strop.model.cpu.kernels import float32_kernels
from strop.model.kv_cache import CachedRow
from strop.model.policy import Policy
from strop.model.precision import Compute

needs_kernels = pytest.mark.skipif(not accelerate.available(), reason="no kernels on this machine")
needs_compiler = pytest.mark.skipif(float32_kernels() is None, reason="no compiler here")
FORMATS = [pytest.param(torch.bfloat16, marks=needs_kernels), pytest.param(torch.float32, marks=needs_compiler)]
every_format = pytest.mark.parametrize("dtype", FORMATS)
CPU = torch.device("cpu")


def reference(x, cos, sin):
    a, b = x.chunk(2, dim=-1)
    return x * cos[:, None] + torch.cat((-b, a), dim=-1) * sin[:, None]


@every_format
@pytest.mark.parametrize("width", [32, 64, 128])
@pytest.mark.parametrize("layout", ["by token", "by head", "strided"])
def test_values_and_gradients_against_float64(dtype, width, layout):
    """One rounding: half a unit in the last place, and float32's beside it."""
    torch.manual_seed(0)
    heads, tokens = 3, 37
    if layout == "by token":
        x = torch.randn(1, tokens, heads, width).to(dtype).transpose(1, 2)
    elif layout == "by head":
        x = torch.randn(1, heads, tokens, width).to(dtype)
    else:
        x = torch.randn(1, heads, tokens, 2 * width).to(dtype)[..., ::2]
    cos, sin = (torch.randn(1, tokens, width).to(dtype) for _ in range(2))  # halves differ, as they may
    x = x.detach().requires_grad_()
    exact = x.detach().double().requires_grad_()
    y, expected = kernel.rotary(x, cos, sin), reference(exact, cos.double(), sin.double())
    upstream = torch.randn(y.shape).to(dtype)
    y.backward(upstream)
    expected.backward(upstream.double())
    for got, right in ((y, expected), (x.grad, exact.grad)):
        assert got.dtype == dtype
        error = (got.double() - right).abs()
        assert (error <= torch.finfo(dtype).eps * right.abs() + 1e-6).all()


@every_format
def test_what_the_kernel_does_not_compute_is_left_to_the_model(dtype):
    other = torch.float32 if dtype == torch.bfloat16 else torch.bfloat16
    x, cos = torch.zeros(1, 5, 64).to(dtype), torch.zeros(1, 5, 64).to(dtype)
    assert kernel.supported(x, (1, 2, 5, 64), cos, cos)
    assert not kernel.supported(x.to(other), (1, 2, 5, 64), cos, cos)
    assert not kernel.supported(x, (1, 2, 5, 64), cos.to(other), cos)
    assert not kernel.supported(x, (1, 2, 5, 48), cos[..., :48], cos[..., :48])
    assert not kernel.supported(x, (1, 2, 5, 64), cos[..., :32], cos[..., :32])  # a part of the head is rotated
    assert not kernel.supported(x, (2, 2, 5, 64), cos, cos)
    assert not kernel.supported(x, (1, 2, 5, 64), cos.clone().requires_grad_(), cos)


# Name -> layers whose rotation is taken, of those in the family's small model.
TAKEN = {
    **dict.fromkeys(("Llama", "Qwen3", "Gemma", "Gemma 2", "Phi-3", "Mistral", "OLMo", "OLMo 2", "Mixtral"), 2),
    "SmolLM3": 1,  # the other layer knows no positions
    "GLM-4": 0,  # pairs of neighbours are turned
    "DeepSeek-V3": 0,
    "gpt-oss": 0,
    "GPT-2": 0,
}


@every_format
@pytest.mark.parametrize("family", TAKEN)
def test_only_attention_that_is_built_and_rotates_in_the_usual_way_is_taken(family, dtype):
    policy = Policy(build(*EXACT[family]).eval(), Compute(CPU, dtype))
    assert policy.accelerated.modules.get("rotary embeddings", 0) == TAKEN[family]


@every_format
@pytest.mark.parametrize("family", ["Llama", "Qwen3", "Gemma", "Gemma 2", "Phi-3", "Mistral", "Mixtral", "SmolLM3"])
def test_a_familys_layers_compute_what_they_did(family, dtype):
    """Heads are 32 wide here, as the kernel wants them; windows and caps of the family stay."""
    kind, settings = EXACT[family]
    sizes = {**settings, "hidden_size": 128, "head_dim": 32}
    tokens = torch.arange(3, 23)

    def hidden(dtype, ours):
        policy = Policy(build(kind, sizes).eval().to(dtype), Compute(CPU, dtype), probe=False)
        called.clear()
        row = CachedRow(tokens, torch.arange(20), torch.arange(20), FlatLayout((12, 8)))
        with torch.no_grad(), nullcontext() if ours else accelerate.taken_out([policy.model]):
            return policy(row, ("hidden",))["hidden"].double(), list(called)

    called = []
    with pytest.MonkeyPatch.context() as patch:
        real = attention_layer.rotary
        patch.setattr(attention_layer, "rotary", lambda *args: called.append(1) or real(*args))
        ours, calls = hidden(dtype, True)
        exact, none = hidden(torch.float32, False)
    assert len(calls) == 2 * TAKEN[family]
    assert not none
    assert (ours - exact).norm() < (0.1 if dtype == torch.bfloat16 else 1e-5) * exact.norm()


@pytest.mark.parametrize("changed", ["values", "output", "dropout", "positions"])
def test_a_layer_that_computes_something_else_is_left_alone(changed, make_model, monkeypatch):
    model = make_model(hidden_size=128, num_attention_heads=4, head_dim=32, attention_dropout=0.1)
    model.set_attn_implementation("strop_flat")
    layer = model.model.layers[0].self_attn
    if changed != "dropout":
        layer.attention_dropout = 0.0
        assert attention_layer.usual(layer) == {"scaling": 32**-0.5}
    if changed == "values":
        layer.v_norm = torch.nn.Identity()
        layer.v_proj.register_forward_hook(lambda *_: calls.append(1) or _[2] * len(calls))
    elif changed == "output":
        layer.o_proj.register_forward_hook(lambda *_: calls.append(1) or _[2] * len(calls))
    elif changed == "positions":
        monkeypatch.setattr(type(layer), "forward", by_position(type(layer).forward))
    calls = []
    assert attention_layer.usual(layer) is None


def by_position(own):
    """A forward that names what a usual one does not."""

    def forward(self, hidden_states, position_embeddings, **kwargs):
        modeling_llama.apply_rotary_pos_emb, self.o_proj, self.position_scale  # noqa: B018
        return own(self, hidden_states, position_embeddings, **kwargs)

    return forward


@every_format
def test_one_model_uses_it_and_its_family_stays_as_it_is(make_model, monkeypatch, dtype):
    sizes = {"hidden_size": 128, "num_attention_heads": 4, "head_dim": 32}
    tokens, positions = torch.arange(12), torch.arange(12)

    def hidden(policy):
        with torch.no_grad():
            return policy(CachedRow(tokens, positions, positions, FlatLayout((12,))), ("hidden",))["hidden"]

    called = []
    real = attention_layer.rotary
    monkeypatch.setattr(attention_layer, "rotary", lambda *args: called.append(1) or real(*args))
    exact = hidden(Policy(make_model(**sizes).double(), Compute(CPU, torch.float64)))
    own, turn = modeling_llama.LlamaAttention.forward, modeling_llama.apply_rotary_pos_emb
    policy = Policy(make_model(**sizes).to(dtype), Compute(CPU, dtype))
    called.clear()
    ours = hidden(policy)
    assert len(called) == 2 * 2  # queries and keys of two layers
    assert (ours - exact).norm() < (0.1 if dtype == torch.bfloat16 else 1e-5) * exact.norm()
    assert (modeling_llama.LlamaAttention.forward, modeling_llama.apply_rotary_pos_emb) == (own, turn)
    make_model(**sizes).to(dtype)(input_ids=tokens[None])
    assert len(called) == 4
    twin = copy.deepcopy(policy)
    with torch.no_grad():
        twin.model.model.layers[0].self_attn.q_proj.weight.zero_()
    assert not torch.equal(hidden(twin), ours)
    assert torch.equal(hidden(policy), ours)


@every_format
def test_a_call_without_a_flat_row_is_the_familys_own(make_model, monkeypatch, dtype):
    """A model with its own attention again, for saving or for `generate`."""
    model = make_model(hidden_size=128, num_attention_heads=4, head_dim=32).to(dtype)
    tokens = torch.arange(12)[None]
    expected = model.generate(tokens, max_new_tokens=3, do_sample=False)
    policy = Policy(model, Compute(CPU, dtype))
    monkeypatch.setattr(attention_layer, "rotary", lambda *args: pytest.fail("called"))
    assert torch.equal(policy.plain_model().generate(tokens, max_new_tokens=3, do_sample=False), expected)
