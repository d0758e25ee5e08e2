"""The whole chain on a tiny model: baseline, SFT, evaluation, report; skipped, changed, resumed and refused."""

import json
from types import SimpleNamespace

import pytest
import torch

from strop.cli import main
from strop.model.names import load_model


@pytest.fixture
def run(tmp_path, model_folder, capsys, monkeypatch):
    """Run the recipe through the command line; gives the exit code, what was printed, and the run folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STROP_CACHE", str(tmp_path / "cache"))
    rows = [{"prompt": f"Say {i}.", "completion": str(i)} for i in range(12)]
    (tmp_path / "chat.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "recipe.yaml").write_text(f"""\
name: tiny
model: {model_folder}
evals:
  code_basics: {{count: 3, max_tokens: 8}}
  humaneval: {{count: 2, max_tokens: 8}}
  general_chat: {{count: 4}}
stages:
  baseline: {{kind: eval}}
  sft:
    kind: sft
    data: [{{path: chat.jsonl}}, {{task: code_basics, count: 4}}]
    eval_data: [{{task: general_chat_heldout, count: 2}}]
    train: {{global_batch_size: 4, learning_rate: 1e-2}}
  eval: {{kind: eval}}
""")

    def call(*overrides):
        code = main(["run", "recipe.yaml", "compute.dtype=float32", *overrides])
        out, err = capsys.readouterr()
        return SimpleNamespace(code=code, out=out, err=err, folder=tmp_path / "runs/tiny", tmp=tmp_path)

    call.tmp = tmp_path
    return call


def test_from_recipe_to_report(run):
    done = run()
    assert done.code == 0
    assert "strop chat runs/tiny" in done.out
    summary = json.loads((done.folder / "summary.json").read_text())
    for part in ("before", "after"):
        assert summary[part]["exec_success_rate"]["n"] == 3
        assert summary[part]["humaneval_pass@1"]["n"] == 2
        assert summary[part]["general_chat_loss"]["value"] > 0
    assert set(summary["minutes"]) == {"baseline", "sft", "eval", "report"}
    assert summary["trained_tokens_per_second"] > 0
    assert summary["mask"]["sft"]["conversations"] == 16
    page = (done.folder / "report.html").read_text()
    assert "accepted@1" in page
    items = [json.loads(line) for line in (done.folder / "baseline/evals/code_basics.jsonl").read_text().splitlines()]
    assert {"prompt", "answer", "verdict", "stderr_tail", "family"} <= items[0].keys()
    steps = [json.loads(line) for line in (done.folder / "sft/metrics.jsonl").read_text().splitlines()]
    assert [s["step"] for s in steps if "loss" in s] == [1, 2, 3, 4]
    assert [s["step"] for s in steps if "eval_loss" in s] == [0, 4]
    trained, base = load_model(done.folder / "sft/model"), load_model(done.folder.parent.parent / "runs/tiny")
    assert all(torch.equal(a, b) for a, b in zip(trained.parameters(), base.parameters(), strict=True))

    again = run()
    assert again.out.count("skipped") == 3
    gated = run("gates={humaneval.pass@1: {max_drop: 0.05}}")
    assert gated.code == 0
    assert "Gate humaneval_pass@1 cannot be told with 2 items, and it passes:" in gated.out
    strict = run("gates={humaneval.pass@1: {max_drop: 0.05, undecided: fail}}")
    assert (strict.code, strict.out.count("skipped")) == (3, 3)
    page = (done.folder / "report.html").read_text()
    assert "Gate humaneval_pass@1 cannot be told with 2 items, and it fails" in page
    other = run("--fresh", "stages.sft.train.learning_rate=2e-2")
    assert "baseline: done before" in other.out
    assert other.out.count("skipped") == 1  # the evaluation after it depends on what was trained
    assert "sft: done afresh (train.learning_rate 0.01 → 0.02)" in other.out
    assert "eval: done again, since the model before it is another" in other.out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nonsense", r"chat.jsonl:13: not JSON"),
        ('{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": ""}]}', "chat.jsonl:13: "),
        ('{"messages": [{"role": "wizard", "content": "x"}]}', "chat.jsonl:13: "),
        ('{"msgs": []}', "chat.jsonl:13: "),
        (json.dumps({"prompt": "x", "completion": "y" * 9000}), "chat.jsonl:13: "),
    ],
)
def test_a_bad_row_is_named_and_costs_nothing_that_was_done(run, line, message):
    done = run("stages={baseline: {kind: eval}}")
    results = (done.folder / "baseline/evals/code_basics.jsonl").read_bytes()
    with (done.tmp / "chat.jsonl").open("a") as file:
        file.write(line + "\n")
    failed = run("chat.max_length=2048")
    assert failed.code == 2
    assert message in failed.err
    assert failed.err.startswith("strop: ")
    assert failed.err.count("\n") == 1
    assert (done.folder / "baseline/evals/code_basics.jsonl").read_bytes() == results


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model=no/such/model/here", "There is no model"),
        ("model=smolm2-135m", "smollm2-135m"),
        ("stages.sft.data.0.path=gone.jsonl", "gone.jsonl: there is no such file"),
        ("stages.sft.data.1.task=code_basic", "no data set named 'code_basic'"),
        ("stages.sft.train.micro_batch_tokens=8", "micro_batch_tokens"),
        ("chat.template={{ raise_exception('no') }}", "no"),
        (
            "gates={chat_los: {max_rise: 0.1}}",
            "gates.chat_los: no metric that is measured has this name",
        ),
        ("gates={general_chat_loss: {max_drop: 0.1}}", "gets worse the other way; write max_rise"),
        ("gates={general_chat_loss: {}}", "gates.general_chat_loss: a gate has max_drop or max_rise"),
        ("stages.sft.train.learning_rte=1", "did you mean 'learning_rate'"),
        ("folder=/proc/nothing", "/proc/nothing: cannot be written to"),
    ],
)
def test_bad_input_is_one_line_with_the_mend(run, override, message):
    failed = run("evals={general_chat: {count: 2}}", override)
    assert failed.code == 2
    assert message in failed.err
    assert failed.err.count("\n") == 1
    assert "Traceback" not in failed.err


@pytest.mark.parametrize("metric", ["sums.accuracy", "sums_accuracy/sum"])
def test_a_gate_that_no_rate_can_reach_is_refused_before_the_first_stage(run, metric):
    failed = run("evals={sums: {count: 2}}", f"gates={{{metric}: {{max_drop: 5}}}}")
    assert (failed.code, failed.err.count("\n")) == (2, 1)
    assert "sums_accuracy is a rate, from 0 to 1; 5 points is 0.05" in failed.err


def test_a_full_disk_is_one_line_and_what_was_written_is_whole(run, monkeypatch):
    done = run("stages={baseline: {kind: eval}}", "evals={general_chat: {count: 2}}")
    before = (done.folder / "summary.json").read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device", str(done.folder / "sft/metrics.jsonl"))

    monkeypatch.setattr("strop.train.loop.MetricsLog", full)
    failed = run("evals={general_chat: {count: 2}}")
    assert failed.code == 2
    assert "metrics.jsonl: no space is left" in failed.err
    assert (done.folder / "summary.json").read_bytes() == before


def test_a_second_run_uses_what_the_first_prepared_and_says_the_same(run):
    mixture = (
        "stages.sft.data={parts: [{path: chat.jsonl, weight: 2}, {task: code_basics, count: 4}], mix: weights,"
        " total: 8, system_prompts: {ratio: 0.5, prompts: [Be brief., Be kind.]}, on_bad_row: skip}"
    )
    with (run.tmp / "chat.jsonl").open("a") as file:
        file.write("nonsense\n")
    first, second = (
        run("evals={general_chat: {count: 2}}", f"folder={name}", mixture, "stages.sft.train.epochs=2") for name in "ab"
    )
    assert "bad rows skipped: 1;" in first.out
    assert "chat.jsonl:13: not JSON" in first.out
    assert "prepared data reused" not in first.out
    assert "prepared data reused" in second.out
    states = [json.loads((run.tmp / name / "sft/stage.json").read_text()) for name in "ab"]
    assert states[0]["mask"] == states[1]["mask"]
    assert states[0]["totals"]["step"] == 4
    losses = [
        [json.loads(line).get("loss") for line in (run.tmp / name / "sft/metrics.jsonl").read_text().splitlines()]
        for name in "ab"
    ]
    assert losses[0] == losses[1]


def test_a_folder_that_is_not_ours_is_left_alone(run):
    precious = run("stages={baseline: {kind: eval}}").tmp / "mine/baseline"
    precious.mkdir(parents=True)
    (precious / "thesis.txt").write_text("do not delete")
    failed = run("folder=mine")
    assert failed.code == 2
    assert "did not write" in failed.err
    assert (precious / "thesis.txt").read_text() == "do not delete"
