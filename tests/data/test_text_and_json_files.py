"""Plain text as documents, JSON under other names, objects over several lines, tables from spreadsheets."""

import gzip
import json

import pytest

from strop.chat import Text, parse_row
from strop.common.errors import InputError
from strop.data.files import open_rows

POEM = "One line,\nand one more.\n\n \nA second block.\r\nIts end."
TURNS = [{"role": "user", "content": 'q {["}'}, {"role": "assistant", "content": "a"}]
ROWS = [{"messages": TURNS}, {"messages": [*TURNS, *TURNS]}]


def read(path, **options):
    said = []
    return list(open_rows(path, say=said.append, **options)), said


def bad_rows(path, **options):
    bad = []
    return [row for _, row in open_rows(path, on_bad=lambda error: bad.append(str(error)), **options)], bad


@pytest.mark.parametrize(
    ("documents", "texts", "what"),
    [
        ("file", {1: "One line,\nand one more.\n\n \nA second block.\nIts end."}, "one document"),
        (
            "paragraph",
            {1: "One line,\nand one more.", 5: "A second block.\nIts end."},
            "2 documents (blocks between blank lines)",
        ),
        ("line", {1: "One line,", 2: "and one more.", 5: "A second block.", 6: "Its end."}, "4 documents (lines)"),
    ],
)
@pytest.mark.parametrize("name", ["d.txt", "d.txt.gz"])
def test_documents_of_a_text(tmp_path, documents, texts, what, name):
    path = tmp_path / name
    content = ("\ufeff" + POEM).encode()
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    rows, said = read(path, documents=documents)
    assert rows == [(f"{path}:{line}", {"text": text}) for line, text in texts.items()]
    assert said == [
        f"{path}: plain text, of which everything is trained: {what}; its Windows line ends are read as plain ones"
    ]
    assert [parse_row(row, place) for place, row in rows] == [Text(row["text"], place) for place, row in rows]


def test_a_carriage_return_alone_is_a_character(tmp_path):
    (tmp_path / "d.txt").write_bytes(b"a\rb\nc")
    assert [row["text"] for _, row in open_rows(tmp_path / "d.txt", documents="line")] == ["a\rb", "c"]


def test_documents_of_files_that_hold_rows_are_refused(tmp_path):
    (tmp_path / "d.jsonl").write_text('{"text": "a"}\n')
    with pytest.raises(InputError, match=r"d\.jsonl: documents=line is of \.txt files"):
        open_rows(tmp_path / "d.jsonl", documents="line")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/d.txt").write_text("a\nb\n")
    assert [row["text"] for _, row in open_rows(tmp_path / "texts", documents="line")] == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "né".encode("latin-1"),
            "not UTF-8; save the file as UTF-8, e.g. `iconv -f ITS-ENCODING -t UTF-8 d.txt > utf8",
        ),
        ("né".encode("utf-16"), "not UTF-8 but UTF-16; save the file as UTF-8, e.g. `iconv -f UTF-16 -t UTF-8 d.txt"),
        ("ne".encode("utf-16-le"), "d.txt:1: holds a NUL character"),
        (b" \n\n", "holds no row"),
    ],
)
def test_text_that_is_none(tmp_path, content, message):
    (tmp_path / "d.txt").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read(tmp_path / "d.txt")


def test_utf_16_json_lines_are_named(tmp_path):
    (tmp_path / "d.jsonl").write_bytes(json.dumps(ROWS[0]).encode("utf-16"))
    with pytest.raises(InputError, match="not UTF-8 but UTF-16"):
        read(tmp_path / "d.jsonl")


@pytest.mark.parametrize("name", ["d.jsonl", "d.txt", "d.jsonl.gz"])
def test_objects_over_several_lines_have_the_line_where_each_begins(tmp_path, name):
    path, one, two = tmp_path / name, json.dumps(ROWS[0]), json.dumps(ROWS[1], indent=2)
    text = f"{one}\n\n{two}\n {one}\n{json.dumps(TURNS, indent=1)}\n".encode()
    path.write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    second = 3 + two.count("\n") + 1
    rows, said = read(path)
    assert rows == [
        (f"{path}:1", ROWS[0]),
        (f"{path}:3", ROWS[1]),
        (f"{path}:{second}", ROWS[0]),
        (f"{path}:{second + 1}", {"messages": TURNS}),
    ]
    assert len(said) == 1
    kind = "JSON objects, read as rows and not as text" if name == "d.txt" else "objects over several lines, one after"
    assert kind in said[0]


def test_text_that_begins_with_a_bracket_is_text(tmp_path):
    (tmp_path / "d.txt").write_text("[Enter two clowns]\nfirst clown: {sighs}")
    assert [row["text"][:7] for _, row in open_rows(tmp_path / "d.txt")] == ["[Enter "]


