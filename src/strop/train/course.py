"""How a training run went: its evaluation losses, and what somebody should be warned of at its end."""

from __future__ import annotations

from typing import Any

MOVED = 0.005
"""Share of the loss on the first step's own examples below which nothing was learnt to speak of."""
WORSE = 0.1
"""Share by which that loss may rise before the run counts as diverged; a rise below 0.1 nats never does."""
RISEN = 0.02
"""Share by which the evaluation loss may be above its lowest before it counts as rising; 0.01 nats never do."""


def measured(totals: dict[str, Any], step: int, loss: float) -> str:
    """Keep an evaluation loss in ``totals["eval_loss"]``; returns the sentence that says it.

    There are ``start``, ``end``, ``best`` (nats), ``best_step`` and ``points``, pairs of step and loss.
    """
    kept = totals.setdefault("eval_loss", {"start": loss, "best": loss, "best_step": step, "points": []})
    kept["points"].append([step, loss])
    kept["end"] = loss
    if loss < kept["best"]:
        kept["best"], kept["best_step"] = loss, step
    first = kept["points"][0][0]
    since = "" if step == first else f", {kept['start']:.3f} at {'the start' if first == 0 else f'step {first}'}"
    return f"step {step} · eval loss {loss:.3f}{since}"


def warnings(totals: dict[str, Any], first_step: tuple[float, float] | None, *, exact: bool = True) -> list[str]:
    """Sentences about a run that went wrong without stopping.

    ``first_step``: the loss of the first step's examples before that step and after the last; None where it is not
    known. They are the same examples, so there is no noise of the draw in their difference; ``exact`` says that nothing
    else is in it either.
    """
    found = []
    if first_step is not None:
        before, after = first_step
        if after > before + max(0.1, WORSE * before):
            found.append(
                f"the model got worse at what it was trained on: {before:.3f} → {after:.3f} nats on the first step's "
                "examples. Lower learning_rate (a tenth is a good try)."
            )
        elif exact and abs(after - before) < MOVED * before:
            found.append(
                f"hardly anything was learnt: {before:.4f} → {after:.4f} nats on the first step's own examples. Raise "
                "learning_rate or train for longer (LoRA wants about ten times the rate of full fine-tuning)."
            )
    if kept := totals.get("eval_loss"):
        end, start, best = kept["end"], kept["start"], kept["best"]
        if _above(end, start):
            found.append(
                f"the evaluation loss rose from {start:.3f} to {end:.3f}: the data make the model worse there."
            )
        elif _above(end, best):
            found.append(
                f"the evaluation loss was lowest at step {kept['best_step']} ({best:.3f}) and rose to {end:.3f}: from "
                "there on examples were learnt by heart. Train for fewer epochs, or at a lower learning_rate."
            )
    return found


def kept(totals: dict[str, Any]) -> list[str]:
    """A sentence where the best weights of a run are those that it began with."""
    best = totals.get("best")
    if best is None or best["step"] or not totals["step"]:
        return []
    return [
        f"training did not improve {best['metric']}: it was {best['value']:.3f} at the start and {best['last']:.3f} at "
        f"step {best['last_step']}, so the model is as it came (keep_best). Train otherwise, or drop keep_best."
    ]


def _above(loss: float, before: float) -> bool:
    return loss > before + max(0.01, RISEN * before)
