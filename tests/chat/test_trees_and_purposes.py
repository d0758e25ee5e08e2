"""Message trees, verl's rows, and files that are for something else than training."""

import pytest

from strop.chat import Message, name_format, parse_conversation, parse_row
from strop.chat.pairs import COMPARED
from strop.common.errors import InputError


def node(text, *replies, role="assistant", **more):
    return {"text": text, "role": role, "replies": list(replies), **more}


def asked(text, *replies, **more):
    return node(text, *replies, role="prompter", **more)


TREE = asked(
    "q",
    node("second", rank=1),
    node("best", asked("unanswered"), asked("more?", node("yes", rank=0), node("no", rank=1)), rank=0),
    node("nobody ranked it"),
    node("deleted", rank=-1, deleted=True),
    node("turned down", rank=-2, review_result=False),
)


def test_of_a_tree_the_best_ranked_path_is_trained_and_the_rest_is_told():
    row = {"message_tree_id": "1", "prompt": TREE}
    found = parse_conversation(row, "f:1")
    assert [(m.role, m.content) for m in found.messages] == [
        ("user", "q"),
        ("assistant", "best"),
        ("user", "more?"),
        ("assistant", "yes"),
    ]
    assert all(m.train for m in found.messages)
    assert name_format(row) == "tree"
    assert (found.format, found.notes) == ("message trees", {"branches": 6, "column:message_tree_id": 1})


def test_a_path_ends_with_an_answer():
    found = parse_conversation({"prompt": asked("q", node("a", asked("thanks"), rank=float("nan")))}, "f:1")
    assert [m.content for m in found.messages] == ["q", "a"]
    assert found.notes == {"branches": 1}
    with pytest.raises(InputError, match=r"f:1: there is no assistant turn"):
        parse_conversation({"prompt": asked("q")}, "f:1")
    with pytest.raises(InputError, match=r"field prompt.replies\[0\].role: expected prompter or assistant"):
        parse_conversation({"prompt": asked("q", node("a", role="bot"))}, "f:1")
    with pytest.raises(
        InputError, match=r"field prompt.replies\[0\].role: expected prompter or assistant, found a list"
    ):
        parse_conversation({"prompt": asked("q", node("a", role=["bot"]))}, "f:1")


@pytest.mark.parametrize("beside", ["one", 5, {"text": "one"}, [None, "one", 5]])
def test_replies_beside_the_path_that_are_none_are_not_counted(beside):
    other = {"role": "prompter", "text": "more?", "replies": beside}
    found = parse_conversation({"prompt": asked("q", node("a", rank=0), node("b", other, rank=1))}, "f:1")
    assert ([m.content for m in found.messages], found.notes) == (["q", "a"], {"branches": 2})


VERL = {
    "data_source": "openai/gsm8k",
    "prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}],
    "ability": "math",
    "reward_model": {"ground_truth": "18", "style": "rule"},
    "extra_info": {"answer": "9 * 2 = 18\n#### 18", "question": "q", "index": 0},
}


def test_verls_prompts_with_answers_are_conversations():
    found = parse_conversation(VERL, "f:1")
    assert found.messages == (
        Message("system", "s"),
        Message("user", "q"),
        Message("assistant", "9 * 2 = 18\n#### 18"),
    )
    assert (name_format(VERL), found.format) == ("verl", "verl prompts")
    assert found.notes == {"column:data_source": 1, "column:ability": 1, "column:reward_model": 1}


def test_verls_prompts_without_answers_are_for_reinforcement_learning():
    row = VERL | {"extra_info": {"split": "test"}}
    assert name_format(row) == "verl"
    with pytest.raises(InputError) as caught:
        parse_row(row, "f:1")
    assert str(caught.value) == (
        "f:1: field extra_info.answer: verl's prompts have no answer here, so they are for reinforcement learning; to "
        "train on the bare results, set columns: {prompt: prompt, completion: reward_model.ground_truth}"
    )


CHOICES = [{"text": "x", "label": "A"}, {"text": "y", "label": "B"}]


