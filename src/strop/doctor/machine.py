"""What a run will need on this machine: parameters from the file headers, memory, time. No weights are loaded."""

from __future__ import annotations

import functools
import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from strop.common.errors import InputError
from strop.doctor.findings import Finding

if TYPE_CHECKING:
    from strop.train.settings import TrainSettings

GB = 1e9
PROCESS_GB = 0.6
"""Python, torch and transformers themselves."""
HEAD_ELEMENTS = 64 << 20
"""Logits held at once by strop's head; 14 bytes each: bfloat16, float32, and two float32 of the backward pass. With
kernels they become their own gradient; twice the bytes of one, with that of the head."""
EFFICIENCY, WITH_KERNELS = 0.5, 0.65
"""Share of the matrix-product rate that a training step reaches: 0.53 in the one run it was taken from; with strop's
CPU kernels 0.6 to 0.7."""
MOMENTS = {"adamw": 8, "adamw_8bit": 2.03, "muon": 4, "adafactor": 0}
"""Bytes of optimiser state per parameter."""
RETAINED, IN_REGION = 1.2, 1.02
"""Freed memory that the allocator keeps: glibc's about a fifth of what is in use; strop's region has holes of 1 %."""
_EMBEDDINGS = tuple(f"{n}.weight" for n in ("embed_tokens", "wte", "word_embeddings", "embed_in", "tok_embeddings"))
MEMORY_BAND, TIME_BAND = 1.4, 1.5
"""How far off the estimates may be, as factors."""


@dataclass(frozen=True, slots=True)
class ModelShape:
    """``parameters`` None where the folder has no safetensors; the other fields 0 where config.json lacks them.

    ``rows``: of the embedding, by the weights, or by config.json where no weights have a name that is known.
    """

    parameters: int | None
    width: int
    layers: int
    inner: int
    vocabulary: int
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Adapted:
    """A model of which only adapters are trained: their numbers, and the bytes that a frozen weight takes."""

    trained: int
    frozen_bytes: float


@dataclass(frozen=True, slots=True)
class Cost:
    """For the whole run. ``rate`` is the measured speed of matrix products in FLOP/s."""

    parameters: int
    tokens: int
    memory_gb: float
    minutes: float
    rate: float
    total_gb: float | None
    """The memory there is."""

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "memory_factor": MEMORY_BAND, "time_factor": TIME_BAND}

    def words(self) -> str:
        """Time and memory as ranges, in one line."""
        low, high = (_duration(minutes) for minutes in (self.minutes / TIME_BAND, self.minutes * TIME_BAND))
        least, most = self.memory_gb / MEMORY_BAND, self.memory_gb * MEMORY_BAND
        have = "" if self.total_gb is None else f" of {self.total_gb:.0f} GB here"
        return (
            f"estimate: {self.parameters / 1e6:,.1f}M parameters, {self.tokens:,} tokens; "
            f"{low} to {high} at {self.rate / 1e9:,.0f} GFLOP/s measured; {least:.1f} to {most:.1f} GB{have}"
        )


def _duration(minutes: float) -> str:
    if minutes < 1:
        return f"{minutes * 60:.0f} s"
    if minutes < 120:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.0f} h" if minutes < 2880 else f"{minutes / 1440:.0f} days"


def model_shape(folder: Path) -> ModelShape:
    """From ``config.json`` and the headers of the safetensors files. Raises InputError when one cannot be read."""
    config = _read_json(folder / "config.json")
    config = config.get("text_config", config)
    width = config.get("hidden_size") or config.get("n_embd") or 0
    vocabulary = config.get("vocab_size") or 0
    tensors = [tensor for file in _weight_files(folder) for tensor in _header(file)]
    return ModelShape(
        parameters=sum(math.prod(shape) for _, shape in tensors) or None,
        width=width,
        layers=config.get("num_hidden_layers") or config.get("n_layer") or 0,
        inner=config.get("intermediate_size") or 4 * width,
        vocabulary=vocabulary,
        rows=next((shape[0] for name, shape in tensors if name.endswith(_EMBEDDINGS) and shape[0]), vocabulary),
    )


def _weight_files(folder: Path) -> list[Path]:
    """The files that transformers would load: the one, or those in the index."""
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    index = folder / "model.safetensors.index.json"
    names = set(_read_json(index)["weight_map"].values()) if index.is_file() else ()
    return [folder / name for name in sorted(names)]


def _header(file: Path) -> list[tuple[str, list[int]]]:
    """Every tensor of a file with its shape."""
    try:
        with safe_open(file, framework="np") as tensors:
            return [(name, tensors.get_slice(name).get_shape()) for name in tensors.keys()]  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"{file}: not a readable safetensors file ({error}); get the model again.") from error


