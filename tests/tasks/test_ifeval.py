"""IFEval beside its checkers: sentences without a download, and what its checkers would draw."""

import importlib.util
import json

import pytest

from strop.common.errors import InputError
from strop.tasks import open_task
from strop.tasks.base import TASKS
from strop.tasks.sentences import need_sentences

pytest.importorskip("if_verifiable", reason="the extra ifeval is not installed")
nltk = pytest.importorskip("nltk")


def opened(tmp_path, *rows):
    path = tmp_path / "i.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return open_task("ifeval", TASKS["ifeval"].Settings(path=path))


def row(name, **arguments):
    return {"prompt": "p", "instruction_id_list": [name], "kwargs": [arguments]}


@pytest.fixture
def nowhere(monkeypatch):
    """NLTK without tables of its own."""
    monkeypatch.setattr(nltk.data, "path", [])
    nltk.tokenize._get_punkt_tokenizer.cache_clear()
    yield
    nltk.tokenize._get_punkt_tokenizer.cache_clear()


def test_sentences_are_nltks_without_a_download(nowhere):
    english = pytest.importorskip("punkt.data.english")
    need_sentences("here")
    tables = nltk.tokenize.PunktTokenizer()._params
    assert tables.abbrev_types == set(english.ABBREV_TYPES)
    assert tables.sent_starters == set(english.SENT_STARTERS)
    assert tables.collocations == set(map(tuple, english.COLLOCATIONS))
    assert tables.ortho_context == dict(english.ORTHO_CONTEXT)
    said = "Dr. Smith of the U.S. left at 5 p.m. yesterday. He said no! Why?"
    assert len(nltk.sent_tokenize(said)) == 3


def test_no_tables_at_all_are_a_line(nowhere, monkeypatch, tmp_path):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "punkt" else found(name))
    counting = row("length_constraints:number_sentences", num_sentences=3, relation="at least")
    with pytest.raises(
        InputError, match=r"evals\.ifeval: some instructions count sentences, .* pip install nltk-punkt"
    ):
        opened(tmp_path, counting).items()
    assert len(opened(tmp_path, row("punctuation:no_comma")).items()) == 1


def test_sentences_are_counted(tmp_path):
    need_sentences("here")
    task = opened(tmp_path, row("length_constraints:number_sentences", num_sentences=3, relation="at least"))
    [item] = task.all_items
    assert task.grade(item, "Mr. X came. He saw. He left.").accepted
    assert task.grade(item, "Mr. X came at 5 p.m. on Monday. He left.").verdict == "wrong_answer"


@pytest.mark.parametrize(
    ("name", "arguments", "drawn"),
    [
        ("length_constraints:number_words", {"relation": "at least"}, "num_words"),
        ("length_constraints:number_words", {"num_words": -1, "relation": "at least"}, "num_words"),
        ("keywords:existence", {}, "keywords"),
        ("keywords:letter_frequency", {"letter": "ab", "let_frequency": 2, "let_relation": "at least"}, "letter"),
        ("keywords:letter_frequency", {"letter": "#", "let_relation": "at least"}, "let_frequency"),
    ],
)
def test_what_a_checker_would_draw_is_refused(tmp_path, name, arguments, drawn):
    """Without the argument each answer would be judged by another instruction."""
    with pytest.raises(InputError, match=rf"i\.jsonl:1: 'kwargs' of {name} leave '{drawn}' to its checker"):
        opened(tmp_path, row(name, **arguments)).items()


@pytest.mark.parametrize("arguments", [{"num_words": "many", "relation": "at least"}, {"words": 3}, {"relation": 5}])
def test_arguments_that_a_checker_does_not_take(tmp_path, arguments):
    with pytest.raises(InputError, match=r"i\.jsonl:1: 'kwargs' of length_constraints:number_words"):
        opened(tmp_path, row("length_constraints:number_words", **arguments)).items()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("detectable_content:postscript", {"postscript_marker": 5}),
        ("startend:end_checker", {"end_phrase": 5}),
        ("keywords:forbidden_words", {"forbidden_words": [1]}),
        ("keywords:existence", {"keywords": ["f("]}),  # the checker takes it for a pattern
        ("keywords:letter_frequency", {"letter": [], "let_frequency": 3, "let_relation": "at least"}),
        ("keywords:letter_frequency", {"letter": 0, "let_frequency": 3, "let_relation": "at least"}),
        ("length_constraints:nth_paragraph_first_word",
         {"first_word": "a", "nth_paragraph": -1, "num_paragraphs": float("inf")}),
    ],
)  # fmt: skip
def test_arguments_that_a_checker_takes_and_cannot_check_with_are_refused_before_there_are_answers(
    tmp_path, name, arguments
):
    with pytest.raises(InputError, match=rf"i\.jsonl:1: 'kwargs' of {name} "):
        opened(tmp_path, row(name, **arguments)).items()


def test_arguments_that_are_no_object_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"i\.jsonl:1: 'kwargs' are not an object \(or null\) for each instruction"):
        opened(tmp_path, {**row("punctuation:no_comma"), "kwargs": [-1]}).items()
    [item] = opened(tmp_path, {**row("punctuation:no_comma"), "kwargs": [None]}).items()
    assert item.data.arguments == ({},)


def test_white_space_counts_as_it_stands_but_after_reasoning(tmp_path):
    """As Google grades it: the first of two lines that is taken off loosely may be an empty one."""
    task = opened(tmp_path, row("punctuation:no_comma"))
    [item] = task.all_items
    assert task.grade(item, "a, b\nc").parts["prompt_loose"] == 1
    assert task.grade(item, "\na, b\nc").parts["prompt_loose"] == 0
    assert task.grade(item, "<think>hm</think>\n\na, b\nc").parts["prompt_loose"] == 1
