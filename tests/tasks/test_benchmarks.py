"""Benchmarks: prompts as lm-evaluation-harness has them, graders on answers that other tools judged wrongly."""

import json
import math

import pytest

from strop.common.errors import InputError
from strop.rewards.choice import chosen_letter
from strop.rewards.numbers import flexible_number, number, strict_number
from strop.rewards.reasoning import opened_by
from strop.tasks import open_task
from strop.tasks.base import TASKS, AnswerSettings
from strop.tasks.gsm8k import EXAMPLES, Gsm8k, Gsm8kSettings
from strop.tasks.metrics import pass_at_k
from strop.tasks.mmlu import MmluSettings
from strop.tasks.multiple_choice import ChoiceSettings
from strop.tasks.spelling import words


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def problem(question, answer="It is <<1+1=2>>2.\n#### 2"):
    return {"question": question, "answer": answer}


@pytest.fixture
def gsm8k(tmp_path):
    def make(*questions, **settings):
        path = write(tmp_path / "g.jsonl", *map(problem, questions or ("1 + 1?",)))
        return open_task("gsm8k", Gsm8kSettings(path=path, **settings))

    return make


def verdict(task, answer, reason="stop", item=0):
    text = task.finished_part(answer) if reason == "length" else answer
    return task.grade(task.all_items[item], text)


def test_the_examples_are_graded_right_by_both_extractors():
    """A regex unlike the shots fails what they teach (lm-evaluation-harness #3404)."""
    for _, answer in EXAMPLES:
        assert strict_number(answer) == flexible_number(answer) == number(answer.rpartition("####")[2]) is not None


@pytest.mark.parametrize(
    ("answer", "strict", "flexible"),
    [
        ("#### 2", 1, 1),
        ("#### $2.00", 1, 1),
        ("Q: 3+4?\n#### 7\n\nQ: 1+1?\n#### 2", 1, 1),  # a recited example stands before the answer (#3438)
        ("#### 2\nThat was 3 steps.", 1, 0),
        ("The answer is **2**.", 0, 1),
        ("1,002", 0, 0),
        ("$\\boxed{2{,}000}$", 0, 0),
        ("#### 2e0", 1, 1),
        ("<think>maybe 2", 0, 0),  # reasoning that was cut off (#3382)
        ("<think>#### 3</think>\n#### 2", 1, 1),
        ("I do not know.", 0, 0),
    ],
)
def test_gsm8k_answers(gsm8k, answer, strict, flexible):
    parts = verdict(gsm8k(), answer).parts
    assert (parts["strict_match"], parts["flexible_extract"]) == (strict, flexible)


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("答案是42。", 42), ("共12个", 12), ("約３個", 3), ("等于-5度", -5), ("一共１，２３４．５元", 234.5),
        ("총 7개입니다", 7), ("คำตอบคือ๔๒", 42), ("الجواب ٤٢", 42), ("从3到5。", 5), ("5×3", 3), ("#### ４２", 42),
        # and English as before: a digit in a word is none
        ("x2", None), ("H2O", None), ("α3", None), ("é3", None), ("v1.2.3", None), ("It is 1,234.50.", 1234.5),
        ("from 10-3", 3), ("Ａ３", None), ("$-7", -7), ("10² apples", 10),
    ],
)  # fmt: skip
def test_numbers_are_found_where_scripts_put_no_space_before_them(answer, value):
    assert flexible_number(answer) == value


def test_gsm8k_in_latexs_thousands(tmp_path):
    """In a reference, too; what is after #### is read there as the harness reads it."""
    path = write(tmp_path / "g.jsonl", problem("?", "#### 2{,}000"), problem("??", "#### 2,000"))
    task = open_task("gsm8k", Gsm8kSettings(path=path))
    for item in (0, 1):
        assert verdict(task, "It is $2{,}000$.", item=item).verdict == "accepted"
        assert verdict(task, "#### 2000", item=item).parts["strict_match"] == 1
        assert verdict(task, "#### 2", item=item).verdict == "wrong_answer"


def test_an_answer_that_was_cut_off_counts_only_where_its_number_is_whole(gsm8k):
    task = gsm8k()
    for answer, name in (("so there are 2", "no_answer"), ("#### 2", "no_answer"), ("#### 2\nand", "accepted")):
        assert verdict(task, answer, "length").verdict == name


