"""The card (README.md) of an exported model: what it was made of, how, what was measured, and what is not known."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from strop import __version__
from strop.exporting.source import Source
from strop.model.generation import read_json_object
from strop.model.load import SCORING
from strop.report.files import Summary, read_run
from strop.report.markdown import MARKS, escaped, how, numbers, table
from strop.report.verdict import eval_losses, forgetting, gates, headline, interval_notes
from strop.tasks.base import TASKS

UNKNOWN = "unknown"
_DEMO = {"smollm2-135m": ("HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0")}


def card(source: Source, form: str, load: str) -> str:
    """``form``: what is in the folder, in words; ``load``: the Python or shell that loads it."""
    return "\n".join(_lines(source, form, load)) + "\n"


def _lines(source: Source, form: str, load: str) -> Iterator[str]:
    base = _base(source)
    run = read_run(source.run) if source.run is not None and (source.run / "summary.json").is_file() else None
    licence = _licence(base)
    hub = base if re.fullmatch(r"[\w.-]+/[\w.-]+", base) and not Path(base).exists() else _DEMO.get(base, ("",))[0]
    head: dict[str, Any] = {"library_name": "peft" if "adapters" in form else "transformers"}
    scores = str((read_json_object(source.model / "config.json").get("architectures") or [""])[0]).endswith(SCORING)
    head |= {"pipeline_tag": "text-classification" if scores else "text-generation", "tags": ["strop"]}
    head |= ({"base_model": hub} if hub else {}) | ({"license": licence} if licence != UNKNOWN else {})
    yield from ("---", yaml.safe_dump(head, sort_keys=False).rstrip("\n"), "---", "")
    yield from (f"# {source.run.name if source.run else Path(source.name).name}", "")
    made = f", trained by strop {_version(source.stage)}" if source.stage else ""
    yield from (f"{form} of {escaped(base)}{made}. Exported by strop {__version__}.", "")
    yield from ("```bash" if load.startswith(("llama", "strop")) else "```python", load, "```", "")
    if source.states:
        yield from _stages(source)
        yield from _data(source)
    if run is not None:
        yield from _evaluation(run.summary)
    else:
        yield from (
            "## Evaluation",
            "",
            "Nothing is known of one: the model is not in the folder of a finished run.",
            "",
        )
    yield from ("## Licences", "")
    yield from (f"- base model {escaped(base)}: {licence}", *_licences(source))
    if UNKNOWN in licence or any(UNKNOWN in line for line in _licences(source)):
        yield "- what is unknown is not written down where strop reads it: look it up before you pass the model on."
    yield ""
    if run is not None:
        yield from ("## How to do it again", "")
        yield from how(run)
        yield from interval_notes(run.summary)


def _base(source: Source) -> str:
    """What the run began with, as its user named it; of a model without a run, its own name."""
    for state in source.states.values():
        if name := state.get("made_from", {}).get("model.name"):
            return str(name)
    return source.name


def _version(stage: Path) -> str:
    state = json.loads((stage / "stage.json").read_text(encoding="utf-8"))
    return str(state.get("made_from", {}).get("strop_version", UNKNOWN))


def _licence(base: str) -> str:
    """Of the base's own card, where it has one."""
    if base in _DEMO:
        return _DEMO[base][1]
    try:
        text = (Path(base).expanduser() / "README.md").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return UNKNOWN
    match = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    try:
        head = yaml.safe_load(match[1]) if match else None
    except yaml.YAMLError:
        return UNKNOWN
    return str(head["license"]) if isinstance(head, Mapping) and head.get("license") else UNKNOWN


def _stages(source: Source) -> Iterator[str]:
    yield from ("## Training", "")
    rows = []
    for name, state in source.states.items():
        made, totals = state.get("made_from", {}), state.get("totals") or {}
        if not totals:
            continue
        lora = f"LoRA, rank {made['stage.lora.r']}" if made.get("stage.lora.r") else "all weights"
        settings = [
            f"{key} {made[f'stage.train.{key}']}"
            for key in ("epochs", "max_steps", "global_batch_size", "learning_rate", "schedule", "seed")
            if made.get(f"stage.train.{key}") is not None
        ]
        steps = f"{totals['step']:,}" if "step" in totals else ""
        tokens = f"{totals['trained_tokens']:,}" if "trained_tokens" in totals else ""
        rows.append([name, str(made.get("stage.kind", "")), lora, ", ".join(settings), steps, tokens])
    yield from table(["stage", "kind", "trains", "settings", "steps", "trained tokens"], rows) if rows else ("", "")


def _parts(source: Source) -> Iterator[tuple[str, dict[str, Any]]]:
    """(stage, what is known of a part of its data) of every stage."""
    for name, state in source.states.items():
        made = state.get("made_from", {})
        found: dict[str, dict[str, Any]] = {}
        for key, value in made.items():
            match = re.fullmatch(r"(data|eval_data)\.(\d+)\.(\w+)", key)
            if match:
                found.setdefault(f"{match[1]} {match[2]}", {"role": match[1]})[match[3]] = value
        yield from ((name, part) for part in found.values())


def _data(source: Source) -> Iterator[str]:
    rows = []
    for stage, part in _parts(source):
        origin = part.get("path") or part.get("hub") or part.get("task") or part.get("stage") or UNKNOWN
        count = (source.states[stage].get("mask") or {}).get("conversations")
        mark = part.get("content") or part.get("commit") or ""
        taken = str(part["count"]) if part.get("count") else "all"
        use = (
            "evaluation loss"
            if part["role"] == "eval_data"
            else f"training ({count:,} in all)"
            if count
            else "training"
        )
        rows.append([str(origin), stage, use, taken, mark, _data_licence(part)])
    if rows:
        yield from ("## Data", "")
        yield from table(["source", "stage", "used for", "rows asked for", "hash or commit", "licence"], rows)


def _data_licence(part: Mapping[str, Any]) -> str:
    kind = TASKS.get(str(part.get("task") or ""))
    return (kind.licence or UNKNOWN) if kind is not None else UNKNOWN


def _licences(source: Source) -> list[str]:
    said = {str(part.get("path") or part.get("hub") or part.get("task") or part.get("stage")): _data_licence(part)
            for _, part in _parts(source)}  # fmt: skip
    return [f"- data {escaped(name)}: {licence}" for name, licence in said.items()]


def _evaluation(summary: Summary) -> Iterator[str]:
    yield from ("## Evaluation", "", escaped(headline(summary).sentence), "")
    yield from numbers(summary)
    said = [*eval_losses(summary), forgetting(summary), *gates(summary)]
    yield from (f"- {MARKS[one.tone]} {escaped(one.sentence)}" for one in said if one is not None)
    yield from (f"- ⚠️ {escaped(text)}" for text in summary.warnings)
    if not summary.gates:
        yield "- The recipe had no gates."
    yield ""
