"""Broken run folders: each is refused in one line that names the place; a log cut by a kill is not broken."""

import pytest

from strop.common.errors import InputError
from strop.report.files import LoggedStep, read_rows, read_run


def message(folder) -> str:
    with pytest.raises(InputError) as caught:
        read_run(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_summary_names_the_command_that_makes_it(tmp_path):
    assert str(tmp_path / "summary.json") in message(tmp_path)
    assert "`strop run RECIPE.yaml`" in message(tmp_path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "is not JSON"),
        ("\udcff", "is not JSON"),
        ("[]", "the value: Input should be a valid dictionary"),
        ('{"model": "m"}', "name: Field required"),
        ('{"name": "n", "before": {"accepted@1": 0.5}}', "before.accepted@1"),
        ('{"name": "n", "bounds": {"general_chat_loss": -1}}', "bounds.general_chat_loss"),
    ],
)
def test_a_broken_summary_names_the_file_and_the_field(tmp_path, content, expected):
    (tmp_path / "summary.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    assert f"{tmp_path / 'summary.json'}" in message(tmp_path)
    assert expected in message(tmp_path)
    assert "`strop run RECIPE.yaml`" in message(tmp_path)


def test_a_broken_line_names_file_and_line(run_folder):
    path = run_folder / "sft" / "metrics.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], '{"loss": 1}', lines[2], ""]))
    assert message(run_folder).startswith(f"{path}:2: step: Field required")
    path.write_text("\n".join([lines[0], "oops", lines[2], ""]))
    assert message(run_folder).startswith(f"{path}:2 is not JSON")


def test_a_last_line_cut_by_a_kill_is_skipped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 2.0}\n\n{"step": 2, "lo')
    assert read_rows(path, LoggedStep) == [LoggedStep(step=1, loss=2.0)]
    path.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": NaN}')
    assert read_rows(path, LoggedStep) == [LoggedStep(step=1, loss=2.0), LoggedStep(step=2, loss=None)]
    path.write_text('{"step": 1, "lo\n')
    with pytest.raises(InputError, match=r"metrics.jsonl:1 is not JSON"):
        read_rows(path, LoggedStep)
