"""Duplicates, near duplicates, overlap with evaluations, languages."""

import random

import pytest
from broken_data import PROBLEM, conversation, sound_rows

from strop.doctor import EvalItem, read_set
from strop.doctor.languages import check_languages, identify
from strop.doctor.likeness import (
    THRESHOLD,
    Overlap,
    _jaccard,
    _shingles,
    check_duplicates,
    check_overlap,
    contaminated,
    exact,
    near,
    words,
)
from strop.tasks import open_task
from strop.tasks.base import named_sets
from strop.tasks.sums import SumsSettings


def rows_of(*raw):
    return read_set("data", lambda on_bad: [(f"d:{i}", row) for i, row in enumerate(raw, 1)]).rows


def pair(prompt: str, answer: str) -> dict:
    return conversation(("user", prompt), ("assistant", answer))


def test_case_and_spaces_make_no_difference_and_words_do():
    rows = rows_of(pair("What is  it?", "A cat."), pair("what is it?\n", "A CAT."), pair("What is it?", "A dog."))
    [twin] = exact(rows)
    assert (twin.row.place, twin.original.place) == ("d:2", "d:1")


def test_tools_and_calls_are_part_of_a_conversation():
    def row(argument, tools=None):
        call = {"name": "f", "arguments": {"x": argument}}
        messages = [{"role": "user", "content": "go"}, {"role": "assistant", "tool_calls": [call]}]
        return {"messages": messages, **({"tools": tools} if tools else {})}

    assert exact(rows_of(row(1), row(2), row(1, [{"name": "f"}]))) == []
    assert len(exact(rows_of(row(1), row(1)))) == 1


def test_near_duplicates_are_what_comparing_all_pairs_finds():
    """Texts at every likeness: no pair below the threshold is reported, and nearly every one above is."""
    draw = random.Random(7)
    vocabulary = [f"w{i}" for i in range(400)]
    raw = []
    for _ in range(60):
        text = draw.choices(vocabulary, k=120)
        raw.append(pair(" ".join(text), "yes"))
        for position in draw.sample(range(120), draw.choice([1, 2, 2, 3, 8])):
            text[position] = "changed"
        raw.append(pair(" ".join(text), "yes"))
    rows = rows_of(*raw)
    found = {(twin.original.place, twin.row.place): twin.likeness for twin in near(rows)}
    true = {}
    for first, second in zip(rows[::2], rows[1::2], strict=True):
        likeness = _jaccard(_shingles(first), _shingles(second))
        if likeness >= THRESHOLD:
            true[first.place, second.place] = likeness
    assert len(true) > 20
    assert found.items() <= true.items()
    assert len(found) >= 0.9 * len(true)


def test_of_a_group_of_near_duplicates_the_first_is_kept():
    text = " ".join(f"word{i}" for i in range(100))
    rows = rows_of(*[pair(text, f"{text} {i}") for i in range(4)])
    assert [(t.original.place, t.row.place) for t in near(rows)] == [("d:1", f"d:{i}") for i in (2, 3, 4)]


def test_one_question_with_two_answers():
    rows = rows_of(pair("What is it?", "A cat."), pair("What is it?", "A dog."), pair("What is it?", "a cat."))
    found = {finding.kind: finding for finding in check_duplicates(rows, look_for_near=False)}
    assert (found["same_prompt"].count, found["same_prompt"].place) == (1, "d:2")
    assert found["duplicate"].place == "d:3"
    assert "near_duplicates_skipped" in found  # it says what it did not do


def overlaps(items, *raw):
    index = Overlap(items)
    for row in rows_of(*raw):
        index.look(row.place, row.texts(), row.given())
    return index.matches()


def test_a_question_that_is_only_an_answer_in_the_data_is_no_copy():
    items = [EvalItem("mirrors", "cba", ("cba",)), EvalItem("mirrors", "pair", ("cba", "abc"))]
    assert list(check_overlap(overlaps(items, pair("abc", "cba")))) == []
    [finding] = check_overlap(overlaps(items, pair("abc", "cba"), pair("CBA", "abc")))
    assert (finding.kind, finding.count, finding.place) == ("contamination", 2, "d:2")


def test_a_question_without_a_word_is_not_every_message_without_one():
    items = [EvalItem("signs", "huh", ("???", "what do you mean"))]
    assert list(check_overlap(overlaps(items, pair("!", "hello"), pair("…", "go on")))) == []
    [finding] = check_overlap(overlaps(items, pair("???", "what do you mean")))
    assert (finding.kind, finding.place) == ("contamination", "d:1")


