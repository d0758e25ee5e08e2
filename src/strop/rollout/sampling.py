"""Drawing the next token.

Shapes: B rows, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from strop.rollout.engine import SamplingParams


def sample(logits: Tensor, params: SamplingParams, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """``logits [B,V]`` float32 -> tokens int64 ``[B]`` and the log-probability of each under what it was drawn from.

    The logits are at the temperature of ``params`` already (`Policy.forward` gives them so); at 0 they are at 1.
    A draw is one uniform number against the cumulative sum (inverse transform): ``torch.multinomial`` draws V
    exponentials per row and took 40 % of a decoding step.
    """
    if params.temperature == 0:
        tokens = logits.argmax(-1)
        return tokens, logits.gather(-1, tokens[:, None])[:, 0] - torch.logsumexp(logits, -1)
    probabilities = torch.softmax(logits, dim=-1)
    if params.top_p < 1:
        ordered, index = probabilities.sort(dim=-1, descending=True)
        beyond = ordered.cumsum(-1) - ordered >= params.top_p  # the first token always stays
        probabilities = probabilities.scatter(-1, index, ordered.masked_fill(beyond, 0.0))
    cumulative = probabilities.cumsum(-1)
    total = cumulative[:, -1:]
    draw = torch.rand(total.shape, generator=generator, device=logits.device) * total
    tokens = torch.searchsorted(cumulative, draw, right=True).clamp_(max=logits.shape[-1] - 1)
    chosen = probabilities.gather(-1, tokens)
    return tokens[:, 0], (chosen / total).log()[:, 0]
