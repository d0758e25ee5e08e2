"""AdamW on bfloat16 weights and their low bits: against float64, torch's AdamW and AdamW8bit on float32 masters."""

import copy
import io

import pytest
import torch

from strop.model.cpu.adamw import join, split
from strop.model.cpu.kernels import call, kernels
from strop.train.adamw_8bit import BLOCK, SMALLEST, AdamW8bit, dequantise
from strop.train.split_adamw import SplitAdamW, supported

pytestmark = pytest.mark.skipif(kernels() is None, reason="the kernels need AVX-512 BF16 and a C++ compiler")

LENGTHS = (1, 15, 16, 17, 255, 257, 5000)
ARGUMENTS = {"lr": 0.01, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1}
FORMATS = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
EITHER = pytest.mark.parametrize("eight_bit", [False, True])
ULP = 2.0**-23


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def adopted(masters, **more):
    """``(bfloat16 leaf tensors, an optimiser that has taken these masters)``"""
    tensors = [torch.empty_like(m, dtype=torch.bfloat16).requires_grad_() for m in masters]
    optimizer = SplitAdamW(tensors, **(ARGUMENTS | more))
    for p, m in zip(tensors, masters, strict=True):
        optimizer.take_master(p, m)
    return tensors, optimizer


def gradients(shape, count, dtype=torch.float32):
    """Normal numbers around 0.3, some of them exactly 0, of sizes over six decades."""
    for step in range(count):
        g = (normal(*shape, seed=100 + step) + 0.3) * 10 ** (4 * torch.rand(shape, generator=_seeded(7)) - 5)
        yield torch.where(torch.rand(shape, generator=_seeded(step)) < 0.05, 0.0, g).to(dtype)


def _seeded(seed):
    return torch.Generator().manual_seed(seed)


def all_sorts():
    """Every upper half of a float32's bits (subnormals, zeros, infinities) with lower halves around the borders, and a
    million numbers at random. No NaN."""
    lower = torch.tensor([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF])
    every = ((torch.arange(1 << 16) << 16)[:, None] + lower).view(-1)
    bits = torch.cat([every, torch.randint(1 << 32, (1_000_003,), generator=_seeded(0))])
    numbers = bits.to(torch.uint32).view(torch.float32)
    return numbers[~numbers.isnan()]


def test_split_and_join_are_exact():
    master = all_sorts()
    hi, low = split(master)
    assert hi.dtype == torch.bfloat16
    assert low.dtype == torch.int16
    assert torch.equal(join(hi, low).view(torch.int32), master.view(torch.int32))
    by_hand = (hi.view(torch.int16).long() << 16) + low.long()
    assert torch.equal(by_hand & 0xFFFFFFFF, master.view(torch.int32).long() & 0xFFFFFFFF)


def test_the_high_half_is_torchs_rounding_except_that_ties_go_away_from_zero():
    master = all_sorts()
    hi, _ = split(master)
    bits = master.view(torch.int32).long() & 0xFFFFFFFF
    differs = ((bits & 0xFFFF) == 0x8000) & ((bits >> 16) % 2 == 0)
    assert 0 < differs.sum() < 0.1 * len(master)
    expected = master.bfloat16().view(torch.int16) + differs.to(torch.int16)
    assert torch.equal(hi.view(torch.int16), expected)


@pytest.mark.parametrize("length", LENGTHS)
def test_split_and_join_of_any_length_write_no_further(length):
    master = normal(length + 40)
    hi, low = torch.zeros(length + 40, dtype=torch.bfloat16), torch.zeros(length + 40, dtype=torch.int16)
    call("strop_split", master, hi, low, length)
    assert torch.equal(hi[:length], split(master)[0][:length])
    assert not hi[length:].any()
    assert not low[length:].any()
    back = torch.zeros(length + 40)
    call("strop_join", hi, low, back, length)
    assert torch.equal(back[:length], master[:length])
    assert not back[length:].any()


def test_shapes_stay():
    hi, low = split(normal(3, 5, 7))
    assert hi.shape == low.shape == join(hi, low).shape == (3, 5, 7)


def plain_adamw(master, grads, lr, betas, eps, weight_decay, scale=1.0):
    """Float64 ``(weight, m, v)`` after the textbook's steps (Loshchilov and Hutter 2019)."""
    p = master.double()
    m, v = torch.zeros_like(p), torch.zeros_like(p)
    for step, g in enumerate(grads, 1):
        g = g.double() * scale
        m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g**2
        unbiased = m / (1 - betas[0] ** step), v / (1 - betas[1] ** step)
        p = p - lr * weight_decay * p - lr * unbiased[0] / (unbiased[1].sqrt() + eps)
    return p, m, v


