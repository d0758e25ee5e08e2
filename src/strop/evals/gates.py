"""How far a metric may fall, and whether it did: the bounds that tasks come with, and the gates of a recipe.

A bound of a task is said in the report. A gate of a recipe (``gates:``) or of ``strop compare --gate`` is the same
thing with the user's own limit; one that fails gives exit code 3. The interval of the change on the same items decides
for both (`decide`): proven within, proven out, or open. An open one passes, and says that it cannot be told, unless it
has ``undecided: fail``: then the model must be shown not to be worse (a non-inferiority test at the 2.5 % level).
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from strop.common.errors import InputError
from strop.tasks.metrics import Metric

Outcome = Literal["within", "out", "open"]
POWER = 0.8
"""The share of evaluations that are to show what is so."""


class Interval(Protocol):
    """Both ends of a 95 % interval; None where it is not known."""

    @property
    def low(self) -> float | None: ...

    @property
    def high(self) -> float | None: ...


def _limit(value: Any) -> Any:
    """``5%`` of the value before as it stands; anything else is to be a number."""
    if isinstance(value, str) and re.fullmatch(r"\s*\d+(\.\d+)?\s*%\s*", value):
        return "".join(value.split())
    try:
        number = float(value)
    except (TypeError, ValueError):
        said = "expected a number in the metric's unit (0.05 of a rate is 5 points) or 5%"
        raise ValueError(f"{said}, found {value!r}.") from None
    if not 0 <= number < float("inf"):
        raise ValueError(f"expected a number of at least 0, found {value!r}.")
    return number


Limit = Annotated[float | str, BeforeValidator(_limit)]


class GateSettings(BaseModel):
    """How far one metric may move the wrong way."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    max_drop: Limit | None = Field(None, description="Largest fall allowed: 0.05 (of a rate: 5 points), or 5%.")
    max_rise: Limit | None = Field(None, description="Largest rise allowed, for losses: 0.05 nats, or 5%.")
    undecided: Literal["pass", "fail"] = Field("pass", description="What becomes of it where the interval is too wide.")

    @model_validator(mode="after")
    def _one(self) -> GateSettings:
        if (self.max_drop is None) == (self.max_rise is None):
            raise ValueError("a gate has max_drop or max_rise, and not both.")
        return self

    @property
    def better(self) -> Literal[1, -1]:
        """The direction that it lets pass."""
        return 1 if self.max_rise is None else -1

    def allowed(self, before: float) -> float:
        """The worsening allowed from ``before`` on, in the metric's unit."""
        limit = self.limit
        return float(limit[:-1]) / 100 * abs(before) if isinstance(limit, str) else limit

    @property
    def limit(self) -> float | str:
        """The one that is given: in the metric's unit, or as ``5%`` of the value before."""
        given = self.max_drop if self.max_rise is None else self.max_rise
        return 0.0 if given is None else given


@dataclass(frozen=True)
class Gate:
    """A gate as it came out. ``allowed``: the worsening that it allows, in the metric's unit; None where the metric was
    not measured on both sides, so that nothing is known."""

    better: Literal[1, -1]
    allowed: float | None
    outcome: Outcome
    undecided: Literal["pass", "fail"]

    @property
    def failed(self) -> bool:
        """One that was not measured fails: nobody would notice otherwise."""
        return self.outcome == "out" or (self.outcome == "open" and (self.undecided == "fail" or self.allowed is None))


def decide(change: Interval, better: int, bound: float) -> Outcome:
    """``within``: the whole interval of the change is no worse than ``bound``; ``out``: the whole interval is worse;
    ``open``: it reaches past the bound, or is not known."""
    if change.low is None or change.high is None or change.low != change.low:
        return "open"
    worse = sorted(-better * end for end in (change.low, change.high))
    if worse[1] <= bound:
        return "within"
    return "out" if worse[0] > bound else "open"


def items_to_decide(change: Interval, n: int, bound: float) -> int | None:
    """Items, like the ``n`` seen, with which a change of 0 is shown to be within ``bound`` in `POWER` of evaluations.

    m = n ((z_{97.5 %} + z_{power}) s / bound)^2, with s the standard error of the change, read off its 95 % interval.
    None where that is not known, and for a bound of 0, which no number shows.
    """
    if change.low is None or change.high is None or math.isnan(change.low) or bound == 0:
        return None
    normal = NormalDist()
    error = (change.high - change.low) / (2 * normal.inv_cdf(0.975))
    return math.ceil(n * ((normal.inv_cdf(0.975) + normal.inv_cdf(POWER)) * error / bound) ** 2)