def test_reasoning_that_the_prompt_opened_is_seen():
    assert opened_by("<|im_start|>assistant\n<think>\n") == "<think>"
    assert opened_by("<think>\n\n</think>\n\n") == opened_by("say <think> now") == ""


def test_gsm8k_as_chat_and_as_text(gsm8k):
    """A stop string ends a text alone: in a chat it would fire inside reasoning (#3700)."""
    chat, text = gsm8k(), gsm8k("1 + 1?", style="completion")
    assert (chat.stop, chat.all_items[0].text) == ((), None)
    assert text.stop[0] == "Question:"
    [item] = text.all_items
    assert item.text.startswith(f"Question: {EXAMPLES[0][0]}\nAnswer: {EXAMPLES[0][1]}\n\nQuestion: Weng")
    assert item.text.endswith("\n\nQuestion: 1 + 1?\nAnswer:")
    assert item.text.count("Question:") == 6
    with pytest.raises(InputError, match="6 examples are asked for and 5 there; lower shots"):
        gsm8k("1 + 1?", style="completion", shots=6).items()


def test_an_example_that_is_tested_is_not_shown_before_itself(gsm8k):
    task = gsm8k(EXAMPLES[1][0].replace(" ", "  "), "1 + 1?", style="completion")
    first, second = task.all_items
    assert (first.text.count("Weng"), second.text.count("Weng")) == (1, 2)
    assert task.notes == [
        "1 of its questions stand among its own worked examples too; these are not shown before themselves"
    ]


def test_a_reference_without_a_number_is_refused(tmp_path):
    path = write(tmp_path / "g.jsonl", problem("1?"), problem("1 + 1?", "2"))
    with pytest.raises(InputError, match=r"g.jsonl:2: 'answer' does not end in '#### NUMBER'"):
        open_task("gsm8k", Gsm8kSettings(path=path)).items()


@pytest.mark.parametrize(("n", "right", "k"), [(5, 2, 3), (10, 1, 1), (6, 0, 2), (4, 4, 4), (7, 6, 2)])
def test_pass_at_k_is_the_share_of_subsets_with_a_right_one(n, right, k):
    from itertools import combinations

    subsets = list(combinations(range(n), k))
    assert pass_at_k(n, right, k) == pytest.approx(sum(min(s) < right for s in subsets) / len(subsets), abs=1e-12)
    with pytest.raises(ValueError, match="not defined"):
        pass_at_k(n, right, n + 1)


def test_settings_of_several_answers():
    assert AnswerSettings(samples=8).ks == [1, 8]
    assert (AnswerSettings(samples=8).drawn_at, AnswerSettings().drawn_at) == (0.8, 0)
    with pytest.raises(ValueError, match="pass@9 needs as many answers"):
        AnswerSettings(samples=8, k=[1, 9])
    with pytest.raises(ValueError, match="drawn at temperature 0 are one and the same"):
        AnswerSettings(samples=2, temperature=0)


ARC = {"question": "Which?", "choices": {"text": ["x", "süß"], "label": ["A", "B"]}, "answerKey": "B"}


def test_choices_are_asked_as_the_harness_asks(tmp_path):
    path = write(tmp_path / "arc.jsonl", ARC)
    [texts] = open_task("arc_easy", ChoiceSettings(path=path)).all_questions
    assert (texts.text, texts.options, texts.lengths) == ("Question: Which?\nAnswer:", (" x", " süß"), (1, 5))
    [letters] = open_task("arc_easy", ChoiceSettings(path=path, options="letters")).all_questions
    assert (letters.text, letters.options) == ("Which?\nA. x\nB. süß\nAnswer:", (" A", " B"))
    [chat] = open_task("arc_easy", ChoiceSettings(path=path, options="letters", style="chat")).all_questions
    assert (chat.text, chat.options) == (None, ("A", "B"))
    with pytest.raises(InputError, match="give them in shots_path"):
        open_task("arc_easy", ChoiceSettings(path=path, shots=2)).questions()


