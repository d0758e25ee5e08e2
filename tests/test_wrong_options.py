"""Options that cannot be meant: one line, exit 2, nothing written."""

import pytest

from strop.cli import main
from strop.common.errors import InputError
from strop.config.recipe import stage_recipe


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("export rows.jsonl --format verl --to x.parquet --count -1", "--count -1: give 1 or more"),
        ("export rows.jsonl --format verl --to x.parquet --seed -1", "--seed -1: give 0 or more"),
        ("inspect rows.jsonl --model MODEL --html folder", "folder: is a folder, and a file is to be written"),
        ("inspect rows.jsonl --model MODEL --index -1", "--index -1: rows are counted from 0"),
        ("chat MODEL --prompt a --temperature nan", "temperature of at least 0"),
        ("doctor / --model MODEL", "strop: /: "),
    ],
)
def test_one_line_and_nothing_written(arguments, said, tmp_path, monkeypatch, capsys, model_folder):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    row = '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}'
    (tmp_path / "rows.jsonl").write_text(row + "\n")
    assert main([str(model_folder) if one == "MODEL" else one for one in arguments.split()]) == 2
    assert said in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "rows.jsonl"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["export", "MODEL"], "give --to: where to"),
        (["report"], "give RUN: run folders"),
        (["eval", "MODEL", "--tasks", "gsm8k", "--out", ""], "argument --out: is empty; name a file or a folder"),
        (["report", ""], "argument RUN: is empty"),
        (["chat", "MODEL", "--prompt", "\udcff"], "argument --prompt: holds bytes that are not UTF-8"),
    ],
)
def test_what_an_argument_is_stands_in_the_line(arguments, said, capsys):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert said in capsys.readouterr().err


def test_a_verb_takes_what_is_said_of_its_data_and_not_other_data():
    read = stage_recipe(
        "sft", "m", {"kind": "sft", "data": ["a.jsonl"]}, ["data.parts.0.columns={prompt: q, answer: a}"]
    )
    assert read.stages["sft"].data.parts[0].columns == {"prompt": "q", "answer": "a"}
    with pytest.raises(InputError, match=r"the data are given by --data; name them there"):
        stage_recipe("sft", "m", {"kind": "sft", "data": ["a.jsonl"]}, ["data.parts.0.path=b.jsonl"])
