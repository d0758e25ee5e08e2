"""What answers are rewarded for, and that a reward's own fault is told and never a 0."""

import pytest
from pydantic import TypeAdapter, ValidationError

from strop.common.errors import InputError
from strop.rewards import Score
from strop.rewards.kinds import AnyReward, Sample, load_function
from strop.rewards.timed import Failed, TimedWorkers


def reward(**given):
    return TypeAdapter(AnyReward).validate_python(given)


def value(answer, truth=None, finish="stop", tokens=0, **given):
    [score] = reward(**given).score([Sample("p", [], answer, truth, tokens, finish)])
    return score.value


@pytest.mark.parametrize(
    ("given", "answer", "truth", "expected"),
    [
        ({}, " 42\n", "42", 1),
        ({}, "42.", "42", 0),
        ({}, "42", 42, 1),
        ({"ignore_case": True}, "Paris", "PARIS", 1),
        ({"extract": r"#### (.+)"}, "so 3, no\n#### 7", "it is 7\n#### 7", 1),
        ({"extract": r"#### (.+)"}, "it is 7", "#### 7", 0),
        ({"extract": r"\d+"}, "1 2 3", "3", 1),  # the last match
        ({"as_number": True}, "that makes $1,200.0", "1200", 1),
        ({"as_number": True}, "-3", "3", 0),
        ({"as_number": True}, "none", "3", 0),
        ({"as_number": True}, "so the answer is 0", "0", 1),
        ({"as_number": True}, "so the answer is 0.0", 0, 1),
        ({"as_number": True}, "12345678901234567", "12345678901234568", 0),  # one to a float
        ({"as_number": True, "extract": "answer is (.*)"}, "The answer is 72.", "72", 1),
        ({"as_number": True, "extract": "answer is (.*)"}, "The answer is 71.", "9*8=72", 0),
        ({"ignore_case": True, "extract": r"answer is (\w+)"}, "answer is paris", "Paris", 1),
        ({}, "<think>2 + 2</think>\n4", "4", 1),
        ({}, "<think>4", "4", 0),
    ],
)
def test_exact(given, answer, truth, expected):
    assert value(answer, truth, kind="exact", **given) == expected


def test_a_truth_that_is_no_number_is_refused_before_and_a_failure_later():
    one = reward(kind="exact", as_number=True)
    assert one.truth_fault("#### 7") is None
    assert "holds no number ('seven')" in one.truth_fault("seven")
    with pytest.raises(ValueError, match="the ground truth holds no number"):
        one.score([Sample("p", [], "7", "seven")])


def test_reasoning_that_the_prompt_opened_is_reasoning():
    def of(answer, **given):
        [score] = reward(**given).score([Sample("p", [], answer, "4", opened="<think>")])
        return score.value

    assert of("I reason.</think>The answer is 4.", kind="think") == 1
    assert of("The answer is 4.", kind="think") == 0
    assert of("it is 4</think>\n5", kind="exact", as_number=True) == 0
    assert of("it is 5</think>\n4", kind="exact", as_number=True) == 1
    assert of("so it is 4", kind="exact", as_number=True) == 0  # it was still thinking


@pytest.mark.parametrize(
    ("answer", "compiles"),
    [
        ("```python\nprint(1)\n```", 1),
        ("Here it is:\n```python\nprint(1\n```", 0),
        ("I do not know.", 0),
        ("<think>\n```python\n1 +\n```\n</think>\n```python\nx = 1\n```", 1),
    ],
)
def test_a_program_that_compiles(answer, compiles):
    assert value(answer, kind="compiles") == compiles


@pytest.mark.parametrize(
    ("language", "answer", "share"),
    [
        ("en", "Hello, 12 worlds!", 1),
        ("en", "café", 1),
        ("zh", "你好，世界 42", 1),
        ("zh", "你好 ab", 0.5),
        ("zh", "答案\n```python\nprint(1)\n```\n是", 1),  # code is in every language
        ("zh", "答案\n```python\nprint(1)", 1),
        ("zh", "天天々", 1),
        ("ja", "これは東京です", 1),
        ("ja", "人々は時々ｱｲｳを話す", 1),  # marks of repetition, and kana of half a width
        ("ko", "안녕", 1),
        ("ru", "да no", 0.5),
        ("en", "42", 0),
        ("en", "", 0),
    ],
)
def test_the_share_of_a_languages_letters(language, answer, share):
    assert value(answer, kind="language", language=language) == share


