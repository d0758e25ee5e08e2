"""The compiled kernels against plain float64 formulas, values and gradients.

bfloat16 rounds by up to 0.2 %, float32 by 6e-8.
"""

import copy

import pytest
import torch
import torch.nn.functional as F
from processes import broken_compiler, in_a_child

from strop.model import accelerate
from strop.model.cpu import attention, gated_unit, head, rms_norm, rotary
from strop.model.cpu.build import SWITCH, compiler
from strop.model.cpu.kernels import float32_kernels
from strop.model.logits import LogitsTransform
from strop.model.lora import add_lora
from strop.model.precision import Compute
from strop.model.settings import LoraSettings

needs_kernels = pytest.mark.skipif(not accelerate.available(), reason="no kernels on this machine")
MODULES = {"norms": 2 * 2 + 1, "gated units": 2}  # of the small model with its own attention
COMPUTE = {dtype: Compute(torch.device("cpu"), dtype) for dtype in (torch.bfloat16, torch.float32)}
ROUNDING = {torch.bfloat16: 4e-3, torch.float32: 3e-6}  # of results whose sums are float32
every_format = pytest.mark.parametrize(
    "dtype",
    [
        pytest.param(torch.bfloat16, marks=needs_kernels),
        pytest.param(torch.float32, marks=pytest.mark.skipif(float32_kernels() is None, reason="no compiler here")),
    ],
)


def error(got, expected):
    """Relative to the size of the expected tensor, both as Euclidean norms."""
    return ((got.double() - expected).norm() / expected.norm()).item()


def random(*shape, seed, dtype):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def plain_attention(q, k, v, bounds, scale, window):
    group, parts = q.shape[0] // k.shape[0], []
    for a, b, c, d in bounds:
        keys, values = (x[:, c:d].repeat_interleave(group, 0) for x in (k, v))
        scores = q[:, a:b] @ keys.transpose(1, 2) * scale
        position, key = torch.arange(b - a)[:, None] + (d - c) - (b - a), torch.arange(d - c)
        seen = key <= position
        if window:
            seen &= key > position - window
        parts.append(torch.softmax(scores.masked_fill(~seen, float("-inf")), -1) @ values)
    return torch.cat(parts, 1)


def one_after_another(queries, keys):
    bounds, a, c = [], 0, 0
    for n, m in zip(queries, keys, strict=True):
        bounds.append((a, a + n, c, c + m))
        a, c = a + n, c + m
    return bounds


@every_format
@pytest.mark.parametrize(
    ("heads", "kv_heads", "width", "queries", "keys", "window"),
    [
        (9, 3, 64, (5, 70, 128, 1, 193), None, None),
        (4, 4, 128, (300,), None, None),
        (2, 2, 16, (200,), None, None),
        (4, 2, 80, (65, 64, 63), None, 17),
        (8, 1, 256, (90, 33), None, 64),
        (4, 2, 96, (130,), None, 200),
        (4, 2, 32, (3, 70), (150, 71), None),  # keys of a shared prefix before the queries' own
        (4, 2, 32, (66,), (200,), 40),
    ],
)
def test_attention_equals_the_formula(dtype, heads, kv_heads, width, queries, keys, window):
    keys = keys or queries
    bounds = one_after_another(queries, keys)
    # As a model's projections lie in memory: token by token, a head's numbers side by side.
    inputs = [
        random(n, h, width, seed=i, dtype=dtype).transpose(0, 1)
        for i, (n, h) in enumerate([(sum(queries), heads), (sum(keys), kv_heads), (sum(keys), kv_heads)])
    ]
    upstream = random(heads, sum(queries), width, seed=3, dtype=dtype)
    ours = [x.clone().requires_grad_() for x in inputs]
    exact = [x.double().requires_grad_() for x in inputs]
    assert attention.supported(ours[0], ours[2])
    out = attention.attention(*ours, bounds, width**-0.5, window)
    out.backward(upstream)
    expected = plain_attention(*exact, bounds, width**-0.5, window)
    expected.backward(upstream.double())
    assert error(out, expected) < ROUNDING[dtype]
    for mine, true in zip(ours, exact, strict=True):
        assert error(mine.grad, true.grad) < ROUNDING[dtype]


