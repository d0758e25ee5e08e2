"""Packed attention against a plain float64 softmax, sequence by sequence: values and gradients."""

import pytest
import torch

from strop.common.errors import InputError
from strop.model import attention, attention_backends, attention_tiles
from strop.model.attention import FlatLayout
from strop.model.attention_backends import attend_segments
from strop.model.kv_cache import KVCache, PagedLayout, cache_shapes
from strop.model.precision import Compute
from strop.model.segments import AttentionOptions, Segments


def reference_pair(q, k, v, scale, window=None, softcap=None, sinks=None):
    """One pair of queries and keys, the last query at the last key, written out in float64."""
    q, k, v = (x.double() for x in (q, k, v))
    k, v = (x.repeat_interleave(q.shape[0] // k.shape[0], dim=0) for x in (k, v))
    queries, keys = q.shape[1], k.shape[1]
    scores = q @ k.transpose(1, 2) * scale
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    own = torch.arange(queries)[:, None] + keys - queries
    place = torch.arange(keys)
    hidden = (place > own) if window is None else (place > own) | (place <= own - window)
    scores = scores.masked_fill(hidden, float("-inf"))
    if sinks is not None:
        column = sinks.double()[:, None, None].expand(-1, queries, 1)
        return torch.cat([scores, column], -1).softmax(-1)[..., :-1] @ v
    return scores.softmax(-1) @ v


def reference(q, k, v, segments, scale, **options):
    parts = [reference_pair(q[:, a:b], k[:, c:d], v[:, c:d], scale, **options) for a, b, c, d in segments.bounds]
    return torch.cat(parts, dim=1)


def tensors(queries, keys, *, heads=6, groups=2, width=8, value_width=8, dtype=torch.float32, seed=1):
    generator = torch.Generator().manual_seed(seed)
    shapes = (heads, queries, width), (groups, keys, width), (groups, keys, value_width), (heads, queries, value_width)
    return [torch.randn(s, generator=generator, dtype=dtype).requires_grad_(i < 3) for i, s in enumerate(shapes)]


LENGTHS = {
    "one token": ((1,), (1,)),
    "short": ((5, 1, 9), (5, 1, 9)),
    "tiles": ((256, 257, 3), (256, 257, 3)),
    "longer keys": ((5, 1, 300), (9, 40, 333)),
    "nothing new": ((0, 4), (3, 6)),
}
OPTIONS = {
    "plain": {},
    "window of one": {"window": 1},
    "window": {"window": 4},
    "window longer than a tile": {"window": 290},
    "softcap": {"softcap": 0.7},
    "sinks": {"sinks": torch.tensor([0.5, -1.0, 3.0, 0.0, 8.0, -20.0])},
    "all": {"window": 7, "softcap": 1.5, "sinks": torch.tensor([0.5, -1.0, 3.0, 0.0, 8.0, -20.0])},
}


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("lengths", LENGTHS)
def test_values_and_gradients_equal_a_float64_reference(lengths, options):
    segments = Segments(*LENGTHS[lengths])
    options = dict(OPTIONS[options])
    q, k, v, upstream = tensors(sum(segments.queries), sum(segments.keys), value_width=5)
    inputs = [q, k, v]
    if "sinks" in options:
        options["sinks"] = options["sinks"].clone().requires_grad_()
        inputs.append(options["sinks"])

    out = attend_segments(q, k, v, segments, 0.3, AttentionOptions(**options))
    grads = torch.autograd.grad((out * upstream).sum(), inputs)
    expected = reference(q, k, v, segments, 0.3, **options)
    expected_grads = torch.autograd.grad((expected * upstream.double()).sum(), inputs)

    torch.testing.assert_close(out.double(), expected, atol=1e-5, rtol=1e-5)
    for got, want in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(got, want, atol=3e-5, rtol=2e-5)


def test_gradients_in_float64_equal_finite_differences():
    segments = Segments((5, 2), (8, 2))
    q, k, v, _ = tensors(7, 10, heads=4, width=3, value_width=2, dtype=torch.float64)
    sinks = torch.linspace(-1, 1, 4, dtype=torch.float64, requires_grad=True)

    def attend(q, k, v, sinks):
        return attend_segments(q, k, v, segments, 0.3, AttentionOptions(3, 2.0, sinks))

    torch.testing.assert_close(
        attend(q, k, v, sinks), reference(q, k, v, segments, 0.3, window=3, softcap=2.0, sinks=sinks)
    )
    assert torch.autograd.gradcheck(attend, (q, k, v, sinks))


@pytest.mark.parametrize("width", [8, 16])  # the compiled kernel takes multiples of 16, the tiles the rest
@pytest.mark.parametrize("options", OPTIONS)
def test_bfloat16_stays_near_the_reference(options, width):
    segments = Segments((300, 20), (300, 50))
    q, k, v, upstream = tensors(320, 350, width=width, value_width=width, dtype=torch.bfloat16)
    out = attend_segments(q, k, v, segments, 0.3, AttentionOptions(**OPTIONS[options]))
    expected = reference(q, k, v, segments, 0.3, **OPTIONS[options])
    torch.testing.assert_close(out.double(), expected, atol=0.03, rtol=0.02)
    grads = torch.autograd.grad((out * upstream).sum(), (q, k, v))
    expected_grads = torch.autograd.grad((expected * upstream.double()).sum(), (q, k, v))
    for got, want in zip(grads, expected_grads, strict=True):
        assert (got - want).norm() <= 0.02 * want.norm() + 1e-4


@pytest.mark.parametrize("window", [None, 4])
def test_what_flash_attention_is_asked_for(window, monkeypatch):
    """The call for CUDA, with a stand-in that does what torch.nn.attention.varlen documents, on a CPU."""
    from torch.nn.attention import varlen

    segments = Segments((5, 1, 30), (9, 1, 33))
    q, k, v, _ = tensors(36, 43)

    def varlen_attn(query, key, value, cu_q, cu_k, max_q, max_k, *, scale, window_size, enable_gqa):
        assert (max_q, max_k, enable_gqa) == (30, 33, True)
        assert cu_q.dtype == cu_k.dtype == torch.int32
        assert all(x.is_contiguous() for x in (query, key, value))
        left, right = window_size
        assert right == 0
        parts = []
        for i in range(len(cu_q) - 1):
            rows = [x[c[i] : c[i + 1]].transpose(0, 1) for x, c in ((query, cu_q), (key, cu_k), (value, cu_k))]
            parts.append(reference_pair(*rows, scale, window=None if left < 0 else left + 1))
        return torch.cat(parts, 1).transpose(0, 1).float()

    monkeypatch.setattr(varlen, "varlen_attn", varlen_attn)
    options = AttentionOptions(window=window)
    got = attention_backends._flash(q, k, v, segments, 0.3, options)
    torch.testing.assert_close(got, attend_segments(q, k, v, segments, 0.3, options), atol=1e-5, rtol=1e-5)


def test_the_gradient_of_a_shared_key_is_summed_in_float32():
    """Each of 1,000 children adds one half; a sum in bfloat16 would stop at 128, where a half is lost in rounding."""
    layout = FlatLayout((1, *[1] * 1000), (-1, *[0] * 1000))
    q, k, v = torch.zeros(3, 1, 1001, 8, dtype=torch.bfloat16).requires_grad_()
    (gradient,) = torch.autograd.grad(layout.attend(0, q, k, v, 1.0).sum(), v)
    # Every child sees two equal keys and gives each half of its gradient; the parent gives itself all.
    assert gradient[0, 0].tolist() == [500.0] * 8  # 501 rounded


@pytest.mark.parametrize("size", [1, 3, 64])
def test_the_size_of_a_tile_changes_nothing(size, monkeypatch):
    segments = Segments((20, 9), (31, 9))
    q, k, v, upstream = tensors(29, 40)
    options = AttentionOptions(window=5, softcap=1.0)

    def run():
        out = attend_segments(q, k, v, segments, 0.3, options)
        return out, *torch.autograd.grad((out * upstream).sum(), (q, k, v))

    whole = run()
    monkeypatch.setattr(attention_tiles, "TILE", size)
    torch.testing.assert_close(run(), whole, atol=1e-5, rtol=1e-5)


def test_keys_outside_the_window_are_not_touched():
    """With a window of 4, a query far from the start multiplies a tile and a window of keys, not all of them."""
    tiles = list(attention_tiles._tiles([(0, 1000, 0, 1000)], 256, 4))
    assert max(t.d - t.c for t in tiles) == 256 + 3
    assert [t.d for t in tiles] == [256, 512, 768, 1000]


def family_tree():
    """Three levels: 0 ← 1 ← 3, 0 ← 2, 1 ← 4; 5 stands alone."""
    return (3, 4, 1, 300, 2, 6), (-1, 0, 0, 1, 1, -1)


def test_children_see_their_ancestors():
    lens, parent = family_tree()
    layout = FlatLayout(lens, parent)
    bounds = layout.bounds
    q, k, v, upstream = tensors(sum(lens), sum(lens))

    def chain(i):
        own = list(range(*bounds[i]))
        return own if parent[i] < 0 else chain(parent[i]) + own

    parts = [
        reference_pair(q[:, slice(*bounds[i])], k[:, chain(i)], v[:, chain(i)], 0.3, window=20)
        for i in range(len(lens))
    ]
    expected = torch.cat(parts, dim=1)
    out = layout.attend(0, q, k, v, 0.3, AttentionOptions(window=20))
    torch.testing.assert_close(out.double(), expected, atol=1e-5, rtol=1e-5)
    grads = torch.autograd.grad((out * upstream).sum(), (q, k, v))
    expected_grads = torch.autograd.grad((expected * upstream.double()).sum(), (q, k, v))
    for got, want in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(got, want, atol=3e-5, rtol=2e-5)


def test_a_child_before_its_parent_is_refused():
    with pytest.raises(ValueError, match="parent comes before"):
        FlatLayout((3, 4), (1, -1))


def test_more_queries_than_keys_are_refused():
    with pytest.raises(ValueError, match="own key"):
        Segments((4,), (3,))


@pytest.mark.parametrize("options", OPTIONS)
def test_generation_equals_attention_over_the_whole(options):
    """Prompts of two lengths are prefilled and five tokens decoded; every output equals that of the whole sequence."""
    options = AttentionOptions(**OPTIONS[options])
    prompts, new = (7, 3), 5
    whole = [tensors(n + new, n + new, seed=i)[:3] for i, n in enumerate(prompts)]
    expected = [attend_segments(*x, Segments((x[0].shape[1],), (x[0].shape[1],)), 0.3, options) for x in whole]
    cache = KVCache(((2, 8, 8),), torch.float32, torch.device("cpu"))
    cache.grow(3)
    tables = ((2,), (0,))
    with torch.no_grad():
        flat = [torch.cat([x[i][:, :n] for x, n in zip(whole, prompts, strict=True)], 1) for i in range(3)]
        out = PagedLayout(cache, prompts, prompts, tables).attend(0, *flat, 0.3, options)
        torch.testing.assert_close(out[:, 7:], expected[1][:, :3], atol=1e-5, rtol=1e-5)
        for step in range(new):
            flat = [torch.stack([x[i][:, n + step] for x, n in zip(whole, prompts, strict=True)], 1) for i in range(3)]
            lengths = tuple(n + step + 1 for n in prompts)
            out = PagedLayout(cache, (1, 1), lengths, tables).attend(0, *flat, 0.3, options)
            wanted = torch.stack([e[:, n + step] for e, n in zip(expected, prompts, strict=True)], 1)
            torch.testing.assert_close(out, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("options", OPTIONS)
def test_pieces_of_sequences_equal_attention_over_the_whole(options):
    """Sequences over several pages, out of order, in pieces of one and of many tokens in one row."""
    options, lens = AttentionOptions(**OPTIONS[options]), (150, 70)
    whole = [tensors(n, n, seed=i)[:3] for i, n in enumerate(lens)]
    expected = [attend_segments(*x, Segments((n,), (n,)), 0.3, options) for x, n in zip(whole, lens, strict=True)]
    cache = KVCache(((2, 8, 8),), torch.float32, torch.device("cpu"))
    cache.grow(6)
    done = [0, 0]
    with torch.no_grad():
        for counts in ((90, 1), (1, 63), (1, 1), (57, 1), (1, 4)):
            parts = [slice(a, a + n) for a, n in zip(done, counts, strict=True)]
            done = [part.stop for part in parts]
            flat = [torch.cat([x[i][:, part] for x, part in zip(whole, parts, strict=True)], 1) for i in range(3)]
            layout = PagedLayout(cache, counts, tuple(done), ((4, 1, 0), (5, 2)))
            out = layout.attend(0, *flat, 0.3, options)
            wanted = torch.cat([e[:, part] for e, part in zip(expected, parts, strict=True)], 1)
            torch.testing.assert_close(out, wanted, atol=1e-5, rtol=1e-5)
    assert done == [150, 70]


def test_layers_of_one_number_have_no_cache():
    x = torch.randn(1, 1, 8)

    def policy(row, want):
        for layer in (0, 1, 0):
            row.layout.attend(layer, x, x, x, 1.0)

    policy.compute = Compute(torch.device("cpu"), torch.float32)
    with pytest.raises(InputError, match="layer 0 twice"):
        cache_shapes(policy)


def test_a_cache_that_grows_keeps_its_pages_and_copies_them():
    cache = KVCache(((2, 4, 3), (1, 2, 2)), torch.float32, torch.device("cpu"))
    cache.grow(2)
    for tensor in (*cache.keys, *cache.values):
        tensor.copy_(torch.randn_like(tensor))
    before = [t.clone() for t in (*cache.keys, *cache.values)]
    cache.grow(5)
    cache.copy([1], [4])
    assert cache.pages == 5
    assert cache.page_bytes == 64 * (2 * 7 + 1 * 4) * 4
    for tensor, old in zip((*cache.keys, *cache.values), before, strict=True):
        assert torch.equal(tensor[:2], old)
        assert torch.equal(tensor[4], old[1])


class Module:
    layer_idx, is_causal = 0, True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"flat_layout": None}, "flat_layout"),
        ({"attention_mask": torch.ones(1, 1, 4, 4)}, "mask"),
        ({"dropout": 0.1}, "dropout"),
        ({"alibi": torch.ones(2)}, "alibi"),
        ({"head_mask": torch.ones(2)}, "head_mask"),
        ({"something_new": 3}, "something_new"),
        ({"is_causal": False}, "not causal"),
    ],
)
def test_what_is_not_implemented_is_refused(arguments, message):
    x = torch.randn(1, 2, 4, 8)
    arguments = {"attention_mask": None, "flat_layout": FlatLayout((4,)), **arguments}
    with pytest.raises(ValueError, match=message):
        attention.flat_attention(Module(), x, x, x, **arguments)


