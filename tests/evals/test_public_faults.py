"""Faults that the trackers of other harnesses tell of, each as a test by its number there.

evalplus #23 stands in tests/tasks/test_evalplus.py.
"""

import json

import pytest
import torch
from tokenizers.processors import TemplateProcessing

from strop.chat import ChatEncoder, ChatSettings
from strop.evals.choices import encode_questions, score_questions
from strop.evals.notes import answer_notes
from strop.evals.partial import Partial
from strop.evals.prompts import prompts_of
from strop.evals.run import answered, judge_answers
from strop.model.names import load_model, load_tokenizer
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.rollout.answers import Answer
from strop.rollout.engine import Request, Rollout, SamplingParams
from strop.rollout.torch_engine import TorchEngine
from strop.tasks import open_task
from strop.tasks.base import TASKS, AnswerTask
from strop.tasks.gsm8k import EXAMPLES, Gsm8k
from strop.tasks.humaneval import HumanEvalItem
from strop.tasks.humaneval import grade as grade_function
from strop.tasks.mbpp import MbppItem
from strop.tasks.mbpp import grade as grade_mbpp

FLOAT32 = Compute(torch.device("cpu"), torch.float32)


@pytest.fixture
def task(tmp_path):
    """A task of a file with the given rows."""

    def make(name, *rows, **settings):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        kind = TASKS[name]
        return open_task(name, kind.Settings(path=path, **settings))

    return make


SUM = {"question": "1 + 1?", "answer": "#### 2"}


def parts(task, answer):
    return task.grade(task.all_items[0], answer).parts


def test_lm_eval_3438_a_recited_example_is_not_graded(task):
    """Strict took the leftmost #### of the text; and without examples nothing told the model to write one."""
    gsm8k = task("gsm8k", SUM)
    recited = "".join(f"Question: {q}\nAnswer: {a}\n\n" for q, a in EXAMPLES)
    assert parts(gsm8k, f"{recited}Now mine.\n#### 2") == {"strict_match": 1, "flexible_extract": 1, "format_rate": 1}
    assert parts(gsm8k, f"#### 2\n\n{recited}")["strict_match"] == 0
    assert "####" in gsm8k.all_items[0].messages[-1]["content"]


def test_lm_eval_2552_a_box_counts_in_any_mathematics(task):
    pytest.importorskip("math_verify")
    mathematics = task("math", {"problem": "6 x 7?", "answer": "42"})
    for answer in ("Thus \\[ \\boxed{42} \\]", "so \\( \\boxed{42} \\).", "$\\boxed{42}$", "\\boxed{42}"):
        assert mathematics.grade(mathematics.all_items[0], answer).verdict == "accepted"


@pytest.mark.parametrize("name", ["gsm8k", "math"])
def test_lm_eval_3404_examples_show_what_the_grader_looks_for(task, tmp_path, name):
    """GPQA's examples lacked the sentence that its strict grader wanted, and scored 0."""
    if name == "math":
        pytest.importorskip("math_verify")
        rows = [{"problem": f"{n}?", "answer": str(n)} for n in range(4)]
    else:
        rows = [{"question": f"{n}?", "answer": f"#### {n}"} for n in range(4)]
    shots = tmp_path / "shots.jsonl"
    shots.write_text("".join(json.dumps(row) + "\n" for row in rows[:3]))
    for style in ("chat", "completion"):
        made = task(name, rows[3], style=style, shots=3, shots_path=shots)
        [item] = made.all_items
        if style == "chat":
            shown = [turn["content"] for turn in item.messages if turn["role"] == "assistant"]
        else:
            shown = [part.partition("Answer:")[2] for part in item.text.split("\n\n")[:3]]
        for row, answer in zip(rows, shown, strict=False):
            again = task(name, row)
            judged = again.grade(again.all_items[0], answer)
            assert (judged.verdict, judged.parts["format_rate"]) == ("accepted", 1)


