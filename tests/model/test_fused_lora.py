"""A linear layer with its adapter as one operation: the numbers, what is kept and computed, and when peft computes."""

import copy

import pytest
import torch
from peft import LoraConfig, PeftModel
from peft.tuners.lora import Linear, LoraLayer
from processes import in_a_child
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from strop.model import accelerate, fused_lora
from strop.model.blocks import compiled_blocks
from strop.model.cpu import gated_unit, rms_norm
from strop.model.fused_lora import operands
from strop.model.lora import adapters_off, add_lora
from strop.model.precision import Compute
from strop.model.settings import LoraSettings

T, I, O, R = 37, 48, 80, 5  # noqa: E741
BOUND = {torch.float32: 1e-6, torch.bfloat16: 4e-3}  # relative; bfloat16 rounds by up to 0.2 %, here twice
TOKENS = torch.arange(3, 20)[None]
needs_kernels = pytest.mark.skipif(not accelerate.available(), reason="no kernels on this machine")
FLOAT32, BFLOAT16 = (Compute(torch.device("cpu"), dtype) for dtype in (torch.float32, torch.bfloat16))


def random(*shape, seed, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def error(got, expected):
    """Relative to the size of the expected tensor, both as Euclidean norms."""
    return ((got.double() - expected).norm() / expected.norm()).item()


def make_layer(dtype=torch.float32, *, bias=False, base=nn.Linear, alpha=8, **settings) -> Linear:
    """peft's layer as training would leave it: B is not zero, the base is frozen; fused."""
    config = LoraConfig(r=R, lora_alpha=alpha, **settings)
    layer = Linear(base(I, O, bias=bias).requires_grad_(False), "default", config=config, r=R, lora_alpha=alpha)
    for seed, parameter in enumerate(layer.parameters()):
        parameter.data = random(*parameter.shape, seed=seed, dtype=dtype) / 7
    accelerate.install(nn.Sequential(layer), FLOAT32)
    assert "forward" in vars(layer)
    return layer


def parts(layer):
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    return layer.base_layer.weight, layer.base_layer.bias, a, b


def gradients(forward, layer, x, upstream):
    """The output and the gradients of x, A and B."""
    x = x.detach().requires_grad_()
    _, _, a, b = parts(layer)
    y = forward(x)
    return [y.detach(), *torch.autograd.grad(y, (x, a, b), upstream)]


def formula(layer, x, upstream):
    """The same by hand, in float64."""
    weight, bias, a, b = (None if p is None else p.detach().double() for p in parts(layer))
    x, dy, scale = x.double().reshape(-1, I), upstream.double().reshape(-1, O), layer.scaling["default"]
    y = x @ weight.T + scale * (x @ a.T) @ b.T + (0 if bias is None else bias)
    dh = scale * dy @ b
    found = [y, dy @ weight + dh @ a, dh.T @ x, scale * dy.T @ (x @ a.T)]
    return [found[0].view(upstream.shape), found[1].view(*upstream.shape[:-1], I), *found[2:]]


@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("settings", [{}, {"bias": True}, {"use_rslora": True, "alpha": 3}])
@pytest.mark.parametrize("shape", [(T,), (1, T), (3, 2, T)])
def test_values_and_gradients_equal_the_formula(dtype, settings, shape):
    layer = make_layer(dtype, **settings)
    x, upstream = (random(*shape, n, seed=7 + n, dtype=dtype) for n in (I, O))
    assert operands(layer, x) is not None
    got, expected = gradients(layer, layer, x, upstream), formula(layer, x, upstream)
    assert [g.shape for g in got] == [e.shape for e in expected]
    assert max(error(g, e) for g, e in zip(got, expected, strict=True)) < BOUND[dtype]


@pytest.mark.parametrize("dtype", BOUND)
def test_it_is_as_near_to_the_formula_as_pefts_own_forward(dtype):
    layer = make_layer(dtype, bias=True, use_rslora=True)
    x, upstream = random(1, T, I, seed=1, dtype=dtype), random(1, T, O, seed=2, dtype=dtype)
    expected = formula(layer, x, upstream)
    ours = gradients(layer, layer, x, upstream)
    theirs = gradients(lambda x: Linear.forward(layer, x), layer, x, upstream)
    assert vars(layer)["forward"].__func__ is fused_lora.forward  # it was not peft's that computed
    assert all(error(mine, pefts.double()) < 2 * BOUND[dtype] for mine, pefts in zip(ours, theirs, strict=True))
    errors = [sum(error(t, true) for t, true in zip(found, expected, strict=True)) for found in (ours, theirs)]
    assert errors[0] < 1.05 * errors[1]


def test_no_rows_and_rows_that_lie_apart():
    """An expert may get no token; a gradient may come as a broadcast or transposed view."""
    layer = make_layer()
    y, dx, da, db = gradients(layer, layer, torch.zeros(0, I), torch.zeros(0, O))
    assert y.shape == (0, O)
    assert dx.shape == (0, I)
    assert not da.any()
    assert not db.any()
    x, upstream = random(I, T, seed=1).T, random(1, O, seed=2).expand(T, O)
    for got, expected in zip(gradients(layer, layer, x, upstream), formula(layer, x, upstream), strict=True):
        assert error(got, expected) < BOUND[torch.float32]


def test_nothing_is_kept_that_is_as_large_as_the_output():
    layer, kept = make_layer(bias=True), []
    x = random(1, T, I, seed=1).requires_grad_()
    with saved_tensors_hooks(lambda t: kept.append((tuple(t.shape), t.data_ptr())) or t, lambda t: t):
        layer(x)
    weight, _, a, b = parts(layer)
    assert sorted(shape for shape, _ in kept) == sorted([(T, I), (O, I), (R, I), (O, R), (T, R)])
    assert {t.data_ptr() for t in (x, weight, a, b)} < {place for _, place in kept}


@pytest.mark.parametrize(("x_needs", "a_needs", "b_needs"), [(1, 1, 1), (0, 1, 1), (1, 0, 0), (1, 0, 1), (0, 0, 1)])
def test_only_the_gradients_that_are_needed_are_computed(x_needs, a_needs, b_needs):
    layer = make_layer(bias=True)
    weight, bias, a, b = parts(layer)
    x = random(T, I, seed=1)
    for tensor, needs in ((x, x_needs), (a, a_needs), (b, b_needs)):
        tensor.requires_grad_(bool(needs))
    y = layer(x)
    in_place = {torch.ops.aten.addmm_: lambda _, h, b, **__: 2 * h[0] * h[1] * b[1]}  # which torch does not count
    with FlopCounterMode(display=False, custom_mapping=in_place) as counter:
        y.sum().backward()
    products = (x_needs or a_needs) * O * R + x_needs * (O * I + I * R) + a_needs * I * R + b_needs * O * R
    assert counter.get_total_flops() == 2 * T * products
    assert [t.grad is not None for t in (x, a, b)] == [bool(n) for n in (x_needs, a_needs, b_needs)]
    assert weight.grad is None
    assert bias.grad is None


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def second_adapter(layer):
    layer.update_layer("second", R, lora_alpha=8, config=LoraConfig(r=R, init_lora_weights=False))
    layer.set_adapter(["default", "second"])


def adapters_in_float32(layer):
    layer.lora_A.float()
    layer.lora_B.float()


def forward_replaced(layer):
    base = layer.base_layer
    base.forward = lambda x: 3 * nn.Linear.forward(base, x)


FALL_BACKS = {
    "DoRA": ({"use_dora": True}, None),
    "an adapter with a bias": ({"bias": True, "lora_bias": True}, None),
    "dropout": ({"lora_dropout": 0.5}, lambda layer: layer.train()),
    "another kind of base": ({"base": Doubled}, None),
    "a base whose forward somebody replaced": ({}, forward_replaced),
    "adapters off": ({}, lambda layer: layer.enable_adapters(False)),
    "merged": ({}, lambda layer: layer.merge()),
    "two adapters": ({}, second_adapter),
    "an active adapter that this layer lacks": ({}, lambda layer: setattr(layer, "_active_adapter", "other")),
    "no active adapter": ({}, lambda layer: setattr(layer, "_active_adapter", [])),
    "a trained base": ({}, lambda layer: layer.base_layer.weight.requires_grad_()),
    "a trained bias": ({"bias": True}, lambda layer: layer.base_layer.bias.requires_grad_()),
    "adapters in another format": ({"dtype": torch.bfloat16}, adapters_in_float32),
}


@pytest.mark.parametrize("case", FALL_BACKS)
def test_otherwise_peft_computes(case):
    settings, change = FALL_BACKS[case]
    layer = make_layer(**settings).eval()
    if change:
        change(layer)
    x = random(T, I, seed=1, dtype=layer.base_layer.weight.dtype)
    assert operands(layer, x) is None
    torch.manual_seed(0)
    expected = Linear.forward(layer, x)
    torch.manual_seed(0)
    assert torch.equal(layer(x), expected)


def test_peft_computes_under_autocast_and_for_arguments_of_its_own():
    layer, x = make_layer(), random(2, I, seed=1)
    with torch.autocast("cpu", torch.bfloat16):
        assert operands(layer, x) is None
        assert torch.equal(layer(x), Linear.forward(layer, x))
    assert operands(layer, x.bfloat16()) is None
    mixed = layer(x, adapter_names=["default", "__base__"])
    assert torch.equal(mixed[1], layer.base_layer(x)[1])
    assert error(mixed[:1], layer(x)[:1].double()) < BOUND[torch.float32]


def test_dropout_stands_in_the_way_of_training_alone():
    layer, x = make_layer(lora_dropout=0.5), random(T, I, seed=1)
    assert operands(layer.train(), x) is None
    assert operands(layer.eval(), x) is not None


def test_switched_off_and_on_again():
    layer, x = make_layer(), random(T, I, seed=1)
    model = nn.Sequential(layer)
    adapted = model(x)
    with adapters_off(model):
        assert torch.equal(model(x), layer.base_layer(x))
    assert torch.equal(model(x), adapted)


def test_recomputed_in_the_backward_pass():
    layer, x, upstream = make_layer(), random(T, I, seed=1), random(T, O, seed=2)
    plain = gradients(layer, layer, x, upstream)
    again = gradients(lambda x: checkpoint(layer, x, use_reentrant=False), layer, x, upstream)
    assert all(torch.equal(a, b) for a, b in zip(again, plain, strict=True))


def test_an_input_that_is_made_again_is_not_kept():
    """How the unit's down projection is called: what it would save is known by its place in memory."""
    layer, x, upstream = make_layer(), random(1, T, I, seed=1), random(1, T, O, seed=2)
    made = []

    def forward(product):
        with gated_unit.made_again(product, lambda: made.append(1) or x.clone()):
            y = layer(product)
        product.data.zero_()  # whoever had kept it would compute with zeros
        return y

    expected = gradients(layer, layer, x, upstream)
    got = gradients(forward, layer, x.clone(), upstream)
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))
    assert made == [1]