def test_mmlu_takes_subjects_in_turn_with_their_own_examples(tmp_path):
    for subject in ("law", "high_school_art"):
        rows = "".join(f"{subject} {i}?,a,b,c,d,{'ABCD'[i % 4]}\n" for i in range(9))
        (tmp_path / f"{subject}_test.csv").write_text(rows)
        (tmp_path / f"{subject}_dev.csv").write_text(rows.replace("?", " dev?"))
    task = open_task("mmlu", MmluSettings(path=tmp_path, count=3))
    questions = task.all_questions
    assert [q.source for q in questions] == ["high_school_art", "high_school_art", "law"]
    assert questions[0].text.startswith(
        "The following are multiple choice questions (with answers) about high school art.\n\n"
        "high_school_art 0 dev?\nA. a\nB. b\nC. c\nD. d\nAnswer: A\n\nhigh_school_art 1 dev?"
    )
    assert questions[2].text.endswith("Answer: A\n\nlaw 0?\nA. a\nB. b\nC. c\nD. d\nAnswer:")
    with pytest.raises(InputError, match="subjects: there is no 'lawe', but high_school_art, law"):
        open_task("mmlu", MmluSettings(path=tmp_path, subjects=["lawe"])).questions()


@pytest.mark.parametrize(
    ("answer", "index"),
    [
        ("B", 1), ("(B)", 1), ("The answer is (C).", 2), ("**B**", 1), ("B. y", 1), ("\\boxed{\\text{A}}", 0), ("y", 1),
        ("First A seemed right. Answer: D", 3), ("<think>Answer: A", None), ("A dog", None), ("I think so", None),
        ("答案是B", 1), ("答案：C。", 2), ("正确答案为 **D**", 3), ("所以选B，因为它最大", 1), ("故选：C", 2),
        ("应选（A）", 0),
        ("A不对，答案应该是选项 D", 3), ("選擇 B", 1), ("选项B是对的", 1), ("答案是 (C)", 2), ("本题选A是因为2小", 0),
        ("不选A", None), ("选Apple", None), ("首选是苹果", None), ("The answer is B因为", 1),
        ("【答案】B", 1), ("【正确答案】：C", 2), ("答案是《B》", 1), ("答案：Ｂ", 1), ("正解：B", 1), ("正确的是B", 1),
        ("B。", 1), ("B、因为它最大", 1), ("（B）", 1), ("B：x", 1), ("不应选A", None), ("备选A", None), ("选AB", None),
        ("选择题A卷", None), ("A, B", None), ("A,B", None), ("A, because", None),
    ],
)  # fmt: skip
def test_letters_in_answers(answer, index):
    assert chosen_letter(answer, ["x", "y", "z", "w"]) == index


@pytest.mark.parametrize(
    ("grader", "row", "right", "wrong", "empty"),
    [
        ("exact", {"prompt": "Capital?", "answer": "Paris"}, " paris.", "Rome", "<think>Paris"),
        ("number", {"question": "?", "answer": "x\n#### 1,000"}, "It is $1000.", "10", "none"),
        ("choice", {"question": "?", "choices": ["x", "y"], "answer": 1}, "(B)", "A", "neither"),
        (
            "number",
            {"prompt": [{"role": "user", "content": "?"}], "reward_model": {"ground_truth": "7"}},
            "7",
            "8",
            "-",
        ),
    ],
)
def test_a_file_of_ones_own(tmp_path, grader, row, right, wrong, empty):
    path = write(tmp_path / "mine.jsonl", row)
    kind = TASKS["answers"]
    task = open_task("my", kind.Settings(task="answers", path=path, grader=grader))
    found = [verdict(task, answer).verdict for answer in (right, wrong, empty)]
    assert found == ["accepted", "wrong_answer", "no_answer"]
    assert verdict(task, right, "length").verdict == "no_answer"


def test_words_that_are_tested_are_never_trained_on():
    assert set(words("train")).isdisjoint(words("test"))
    for name in ("spelling_bee", "simple_spelling"):
        task = open_task(name, AnswerSettings(count=20, seed=3))
        assert len({item.data.word for item in task.all_items}) == 20
        for item in task.all_items:
            assert task.grade(item, task.solution(item.data)).accepted
            assert not task.grade(item, "x, y, z\n#### 99").accepted
        rows = type(task).sets()[name](5, 0)
        assert len(rows) == 5