def test_a_damaged_object_is_one_bad_row(tmp_path):
    path, whole = tmp_path / "d.jsonl", json.dumps(ROWS[0], indent=2)
    cut = json.dumps(ROWS[1], indent=2).splitlines()
    del cut[2]
    path.write_text("\n".join([whole, *cut, whole, '{"messages": [', json.dumps(ROWS[1])]) + "\n")
    rows, [first, second] = bad_rows(path)
    assert rows == [ROWS[0], ROWS[0], ROWS[1]]
    begins = whole.count("\n") + 2
    assert first.startswith(f"{path}:{begins}: not JSON (")
    assert first.endswith(f"(nor is it one with lines {begins + 1} to {begins + len(cut) - 1}).")
    assert second.startswith(f"{path}:{begins + len(cut) + whole.count(chr(10)) + 1}: not JSON (")


@pytest.mark.parametrize("indent", [None, 1])
def test_one_list_in_a_file_of_lines(tmp_path, indent):
    path = tmp_path / "d.jsonl"
    path.write_text(json.dumps(ROWS, indent=indent))
    assert [row for _, row in open_rows(path)] == ROWS


@pytest.mark.parametrize("key", ["data", "rows", "examples", "train", "training"])
def test_an_object_that_holds_a_list_of_rows(tmp_path, key):
    path = tmp_path / "d.json"
    path.write_text(json.dumps({"version": 1, key: ROWS, "licence": "MIT"}))
    rows, said = read(path)
    assert rows == [(f"{path}, row 1", ROWS[0]), (f"{path}, row 2", ROWS[1])]
    assert said == [f"{path}: its rows are in the list {key}"]


def test_lists_of_several_splits(tmp_path):
    path = tmp_path / "d.json"
    path.write_text(json.dumps({"train": ROWS, "dev": [ROWS[0]]}))
    rows, said = read(path)
    assert [row for _, row in rows] == ROWS
    assert f"{path}: left out as another split: 1 rows in the list dev (split: dev)" in said
    assert [row for _, row in open_rows(path, split="validation")] == [ROWS[0]]
    with pytest.raises(InputError, match="there is no split test in it, but train, validation; choose one"):
        read(path, split="test")


def test_a_list_that_is_named_after_no_split_is_train(tmp_path):
    path = tmp_path / "d.json"
    path.write_text(json.dumps({"data": ROWS}))
    with pytest.raises(InputError, match="there is no split test in it, but train; choose one"):
        read(path, split="test")


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "p", "completion": "c", "examples": [{"a": 1}]},
        {"a": 1, "rows": ["x", "y"]},
        {"examples": [], "prompt": "p"},
    ],
)
def test_a_row_with_a_list_is_a_row(tmp_path, row):
    (tmp_path / "d.json").write_text(json.dumps(row))
    assert [found for _, found in open_rows(tmp_path / "d.json")] == [row]


@pytest.mark.parametrize("chunk", [1, 3, 10])
def test_lists_are_found_wherever_the_chunks_end(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr("strop.data.json_files._CHUNK", chunk)
    (tmp_path / "d.json").write_text(json.dumps({"x": 1, "rows": ROWS, "test": ROWS}, indent=2))
    assert [found for _, found in open_rows(tmp_path / "d.json")] == ROWS


@pytest.mark.parametrize(
    ("text", "rows", "said"),
    [
        ("prompt;completion\na,b;c\n", [{"prompt": "a,b", "completion": "c"}], "its cells are separated by semicolons"),
        ("prompt\tcompletion\na\tc\n", [{"prompt": "a", "completion": "c"}], "its cells are separated by tabs"),
        ("sep=;\r\np;c\r\n1;2\r\n", [{"p": "1", "c": "2"}], "its cells are separated by semicolons"),
        ("text\na;b\n", [{"text": "a;b"}], None),
        ("p,c;d\n1,2\n", [{"p": "1", "c;d": "2"}], None),
        (
            ",prompt,completion\n0,a,b\n",
            [{"Unnamed: 0": "0", "prompt": "a", "completion": "b"}],
            "column 1 has no name (an index, as pandas writes it), so nothing is read from it",
        ),
        ("p,c,\n1,2,\n", [{"p": "1", "c": "2", "Unnamed: 2": ""}], "column 3 has no name, so nothing is read from it"),
        ('\ufeffp,c\n"1\n\n2",3\n', [{"p": "1\n\n2", "c": "3"}], None),
    ],
)
def test_tables_from_spreadsheets(tmp_path, text, rows, said):
    path = tmp_path / "d.csv"
    path.write_text(text, encoding="utf-8", newline="")
    found, remarks = read(path)
    assert [row for _, row in found] == rows
    assert remarks == ([f"{path}: {said}"] if said else [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b,a\n1,2,3\n", "the first line must name the columns, each once; a stands there more than once"),
        ("", "the first line must name the columns, and it is empty"),
        ('"a" b,c\n1,2\n', "d.csv: the first line, which names the columns, is not CSV"),
        (",,\n1,2,3\n", "the first line must name the columns, and it is empty"),
        ("a,b\n1,2,3\n", "row 1: 3 cells, and the first line names 2 columns"),
    ],
)
def test_tables_that_are_none(tmp_path, text, message):
    (tmp_path / "d.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read(tmp_path / "d.csv")