@pytest.fixture(scope="module")
def tokenizer(model_folder):
    return load_tokenizer(model_folder)


def scored(folder, questions, encoded, path, rows):
    engine = TorchEngine(Policy(load_model(folder, FLOAT32.dtype), FLOAT32), frozenset({1}), max_rows=rows)
    return score_questions(questions, encoded, engine, Partial(path, str(rows)))


def test_lm_eval_704_and_3055_a_score_does_not_hang_on_its_batch(task, tmp_path, model_folder, tokenizer):
    options = [["hello", "one world", "hi" * n] for n in range(1, 10)]
    rows = [{"query": f"Say {'x' * len(o[2])}?", "choices": o, "gold": len(o[2]) % 3} for o in options]
    questions = task("choice", *rows)
    encoded = encode_questions(questions, ChatEncoder(tokenizer, ChatSettings(), frozenset({1})))
    runs = [scored(model_folder, questions, encoded, tmp_path / f"{n}", n) for n in (1, 4, 64)]
    for one, four, many in zip(*runs, strict=True):
        assert one.option_logprobs == pytest.approx(four.option_logprobs, abs=1e-4)
        assert one.option_logprobs == pytest.approx(many.option_logprobs, abs=1e-4)
        assert one.parts == four.parts == many.parts


def test_lm_eval_2797_one_beginning_of_text(task, model_folder):
    """In a chat whose template writes it as in a text whose tokenizer does."""
    tokenizer = load_tokenizer(model_folder)
    tokenizer.bos_token = "<|start|>"
    start = tokenizer.convert_tokens_to_ids("<|start|>")
    single = TemplateProcessing(single="<|start|> $A", special_tokens=[("<|start|>", start)])
    tokenizer.backend_tokenizer.post_processor = single
    template = "{{ bos_token }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
    encoder = ChatEncoder(tokenizer, ChatSettings(template=template), frozenset({1}))
    for style in ("chat", "completion"):
        [prompt] = prompts_of(task("gsm8k", SUM, style=style), encoder)
        assert (prompt[0], prompt.count(start)) == (start, 1)
    [one] = encode_questions(task("choice", {"query": "?", "choices": ["a", "b"], "gold": 0}), encoder)
    assert (one.prompt[0], one.prompt.count(start)) == (start, 1)
    assert start not in [id for ids in one.options for id in ids]


CUT = [
    ("gsm8k", SUM, {}, "#### 2\n"),
    ("answers", {"prompt": "Say a.", "answer": "a"}, {"grader": "exact"}, "a"),
    ("answers", {"prompt": "1 + 1?", "answer": "2"}, {"grader": "number"}, "2"),
    ("answers", {"question": "?", "choices": ["x", "y"], "answer": 1}, {"grader": "choice"}, "Answer: B\n"),
    ("spelling_bee", None, {}, "#### 1\n"),
    ("math", {"problem": "1 + 1?", "answer": "2"}, {}, "\\boxed{2} "),
    ("reasoning_gym", None, {}, "<answer>1</answer> "),
    ("ifeval", {"prompt": "p", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}, {}, "no comma"),
]
NEEDS = {"math": "math_verify", "ifeval": "if_verifiable", "reasoning_gym": "reasoning_gym"}


@pytest.mark.parametrize(("name", "row", "settings", "right"), CUT)
def test_lm_eval_3382_reasoning_that_was_cut_off_is_no_answer(task, name, row, settings, right):
    """Whether the model opened it or the prompt did; and whoever cut it."""
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    made = task(name, row, **settings) if row else open_task(name, TASKS[name].Settings(count=1))
    for answer, opened in ((f"<think>\nMaybe {right}", ""), (f"Maybe\n{right}so", "<think>")):
        for reason in ("length", "stop"):
            judged = made.judge(made.all_items[:1], [made.graded(answer, reason, opened)])[0]
            assert judged.verdict == "no_answer"
            assert not any(judged.parts.values())


