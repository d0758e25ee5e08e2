"""From a run folder to ``report.html``: what the page says is put together here, its look in the files beside."""

from pathlib import Path
from typing import Any

from markupsafe import Markup

from strop.files import atomic_writer
from strop.report import metrics
from strop.report.charts import loss_chart, metrics_chart, verdict_chart
from strop.report.curve import series, smoothing_span
from strop.report.files import TASKS, Estimate, Run, Summary, read_run
from strop.report.items import FAILING, FIXED, KEPT, RULE, WORSE, count_kinds, pair_up, pick
from strop.report.tokens import view
from strop.report.verdict import forgetting, headline, kept_bounds
from strop.web import environment

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


def render(run: Run) -> str:
    """The page as HTML. Everything that came from a model or a data file is escaped by the template."""
    templates = environment(HERE)
    templates.filters["count"] = metrics.count_text
    summary = run.summary
    return templates.get_template("page.html").render(
        style=Markup((HERE / "style.css").read_text(encoding="utf-8")),
        summary=summary,
        folder=run.folder.name,
        headline=headline(summary),
        forgetting=forgetting(summary),
        table=table(summary),
        metrics_chart=_metrics_chart(summary),
        verdict_chart=_verdict_chart(summary),
        verdicts=metrics.VERDICTS,
        loss=_loss(run),
        answers=_answers(run),
        tokens=_tokens(run),
        mask=_mask(summary),
        measured=_measured(summary),
        bounds=[
            (name, metrics.change_text(-metrics.describe(name).better * bound, metrics.describe(name).unit))
            for name, bound in kept_bounds(summary).items()
        ],
        flat=flat_rates(summary),
        configs=run.configs,
    )


def table(summary: Summary) -> list[tuple[str, list[dict[str, Any]]]]:
    """(group, rows) in reading order; a metric is there when it was measured at least once."""
    measured = {*summary.before, *summary.after}
    names = [name for name in metrics.KNOWN if name in measured] + sorted(measured - set(metrics.KNOWN))
    if "accepted@1" in names and "verdict/accepted" in names:
        names.remove("verdict/accepted")
    rows = [(metrics.describe(name), _row(summary, name)) for name in names]
    groups = [(group, [row for metric, row in rows if metric.group == group]) for group in metrics.GROUPS]
    return [(group, rows) for group, rows in groups if rows]


def flat_rates(summary: Summary) -> list[str]:
    """Rates of exactly 0 or 1 with an interval of no width: the bootstrap's blind spot, which the page names."""
    measured = [*summary.before.items(), *summary.after.items()]
    return sorted({name for name, one in measured if one.low == one.value == one.high and one.value in (0, 1)})


def _row(summary: Summary, name: str) -> dict[str, Any]:
    metric = metrics.describe(name)
    before, after = summary.before.get(name, Estimate()), summary.after.get(name, Estimate())
    change = summary.change.get(name, Estimate())
    return {
        "name": name,
        "about": metric.about,
        "better": metric.better,
        "before": (metrics.value_text(before.value, metric.unit), metrics.interval_text(before, metric.unit)),
        "after": (metrics.value_text(after.value, metric.unit), metrics.interval_text(after, metric.unit)),
        "change": (metrics.change_text(change.value, metric.unit), metrics.change_interval_text(change, metric.unit)),
        "tone": metrics.tone(metric, change),
        "sample": metrics.sample_texts(after) or metrics.sample_texts(before),
    }


def _metrics_chart(summary: Summary) -> Markup | None:
    measured = {*summary.before, *summary.after}
    rates = [name for name, metric in metrics.KNOWN.items() if metric.unit == "rate" and "/" not in name]
    names = [name for name in rates if name in measured]
    return metrics_chart(summary.before, summary.after, names) if names else None


def _verdict_chart(summary: Summary) -> Markup | None:
    def shares(part: dict[str, Estimate]) -> dict[str, Estimate]:
        return {name: one for name, one in part.items() if name.startswith("verdict/")}

    before, after = shares(summary.before), shares(summary.after)
    return verdict_chart(before, after) if before or after else None


def _loss(run: Run) -> dict[str, Any] | None:
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


def _answers(run: Run) -> dict[str, Any] | None:
    for task in TASKS:
        pairs = pair_up(run.items.get(("before", task), []), run.items.get(("after", task), []))
        if pairs:
            counts = count_kinds(pairs)
            return {
                "task": task,
                "rule": RULE,
                "pairs": pick(pairs),
                "counts": [(kind, counts[kind]) for kind in (FIXED, WORSE, KEPT, FAILING)],
                "total": len(pairs),
            }
    return None


def _tokens(run: Run) -> dict[str, Any] | None:
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