@every_format
@pytest.mark.parametrize("sequences", [2, 70])
def test_the_number_of_threads_changes_no_bit(dtype, sequences):
    bounds = one_after_another([9] * sequences, [9] * sequences)
    q, k, v = (random(h, 9 * sequences, 32, seed=i, dtype=dtype) for i, h in enumerate((4, 2, 2)))
    rows, weight = random(37, 64, seed=4, dtype=dtype), random(64, seed=5, dtype=dtype)

    def gradients():
        inputs = [x.clone().requires_grad_() for x in (q, k, v, rows, weight)]
        attention.attention(*inputs[:3], bounds, 0.2).square().sum().backward()
        rms_norm.rms_norm(*inputs[3:], 1e-5).square().sum().backward()
        return [x.grad for x in inputs]

    before = torch.get_num_threads()
    try:
        found = [torch.set_num_threads(n) or gradients() for n in (1, 2, 3)]
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


@every_format
def test_attention_takes_any_strides(dtype):
    bounds = [(0, 40, 0, 40)]
    q, k, v = (random(4, 40, 32, seed=i, dtype=dtype) for i in range(3))
    expected = attention.attention(q, k, v, bounds, 0.2)
    wide = random(4, 40, 65, seed=5, dtype=dtype)  # rows that begin at odd numbers
    wide[..., 1:33] = q
    columns = k.transpose(1, 2).contiguous().transpose(1, 2)  # numbers of a row apart from each other
    torch.testing.assert_close(attention.attention(wide[..., 1:33], columns, v, bounds, 0.2), expected, rtol=0, atol=0)


@every_format
def test_large_scores_neither_overflow_nor_lose_the_softmax(dtype):
    q = torch.full((1, 70, 16), 30.0, dtype=dtype).requires_grad_()
    k, v = q.detach().clone(), random(1, 70, 16, seed=0, dtype=dtype)
    out = attention.attention(q, k, v, [(0, 70, 0, 70)], 1.0)  # every score is 14,400
    out.sum().backward()
    running_mean = v[0].double().cumsum(0) / torch.arange(1, 71)[:, None]
    assert error(out[0].detach(), running_mean) < ROUNDING[dtype]
    assert torch.isfinite(q.grad).all()


@every_format
@pytest.mark.parametrize("vocabulary", [64, 1003])
@pytest.mark.parametrize(("scale", "cap"), [(1.0, 0.0), (0.5, 0.0), (2.0, 5.0)])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_head_statistics_and_gradient_equal_the_formula(dtype, vocabulary, scale, cap, temperature):
    logits = random(19, vocabulary, seed=0, dtype=dtype) * 4
    labels = torch.randint(0, vocabulary, (19,), generator=torch.Generator().manual_seed(1))
    upstream = random(4, 19, seed=2, dtype=torch.float32)
    at = LogitsTransform(scale, cap).at(temperature)
    got = head.statistics(logits, labels, at.scale, at.cap)
    x = logits.double().requires_grad_()
    z = (torch.tanh(x * scale / cap) * cap if cap else x * scale) / temperature
    lse = z.logsumexp(-1)
    entropy = lse - (torch.exp(z - lse[:, None]) * z).sum(-1)
    expected = torch.stack([z.gather(-1, labels[:, None])[:, 0] - lse, lse, z.mean(-1), entropy])
    (expected * upstream).sum().backward()
    torch.testing.assert_close(got.double(), expected, rtol=1e-5, atol=1e-5)
    assert error(head.gradient_(logits.clone(), labels, at.scale, at.cap, got, upstream), x.grad) < ROUNDING[dtype]


@every_format
def test_norm_and_gated_unit_equal_the_formula(dtype):
    x, y, upstream = (random(37, 576, seed=i, dtype=dtype) * 2 for i in range(3))
    weight = 1 + 0.1 * random(576, seed=4, dtype=dtype)
    for ours, plain, inputs in (
        (lambda a, w: rms_norm.rms_norm(a, w, 1e-5), lambda a, w: F.rms_norm(a, (576,), w, 1e-5), (x, weight)),
        (gated_unit.silu_gate, lambda a, b: F.silu(a) * b, (x, y)),
    ):
        mine = [t.clone().requires_grad_() for t in inputs]
        true = [t.double().requires_grad_() for t in inputs]
        got, expected = ours(*mine), plain(*true)
        got.backward(upstream)
        expected.backward(upstream.double())
        assert error(got, expected) < ROUNDING[dtype]
        for a, b in zip(mine, true, strict=True):
            assert error(a.grad, b.grad) < ROUNDING[dtype]


