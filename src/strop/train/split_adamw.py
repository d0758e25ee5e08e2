"""AdamW over float32 masters of which the model holds one half: 2 bytes per parameter beside the weights, not 4.

A float32 master is its bfloat16 rounding, which is the model's weight, and 16 more bits: as integers,
``bits(master) = (bits(hi) << 16) + low``, with ``low`` in -32768 … 32767 (Apex, DistributedFusedAdam's
``store_param_remainders``). One compiled kernel reads weight, low bits, gradient and moments once and writes them once;
nothing is left to be copied into the model, and gradients need not be float32.

What is here needs `strop.model.cpu.kernels`; elsewhere `strop.train.masters` and torch's AdamW do the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from strop.model.cpu.kernels import kernels
from strop.train.adamw_8bit import EachTensor, start_moments, tables


def supported(tensor: Tensor) -> bool:
    """Whether `SplitAdamW` can train this: contiguous bfloat16 on a CPU that the kernels run on."""
    fits = tensor.device.type == "cpu" and tensor.dtype == torch.bfloat16 and tensor.is_contiguous()
    return fits and kernels() is not None


def split(master: Tensor) -> tuple[Tensor, Tensor]:
    """``(hi bfloat16, low int16)`` of a float32 tensor. ``hi`` is the nearest bfloat16, ties away from zero.

    Raises ValueError for another format."""
    if master.dtype != torch.float32:
        raise ValueError(f"a master is float32, not {master.dtype}")
    master = master.detach().contiguous()
    hi, low = torch.empty_like(master, dtype=torch.bfloat16), torch.empty_like(master, dtype=torch.int16)
    kernels().strop_split(master.data_ptr(), hi.data_ptr(), low.data_ptr(), master.numel())
    return hi, low


def join(hi: Tensor, low: Tensor) -> Tensor:
    """The inverse of `split`, exactly. Raises ValueError for what it does not give."""
    if (hi.dtype, low.dtype, hi.shape) != (torch.bfloat16, torch.int16, low.shape):
        raise ValueError(f"{tuple(hi.shape)} {hi.dtype} and {tuple(low.shape)} {low.dtype} are no halves of a master")
    hi, low = hi.detach().contiguous(), low.contiguous()
    master = torch.empty_like(hi, dtype=torch.float32)
    kernels().strop_join(hi.data_ptr(), low.data_ptr(), master.data_ptr(), master.numel())
    return master


class SplitAdamW(EachTensor):
    """``m = β1·m + (1-β1)·g``, ``v = β2·v + (1-β2)·g²``, ``p = p - lr·(wd·p + m̂/(√v̂ + ε))`` in float32 over the
    masters of bfloat16 leaf tensors; their gradients are bfloat16 or float32.

    ``eight_bit``: moments in the format of `strop.train.adamw_8bit`, and rounded where AdamW8bit rounds them.

    A state dict holds the low bits, so it goes with the weights as they were then. Results do not depend on the
    number of threads. Raises ValueError for tensors that are not `supported`.
    """

    def __init__(self, params: Iterable, *, eight_bit: bool = False, **arguments: Any):
        self._eight_bit = eight_bit
        super().__init__(params, **arguments)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        for p in self.param_groups[-1]["params"]:
            _require(p)
            p.grad_dtype = None  # a sum of gradients may be float32

    @torch.no_grad()
    def adopt(self, p: Tensor, master: Tensor) -> None:
        """Set ``p`` to a float32 ``master`` of its shape: the rounding goes into ``p``, the rest into the state."""
        if master.shape != p.shape:
            raise ValueError(f"a master of {tuple(master.shape)} for a tensor of {tuple(p.shape)}")
        hi, self.state[p]["low"] = split(master)
        p.copy_(hi)

    def master(self, p: Tensor) -> Tensor:
        """The float32 master of ``p``, a new tensor."""
        state = self.state.get(p, {})
        return join(p, state["low"]) if "low" in state else p.detach().float()

    def _start(self, p: Tensor) -> dict[str, Any]:
        low = torch.zeros_like(p, dtype=torch.int16)
        if self._eight_bit:
            return {"step": 0, "low": low, **start_moments(p)}
        return {"step": 0, "low": low, **{n: torch.zeros_like(low, dtype=torch.float32) for n in _MOMENTS}}

    def _update(self, p: Tensor, group: dict[str, Any], scale: float) -> None:
        _require(p)  # its data may have been exchanged
        state = self.state[p]
        if "step" not in state:
            self.state[p] = state = self._start(p) | state
        state["step"] += 1
        grad = p.grad.contiguous() if p.grad.dtype == torch.bfloat16 else p.grad.float().contiguous()
        tensors = [p, state["low"], grad]
        numbers = [p.numel(), group["lr"], *group["betas"], group["eps"], group["weight_decay"], state["step"], scale]
        if "m_scale" in state:
            moments = [state[n] for n in ("m", "m_scale", "root_v", "root_v_scale")]
            maps = [*tables(True, p.device), *tables(False, p.device)]
            _call("strop_adamw_8bit", tensors, [*moments, *maps], numbers)
        else:
            _call("strop_adamw", tensors, [state[n] for n in (("m", "v") if "m" in state else _MOMENTS)], numbers)
        torch.autograd.graph.increment_version(p)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Raises ValueError for states of another form."""
        super().load_state_dict(state_dict)
        for p, state in self.state.items():
            expected = self._start(torch.empty_like(p, device="meta"))
            if "step" not in state:
                expected = {"low": expected["low"]}
            if _forms(state) != _forms(expected):
                raise ValueError(f"a state of {_forms(state)} for a tensor that needs {_forms(expected)}")


_MOMENTS = ("exp_avg", "exp_avg_sq")


def _require(p: Tensor) -> None:
    if not supported(p):
        raise ValueError(f"contiguous bfloat16 on a CPU with kernels is needed, not {p.dtype} on {p.device}")


def _call(kernel: str, tensors: list[Tensor], more: list[Tensor], numbers: list[float]) -> None:
    pointers, others = [t.data_ptr() for t in tensors], [t.data_ptr() for t in more]
    getattr(kernels(), kernel)(*pointers, tensors[-1].dtype == torch.bfloat16, *others, *numbers)


def _forms(state: dict[str, Any]) -> dict[str, Any]:
    return {n: (tuple(x.shape), x.dtype) if isinstance(x, Tensor) else type(x).__name__ for n, x in state.items()}
