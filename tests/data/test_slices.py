"""`split`: slices as `datasets` writes them, of every source; names of files; and what is refused."""

import json

import pytest

from strop.common.errors import InputError
from strop.data.files import data_files, open_rows
from strop.data.keys import data_identity
from strop.data.readers import rows_of_part
from strop.data.settings import DataSettings
from strop.data.slices import parse_split

SPLITS = [
    *("train", "train[:100]", "train[10%:]", "train[:10%]+train[90%:]", "train[-5:]", "train[:-5]", "train[-10%:]"),
    *("train[5:3]", "train[33%:66%]", "train[200:]", "train[-10%:-5%]", "train[1_0:2_0]", "train[:33%](closest)"),
]


def write(path, numbers):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"n": n}) + "\n" for n in numbers))


def numbers(*args, **kwargs):
    return [row["n"] for _, row in open_rows(*args, **kwargs)]


@pytest.mark.parametrize("length", [0, 1, 7, 99, 100, 1319])
@pytest.mark.parametrize("split", SPLITS)
def test_bounds_are_those_of_datasets(split, length):
    from datasets import ReadInstruction

    theirs = [(a.from_, max(a.from_, a.to)) for a in ReadInstruction.from_spec(split).to_absolute({"train": length})]
    assert [piece.bounds(length) for piece in parse_split(split)] == theirs


@pytest.mark.parametrize(
    ("split", "kept"),
    [
        ("train[:3]", [0, 1, 2]),
        ("train[18:]", [18, 19]),
        ("train[-2:]", [18, 19]),
        ("train[:10%]+train[90%:]", [0, 1, 18, 19]),
        ("train[5:6]+train[:1]", [5, 0]),
        ("train[:-17]", [0, 1, 2]),
    ],
)
@pytest.mark.parametrize("source", ["file", "folder", "saved"])
def test_slices_of_every_source(tmp_path, split, kept, source):
    path = tmp_path / "d"
    if source == "file":
        path = tmp_path / "d.jsonl"
        write(path, range(20))
    elif source == "folder":
        write(path / "train-0.jsonl", range(12))
        write(path / "train-1.jsonl", range(12, 20))
        write(path / "test.jsonl", [99])
    else:
        from datasets import Dataset

        Dataset.from_list([{"n": n} for n in range(20)]).save_to_disk(path)
    assert numbers(path, split=split) == kept
    places = [place for place, _ in open_rows(path, split=split)]
    if source == "file":
        assert places == [f"{path}:{n + 1}" for n in kept]
    elif source == "saved":
        assert places == [f"{path}, row {n + 1}" for n in kept]


def test_a_slice_of_the_hub_is_streamed(tmp_path):
    write(tmp_path / "train.jsonl", range(20))
    assert numbers(hub=str(tmp_path), split="train[5:8]") == [5, 6, 7]
    assert [place for place, _ in open_rows(hub=str(tmp_path), split="train[5:7]")] == [
        f"{tmp_path}[train], row 6",
        f"{tmp_path}[train], row 7",
    ]
    with pytest.raises(InputError, match=r"train\[90%:\]: the hub does not say how many rows train has"):
        numbers(hub=str(tmp_path), split="train[90%:]")


def test_count_is_of_the_slice(tmp_path):
    write(tmp_path / "d.jsonl", range(20))
    assert numbers(tmp_path / "d.jsonl", split="train[10:]", count=2) == [10, 11]


def test_a_named_set_has_slices_too():
    def named(count, seed):
        return [(f"set[{n}]", {"n": n}) for n in range(count or 8)]

    def taken(**settings):
        return [row["n"] for _, row in rows_of_part(DataSettings(task="x", **settings), {"x": named})]

    assert taken(split="train[:25%]") == [0, 1]
    assert taken(split="train[6:]", count=1) == [6]
    assert taken(count=20) == list(range(20))
    with pytest.raises(ValueError, match="a named set has no split test"):
        DataSettings(task="x", split="test")