@pytest.mark.parametrize("name", [name for name, kind in TASKS.items() if issubclass(kind, AnswerTask)])
def test_lm_eval_3700_no_stop_string_can_fire_within_reasoning(name):
    """Chats are ended by the model's own stop tokens."""
    kind = TASKS[name]
    bare = kind.__new__(kind)  # its stops hang on its settings alone, and some of the packages are not always here
    settings = {"path": "x.jsonl"} if name == "answers" else {}
    bare.settings = kind.Settings(**settings)
    assert tuple(bare.stop) == ()


GROWN = [  # what the prompt ends in, what is drawn, what is left of it (None: nothing ends it)
    ("Answer:", " 2\n\nQuestion:", " 2\n\n"),
    ("Answer:", "<think>\nQuestion: was it 1?</think>\n#### 2", None),
    ("Answer:", "<think>\nQuestion: 1?</think>\n#### 2\nQuestion:", "<think>\nQuestion: 1?</think>\n#### 2\n"),
    ("Answer:", "<think>\nQuestion: 1? Question: 2?", None),  # cut off
    ("Answer:<think>\n", "Question: 1?</think> 2\nQuestion:", "Question: 1?</think> 2\n"),
    ("Answer:<think>\n", "Question: 1?", None),
    ("Answer:<think></think>", " 2 Question:", " 2 "),
    ("Answer:", "say `<think>` Question:", "say `<think>` "),
    ("Answer:", "[THINK]Question:[/THINK]2 Question:", "[THINK]Question:[/THINK]2 "),
    ("Answer:", "<|channel|>analysis<|message|>Question:<|channel|>final<|message|>2 Question:",
     "<|channel|>analysis<|message|>Question:<|channel|>final<|message|>2 "),
]  # fmt: skip


@pytest.mark.parametrize(("prompt", "drawn", "left"), GROWN)
def test_lm_eval_3700_a_stop_string_within_reasoning_ends_nothing(task, prompt, drawn, left):
    """Whether the answer opened it or the prompt did, and with every engine: they share this."""
    stop = tuple(task("gsm8k", SUM, style="completion").stop)
    request = Request(list(map(ord, prompt)), SamplingParams(max_tokens=200, stop=stop), name="n")
    answer = Answer(request, 0, 0, 200, frozenset(), lambda ids: "".join(map(chr, ids)))
    reasons = [answer.take(ord(letter), 0.0, 0.0, ()) for letter in drawn]
    assert reasons == [None] * (len(drawn) - 1) + [None if left is None else "stop"]
    assert answer.text_end == (None if left is None else len(left))


def test_inspect_3173_keeping_what_is_done_costs_one_line_each(tmp_path):
    """A minute's evaluation took hours, since what was done before was read and checked again for every sample."""
    partial = Partial(tmp_path / "p.jsonl", "k")
    place, written = (tmp_path / "p.jsonl").stat().st_ino, []
    write = partial._file.write
    partial._file = type(
        "Counted", (), {"write": lambda _, text: written.append(write(text)), "close": lambda _: None}
    )()
    for n in range(500):
        partial.add("answer", n, [[1, 2, 3], "stop", None])
        assert partial.get("answer", n)[1] == "stop"
    lengths = [
        len(json.dumps({"kind": "answer", "index": n, "value": [[1, 2, 3], "stop", None]})) + 1 for n in range(500)
    ]
    assert written == lengths
    assert (tmp_path / "p.jsonl").stat().st_ino == place  # never written anew


BODY = "    return sorted(xs)[-1]\n"
WHOLE = f"def largest(xs):\n{BODY}"
WRAPPED = [
    WHOLE,
    f"```python\n{WHOLE}```",
    f"Here it is:\n\n```\n{WHOLE}```\nIt sorts.",
    f"{WHOLE}\nif __name__ == '__main__':\n    print(largest([1]))\n",
    f"{WHOLE}\n# Test the function\nprint(largest([1, 2]))\n",
    f"```python\n{WHOLE}```\nExample:\n```python\nassert largest([2, 3]) == 3\n```",
    f"<think>\ndef largest(xs): return 0\n</think>\n{WHOLE}",
    f"def help(x):\n    return x\n\n{WHOLE}",
    f"{WHOLE}</s>",
]


