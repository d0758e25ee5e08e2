"""The loss that keeps a mixture of experts from sending all tokens to a few of them."""

from __future__ import annotations

import sys

from torch import Tensor, nn

from strop.common.errors import InputError

FUNCTION = "load_balancing_loss_func"


def balance_loss(model: nn.Module, router_logits: tuple[Tensor, ...] | None) -> Tensor:
    """The family's own load-balancing loss over all tokens of a row, a float32 scalar without its coefficient.

    ``router_logits``: per layer ``[T, experts]``. With f the share of the tokens' choices that fall on an expert and P
    its mean probability, both over tokens and layers, it is ``experts * sum(f * P)``: the top-k's k where all is even
    (Fedus et al. 2022, Switch Transformer, eq. 4-6). A part that several sequences share counts once.

    Raises InputError for a model without routers or whose family has no such loss.
    """
    # Over the base classes too: wrapping a model in parallel makes a class of another module.
    modules = [sys.modules.get(kind.__module__) for kind in type(model).__mro__]
    function = next((found for m in modules if (found := getattr(m, FUNCTION, None))), None)
    if function is None or not router_logits:
        raise InputError(
            f"{type(model).__name__} has no load-balancing loss; leave the loss for routers out or choose a mixture "
            "of experts whose family has one."
        )
    return function(router_logits, model.num_experts, model.num_experts_per_tok).float()
