"""`strop eval` against lm-evaluation-harness with transformers: the same items, whole commands by the clock.

    python bench/evaluate.py --task gsm8k:path=test.jsonl:limit=200:style=completion --lm-eval PYTHON [--batches 8 32]

--task: as `strop eval --tasks` takes it, one task. Its items are written down as prompts with their options or stop
strings, and lm-eval (installed for the interpreter PYTHON) is given those, as a task of its own with the same longest
answer and number format: both have the same to compute. Of answers lm-eval grades none here (its code metric is a
download). The time is that of the whole command, from start to end. ``--batches``: rows at a time for lm-eval; the
fastest counts.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common.results import show
from common.runs import Skipped, Variant, compare, parse, parser

COLUMNS = {"seconds": "seconds", "items": "items", "seconds_per_item": "s/item", "score": "score"}

YAML = """\
task: peer
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
doc_to_text: "{{{{text}}}}"
target_delimiter: ""
"""
CHOICE = """\
output_type: multiple_choice
doc_to_choice: "{{options}}"
doc_to_target: "{{answer}}"
metric_list: [{metric: acc}]
"""
ANSWER = """\
output_type: generate_until
doc_to_target: ""
generation_kwargs: {{until: {stop}, max_gen_toks: {longest}, do_sample: false}}
metric_list: [{{metric: bypass}}]
"""


def measure(given: argparse.Namespace, variant: Variant) -> dict:
    with tempfile.TemporaryDirectory() as scratch:
        if variant.side == "strop":
            return strop(given, Path(scratch))
        return lm_eval(given, Path(scratch), variant.settings["batch"])


def strop(given: argparse.Namespace, scratch: Path) -> dict:
    command = [sys.executable, "-m", "strop", "eval", given.model, "--tasks", given.task, "--json"]
    command += [f"compute.dtype={given.dtype}"] if given.dtype else []
    seconds, said = _timed([*command, "--out", str(scratch / "run")])
    [model] = json.loads(said)["results"]
    [task] = model["tasks"].values()
    first = next(iter(task["metrics"].values()))
    return _row(seconds, first["n"], first["value"])


def lm_eval(given: argparse.Namespace, scratch: Path, batch: int) -> dict:
    if not given.lm_eval:
        raise Skipped("name an interpreter that has lm-eval: --lm-eval PYTHON")
    count, folder = write_task(given, scratch)
    command = [given.lm_eval, "-m", "lm_eval", "run", "--model", "hf", "--tasks", "peer", "--device", "cpu"]
    command += ["--model_args", f"pretrained={folder},dtype={_dtype(given)}", "--batch_size", str(batch)]
    command += ["--include_path", str(scratch), "--output_path", str(scratch / "out"), "--log_samples"]
    seconds, _ = _timed(command)
    [found] = (scratch / "out").rglob("results_*.json")
    score = json.loads(found.read_text())["results"]["peer"].get("acc,none")
    return _row(seconds, count, score)


def _dtype(given: argparse.Namespace) -> str:
    from strop.model.precision import best_compute

    return given.dtype or str(best_compute("cpu").dtype).removeprefix("torch.")


def _row(seconds: float, items: int, score: float | None) -> dict:
    return {"seconds": seconds, "items": items, "seconds_per_item": seconds / items, "score": score}


def _timed(command: list[str]) -> tuple[float, str]:
    start = time.perf_counter()
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(f"{' '.join(command)} ended with {ended.returncode}:\n{ended.stderr[-2000:]}")
    return time.perf_counter() - start, ended.stdout


def write_task(given: argparse.Namespace, scratch: Path) -> tuple[int, Path]:
    """Write the items where lm-eval reads them. Returns how many there are, and the model's folder."""
    from strop.config import load_values
    from strop.config.recipe import Recipe
    from strop.evals.prompts import prompt_of
    from strop.model.names import resolve
    from strop.model.precision import best_compute
    from strop.rollout.loaded import load
    from strop.runs.evaluate import parse_tasks
    from strop.tasks.base import ChoiceTask
    from strop.tasks.files import task_of

    stages = {"eval": {"kind": "eval"}}
    recipe = load_values(
        Recipe, {"name": "peer", "model": given.model, "evals": parse_tasks(given.task), "stages": stages}, (), "--task"
    )
    [(name, settings)] = recipe.evals.items()
    task = task_of(name, settings)(name, settings)
    place = resolve(given.model)
    loaded = load(place, recipe.chat, best_compute("cpu", _dtype(given)), name=given.model)

    def text(item) -> str:
        return item.text if item.text is not None else loaded.tokenizer.decode(prompt_of(item, loaded.encoder, name))

    if isinstance(task, ChoiceTask):
        items, body = task.all_questions, CHOICE
        rows = [{"text": text(item), "options": list(item.options), "answer": item.answer} for item in items]
    else:
        rows = [{"text": text(item)} for item in task.all_items]
        stop = json.dumps([*task.stop, loaded.tokenizer.eos_token])
        body = ANSWER.format(stop=stop, longest=task.settings.max_tokens)
    data = scratch / "items.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (scratch / "peer.yaml").write_text(YAML.format(data=json.dumps(str(data))) + body)
    return len(rows), place


def main() -> None:
    made = parser(__doc__, rounds=1)
    made.add_argument("--task", required=True, help="TASK:key=value:key=value, as in strop eval --tasks")
    made.add_argument("--lm-eval", metavar="PYTHON", help="an interpreter that has lm-eval")
    made.add_argument("--batches", type=int, nargs="+", default=[16], help="rows at a time that lm-eval is tried with")
    made.add_argument("--dtype", help="number format of both (the machine's fastest)")
    given = parse(made)
    said = re.sub(r"path=[^:,]*/", "path=", given.task)  # results are for others to read
    variants = {"strop": Variant("strop", {"task": said})}
    for batch in given.batches:
        variants[f"lm-eval, {batch} at a time"] = Variant("lm_eval", {"task": said, "batch": batch})
    results = compare(given, variants, measure)
    others = [row["seconds"] for name, row in results.items() if name != "strop"]
    ratio = min(others) / results["strop"]["seconds"] if others and "strop" in results else None
    timed = {
        name: Variant(v.side, {**v.settings, "seconds": round(results[name]["seconds"], 1)})
        for name, v in variants.items()
        if name in results
    }
    extra = {"task": said, "ratio_vs_lm_eval": ratio, "skipped": given.skipped}
    show("evaluate", given, results, timed, COLUMNS, extra, data=given.task.partition(":")[0])


if __name__ == "__main__":
    main()
