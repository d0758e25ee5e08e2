"""The general chat data: well formed, of the promised sizes, and the two files share nothing."""

import json
import re
from importlib.resources import files
from itertools import combinations

import pytest

from strop.tasks.base import TASKS

HELDOUT, TRAIN = "heldout.jsonl", "train.jsonl"


def conversations(name: str) -> list[list[dict]]:
    text = (files("strop.data") / "general_chat" / name).read_text(encoding="utf-8")
    return [json.loads(line)["messages"] for line in text.splitlines()]


@pytest.mark.parametrize(("name", "count", "shortest", "longest"), [(HELDOUT, 48, 30, 90), (TRAIN, 120, 15, 70)])
def test_shape(name, count, shortest, longest):
    loaded = conversations(name)
    assert len(loaded) == count
    for messages in loaded:
        roles = [message["role"] for message in messages]
        turns = roles[1:] if roles[0] == "system" else roles
        assert turns in (["user", "assistant"], ["user", "assistant"] * 2)
        for message in messages:
            assert message["content"] == message["content"].strip() != ""
            if message["role"] == "assistant":
                assert shortest <= len(message["content"].split()) <= longest, message["content"]


def test_a_third_of_the_held_out_conversations_have_two_turns_and_some_a_system_turn():
    loaded = conversations(HELDOUT)
    assert sum(sum(message["role"] == "user" for message in messages) == 2 for messages in loaded) == 16
    assert sum(messages[0]["role"] == "system" for messages in loaded) == 4


def test_no_two_conversations_are_alike():
    """Three-word shingles of the answers: no pair of conversations shares as much as a tenth of them."""

    def shingles(messages: list[dict]) -> set[tuple[str, ...]]:
        text = " ".join(message["content"] for message in messages if message["role"] == "assistant")
        words = re.findall(r"\w+", text.lower())
        return set(zip(words, words[1:], words[2:], strict=False))

    loaded = conversations(HELDOUT) + conversations(TRAIN)
    for (one, first), (two, second) in combinations(zip(map(shingles, loaded), loaded, strict=True), 2):
        assert len(one & two) < 0.1 * len(one | two), (first, second)
    questions = [messages[-2]["content"].lower() for messages in loaded]
    assert len(set(questions)) == len(questions)


def test_whatever_is_measured_says_where_it_comes_from():
    """A licence too, but for files of the user's own."""
    built_in = {name: kind for name, kind in TASKS.items() if kind.__module__.startswith("strop.")}  # no plug-in's
    assert [name for name, kind in built_in.items() if not kind.source] == []
    own = [name for name, kind in built_in.items() if not kind.licence]
    assert all(TASKS[name].source.startswith("path: a") for name in own)
    assert "general_chat" not in own