@pytest.mark.parametrize("answer", WRAPPED)
def test_evalplus_54_and_90_what_stands_around_a_program_does_not_decide(answer):
    """There a program was judged as it came unless it was sanitised first: 2.5 % without, many times that with."""
    prompt = 'def largest(xs):\n    """The largest."""\n'
    test = "def check(candidate):\n    assert candidate([3, 1, 2]) == 3\n"
    function = HumanEvalItem("T/0", prompt, "largest", BODY, test)
    sentence = MbppItem("M/0", "The largest.", ("assert largest([3, 1, 2]) == 3",), names=("largest",))
    wrong = answer.replace("[-1]", "[0]")
    for grade, item in ((grade_function, function), (grade_mbpp, sentence)):
        assert (grade(item, answer).verdict, grade(item, wrong).verdict) == ("accepted", "wrong_answer")


IFEVAL = [
    {"key": 1, "prompt": "In German.", "instruction_id_list": ["language:response_language"],
     "kwargs": [{"language": "de"}]},
    {"key": 2, "prompt": "At least four #.", "instruction_id_list": ["keywords:letter_frequency"],
     "kwargs": [{"letter": "#", "let_frequency": 4, "let_relation": "at least"}]},
]  # fmt: skip


def test_evalscope_1543_the_same_answer_has_the_same_grade(task):
    """The language of short texts was guessed anew each time, and a character that is no letter became a drawn one."""
    pytest.importorskip("if_verifiable")
    pytest.importorskip("langdetect")
    made = task("ifeval", *IFEVAL)
    language, character = made.all_items
    assert len({made.grade(language, "Hallo, die Welt in old").verdict for _ in range(30)}) == 1
    for answer, verdict in (
        ("# a\n## b\n# c", "accepted"),
        ("###", "wrong_answer"),
        ("aaaa bbbb eeee", "wrong_answer"),
    ):
        assert {made.grade(character, answer).verdict for _ in range(30)} == {verdict}
    assert "1 of 2 instructions count a character that is no letter" in made.notes[0]


def test_tinker_685_and_688_a_base_models_answer_is_graded_however_it_ends(task, tmp_path, tokenizer):
    """A parser took an answer that ended in EOS for a fault of form, and scored every base model 0 %."""
    made = task("gsm8k", *[SUM] * 12, style="completion")
    stop, text = tokenizer.eos_token_id, " 1 and 1 is 2.\n#### 2\n"
    ids = tuple(tokenizer.encode(text, add_special_tokens=False))
    by_string = (*ids, *tokenizer.encode("\nQuestion:", add_special_tokens=False))
    ways = [((*ids, stop), "stop", None), (by_string, "stop", len(text)), (by_string, "length", None)]
    rollouts = {i: Rollout((0,), tokens, (), reason, text_end=end) for i, (tokens, reason, end) in enumerate(ways * 4)}
    decode = tokenizer.decode
    given = answered(rollouts, decode, frozenset({stop}))
    results = judge_answers(made, given, {}, Partial(tmp_path / "p", "k"))
    assert [one.verdict for one in results] == ["accepted"] * 12
    # And where nothing is found in nearly all answers, that is said: it tells of their form.
    none = {i: Rollout((0,), (stop,), (), "stop") for i in range(12)}
    given = answered(none, decode, frozenset({stop}))
    results = judge_answers(made, given, {}, Partial(tmp_path / "q", "k"))
    assert [one.verdict for one in results] == ["no_answer"] * 12
    assert "in 12 of 12 answers none was found" in answer_notes(results)[0]
    assert Gsm8k.metrics[3].name == "no_answer_rate"