def test_arguments_of_families_reach_the_layout():
    x, sinks = torch.randn(1, 2, 4, 8), torch.tensor([1.0, -1.0])
    out, _ = attention.flat_attention(
        Module(), x, x, x, None, 0.5, flat_layout=FlatLayout((4,)), sliding_window=2, softcap=3.0, s_aux=sinks
    )
    expected = reference_pair(x[0], x[0], x[0], 0.5, window=2, softcap=3.0, sinks=sinks)
    torch.testing.assert_close(out[0].transpose(0, 1).double(), expected, atol=1e-5, rtol=1e-5)


def of_torch_2_11(q, k, v, cu_seq_q, cu_seq_k, max_q, max_k, *, return_aux=None, scale=None, window_size=(-1, -1)):
    """What torch's function for a GPU computes, with its arguments of then: the heads that share are not named."""
    assert (max_q, max_k) == (int(cu_seq_q.diff().max()), int(cu_seq_k.diff().max()))
    groups, parts = q.shape[1] // k.shape[1], []
    for a, b, c, d in zip(cu_seq_q[:-1], cu_seq_q[1:], cu_seq_k[:-1], cu_seq_k[1:], strict=True):
        one, (keys, values) = q[a:b], (x[c:d].repeat_interleave(groups, 1) for x in (k, v))
        apart = torch.arange(d - c)[None] - (torch.arange(b - a)[:, None] + (d - c) - (b - a))
        hidden = (apart > window_size[1]) | (apart < -window_size[0] if window_size[0] >= 0 else False)
        scores = torch.einsum("qhd,khd->hqk", one.float(), keys.float()).mul(scale).masked_fill(hidden, -torch.inf)
        parts.append(torch.einsum("hqk,khe->qhe", scores.softmax(-1), values.float()).to(q.dtype))
    return torch.cat(parts)


def of_torch_2_12(q, k, v, *rest, enable_gqa=False, seqused_k=None, block_table=None, num_splits=None, **more):
    assert enable_gqa or q.shape[1] == k.shape[1]
    return of_torch_2_11(q, k, v, *rest, **more)


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("its_own", [of_torch_2_11, of_torch_2_12])
def test_the_gpus_function_is_called_as_each_torch_wants_it(its_own, window, monkeypatch):
    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", its_own)
    draw = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(heads, n, 8, generator=draw) for heads, n in ((4, 9), (2, 14), (2, 14)))
    segments, options = Segments((6, 3), (6, 8)), AttentionOptions(window)
    got = attention_backends._flash(q, k, v, segments, 0.3, options)
    torch.testing.assert_close(got, attend_segments(q, k, v, segments, 0.3, options), atol=1e-4, rtol=1e-4)
