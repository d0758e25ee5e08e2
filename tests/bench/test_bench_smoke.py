"""The benchmarks run, and count what they say they count."""

import csv
import json
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

BENCH = Path(__file__).parents[2] / "bench"
sys.path.insert(0, str(BENCH))

import generate  # noqa: E402
import grpo  # noqa: E402
from common import arithmetic, data, generation, generation_sides, results, runs  # noqa: E402

ALL = """
import contextlib, io, json, runpy, sys
found = {}
for name in ("sft", "memory", "dpo", "grpo", "generate", "prepare"):
    sys.argv, said = [f"{name}.py", "--smoke", "--json"], io.StringIO()
    with contextlib.redirect_stdout(said):
        runpy.run_path(f"{name}.py", run_name="__main__")
    found[name] = json.loads(said.getvalue())
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found():
    """What every benchmark prints with --smoke --json, by name; in one process, for imports take longest."""
    pytest.importorskip("trl")
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(BENCH)!r})\n{ALL}"]
    ended = subprocess.run(command, cwd=BENCH, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return json.loads(ended.stdout)


@pytest.mark.parametrize("name", ["sft", "memory", "dpo"])
def test_training_benchmarks_report_rates_memory_and_the_fraction_of_the_peak(found, name):
    rows = found[name]["results"]
    assert any("TRL" in name for name in rows)
    for row in rows.values():
        assert row["tokens_per_second"] > row["trained_tokens_per_second"] > 0
        assert 0.1 < row["peak_memory_gb"] < 20
        assert 0 < row["cores_busy"] < 1.1  # a smoke run has one core
        computed = row.get("computed_tokens_per_second", row["tokens_per_second"])
        assert 0 < row["fraction_of_peak"] < 1
        assert row["gflops_per_token"] * row["tokens_per_second"] == pytest.approx(row["achieved_gflops"])
        assert computed <= row["tokens_per_second"] * 1.001


def test_every_variant_of_sft_runs_and_is_compared(found):
    rows = found["sft"]["results"]
    assert {"strop", "strop LoRA", "strop compact", "TRL two by length", "TRL packing", "TRL defaults"} <= set(rows)
    best = max(row["tokens_per_second"] for name, row in rows.items() if "TRL" in name and name != "TRL LoRA")
    measured = rows["strop"]["tokens_per_second"] / best
    assert found["sft"]["ratios"]["strop / TRL best"] == pytest.approx(measured, abs=1e-3)
    assert found["sft"]["TRL best"] in rows


def test_both_sides_train_the_same_tokens(found):
    rows = found["sft"]["results"]
    shares = [row["trained_tokens_per_second"] / row["tokens_per_second"] for row in rows.values()]
    assert shares == pytest.approx([0.6] * len(shares), abs=0.01)  # what random_examples makes
    steps = {name: row["tokens_per_step"] for name, row in rows.items()}  # the same sequences in the same order
    assert steps["strop"] == steps["strop LoRA"] == steps["TRL one at a time"] == steps["TRL defaults"]


def test_sharing_computes_a_prompt_once(found):
    """Prompts three times (twice) as long as answers: 5 of 8 tokens of a pair, 10 of 24 of a group of eight."""
    rows = found["dpo"]["results"]
    for name, share in (("pairs", 5 / 8), ("groups of 8", 10 / 24)):
        row = rows[f"{name}, shared"]
        assert row["computed_tokens_per_second"] / row["tokens_per_second"] == pytest.approx(share, abs=0.02)
        alone = rows[f"{name}, not shared"]
        assert alone["computed_tokens_per_second"] == pytest.approx(alone["tokens_per_second"])


def test_generation_and_preparation_are_compared(found):
    assert set(found["generate"]["results"]) == {"strop", "transformers", "transformers, continuous"}
    ratios = found["generate"]["ratios"]
    assert found["generate"]["ratio_vs_transformers"] == min(ratios.values())
    assert found["generate"]["ratio_vs_vllm"] is None
    for row in found["generate"]["results"].values():
        assert 0 < row["of_arithmetic"] < 1
        assert row["prefill_tokens_per_second"] > 0
    assert {row["tokens_per_step"] for row in found["generate"]["results"].values()} == {
        256
    }  # 4 prompts, 8 samples, 8 tokens
    assert all(row["milliseconds"] > 0 for row in found["prepare"]["results"].values())


@pytest.mark.parametrize("shape", ["rows", "choice"])
def test_strop_and_transformers_say_the_same(shape):
    """Random weights in the machine's number format: no tie is near, so all tokens agree; all are counted."""
    given = Namespace(shape=shape, model="tiny", prompts=3, group=1, max_tokens=6, smoke=True)
    mine, theirs = generation_sides.strop(given), generation_sides.transformers(given, batch=2)
    assert generation.alike(mine["answers"], theirs["answers"]) == 1
    asked = generation_sides.prompts(given)
    assert mine["tokens_per_step"] == (18 if shape == "rows" else sum(map(len, asked)))


