"""From a run folder to ``report.html``: what the page says is put together here, its look in the files beside."""

import shlex
from collections import Counter
from pathlib import Path
from typing import Any

from markupsafe import Markup

from strop.common.files import atomic_writer
from strop.report import metrics
from strop.report.alarms import alarms, failures
from strop.report.charts import loss_chart, metrics_chart, series, smoothing_span, verdict_chart
from strop.report.curves import curves, task_curves
from strop.report.excerpts import FAILING, FIXED, KEPT, RULE, WORSE, pair_up, pick, view
from strop.report.files import ROLLOUTS, Interval, RunFiles, Summary, read_run
from strop.report.rollouts import MOST_BYTES, Embedded, embed
from strop.report.verdict import eval_losses, forgetting, gates, headline, interval_notes, kept_bounds
from strop.tasks.metrics import GROUPS, VERDICTS
from strop.web import browser_script, environment, script_data, script_hash

HERE = Path(__file__).parent

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


def write_report(run_folder: Path) -> Path:
    """Write ``report.html`` into a run folder from the files there, all at once; the same files give the same bytes.

    Returns:
        The path of the page, which needs no other file and no network.

    Raises:
        InputError: ``summary.json`` is missing, or a file of the run is not what its name promises.
    """
    target = run_folder / "report.html"
    html = render(read_run(run_folder))
    with atomic_writer(target) as file:
        file.write(html)
    return target


def render(run: RunFiles, most_bytes: int = MOST_BYTES) -> str:
    """The page as HTML, with at most ``most_bytes`` of kept rollouts.

    Everything that came from a model or a data file is escaped by the template, or is data of its script.
    """
    templates = environment(HERE)
    templates.filters["count"] = metrics.count_text
    summary = run.summary
    top = headline(summary)
    kept = embed(run.folder, [*run.sampled], most_bytes)
    return templates.get_template("page.html").render(
        style=Markup((HERE / "style.css").read_text(encoding="utf-8")),
        summary=summary,
        again=f"strop report {shlex.quote(str(run.folder))}",
        headline=top,
        eval_losses=[one for one in eval_losses(summary) if one != top],
        forgetting=forgetting(summary),
        gates=gates(summary),
        once=bool(summary.measured),
        table=_table(summary),
        metrics_chart=_metrics_chart(summary),
        verdict_chart=_verdict_chart(summary),
        verdicts=VERDICTS,
        reinforced=[_reinforced(run, stage, kept) for stage in run.sampled],
        rollouts=_rollouts(kept),
        in_training=[
            {"name": stage, "curves": drawn}
            for stage, steps in run.measured.items()
            if (drawn := task_curves(stage, steps, summary.measures))
        ],
        loss=_loss(run),
        answers=_answers(run),
        tokens=_tokens(run),
        mask=_mask(summary),
        measured=_measured(summary),
        bounds=[
            (name, metrics.change_text(-metric.better * bound, metric.unit))
            for name, bound in kept_bounds(summary).items()
            for metric in [metrics.describe(name, summary.measures)]
        ],
        intervals=interval_notes(summary),
        stages=_stages(summary),
        facts=[(stage, [(n, metrics.count_text(v)) for n, v in one.items()]) for stage, one in summary.facts.items()],
        configs=run.configs,
    )


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


def _verdict_chart(summary: Summary) -> Markup | None:
    """Of all answers, or of the first task of the user's own that has verdicts."""
    parts = _named(summary)
    prefixes = sorted({name.partition("verdict/")[0] for part in parts.values() for name in part if "verdict/" in name})
    if not prefixes:
        return None
    start = f"{prefixes[0]}verdict/"
    shares = {
        label: {name.removeprefix(prefixes[0]): one for name, one in part.items() if name.startswith(start)}
        for label, part in parts.items()
    }
    return verdict_chart({label: found for label, found in shares.items() if found})


def _named(summary: Summary) -> dict[str, dict[str, Interval]]:
    """The evaluations of the run by what the page calls them."""
    if summary.measured:
        return {"measured": summary.measured}
    return {"before": summary.before, "after": summary.after}