@FORMATS
@pytest.mark.parametrize("length", LENGTHS)
def test_steps_equal_the_formula_in_float64(length, dtype):
    """Each step may round the weight once and its own size, 1e-2, by 2e-6."""
    steps = 25
    master, grads = normal(length), list(gradients((length,), steps, dtype))
    (p,), optimizer = adopted([master])
    for g in grads:
        p.grad = g.clone()
        optimizer.step(0.25)
        assert torch.equal(p.grad, g)
    expected, m, v = plain_adamw(master, grads, **ARGUMENTS, scale=0.25)
    got = optimizer.master(p)
    bound = steps * (ULP / 2 * master.abs().clamp_min(1) + 2e-6 * ARGUMENTS["lr"])
    assert ((got - expected).abs() <= bound).all()
    assert ((expected - master).abs() > 1e-3).double().mean() > 0.9  # it moved by thousands of times that
    assert torch.equal(p.detach(), split(got)[0])
    state = optimizer.state[p]
    assert torch.allclose(state["exp_avg"].double(), m, rtol=1e-5, atol=1e-6 * m.abs().max().item())
    assert torch.allclose(state["exp_avg_sq"].double(), v, rtol=1e-5)


@FORMATS
@pytest.mark.parametrize("fused", [False, True])
def test_steps_equal_torchs_adamw_on_float32_masters(dtype, fused):
    steps, shapes = 25, [(3, 5, 7), (576,), (257, 33)]
    masters = [normal(*s, seed=i) for i, s in enumerate(shapes)]
    tensors, optimizer = adopted(masters)
    theirs = [m.clone().requires_grad_() for m in masters]
    reference = torch.optim.AdamW(theirs, **ARGUMENTS, fused=fused)
    for grads in zip(*(gradients(s, steps, dtype) for s in shapes), strict=True):
        for p, q, g in zip(tensors, theirs, grads, strict=True):
            p.grad, q.grad = g, g.float()
        optimizer.step()
        reference.step()
    for p, q in zip(tensors, theirs, strict=True):
        bound = steps * (2 * ULP * q.detach().abs().clamp_min(1) + 4e-6 * ARGUMENTS["lr"])
        assert ((optimizer.master(p) - q.detach()).abs() <= bound).all()


def test_groups_have_rates_and_decay_of_their_own():
    masters = [normal(40), normal(40)]
    tensors = [m.bfloat16().requires_grad_() for m in masters]
    groups = [{"params": [("a", tensors[0])], "lr": 0.5}, {"params": [("b", tensors[1])], "weight_decay": 0.5}]
    optimizer = SplitAdamW(groups, **(ARGUMENTS | {"weight_decay": 0.0}))
    assert [g["param_names"] for g in optimizer.param_groups] == [["a"], ["b"]]
    for p in tensors:
        p.grad = torch.ones_like(p)
    optimizer.step()
    starts = [m.bfloat16().float() for m in masters]  # not adopted: low bits of 0
    assert torch.allclose(optimizer.master(tensors[0]), starts[0] - 0.5, atol=1e-6)
    assert torch.allclose(optimizer.master(tensors[1]), starts[1] * (1 - 0.01 * 0.5) - 0.01, atol=1e-6)


@EITHER
def test_a_rate_of_1e_6_moves_every_master_and_in_time_the_weights(eight_bit):
    start = normal(100, 100)
    (p,), optimizer = adopted([start], lr=1e-6, weight_decay=0.0, eight_bit=eight_bit)
    gradient = normal(100, 100, seed=1).sign()
    before = p.detach().clone()
    for step in range(1, 201):
        p.grad = gradient.clone()
        optimizer.step()
        if step == 1:
            assert (optimizer.master(p) != start).all()
            assert (p == before).double().mean() > 0.99
    moved = (start - optimizer.master(p)) * gradient
    assert torch.allclose(moved, torch.full_like(moved, 2e-4), atol=200 * ULP * start.abs().max().item())
    assert (p != before).double().mean() > 0.02


@EITHER
def test_scale_is_that_of_the_gradient(eight_bit):
    masters = [normal(5000)]
    results = []
    for factor, scale in ((1.0, 0.25), (0.25, 1.0)):
        (p,), optimizer = adopted(masters, eight_bit=eight_bit)
        for g in gradients((5000,), 3):
            p.grad = g * factor
            optimizer.step(scale)
        results.append(optimizer.master(p))
    assert torch.equal(*results)


