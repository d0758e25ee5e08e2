"""The run in plain words: one sentence on what was trained for, one on what should have been kept, and what an interval
is, the same on the page and in the terminal."""

from dataclasses import dataclass
from typing import Literal

from strop.evals.gates import POWER, Gate, Outcome, decide, items_to_decide
from strop.report.files import EvalLoss, Interval, Summary
from strop.report.metrics import (
    change_interval_text,
    change_text,
    describe,
    interval_text,
    sample_texts,
    tone,
    value_text,
)
from strop.tasks.metrics import OTHER, Metric

ABOUT = (
    "Intervals are 95 %: of rates by Wilson's score interval, of a rate's change on the same items by Bonett and "
    "Price's, of losses by drawing whole conversations again 10,000 times (bootstrap). Where items come in families "
    "(variations of one problem), answers within one are alike, so an interval rests on the families. It speaks of "
    "other items of this kind, not of another training run with another seed."
)


Tone = Literal["better", "worse", "unclear"]


@dataclass(frozen=True)
class Verdict:
    """What is claimed, the numbers that it rests on, and how it should look."""

    claim: str
    evidence: str
    tone: Tone

    @property
    def sentence(self) -> str:
        """Claim and evidence together."""
        return f"{self.claim} {self.evidence}".strip()


def sentences(summary: Summary) -> list[str]:
    """What the run showed, for the terminal: the sentences at the top of the page and what its intervals are."""
    top = [headline(summary), *eval_losses(summary), forgetting(summary), *gates(summary)]
    said = dict.fromkeys(verdict.sentence for verdict in top if verdict is not None)  # each once, in order
    return [*said, *interval_notes(summary)]


def headline(summary: Summary) -> Verdict:
    """What happened to the metric that leads, with the interval of its change."""
    name = _leading(summary, _known(summary.before) & _known(summary.after))
    if name is None:
        return _one_sided(summary)
    metric, change, after = describe(name, summary.measures), summary.change.get(name, Interval()), summary.after[name]
    sample, feeling = " in ".join(sample_texts(after)), tone(metric, change)
    went = f"from {value_text(summary.before[name].value, metric.unit)} to {value_text(after.value, metric.unit)}"
    if feeling == "unknown":
        evidence = f"({sample}; the interval of the change was not measured).".replace("(; ", "(")
        return Verdict(f"{name} went {went}", evidence, "unclear")
    interval = f"95 % interval of the change {change_interval_text(change, metric.unit)}"
    evidence = f"({', '.join(part for part in (interval, sample) if part)})."
    if feeling == "unclear":
        return Verdict(f"No measurable change: {name} went {went}", evidence, "unclear")
    moved = "rose" if (change.low or 0.0) > 0 else "fell"
    return Verdict(f"{name} {moved} {went}", evidence, "unclear" if feeling == "moved" else feeling)


def forgetting(summary: Summary) -> Verdict | None:
    """Whether the metrics that should be kept stayed within their bounds; None where none was measured twice.

    The interval of the change decides (`strop.evals.gates`), never the estimate alone. What has a gate is in `gates`.
    """
    parts: list[str] = []
    found: dict[Outcome, list[str]] = {"within": [], "out": [], "open": []}
    for name, bound in kept_bounds(summary).items():
        change, metric = summary.change.get(name, Interval()), describe(name, summary.measures)
        if change.value is None:
            continue
        found[decide(change, metric.better, bound)].append(name)
        interval = change_interval_text(change, metric.unit)
        measured = f"{change_text(change.value, metric.unit)} ({interval or 'interval not known'})"
        parts.append(f"{name} {measured}, allowed {change_text(-metric.better * bound, metric.unit)}")
    if not parts:
        return None
    evidence = "; ".join(parts) + "."
    undecided = " and ".join(found["open"])
    if found["out"]:
        more = f", and not decided in {undecided}" if undecided else ""
        return Verdict(f"Forgetting is out of bounds in {' and '.join(found['out'])}{more}:", evidence, "worse")
    if undecided:
        reach = "interval does" if len(found["open"]) == 1 else "intervals do"
        claim = f"Whether forgetting is in bounds is not decided: the {reach} not rule out more in {undecided}:"
        return Verdict(claim, evidence, "unclear")
    return Verdict("Forgetting stayed in bounds:", evidence, "better")


def gates(summary: Summary) -> list[Verdict]:
    """A sentence for each of the recipe's gates."""
    return [
        gate_verdict(name, gate, describe(name, summary.measures), summary.change.get(name, Interval()))
        for name, gate in summary.gates.items()
    ]


