import csv
import gzip
import json
import subprocess
import sys
import tracemalloc

import pytest

from strop.chat import parse_conversation
from strop.common.errors import InputError
from strop.data.files import data_files, open_rows

QA = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
ROWS = [{"messages": QA}, {"messages": [*QA, *QA]}]
CALLS = [
    {"messages": [QA[0], {"role": "assistant", "tool_calls": [{"function": {"name": name, "arguments": arguments}}]}]}
    for name, arguments in (("weather", {"city": "Bern"}), ("add", {"a": 1, "b": 2}))
]


def lines(rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def write_csv(path, rows, **options):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, **options).writerows(rows)


def parquet(path, rows):
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=1)


def arrow(path, rows, stream=False):
    import pyarrow

    table = pyarrow.Table.from_pylist(rows)
    with (pyarrow.ipc.new_stream if stream else pyarrow.ipc.new_file)(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=1)


def rows_of(*args, **kwargs):
    return [row for _, row in open_rows(*args, **kwargs)]


def bad_rows(path, **options):
    """The rows that can be read, and the messages about the others."""
    bad = []
    rows = [row for _, row in open_rows(path, on_bad=lambda error: bad.append(str(error)), **options)]
    return rows, bad


@pytest.mark.parametrize("name", ["d.jsonl", "d.ndjson", "d.jsonl.gz", "d.jsonl.zst"])
def test_json_lines_with_the_line_of_each(tmp_path, name):
    import pyarrow

    path, text = tmp_path / name, ("\ufeff" + lines(ROWS[:1]) + "\r\n \n" + lines(ROWS[1:])).encode()
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(text[:40]) + gzip.compress(text[40:]))  # as `cat a.gz b.gz` makes it
    elif name.endswith(".zst"):
        path.write_bytes(pyarrow.compress(text, codec="zstd", asbytes=True))
    else:
        path.write_bytes(text)
    assert list(open_rows(path)) == [(f"{path}:1", ROWS[0]), (f"{path}:4", ROWS[1])]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ROWS),
        json.dumps(ROWS, indent=2),
        json.dumps({"version": "1.0", "data": ROWS, "licence": {"data": [1]}}),
        lines(ROWS),  # JSON lines under another name
        "\n".join(json.dumps(row, indent=1) for row in ROWS),
        json.dumps([QA, [*QA, *QA]]),
        "\ufeff" + json.dumps(ROWS),
    ],
)
def test_json_files(tmp_path, text):
    path = tmp_path / "d.json"
    path.write_text(text, encoding="utf-8")
    assert list(open_rows(path)) == [(f"{path}, row 1", ROWS[0]), (f"{path}, row 2", ROWS[1])]


@pytest.mark.parametrize("chunk", [1, 2, 7])
def test_json_is_the_same_wherever_the_chunks_end(tmp_path, monkeypatch, chunk):
    rows = [{"a": 'é"\\ 😀\ud83d', "n": [-12.5e3, 10**30, True, None, {}]}, {"long": "x" * 50, "b": {"c": [[]]}}]
    path = tmp_path / "d.json"
    monkeypatch.setattr("strop.data.json_files._CHUNK", chunk)
    for text in (json.dumps(rows), json.dumps(rows, indent=1), json.dumps({"x": 12345, "data": rows}), lines(rows)):
        path.write_text(text)
        assert rows_of(path) == rows


def test_bare_lists_of_messages(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text(lines([QA]))
    assert rows_of(path) == [{"messages": QA}]


@pytest.mark.parametrize("kind", ["parquet", "arrow", "feather", "stream"])
def test_columnar_files_without_the_nulls_that_arrow_adds(tmp_path, kind):
    path = tmp_path / f"d.{'arrow' if kind == 'stream' else kind}"
    if kind == "parquet":
        parquet(path, CALLS)
    else:
        arrow(path, CALLS, stream=kind == "stream")
    assert list(open_rows(path)) == [(f"{path}, row {n}", row) for n, row in enumerate(CALLS, start=1)]
    assert [parse_conversation(row, place).messages[1].tool_calls[0]["function"] for place, row in open_rows(path)] == [
        call["messages"][1]["tool_calls"][0]["function"] for call in CALLS
    ]


@pytest.mark.parametrize(("name", "delimiter"), [("d.csv", ","), ("d.tsv", "\t"), ("d.csv.gz", ",")])
def test_tables_of_text(tmp_path, name, delimiter):
    path, long = tmp_path / name, "x" * 200_000  # more than Python's own limit of a cell
    rows = [["prompt", "completion"], ["a\nb, c", 'say "hi"'], ["", long]]
    write_csv(path, rows, delimiter=delimiter)
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(path.read_bytes()))
    assert list(open_rows(path)) == [
        (f"{path}, row 1", {"prompt": "a\nb, c", "completion": 'say "hi"'}),
        (f"{path}, row 2", {"prompt": "", "completion": long}),
    ]