@EITHER
def test_format_and_strides_of_a_gradient_do_not_matter(eight_bit):
    results = []
    for change in (torch.clone, torch.Tensor.float, torch.Tensor.half, lambda g: g.t().contiguous().t()):
        (p,), optimizer = adopted([normal(70, 73)], eight_bit=eight_bit)
        for g in gradients((70, 73), 3, torch.bfloat16):
            p.grad = change(g.sign() / 2)
            optimizer.step()
        results.append(optimizer.master(p))
    assert all(torch.equal(r, results[0]) for r in results)


@FORMATS
@pytest.mark.parametrize("length", [SMALLEST, SMALLEST + 1, 5000, 40 * BLOCK + 255])
def test_8bit_steps_equal_those_of_adamw_8bit(length, dtype):
    """From equal states: a code is the same or, where float32 rounding crosses a border, the next one."""
    (p,), optimizer = adopted([normal(length)], eight_bit=True)
    theirs = optimizer.master(p).requires_grad_()
    reference = AdamW8bit([theirs], **ARGUMENTS)
    for g in gradients((length,), 20, dtype):
        p.grad, theirs.grad = g, g.float()
        optimizer.step()
        reference.step()
        ours, state = optimizer.state[p], reference.state[theirs]
        assert ours.keys() - {"low"} == state.keys()
        for name in ("m", "root_v"):
            assert torch.allclose(ours[f"{name}_scale"], state[f"{name}_scale"], rtol=4 * ULP)
            apart = (ours[name].int() - state[name].int()).abs()
            assert apart.max() <= 1
            assert (apart > 0).double().mean() < 1e-3
        got = optimizer.master(p)
        bound = ULP * theirs.detach().abs().clamp_min(1) + 4e-6 * ARGUMENTS["lr"]
        assert ((got - theirs.detach()).abs() <= bound).all()
        with torch.no_grad():
            theirs.copy_(got)
        reference.load_state_dict(reference.state_dict() | {"state": {0: {n: copy.deepcopy(ours[n]) for n in state}}})


def test_8bit_steps_stay_with_adamw_8bit_for_20_steps():
    start, steps = normal(300, 257), 20
    (p,), optimizer = adopted([start], eight_bit=True)
    theirs = start.clone().requires_grad_()
    reference = AdamW8bit([theirs], **ARGUMENTS)
    for g in gradients(start.shape, steps):
        p.grad, theirs.grad = g, g
        optimizer.step()
        reference.step()
    apart, moved = optimizer.master(p) - theirs.detach(), theirs.detach() - start
    assert (apart.abs() > 1e-4 * moved.abs().mean()).double().mean() < 1e-3  # a code rounded the other way
    assert apart.norm() < 0.01 * moved.norm()  # to torch's float32 moments it is 0.08


def test_8bit_keeps_small_tensors_in_float32():
    (p,), optimizer = adopted([normal(SMALLEST - 1)], eight_bit=True)
    (q,), plain = adopted([normal(SMALLEST - 1)])
    for g in gradients((SMALLEST - 1,), 3):
        p.grad, q.grad = g, g
        optimizer.step()
        plain.step()
    assert optimizer.state[p].keys() == {"step", "low", "m", "v"}
    assert torch.equal(optimizer.master(p), plain.master(q))


def test_a_block_without_gradient_only_decays():
    start = normal(5000)
    (p,), optimizer = adopted([start], eight_bit=True)
    for g in gradients((5000,), 2):
        g[BLOCK : 2 * BLOCK] = 0
        p.grad = g
        optimizer.step()
    quiet, state = slice(BLOCK, 2 * BLOCK), optimizer.state[p]
    assert torch.allclose(optimizer.master(p)[quiet], start[quiet] * (1 - 0.01 * 0.1) ** 2, rtol=2 * ULP, atol=0)
    zeros = AdamW8bit([theirs := start.clone().requires_grad_()])
    theirs.grad = torch.zeros(5000)
    zeros.step()
    for name in ("m", "root_v", "m_scale", "root_v_scale"):
        assert torch.equal(state[name][1], zeros.state[theirs][name][1])


def test_what_fills_the_last_block_has_no_moments():
    (p,), optimizer = adopted([normal(SMALLEST + 10)], eight_bit=True)
    for g in gradients((SMALLEST + 10,), 3):
        p.grad = g
        optimizer.step()
    state = optimizer.state[p]
    assert not dequantise(state["m"], state["m_scale"], True)[-1, 10:].any()
    assert not state["root_v"][-1, 10:].any()