def _loss(run: RunFiles) -> dict[str, Any] | None:
    train, held_out = series(run.steps, "loss"), series(run.steps, "eval_loss")
    if not len(train) and not len(held_out):
        return None
    return {
        "chart": loss_chart(run.steps),
        "span": smoothing_span(len(train)),
        "steps": max(step.step for step in run.steps),
        "train": bool(len(train)),
        "held_out": [metrics.value_text(value, "nats") for value in held_out[[0, -1], 1]] if len(held_out) else [],
    }


def _reinforced(run: RunFiles, stage: str, kept: Embedded) -> dict[str, Any]:
    """What a stage that trained on its own rollouts went through."""
    steps = run.sampled[stage]
    drawn, still = curves(stage, steps)
    return {
        "name": stage,
        "alarms": alarms(stage, steps, run.summary.warnings),
        "failures": [
            one | {"worst": metrics.value_text(one["worst"], "rate"), "why": kept.failed.get((stage, one["name"]))}
            for one in failures(steps)
        ],
        "span": smoothing_span(len(series(steps, ROLLOUTS))),
        "curves": drawn,
        "still": still,
    }


def _rollouts(kept: Embedded) -> dict[str, Any] | None:
    if not kept.all_prompts:
        return None
    script = browser_script(HERE / "rollouts.js")
    return {
        "left_out": kept.left_out,
        "all_prompts": kept.all_prompts,
        "partial": kept.partial,
        "batches": script_data(kept.batches),
        "data": kept.data,
        "script": Markup(script),
        "script_hash": script_hash(script),
    }


def _answers(run: RunFiles) -> dict[str, Any] | None:
    for task in run.summary.answered:
        pairs = pair_up(run.items.get(("before", task), []), run.items.get(("after", task), []))
        if pairs:
            counts = Counter(pair.kind for pair in pairs)
            return {
                "task": task,
                "rule": RULE,
                "pairs": pick(pairs),
                "counts": [(kind, counts[kind]) for kind in (FIXED, WORSE, KEPT, FAILING)],
                "total": len(pairs),
            }
    return None


def _tokens(run: RunFiles) -> dict[str, Any] | None:
    if run.example is None or not run.example.pieces:
        return None
    views = view(run.example)
    trained = sum(token.weight != 0 for token in views)
    return {
        "place": run.example.place,
        "views": views,
        "trained": trained,
        "share": metrics.value_text(trained / len(views), "rate"),
        "stops": sum(token.is_stop for token in views),
    }


def _mask(summary: Summary) -> list[tuple[str, str]]:
    """(what, how many) of each counter."""
    labels = dict(MASK_COUNTERS)
    trained, tokens = summary.mask.get("trained_tokens"), summary.mask.get("tokens")
    if isinstance(trained, int) and isinstance(tokens, int) and tokens:
        labels["trained_tokens"] += f", {metrics.value_text(trained / tokens, 'rate')} of all"
    counters = {name: value for name, value in summary.mask.items() if value != {}}
    return [(labels.get(name, name.replace("_", " ")), metrics.count_text(value)) for name, value in counters.items()]


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


def _measured(summary: Summary) -> list[tuple[str, str]]:
    """Facts of the run, named; what is not known is left out."""
    rest = {name: value for name, value in summary.machine.items() if value is not None}
    cpu, cores, memory = (rest.pop(name, None) for name in ("cpu", "cores", "memory_gb"))
    machine = [cpu, f"{cores} cores" if cores else None, f"{metrics.count_text(memory)} GB memory" if memory else None]
    facts = {
        "machine": ", ".join(str(part) for part in machine if part),
        **{name.replace("_", " "): metrics.count_text(value) for name, value in rest.items()},
        "peak memory": _with_unit(summary.peak_memory_gb, ".1f", "GB"),
        "tokens per second": _with_unit(summary.tokens_per_second, ",.0f"),
        "trained tokens per second": _with_unit(summary.trained_tokens_per_second, ",.0f"),
    }
    return [(name, value) for name, value in facts.items() if value]


def _with_unit(value: float | None, form: str, unit: str = "") -> str:
    return "" if value is None else f"{value:{form}} {unit}".strip()