@needs_kernels
def test_a_unit_with_adapters_makes_its_product_again_once(make_model, monkeypatch):
    model = adapted_model(make_model, torch.bfloat16)
    accelerate.install(model, BFLOAT16)
    calls, silu_gate = [], gated_unit.silu_gate
    monkeypatch.setattr(gated_unit, "silu_gate", lambda *inputs: calls.append(1) or silu_gate(*inputs))
    logits = model(TOKENS, use_cache=False).logits
    assert len(calls) == 2
    logits.float().square().mean().backward()
    assert len(calls) == 4


@needs_kernels
def test_a_norm_that_is_frozen_passes_the_same_gradient_on():
    weight, upstream = random(64, seed=1, dtype=torch.bfloat16), random(T, 64, seed=2, dtype=torch.bfloat16)
    passed_on = []
    for frozen in (True, False):
        x, w = random(T, 64, seed=3, dtype=torch.bfloat16).requires_grad_(), weight.clone().requires_grad_(not frozen)
        rms_norm.rms_norm(x, w, 1e-5).backward(upstream)
        assert (w.grad is None) == frozen
        passed_on.append(x.grad)
    assert torch.equal(*passed_on)


def adapted_model(make_model, dtype=torch.float32, **settings):
    model = make_model().to(dtype)
    add_lora(model, LoraSettings(r=4, **settings))
    move(model)
    return model


