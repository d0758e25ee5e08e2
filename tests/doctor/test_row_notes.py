"""What the doctor says of rows that are not, or not wholly, used."""

from strop.chat import ChatEncoder, ChatSettings
from strop.doctor import read_set
from strop.doctor.rows import readings

ROWS = [
    {"prompt": "q", "completion": "a", "label": True, "id": 3},
    {"prompt": "q", "completion": "b", "label": False},
    {"prompt": "q", "rejected": "c"},
    {"prompt": "q", "chosen": "a", "rejected": "c"},
    {"prompt": "q", "completion": "a", "weight": 0},
    {"question": "q", "answer": "a", "topic": "t"},
]


def test_a_finding_for_each_kind(tokenizer):
    data = read_set("d", lambda on_bad: [(f"d:{n}", row) for n, row in enumerate(ROWS, start=1)])
    assert (len(data.rows), len(data.rejected), data.read) == (3, 0, 6)
    assert data.formats == {"prompt_completion": 4, "preference": 2}
    encoder = ChatEncoder(tokenizer, ChatSettings())
    for row in data.rows:
        encoder.inspect(row.conversation)
    found = readings([data], encoder.report.notes)
    assert [(one.kind, one.level, one.count) for one in found] == [
        ("bad", "warning", 1),
        ("only_rejected", "warning", 1),
        ("no_weight", "note", 1),
        ("preference", "warning", 1),
        ("column", "note", 1),
    ]
    assert found[-1].message == "columns not read: id (1 row), topic (1 row)"
    assert all(one.mend for one in found)
