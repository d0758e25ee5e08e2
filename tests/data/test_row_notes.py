"""What is told of rows: the same from one process, from several and from prepared data; and how columns are mapped."""

import json

import pytest
from pydantic import ValidationError
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from strop.chat import ChatSettings
from strop.common.errors import InputError
from strop.data import encoding as encoding_module
from strop.data.encoding import Encoding
from strop.data.prepare import prepare
from strop.data.readers import rows_of_part
from strop.data.settings import DataSettings, MixtureSettings

KTO = [
    {"prompt": "q1", "completion": "good", "label": True, "id": 1},
    {"prompt": "q2", "completion": "bad", "label": False, "id": 2},
    {"prompt": "q3", "completion": "fine", "label": 1},
    {"prompt": "q4", "completion": "worse", "label": "0"},
    {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "no", "train": False}]},
    {"prompt": "q5", "chosen": "a", "rejected": "b"},
]


@pytest.fixture(scope="module")
def tokenizer():
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        ["user and assistant"],
        trainers.BpeTrainer(vocab_size=300, special_tokens=["<|end|>"], initial_alphabet=alphabet),
    )
    template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|end|>", chat_template=template)


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def prepared(tmp_path, tokenizer, *parts, workers=0, **settings):
    mixture = MixtureSettings(parts=list(parts), workers=workers, **settings)
    return prepare(mixture, {}, Encoding(tokenizer, ChatSettings(), frozenset()), tmp_path / "cache")


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_left_out_is_told_with_its_count(tmp_path, tokenizer, monkeypatch, workers):
    monkeypatch.setattr(encoding_module, "SPAWN_FROM", encoding_module.CHUNK)
    data = write(tmp_path / "kto.jsonl", KTO * 50)
    told = []
    for reused in (0, 1):
        made = prepared(tmp_path, tokenizer, DataSettings(path=data), workers=workers)
        assert made.reused == reused
        assert len(made.parts[0]) == 3 * 50
        assert made.report.notes == {
            "bad:label": 100,
            "untrained": 50,
            "preference": 50,
            "column:id": 50,
        }
        told.append((str(made.report).splitlines()[1:], next(iter(made.notes("CACHE")))))
    assert told[0] == told[1]
    assert told[0] == (
        [
            "rows left out, because they say that their answer is not wanted: label (100 rows)",
            "conversations left out, because all of their trained answers are marked as not trained: 50",
            "preference pairs, of which the chosen answer is trained and the rejected one left out: 50",
            "columns not read: id (50 rows)",
        ],
        f"{data}: prompt_completion (200), messages (50), preference (50)",
    )


def test_the_rows_of_examples_are_counted_over_those_that_were_left_out(tmp_path, tokenizer):
    [part] = prepared(tmp_path, tokenizer, DataSettings(path=write(tmp_path / "kto.jsonl", KTO))).parts
    assert [part.place(index).rpartition(":")[2] for index in range(len(part))] == ["1", "3", "6"]


def test_columns_are_mapped_and_are_part_of_the_key(tmp_path, tokenizer):
    data = write(tmp_path / "d.jsonl", [{"text": "q", "code": "one", "reward": {"truth": "two"}}])
    decoded = {}
    for source in ("code", "reward.truth"):
        part = DataSettings(path=data, columns={"prompt": "text", "completion": source})
        assert part.format == "prompt_completion"
        made = prepared(tmp_path, tokenizer, part)
        assert made.reused == 0
        decoded[source] = tokenizer.decode(made.parts[0][0].tokens)
    assert [name in decoded["code"] for name in ("one", "two")] == [True, False]
    assert [name in decoded["reward.truth"] for name in ("one", "two")] == [False, True]


