"""What computes the rows of a key/value cache: the model's modules, or one kernel that is proven to do the same."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from strop.model import accelerate
from strop.model.kv_cache import KVCache, PagedLayout
from strop.model.segments import stretches

LENGTHS = (66, 3, 1)
"""Of a sequence, what comes at once: more than a page, a few tokens, and one."""
PROMPT = 67
"""Of its tokens, those that are the prompt's: the kernel attends them otherwise than the rest."""


def kernel_decoder(model: nn.Module) -> accelerate.Decoder | None:
    """The kernel that computes all layers of ``model`` for rows of a cache; None where the modules have to do it.

    Every layer has to show on random numbers that the kernel computes what it does.
    """
    made = accelerate.decoder(model)
    return made if made is not None and all(_same(made, i) for i in range(len(made.layers))) else None


@torch.no_grad()
def _same(made: accelerate.Decoder, index: int) -> bool:
    """Whether layer ``index`` and the kernel agree on a sequence that comes in pieces of `LENGTHS`."""
    layer = made.decoder.layers[index]
    like = layer.mlp.gate_proj.weight
    generator, total = torch.Generator().manual_seed(index), sum(LENGTHS)
    x = torch.randn(1, total, made.width, generator=generator).to(like.dtype)
    angles = torch.randn(1, total, made.d // 2, generator=generator).repeat(1, 1, 2)
    cos, sin = angles.cos().to(like.dtype), angles.sin().to(like.dtype)
    own_cache, kernels_cache = (_cache(made, like) for _ in range(2))
    for begin, end in stretches(LENGTHS):
        part, sequence = slice(begin, end), ((end - begin,), (end,), ((1, 0),), (PROMPT,))
        turned = cos[:, part], sin[:, part]
        own = layer(x[:, part], position_embeddings=turned, flat_layout=PagedLayout(own_cache, *sequence))
        own = (own[0] if isinstance(own, tuple) else own).view(-1, made.width).float()
        layout = PagedLayout(kernels_cache, *sequence)
        got = made.run(x[0, part].clone(), cos[0, part], sin[0, part], layout, index).float()
        # What the layer adds, to 5 % (where attention is sharp its rounding counts), and the rounding of the sum.
        share, rounding = (0.05, 1 / 512) if like.dtype == torch.bfloat16 else (1e-4, 1e-6)
        allowed = share * (own - x[0, part].float()).abs().mean() + rounding * own.abs().mean()
        if not (got - own).abs().mean() <= allowed:
            return False
    return True


def _cache(made: accelerate.Decoder, like: Tensor) -> KVCache:
    """Two pages that all layers share, for only one of them is computed."""
    cache = KVCache(((made.kv_heads, made.d, made.d),), like.dtype, like.device)
    cache.grow(2)
    cache.keys, cache.values = (one * len(made.layers) for one in (cache.keys, cache.values))
    return cache