def test_every_task_says_where_its_items_come_from():
    assert [name for name, kind in TASKS.items() if not kind.source and name != "general_chat"] == []


def test_math_reads_every_notation_and_ends_what_takes_too_long():
    pytest.importorskip("math_verify")
    from strop.tasks.base import Item
    from strop.tasks.math import Math, MathSettings, problem_of

    def kinds(*pairs):
        return [Math.grade(Item("n", "n", [], reference), answer).verdict for reference, answer in pairs]

    half = "\\frac{1}{2}"  # not only between dollar signs (lm-evaluation-harness #2552)
    forms = ("so \\boxed{0.5}", "it is $\\frac12$.", "\\[x=\\frac{2}{4}\\]", "\\(\\frac{1}{2}\\)", "the answer is 1/2")
    assert kinds(*((half, form) for form in forms)) == ["accepted"] * 5
    assert kinds((half, "\\boxed{2}"), (half, "no idea"), (half, "<think>\\boxed{0.5}")) == [
        "wrong_answer", "no_answer", "no_answer",
    ]  # fmt: skip
    assert kinds(("9", "\\boxed{(1234567891!)!}"), ("9", "\\boxed{9}")) == ["judge_fault", "accepted"]
    assert Math.finished_part("\\boxed{1} then \\boxed{\\frac{1}{2}") == "\\boxed{1}"
    assert problem_of({"problem": "p", "solution": "so \\boxed{\\frac{1}{2}}."}, "f:1")[1] == half
    assert [Math.finished_part(cut) for cut in ("none", "so $\\boxed 1", "\\boxed 1$ and")] == ["", "", "\\boxed 1"]
    assert MathSettings().max_tokens == 1024


def test_ifeval_is_strict_and_loose_and_says_the_same_each_time(tmp_path):
    pytest.importorskip("if_verifiable")
    pytest.importorskip("langdetect")
    rows = [
        {"key": 1, "prompt": "p", "instruction_id_list": ["punctuation:no_comma", "detectable_format:title"],
         "kwargs": [{}, {"num_words": None}]},
        {"key": 2, "prompt": "p", "instruction_id_list": ["language:response_language"],
         "kwargs": [{"language": "de"}]},
    ]  # fmt: skip
    task = open_task("ifeval", TASKS["ifeval"].Settings(path=write(tmp_path / "i.jsonl", *rows)))
    first = verdict(task, "Sure, here it is:\n<<Title>> no comma").parts
    assert first == {"prompt_strict": 0, "instruction_strict": 0.5, "prompt_loose": 1, "instruction_loose": 1}
    assert verdict(task, "").parts["instruction_loose"] == 0
    short = [verdict(task, "Hallo, die Welt in old", item=1).verdict for _ in range(20)]  # evalscope #1543
    assert len(set(short)) == 1
    bad = write(tmp_path / "b.jsonl", {**rows[0], "instruction_id_list": ["x:y", "punctuation:no_comma"]})
    with pytest.raises(InputError, match=r"b.jsonl:1: there is no checker for the instruction 'x:y'"):
        open_task("ifeval", TASKS["ifeval"].Settings(path=bad)).items()


def test_reasoning_gym_judges_without_running_the_answer():
    pytest.importorskip("reasoning_gym")
    kind = TASKS["reasoning_gym"]
    task = open_task("reasoning_gym", kind.Settings(dataset="leg_counting", count=3, seed=1))
    item = task.all_items[0]
    assert task.grade(item, f"<answer>{item.data.entry['answer']}</answer>").accepted
    assert task.grade(item, item.data.entry["answer"]).verdict == "no_answer"
    with pytest.raises(InputError, match="runs the model's text as Python"):
        open_task("reasoning_gym", kind.Settings(dataset="countdown", count=3)).items()
    with pytest.raises(InputError, match="there is no dataset 'legs'"):
        open_task("reasoning_gym", kind.Settings(dataset="legs", count=3)).items()


def test_the_grader_sees_values_not_spellings():
    assert (number("1,234.50"), number("18."), number("x")) == (number("$1234.5"), 18, None)
    assert Gsm8k.grade(type("I", (), {"data": "#### 18"})(), "18.00").accepted
    assert math.isclose(float(number("−3")), -3)