def gate_verdict(name: str, gate: Gate, metric: Metric, change: Interval) -> Verdict:
    """What became of one gate, with the change that it rests on."""
    feeling: Tone = "worse" if gate.failed else "better" if gate.outcome == "within" else "unclear"
    if gate.allowed is None:
        return Verdict(f"Gate {name} failed:", "it was not measured on both sides, so nothing is known of it.", feeling)
    interval = change_interval_text(change, metric.unit) or "interval not known"
    evidence = f"{change_text(change.value, metric.unit)} ({interval}), "
    evidence += f"allowed {change_text(-gate.better * gate.allowed, metric.unit)}"
    if gate.outcome != "open":
        return Verdict(f"Gate {name} {'failed' if gate.failed else 'passed'}:", f"{evidence}.", feeling)
    what = f"it fails, as the gate says (undecided: {gate.undecided})" if gate.failed else "it passes"
    seen = "" if change.n is None else f" with {change.n:,} item{'' if change.n == 1 else 's'}"
    return Verdict(f"Gate {name} cannot be told{seen}, and {what}:", f"{evidence}; {_would(gate, change)}.", feeling)


def _would(gate: Gate, change: Interval) -> str:
    """How many items would decide a gate that is open, in words."""
    if not gate.allowed:
        return "that nothing at all is lost can be shown by no number of items: allow something"
    needed = None if change.n is None else items_to_decide(change, change.n, gate.allowed)
    if change.n is None or needed is None:
        return "how many items would do is not known"
    cases = f"in {100 * POWER:.0f} % of cases"
    if needed > change.n:
        return f"{needed:,} would do to show {cases} that nothing changed"
    return f"{needed:,} show {cases} that nothing changed, so measure others as well"


def eval_losses(summary: Summary) -> list[Verdict]:
    """A sentence for each training stage whose evaluation loss was measured."""
    return [_eval_loss(stage, one, one.end) for stage, one in summary.eval_loss.items() if one.end is not None]


def _eval_loss(stage: str, one: EvalLoss, last: float) -> Verdict:
    start, end, best = (value_text(value, "nats") for value in (one.start, last, one.best))
    if one.start is None:
        moved = f"is {end}"
    elif start == end:
        moved = f"stayed at {end}"
    else:
        moved = f"{'fell' if last < one.start else 'rose'} from {start} to {end}"
    lowest = ""
    if one.best is not None and one.best < last and best != end:
        lowest = f"; the lowest was {best}" + (f" at step {one.best_step:,}" if one.best_step is not None else "")
    return Verdict(f"The evaluation loss of {stage} {moved}", f"({one.unit} of eval_data{lowest}).", "unclear")


def _one_sided(summary: Summary) -> Verdict:
    when = {"before": "Before training", "after": "After training", "measured": summary.stages.when or "Measured once"}
    for part, said in when.items():
        estimates = getattr(summary, part)
        if (name := _leading(summary, _known(estimates))) is not None:
            one, unit = estimates[name], describe(name, summary.measures).unit
            interval = f"95 % interval {text}" if (text := interval_text(one, unit)) else ""
            sample = " in ".join(sample_texts(one))
            evidence = "; ".join(part for part in (interval, sample, "there is nothing to compare it with") if part)
            claim = f"{said[0].upper()}{said[1:]}, {name} is {value_text(one.value, unit)}"
            return Verdict(claim, f"({evidence}).", "unclear")
    losses = eval_losses(summary)
    if losses:
        return losses[0]
    if summary.measures:  # which a training has too that measures tasks
        return Verdict(
            "Measured while training, and by no eval stage", "(see the stage's facts and curves).", "unclear"
        )
    return Verdict("Nothing was measured in this run.", "", "unclear")


def _leading(summary: Summary, names: set[str]) -> str | None:
    """The metric to lead with: the lowest ``lead``, strop's own before a user's; else one that has a direction, or
    any."""
    metrics = {name: describe(name, summary.measures) for name in names}
    led = [(m.lead, m.group == OTHER, name) for name, m in metrics.items() if m.lead is not None]
    if led:
        return min(led)[-1]
    return min(names, key=lambda name: (metrics[name].better == 0, name), default=None)


def _known(estimates: dict[str, Interval]) -> set[str]:
    return {name for name, one in estimates.items() if one.value is not None}


def kept_bounds(summary: Summary) -> dict[str, float]:
    """Per metric that has a direction and no gate, the worsening that its task allows."""
    names = {*summary.change, *summary.bounds} - summary.gates.keys()
    metrics = {name: describe(name, summary.measures) for name in names}
    bounds = {name: summary.bounds.get(name, metric.bound) for name, metric in sorted(metrics.items()) if metric.better}
    return {name: bound for name, bound in bounds.items() if bound is not None}


def interval_notes(summary: Summary) -> list[str]:
    """Sentences about the intervals of a run; none where nothing was measured."""
    measured = {**summary.before, **summary.after, **summary.measured}
    if not measured:
        return []
    unknown = sorted(name for name, one in measured.items() if one.value is not None and one.low is None)
    if not unknown:
        return [ABOUT]
    return [ABOUT, f"Not known is the interval of {', '.join(unknown)}: it rests on a single family or conversation."]
