"""`strop report`: one run or several, as a page or as Markdown, and one sentence where it cannot be made."""

import json
import webbrowser

import pytest
import yaml
from pages import Checker, texts

from strop.cli import main

ONE = "accepted@1"


@pytest.fixture
def runs(run_folder, tmp_path, summary):
    """The run of the other tests, and one beside it with another rate, that solved one item more."""
    other = tmp_path / "other"
    for path in run_folder.rglob("*"):
        if path.is_file():
            target = other / path.relative_to(run_folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    items = other / "eval/evals/code_basics.jsonl"
    rows = [json.loads(line) for line in items.read_text().splitlines()]
    rows[1] |= {"verdict": "accepted", "values": {ONE: 1.0}}
    items.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (other / "summary.json").write_text(json.dumps(summary | {"name": "other"}))
    for folder, rate, accepted in ((run_folder, 1e-5, 1), (other, 3e-4, 2)):
        state = {
            "tasks": {"code_basics": [ONE]},
            "metrics": {ONE: {"value": accepted / 3, "low": 0.1, "high": 0.9, "n": 3}},
        }
        (folder / "eval/stage.json").write_text(json.dumps(state))
        config = yaml.safe_dump({"name": folder.name, "train": {"learning_rate": rate, "seed": 1}})
        (folder / "sft/config.yaml").write_text(config)
    return run_folder, other


def test_several_runs_side_by_side(runs, tmp_path, capsys):
    assert main(["report", *map(str, runs)]) == 0
    page = tmp_path / "demo-and-other.html"
    assert str(page) in capsys.readouterr().out
    html = page.read_text(encoding="utf-8")
    read = Checker(html)
    assert (
        "accepted@1 items whose one answer passed every test 33.3 % 10.0–90.0 % 3 items 66.7 % 10.0–90.0 %" in read.text
    )
    assert "accepted@1 cannot be told with 3 items" in read.text
    assert "train.learning_rate 1e-05 0.0003" in read.text
    assert "train.seed" not in read.text.partition("To run it again")[0]
    assert "Training: sft" in read.text
    assert f'aria-label="loss over steps. {runs[0]}: 1.9' in html
    assert texts(html)["sort-2"][1][0]["answer"] == "answer to sort-2"
    assert len(read.ids) == len(set(read.ids))
    assert "://" not in html


def test_runs_that_share_nothing_stand_side_by_side_all_the_same(runs, tmp_path):
    (runs[1] / "eval/evals/code_basics.jsonl").rename(runs[1] / "eval/evals/other.jsonl")
    assert main(["report", *map(str, runs), "--out", str(tmp_path / "p.html")]) == 0
    text = Checker((tmp_path / "p.html").read_text(encoding="utf-8")).text
    assert (
        f"Not compared: {runs[0]} measured code_basics, and {runs[1]} measured other; measure a task with both." in text
    )
    assert "Training: sft" in text


def test_a_run_without_an_evaluation_beside_one_that_has_it_in_words_and_markdown(runs, capsys):
    for stage in ("baseline", "eval"):
        (runs[1] / stage / "evals/code_basics.jsonl").unlink()
    assert main(["report", *map(str, runs), "--md"]) == 0
    said, _, rest = capsys.readouterr().out.partition("Not compared: ")[2].replace("\\", "").partition("\n")
    assert said == f"{runs[0]} measured code_basics, and {runs[1]} measured nothing; measure a task with both."
    assert rest.startswith("\n| setting |")  # below the list's end, or the table would be text of its entry


def test_runs_without_an_evaluation_have_their_curves(runs, tmp_path):
    for run in runs:
        for stage in ("baseline", "eval"):
            (run / stage / "evals/code_basics.jsonl").unlink()
    assert main(["report", *map(str, runs), "--out", str(tmp_path / "p.html")]) == 0
    assert "Training: sft" in Checker((tmp_path / "p.html").read_text(encoding="utf-8")).text


def test_one_run_as_markdown(run_folder, capsys):
    (run_folder / "sft/config.yaml").write_text("note: '```'\n")
    assert main(["report", str(run_folder), "--md"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("### demo: accepted@1 rose from 0.0\N{NO-BREAK SPACE}% to 21.0")
    rows = [line for line in text.replace("\N{NO-BREAK SPACE}", " ").splitlines() if line.startswith("| accepted")]
    changed = "21.0 % (13.0–29.0 %) | +21.0 points (+14.0 to +28.0 points)"
    assert rows == [f"| accepted@1 | 0.0 % (0.0–0.0 %) | {changed} | 100 items in 25 families |"]
    assert "✅ Forgetting stayed in bounds" in text
    assert f"strop run {run_folder}/sft/config.yaml folder={run_folder}-again" in text
    assert "````yaml\nnote: '```'\n````" in text


def test_several_runs_as_markdown_into_a_file(runs, tmp_path, capsys):
    assert main(["report", *map(str, runs), "--md", "--out", str(tmp_path / "runs.md")]) == 0
    text = (tmp_path / "runs.md").read_text(encoding="utf-8").replace("\N{NO-BREAK SPACE}", " ")
    assert "| accepted@1 | 33.3 % (10.0–90.0 %) | 66.7 % (10.0–90.0 %) |" in text
    assert "| train.learning\\_rate | 1e-05 | 0.0003 |" in text
    assert "+1 −0" in text


def test_the_page_is_opened_or_its_place_is_said(run_folder, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or len(opened) == 1)
    assert main(["report", str(run_folder), "--open"]) == 0
    assert "no browser" not in capsys.readouterr().out
    assert main(["report", str(run_folder), "--open"]) == 0
    assert f"no browser can be opened here; open {run_folder / 'report.html'}" in "".join(
        capsys.readouterr().out.split("\n")
    )
    assert opened == [f"file://{run_folder / 'report.html'}"] * 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["RUN-"], "there is no such folder"),
        (["RUN", "RUN"], "are the same evaluation"),
        (["RUN", "RUN-"], "there is no such folder"),
        (["RUN", "--open", "--md"], "leave one of them out"),
        (["RUN", "--out", "RUN"], "name a file in it"),
        (["RUN"] * 9, "at most 8 runs"),
    ],
)
def test_what_no_report_can_be_made_of_is_said_in_one_line(run_folder, capsys, arguments, said):
    assert main(["report", *(one.replace("RUN", str(run_folder)) for one in arguments)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert said in line