def move(model):
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator).to(parameter.dtype)


def test_every_adapted_layer_of_a_model_and_no_other(make_model):
    model = adapted_model(make_model, modules_to_save=["embed_tokens"])
    before = model(TOKENS).logits
    accelerate.install(model, FLOAT32)
    adapted = [m for m in model.modules() if isinstance(m, LoraLayer)]
    assert len(adapted) == 14
    assert all(m.forward.__func__ is fused_lora.forward for m in adapted)
    assert not any("forward" in vars(m) for m in model.modules() if isinstance(m, nn.Linear | nn.Embedding))
    torch.testing.assert_close(model(TOKENS).logits, before, atol=1e-5, rtol=1e-5)


def test_a_copy_computes_with_its_own_weights(make_model):
    model = adapted_model(make_model)
    accelerate.install(model, FLOAT32)
    expected, other = model(TOKENS).logits, copy.deepcopy(model).requires_grad_(False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert torch.equal(other(TOKENS).logits, expected)


def test_compiled_blocks_have_pefts_forward_inside(make_model):
    model = adapted_model(make_model)
    accelerate.install(model, FLOAT32)
    layers = [m for m in model.modules() if isinstance(m, LoraLayer)]
    with compiled_blocks(model, backend="eager"):
        assert not any("forward" in vars(m) for m in layers)
    assert all(m.forward.__self__ is m for m in layers)


def test_saved_and_merged_as_without(tmp_path, make_model):
    model = make_model()
    adapters = add_lora(model, LoraSettings(r=4))
    move(model)
    accelerate.install(model, FLOAT32)
    adapted = model(TOKENS).logits
    adapters.save(tmp_path)
    again = PeftModel.from_pretrained(make_model(), tmp_path)
    torch.testing.assert_close(again(TOKENS).logits, adapted, atol=1e-5, rtol=1e-5)
    merged = adapters.merge()
    assert merged.state_dict().keys() == make_model().state_dict().keys()
    torch.testing.assert_close(merged(TOKENS).logits, adapted, atol=1e-4, rtol=1e-4)


def test_a_model_without_adapters_does_not_import_peft():
    code = (
        "import sys; from torch import nn; from strop.model.accelerate import install; "
        "from strop.model.precision import best_compute; "
        "install(nn.Sequential(nn.Linear(2, 2)), best_compute()); print('peft' in sys.modules)"
    )
    assert in_a_child(code).stdout.strip() == "False"