@EITHER
def test_saved_and_loaded_goes_on_bit_for_bit(eight_bit):
    masters = [normal(90, 91), normal(64, seed=1), normal(8, seed=2)]

    def go_on(tensors, optimizer, first, last):
        for step in range(first, last):
            for i, p in enumerate(tensors[:2]):  # the third never has a gradient
                p.grad = normal(*p.shape, seed=step * 10 + i).to(torch.bfloat16 if step % 2 else torch.float32)
            optimizer.step(0.5)
        return [optimizer.master(p) for p in tensors]

    whole = go_on(*adopted(masters, eight_bit=eight_bit), 0, 6)
    tensors, optimizer = adopted(masters, eight_bit=eight_bit)
    go_on(tensors, optimizer, 0, 3)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    loaded = torch.load(file, weights_only=True)

    weights = [p.detach().clone().requires_grad_() for p in tensors]
    resumed = SplitAdamW(weights, **ARGUMENTS, eight_bit=eight_bit)
    resumed.load_state_dict(loaded)
    for p, q in zip(tensors, weights, strict=True):
        assert optimizer.state[p].keys() == resumed.state[q].keys()
        for name, value in optimizer.state[p].items():
            got = resumed.state[q][name]
            assert torch.equal(got, value) if torch.is_tensor(value) else got == value
            assert not torch.is_tensor(value) or got.dtype == value.dtype
    assert list(resumed.state[weights[2]]) == ["low"]
    for got, expected in zip(go_on(weights, resumed, 3, 6), whole, strict=True):
        assert torch.equal(got, expected)


@EITHER
def test_a_state_of_another_form_is_refused(eight_bit):
    (p,), optimizer = adopted([normal(90, 91)], eight_bit=not eight_bit)
    p.grad = torch.ones_like(p)
    optimizer.step()
    for other in (adopted([normal(90, 91)], eight_bit=eight_bit), adopted([normal(9000)], eight_bit=not eight_bit)):
        with pytest.raises(ValueError, match="a state of"):
            other[1].load_state_dict(optimizer.state_dict())


@EITHER
def test_the_number_of_threads_changes_nothing(eight_bit):
    threads, results = torch.get_num_threads(), []
    start, grads = normal(700, 301), list(gradients((700, 301), 3))
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            (p,), optimizer = adopted([start], eight_bit=eight_bit)
            for g in grads:
                p.grad = g
                optimizer.step()
            results.append((optimizer.master(p), optimizer.state_dict()["state"][0]))
    finally:
        torch.set_num_threads(threads)
    for master, state in results[1:]:
        assert torch.equal(master, results[0][0])
        assert all(torch.equal(torch.as_tensor(x), torch.as_tensor(results[0][1][n])) for n, x in state.items())


def test_gradients_are_summed_in_float32_beside_a_bfloat16_weight():
    (p,), optimizer = adopted([normal(64)])
    p.grad = torch.full((64,), 256.0)
    (p * torch.ones(64, dtype=torch.bfloat16)).sum().backward()  # 257 is no bfloat16
    assert p.grad.dtype == torch.float32
    assert (p.grad == 257).all()
    optimizer.zero_grad()
    optimizer.step()
    assert optimizer.state[p].keys() == {"low"}


def test_a_step_counts_as_a_change_of_the_weight():
    """So autograd refuses a backward pass through what was computed before it."""
    (p,), optimizer = adopted([normal(64)])
    product = (p * p).sum()
    p.grad = torch.ones_like(p)
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.backward()


def test_what_is_supported():
    weight = normal(32, 32).bfloat16()
    assert supported(weight)
    assert not supported(weight.float())
    assert not supported(weight.t())
    assert not supported(weight.to("meta"))
    with pytest.raises(ValueError, match="contiguous bfloat16"):
        SplitAdamW([normal(32).requires_grad_()])
    (p,), optimizer = adopted([normal(32)])
    for wrong in (normal(31), normal(32).double()):
        with pytest.raises(ValueError, match="a master"):
            optimizer.take_master(p, wrong)
    for wrong in (torch.zeros(31, dtype=torch.int16), torch.zeros(32)):
        with pytest.raises(ValueError, match="no halves"):
            join(p, wrong)
    p.grad = torch.ones_like(p)
    p.data = p.data.float()
    with pytest.raises(ValueError, match="contiguous bfloat16"):
        optimizer.step()