def test_ratios_are_those_of_rounds():
    """A minute in which the machine is somebody else's slows both, and a ratio of medians mixes minutes."""
    rows = {"a": {"tokens_per_second": 30.0, "rounds": [20.0, 40.0, 30.0]}}
    rows["b"] = {"tokens_per_second": 20.0, "rounds": [10.0, 20.0, 10.0]}
    assert results.ratios(rows, "a") == {"a / b": 2.0}


def test_agreement_ends_at_the_first_token_that_differs():
    assert generation.alike([[1, 2, 3, 4], [5, 6]], [[1, 2, 9, 4], [5, 6]]) == pytest.approx(4 / 6)


def test_answers_that_are_too_short_are_not_counted():
    asked = {"prompts": [[1, 2]], "group": 1, "max_tokens": 4, "choice": False}
    with pytest.raises(ValueError, match="shorter"):
        generation.measured(asked, lambda prompts, count: [[7] * min(count, 3)])


def test_memory_of_started_processes_counts():
    code = "held = bytearray(b'1' * 100_000_000); print('ready', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        before = generation.peak_memory_gb()
        child.stdout.readline()
        assert generation.peak_memory_gb() > before + 0.08
        child.communicate(b"\n")


def test_the_least_time_of_a_shape_is_that_of_its_steps(monkeypatch):
    monkeypatch.setattr(arithmetic, "read_speed", lambda size: 2.0)
    given = Namespace(shape="groups", model="tiny", prompts=2, group=3, max_tokens=4, smoke=True, micro_batch_tokens=64)
    found = generate.bounds(given)
    parameters = 512 * 32 + 2 * (32 * 32 * 2 + 32 * 16 * 2 + 3 * 32 * 64 + 64) + 32
    assert found["arithmetic"] * found["matrix_peak"] * 1e9 == pytest.approx(2 * parameters * 2 * 3 * 4)
    size = arithmetic.best_compute().dtype.itemsize
    cached = 2 * 2 * 2 * 8 * size  # layers, keys and values, heads, width of a head
    tokens = sum(map(len, generation_sides.prompts(given))) + 2 * 3 * 4 / 2
    assert found["memory"] * 2e9 == pytest.approx(4 * (parameters * size + tokens * cached))


def test_the_arithmetic_of_smollm2_is_the_documented_one():
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        tie_word_embeddings=True,
    )
    with torch.device("meta"):
        cost = arithmetic.needed(LlamaForCausalLM(config))
    assert cost["flops_per_token"] == pytest.approx(0.637e9, rel=1e-3)
    assert cost["flops_per_trained_token"] == 6 * 49152 * 576


def test_a_frozen_model_needs_four_sixths_of_the_arithmetic():
    variants = {"full": runs.Variant("strop"), "adapters": runs.Variant("strop", {"lora": {"r": 16}})}
    rows = {name: {"tokens_per_second": 10.0, "trained_tokens_per_second": 5.0} for name in variants}
    machine = {"flops_per_token": 6e9, "flops_per_trained_token": 12e9, "matrix_peak": 240.0}
    results.add_arithmetic(rows, machine, variants)
    assert rows["full"]["achieved_gflops"] == pytest.approx(10 * 6 + 5 * 12)
    assert rows["full"]["fraction_of_peak"] == pytest.approx(0.5)
    assert rows["adapters"]["achieved_gflops"] == pytest.approx(80)


SCRIPT = """
import os, sys
from pathlib import Path
sys.path.insert(0, {bench!r})
from common.runs import Skipped, Variant, compare, parse, parser

def measure(given, variant):
    if variant.settings.get("breaks"):
        raise RuntimeError("no such thing")
    if variant.settings.get("missing"):
        raise Skipped("it is not installed.")
    with Path({log!r}).open("a") as file:
        file.write(f"{{variant.side}} {{os.getpid()}}\\n")
    turn = len(Path({log!r}).read_text().splitlines())
    return {{"tokens_per_second": float(turn), "seen": os.environ.get("SEEN", "no")}}

variants = {{"a": Variant("a", {{}}, {{"SEEN": "yes"}}), "b": Variant("b"), "c": Variant("c", {{"breaks": True}})}}
variants["d"] = Variant("d", {{"missing": True}})
given = parse(parser("a test"))
print("RESULTS", compare(given, variants, measure))
print("SKIPPED", given.skipped)
"""


