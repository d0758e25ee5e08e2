"""AdamW over float32 masters of which the model holds one half: 2 bytes per parameter beside the weights, not 4.

A float32 master is its bfloat16 rounding, which is the model's weight, and 16 more bits: as integers,
``bits(master) = (bits(hi) << 16) + low``, with ``low`` in -32768 … 32767 (Apex, DistributedFusedAdam's
``store_param_remainders``). One compiled kernel reads weight, low bits, gradient and moments once and writes them once;
nothing is left to be copied into the model, and gradients need not be float32.

What is here needs `strop.model.accelerate.adamw`; elsewhere `strop.train.weights` and torch's AdamW do the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from strop.model import accelerate
from strop.train.adamw_8bit import EachTensor, start_moments, tables


def supported(tensor: Tensor) -> bool:
    """Whether `SplitAdamW` can train this: contiguous bfloat16 on a CPU that the kernels run on."""
    kernel = accelerate.adamw()
    return kernel is not None and kernel.supported(tensor)


class SplitAdamW(EachTensor):
    """``m = β1·m + (1-β1)·g``, ``v = β2·v + (1-β2)·g²``, ``p = p - lr·(wd·p + m̂/(√v̂ + ε))`` in float32 over the
    masters of bfloat16 leaf tensors; their gradients are bfloat16 or float32.

    ``eight_bit``: moments in the format of `strop.train.adamw_8bit`, and rounded where AdamW8bit rounds them.

    A state dict holds the low bits, so it goes with the weights as they were then. Results do not depend on the
    number of threads. Raises ValueError for tensors that are not `supported`.
    """

    def __init__(self, params: Iterable, *, eight_bit: bool = False, **arguments: Any):
        self.eight_bit = eight_bit
        super().__init__(params, **arguments)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        for p in self.param_groups[-1]["params"]:
            _require(p)
            p.grad_dtype = None  # a sum of gradients may be float32

    @torch.no_grad()
    def take_master(self, p: Tensor, master: Tensor) -> None:
        """Set ``p`` to a float32 ``master`` of its shape: the rounding goes into ``p``, the rest into the state."""
        if master.shape != p.shape:
            raise ValueError(f"a master of {tuple(master.shape)} for a tensor of {tuple(p.shape)}")
        hi, self.state[p]["low"] = _kernel().split(master)
        p.copy_(hi)

    def master(self, p: Tensor) -> Tensor:
        """The float32 master of ``p``, a new tensor."""
        state = self.state.get(p, {})
        return _kernel().join(p, state["low"]) if "low" in state else p.detach().float()

    def _start(self, p: Tensor) -> dict[str, Any]:
        whole = {} if self.eight_bit else {n: torch.zeros_like(p, dtype=torch.float32) for n in _MOMENTS}
        return {"step": 0, "low": torch.zeros_like(p, dtype=torch.int16), **(whole or start_moments(p))}

    def _update(self, p: Tensor, group: dict[str, Any], scale: float) -> None:
        _require(p)  # its data may have been exchanged
        state = self.state[p]
        if "step" not in state:
            self.state[p] = state = self._start(p) | state
        state["step"] += 1
        grad = p.grad.contiguous() if p.grad.dtype == torch.bfloat16 else p.grad.float().contiguous()
        names = next(names for names in (_EIGHT_BIT, _SMALL, _MOMENTS) if names[-1] in state)
        moments = [state[name] for name in names]
        if names == _EIGHT_BIT:
            moments += [*tables(True, p.device), *tables(False, p.device)]
        _kernel().step(p, state["low"], grad, moments, group, state["step"], scale)
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


_EIGHT_BIT = ("m", "m_scale", "root_v", "root_v_scale")
_SMALL = ("m", "v")
_MOMENTS = ("exp_avg", "exp_avg_sq")


def _kernel() -> ModuleType:
    kernel = accelerate.adamw()
    assert kernel is not None  # or no tensor would be `supported`
    return kernel


def _require(p: Tensor) -> None:
    if not supported(p):
        raise ValueError(f"contiguous bfloat16 on a CPU with kernels is needed, not {p.dtype} on {p.device}")


def _forms(state: dict[str, Any]) -> dict[str, Any]:
    return {n: (tuple(x.shape), x.dtype) if isinstance(x, Tensor) else type(x).__name__ for n, x in state.items()}
