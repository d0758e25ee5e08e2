"""Curves over steps as small multiples, of one training or of several runs, and the words for what is logged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from strop.report.charts import (
    ROLES,
    at_most,
    inline_svg,
    new_figure,
    px_axes,
    series,
    smoothed,
    smoothing_span,
    thinned,
)
from strop.report.files import LoggedStep
from strop.report.metrics import describe, in_order
from strop.tasks.metrics import FAILED, Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 360, 168
QUANTILES = ("_p10", "_p50", "_p90")  # of what is logged, behind its name
# Told apart without colour: how the line is drawn, in the page's colours.
LOOKS = (("after", "solid"), ("ink", "dashed"), ("before", "dotted"), ("dim", "dashdot"))
_STYLES = ("solid", "dashed", "dotted", "dashdot")
RUN_LOOKS = tuple((f"run-{1 + n % 4}", _STYLES[(n + n // 4) % 4]) for n in range(8))


@dataclass(frozen=True)
class Panel:
    """A small chart: its title, the unit of its axis (``rate``: in percent), and its lines (metric → label)."""

    title: str
    unit: str
    lines: dict[str, str]


REWARD = Panel("reward", "", {"reward": "mean over the answers of a batch"})
PANELS = (
    Panel(
        "right answers",
        "rate",
        {"rollout/pass_rate": "answers that are right", "rollout/group_pass_rate": "groups with a right answer"},
    ),
    Panel(
        "groups that teach little",
        "rate",
        {"rollout/no_spread": "groups with equal rewards", "rollout/dropped": "groups dropped"},
    ),
    Panel(
        "KL divergence",
        "nats per token",
        {"rollout/kl_to_reference": "to the reference", "kl_old": "to the policy that sampled"},
    ),
    Panel("entropy", "nats per token", {"entropy": "of the policy", "rollout/entropy": "as sampled"}),
    Panel("clipped tokens", "rate", {"clip_fraction_low": "at the lower bound", "clip_fraction_high": "at the upper"}),
    Panel("sampler and trainer", "nats per token", {"rollout/mismatch": "mean difference of log-probabilities"}),
    Panel("answer length", "tokens", {"rollout/length": "mean", "rollout/length_max": "longest"}),
    Panel(
        "how answers end", "rate", {"rollout/stop_rate": "end by themselves", "rollout/truncated": "cut at the limit"}
    ),
    Panel(
        "turns and segments",
        "in a trajectory",
        {"rollout/turns": "turns of the model", "rollout/segments": "segments that are trained"},
    ),
    Panel(
        "tool calls",
        "in a trajectory",
        {
            "rollout/calls": "calls",
            "rollout/malformed": "that are malformed",
            "rollout/failed": "that failed",
            "rollout/exhausted": "beyond max_calls",
        },
    ),
    Panel("out of turns", "rate", {"rollout/out_of_turns": "no turn was left"}),
    Panel("one text for all", "rate", {"rollout/most_common_answer": "share of the most common answer"}),
    Panel("answers without a reward", "rate", {"failed": "a part of the reward failed"}),
    Panel("values", "rate", {"rollout/value_explained": "variance of the returns that they explain"}),
    Panel("loss", "", {"loss": "of the objective"}),
    Panel("gradient", "", {"grad_norm": "norm before clipping"}),
    Panel("learning rate", "", {"lr": "learning rate"}),
)
SECONDS = {
    "seconds/rollout": "sampling",
    "seconds/reward": "rewards",
    "seconds/measure": "log-probabilities before",
    "seconds/train": "training",
}
ALWAYS = {"rollout/pass_rate", "rollout/no_spread", "reward"}  # of interest also where they are 0 throughout


def other_curves(stage: str, steps: list[LoggedStep]) -> list[dict[str, Any]]:
    """As `curves`, of a training on given examples what its loss does not show: the metrics of its objective."""
    panels = [*_evaluated(steps), Panel("gradient", "", {"grad_norm": "norm before clipping"})]
    drawn = [(panel, _lines(panel, steps)) for panel in panels]
    return [_panel(f"{stage}-more-{at}", panel, lines) for at, (panel, lines) in enumerate(drawn) if lines]


def curves_of_runs(name: str, runs: Mapping[str, list[LoggedStep]]) -> list[dict[str, Any]]:
    """As `curves`, each metric of a stage that several runs have, a line for each run: at most ``len(RUN_LOOKS)``."""
    every = [step for steps in runs.values() for step in steps]
    panels = [Panel("loss", "", {"loss": ""}), Panel("evaluation loss", "", {"eval_loss": ""})]
    panels += [
        Panel(f"{one.title}, {label}" if len(one.lines) > 1 else one.title, one.unit, {metric: ""})
        for one in (*_evaluated(every), REWARD, *_parts(every), *PANELS)
        for metric, label in one.lines.items()
        if metric != "loss"
    ]
    found: list[dict[str, Any]] = []
    for panel in panels:
        [metric] = panel.lines
        lines = {run: points for run, steps in runs.items() if len(points := series(steps, metric))}
        if any(points[:, 1].any() for points in lines.values()):
            looks = [RUN_LOOKS[list(runs).index(run)] for run in lines]
            found.append(_panel(f"{name}-{len(found)}", panel, lines, looks))
    return found


def _evaluated(steps: list[LoggedStep]) -> Iterator[Panel]:
    """A panel for each metric beside the loss that was measured on held-out examples."""
    names = dict.fromkeys(n for one in steps for n in one.others if n.startswith("eval_"))
    for name in names:
        metric = name.removeprefix("eval_")
        unit = "rate" if metric.endswith("accuracy") else ""
        yield Panel(metric.replace("_", " "), unit, {metric: "training", name: "held out"})


def _lines(panel: Panel, steps: list[LoggedStep]) -> dict[str, np.ndarray]:
    return {label: points for name, label in panel.lines.items() if len(points := series(steps, name))}


def curves(stage: str, steps: list[LoggedStep]) -> tuple[list[dict[str, Any]], list[str]]:
    """The charts of a stage in reading order: ``title``, ``unit``, ``keys`` (legend: colour, line, label, first → last)
    and ``chart``; and the titles of those that are not drawn, since they are 0 throughout. What was not logged is in
    neither."""
    found: list[dict[str, Any]] = []
    still: list[str] = []
    for panel in (REWARD, *_parts(steps), *PANELS):
        if panel == PANELS[0]:
            found += _spreads(f"{stage}-spread", steps)
        lines = _lines(panel, steps)
        if lines and (ALWAYS & panel.lines.keys() or any(points[:, 1].any() for points in lines.values())):
            found.append(_panel(f"{stage}-{len(found)}", panel, lines))
        elif lines:
            still.append(panel.title)
    time = _time(f"{stage}-time", steps)
    return [*found, time] if time else found, still


def task_curves(stage: str, steps: list[LoggedStep], measures: Mapping[str, Metric]) -> list[dict[str, Any]]:
    """The charts of the tasks that a training measured: one for each metric that has a direction, with its 95 %
    intervals; as `curves` gives them."""
    prefix, ends = "tasks/", ("_low", "_high")
    logged = dict.fromkeys(name for one in steps for name in one.others if name.startswith(prefix))
    names = [
        name for name in logged if not any(name.endswith(end) and name.removesuffix(end) in logged for end in ends)
    ]
    found: list[dict[str, Any]] = []
    for name in in_order([name.removeprefix(prefix) for name in names], measures):
        metric = describe(name, measures)
        if not metric.better or metric.group == FAILED:
            continue
        at = {one.step: [one.others.get(f"{prefix}{name}{end}") for end in ("", *ends)] for one in steps}
        points = [(step, *values) for step, values in sorted(at.items()) if values[0] is not None]
        unit = "rate" if metric.unit == "rate" else "nats" if metric.unit == "nats" else ""
        found.append(_measured(f"{stage}-task-{len(found)}", name, unit, points))
    return found


def _measured(name: str, title: str, unit: str, points: list[tuple[Any, ...]]) -> dict[str, Any]:
    """Points (step, value, low, high) as dots with whiskers; an end may be None."""
    figure = new_figure(WIDTH, HEIGHT)
    axes = _axes(figure, points[-1][0])
    whiskers = [(step, low, high) for step, _, low, high in points if low is not None and high is not None]
    for step, low, high in whiskers:
        axes.plot([step, step], [low, high], color=ROLES["before"], linewidth=2, alpha=0.6, clip_on=False)
    steps, values = [one[0] for one in points], [one[1] for one in points]
    axes.plot(steps, values, "o-", color=ROLES["after"], linewidth=2, markersize=5, clip_on=False)
    every = [*values, *(end for _, low, high in whiskers for end in (low, high))]
    margin = 0.08 * (max(every) - min(every)) or 0.1 * abs(max(every)) or 0.1
    axes.set_ylim(min(every) - margin, max(every) + margin)
    if unit == "rate":
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}\N{NO-BREAK SPACE}%")
    change = " → ".join(_short(value, unit) for value in (values[:1] if len(values) == 1 else (values[0], values[-1])))
    chart = inline_svg(figure, name, f"{title} over steps, with 95 % intervals: {change}", "small-multiple")
    keys = [("after", "solid", "at each measurement", change), ("before", "solid", "95 % interval", "")]
    return {"title": title, "unit": "" if unit == "rate" else unit, "keys": keys, "chart": chart}


def _parts(steps: list[LoggedStep]) -> Iterator[Panel]:
    """A panel for each part of the reward: each has a scale of its own."""
    names = dict.fromkeys(n for one in steps for n in one.others if n.startswith("reward/"))
    for name in names:
        if not any(name.endswith(end) and name.removesuffix(end) in names for end in ("_std", *QUANTILES)):
            yield Panel(f"reward: {name.removeprefix('reward/')}", "", {name: "mean score, before its weight"})


def _spreads(stage: str, steps: list[LoggedStep]) -> Iterator[dict[str, Any]]:
    """Charts of how rewards, their parts and advantages lie in a batch, each where it was logged and there is a spread;
    of a part that is the whole reward none."""
    parts = [name for panel in _parts(steps) for name in panel.lines]
    titles = {"reward": "spread of the reward", "rollout/advantage": "spread of the advantages"}
    titles |= {name: f"spread of reward: {name.removeprefix('reward/')}" for name in (parts if len(parts) > 1 else ())}
    for at, (name, title) in enumerate(titles.items()):
        each = [series(steps, f"{name}{end}") for end in QUANTILES]
        if all(map(len, each)) and (each[0][:, 1] != each[-1][:, 1]).any():
            yield _spread(f"{stage}-{at}", title, "tokens" if name == "rollout/advantage" else "answers", each)


def _spread(name: str, title: str, what: str, each: Sequence[np.ndarray]) -> dict[str, Any]:
    """Three quantiles over steps, ``[points, 2]`` each: the median, and an area between the outer ones."""
    figure = new_figure(WIDTH, HEIGHT)
    low, middle, high = (thinned(smoothed(points)) for points in each)
    axes = _axes(figure, float(low[-1, 0]))
    if len(low) == 1:
        axes.plot([low[0, 0]] * 2, [low[0, 1], high[0, 1]], color=ROLES["before"], linewidth=4, alpha=0.55)
        axes.plot(*middle.T, "o", color=ROLES["after"], markersize=5)
    axes.fill_between(low[:, 0], low[:, 1], high[:, 1], color=ROLES["before"], alpha=0.55, linewidth=0)
    axes.plot(*middle.T, color=ROLES["after"], linewidth=2)
    axes.set_ylim(*_limits([points[:, 1] for points in each], ""))
    ends = [f"{_short(a, '')} to {_short(b, '')}" for a, b in zip(low[[0, -1], 1], high[[0, -1], 1], strict=True)]
    keys = [
        ("after", "solid", f"median of the {what}", _change(middle, "")),
        ("before", "area", f"four fifths of the {what} (10 to 90 %)", " → ".join(dict.fromkeys(ends))),
    ]
    said = "; ".join(f"{label}: {change}" for *_, label, change in keys)
    chart = inline_svg(figure, name, f"{title} over steps. {said}", "small-multiple")
    return {"title": title, "unit": "", "keys": keys, "chart": chart}


def _panel(
    name: str, panel: Panel, lines: dict[str, np.ndarray], looks: Sequence[tuple[str, str]] = LOOKS
) -> dict[str, Any]:
    figure = new_figure(WIDTH, HEIGHT)
    axes = _axes(figure, max(float(points[-1, 0]) for points in lines.values()))
    keys = []
    for (role, style), (label, points) in zip(looks, lines.items(), strict=False):
        if len(points) > smoothing_span(len(points)):
            axes.plot(*thinned(points).T, color=ROLES[role], linewidth=0.8, alpha=0.35)
        means = smoothed(points)
        axes.plot(*thinned(means).T, color=ROLES[role], linewidth=2, linestyle=style)
        if len(points) == 1:
            axes.plot(*points.T, "o", color=ROLES[role], markersize=5)
        keys.append((role, style, label, _change(means, panel.unit)))
    axes.set_ylim(*_limits([points[:, 1] for points in lines.values()], panel.unit))
    if panel.unit == "rate":
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}\N{NO-BREAK SPACE}%")
    said = "; ".join(f"{label}: {change}" for *_, label, change in keys)
    chart = inline_svg(figure, name, f"{panel.title} over steps. {said}", "small-multiple")
    return {"title": panel.title, "unit": "" if panel.unit == "rate" else panel.unit, "keys": keys, "chart": chart}


def _time(name: str, steps: list[LoggedStep]) -> dict[str, Any] | None:
    """Where the time of a batch goes, as shares; updates after a batch's first are training."""
    rows: dict[int, dict[str, float]] = {}
    at = None
    for step in sorted({one.step: one for one in steps if one.loss is not None}.values(), key=lambda one: one.step):
        logged = step.others
        if "seconds/rollout" in logged:
            at = rows.setdefault(step.step, {key: logged.get(key) or 0.0 for key in SECONDS})
        elif at is not None:
            at["seconds/train"] += logged.get("seconds") or 0.0
    if not rows:
        return None
    at_steps = np.array(list(rows), dtype=float)
    seconds = np.array([[row[key] for key in SECONDS] for row in rows.values()])
    shares = seconds / np.maximum(seconds.sum(axis=1, keepdims=True), 1e-12)
    shares = np.column_stack([smoothed(np.column_stack([at_steps, one]))[:, 1] for one in shares.T])
    drawn = thinned(np.column_stack([at_steps, shares]))
    if len(drawn) == 1:  # an area needs two ends
        drawn = np.repeat(drawn, 2, axis=0) + np.array([[-0.4], [0.4]]) * np.eye(1, drawn.shape[1])
    figure = new_figure(WIDTH, HEIGHT)
    axes = _axes(figure, float(at_steps[-1]))
    whole = seconds.sum(axis=0) / max(seconds.sum(), 1e-12)
    base, keys = np.zeros(len(drawn)), []
    for (role, _), label, share, column in zip(LOOKS, SECONDS.values(), whole, drawn[:, 1:].T, strict=True):
        alpha = 0.85 if role == "after" else 0.55
        axes.fill_between(drawn[:, 0], base, base + column, color=ROLES[role], alpha=alpha, linewidth=0)
        axes.plot(drawn[:, 0], base + column, color=ROLES["panel"], linewidth=1.5)
        if share > 0.12:
            middle = len(drawn) // 2
            x, y = float(drawn[middle, 0]), float(base[middle] + column[middle] / 2)
            axes.text(x, y, label, ha="center", va="center", fontsize=11, color=ROLES["on-time"])
        base = base + column
        keys.append((role, "area", label, f"{100 * share:.0f}\N{NO-BREAK SPACE}%"))
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}\N{NO-BREAK SPACE}%")
    said = "; ".join(f"{label}: {share}" for *_, label, share in keys)
    chart = inline_svg(figure, name, f"Where the time goes, share of each part over steps. {said}", "small-multiple")
    return {"title": "where the time goes", "unit": "", "keys": keys, "chart": chart}


