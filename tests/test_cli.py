"""The command line says what it can do, and what is wrong, without a traceback."""

import subprocess
import sys

import pytest

from strop.cli import main


@pytest.mark.parametrize("arguments", [[], ["demmo"], ["run"], ["chat"]])
def test_bad_usage_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: strop" in capsys.readouterr().err


def test_a_missing_recipe_is_one_line(capsys):
    assert main(["run", "nowhere.yaml"]) == 2
    assert capsys.readouterr().err == "strop: nowhere.yaml: there is no such file; give the path of a recipe (YAML).\n"


def test_a_report_of_nothing_is_one_line(capsys, tmp_path):
    assert main(["report", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "summary.json is missing" in err
    assert err.count("\n") == 1


def test_the_module_is_the_command():
    out = subprocess.run([sys.executable, "-m", "strop", "--help"], capture_output=True, text=True, check=True).stdout
    for verb in ("demo", "run", "chat", "report"):
        assert verb in out
