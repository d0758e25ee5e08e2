"""A small run folder with every file that the report reads, and numbers that are easy to check by hand."""

import json
from pathlib import Path

import pytest

HOSTILE = "<script>alert('answer')</script>"
ASKED = "a prompt with <script>alert('prompt')</script>"
VERDICTS = ("accepted", "wrong_answer", "runtime_error", "timeout", "syntax_error", "no_code")


def estimate(value, low, high, n=100, families=25):
    return {"value": value, "low": low, "high": high, "n": n, "families": families}


def make_item(name, verdict, **fields):
    item = {"name": name, "family": name.split("-")[0], "prompt": f"solve {name}", "answer": f"answer to {name}"}
    item |= {
        "verdict": verdict,
        "passed": 6 if verdict == "accepted" else 0,
        "total": 6,
        "detail": "",
        "stderr_tail": "",
    }
    item |= {"finish_reason": "stop", "tokens": 12, "values": {"accepted@1": float(verdict == "accepted")}}
    return item | fields


def write_lines(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def summary() -> dict:
    shares = dict.fromkeys(VERDICTS, 0.0)
    before = {f"verdict/{name}": estimate(share, 0, 0) for name, share in (shares | {"no_code": 1.0}).items()}
    after = {
        f"verdict/{name}": estimate(share, 0, 1)
        for name, share in (shares | {"accepted": 0.21, "wrong_answer": 0.79}).items()
    }
    before |= {
        "accepted@1": estimate(0.0, 0.0, 0.0),
        "exec_success_rate": estimate(0.11, 0.05, 0.17),
        "humaneval_pass@1": {"value": 0.122, "low": 0.073, "high": 0.177, "n": 164, "groups": 164},
        "general_chat_loss": {"value": 1.8124, "low": 1.75, "high": 1.87, "n": 120},
    }
    after |= {
        "accepted@1": estimate(0.21, 0.13, 0.29),
        "exec_success_rate": estimate(0.78, 0.70, 0.86),
        "humaneval_pass@1": {"value": 0.128, "low": 0.079, "high": 0.183, "n": 164, "groups": 164},
        "general_chat_loss": {"value": 1.8251, "low": 1.76, "high": 1.88, "n": 120},
    }
    change = {
        "accepted@1": {"value": 0.21, "low": 0.14, "high": 0.28},
        "exec_success_rate": {"value": 0.67, "low": 0.60, "high": 0.74},
        "humaneval_pass@1": {"value": 0.006, "low": -0.018, "high": 0.03},
        "general_chat_loss": {"value": 0.0127, "low": 0.007, "high": 0.019},
        "verdict/wrong_answer": {"value": 0.79, "low": 0.7, "high": 0.88},
        "verdict/no_code": {"value": -1.0, "low": -1.0, "high": -1.0},
    }
    return {
        "name": "demo",
        "model": "a-model",
        "recipe": "recipes/demo.yaml",
        "seed": 17,
        "strop_version": "0.1.0",
        "stages": {"before": "baseline", "after": "eval", "training": ["sft"]},
        "machine": {
            "cpu": "a CPU",
            "cores": 2,
            "memory_gb": 24,
            "torch": "2.13.0",
            "device": "cpu",
            "precision": "bf16",
        },
        "before": before,
        "after": after,
        "change": change,
        "minutes": {"baseline": 3.42, "sft": 9.81, "eval": 3.1},
        "peak_memory_gb": 4.62,
        "tokens_per_second": 1468.9,
        "trained_tokens_per_second": 211.3,
        "notes": ["A note for the reader."],
        "mask": {
            "sft": {
                "conversations": 1200,
                "tokens": 200000,
                "trained_tokens": 90000,
                "control_strings": 2,
                "new_counter": 3,
                "kinds": {"<|im_end|>": 2},
                "none": {},
            }
        },
    }


@pytest.fixture
def run_folder(tmp_path: Path, summary: dict) -> Path:
    folder = tmp_path / "demo"
    (folder / "sft").mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    write_lines(
        folder / "baseline" / "evals" / "code_basics.jsonl",
        [
            make_item("sort-1", "no_code", answer=HOSTILE, finish_reason="length"),
            make_item("sort-2", "syntax_error", prompt=ASKED),
            make_item("sum-1", "accepted"),
        ],
    )
    write_lines(
        folder / "eval" / "evals" / "code_basics.jsonl",
        [
            make_item("sort-1", "accepted"),
            make_item("sort-2", "wrong_answer", passed=2, detail="test 3: 0 & 1", prompt=ASKED),
            make_item("sum-1", "runtime_error", stderr_tail="TypeError: <int>"),
        ],
    )
    steps = [{"step": step, "loss": 2 - step / 20, "lr": 1e-5 * step, "grad_norm": 1.0} for step in range(1, 21)]
    write_lines(
        folder / "sft" / "metrics.jsonl", [*steps, {"step": 1, "eval_loss": 1.9}, {"step": 20, "eval_loss": 1.1}]
    )
    pieces = [["<|im_start|>", 0], ["user", 0], ["\n", 0], ["<b>", 0], ["<|im_end|>", 0], [" hi", 1], ["<|im_end|>", 1]]
    examples = [{"place": "data.jsonl:7", "pieces": pieces}, {"place": "data.jsonl:8", "pieces": [["x", 0.5]]}]
    (folder / "sft" / "examples.json").write_text(json.dumps(examples))
    (folder / "sft" / "config.yaml").write_text("seed: 17\n")
    return folder
