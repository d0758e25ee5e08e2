"""From a run folder to ``report.html``: what the page says is put together here, its look in the files beside."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from strop.common.files import atomic_writer
from strop.report import items, metrics
from strop.report.alarms import alarms, failures
from strop.report.charts import loss_chart, metrics_chart, series, smoothing_span
from strop.report.curves import curves, other_curves, task_curves
from strop.report.files import ROLLOUTS, Interval, LoggedStep, RunFiles, ShownExample, Summary, read_run
from strop.report.loss_mask import view
from strop.report.rollouts import MOST_BYTES, Embedded, embed
from strop.report.sides import read_side
from strop.report.verdict import eval_losses, forgetting, gates, headline, interval_notes, kept_bounds
from strop.tasks.metrics import GROUPS
from strop.web import render, script_data

HERE = Path(__file__).parent
MOST_TOKENS = 1500
"""Of a training example."""

MASK_COUNTERS = {
    "conversations": "conversations rendered",
    "tokens": "tokens in them",
    "trained_tokens": "tokens trained",
    "control_strings": "control tokens' strings found inside message text",
    "straddling_tokens": "tokens on the border of a trained span, decided by rule",
    "turns": "turns trained",
    "drift_turns": "turns whose prompt in training differs from the prompt when served",
    "drift_tokens": "tokens in which those prompts differ",
    "missing_stop": "turns without a stop token",
    "inferred_stops": "stop tokens from outside the stop set",
    "dropped_fields": "parts of conversations that the template did not print",
    "too_long_dropped": "conversations dropped as too long",
    "truncated": "conversations cut",
    "audited": "conversations of a sample (chat.audit_every) whose ids were compared with the tokenizer's own call; "
    "the text of every conversation was",
}


def write_report(run_folder: Path, target: Path | None = None) -> Path:
    """Write ``report.html`` into a run folder (or ``target``) from the files there, all at once; the same files give
    the same bytes.

    Returns:
        The path of the page, which needs no other file and no network.

    Raises:
        InputError: ``summary.json`` is missing, or a file of the run is not what its name promises.
    """
    target = target or run_folder / "report.html"
    html = page_of(read_run(run_folder))
    with atomic_writer(target) as file:
        file.write(html)
    return target


def page_of(
    run: RunFiles,
    most_bytes: int = MOST_BYTES,
    most_of_items: int = items.MOST_BYTES,
    live: Mapping[str, Any] | None = None,
) -> str:
    """The page as HTML, with at most ``most_bytes`` of kept rollouts and ``most_of_items`` of evaluated items.

    ``live``: of a run that is not finished, what it is at (`strop.report.live`).

    Everything that came from a model or a data file is escaped by the template, or is data of its script.
    """
    summary = run.summary
    top = headline(summary)
    kept = embed(run.folder, [*run.sampled], most_bytes)
    evaluated = items.Items([read_side(place, title) for title, place in run.evaluations.items()], most_of_items)
    claims = [*(one for one in eval_losses(summary) if one != top), forgetting(summary), *gates(summary)]
    browsers = [*(["items.js"] if evaluated.entries else []), *(["rollouts.js"] if kept.all_prompts else [])]
    return render(
        [HERE],
        "page.html",
        styles=(["browser.css"] if browsers else []) + ["report.css"],
        scripts=[*(["browser.js", *browsers] if browsers else []), *(["live.js"] if live and live["refresh"] else [])],
        live=live,
        filters={"count": metrics.count_text},
        summary=summary,
        again=f"strop report {shlex.quote(str(run.folder))}",
        replay=replay(run),
        headline=top,
        claims=[one for one in claims if one is not None],
        once=bool(summary.measured),
        table=_table(summary),
        metrics_chart=_metrics_chart(summary),
        items=evaluated,
        bars=evaluated.verdicts(),
        changes=evaluated.changes(),
        trainings=[_training(run, number, stage, kept) for number, stage in enumerate(run.steps)],
        rollouts=_rollouts(kept, most_bytes),
        in_training=[
            {"name": stage, "curves": drawn}
            for stage, steps in run.measured.items()
            if (drawn := task_curves(stage, steps, summary.measures))
        ],
        machine=machine(summary),
        bounds=[
            (name, metrics.change_text(-metric.better * bound, metric.unit))
            for name, bound in kept_bounds(summary).items()
            for metric in [metrics.describe(name, summary.measures)]
        ],
        intervals=interval_notes(summary),
        stages=_stages(summary),
        stage_facts=[
            (stage, [(n.replace("_", " "), metrics.count_text(v)) for n, v in one.items()])
            for stage, one in summary.facts.items()
        ],
        configs=run.configs,
    )


def replay(run: RunFiles) -> str | None:
    """The command that does the run again, into another folder; None where no recipe was kept."""
    if not run.configs:
        return None
    config = run.folder / [*run.configs][-1]
    again = run.folder.parent / f"{run.folder.name}-again" if run.folder.name else Path("..", "again")
    return shlex.join(["strop", "run", str(config), f"folder={again}"])


def _table(summary: Summary) -> list[tuple[str, list[dict[str, Any]]]]:
    """(group, rows) in reading order; a metric is there when it was measured at least once."""
    names = metrics.in_order({*summary.before, *summary.after, *summary.measured}, summary.measures)
    groups: dict[str, list[dict[str, Any]]] = {group: [] for group in GROUPS[:-1]}
    for name in names:
        # Accepted as a verdict is accepted@1 under another name.
        if not name.endswith("verdict/accepted") or name.replace("verdict/accepted", "accepted@1") not in names:
            groups.setdefault(metrics.describe(name, summary.measures).group, []).append(_row(summary, name))
    groups[GROUPS[-1]] = groups.pop(GROUPS[-1], [])  # last, after those that tasks have added
    return [(group, rows) for group, rows in groups.items() if rows]


def _row(summary: Summary, name: str) -> dict[str, Any]:
    metric = metrics.describe(name, summary.measures)
    parts = {part: getattr(summary, part).get(name, Interval()) for part in ("after", "before", "measured")}
    change = summary.change.get(name, Interval())
    return {
        "name": name,
        "about": metric.about,
        "better": metric.better,
        **{
            part: (metrics.value_text(one.value, metric.unit), metrics.interval_text(one, metric.unit))
            for part, one in parts.items()
        },
        "change": (metrics.change_text(change.value, metric.unit), metrics.change_interval_text(change, metric.unit)),
        "tone": metrics.tone(metric, change),
        "sample": next(filter(None, map(metrics.sample_texts, parts.values())), []),
    }


def _metrics_chart(summary: Summary) -> Markup | None:
    measured = {*summary.before, *summary.after, *summary.measured}
    names = [
        name
        for name in metrics.in_order(measured, summary.measures)
        if "/" not in name and (metric := metrics.describe(name, summary.measures)).unit == "rate" and metric.better
    ]
    return metrics_chart(_named(summary), names) if names else None


def _named(summary: Summary) -> dict[str, dict[str, Interval]]:
    """The evaluations of the run by what the page calls them."""
    if summary.measured:
        return {"measured": summary.measured}
    return {"before": summary.before, "after": summary.after}


def _training(run: RunFiles, number: int, stage: str, kept: Embedded) -> dict[str, Any]:
    """What a training stage went through, and what it was trained on."""
    steps, name = run.steps[stage], f"training-{number}"
    reinforced = stage in run.sampled
    drawn, still = curves(name, steps) if reinforced else (other_curves(name, steps), [])
    return {
        "name": stage,
        "title": "Reinforcement learning" if reinforced else "Training",
        "reinforced": reinforced,
        "loss": None if reinforced else _loss(steps, f"{name}-loss"),
        "alarms": alarms(stage, steps, run.summary.warnings) if reinforced else [],
        "failures": [
            one | {"worst": metrics.value_text(one["worst"], "rate"), "why": kept.failed.get((stage, one["name"]))}
            for one in failures(steps)
        ],
        "span": smoothing_span(len(series(steps, ROLLOUTS))),
        "curves": drawn,
        "still": still,
        "examples": [_example(one) for one in run.examples.get(stage, ()) if one.pieces],
        "mask": _mask(run.summary.mask.get(stage, {})),
    }


def _loss(steps: list[LoggedStep], name: str) -> dict[str, Any] | None:
    train, held_out = series(steps, "loss"), series(steps, "eval_loss")
    if not len(train) and not len(held_out):
        return None
    return {
        "chart": loss_chart(steps, name),
        "span": smoothing_span(len(train)),
        "steps": max(step.step for step in steps),
        "train": bool(len(train)),
        "held_out": [metrics.value_text(value, "nats") for value in held_out[[0, -1], 1]] if len(held_out) else [],
    }


def _rollouts(kept: Embedded, most_bytes: int) -> dict[str, Any] | None:
    if not kept.all_prompts:
        return None
    return {
        "left_out": kept.left_out,
        "limit": f"{most_bytes / 2**20:.3g} MB",
        "all_prompts": kept.all_prompts,
        "partial": kept.partial,
        "batches": script_data(kept.batches),
        "data": kept.data,
    }


def _example(example: ShownExample) -> dict[str, Any]:
    views = view(example)
    trained = sum(token.weight != 0 for token in views)
    weights = sorted({token.weight for token in views} - {0.0})
    return {
        "place": example.place,
        "views": views[:MOST_TOKENS],
        "more": len(views) > MOST_TOKENS,
        "tokens": len(views),
        "trained": trained,
        "share": metrics.value_text(trained / len(views), "rate"),
        "stops": sum(token.is_stop for token in views),
        "weights": "" if weights in ([], [1.0]) else f"{weights[0]:.3g} to {weights[-1]:.3g}",
    }


def _mask(mask: dict[str, Any]) -> dict[str, Any]:
    """``counters``: (what, how many); ``none``: what there was none of."""
    labels = dict(MASK_COUNTERS)
    trained, tokens = mask.get("trained_tokens"), mask.get("tokens")
    if isinstance(trained, int) and isinstance(tokens, int) and tokens:
        labels["trained_tokens"] += f", {metrics.value_text(trained / tokens, 'rate')} of all"
    named = {labels.get(name, name.replace("_", " ")): value for name, value in mask.items() if value != {}}
    counters = [(name, metrics.count_text(value)) for name, value in named.items() if value != 0]
    return {"counters": counters, "none": [name for name, value in named.items() if value == 0]}


def _stages(summary: Summary) -> list[tuple[str, str, str]]:
    """(stage, minutes, peak memory), and what they come to together."""
    names = dict.fromkeys([*summary.minutes, *summary.memory_gb])
    rows = [(name, summary.minutes.get(name), summary.memory_gb.get(name)) for name in names]
    minutes = [one for one in summary.minutes.values() if one is not None]
    if len(minutes) > 1:
        memory = [one for one in summary.memory_gb.values() if one is not None]
        rows.append(("together", sum(minutes), max(memory, default=None)))
    return [
        (name, _with_unit(time, ".1f") or metrics.UNKNOWN, _with_unit(memory, ".1f", "GB") or metrics.UNKNOWN)
        for name, time, memory in rows
    ]


def machine(summary: Summary) -> list[tuple[str, str]]:
    """Facts of the run, named; what is not known is left out."""
    rest = {name: value for name, value in summary.machine.items() if value is not None}
    cpu, cores, memory = (rest.pop(name, None) for name in ("cpu", "cores", "memory_gb"))
    parts = [cpu, f"{cores} cores" if cores else None, f"{metrics.count_text(memory)} GB memory" if memory else None]
    facts = {
        "machine": ", ".join(str(part) for part in parts if part),
        "strop": summary.strop_version,
        **{name.replace("_", " "): metrics.count_text(value) for name, value in rest.items()},
        "peak memory": _with_unit(summary.peak_memory_gb, ".1f", "GB"),
        "tokens per second": _with_unit(summary.tokens_per_second, ",.0f"),
        "trained tokens per second": _with_unit(summary.trained_tokens_per_second, ",.0f"),
    }
    return [(name, value) for name, value in facts.items() if value]


def _with_unit(value: float | None, form: str, unit: str = "") -> str:
    return "" if value is None else f"{value:{form}} {unit}".strip()
