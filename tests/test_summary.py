"""The numbers of a run put together: one evaluation, several, an evaluation loss alone; and what is printed of them."""

import io

import pytest
import torch
from rich.console import Console

from strop.common.console import make_console
from strop.common.files import write_json
from strop.config.recipe import Recipe
from strop.evals.results import ItemResult, LossResult, write_results
from strop.model.precision import Compute
from strop.report import write_report
from strop.report.files import Summary
from strop.runs.summary import show, summarise
from strop.tasks.base import known_metrics
from strop.tasks.metrics import Metric

COMPUTE = Compute(torch.device("cpu"), torch.float32)
TRAINED = {"step": 4, "tokens": 100, "trained_tokens": 50, "seconds": 2.0}
LOSS = {"start": 1.454, "end": 0.98, "best": 0.95, "best_step": 3, "points": 5}


def estimate(value):
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 4, "groups": 4}


def evaluated(**metrics):
    measures = {name: known_metrics().get(name, Metric(name, unit="rate", better=1)).to_dict() for name in metrics}
    return {
        "minutes": 1.0,
        "peak_memory_gb": 2.0,
        "metrics": metrics,
        "measures": measures,
        "tasks": {"mine": list(metrics)},
        "answered": ["mine"],
    }


def trained(**more):
    return {"minutes": 3.0, "peak_memory_gb": 4.5, "totals": TRAINED | more, "mask": {"conversations": 3}}


@pytest.fixture
def run(tmp_path):
    """A summary from a recipe's stages and their states; the page is made too."""

    def make(done, evals=("mine",)):
        stages = {
            name: {"kind": "sft", "data": [{"path": "x.jsonl"}]} if "totals" in state else {"kind": "eval"}
            for name, state in done.items()
        }
        recipe = Recipe.model_validate(
            {
                "name": "r",
                "model": "m",
                "folder": tmp_path,
                "stages": stages,
                "evals": {name: {} if name == "general_chat" else {"path": "p.jsonl"} for name in evals},
            }
        )
        for number, (name, state) in enumerate(done.items()):
            if "metrics" in state:
                verdicts = ["accepted" if i < number else "wrong_answer" for i in range(4)]
                items = [item(str(i), verdict, state["metrics"]) for i, verdict in enumerate(verdicts)]
                for task in state["tasks"]:
                    write_results(tmp_path / name / "evals" / f"{task}.jsonl", items)
                if "general_chat" in evals:
                    losses = [LossResult(str(i), str(i), 10.0 + number, 5) for i in range(4)]
                    write_results(tmp_path / name / "evals/general_chat.jsonl", losses)
        summary = summarise(recipe, done, COMPUTE)
        write_json(tmp_path / "summary.json", summary)
        return summary, write_report(tmp_path).read_text(encoding="utf-8")

    return make


def item(name, verdict, metrics):
    values = dict.fromkeys(metrics, float(verdict == "accepted"))
    return ItemResult(name, name, "p", "a", verdict, 1, 2, "", "", "stop", 5, True, values=values)


def said(summary):
    out = io.StringIO()
    show(summary, make_console(file=out))
    return out.getvalue().replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("order", "when"),
    [
        (["e"], None),
        (["sft", "e"], "after training"),
        (["e", "sft"], "before training"),
        (["sft", "e", "more"], "between the trainings"),
    ],
)
def test_a_single_evaluation_is_neither_before_nor_after(run, order, when):
    done = {name: evaluated(**{"mine_accepted@1": estimate(0.25)}) if name == "e" else trained() for name in order}
    summary, page = run(done)
    assert not {"before", "after", "change", "bounds"} & set(summary)
    assert summary["measured"]["mine_accepted@1"]["value"] == 0.25
    assert (summary["stages"]["measured"], summary["stages"]["when"]) == ("e", when)
    assert (summary["stages"]["before"], summary["stages"]["after"]) == (None, None)
    text = said(summary)
    assert "measured" in text.splitlines()[1]
    assert "before │" not in text
    assert "mine_accepted@1 is 25.0 % (95 % interval 15.0–35.0 %; 4 items;" in text
    assert f"<h2>Measured{' ' + when if when else ''}</h2>" in page
    assert 'data-label="before"' not in page
    assert page.count('data-label="measured"') == 1
    assert "Nothing was measured" not in page


