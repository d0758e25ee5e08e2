"""Verbs that train on judged answers, run on rows of a tiny model, for tests."""

import json
from types import SimpleNamespace

from strop.cli import main

WORDS = ["red", "blue", "green", "tree", "house", "river", "stone", "cloud"]
PAIRS = [
    {
        "prompt": f"Tell me about {WORDS[i % 8]} {i}.",
        "chosen": f"Gladly: {WORDS[(3 * i + 1) % 8]}",
        "rejected": f"No. {WORDS[(5 * i + 2) % 8]}",
    }
    for i in range(40)
]
LABELLED = [
    {"prompt": row["prompt"], "completion": row[name], "label": name == "chosen"}
    for row in PAIRS
    for name in ("chosen", "rejected")
]
TEXTS = [json.dumps(row) for row in PAIRS]
STEPS = ("train.learning_rate=3e-3", "train.global_batch_size=8", "train.epochs=3", "compute.dtype=float32")


def runner(tmp_path, folder, capsys, monkeypatch):
    """A function that runs a verb on rows; it gives the exit code, what was said, the facts and the stage's folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STROP_CACHE", str(tmp_path / "cache"))

    def call(verb, rows, *overrides, name="run", model=folder):
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        code = main([verb, str(model), "--data", "rows.jsonl", f"name={name}", *STEPS, *overrides])
        out, err = capsys.readouterr()
        stage = tmp_path / "runs" / name / verb
        summary = stage.parent / "summary.json"
        facts = json.loads(summary.read_text())["facts"].get(verb, {}) if summary.is_file() else {}
        return SimpleNamespace(code=code, out=out, err=err, facts=facts, stage=stage)

    return call


def metrics_of(stage):
    """The rows of a stage's ``metrics.jsonl``."""
    return [json.loads(line) for line in (stage / "metrics.jsonl").read_text().splitlines()]