def test_json_text_in_tables_is_understood(tmp_path):
    path, tools = tmp_path / "d.csv", [{"type": "function", "function": {"name": "f"}}]
    sharegpt = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    write_csv(path, [["conversations", "tools"], [json.dumps(sharegpt), json.dumps(tools)]])
    [(place, row)] = open_rows(path)
    parsed = parse_conversation(row, place)
    assert [(m.role, m.content) for m in parsed.messages] == [("user", "q"), ("assistant", "a")]
    assert list(parsed.tools) == tools


def test_a_folder_is_read_in_order_and_by_split(tmp_path):
    for name, text in {
        "b/train-00001-of-00002.jsonl": "2",
        "b/train-00000-of-00002.jsonl": "1",
        "a_val.jsonl": "v",
        "more.jsonl": "3",
        "test/0.jsonl": "t",
        ".cache/x.jsonl": "hidden",
        "README.md": "no data",
        "dataset_infos.json": "{}",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(lines([{"text": text}]))
    assert [row["text"] for row in rows_of(tmp_path)] == ["1", "2", "3"]
    assert [row["text"] for row in rows_of(tmp_path, split="validation")] == ["v"]
    assert [row["text"] for row in rows_of(tmp_path, split="test")] == ["t"]
    assert [row["text"] for row in rows_of(tmp_path, subset="b")] == ["1", "2"]
    assert data_files(tmp_path, "dev") == [tmp_path / "a_val.jsonl"]
    with pytest.raises(InputError, match=r"no file is named after the split test, but after train; choose one"):
        open_rows(tmp_path, subset="b", split="test")


def test_saved_datasets(tmp_path):
    from datasets import Dataset, DatasetDict

    one = Dataset.from_list(CALLS)
    one.select([1]).save_to_disk(tmp_path / "one")
    DatasetDict(train=one, test=one.select([1])).save_to_disk(tmp_path / "several")
    assert list(open_rows(tmp_path / "one")) == [(f"{tmp_path / 'one'}, row 1", CALLS[1])]
    assert rows_of(tmp_path / "several") == CALLS
    assert rows_of(tmp_path / "several", split="test") == CALLS[1:]
    assert all(file.is_relative_to(tmp_path / "several/test") for file in data_files(tmp_path / "several", "test"))
    with pytest.raises(InputError, match=r"there is no split dev, but train, test; choose one"):
        rows_of(tmp_path / "several", split="dev")


def test_null_within_json_columns_stays(tmp_path):
    from datasets import Dataset, Features, Json, List, Value

    def calls(arguments):
        return List({"name": Value("string"), "arguments": arguments, "id": Value("string")})

    row = {"messages": [{"calls": [{"name": "f", "arguments": {"x": None, "y": [1]}}]}], "tools": [{"a": None}]}
    features = Features({"messages": List({"calls": calls(Json())}), "tools": List(Json())})
    dataset = Dataset.from_list([row], features=features)
    dataset.to_parquet(tmp_path / "d.parquet")
    dataset.save_to_disk(tmp_path / "saved")
    assert rows_of(tmp_path / "d.parquet") == [row]
    assert rows_of(tmp_path / "saved") == [row]


def test_hub_ids_are_streamed(tmp_path, monkeypatch):
    from datasets import Dataset

    asked = {}

    def load_dataset(name, subset, **options):
        asked.update(options, name=name, subset=subset)
        return Dataset.from_list([{"question": "q", "answer": "a", "id": None}] * 10).to_iterable_dataset()

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    found = list(open_rows(hub="openai/gsm8k", subset="main", split="test", revision="v1", count=2))
    assert found == [(f"openai/gsm8k[test], row {n}", {"question": "q", "answer": "a"}) for n in (1, 2)]
    assert asked == {"name": "openai/gsm8k", "subset": "main", "split": "test", "revision": "v1", "streaming": True}


def test_the_real_loader_reads_a_folder_as_it_does_the_hub(tmp_path):
    (tmp_path / "train.jsonl").write_text(lines(CALLS))
    assert rows_of(hub=str(tmp_path)) == CALLS
    with pytest.raises(InputError, match=r"Bad split: test\. Available splits: \['train'\]; check subset, split"):
        rows_of(hub=str(tmp_path), split="test")


@pytest.mark.parametrize("when", ["opening", "reading"])
def test_an_unreachable_hub_is_one_sentence(monkeypatch, when):
    from datasets import IterableDataset
    from huggingface_hub.errors import HTTPError

    def load_dataset(*args, **options):
        if when == "opening":
            raise ConnectionError("Couldn't reach 'a/b' on the Hub\nlong tail")

        def rows():
            yield {"text": "t"}
            raise HTTPError("no route")

        return IterableDataset.from_generator(rows)

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    with pytest.raises(InputError) as caught:
        rows_of(hub="a/b")
    assert str(caught.value).startswith("a/b: cannot be read (")
    assert str(caught.value).endswith("`hf download --repo-type dataset a/b --local-dir FOLDER` and give path: FOLDER.")
    assert "\n" not in str(caught.value)


def test_the_first_rows_only(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text(lines(ROWS) + "broken")
    assert rows_of(path, count=2) == ROWS


def test_bad_lines_can_be_passed_over(tmp_path):
    path = tmp_path / "d.jsonl"
    bad = [b"{broken", b'"text"', b"[1]", b'{"a": "\xff"}', b"[" * 100_000, b'{"a": ' + b"1" * 5000 + b"}"]
    path.write_bytes(b"\n".join([json.dumps(ROWS[0]).encode(), *bad, json.dumps(ROWS[1]).encode()]))
    rows, messages = bad_rows(path)
    assert rows == ROWS
    assert [message.partition(": ")[0] for message in messages] == [f"{path}:{n}" for n in range(2, 8)]
    for message, said in zip(
        messages,
        ["not JSON (Expecting property name", "found str", "found list", "not UTF-8", "nested too deep", "as a string"],
        strict=True,
    ):
        assert said in message
    with pytest.raises(InputError, match=r":2: not JSON"):
        rows_of(path)


@pytest.mark.parametrize("indent", [None, 1])
def test_a_field_that_stands_twice_is_a_bad_row(tmp_path, indent):
    # Python takes the last one: a question, an answer or a whole conversation would be gone without a word.
    good = json.dumps({"messages": [{"role": "user", "content": "q"}]}, indent=indent)
    path, twice = tmp_path / "d.jsonl", good.replace('"content"', '"content": "lost", "content"')
    path.write_text("\n".join([good, twice, good]) + "\n")
    rows, [message] = bad_rows(path)
    assert rows == [json.loads(good)] * 2
    line = good.count("\n") + 2
    assert message == f"{path}:{line}: the field content stands twice in one object; keep one of them."


def test_bad_rows_of_json_and_csv_can_be_passed_over(tmp_path):
    path = tmp_path / "d.json"
    path.write_text(json.dumps([ROWS[0], 3, [], ROWS[1]]))
    rows, messages = bad_rows(path)
    assert rows == ROWS
    assert [message.partition(": ")[0] for message in messages] == [f"{path}, row 2", f"{path}, row 3"]
    path = tmp_path / "d.csv"
    path.write_text('a,b\n1,2\n1\n\n"x" y,2\n3,4\n')
    rows, messages = bad_rows(path)
    assert rows == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]
    assert messages[0] == f"{path}, row 2: 1 cells, and the first line names 2 columns."
    assert messages[1].startswith(f"{path}, row 3: not CSV (")


def test_a_bad_row_of_a_table_can_be_passed_over(tmp_path):
    import pyarrow

    text = pyarrow.Array.from_buffers(pyarrow.string(), 3, pyarrow.array([b"one", b"\xff", b"two"]).buffers())
    table = pyarrow.table({"text": text})
    with pyarrow.ipc.new_file(tmp_path / "d.arrow", table.schema) as writer:
        writer.write_table(table)
    rows, [message] = bad_rows(tmp_path / "d.arrow")
    assert rows == [{"text": "one"}, {"text": "two"}]
    assert message.startswith(f"{tmp_path / 'd.arrow'}, row 2: cannot be read ('utf-8' codec")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("d.jsonl", b"\n\n", "holds no row"),
        ("d.json", b"[]", "holds no row"),
        ("d.json", b'[{"a": 1}, {"a": ]', ", row 2: not JSON (Expecting value at ']'); repair the file."),
        ("d.json", b'[{"a": 1}', ", row 2: not JSON (expected ']', found the end of the file)"),
        ("d.json", b'[{"a": 1} {"a": 2}]', ", row 2: not JSON (expected ']', found '{\"a\": 2}]')"),
        ("d.json", b'{"a": "never ends', ", row 1: not JSON (Unterminated string"),
        ("d.json", b"{1: 2}", ", row 1: not JSON (expected the name of a field, found 1)"),
        ("d.json", b"[" * 100_000, ", row 1: not JSON (nested too deep"),
        ("d.json", b'["\xff"]', ": not UTF-8"),
        ("d.csv", b"a,a\n1,2\n", "the first line must name the columns, each once"),
        ("d.csv", b"a\n\xff\n", ": not UTF-8"),
        ("d.parquet", b"PAR1 but no more", ": not a whole Parquet file ("),
        ("d.arrow", b"ARROW1 but no more", ": not a whole Arrow file ("),
        ("d.feather", b"", ": not a whole Arrow file ("),
        ("d.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 1000, mtime=0)[:-20], ": damaged or not complete"),
        ("d.jsonl.gz", b"not gzip", ": cannot be read (Not a gzipped file"),
        ("d.jsonl.zst", b"not zstd", ": cannot be read (ZSTD"),
        ("d.jsonl", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", ": this is a pointer of Git LFS"),
        ("d.parquet", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", ": this is a pointer of Git LFS"),
        ("d.jsonl", gzip.compress(b'{"a": 1}\n', mtime=0), ": this is packed by gzip; let its name end with .gz."),
        ("d.json", b"PAR1 and so on", ": this is a Parquet file; let its name end with .parquet."),
        ("d.csv", b"PK\x03\x04 and so on", ": this is a zip archive or a spreadsheet; unpack it, or save it as CSV."),
        ("d.json", b'[{"a": 1, "b": 2, "a": 3}]', ", row 1: not JSON (the field a stands twice in one object; keep"),
        ("d.json", b'{"a": 1, "b": 2, "a": 3}', ", row 1: not JSON (the field a stands twice in one object; keep"),
        ("d.xlsx", b"", ": there is no reader for this kind of file; known are .jsonl,"),
        ("folder/notes.md", b"", ": no data file in this folder; known are .jsonl,"),
    ],
)
def test_what_cannot_be_read_says_so(tmp_path, name, content, message):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        rows_of(path.parent if "/" in name else path)
    assert message in str(caught.value)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give either path"),
        ({"path": "x", "hub": "y"}, "give either path"),
        ({"path": "nothing.jsonl"}, "nothing.jsonl: there is no such file"),
        (
            {"hub": "a/b", "format": "shargpt"},
            "there is no format 'shargpt'; known: auto, auto_text, messages, sharegpt,",
        ),
        ({"path": "x.jsonl", "revision": "main"}, "a revision is for data on the hub"),
        ({"path": "x.jsonl", "subset": "main"}, "there is no folder main in it"),
    ],
)
def test_what_is_asked_wrongly_is_said_before_reading(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        open_rows(**arguments)


@pytest.mark.parametrize("name", ["d.jsonl", "d.json", "d.csv"])
def test_a_file_is_never_held_whole(tmp_path, name):
    path, count, size = tmp_path / name, 40, 500_000
    texts = [str(number) + "x" * size for number in range(count)]
    rows = texts if name == "d.csv" else [json.dumps({"text": text}) for text in texts]
    before, between, after = {"d.jsonl": ("", "\n", ""), "d.json": ("[", ",\n", "]"), "d.csv": ("text\n", "\n", "")}[
        name
    ]
    path.write_text(before + between.join(rows) + after)
    del texts, rows
    tracemalloc.start()
    assert sum(1 for _ in open_rows(path)) == count
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < count * size / 2


def test_reading_json_needs_no_heavy_package():
    code = (
        "import sys, strop.data.files; "
        "print([m for m in ('torch', 'transformers', 'datasets', 'pyarrow', 'pandas') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("inside", ["", "pairs", "eval"])
def test_the_folder_of_a_run_is_no_data(tmp_path, inside):
    for stage, file in (("pairs", "rows.jsonl"), ("eval", "evals/sums.jsonl")):
        (tmp_path / stage / file).parent.mkdir(parents=True)
        (tmp_path / stage / file).write_text('{"prompt": "2 + 3?", "answer": "5"}\n')
        (tmp_path / stage / "stage.json").write_text('{"done": true}')
        (tmp_path / stage / "config.yaml").write_text("name: x\n")
    (tmp_path / "config.yaml").write_text("name: x\n")
    place = tmp_path / inside
    with pytest.raises(InputError, match=f"is made from is in {place / 'config.yaml'}") as refused:
        list(open_rows(place))
    assert (f"{tmp_path / 'pairs' / 'rows.jsonl'}." in str(refused.value)) == (inside != "eval")
    assert next(open_rows(tmp_path / "pairs" / "rows.jsonl"))[1]["answer"] == "5"