def test_before_is_the_first_and_after_the_last_and_the_rest_is_named(run):
    done = {
        "a": evaluated(**{"mine_accepted@1": estimate(0.0), "mine_pass_ratio": estimate(0.5)}),
        "sft": trained(),
        "b": evaluated(**{"mine_accepted@1": estimate(0.5)}),
        "c": evaluated(**{"mine_accepted@1": estimate(0.75), "mine_pass_ratio": estimate(0.5)}),
    }
    summary, page = run(done)
    assert (summary["before"]["mine_accepted@1"]["value"], summary["after"]["mine_accepted@1"]["value"]) == (0, 0.75)
    assert summary["change"]["mine_accepted@1"]["value"] == 0.75
    assert set(summary["change"]) == {"mine_accepted@1", "mine_pass_ratio"}
    assert "not shown: b (" in summary["notes"][0]
    assert "Of the 4 items of <code>mine</code>" in page  # the user's own task has its answers shown too


def test_a_file_under_a_built_in_name_is_compared_by_what_it_was_measured_by(run):
    tasks = {"humaneval": ["humaneval_accepted@1"]}
    state = evaluated(**{"humaneval_accepted@1": estimate(0.25)}) | {"tasks": tasks}
    summary, _ = run({"a": state, "sft": trained(), "b": state}, evals=("humaneval",))
    assert set(summary["change"]) == set(summary["before"]) == {"humaneval_accepted@1"}


def test_the_evaluation_loss_is_in_the_summary_the_terminal_and_the_page(run):
    summary, page = run({"sft": trained(eval_loss=LOSS)}, evals=())
    assert summary["eval_loss"] == {"sft": LOSS}
    claim = "The evaluation loss of sft fell from 1.454 to 0.980"
    assert said(summary) == f"{claim} (nats per token of eval_data; the lowest was 0.950 at step 3).\n"
    assert f"<b>{claim}</b>" in page
    assert page.count(claim) == 1


def test_a_name_that_looks_like_markup_is_printed_as_it_stands(run):
    summary, _ = run({"e": evaluated(**{"[/x]_accepted@1": estimate(0.5)})})
    out = io.StringIO()
    show(summary, Console(file=out, width=200))
    assert "[/x]_accepted@1 (n 4)" in out.getvalue()


def test_nothing_was_measured_only_where_nothing_was(run):
    summary, page = run({"sft": trained()}, evals=())
    assert said(summary) == "Nothing was measured in this run.\n"
    assert "Nothing was measured in this run." in page
    assert "95 %" not in page


def test_memory_is_told_by_stage(run):
    summary, page = run({"sft": trained(), "e": evaluated(**{"mine_accepted@1": estimate(0.5)})})
    assert summary["memory_gb"] == {"sft": 4.5, "e": 2.0}
    assert summary["peak_memory_gb"] == 4.5
    assert "<dt>sft</dt><dd>3.0 · 4.5 GB</dd>" in page
    assert "<dt>e</dt><dd>1.0 · 2.0 GB</dd>" in page
    assert "<dt>together</dt><dd>4.0 · 4.5 GB</dd>" in page


def test_warnings_of_the_stages_are_on_the_page(run):
    summary, page = run({"sft": trained() | {"warnings": ["the loss rose from 2.25 to <33.7>"]}}, evals=())
    assert summary["warnings"] == ["sft: the loss rose from 2.25 to <33.7>"]
    assert "<li>sft: the loss rose from 2.25 to &lt;33.7&gt;</li>" in page


def test_terminal_and_page_say_the_same_of_forgetting_and_of_intervals(run):
    def state(value):
        tasks = {"general_chat": ["general_chat_loss"]}
        return evaluated(general_chat_loss=estimate(value)) | {"tasks": tasks, "answered": []}

    summary, page = run({"a": state(2.0), "sft": trained(), "b": state(2.4)}, evals=("general_chat",))
    assert summary["change"]["general_chat_loss"]["value"] == pytest.approx(0.4)
    assert summary["bounds"] == {"general_chat_loss": pytest.approx(0.1)}
    text = said(summary)
    assert "Forgetting is out of bounds in general_chat_loss: general_chat_loss +0.400 nats" in text
    for sentence in text.splitlines()[-1], "Forgetting is out of bounds in general_chat_loss:":
        assert sentence in page.replace("&#39;", "'")
    assert text.splitlines()[-1].startswith("Intervals are 95 %")


def test_the_summary_is_what_the_page_reads(run):
    summary, _ = run({"sft": trained(eval_loss=LOSS)}, evals=())
    assert set(summary) - set(Summary.model_fields) == set()