def _axes(figure: Any, last: float) -> Axes:
    axes = px_axes(figure, 52, 10, 8, HEIGHT - 26)
    axes.grid(color=ROLES["line"], linewidth=1)
    axes.set_xlim(0, max(1, last))
    at_most(5, axes.xaxis, integer=True)
    at_most(4, axes.yaxis)
    return axes


def _limits(values: list[np.ndarray], unit: str) -> tuple[float, float]:
    """Room for the smoothed curves and all but the wildest fiftieth of the points; shares end at 0 and 1."""
    means = [smoothed(np.column_stack([one, one]))[:, 1] for one in values]
    low = min(min(np.quantile(one, 0.02), mean.min()) for one, mean in zip(values, means, strict=True))
    high = max(max(np.quantile(one, 0.98), mean.max()) for one, mean in zip(values, means, strict=True))
    margin = 0.08 * (high - low) or 0.1 * abs(high) or 0.1
    low, high = low - margin, high + margin
    if unit == "rate":
        return max(-0.02, low), min(1.02, high)
    return (max(-0.05 * high, low) if min(one.min() for one in values) >= 0 else low), high


def _change(points: np.ndarray, unit: str) -> str:
    """The smoothed curve's ends, so that one batch's luck is not the message."""
    ends = [_short(value, unit) for value in points[[0, -1], 1]]
    return " → ".join(dict.fromkeys(ends))


def _short(value: float, unit: str) -> str:
    if unit == "rate":
        return f"{100 * value:.1f}\N{NO-BREAK SPACE}%"
    return (f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}").replace("-", "\N{MINUS SIGN}")
