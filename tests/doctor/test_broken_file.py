"""Ten faults, each found with its place; and what --fix leaves of the file."""

import json
from pathlib import Path

import pytest
from broken_data import break_file, sound_rows

from strop.cli import main


def test_each_of_ten_faults_is_found_with_its_place(recipe, examined, heard):
    places = break_file(Path("data.jsonl"))
    found = examined(recipe)
    [(done, total)] = [count for title, count in heard.items() if title == "masks"]
    assert done == total > 20
    assert {"duplicates", "languages", "overlap with evaluations"} <= heard.keys()
    assert len(places) == 10
    for kind, place in places.items():
        if kind in found.kinds:
            [finding] = found.kinds[kind]
        else:
            [finding] = [f for f in found.kinds["rejected"] if kind in f["message"]]
        assert finding["place"] == place
        assert finding["count"] == 1
        assert place in found.err  # people see it too
    assert found.code == 3


def test_fix_leaves_out_what_is_broken_and_says_so(recipe, examined, capsys):
    places = break_file(Path("data.jsonl"))
    before = Path("data.jsonl").read_bytes()
    assert main(["doctor", str(recipe), "--fix", "clean.jsonl"]) == 3
    capsys.readouterr()
    rows = [json.loads(line) for line in Path("clean.jsonl").read_text().splitlines()]
    assert rows[:20] == sound_rows()
    assert len(rows) == 24  # roles out of order, the control token and the long one are for people to decide
    report = json.loads(Path("clean.jsonl.report.json").read_text())
    gone = {row["place"]: row["reason"] for row in report["rows"]}
    assert set(gone) == {
        places[kind]
        for kind in ("not JSON", "the role is 'wizard'", "blank_turn", "duplicate", "near_duplicate", "contamination")
    }
    assert gone[places["duplicate"]] == "duplicate of data.jsonl:2"
    assert "data.jsonl:4" in gone[places["near_duplicate"]]
    assert "lighthouse" in gone[places["contamination"]]
    assert report["written"] == 24
    assert report["left_out"] == 6
    assert Path("data.jsonl").read_bytes() == before

    again = examined(recipe, "stages.sft.data.0.path=clean.jsonl")
    assert again.code == 0
    assert not {"rejected", "duplicate", "near_duplicate", "contamination", "blank_turn"} & again.kinds.keys()


@pytest.mark.parametrize("out", ["data.jsonl", "recipe.yaml", "problems.jsonl", "../{here}/data.jsonl"])
def test_fix_never_overwrites_what_it_did_not_write(recipe, out, capsys):
    break_file(Path("data.jsonl"))
    target = Path(out.format(here=Path.cwd().name))
    before = target.read_bytes()
    assert main(["doctor", str(recipe), "--fix", str(target)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert target.read_bytes() == before


@pytest.mark.parametrize(
    ("out", "usual"),
    [("x.csv", "x.jsonl"), ("in/y.parquet", "in/y.jsonl"), ("z.jsonl.gz", "z.jsonl"), ("w.json", "w.jsonl"),
     ("clean", "clean.jsonl")],
)  # fmt: skip
def test_fix_writes_no_json_lines_under_another_name(recipe, out, usual, capsys):
    break_file(Path("data.jsonl"))
    assert main(["doctor", str(recipe), "--fix", out]) == 2
    assert capsys.readouterr().err.endswith(f"written as JSON lines; give a name that says so, e.g. {usual}.\n")
    assert not Path(out).exists()


def test_fix_may_be_run_again(recipe, capsys):
    break_file(Path("data.jsonl"))
    for _ in range(2):
        assert main(["doctor", str(recipe), "--fix", "clean.jsonl"]) == 3
    assert "wrote clean.jsonl" in capsys.readouterr().out


def test_a_sound_file_has_no_error_and_no_warning(recipe, examined):
    Path("data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in sound_rows()))
    found = examined(recipe)
    assert found.code == 0
    assert found.kinds == {}
    assert "nothing found" in found.err
    assert "next: strop run" in found.err


def test_a_data_file_is_examined_for_a_model(recipe, model_folder, examined):
    Path("data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in sound_rows()))
    found = examined("data.jsonl", "--model", model_folder, "chat.max_length=100", "train.global_batch_size=1")
    assert found.code == 3
    [finding] = found.kinds["too_long"]
    assert finding["count"] == 20
    assert "training would stop" in finding["message"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.yaml"], "nowhere.yaml: there is no such file"),
        (["nowhere.jsonl", "--model", "M"], "nowhere.jsonl: there is no such file"),
        (["data.jsonl"], "add --model"),
        (["recipe.yaml", "stages={e: {kind: eval}}"], "no stage that trains on conversations"),
        (["recipe.yaml", "chat.max_lenght=1"], "did you mean 'max_length'"),
    ],
)
def test_bad_input_is_one_line_with_the_mend(recipe, model_folder, arguments, message, capsys):
    arguments = [str(model_folder) if a == "M" else a for a in arguments]
    assert main(["doctor", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
