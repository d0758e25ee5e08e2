"""The optimiser of a run: one or more of torch's over named float32 tensors, behind the interface of one.

- ``adamw`` (Loshchilov & Hutter 2019), fused: 8 bytes of state per parameter.
- ``adamw`` and ``adamw_8bit`` over bfloat16 tensors: `strop.train.split_adamw`, 2 bytes more, in place of a master's 4.
- ``muon`` (`strop.train.muon`) for matrices, 4 bytes; AdamW for all else. ``B = μB + (1-μ)g``, ``O = NS5((1-μ)g +
  μB)`` (five Newton-Schulz steps, which bring the singular values near 1), ``W = W·(1 - lr·wd) - lr·c·O``, with ``c =
  0.2·√max(out, in)`` for ``match_rms_adamw`` (Liu et al. 2025, Muon is Scalable for LLM Training) and ``√max(1,
  out/in)`` for ``original``.
- ``adafactor`` (Shazeer & Stern 2018, without first moment): rows + columns, next to nothing. Its rate is a share of a
  tensor's root mean square, so 1e-3 is a usual value, and at most ``1/√step``.
- ``adamw_8bit``: `strop.train.adamw_8bit`, 2.03 bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import increment_version
from torch.utils._pytree import tree_leaves

from strop.common.errors import InputError
from strop.train.adamw_8bit import AdamW8bit, EachTensor
from strop.train.groups import Group, Kind, make_groups
from strop.train.muon import Muon
from strop.train.settings import OptimizerSettings
from strop.train.split_adamw import SplitAdamW


class Optimizers:
    """Several optimisers as one; groups are stepped in a fixed order.

    ``named`` are leaf tensors (those of no gradient are left out): float32 ones, or such bfloat16 ones as `halvable`
    names. ``kinds`` is `strop.train.groups.tensor_kinds` of the model. Raises InputError for groups of the settings
    that match nothing, and where nothing is to be trained.
    """

    def __init__(self, named: Iterable[tuple[str, Tensor]], settings: OptimizerSettings, kinds: Mapping[str, Kind]):
        groups = make_groups([(n, t) for n, t in named if t.requires_grad], kinds, settings)
        if not groups:
            raise InputError("no tensor of the model is to be trained.")
        self._parts: dict[str, torch.optim.Optimizer] = {}
        self._tensors: dict[str, list[Tensor]] = {}  # of each part as they were given: Muon's own are views of stacks
        for name, make in _MAKERS.items():
            if mine := [g for g in groups if _part_of(g) == name]:
                self._parts[name] = make([_torch_group(g) for g in mine], settings)
                self._tensors[name] = [tensor for g in mine for _, tensor in g.tensors]

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Of all parts; each has ``name``, ``peak`` (its learning rate before schedule) and ``param_names``."""
        return [group for part in self._parts.values() for group in part.param_groups]

    def set_rates(self, share: float) -> dict[str, float]:
        """Give every group ``share`` of its peak; returns learning rates by group name."""
        for group in self.param_groups:
            group["lr"] = group["peak"] * share
        return {group["name"]: group["lr"] for group in self.param_groups}

    @torch.no_grad()
    def step(self, scale: float = 1.0) -> None:
        """One step with every gradient times ``scale``."""
        for name, part in self._parts.items():
            if isinstance(part, EachTensor):
                part.step(scale)
                continue
            gradients = [tensor.grad for tensor in self._tensors[name] if tensor.grad is not None]
            if scale != 1 and gradients:
                torch._foreach_mul_(gradients, scale)
            part.step()
        # torch's fused steps do not say that tensors have changed; engines ask.
        increment_version([p for group in self.param_groups for p in group["params"]])

    def part_of(self, tensor: Tensor) -> torch.optim.Optimizer:
        """The optimiser that steps ``tensor``."""
        return next(
            self._parts[name] for name, several in self._tensors.items() if any(tensor is one for one in several)
        )

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._parts.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Moments and steps as saved, whose tensors are taken over; rates, decay and betas stay those of this run's
        settings, which may have changed, and with them which tensors are one group.

        Raises InputError when the state is that of other tensors or other optimisers.
        """
        own = self.state_dict()
        if _tensors(state_dict).keys() != _tensors(own).keys():
            raise InputError(
                "the checkpoint's optimiser was made for other tensors or groups, or on a machine that trains in "
                "another number format; go on with the settings and the kind of machine that it was written with, or "
                "remove the checkpoints."
            )
        places = _tensors(state_dict)
        for name, part in self._parts.items():
            saved = state_dict[name]["state"]
            rates = {one: group["lr"] for group in state_dict[name]["param_groups"] for one in group["param_names"]}
            groups = [{**group, "lr": rates[group["param_names"][0]]} for group in own[name]["param_groups"]]
            found = {i: places[of] for of, i in _tensors(own).items() if of[0] == name}
            state = {i: saved[place] for i, place in found.items() if place in saved}
            part.load_state_dict({"state": state, "param_groups": groups})

    def forget(self) -> None:
        """Let the moments go, as before the first step; not what belongs to a master."""
        for part in self._parts.values():
            kept = {p: {"low": state["low"]} for p, state in part.state.items() if "low" in state}
            part.state.clear()
            part.state.update(kept)


def halvable(named: Iterable[tuple[str, Tensor]], settings: OptimizerSettings, kinds: Mapping[str, Kind]) -> set[str]:
    """The names of the tensors that may be bfloat16, with the other half of their float32 masters in the optimiser."""
    if settings.ema_decay:
        return set()  # an average needs masters that it can read
    groups = make_groups([(n, t) for n, t in named if t.requires_grad], kinds, settings)
    return {name for group in groups if group.optimizer in ("adamw", "adamw_8bit") for name, _ in group.tensors}


def tensor_bytes(tree: Any) -> int:
    """Bytes of all tensors in nested dicts and lists."""
    return sum(leaf.nbytes for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))


def _tensors(state_dict: dict[str, Any]) -> dict[tuple[str, str], int]:
    """Where the state of every tensor stands, by the optimiser's name and its own."""
    return {
        (part, name): i
        for part, saved in state_dict.items()
        for group in saved["param_groups"]
        for name, i in zip(group["param_names"], group["params"], strict=True)
    }


def _part_of(group: Group) -> str:
    halved = all(tensor.dtype == torch.bfloat16 for _, tensor in group.tensors)
    return f"{group.optimizer}, halved" if halved else group.optimizer


def _torch_group(group: Group) -> dict[str, Any]:
    rates = {"peak": group.peak, "lr": group.peak, "weight_decay": group.weight_decay}
    return {"params": list(group.tensors), "name": group.name, **rates}


def _adam_arguments(settings: OptimizerSettings) -> dict[str, Any]:
    return {"betas": (settings.beta1, settings.beta2), "eps": settings.epsilon}


_MAKERS: dict[str, Callable[[list[dict[str, Any]], OptimizerSettings], torch.optim.Optimizer]] = {
    "adamw": lambda groups, s: torch.optim.AdamW(groups, **_adam_arguments(s), fused=True),
    "muon": lambda groups, s: Muon(groups, momentum=s.muon_momentum, adjust_lr_fn=s.muon_scale),
    "adafactor": lambda groups, s: torch.optim.Adafactor(groups),
    "adamw_8bit": lambda groups, s: AdamW8bit(groups, **_adam_arguments(s)),
    "adamw, halved": lambda groups, s: SplitAdamW(groups, **_adam_arguments(s)),
    "adamw_8bit, halved": lambda groups, s: SplitAdamW(groups, **_adam_arguments(s), eight_bit=True),
}
