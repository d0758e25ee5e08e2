"""The arithmetic that a step needs, and how fast this machine multiplies matrices of the model's shapes.

Counted: 6 FLOP per parameter and token for all parameters but the embedding, and 6·V·D per trained token for the head
(two for the forward pass, four for the backward pass; Kaplan et al. 2020, appendix B). Attention is left out, and so is
everything computed twice.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from transformers import PreTrainedModel

from common.clock import now
from common.models import make_model
from strop.model.precision import best_compute


def needed(model: PreTrainedModel) -> dict[str, float]:
    """FLOP per token and per trained token of full fine-tuning."""
    head = model.get_output_embeddings().weight
    embedding = model.get_input_embeddings().weight
    body = sum(p.numel() for p in model.parameters() if p is not head and p is not embedding)
    return {"flops_per_token": 6 * body, "flops_per_trained_token": 6 * head.numel()}


def measure_machine(given: argparse.Namespace) -> dict[str, float]:
    """All that fractions of the peak are made of; one more "variant" of a benchmark, so it meets the same minutes."""
    model = make_model(given.model)
    started = now()
    found = matrix_peak(model, given.micro_batch_tokens, 0.05 if given.smoke else 0.4)
    ended = now()
    busy = (ended.cpu - started.cpu) / (ended.wall - started.wall)
    return {**needed(model), **found, "cores busy": busy}


def matrix_peak(model: PreTrainedModel, rows: int, seconds: float = 0.4) -> dict[str, float]:
    """GFLOP/s of the products that the model's layers and head consist of, and ``matrix_peak``, the highest of them.

    ``rows`` tokens; for the head a quarter as many, which are the logits that a chunk holds. Each figure is the median
    over ``seconds`` of repetitions after two for warm-up, in the number format that strop trains in here.
    """
    compute = best_compute()
    config = model.config.get_text_config()
    width, inner = config.hidden_size, config.intermediate_size
    vocabulary = model.get_output_embeddings().weight.shape[0]
    shapes = {  # m, k, n of [m,k] x [k,n]
        "attention output": (rows, width, width),
        "gate and up": (rows, width, inner),
        "down": (rows, inner, width),
        "weight gradient": (inner, rows, width),
        "head": (max(1, rows // 4), width, vocabulary),
        "head gradient": (max(1, rows // 4), vocabulary, width),
    }
    found = {name: _speed(*shape, compute, seconds) for name, shape in shapes.items()}
    return {**{f"gflops {name}": value for name, value in found.items()}, "matrix_peak": max(found.values())}


@torch.no_grad()
def read_speed(size: int, seconds: float = 0.4) -> float:
    """GB/s at which the cores read ``size`` bytes again and again; a model's weights are read so at each new token.

    As fast as the fastest of eight or more sums over them, for what is slower was somebody else's.
    """
    memory = torch.ones(max(1, size // 4), device=best_compute().device)
    times: list[float] = []
    ends = time.perf_counter() + seconds
    while len(times) < 8 or time.perf_counter() < ends:
        started = now().wall
        memory.sum()
        times.append(now().wall - started)
    return memory.numel() * 4 / min(times) / 1e9


@torch.no_grad()
def _speed(m: int, k: int, n: int, compute, seconds: float) -> float:
    a = torch.randn(m, k, device=compute.device, dtype=compute.dtype)
    b = torch.randn(n, k, device=compute.device, dtype=compute.dtype).T  # weights lie [out, in]
    out = torch.empty(m, n, device=compute.device, dtype=compute.dtype)
    times: list[float] = []
    ends = time.perf_counter() + seconds
    while len(times) < 8 or time.perf_counter() < ends:
        started = now().wall
        torch.mm(a, b, out=out)
        times.append(now().wall - started)
    return 2 * m * k * n / statistics.median(times[2:]) / 1e9
