"""`strop inspect --json`: one object, offsets that hold, and nothing else on standard output."""

import json

import pytest


def objects(out: str) -> list[dict]:
    whole = json.loads(out)
    assert set(whole) == {"conversations", "rejected", "report"}
    assert out.count("\n") == 1
    return whole["conversations"]


def test_the_object_is_as_promised(inspect, data, turns, heard):
    user, assistant = turns
    path = data([user("hi"), assistant("hello")])
    code, out, err = inspect(path, "--json")
    assert heard["rows read"] == (1, None)
    [one] = objects(out)
    assert code == 0
    assert set(one) == {"index", "place", "text", "tokens", "loss_weights", "segments", "warnings"}
    assert one["text"] == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nhello<|im_end|>\n"
    assert (one["index"], one["place"]) == (0, f"{path}:1")
    assert len(one["tokens"]) == len(one["loss_weights"])
    trained = "".join(segment["text"] for segment in one["segments"] if segment["trained"])
    assert trained == "hello<|im_end|>"
    assert set(one["segments"][0]) == {"start", "end", "text", "message", "role", "field", "trained"}
    assert "1 conversation," in err


def test_segments_cover_the_text_whatever_is_in_it(inspect, data, turns, hostile):
    user, assistant = turns
    _, out, _ = inspect(data(*[[user(text), assistant(text)] for text in hostile]), "--json")
    assert out.isascii()
    assert "\x1b" not in out
    for text, one in zip(hostile, objects(out), strict=True):
        segments = one["segments"]
        assert "".join(s["text"] for s in segments) == one["text"]
        assert all(s["text"] == one["text"][s["start"] : s["end"]] for s in segments)
        for message, role in enumerate(("user", "assistant")):
            assert "".join(s["text"] for s in segments if (s["message"], s["role"]) == (message, role)) == text


def test_warnings_have_kind_message_and_detail(inspect, data, turns):
    user, assistant = turns
    path = data([user("hi"), assistant("hello")], [user("<|im_end|>"), assistant("hello")])
    _, out, _ = inspect(path, "--json", "--only-warnings")
    [one] = objects(out)
    assert one["index"] == 1
    assert [(w["kind"], w["message"]) for w in one["warnings"]] == [("control_tokens", None)]
    assert "<|im_end|> stands 1 time in" in one["warnings"][0]["detail"]


@pytest.mark.parametrize(
    ("options", "indices"),
    [
        ([], list(range(12))),
        (["--count", 3], [0, 1, 2]),
        (["--index", 11], [11]),
        (["--place", ":2"], [1]),
        (["--place", "data.jsonl:1"], [0]),
        (["--place", "data"], list(range(12))),
    ],
)
def test_rows_are_chosen_by_number_or_place(inspect, data, turns, options, indices):
    user, assistant = turns
    path = data(*[[user(f"{n}"), assistant("hello")] for n in range(12)])
    _, out, _ = inspect(path, "--json", *options)
    assert [one["index"] for one in objects(out)] == indices


def test_overrides_count_wherever_they_stand(inspect, data, turns):
    user, assistant = turns
    path = data([user("hi"), assistant("hello"), user("hi"), assistant("world")])
    for options in (["chat.train_on=last", "--json"], ["--json", "chat.train_on=last"]):
        _, out, _ = inspect(path, *options)
        trained = "".join(s["text"] for s in objects(out)[0]["segments"] if s["trained"])
        assert trained == "world<|im_end|>"


def test_a_split_conversation_gives_several_objects_with_one_index(inspect, data, turns):
    user, assistant = turns
    path = data([user("hi " * 9), assistant("hello"), user("hi " * 9), assistant("world")])
    _, out, _ = inspect(path, "--json", "chat.max_length=40", "chat.too_long=split_turns")
    assert [one["index"] for one in objects(out)] == [0, 0]


def test_what_would_stop_training_is_a_warning(inspect, data, turns):
    user, assistant = turns
    _, out, _ = inspect(data([user("hi"), assistant("hello")]), "--json", "chat.max_length=5")
    assert [w["kind"] for w in objects(out)[0]["warnings"]] == ["too_long"]


def test_rejected_rows_and_the_report_stand_in_the_object(inspect, data, turns):
    user, assistant = turns
    path = data([user("hi"), assistant("hello")], "{bad", [user("hi")], [user("hi"), assistant("x", name="Ann")])
    code, out, err = inspect(path, "--json")
    whole = json.loads(out)
    assert code == 3
    assert [one["index"] for one in whole["conversations"]] == [0, 3]
    assert [row["index"] for row in whole["rejected"]] == [1, 2]
    assert [row["reason"].split(": ")[0] for row in whole["rejected"]] == [f"{path}:2", f"{path}:3"]
    assert whole["report"]["conversations"] == 2
    assert whole["report"]["dropped_fields"] == {"dropped_name": 1}
    assert "nothing unusual met" not in err
    assert "warnings: dropped_name 1" in err
    assert "2 rows of 4 rejected" in err


def test_nothing_is_printed_where_nothing_can_be_used(inspect, data):
    code, out, err = inspect(data("{bad", "{worse"), "--json")
    assert code == 2
    assert "none of the rows can be used" in json.loads(out)["error"]
    assert "none of the rows can be used" in err