def test_form_length_and_repetition():
    assert [value(a, kind="regex", pattern="b.c") for a in ("ab\ncd", "bc")] == [1, 0]
    assert [value(a, kind="regex", pattern="b+", whole=True) for a in (" bb ", "bbc")] == [1, 0]
    assert [value("", finish=f, kind="stop") for f in ("stop", "length")] == [1, 0]
    thoughts = [
        "<think>a</think>b",
        "<think> </think>b",
        "<think>a</think> ",
        "a</think>b",
        "<think>a</think>b</think>",
    ]
    assert [value(a, kind="think") for a in thoughts] == [1, 0, 0, 0, 0]
    lengths = [value("", tokens=n, kind="length", most=10, slack=4) for n in (0, 6, 8, 10, 99)]
    assert lengths == [0, 0, -0.5, -1, -1]
    assert value("a b c d", kind="repetition", n=2) == 0
    assert value("a b a b a", kind="repetition", n=2) == -0.5  # ab ba ab ba: two of four
    assert value("a", kind="repetition", n=2) == 0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"kind": "regex", "pattern": "("}, "no regular expression"),
        ({"kind": "function", "function": "mine"}, "module:function"),
        ({"kind": "task", "by": "luck"}, "accepted"),
        ({"kind": "stop", "most": 3}, "Extra inputs"),
    ],
)
def test_settings_that_make_no_sense_are_refused(given, words):
    with pytest.raises(ValidationError, match=words):
        reward(**given)


def test_functions_of_files_and_modules_are_found_or_named(tmp_path):
    (tmp_path / "mine.py").write_text("def good(samples):\n    return [len(s.answer) for s in samples]\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    mine = reward(kind="function", function=f"{tmp_path}/mine.py:good")
    assert mine.score([Sample("p", [], "abc"), Sample("p", [], "a")]) == [Score(3.0), Score(1.0)]
    for name, words in (
        (f"{tmp_path}/mine.py:bad", "no function bad"),
        (f"{tmp_path}/none.py:good", "no file"),
        (f"{tmp_path}/broken.py:good", "ZeroDivisionError"),
        ("no_such_module:good", "ModuleNotFoundError"),
    ):
        with pytest.raises(InputError, match=words):
            load_function(name)


def test_a_function_that_cannot_be_called_so_is_told_before_it_is(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "def one(samples): return []\ndef two(outputs, batch): return 0\ndef more(samples, *, scale=1.0): return []\n"
        "def keyed(samples, *, scale): return []\n"
    )
    for name in ("one", "more"):
        assert load_function(f"{file}:{name}", "samples").__name__ == name
    assert load_function(f"{file}:two", "outputs", "batch").__name__ == "two"
    assert load_function("builtins:print", "samples") is print
    for name, given, said in (
        ("two", ["samples"], r"two: takes \(outputs, batch\), and is called with \(samples\); let it take these"),
        ("one", ["outputs", "batch"], r"one: takes \(samples\), and is called with \(outputs, batch\)"),
        ("keyed", ["samples"], r"keyed: takes \(samples, \*, scale\)"),
    ):
        with pytest.raises(InputError, match=said):
            load_function(f"{file}:{name}", *given)


@pytest.mark.parametrize(("line", "said"), [("sys.exit(0)", "sys.exit(0)"), ("raise SystemExit", "sys.exit(None)")])
def test_a_file_that_ends_the_program_is_named(tmp_path, line, said):
    file = tmp_path / "ends.py"
    file.write_text(f"import sys\ndef f(samples): return [1.0]\n{line}\n")
    with pytest.raises(InputError, match=r"ends\.py:f: cannot be imported \(SystemExit: ") as caught:
        load_function(f"{file}:f")
    assert said in str(caught.value)


REWARDS = """
import os, signal, time
def raises(samples): raise ValueError("no such thing")
def hangs(samples): time.sleep(60)
def spins(samples):
    while True: pass
def dies(samples): os._exit(7)
def short(samples): return [1.0]
def text(samples): return "ab"
def mixed(samples): return [1.0, float("nan")]
def words(samples): return [1.0, "good"]
def alarmed(samples):  # signals need a main thread
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    signal.pause()
    return [0.5, 0.25]
"""


def _score(work):
    one, samples = work
    return one.score(samples)


def test_f31_whatever_a_function_does_is_told_and_the_next_call_works(tmp_path):
    (tmp_path / "mine.py").write_text(REWARDS)
    workers = TimedWorkers(1)
    samples = [Sample("p", [], "a"), Sample("p", [], "b")]
    names = ("raises", "hangs", "spins", "dies", "short", "text", "mixed", "words", "alarmed")
    work = [(reward(kind="function", function=f"{tmp_path}/mine.py:{name}"), samples) for name in names]
    try:
        found = dict(zip(names, workers.map(_score, work, 1.0), strict=True))
    finally:
        workers.close()
    assert found["raises"] == Failed("raised ValueError: no such thing")
    assert found["hangs"] == found["spins"] == Failed("took longer than 1 s")
    assert found["dies"] == Failed("ended its process (exit code 7)")
    assert "gave 1 scores for 2 answers" in found["short"].why
    assert "gave a str" in found["text"].why
    assert found["mixed"] == [Score(1.0), Failed("gave nan")]
    assert found["words"] == [Score(1.0), Failed("gave 'good', which is no number")]
    assert found["alarmed"] == [Score(0.5), Score(0.25)]


def test_a_pattern_that_never_ends_is_ended():
    workers = TimedWorkers(1)
    endless = reward(kind="regex", pattern="(a+)+b")
    try:
        found = workers.map(_score, [(endless, [Sample("p", [], "a" * 40)]), (endless, [Sample("p", [], "ab")])], 0.5)
    finally:
        workers.close()
    assert found == [Failed("took longer than 0.5 s"), [Score(1.0)]]
