"""What is done to a model's decoder blocks for training: compiled, or computed again in the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from subprocess import SubprocessError

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from strop.common.errors import InputError
from strop.model import accelerate, attention


def decoder_blocks(model: PreTrainedModel) -> list[nn.Module]:
    """The repeated layers of the model, in order; no block within a block."""
    blocks: list[nn.Module] = []
    inside: set[int] = set()
    for module in model.get_decoder().modules():
        if isinstance(module, GradientCheckpointingLayer) and id(module) not in inside:
            blocks.append(module)
            inside |= {id(m) for m in module.modules()}
    return blocks


def recompute_activations(model: PreTrainedModel, every: int = 1) -> None:
    """Keep only the inputs of every ``every``-th block, whose inside is computed again in the backward pass.

    Gradients are the same bit for bit: the same operations on the same numbers. Chen et al. 2016 (arXiv:1604.06174).
    Raises InputError for a model whose layers cannot.
    """
    try:
        model.activation_checkpointing_enable({"use_reentrant": False}, every_n_layers=every)
    except ValueError as error:
        raise InputError(f"train.gradient_checkpointing: {error} Leave it out.") from error
    for block in decoder_blocks(model):
        for module in block.modules():
            module.recomputed = block.gradient_checkpointing


def worth_compiling(setting: bool | str, device: torch.device, say: Callable[[str], None] = lambda line: None) -> bool:
    """What ``compile: auto`` means: on CUDA alone, and there where compiled code runs; ``say`` is told where not.

    On two Zen cores compiling took 67 to 125 s and won nothing.
    """
    if setting != "auto":
        return bool(setting)
    if device.type != "cuda":
        return False
    if fault := compiler_fault(device):
        say(f"blocks are not compiled, which makes training slower: torch.compile does not work here ({fault}).")
    return not fault


@cache
def compiler_fault(device: torch.device) -> str:
    """Why no compiled code runs on a device, in its own words; empty where it does.

    What torch needs for it is often left out of images: Triton, a C compiler, Python's headers.
    """
    from torch._dynamo.exc import TorchDynamoException  # seconds, for who compiles

    try:
        torch.compile(_twice)(torch.ones(8, device=device))
    except (TorchDynamoException, OSError, SubprocessError) as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        return lines[0].strip() if lines else type(error).__name__
    return ""


def _twice(x: Tensor) -> Tensor:
    return x + x


@contextmanager
def compiled_blocks(model: PreTrainedModel, backend: str = "inductor") -> Iterator[None]:
    """Inside, every block runs as compiled code, made once for all lengths T of flat rows.

    A block is two graphs, before and after attention: how a row is made up (the lengths of its sequences) changes with
    each row, and a graph that knew it would be compiled again each time. Blocks of one shape share their graphs.
    A block whose activations are computed again is compiled inside of its checkpoint. What `accelerate` installed
    is taken out: the compiler fuses by itself, and what it makes of a call by address is garbage, without a word.
    """
    blocks = decoder_blocks(model)
    if not blocks:
        raise InputError(f"train.compile: {type(model).__name__} has no blocks that strop knows; set it to false.")
    AttentionInterface.register(attention.NAME, torch.compiler.disable(attention.flat_attention))
    try:
        with accelerate.taken_out(blocks):
            for block in blocks:
                block.compile(dynamic=True, backend=backend)
            yield
    finally:
        AttentionInterface.register(attention.NAME, attention.flat_attention)
        for block in blocks:
            block._compiled_call_impl = None