def test_variants_take_turns_in_fresh_processes(tmp_path):
    script, log = tmp_path / "script.py", tmp_path / "log"
    script.write_text(SCRIPT.format(bench=str(BENCH), log=str(log)))
    command = [sys.executable, str(script), "--rounds", "3"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line.split() for line in log.read_text().splitlines()]
    assert [side for side, _ in lines] == ["a", "b", "a", "b", "a", "b"]
    assert len({process for _, process in lines}) == 6
    (said,) = (line for line in ended.stdout.splitlines() if line.startswith("RESULTS"))
    rows = eval(said.removeprefix("RESULTS "))
    assert rows["a"] == {"tokens_per_second": 3.0, "seen": "yes", "rounds": [1.0, 3.0, 5.0]}
    assert rows["b"]["tokens_per_second"] == 4.0
    assert rows["b"]["seen"] == "no"
    assert "c" not in rows
    assert "no such thing" in ended.stderr
    assert "d" not in rows
    assert "SKIPPED {'d': 'it is not installed.'}" in ended.stdout


@pytest.mark.slow
def test_question_and_answer_rows_become_examples(tmp_path):
    rows = [{"question": f"What is {i} + 1?", "answer": f"It is {i + 1}."} for i in range(3)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = data.examples(Namespace(model="smollm2-135m", data=path, rows=2, length=0))
    assert len(made) == 2
    for example in made:
        trained = [t for t, w in zip(example.tokens, example.loss_weights, strict=True) if w]
        assert trained[-1] == 2  # <|im_end|>, SmolLM2's stop token
        assert len(trained) < len(example.tokens) / 2


def test_rows_are_appended_to_the_csv(tmp_path, capsys):
    variants = {"strop": runs.Variant("strop", {"optimizer": "adamw_8bit"})}
    rows = {"strop": {"tokens_per_second": 123.456789, "trained_tokens_per_second": 7.0, "peak_memory_gb": 1.5}}
    given = Namespace(
        smoke=False, json=True, length=0, model="m", data=None, csv=tmp_path / "r.csv", batch=16, steps=4, warmup=2
    )
    given.micro_batch_tokens, given.rounds = 2048, 3
    for _ in range(2):
        results.show("sft", given, rows, variants, {}, {"ratios": {}})
    written = list(csv.DictReader(given.csv.open()))
    assert len(written) == 2
    assert written[1]["tokens_per_second"] == "123.46"
    assert written[1]["data"] == "code_basics"
    assert json.loads(written[1]["settings"])["optimizer"] == "adamw_8bit"
    assert written[1]["machine"]
    assert written[1]["commit"]
    assert json.loads(capsys.readouterr().out.split("\n}\n")[0] + "\n}")["results"] == rows


def test_the_asking_process_stays_without_torch():
    code = "import sys, sft, memory, dpo, generate; print('torch' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], cwd=BENCH, capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "False"


def test_a_step_of_policy_optimisation_is_all_of_it(found):
    rows = found["grpo"]["results"]
    assert {"strop", "strop LoRA", "TRL"} <= set(rows)
    for name, row in rows.items():
        parts = row["rollout_seconds"] + row["reward_seconds"] + row["train_seconds"]
        assert parts == pytest.approx(row["seconds_per_step"])
        assert 0 < row["rollout_seconds"] < row["seconds_per_step"] > row["train_seconds"] > 0
        # ahead of training rewards are computed beside it, and a step does not wait for them
        assert row["reward_seconds"] == 0 < row["ahead_seconds"] if "ahead" in name else row["reward_seconds"] > 0
        assert row["sampled_per_second"] * row["seconds_per_step"] == pytest.approx(2 * 4 * 8)
    best = min(row["seconds_per_step"] for name, row in rows.items() if name.startswith("TRL"))
    assert found["grpo"]["ratio_vs_trl"] == pytest.approx(best / rows["strop"]["seconds_per_step"], abs=1e-3)
    peaks = found["grpo"]["peak_memory_gb"]
    assert peaks == {"strop": rows["strop"]["peak_memory_gb"], "TRL": rows[found["grpo"]["TRL best"]]["peak_memory_gb"]}


def test_a_trainer_that_was_stopped_gives_a_bound_and_no_ratio():
    """A step that ran out of time took at least so long; a variant that was through is the one to compare with."""
    rows = {"strop": {"seconds_per_step": 50.0, "peak_memory_gb": 3.5}}
    rows["TRL"] = {"seconds_per_step": None, "at_least_seconds": 180.0, "peak_memory_gb": 9.9}
    found = grpo.told(rows)
    assert found["ratio_vs_trl_at_least"] == 3.6
    assert "ratio_vs_trl" not in found
    rows["TRL two at a time"] = {"seconds_per_step": 200.0, "peak_memory_gb": 5.0}
    assert grpo.told(rows)["ratio_vs_trl"] == 4.0
    assert grpo.told(rows)["TRL best"] == "TRL two at a time"


def test_time_that_is_up_ends_what_runs_and_nothing_later():
    with pytest.raises(runs.TimeUp), runs.within(0.05):
        time.sleep(5)
    with runs.within(0.05):
        pass
    time.sleep(0.1)  # the clock is off