def judge_gate(settings: GateSettings, before: float | None, change: Interval | None) -> Gate:
    """What became of a gate, from the value before and the change; None for what was not measured."""
    if before is None or change is None:
        return Gate(settings.better, None, "open", settings.undecided)
    allowed = settings.allowed(before)
    return Gate(settings.better, allowed, decide(change, settings.better, allowed), settings.undecided)


def named_gates(
    gates: Mapping[str, GateSettings], tasks: Mapping[str, Sequence[str]], measures: Mapping[str, Metric]
) -> dict[str, GateSettings]:
    """The gates by the metrics' full names. ``tasks``: the metrics of each task; ``measures``: what each is.

    Raises InputError for a metric that is not measured, or whose worse direction is the other.
    """
    found: dict[str, GateSettings] = {}
    for given, gate in gates.items():
        name = metric_named(given, tasks, "gates.")
        if name in found:
            raise InputError(f"gates.{given}: {name} has a gate already; keep one of the two.")
        if name in measures and measures[name].better == -gate.better:
            right = "max_rise" if gate.max_rise is None else "max_drop"
            raise InputError(f"gates.{given}: {name} gets worse the other way; write {right}.")
        if name in measures:
            check_limit(gate, measures[name], f"gates.{given}")
        found[name] = gate
    return found


def check_limit(gate: GateSettings, metric: Metric, place: str) -> None:
    """Raises InputError, beginning with ``place``, for more than a rate can move: such a gate lets everything pass."""
    limit = gate.limit
    if isinstance(limit, float):
        check_in_unit(limit, metric, f"{place}: {'max_drop' if gate.max_rise is None else 'max_rise'}")
    elif metric.unit == "rate" and gate.max_rise is None and float(limit[:-1]) > 100:
        raise InputError(f"{place}: max_drop is {limit} of what it was before; give at most 100%.")


def check_in_unit(change: float, metric: Metric, place: str) -> None:
    """Raises InputError, beginning with ``place``, for a change of a rate by more than 1."""
    if metric.unit == "rate" and change > 1:
        raise InputError(
            f"{place} is {change:g}, and {metric.name} is a rate, from 0 to 1; {change:g} points is {change / 100:g}."
        )


def metric_named(given: str, tasks: Mapping[str, Sequence[str]], place: str = "") -> str:
    """The metric that a user means: by its full name (humaneval_pass@1), as task.metric (humaneval.pass@1), or by the
    end of its name where only one ends so (chat_loss).

    Raises InputError where there is none, or more than one.
    """
    known = [metric for several in tasks.values() for metric in several]
    if given in known:
        return given
    meant = [
        metric
        for task, several in tasks.items()
        if given.startswith(f"{task}.")
        for metric in several
        if metric.removeprefix(f"{task}_") == given.removeprefix(f"{task}.")
    ]
    meant = meant or [metric for metric in known if metric.endswith(f"_{given}")]
    if len(meant) == 1:
        return meant[0]
    near = difflib.get_close_matches(given.replace(".", "_"), known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"measured are {', '.join(known) or 'none'}."
    raise InputError(f"{place}{given}: no metric that is measured has this name; {hint}")


def read_gate(text: str) -> tuple[str, GateSettings]:
    """``humaneval.pass@1:max_drop=0.05`` or ``…:max_drop=5%,undecided=fail``: a metric and its gate.

    Raises InputError for what is not written so.
    """
    name, colon, rest = text.rpartition(":")
    parts = [part.partition("=") for part in rest.split(",")]
    if not colon or not name or not all(equals for _, equals, _ in parts):
        raise InputError(f"--gate {text!r}: write METRIC:max_drop=NUMBER, e.g. humaneval.pass@1:max_drop=0.05.")
    try:
        return name, GateSettings.model_validate({key.strip(): value.strip() for key, _, value in parts})
    except ValidationError as error:
        found = [(".".join(map(str, e["loc"])) or name, e["msg"].removeprefix("Value error, ")) for e in error.errors()]
        raise InputError(f"--gate {text!r}: {'; '.join(f'{where}: {what}' for where, what in found)}") from None