def test_rows_that_cannot_be_read_count_and_are_only_said_within_the_slice(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text('{"n": 0}\nbad\n{"n": 2}\nbad\n{"n": 4}\n')
    bad = []
    assert numbers(path, split="train[2:5]", on_bad=lambda error: bad.append(str(error))) == [2, 4]
    assert [message.partition(": ")[0] for message in bad] == [f"{path}:4"]
    assert numbers(path, split="train[2:3]") == [2]
    with pytest.raises(InputError, match=r"d\.jsonl:2: not JSON"):
        numbers(path, split="train[:50%]")


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        ("d.jsonl", "nonsense", r"there is no split nonsense in one file, but train; write for example train\[:100\]"),
        ("d.jsonl", "test[:5]", "there is no split test in one file, but train"),
        ("my_test.jsonl", "validation", r"but test \(or train\)"),
        ("d.jsonl", "train[20:]", r"train\[20:\] takes none of its rows"),
        ("d.jsonl", "train[:", r"'train\[:' is no split and no slice of one \(.*\); write for example train, train"),
        ("d.jsonl", "train[5:50%]", r"'train\[5:50%\]' is no split .*one end is in rows and the other in per cent"),
        ("d.jsonl", "train[:101%]", r"'train\[:101%\]' is no split .*boundaries must be > -100"),
        ("d.jsonl", "train[:5%](nearest)", "rounding must be either closest or pct1_dropremainder"),
        ("d.jsonl", "train[:50%](pct1_dropremainder)", r"split with less than 100 .*\. Write another slice\."),
        ("d.jsonl", "[:5]", r"'\[:5\]' is no split and no slice of one \(it needs a name"),
        ("d.jsonl", "tr ain", "it needs a name, and a slice in brackets after it"),
        ("folder", "test", "there is no split test: no file is named after one, so all of them are train"),
        ("saved", "test", "there is no split test, but train alone"),
    ],
)
def test_splits_that_there_are_not(tmp_path, name, split, message):
    path = tmp_path / name
    if name == "saved":
        from datasets import Dataset

        Dataset.from_list([{"n": 1}]).save_to_disk(path)
    else:
        write(path / "d.jsonl" if name == "folder" else path, range(20))
    with pytest.raises(InputError, match=message):
        numbers(path, split=split)


def test_a_file_named_after_a_split_is_read_as_it_and_as_train(tmp_path):
    path = tmp_path / "my_test.jsonl"
    write(path, range(4))
    assert numbers(path) == numbers(path, split="test") == [0, 1, 2, 3]
    assert numbers(path, split="test[:1]") == numbers(path, split="train[:1]") == [0]


def test_settings_refuse_what_is_no_slice():
    with pytest.raises(ValueError, match="is no split and no slice of one"):
        DataSettings(path="d.jsonl", split="train[1]")


def test_files_left_out_of_a_folder_are_said(tmp_path):
    for name in ("train.jsonl", "more.jsonl", "ab-test.jsonl", "test_data.jsonl", "web_dev.jsonl", "unit_test.jsonl"):
        write(tmp_path / name, [1])
    (tmp_path / "LICENSE.txt").write_text("all yours")
    (tmp_path / "old.xlsx").write_text("?")
    (tmp_path / "README.md").write_text("about")
    said = []
    assert numbers(tmp_path, say=said.append) == [1, 1]
    assert said == [
        f"{tmp_path}: read more.jsonl, train.jsonl; left out as other splits: ab-test.jsonl (test), test_data.jsonl "
        "(test), unit_test.jsonl (test), web_dev.jsonl (validation) (`split` reads those of another, and a path one "
        "file whatever its name)",
        f"{tmp_path}: left out beside data files of other kinds: LICENSE.txt",
        f"{tmp_path}: left out, as there is no reader for them: old.xlsx",
    ]
    said.clear()
    assert len(numbers(tmp_path, split="train+test+dev", say=said.append)) == 6
    assert len(said) == 2  # every split is read, so none is left out
    assert [file.name for file in data_files(tmp_path, "dev+train")] == ["web_dev.jsonl", "more.jsonl", "train.jsonl"]


def test_what_is_read_decides_what_data_are(tmp_path):
    write(tmp_path / "d.jsonl", range(4))
    ways = [
        {},
        {"split": "train[:2]"},
        {"count": 2},
        {"columns": {"text": "n"}},
        {"documents": "line"},
        {"format": "text"},
    ]
    found = [json.dumps(data_identity(DataSettings(path=tmp_path / "d.jsonl", **way))) for way in ways]
    assert len(set(found)) == len(ways)
