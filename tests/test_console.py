"""What people read: whole lines in a pipe, nothing taken for markup, long work heard of."""

import io
import re
import shlex
import subprocess
import sys
import time

import pytest
from rich.console import Console
from rich.table import Table

from strop.common.console import AT_WORK, Steady, duration, heading, make_console, seconds_left, speaking_on, working
from strop.train.metrics import Progress


def test_a_pipe_gets_whole_lines_and_no_markup():
    out = io.StringIO()
    console = make_console(file=out)
    long = "runs/[/x] [bold]:smile: " + "word " * 100
    console.print(long.strip())
    heading(console, "sft [/y]")
    assert out.getvalue() == f"{long.strip()}\n── sft [/y]\n"


def test_a_table_in_a_pipe_is_as_wide_as_it_wants():
    out = io.StringIO()
    table = Table("metric", "value")
    table.add_row("m" * 150, "1")
    make_console(file=out).print(table)
    assert "m" * 150 in out.getvalue()


def test_long_work_is_heard_of_though_nothing_is_finished():
    out = io.StringIO()
    with Steady(make_console(file=out), "answers [/z]", 10, done=2, every=0.02) as work:
        while out.getvalue().count("\n") < 2:
            time.sleep(0.01)
        work.advance(4)
        while "6 of 10" not in out.getvalue():
            time.sleep(0.01)
    lines = out.getvalue().splitlines()
    assert lines[0] == "answers [/z]: 2 of 10, 0 s"
    assert re.fullmatch(r"answers \[/z\]: 6 of 10, 0 s, about 0 s left", lines[-1])
    assert "\r" not in out.getvalue()


def test_a_dumb_terminal_gets_lines_as_a_pipe_does():
    """A bar is never seen there, and left an empty line behind."""
    out = io.StringIO()
    dumb = Console(file=out, force_terminal=True, _environ={"TERM": "dumb"})
    with Steady(dumb, "answers", 10, every=0.02) as work:
        work.advance(4)
        while "4 of 10" not in out.getvalue():
            time.sleep(0.01)
    assert all(line.startswith("answers: ") for line in out.getvalue().splitlines())
    out.truncate(0)
    with Progress("sft", 2, 0, dumb) as progress:
        speed = {"tokens_per_second": 1.0, "trained_tokens_per_second": 1.0, "memory_gb": 0.1}
        progress.show({"step": 1, "loss": 0.5, "seconds": 1.0, **speed})
    assert "sft step 1/2 · loss 0.500 · " in out.getvalue()
    assert "\n\n" not in out.getvalue()


def test_short_work_says_nothing():
    out = io.StringIO()
    with Steady(make_console(file=out), "answers", 1) as work:
        work.advance()
    assert out.getvalue() == ""


def test_items_are_counted_when_they_are_done_with():
    with Steady(make_console(file=io.StringIO()), "rows", 3) as work:
        seen = [work.state()["done"] for _ in work.through("abc")]
    assert (seen, work.state()["done"]) == ([0, 1, 2], 3)


def test_work_that_was_interrupted_as_it_began_is_not_at_work(monkeypatch):
    def start(thread):
        raise KeyboardInterrupt  # as a signal's handler does, anywhere

    monkeypatch.setattr("threading.Thread.start", start)
    with pytest.raises(KeyboardInterrupt), Steady(make_console(file=io.StringIO()), "rows"):
        pass
    assert AT_WORK == []


def test_durations():
    assert [duration(s) for s in (3, 89.4, 150, 7200)] == ["3 s", "89 s", "2.5 min", "2.0 h"]


def test_an_estimate_waits_until_it_means_something_and_counts_what_is_under_way():
    assert seconds_left(30, 1, 210, at_once=128) is None  # the first of 128 says nothing about the rest
    assert seconds_left(60, 21, 210, at_once=128) == pytest.approx(60 / (21 + 64) * (210 - 21 - 64))
    assert seconds_left(90, 30, 60) == pytest.approx(90)
    assert seconds_left(5, 60, 60) == 0


def test_of_work_within_other_work_only_the_inner_one_speaks():
    out = io.StringIO()
    with speaking_on(make_console(file=out)), Steady(make_console(file=out), "outer", every=0.02), working("inner"):
        assert [one.state()["title"] for one in AT_WORK] == ["outer", "inner"]
        time.sleep(0.1)
        assert "outer" not in out.getvalue()
    assert not AT_WORK


@pytest.mark.parametrize("as_json", [[], ["--json"]])
@pytest.mark.parametrize(
    ("redirected", "code", "said"),
    [("| true", 1, ""), (">&-", 0, ""), ("> /dev/full", 2, "standard output: no space is left")],
)
def test_standard_output_that_takes_nothing(tmp_path, as_json, redirected, code, said):
    """Whoever read it has left (as ``| head`` does), closed, full: no traceback, and no cause that is none."""
    command = shlex.join([sys.executable, "-m", "strop", "runs", str(tmp_path), *as_json])
    line = f"(sleep 0.2; {command}) {redirected}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    lines = [line for line in done.stderr.splitlines() if "holds no run" not in line]
    assert len(lines) == bool(said)
    assert said in "".join(lines)
