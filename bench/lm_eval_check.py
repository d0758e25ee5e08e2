"""The same items scored by strop's engine and by lm-evaluation-harness's own model, item by item.

    python bench/lm_eval_check.py MODEL QUESTIONS.jsonl --limit 40

QUESTIONS: multiple choice in any layout that strop reads (`strop.tasks.choice`). Three tasks are made of them and run
through lm-eval's own evaluator with both models in float32: the likeliest answer (loglikelihood), the questions' own
likelihood (loglikelihood_rolling), and greedy answers (generate_until). Exit code 1 where a log-likelihood differs by
more than --tolerance, a metric by more than that share of it, or an answer at all. Needs the extra ``lm-eval``.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import lm_eval
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from strop.evals.lm_eval_bridge import StropLM
from strop.model.names import resolve
from strop.tasks import choice

HEAD = """\
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
"""
TASKS = {
    "check_choice": """\
output_type: multiple_choice
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_choice: "{{options}}"
doc_to_target: "{{answer}}"
metric_list: [{metric: acc}, {metric: acc_norm}]
""",
    "check_rolling": """\
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{question}}"
metric_list: [{metric: word_perplexity}, {metric: bits_per_byte}]
""",
    "check_generate": """\
output_type: generate_until
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_target: "{{options[answer]}}"
generation_kwargs: {until: ["\\n\\n", "Question:"], max_gen_toks: 24, do_sample: false}
metric_list: [{metric: exact_match}]
""",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("questions", type=Path)
    parser.add_argument("--limit", type=int, default=40)
    parser.add_argument("--tolerance", type=float, default=1e-3, help="largest difference of a log-likelihood (0.001)")
    options = parser.parse_args()
    items = choice.load(options.questions)[: options.limit]
    with tempfile.TemporaryDirectory() as scratch:
        manager = _tasks(Path(scratch), items)
        ours = StropLM(options.model, dtype="float32", device="cpu")
        theirs = HFLM(
            str(resolve(options.model)), dtype="float32", device="cpu", batch_size=4, max_length=ours.max_length
        )
        found = {}
        for name, model in (("strop", ours), ("hf", theirs)):
            started = time.perf_counter()
            found[name] = lm_eval.simple_evaluate(
                model, tasks=list(TASKS), task_manager=manager, bootstrap_iters=0, log_samples=True
            )
            print(f"{name}: {time.perf_counter() - started:.1f} s", file=sys.stderr)
    report = {task: _compared(found["strop"], found["hf"], task) for task in TASKS}
    bad = [task for task, one in report.items() if _differs(one, options.tolerance)]
    print(
        json.dumps({"items": len(items), "tolerance": options.tolerance, "tasks": report, "differing": bad}, indent=2)
    )
    return 1 if bad else 0


def _tasks(scratch: Path, items: list[choice.ChoiceItem]) -> TaskManager:
    """The three tasks as lm-eval finds them: a YAML file each, over one file of items."""
    data = scratch / "items.jsonl"
    rows = [
        {"question": one.question, "options": [f" {o}" for o in one.options], "answer": one.answer} for one in items
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for name, body in TASKS.items():
        (scratch / f"{name}.yaml").write_text(HEAD.format(name=name, data=json.dumps(str(data))) + body)
    return TaskManager(include_path=str(scratch), include_defaults=False)


def _compared(ours: dict[str, Any], theirs: dict[str, Any], task: str) -> dict[str, Any]:
    """The largest difference of a log-likelihood, how many answers are others, and both sides' metrics."""
    largest, scores, answers, others = 0.0, 0, 0, 0
    for a, b in zip(ours["samples"][task], theirs["samples"][task], strict=True):
        assert a["doc"] == b["doc"]
        for one, other in zip(_flat(a["resps"]), _flat(b["resps"]), strict=True):
            if isinstance(one, float):
                largest, scores = max(largest, abs(one - other)), scores + 1
            else:
                answers += 1
                others += one != other  # an answer, or whether a continuation is the greedy one
    metrics = {
        name: {
            metric: round(value, 4)
            for metric, value in run["results"][task].items()
            if isinstance(value, float) and "stderr" not in metric
        }
        for name, run in (("strop", ours), ("hf", theirs))
    }
    counts = {"scores": scores, "largest_difference": largest, "answers": answers, "other_answers": others}
    return counts | {"metrics": metrics}


def _differs(one: dict[str, Any], tolerance: float) -> bool:
    ours, theirs = one["metrics"]["strop"], one["metrics"]["hf"]
    same = ours.keys() == theirs.keys() and all(math.isclose(ours[m], theirs[m], rel_tol=tolerance) for m in ours)
    return not same or one["other_answers"] > 0 or one["largest_difference"] > tolerance


def _flat(value: Any) -> list[Any]:
    """Numbers, texts and truth values of nested lists, in order."""
    if isinstance(value, list | tuple):
        return [leaf for one in value for leaf in _flat(one)]
    return [value]


if __name__ == "__main__":
    sys.exit(main())