def test_a_row_without_a_mapped_column_says_what_it_has(tmp_path):
    data = write(tmp_path / "d.jsonl", [{"text": "q", "code": "c"}, {"text": "q"}])
    part = DataSettings(path=data, columns={"prompt": "text", "completion": "code"})
    rows = iter(rows_of_part(part, {}))
    assert next(rows)[1] == {"prompt": "q", "completion": "c"}
    with pytest.raises(InputError) as caught:
        next(rows)
    assert str(caught.value) == f"{data}:2: columns: the row has no code, but text."
    bad = []
    assert len(list(rows_of_part(part, {}, bad.append))) == 1
    assert [str(error) for error in bad] == [str(caught.value)]


def test_a_mapped_column_that_may_be_missing_must_be_in_one_row(tmp_path):
    rows = [{"q": "1", "a": "2"}, {"q": "1", "a": "2", "persona": "s"}]
    columns = {"prompt": "q", "completion": "a", "system": "persona"}
    data = write(tmp_path / "d.jsonl", rows)
    found = [row for _, row in rows_of_part(DataSettings(path=data, columns=columns), {})]
    assert found == [{"prompt": "1", "completion": "2"}, {"prompt": "1", "completion": "2", "system": "s"}]
    write(data, rows[:1])
    with pytest.raises(InputError, match=r"d.jsonl: columns: no row has persona; the first has q, a\."):
        list(rows_of_part(DataSettings(path=data, columns=columns), {}))


def test_settings_of_columns_and_documents(tmp_path):
    with pytest.raises(ValidationError, match="promt is no column that a format knows; did you mean prompt"):
        DataSettings(path="d.jsonl", columns={"promt": "q"})
    with pytest.raises(ValidationError, match="documents"):
        DataSettings(path="d.txt", documents="page")
    with pytest.raises(ValidationError, match="`seed` is of a set that is generated"):
        DataSettings(path="d.jsonl", seed=1)
    with pytest.raises(ValidationError, match="a named set has neither"):
        DataSettings(task="code_basics", columns={"prompt": "q"})
    assert DataSettings(path="d.jsonl", columns={"messages": "m"}).format == "auto"
    assert DataSettings(path="d.jsonl", columns={"prompt": "m", "completion": "n"}, format="text").format == "text"


# -- trees in flat files


def flat(name, parent, role="assistant", **more):
    return {"message_id": name, "parent_id": parent, "text": f"text {name}", "role": role, **more}


FLAT = [
    flat("q", None, "prompter"),
    flat("a1", "q", rank=1),
    flat("Q", "", "prompter"),
    flat("a0", "q", rank=0),
    flat("A", "Q"),
    flat("more", "a0", "prompter"),
    flat("yes", "more", rank=0),
]


def test_flat_messages_are_joined_into_trees(tmp_path, tokenizer):
    data = write(tmp_path / "oasst.jsonl", FLAT)
    found = list(rows_of_part(DataSettings(path=data), {}))
    assert [place for place, _ in found] == [f"{data}:1", f"{data}:3"]
    made = prepared(tmp_path, tokenizer, DataSettings(path=data))
    assert "text a0" in tokenizer.decode(made.parts[0][0].tokens)
    assert "text yes" in tokenizer.decode(made.parts[0][0].tokens)
    assert "text A" in tokenizer.decode(made.parts[0][1].tokens)
    assert made.report.formats == {"message trees": 2}
    assert made.report.notes == {"branches": 1}
    assert len(list(rows_of_part(DataSettings(path=data, count=1), {}))) == 1


def test_a_message_whose_parent_is_not_there_is_refused(tmp_path):
    data = write(tmp_path / "oasst.jsonl", [*FLAT, flat("lost", "nowhere"), {"text": "x"}])
    with pytest.raises(InputError, match=r"oasst.jsonl:9: expected a message of a tree"):
        list(rows_of_part(DataSettings(path=data), {}))
    bad = []
    assert len(list(rows_of_part(DataSettings(path=data), {}, bad.append))) == 2
    assert "oasst.jsonl:8: field parent_id: it answers a message that is not in the data" in str(bad[1])
