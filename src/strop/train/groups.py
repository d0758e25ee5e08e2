"""Which tensor is trained how: kinds of tensors, groups by pattern, and who gets weight decay.

A tensor is taken by the first group of the settings that matches it. What is left falls into groups by kind, in the
order embedding, head, matrices, vectors.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from strop.common.errors import InputError
from strop.train.settings import KINDS, GroupSettings, OptimizerSettings

Kind = Literal["embedding", "head", "matrices", "vectors"]
_SCALAR_HEADS = ("value_head", "score_head", "score")
"""What a policy and transformers' models call them."""


@dataclass(frozen=True)
class Group:
    """Tensors that one optimiser trains in one way. ``peak`` is the learning rate before ``init_lr_frac``."""

    name: str
    optimizer: str
    peak: float
    weight_decay: float
    tensors: tuple[tuple[str, Tensor], ...]


def tensor_kinds(model: nn.Module) -> dict[str, Kind]:
    """The kind of every name in ``model.named_parameters()``. A head tied to the embedding is an embedding; what gives
    values or scores is a head."""
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    found_heads = [m.get_output_embeddings() for m in model.modules() if hasattr(m, "get_output_embeddings")]
    found_heads += [getattr(m, name, None) for m in model.modules() for name in _SCALAR_HEADS]
    heads = {id(head.weight) for head in found_heads if isinstance(getattr(head, "weight", None), Tensor)}
    for module in model.modules():  # single rows that are trained beside adapters
        if hasattr(module, "trainable_tokens_delta"):
            found = embeddings if isinstance(module.base_layer, nn.Embedding) else heads
            found |= {id(rows) for rows in module.trainable_tokens_delta.values()}
    kinds: dict[str, Kind] = {}
    for name, parameter in model.named_parameters():
        by_shape: Kind = "matrices" if parameter.ndim >= 2 else "vectors"
        kinds[name] = "embedding" if id(parameter) in embeddings else "head" if id(parameter) in heads else by_shape
    return kinds


def make_groups(
    named: Iterable[tuple[str, Tensor]], kinds: Mapping[str, Kind], settings: OptimizerSettings
) -> list[Group]:
    """Every tensor in exactly one group, in an order that depends on the names' order and the settings alone.

    Decay is for matrices and the head, unless a group says otherwise. Raises InputError for a pattern that takes no
    tensor and for Muon over vectors.
    """
    named = list(named)
    found: dict[tuple[int, str, str, float, float], list[tuple[str, Tensor]]] = {}
    taken: set[int] = set()
    for name, tensor in named:
        kind = kinds[name]
        rule = next((i for i, g in enumerate(settings.groups) if _matches(g, name, kind)), None)
        group = GroupSettings.model_construct(match=kind) if rule is None else settings.groups[rule]
        if rule is not None:
            taken.add(rule)
        if group.optimizer == "muon" and tensor.ndim not in (2, 3):
            raise InputError(
                f"group {group.match!r}: muon is for matrices and {name} has {tensor.ndim} dimensions; "
                "narrow the pattern or choose adamw."
            )
        scale = 1.0 if group.lr_scale is None else group.lr_scale
        peak = settings.learning_rate * scale if group.learning_rate is None else group.learning_rate
        by_kind = settings.weight_decay if kind in ("matrices", "head") else 0.0
        decay = by_kind if group.weight_decay is None else group.weight_decay
        place = KINDS.index(kind) - len(KINDS) if rule is None else rule  # kinds first, then groups as they are listed
        key = (place, group.match, group.optimizer or _default(settings.optimizer, kind, tensor), peak, decay)
        found.setdefault(key, []).append((name, tensor))
    for i, group in enumerate(settings.groups):
        if i not in taken:
            raise InputError(_nothing_left(group, [name for name, _ in named], kinds))
    return [Group(*key[1:], tuple(found[key])) for key in sorted(found)]


def check_groups(model: nn.Module, settings: OptimizerSettings, where: str) -> None:
    """Raise InputError as `make_groups` does, for a ``model`` that is to be trained whole and may have no numbers
    yet (on torch's meta device). ``where``: the settings in the recipe."""
    inside = nn.ModuleDict({"model": model})  # names as a policy has them
    try:
        make_groups(inside.named_parameters(), tensor_kinds(inside), settings)
    except InputError as error:
        raise InputError(f"{where}.groups: {error}") from None


def _matches(group: GroupSettings, name: str, kind: Kind) -> bool:
    return group.match == kind if group.match in KINDS else re.search(group.match, name) is not None


def _default(optimizer: str, kind: Kind, tensor: Tensor) -> str:
    """Muon orthogonalises matrices (a stack of experts one by one); embedding and head are tables of vectors."""
    return "adamw" if optimizer == "muon" and (kind != "matrices" or tensor.ndim > 3) else optimizer


def _nothing_left(group: GroupSettings, names: list[str], kinds: Mapping[str, Kind]) -> str:
    mine = [name for name in names if _matches(group, name, kinds[name])]
    if mine:
        return f"group {group.match!r}: earlier groups take all that it matches ({mine[0]} …); list it before them."
    if group.match in KINDS:
        there = ", ".join(k for k in KINDS if k in {kinds[name] for name in names})
        return f"group {group.match!r}: no trained tensor is of that kind (there are {there}); drop the group."
    words = sorted({word for name in names for word in name.split(".") if not word.isdigit()} | set(KINDS))
    near = difflib.get_close_matches(re.sub(r"\W", "", group.match.split(".")[-1]), words, n=3, cutoff=0.4)
    near += [name for name in difflib.get_close_matches(group.match, names, n=3, cutoff=0.3) if name not in near]
    return f"group {group.match!r} matches no trained tensor; the nearest names are {', '.join(near or words[:5])}."