@pytest.mark.parametrize(("chosen", "rejected"), COMPARED)
def test_a_prompt_beside_two_answers_is_a_pair_under_every_name_of_them(chosen, rejected):
    answers = [{"role": "assistant", "content": one} for one in ("yes", "no")]
    for better, worse in (("yes", "no"), ([answers[0]], [answers[1]])):
        row = {"prompt": "Say", chosen: better, rejected: worse}
        assert parse_conversation(row, "x:1").messages[-1].content == "yes"
    with pytest.raises(InputError, match="prompts without answers"):
        parse_conversation({"prompt": "Say", "preferred": "yes"}, "x:1")


@pytest.mark.parametrize(
    ("row", "name", "says"),
    [
        (
            {"text": "Write f.", "code": "def f(): ...", "test_list": ["assert f() is None"], "task_id": 1},
            "mbpp",
            "this is a file of MBPP's problems with tests: they are measured with evals: {NAME: {path: FILE}}, not "
            "trained on; to train on their solutions all the same, set columns: {prompt: text, completion: code}",
        ),
        (
            {"task_id": "H/0", "prompt": "def f():", "canonical_solution": "  pass", "test": "…", "entry_point": "f"},
            "humaneval",
            "this is a file of HumanEval's problems with tests: they are measured with evals",
        ),
        (
            {"name": "1_A", "description": "Add.", "testcase": ["1 2"], "output": ["3"]},
            "code_contests",
            "this is a file of CodeContests' problems with tests: they are measured with evals",
        ),
        (
            {"id": "1", "question": {"stem": "q", "choices": CHOICES}, "answerKey": "A"},
            "arc",
            "this is a file of ARC's multiple-choice questions: they are measured with evals: {NAME: {task: choice,",
        ),
        ({"question": "q", "choices": {"text": ["x"], "label": ["A"]}, "answerKey": "A"}, "choices", None),
        (
            {"query": "q", "choices": ["x", "y"], "gold": 1},
            "choices",
            "this is a file of multiple-choice questions: they are",
        ),
        ({"question": "q", "type": "t", "choices": ["x", "y"], "answer": 2}, "choices", None),
        ({"What?": "Who?", "x": "p", "y": "q", "z": "r", "w": "s", "B": "C"}, "mmlu", "this is a file of MMLU's"),
        (
            {"key": 1, "prompt": "p", "instruction_id_list": ["i"], "kwargs": [{}]},
            "ifeval",
            "this is a file of IFEval's",
        ),
        (
            {"question_id": 1, "category": "c", "turns": ["a", "b"]},
            "mt_bench",
            "this is a file of MT-Bench's questions",
        ),
        (
            {"question_id": 1, "answer_id": "x", "model_id": "m", "choices": [{"turns": ["a"]}]},
            "mt_bench_answers",
            "this is a file of answers to MT-Bench's questions",
        ),
        (
            {"prompt": "p", "messages": '[{"role": "user", "content": "p"}]', "ground_truth": "1", "tag": "t"},
            "roll",
            "this is a file of ROLL's prompts with results: they are for reinforcement learning, and sft needs "
            "answers; to train on the bare results, set columns: {prompt: prompt, completion: ground_truth}",
        ),
        (
            {"prompt": [{"role": "user", "content": "8,3:9,4"}]},
            "prompts",
            "this is a file of prompts without answers: they are for reinforcement learning, and sft needs answers",
        ),
        (
            {"message_id": "1", "parent_id": None, "text": "q", "role": "prompter"},
            "tree_messages",
            "this is a file of messages of trees, one in a row",
        ),
    ],
)
def test_files_for_another_purpose_are_named_and_say_which(row, name, says):
    assert name_format(row) == name
    with pytest.raises(InputError) as caught:
        parse_row(row, "f:1")
    assert str(caught.value).startswith(f"f:1: {says or 'this is a file of multiple-choice questions'}")


@pytest.mark.parametrize(
    "row",
    [
        {"question": "q", "answer": "a\n#### 3"},
        {"question": "q", "answer": "9", "grade": 1},
        {"question": "q", "context": "c", "answer": "a", "turns": 2},
        {"prompt": "p", "completion": "c", "test_list": ["t"]},
        {"description": "d", "prompt": "p", "response": "r"},
        {"a": "x", "b": "x", "c": "x", "d": "x", "prompt": "x", "completion": "B"},
    ],
)
def test_rows_to_train_on_are_not_taken_for_another_purpose(row):
    assert name_format(row) == "prompt_completion"
    assert parse_row(row, "f:1").messages[-1].role == "assistant"