def test_an_evaluation_item_in_the_data_is_found_whole_and_in_part():
    items = [EvalItem("quiz", "keeper", (PROBLEM,)), EvalItem("quiz", "other", ("Why is the sky blue at noon?",) * 2)]
    copied = overlaps(items, *sound_rows(), pair(f"Please: {PROBLEM.upper()}", "84"))
    [finding] = check_overlap(copied)
    assert (finding.kind, finding.level, finding.place) == ("contamination", "error", "d:21")
    assert "keeper" in finding.message
    assert contaminated(copied) == {"d:21": "overlap with quiz: keeper"}

    half = " ".join(PROBLEM.split()[:16])
    [finding] = check_overlap(overlaps(items, pair(half, "84")))
    assert (finding.kind, finding.level) == ("overlap", "warning")
    assert list(check_overlap(overlaps(items, *sound_rows()))) == []


def test_a_shared_phrase_is_only_a_note():
    phrase = "write the answer on a line of its own and put nothing else on that line"
    items = [EvalItem("quiz", f"q{i}", (f"{phrase} {' '.join(f'q{i}w{j}' for j in range(60))}",)) for i in range(2)]
    [finding] = check_overlap(overlaps(items, pair(phrase, "all right")))
    assert (finding.kind, finding.level, finding.count) == ("shared_phrase", "note", 2)


def test_how_a_set_asks_is_not_what_it_asks():
    ask = "Complete the following Python function so that it does what its docstring says and answer with all of it:"
    items = [EvalItem("code", f"f{i}", (f"{ask} def f{i}(x): return the {i}th thing",)) for i in range(20)]
    assert list(check_overlap(overlaps(items, pair(f"{ask} def other(): pass", "ok")))) == []


def test_a_copy_repeated_many_times_is_no_phrase():
    items = [EvalItem("quiz", "keeper", (PROBLEM,))]
    [finding] = check_overlap(overlaps(items, *[pair(PROBLEM, f"answer {i}") for i in range(40)]))
    assert finding.kind == "contamination"


def test_a_short_item_matches_only_as_a_whole_message():
    items = [EvalItem("chat", "a", ("Name three fruits",))]
    assert list(check_overlap(overlaps(items, pair("Name three fruits and a vegetable", "no")))) == []
    [finding] = check_overlap(overlaps(items, pair("name three fruits!", "fig, plum, pear")))
    assert finding.kind == "contamination"


def test_words_of_scripts_without_spaces_are_characters():
    assert words("今天 Hello, WORLD!") == ["今", "天", "hello", "world"]


GERMAN = "Das Brot liegt auf dem Tisch in der Küche, und der Käse ist noch im Kühlschrank neben der Milch."
CHINESE = "今天天气很好，我们去公园散步吧，晚上再一起吃饭，然后看电影。"
ENGLISH = "The bread is on the table in the kitchen, and the cheese is still in the fridge next to the milk."


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (GERMAN, "de"),
        (ENGLISH, "en"),
        ("7", "?"),
        (f"```python\n{ENGLISH}\n```", "?"),
        (CHINESE, "zh"),
    ],
)
def test_language_of_prose(text, language):
    assert identify(text)[0] == language


def test_answers_in_another_language():
    rows = rows_of(pair(ENGLISH, ENGLISH), pair(ENGLISH, GERMAN), pair(GERMAN, "Ja."))
    mix, [finding] = check_languages(rows)
    assert (finding.kind, finding.count, finding.place) == ("language_mismatch", 1, "d:2")
    assert mix.user == {"en": pytest.approx(2 / 3), "de": pytest.approx(1 / 3)}
    assert mix.assistant["?"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_pattern_with_other_numbers_is_no_copy_and_with_the_same_ones_is(language):
    """In Chinese one of two numbers stands in most runs of a sum, and sums with it are in the training data."""
    tested = open_task("sums", SumsSettings(language=language)).all_items
    items = [EvalItem("sums", item.name, (item.data.text, item.data.answer)) for item in tested]
    rows = named_sets()[f"sums_{language}"](3500, 0)
    index = Overlap(items)
    for place, row in rows:
        index.look(place, [row["prompt"], row["completion"]], [row["prompt"]])
    assert not [match.item.name for match in index.matches() if match.kind == "contamination"]
    long = [item for item in items if len(words(item.texts[0])) >= 14]
    for item in long:
        index.look(f"copy of {item.name}", [f"Well: {item.texts[0]}", "?"], [f"Well: {item.texts[0]}"])
    found = {match.item.name for match in index.matches() if match.kind == "contamination"}
    assert len(long) >= 10
    assert found >= {item.name for item in long}
