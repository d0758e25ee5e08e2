"""The run in plain words: one sentence on what was trained for, one on what should have been kept."""

from dataclasses import dataclass
from typing import Literal

from strop.report.files import Estimate, Summary
from strop.report.metrics import change_interval_text, change_text, describe, sample_texts, tone, value_text

HEADLINES = ("accepted@1", "humaneval_pass@1", "exec_success_rate", "pass_ratio", "general_chat_loss")


@dataclass(frozen=True)
class Verdict:
    """What is claimed, the numbers that it rests on, and how it should look."""

    claim: str
    evidence: str
    tone: Literal["better", "worse", "unclear"]

    @property
    def sentence(self) -> str:
        """Claim and evidence together."""
        return f"{self.claim} {self.evidence}".strip()


def headline(summary: Summary) -> Verdict:
    """What happened to the first metric of ``HEADLINES`` that was measured, with the interval of its change."""
    name = next((name for name in HEADLINES if _known(summary.before, name) and _known(summary.after, name)), None)
    if name is None:
        return _one_sided(summary)
    metric, change = describe(name), summary.change.get(name, Estimate())
    before, after = summary.before[name], summary.after[name]
    old, new, sample = (
        value_text(before.value, metric.unit),
        value_text(after.value, metric.unit),
        " in ".join(sample_texts(after)),
    )
    feeling = tone(metric, change)
    if feeling == "unknown":
        evidence = f"({sample}; the interval of the change was not measured)".replace("(; ", "(")
        return Verdict(f"{name} went from {old} to {new}", evidence + ".", "unclear")
    interval = f"95 % interval of the change {change_interval_text(change, metric.unit)}"
    evidence = f"({', '.join(part for part in (interval, sample) if part)})."
    if feeling == "unclear":
        return Verdict(f"No measurable change: {name} went from {old} to {new}", evidence, "unclear")
    return Verdict(f"{name} {'rose' if change.low > 0 else 'fell'} from {old} to {new}", evidence, feeling)


def forgetting(summary: Summary) -> Verdict | None:
    """Whether the metrics that should be kept stayed within their bounds; None where none was measured twice.

    Worsening is judged against the bound by the estimate and by the bad end of its interval: a metric whose estimate is
    inside but whose interval reaches past the bound is said to be open, not fine.
    """
    parts, broken, unsure = [], [], []
    for name, bound in kept_bounds(summary).items():
        change, metric = summary.change.get(name, Estimate()), describe(name)
        if change.value is None:
            continue
        worst = [-metric.better * end for end in (change.low, change.high) if end is not None]
        if -metric.better * change.value > bound:
            broken.append(name)
        elif len(worst) < 2 or max(worst) > bound:
            unsure.append(name)
        interval = change_interval_text(change, metric.unit)
        measured = f"{change_text(change.value, metric.unit)}{f' ({interval})' if interval else ''}"
        parts.append(f"{name} {measured}, allowed {change_text(-metric.better * bound, metric.unit)}")
    if not parts:
        return None
    evidence = "; ".join(parts) + "."
    if broken:
        return Verdict(f"Forgetting is out of bounds in {' and '.join(broken)}:", evidence, "worse")
    if unsure:
        names = " and ".join(unsure)
        claim = f"Forgetting is in bounds by the estimates, but the interval of {names} does not rule out more:"
        return Verdict(claim, evidence, "unclear")
    return Verdict("Forgetting stayed in bounds:", evidence, "better")


def kept_bounds(summary: Summary) -> dict[str, float]:
    """Per metric that has a direction, the worsening allowed: the recipe's bound, else the default of that metric."""
    names = {*(name for name in summary.change if describe(name).bound is not None), *summary.bounds}
    return {name: summary.bounds.get(name, describe(name).bound) for name in sorted(names) if describe(name).better}


def _one_sided(summary: Summary) -> Verdict:
    for when, estimates in (("Before training", summary.before), ("After training", summary.after)):
        for name in HEADLINES:
            if _known(estimates, name):
                sample = " in ".join(sample_texts(estimates[name]))
                claim = f"{when}, {name} is {value_text(estimates[name].value, describe(name).unit)}"
                return Verdict(
                    claim, f"({sample}{'; ' if sample else ''}there is nothing to compare it with).", "unclear"
                )
    return Verdict("Nothing was measured in this run.", "", "unclear")


def _known(estimates: dict[str, Estimate], name: str) -> bool:
    return name in estimates and estimates[name].value is not None
