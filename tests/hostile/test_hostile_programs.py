"""Programs that try to get out of the sandbox, to read their tests or to be accepted wrongly."""

import json
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
CORPUS = Path(__file__).parent / "corpus"
sys.path.insert(0, str(BENCH))

from common.hostile import Case, Outcome, read_case  # noqa: E402

import hostile  # noqa: E402

NASTIEST = (
    # out of the sandbox: network, files, other processes, memory, the machine
    *("every_other_system_call", "every_socket_family", "tcp_fast_open", "unix_sockets_outside", "mount_api"),
    *(
        "capabilities",
        "descriptor_controls",
        "process_controls",
        "affinity_of_the_judge",
        "file_flags_of_the_interpreter",
    ),
    *("python_started_again", "signals_by_every_call", "child_given_to_the_judge", "input_file_is_sealed"),
    *("memory_by_shared_mappings", "x32_system_calls", "int80_system_calls", "pages_of_shared_files"),
    # to the tests, or past them
    *("exploit_swaps_the_tests", "exploit_reads_the_tests", "tests_in_memory_given_back", "tests_in_the_frames"),
    *(
        "stopiteration_ends_for",
        "index_error_that_tests_raise",
        "interrupt_of_the_tests",
        "object_of_its_own_equals_all",
    ),
    *("forged_reply_json_deep_lists", "forged_reply_bad_utf8", "forged_reply_json_wrong_types"),
    # the judge's own process
    *("compile_bomb_finally", "elif_chain_crash", "fence_regex_tildes", "byte_ff_for_text_backslash_xff"),
)
NONE = {"escapes": 0, "false_passes": 0, "wrong_verdicts": 0, "crashes": 0, "left_over": 0, "loads": 0}


def test_the_nastiest_programs(capsys):
    files = [path for path in sorted(CORPUS.iterdir()) if path.stem in NASTIEST]
    assert len(files) == len(NASTIEST)
    _, counts = hostile.run(files)
    assert counts == {"programs": len(files), **NONE}, capsys.readouterr().out


@pytest.mark.slow
def test_every_program_of_the_corpus(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["hostile.py"])
    code = hostile.main()
    out = capsys.readouterr().out
    assert code == 0, out
    counts = json.loads(out.splitlines()[-1])
    assert counts == {"programs": counts["programs"], **NONE}, out
    assert counts["programs"] > 180


def test_what_is_found_is_counted(tmp_path, capsys, monkeypatch):
    """A program that gets through, and one that is accepted where it should not be, are said; the exit code is 1."""
    head = {"kind": "stdio", "tests": [["1 2\n", "3\n"]]}
    programs = {
        "through": ("accepted", "print('ESC: out')"),
        "wrongly": ("wrong_answer", "print(3)"),
        "refused": ("accepted", "print(4)"),
        "right": ("accepted", "print(3)"),
    }
    for name, (expect, source) in programs.items():
        (tmp_path / f"{name}.py").write_text(f"# {json.dumps({**head, 'expect': expect})}\n{source}\n")
    monkeypatch.setattr(sys, "argv", ["hostile.py", "--corpus", str(tmp_path)])
    assert hostile.main() == 1
    lines = capsys.readouterr().out.splitlines()
    assert json.loads(lines[-1]) == {"programs": 4, **NONE, "escapes": 1, "false_passes": 1, "wrong_verdicts": 1}
    assert [line.split()[0] for line in lines[:4]] == sorted(programs)
    assert lines[1].endswith("ok")


def test_a_file_without_a_head_is_named(tmp_path, capsys, monkeypatch):
    (tmp_path / "x.py").write_text("print(3)\n")
    monkeypatch.setattr(sys, "argv", ["hostile.py", "--corpus", str(tmp_path)])
    assert hostile.main() == 2
    assert "x.py: the first line must be" in capsys.readouterr().err


def test_programs_of_the_corpus_say_what_is_right():
    verdicts = {"no_code", "syntax_error", "runtime_error", "timeout", "wrong_answer", "accepted"}
    for path in CORPUS.iterdir():
        if path.suffix in (".py", ".txt"):
            assert set(read_case(path).expected) <= verdicts, path


def test_a_documented_limitation_is_no_fault_but_a_false_pass_is():
    watch = object.__new__(hostile.Watch)
    case = Case("x", {"kind": "stdio", "expect": "wrong_answer", "documented": "so it is"}, "")
    assert watch._of_outcome(case, Outcome(verdict="runtime_error"))[0].startswith("DOCUMENTED")
    assert watch._of_outcome(case, Outcome(verdict="accepted"))[0].startswith("FALSE PASS")
    assert watch._of_outcome(case, Outcome(crash="ValueError: x"))[0].startswith("CRASH")