def _read_json(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read as JSON ({error}); get the model again.") from error


def estimate(
    shape: ModelShape,
    train: TrainSettings,
    lengths: Sequence[int],
    epoch_tokens: float,
    rate: float,
    half: bool,
    total_gb: float | None,
    adapted: Adapted | None = None,
    kernels: bool = False,
) -> Cost:
    """``lengths``: tokens of every example; ``epoch_tokens``: of all that come in one epoch; ``half``: matrix products
    in 16 bits; ``kernels``: by strop's CPU kernels; ``shape.parameters`` is known.

    Memory: weights and gradients in float32, the optimiser's state, a 16-bit copy of the weights, the activations of
    one row, the logits held at once. Time: 6 FLOP per token and parameter (Kaplan et al. 2020, arXiv:2001.08361),
    plus causal attention (PaLM, arXiv:2204.02311, app. B, halved), at a share of the measured rate of matrix products.
    Where only adapters are trained, a frozen weight has no gradient, which is a third of the products, and no state.
    """
    parameters = shape.parameters or 0
    tokens = epoch_tokens * train.epochs
    if train.max_steps is not None:
        tokens = min(tokens, train.max_steps * train.global_batch_size * sum(lengths) / max(1, len(lengths)))
    mean = sum(n * n for n in lengths) / max(1, sum(lengths))  # what the average token's sequence is long
    per_token = (4 if adapted else 6) * parameters + 6 * shape.layers * shape.width * mean
    recomputed = 1 / train.gradient_checkpointing if train.gradient_checkpointing else 0.0  # share of the blocks
    # The fullest row: a step of long examples, or what a row may hold.
    long = sorted(lengths)[int(0.99 * len(lengths))] if lengths else 0
    row = max(max(lengths, default=0), min(train.micro_batch_tokens, train.global_batch_size * long))
    state = (adapted.trained if adapted else parameters) * _state_bytes(train, half, kernels)
    state += parameters * adapted.frozen_bytes if adapted else 0
    held = _activation_bytes(shape, half, kernels) * (1 - recomputed + (1 / max(1, shape.layers) if recomputed else 0))
    inputs = 4 * shape.width * shape.layers * recomputed
    logits = (2 * (2 if half else 4) if kernels else 14) * min(HEAD_ELEMENTS, row * shape.vocabulary)
    return Cost(
        parameters=parameters,
        tokens=round(tokens),
        memory_gb=(IN_REGION if kernels else RETAINED) * (state + row * (held + inputs) + logits) / GB + PROCESS_GB,
        minutes=tokens * per_token * (1 + recomputed / 3) / ((WITH_KERNELS if kernels else EFFICIENCY) * rate) / 60,
        rate=rate,
        total_gb=total_gb,
    )


def _state_bytes(train: TrainSettings, half: bool, kernels: bool) -> float:
    """Per trained parameter: masters, the weights that are multiplied, gradients, the optimiser's state, an average."""
    halved = half and kernels and train.optimizer in ("adamw", "adamw_8bit") and not train.ema_decay
    weights = 4 if halved or not half else 6
    return weights + 4 + MOMENTS[train.optimizer] + (4 if train.ema_decay else 0)


def _activation_bytes(shape: ModelShape, half: bool, kernels: bool) -> float:
    """Kept for the backward pass per token, over all layers: norms and residuals in float32, the rest as computed;
    with kernels all of it as computed, and a gated unit's product not at all."""
    size = 2 if half else 4
    if kernels:
        return shape.layers * size * (7 * shape.width + 2 * shape.inner)
    return shape.layers * (20 * shape.width + 5 * size * shape.width + 4 * size * shape.inner)


def check_memory(guess: Cost) -> list[Finding]:
    """Whether the run fits."""
    if guess.total_gb is None or guess.memory_gb * MEMORY_BAND < guess.total_gb:
        return []
    certain = guess.memory_gb / MEMORY_BAND > guess.total_gb
    message = f"the run needs about {guess.memory_gb:.1f} GB and there are {guess.total_gb:.1f} GB"
    mend = "lower micro_batch_tokens, set gradient_checkpointing: true, or take a smaller model"
    return [Finding("memory", "error" if certain else "warning", 1, message, mend)]


def host_memory_gb() -> float | None:
    """Memory of this machine, or of the control group that the process lives in, whichever is less."""
    limits = []
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        file = Path("/sys/fs/cgroup") / name
        if file.is_file() and (text := file.read_text().strip()).isdigit():
            limits.append(int(text))
    return min(limits) / GB if limits else None


@functools.cache  # of the machine, not of a stage
def product_rate(device: Any, dtype: Any) -> float:
    """Matrix products in FLOP/s, the best of those within 0.3 s: [2048, 1024] × [1024, 4096]."""
    import torch

    a, b = (torch.ones(*shape, device=device, dtype=dtype) for shape in ((2048, 1024), (1024, 4096)))
    best, until = math.inf, time.perf_counter() + 0.3
    while time.perf_counter() < until or best == math.inf:
        started = time.perf_counter()
        for _ in range(4):
            a @ b
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, (time.perf_counter() - started) / 4)
    return 2 * 2048 * 1024 * 4096 / best
