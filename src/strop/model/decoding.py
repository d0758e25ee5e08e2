"""What computes the rows of a key/value cache: the model's modules, or one kernel that is proven to do the same."""

from __future__ import annotations

import torch
from torch import nn

from strop.model import accelerate
from strop.model.kv_cache import KVCache, PagedLayout
from strop.model.segments import stretches

LENGTHS = (66, 3, 1)
"""Of a sequence, what comes at once: more than a page, a few tokens, and one."""
PROMPT = 67


def kernel_decoder(model: nn.Module):
    """``decoder(tokens, positions, layout)`` of `strop.model.cpu.decoder`, or None where the modules have to do it.

    Every layer has to show on random numbers that the kernel computes what it does.
    """
    made = accelerate.decoder(model)
    return made if made is not None and all(_same(made, i) for i in range(len(made.layers))) else None


@torch.no_grad()
def _same(made, index: int) -> bool:
    layer = made.decoder.layers[index]
    like = layer.mlp.gate_proj.weight
    generator, total = torch.Generator().manual_seed(index), sum(LENGTHS)
    x = torch.randn(1, total, made.width, generator=generator).to(like.dtype)
    angles = torch.randn(1, total, made.d // 2, generator=generator).repeat(1, 1, 2)
    cos, sin = angles.cos().to(like.dtype), angles.sin().to(like.dtype)
    caches = []
    for _ in range(2):
        cache = KVCache(((made.kv_heads, made.d, made.d),), like.dtype, like.device)
        cache.grow(2)
        cache.keys, cache.values = (made_of * len(made.layers) for made_of in (cache.keys, cache.values))
        caches.append(cache)
    for begin, end in stretches(LENGTHS):
        part, layouts = (
            slice(begin, end),
            [PagedLayout(cache, (end - begin,), (end,), ((1, 0),), (PROMPT,)) for cache in caches],
        )
        own = layer(x[:, part], position_embeddings=(cos[:, part], sin[:, part]), flat_layout=layouts[0])
        own = (own[0] if isinstance(own, tuple) else own).view(-1, made.width).float()
        got = made.run(x[0, part].clone(), cos[0, part], sin[0, part], layouts[1], index).float()
        # What the layer adds, to 2 %, and the rounding of the sum.
        allowed = 0.02 * (own - x[0, part].float()).abs().mean() + own.abs().mean() / 512
        if not (got - own).abs().mean() <= allowed:
            return False
    return True
