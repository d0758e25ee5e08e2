"""What is shown and kept: a table, one JSON object, rows of results.csv."""

from __future__ import annotations

import argparse
import csv
import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from common.machine import about
from common.runs import Variant

Results = dict[str, dict[str, Any]]
COLUMNS = (
    "date",
    "benchmark",
    "machine",
    "torch",
    "transformers",
    "trl",
    "commit",
    "model",
    "data",
    "variant",
    "settings",
    "tokens_per_second",
    "trained_tokens_per_second",
    "peak_memory_gb",
    "tokens_per_step",
    "gflops_per_token",
    "achieved_gflops",
    "matrix_peak_gflops",
    "fraction_of_peak",
    "cores_busy",
)


def add_arithmetic(results: Results, machine: Mapping[str, float], variants: Mapping[str, Variant]) -> None:
    """Give each row ``gflops_per_token``, ``achieved_gflops`` and ``fraction_of_peak``.

    ``machine``: what `arithmetic.needed` and `arithmetic.matrix_peak` found. A frozen model with adapters (settings
    that name ``lora``) needs four of the six: no weight gradients. Where tokens are shared, those that are computed
    count, ``computed_tokens_per_second``.
    """
    for name, row in results.items():
        share = 4 / 6 if "lora" in variants[name].settings else 1.0
        computed = row.get("computed_tokens_per_second", row["tokens_per_second"])
        rate = computed * machine["flops_per_token"]
        rate += row["trained_tokens_per_second"] * machine["flops_per_trained_token"]
        row["achieved_gflops"] = rate * share / 1e9
        row["gflops_per_token"] = row["achieved_gflops"] / row["tokens_per_second"]
        row["matrix_peak_gflops"] = machine["matrix_peak"]
        row["fraction_of_peak"] = row["achieved_gflops"] / machine["matrix_peak"]


def ratios(results: Results, base: str, key: str = "tokens_per_second") -> dict[str, float]:
    """``key`` of ``base`` over that of every other variant; of tokens/s the median over the rounds that both took."""
    if base not in results:
        return {}

    def rounds(row: dict[str, Any]) -> list[float]:
        return row.get("rounds", [row[key]]) if key == "tokens_per_second" else [row[key]]

    def ratio(row: dict[str, Any]) -> float:
        return statistics.median(a / b for a, b in zip(rounds(results[base]), rounds(row), strict=False))

    others = {name: row for name, row in results.items() if name != base and row[key]}
    return {f"{base} / {name}": round(ratio(row), 3) for name, row in others.items()}


def show(
    benchmark: str,
    given: argparse.Namespace,
    results: Results,
    variants: Mapping[str, Variant],
    columns: Mapping[str, str],
    extra: Mapping[str, Any],
    data: str | None = None,
) -> None:
    """Print the table (``columns``: key -> heading) or the object, and append to the CSV unless it was a smoke run.

    Without --json, what is in ``extra`` is printed below the table. ``data``: its name where the options do not tell.
    """
    found = about()
    made_up = given.smoke or given.length or given.model.endswith("-random")
    data = data or ("random ids" if made_up else given.data.name if given.data else "code_basics")
    if given.json:
        plain = {"benchmark": benchmark, **found, "model": given.model, "data": data, "results": results, **extra}
        print(json.dumps(plain, indent=1))
    else:
        _print(f"{benchmark}: {given.model}, {data}, {found['machine']}", results, columns, extra)
    if not given.smoke:
        about_run = {"benchmark": benchmark, "model": given.model, "data": data, **found}
        for name, row in results.items():
            variant = variants[name]
            common = {key: getattr(given, key) for key in ("batch", "micro_batch_tokens", "warmup", "steps", "rounds")}
            settings = {**common, "allocator": variant.side == "strop" or bool(variant.environment), **variant.settings}
            _append(given.csv, {**about_run, **row, "variant": name, "settings": json.dumps(settings)})


def _print(title: str, results: Results, columns: Mapping[str, str], extra: Mapping[str, Any]) -> None:
    console = Console(width=None if Console().is_terminal else 140)
    console.print(title, highlight=False)
    table = Table()
    table.add_column("variant")
    for heading in columns.values():
        table.add_column(heading, justify="right")
    for name, row in results.items():
        table.add_row(name, *(_number(row.get(key)) for key in columns))
    console.print(table)
    for name, value in extra.items():
        items = value.items() if isinstance(value, dict) else [("", value)]
        console.print(f"{name}: " + ", ".join(f"{k} {_number(v)}".strip() for k, v in items), highlight=False)


def _number(value: Any) -> str:
    if not isinstance(value, int | float):
        return "–" if value is None else str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _append(path: Path, row: Mapping[str, Any]) -> None:
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        if new:
            writer.writeheader()
        writer.writerow({key: f"{value:.5g}" if isinstance(value, float) else value for key, value in row.items()})
