"""Packed attention against a plain float64 softmax, sequence by sequence: values and gradients."""

import pytest
import torch

from strop.model import attention
from strop.model.attention import FlatLayout


def reference(q, k, v, lens, scale):
    """Causal softmax attention of each sequence alone, float64; shapes as in ``Layout.attend``."""
    q, k, v = (x.double() for x in (q, k, v))
    k, v = (x.repeat_interleave(q.shape[0] // k.shape[0], dim=0) for x in (k, v))
    parts, start = [], 0
    for n in lens:
        piece = slice(start, start + n)
        scores = q[:, piece] @ k[:, piece].transpose(1, 2) * scale
        scores = scores.masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), float("-inf"))
        parts.append(scores.softmax(-1) @ v[:, piece])
        start += n
    return torch.cat(parts, dim=1)


@pytest.mark.parametrize("lens", [(1,), (5, 1, 9), (37, 12), (300,), (256, 257, 3)])
def test_values_and_gradients_equal_a_float64_reference(lens):
    generator = torch.Generator().manual_seed(1)
    q = torch.randn(6, sum(lens), 8, generator=generator, requires_grad=True)
    k, v = (torch.randn(2, sum(lens), 8, generator=generator, requires_grad=True) for _ in range(2))
    upstream = torch.randn(6, sum(lens), 8, generator=generator)

    out = FlatLayout(lens).attend(0, q, k, v, 0.3)
    grads = torch.autograd.grad((out * upstream).sum(), (q, k, v))
    expected = reference(q, k, v, lens, 0.3)
    expected_grads = torch.autograd.grad((expected * upstream.double()).sum(), (q, k, v))

    torch.testing.assert_close(out.double(), expected, atol=1e-5, rtol=1e-5)
    for got, want in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(got, want, atol=2e-5, rtol=1e-5)


def test_the_path_for_other_devices_agrees():
    lens = (7, 3, 20)
    q, k, v = torch.randn(4, 30, 8), torch.randn(2, 30, 8), torch.randn(2, 30, 8)
    layout = FlatLayout(lens)
    torch.testing.assert_close(layout._per_sequence(q, k, v, 0.3), layout.attend(0, q, k, v, 0.3), atol=1e-5, rtol=1e-5)


class Module:
    head_dim, layer_idx, is_causal = 8, 0, True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"flat_layout": None}, "flat_layout"),
        ({"attention_mask": torch.ones(1, 1, 4, 4)}, "mask"),
        ({"dropout": 0.1}, "dropout"),
        ({"sliding_window": 3}, "window of 3"),
        ({"softcap": 50.0}, "softcap"),
        ({"s_aux": torch.zeros(2)}, "s_aux"),
    ],
)
def test_what_is_not_implemented_is_refused(arguments, message):
    x = torch.randn(1, 2, 4, 8)
    arguments = {"attention_mask": None, "flat_layout": FlatLayout((4,)), **arguments}
    with pytest.raises(ValueError, match=message):
        attention.flat_attention(Module(), x, x, x, **arguments)


def test_a_window_that_hides_nothing_is_honoured():
    x = torch.randn(1, 2, 4, 8)
    plain, _ = attention.flat_attention(Module(), x, x, x, None, flat_layout=FlatLayout((4,)))
    windowed, _ = attention.flat_attention(Module(), x, x, x, None, flat_layout=FlatLayout((4,)), sliding_window=4)
    assert torch.equal(plain, windowed)
