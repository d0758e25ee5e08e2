"""What a stage's result depends on, by name, so that a difference can be told and not only noticed."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, NamedTuple

MadeFrom = dict[str, Any]
"""Dotted name -> a value of JSON: settings, hashes of files and of the model, strop's version."""

WITHOUT_EFFECT = re.compile(
    r"stage\.train\.(checkpoint_every|keep_last|keep_every|keep_checkpoints|checkpoint_in_background|resume|max_hours|watchdog_minutes|compile|profile)"
    r"|stage\.grading\.(seconds|workers|max_failed)|stage\.rollout\.keep_every"
)
"""Settings that change when and how fast, not what; they are no part of the key."""
_MEASURED = re.compile(r"stage\.train\.(eval_every|tasks_every|tasks(\..*)?)|tasks(\..*)?|stage\.watch\..*")
"""What is measured and watched while a stage trains: of an effect only where the model depends on it."""
CONTINUABLE = re.compile(
    r"strop_version|stage\.train\.(epochs|max_steps|learning_rate|init_lr_frac|schedule|warmup_ratio|warmup_steps"
    r"|min_lr_ratio|decay_ratio|decay_shape|weight_decay|beta1|beta2|epsilon|muon_momentum|muon_scale|max_grad_norm"
    r"|max_bad_steps|on_bad_steps|max_rollbacks|rollback_lr|loss_spike|alarm"
    r"|eval_every|tasks_every|tasks(\..*)?|keep_best|micro_batch_tokens|gradient_checkpointing|offload_optimizer|label_smoothing|z_loss|dft|aux_loss"
    r"|groups\.\d+\.(learning_rate|lr_scale|weight_decay))"
    r"|tasks(\..*)?|stage\.watch\..*"
    r"|reward_files(\..*)?"  # a reward that was mended
    r"|eval_data(\..*)?|stage\.eval_data(\.(?!fraction|seed).*)?"  # a held-out share is taken from the data
)
"""What may change while a run goes on from its checkpoint; data, seed, model, adapters and template may not."""


class Change(NamedTuple):
    """One difference: a setting's dotted name and both values."""

    name: str
    before: Any
    now: Any

    def __str__(self) -> str:
        name = self.name.removeprefix("stage.")
        if self.name == "template_file" or _is_hash(self.before) or _is_hash(self.now):
            return f"{name}: its content changed"
        return f"{name} {_shown(self.before)} → {_shown(self.now)}"

    @property
    def continuable(self) -> bool:
        return CONTINUABLE.fullmatch(self.name) is not None


def key_of(made_from: MadeFrom) -> str:
    """A hash of all that has an effect."""
    content = {name: value for name, value in made_from.items() if _has_effect(name, made_from)}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def changes(before: MadeFrom, now: MadeFrom) -> list[Change]:
    """The differences that have an effect, sorted by name."""
    names = sorted(before.keys() | now.keys())
    found = [Change(n, before.get(n), now.get(n)) for n in names if before.get(n) != now.get(n)]
    return [one for one in found if _has_effect(one.name, before) or _has_effect(one.name, now)]


def _has_effect(name: str, made_from: MadeFrom) -> bool:
    if _MEASURED.fullmatch(name):
        return "stage.train.keep_best" in made_from or made_from.get("stage.watch.alarm") == "rollback"
    return not WITHOUT_EFFECT.fullmatch(name)


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{40,64}", value) is not None


def _shown(value: Any) -> str:
    if value is None:
        return "(not there)"
    if isinstance(value, float):
        return f"{value:g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text.replace("\n", "⏎")
    return text if len(text) <= 60 else text[:57] + "…"