@every_format
def test_what_a_process_makes_tensors_of_does_not_matter(dtype):
    x, weight = random(7, 64, seed=0, dtype=dtype).requires_grad_(), random(64, seed=1, dtype=dtype).requires_grad_()
    q, logits, labels = random(2, 9, 32, seed=2, dtype=dtype), random(7, 64, seed=3, dtype=dtype), torch.arange(7)

    def computed():
        y = rms_norm.rms_norm(x, weight, 1e-5)
        out = attention.attention(q, q, q, [(0, 9, 0, 9)], 0.2)
        return [y, *torch.autograd.grad(y.sum(), (x, weight)), out, head.statistics(logits, labels, 1.0, 0.0)]

    expected = computed()
    try:
        torch.set_default_dtype(torch.float64)
        found = computed()
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(a.dtype == b.dtype and torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@every_format
def test_gradients_of_gradients_are_refused(dtype):
    """A kernel is written down for no further derivative; zeros or noise would be taken for one."""
    x, y = (random(1, 4, 32, seed=i, dtype=dtype).requires_grad_() for i in range(2))
    cos, sin, weight = (random(1, 4, 32, seed=i, dtype=dtype) for i in range(2, 5))
    for out in (
        rms_norm.rms_norm(x, weight[0, 0], 1e-5),
        gated_unit.silu_gate(x, y),
        rotary.rotary(x[None], cos, sin),
        attention.attention(x, x, x, [(0, 4, 0, 4)], 0.2),
    ):
        (gradient,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
        with pytest.raises(RuntimeError, match="once_differentiable"):
            gradient.square().sum().backward()


@every_format
def test_large_gates_are_what_torch_makes_of_them(dtype):
    """e^-x overflows below -88, and -inf has no silu."""
    inf = float("inf")
    gate = torch.tensor([-3e38, -1e4, -100, -88, -80, 0, 80, 1e4, 3e38, inf, -inf, float("nan"), *[0] * 4])
    gate, up = gate.to(dtype).requires_grad_(), torch.ones(16, dtype=dtype)
    expected = F.silu(gate.detach().double())
    found = gated_unit.silu_gate(gate, up)
    torch.testing.assert_close(found.detach().double(), expected, rtol=1e-2, atol=1e-30, equal_nan=True)
    found[:9].sum().backward()
    assert torch.isfinite(gate.grad[:9]).all()


@every_format
def test_rows_that_are_no_numbers_have_no_head_statistics(dtype):
    """NaN, +inf, or -inf alone; -inf beside numbers is a token that cannot be."""
    logits = random(5, 1003, seed=0, dtype=dtype)
    logits[0, 1002], logits[1, 7], logits[2], logits[3, 5] = float("nan"), float("inf"), float("-inf"), float("-inf")
    _, lse, _, _ = head.statistics(logits, torch.zeros(5, dtype=torch.int64), 1.0, 0.0)
    assert lse.isfinite().tolist() == [False, False, False, True, True]
    assert not lse.isinf().any()


@every_format
def test_a_model_with_fused_modules_is_as_near_to_float32_as_without(dtype, make_model):
    def run(model, seed):
        model.zero_grad()
        ids = torch.randint(97, (1, 40), generator=torch.Generator().manual_seed(seed))
        logits = model(input_ids=ids, use_cache=False).logits
        logits.float().square().mean().backward()
        return [logits.detach(), *(p.grad for p in model.parameters())]

    exact, plain, model = make_model().double(), make_model().to(dtype), make_model().to(dtype)
    assert accelerate.install(model, COMPUTE[dtype]).modules == MODULES
    errors = torch.zeros(2)  # of several inputs: of one it is a matter of which roundings meet
    for seed in range(8):
        true = run(exact, seed)
        of_each = [[error(x, y.double()) for x, y in zip(run(m, seed), true, strict=True)] for m in (model, plain)]
        assert of_each[0][0] < 12 * ROUNDING[dtype]  # logits
        errors += torch.tensor(of_each).sum(1)
    assert errors[0] < 1.2 * errors[1]


@needs_kernels
@pytest.mark.parametrize("autocast", [False, True])
def test_a_copy_computes_with_its_own_weights_and_formats_may_differ(make_model, autocast):
    """Engines copy a float32 policy and round the copy; autocast gives bfloat16 inputs to float32 weights."""
    model = make_model()
    assert accelerate.install(model, COMPUTE[torch.bfloat16]).modules == MODULES
    rounded = copy.deepcopy(model).bfloat16()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(0.5)
    ids = torch.arange(40)[None] % 97
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        copied = rounded(input_ids=ids, use_cache=False).logits
        model(input_ids=ids, use_cache=False)
    expected = make_model()(input_ids=ids, use_cache=False).logits
    assert error(copied, expected.double()) < 0.05


@needs_kernels
def test_units_with_adapters_are_fused_too(tiny_model):
    network = add_lora(tiny_model, LoraSettings(r=2)).network
    assert accelerate.install(network, COMPUTE[torch.bfloat16]).modules == {**MODULES, "layers with adapters": 2 * 7}


def test_a_module_that_only_looks_usual_is_left_alone(tiny_model):
    class HalfRMSNorm(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.eps = torch.nn.Parameter(torch.ones(32)), 1e-6

        def forward(self, x):
            return 0.5 * F.rms_norm(x, (32,), self.weight, self.eps)

    assert not accelerate.install(torch.nn.Sequential(HalfRMSNorm()), COMPUTE[torch.bfloat16]).modules


def test_the_switch_turns_the_kernels_off():
    code = "from strop.model.cpu.kernels import kernels; print(kernels())"
    assert in_a_child(code, **{SWITCH: "0"}).stdout.strip() == "None"


@needs_kernels
def test_a_compiler_that_fails_is_named_and_torch_takes_over(tmp_path):
    code = "from strop.model.cpu.kernels import kernels; print(kernels())"
    done = in_a_child(code, CXX=broken_compiler(tmp_path), STROP_CACHE=str(tmp_path / "cache"))
    assert done.stdout.strip() == "None"
    assert "no such instruction" in done.stderr
    assert "CXX" in done.stderr


@needs_kernels
def test_a_compiler_that_hangs_is_not_waited_for(tmp_path):
    hangs = tmp_path / "hangs-c++"
    hangs.write_text('#!/bin/sh\n[ "$1" = --version ] && echo 1.0 && exit 0\nexec sleep 60\n')
    hangs.chmod(0o755)
    code = "from strop.model.cpu import build, kernels; build.SECONDS = 3.0; print(kernels.kernels())"
    done = in_a_child(code, CXX=str(hangs), STROP_CACHE=str(tmp_path / "cache"))
    assert done.stdout.strip() == "None"
    assert "was not done with" in done.stderr


@needs_kernels
def test_a_cache_that_cannot_be_written_is_named_and_torch_takes_over(tmp_path):
    (tmp_path / "file").write_text("")
    code = "from strop.model.cpu.kernels import kernels; print(kernels())"
    done = in_a_child(code, STROP_CACHE=str(tmp_path / "file" / "cache"))
    assert done.stdout.strip() == "None"
    assert "STROP_CACHE" in done.stderr


@needs_kernels
def test_kernels_are_compiled_once(tmp_path):
    code = "from strop.model.cpu.kernels import kernels; print(kernels()._name)"
    quick = tmp_path / "quick-c++"  # optimising takes eight seconds
    quick.write_text(f'#!/bin/sh\nexec {compiler()} "$@" -O0\n')
    quick.chmod(0o755)
    there = {"STROP_CACHE": str(tmp_path), "CXX": str(quick)}
    first = in_a_child(code, **there).stdout
    files = list((tmp_path / "kernels").iterdir())
    stamp = files[0].stat().st_mtime_ns
    assert len(files) == 1
    assert in_a_child(code, **there).stdout == first
    assert files[0].stat().st_mtime_ns == stamp
