"""Prepared data: what comes back is what was encoded, once, whoever encoded it, and never the half of it."""

import json
import os
import pickle
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from strop.chat import ChatSettings, MaskReport, parse_conversation, parse_row
from strop.common.errors import InputError
from strop.data import encoding as encoding_module
from strop.data.encoding import Encoding, Job, PromptDraws, encode_all
from strop.data.keys import data_identity
from strop.data.prepare import eval_data_note, prepare
from strop.data.prepared import sweep
from strop.data.settings import DataSettings, MixtureSettings, SystemPromptSettings

TEMPLATE = (
    "{% for m in messages %}{{ '<|start|>' + m['role'] + '\n' + m['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant\n' }}{% endif %}"
)


def make_tokenizer(template=TEMPLATE, words="say it again, user and assistant") -> PreTrainedTokenizerFast:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=290, special_tokens=["<|start|>", "<|end|>"], initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator([words] * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|end|>", chat_template=template)


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


def row(number, system=None, turns=1):
    messages = [{"role": "system", "content": system}] if system else []
    for turn in range(turns):
        messages += [
            {"role": "user", "content": f"say {number} again"},
            {"role": "assistant", "content": f"{number}.{turn}" + " it" * (number % 5)},
        ]
    return {"messages": messages}


def write(path, rows):
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows))
    return path


@pytest.fixture
def data(tmp_path):
    return write(tmp_path / "d.jsonl", [row(i, system="Be brief." if i % 7 == 3 else None) for i in range(40)])


@pytest.fixture
def run(tmp_path, tokenizer):
    """Prepare parts into the test's cache."""

    def call(*parts, chat=None, named=None, stop_ids=frozenset(), epochs=1, seed=0, tokenizer=tokenizer, **settings):
        parts = [DataSettings(path=part) if not isinstance(part, DataSettings) else part for part in parts]
        encoding = Encoding(tokenizer, ChatSettings(**(chat or {})), frozenset(stop_ids))
        mixture = MixtureSettings(parts=parts, **settings)
        return prepare(mixture, named or {}, encoding, tmp_path / "cache", epochs=epochs, seed=seed)

    return call


def encoded(path, tokenizer, **chat):
    encoder = Encoding(tokenizer, ChatSettings(**chat), frozenset()).encoder
    rows = [(f"{path}:{n}", json.loads(line)) for n, line in enumerate(path.read_text().splitlines(), start=1)]
    return [e for place, r in rows for e in encoder.encode(parse_conversation(r, place))], encoder.report


def same(prepared, examples):
    assert len(prepared) == len(examples)
    for got, expected in zip(prepared, examples, strict=True):
        assert got.tokens.tolist() == expected.tokens
        assert got.loss_weights.tolist() == expected.loss_weights
        assert got.place == expected.place


def test_what_comes_back_is_what_was_encoded(run, data, tokenizer):
    [part] = run(data).parts
    examples, report = encoded(data, tokenizer)
    same(part, examples)
    assert part.report == report
    assert [one["place"] for one in part.meta["shown"]] == [f"{data}:{line}" for line in (1, 2, 3, 4)]
    shown = part.meta["shown"][0]
    assert shown["place"] == f"{data}:1"
    assert [weight for _, weight in shown["pieces"]] == examples[0].loss_weights
    assert "".join(text for text, _ in shown["pieces"]) == "".join(text for text, _ in examples[0].pieces)
    assert [shown["pieces"][stop][0] for stop in shown["stops"]] == ["<|end|>"]
    assert part.lengths.tolist() == [len(e.tokens) for e in examples]
    assert part[-1].place == f"{data}:40"
    with pytest.raises(IndexError):
        part[40]


def test_a_second_time_nothing_is_encoded(run, data, monkeypatch):
    first = run(data)
    assert first.reused == 0
    assert list(first.notes("CACHE")) == [f"{data}: messages (40)"]

    def never(*_):
        raise AssertionError("encoded again")

    monkeypatch.setattr("strop.data.prepare.encode_all", never)
    os.utime(data, (1, 1))  # an older file with the same content is the same data
    again = run(data)
    assert again.reused == 1
    reused = "prepared data reused (from CACHE, which may be deleted at any time)"
    assert list(again.notes("CACHE")) == [f"{data}: messages (40)", reused]
    assert json.dumps(again.report.to_dict()) == json.dumps(first.report.to_dict())
    assert again.shown == first.shown
    assert again.parts[0].fingerprint == first.parts[0].fingerprint


def test_reports_add_up_and_come_back_from_json(tokenizer):
    def report(rows):
        encoder = Encoding(tokenizer, ChatSettings(audit_every=0), frozenset()).encoder
        for place, r in rows:
            encoder.encode(parse_conversation(r, place))
        return encoder.report

    def says(text):
        return {"prompt": f"say {text}", "completion": "no"}

    rows = [("a:1", says("<|end|>")), ("a:2", says("<|end|> <|start|>")), ("a:3", row(1)), ("a:4", says("<|start|>"))]
    whole, total = report(rows), MaskReport()
    assert whole.control_string_kinds == {"<|end|>": 2, "<|start|>": 2}
    for part in (rows[:2], rows[2:]):
        total.merge(MaskReport.from_dict(json.loads(json.dumps(report(part).to_dict()))))
    assert total == whole
    assert str(total) == str(whole)


def test_parts_are_kept_apart(run, data, tmp_path):
    other = write(tmp_path / "e.jsonl", [row(i) for i in range(3)])
    run(data)
    both = run(other, data)
    assert both.reused == 1
    assert [len(part) for part in both.parts] == [3, 40]
    assert "for 1 of 2 parts" in list(both.notes("CACHE"))[-1]
    assert both.report.conversations == 43


def test_every_ingredient_counts(run, data, tmp_path):
    template = tmp_path / "t.jinja"
    template.write_text(TEMPLATE)
    named = {"numbers": lambda count, seed: [(f"n[{i}]", row(i + seed)) for i in range(count or 5)]}
    prompts = SystemPromptSettings(ratio=0.5, prompts=["Be brief."])
    file = DataSettings(path=data)
    calls = [
        (file, {}),
        (DataSettings(path=data, count=39), {}),
        (DataSettings(path=data, format="messages"), {}),
        (DataSettings(task="numbers"), {}),
        (DataSettings(task="numbers", count=5), {}),
        (DataSettings(task="numbers", seed=1), {}),
        (file, {"chat": {"train_on": "last"}}),
        (file, {"chat": {"template": str(template)}}),
        (file, {"stop_ids": {5}}),
        (file, {"tokenizer": make_tokenizer(words="other words entirely, longer ones")}),
        (file, {"tokenizer": make_tokenizer(TEMPLATE.replace("<|end|>\n", "<|end|>"))}),
        (file, {"on_bad_row": "skip"}),
        (file, {"system_prompts": prompts}),
        (file, {"system_prompts": prompts, "seed": 1}),
        (file, {"system_prompts": prompts, "epochs": 2}),
        (file, {"system_prompts": SystemPromptSettings(ratio=0.5, prompts=["Be kind."])}),
    ]
    for part, options in calls:
        assert run(part, named=named, **options).reused == 0, (part, options)
    for part, options in calls:
        assert run(part, named=named, **options).reused == 1, (part, options)
    # These do not change what is prepared.
    for part, options in [
        (DataSettings(path=data, name="mine", epochs=2), {}),
        (file, {"seed": 9}),
        (file, {"epochs": 3}),
        (file, {"workers": 2}),
        (DataSettings(path=data, weight=2), {"mix": "weights", "total": 3}),
    ]:
        assert run(part, named=named, **options).reused == 1, (part, options)
    # And these do, behind the same names.
    template.write_text(TEMPLATE.replace("'\n' + m", "'\n\n' + m"))
    assert run(file, chat={"template": str(template)}).reused == 0
    write(data, [row(i) for i in range(40)])
    assert run(file).reused == 0


def test_code_counts(run, data, monkeypatch):
    run(data)
    monkeypatch.setattr("strop.data.keys.code_digest", lambda: "changed")
    assert run(data).reused == 0


@pytest.fixture
def spawn_early(monkeypatch):
    monkeypatch.setattr(encoding_module, "SPAWN_FROM", 256)


def files_of(part):
    return {file.name: file.read_bytes() for file in part.folder.iterdir()}


def test_any_number_of_workers_writes_the_same_files(tmp_path, tokenizer, spawn_early):
    rows = [row(i, turns=1 + i % 3, system="Be brief." if i % 7 == 3 else None) for i in range(700)]
    rows[650] = row(650, turns=60)  # cut into several
    data = write(tmp_path / "d.jsonl", rows)
    encoding = Encoding(tokenizer, ChatSettings(max_length=400, too_long="split_turns", audit_every=100), frozenset())
    settings = MixtureSettings(
        parts=[DataSettings(path=data)], system_prompts={"ratio": 0.3, "prompts": ["Be kind.", "Be loud."]}
    )
    folders = [tmp_path / "alone", tmp_path / "pool"]
    [alone], [pool] = (
        prepare(settings.model_copy(update={"workers": n}), {}, encoding, folder, epochs=2).parts
        for n, folder in zip((0, 2), folders, strict=True)
    )
    assert files_of(alone) == files_of(pool)
    assert alone.report.split >= 1
    assert alone.report.audited >= 7


def test_a_process_that_prepares_does_not_load_torch(tokenizer, tmp_path):
    (tmp_path / "encoding.pickle").write_bytes(pickle.dumps(Encoding(tokenizer, ChatSettings(), frozenset())))
    code = (
        "import pickle, sys; encoding = pickle.load(open('encoding.pickle', 'rb')); encoding.encoder; "
        "print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


class Deadly:
    """A tokenizer that takes down the process that it is brought to."""

    def __reduce__(self):
        return os._exit, (3,)


def test_a_process_that_dies_is_said(spawn_early):
    rows = [(f"n[{i}]", row(i)) for i in range(300)]
    with pytest.raises(InputError, match=r"ended before its time.*data\.workers"):
        list(encode_all(rows, Encoding(Deadly(), ChatSettings(), frozenset()), Job(), workers=1))


class Sleepy:
    """A tokenizer that keeps the process that it is brought to."""

    def __reduce__(self):
        return time.sleep, (600,)


def test_a_process_that_hangs_is_said(spawn_early, monkeypatch):
    monkeypatch.setattr(encoding_module, "STUCK_SECONDS", 3.0)
    rows = [(f"n[{i}]", row(i)) for i in range(300)]
    with pytest.raises(InputError, match=r"it hangs, or the chat template does.*data\.workers to 0"):
        list(encode_all(rows, Encoding(Sleepy(), ChatSettings(), frozenset()), Job(), workers=1))


BAD = {
    "unreadable": ("nonsense", "not JSON"),
    "wrong": ({"messages": [{"role": "wizard", "content": "x"}]}, "wizard"),
    "unproven": (row(1, turns=200), "max_length is 1500"),
}


@pytest.mark.parametrize("workers", [0, 2])
def test_the_first_bad_row_of_the_file_is_named(tmp_path, run, spawn_early, workers):
    for order in (["unproven", "unreadable", "wrong"], ["wrong", "unproven"], ["unreadable", "wrong"]):
        rows = [row(i) for i in range(600)]
        for place, kind in zip((410, 412, 560), order, strict=False):
            rows[place] = BAD[kind][0]
        data = write(tmp_path / "d.jsonl", rows)
        with pytest.raises(InputError) as caught:
            run(data, chat={"max_length": 1500}, workers=workers)
        assert str(caught.value).startswith(f"{data}:411: ")
        assert BAD[order[0]][1] in str(caught.value)
        assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_rows_are_skipped_and_counted_where_that_is_wished(tmp_path, run, tokenizer, spawn_early, workers):
    good = [row(i) for i in range(400)]
    rows = [*good[:5], BAD["unreadable"][0], BAD["wrong"][0], *good[5:], BAD["unproven"][0]]
    data = write(tmp_path / "d.jsonl", rows)
    prepared = run(data, chat={"max_length": 1500}, on_bad_row="skip", workers=workers)
    [part] = prepared.parts
    examples, report = encoded(write(tmp_path / "good.jsonl", good), tokenizer)
    assert [e.tokens.tolist() for e in part] == [e.tokens for e in examples]
    assert [part.place(i) for i in (4, 5, 399)] == [f"{data}:5", f"{data}:8", f"{data}:402"]
    assert part.meta["skipped"] == 3
    assert [next(n for n, (_, m) in BAD.items() if m in s) for s in part.meta["first_skipped"]] == list(BAD)
    assert part.report.conversations == 400
    assert replace(part.report, audited=0) == replace(report, audited=0)
    assert "bad rows skipped: 3; the first: " in list(prepared.notes("CACHE"))[-1]


def test_a_preparation_that_is_cut_off_leaves_nothing_that_is_used(run, tmp_path):
    def cut(count, seed):
        yield from ((f"n[{i}]", row(i)) for i in range(300))
        raise KeyboardInterrupt

    part = DataSettings(task="numbers")
    with pytest.raises(KeyboardInterrupt):
        run(part, named={"numbers": cut})
    assert list((tmp_path / "cache").iterdir()) == []
    whole = run(part, named={"numbers": lambda count, seed: [(f"n[{i}]", row(i)) for i in range(9)]})
    assert whole.reused == 0
    assert len(whole.parts[0]) == 9


def test_one_that_was_killed_is_not_used_and_cleared_away_later(run, data, tmp_path):
    [part] = run(data).parts
    left = tmp_path / "cache" / f".{part.folder.name}.123-abc"
    part.folder.rename(left)
    again = run(data)
    assert again.reused == 0
    assert left.exists()  # it may be in the making
    for file in left.iterdir():
        os.utime(file, (1, 1))
    sweep(tmp_path / "cache")
    assert not left.exists()
    assert run(data).reused == 1


@pytest.mark.parametrize("damage", ["truncated", "missing", "meta"])
def test_a_damaged_one_is_made_again(run, data, tokenizer, damage):
    [part] = run(data).parts
    if damage == "truncated":
        os.truncate(part.folder / "tokens.bin", 8)
    elif damage == "missing":
        (part.folder / "places.bin").unlink()
    else:
        (part.folder / "meta.json").write_text("{")
    again = run(data)
    assert again.reused == 0
    same(again.parts[0], encoded(data, tokenizer)[0])


def test_what_nobody_used_for_a_month_is_cleared_away(run, data, tmp_path):
    [old], [kept] = run(data).parts, run(DataSettings(path=data, count=3)).parts
    for part, days in ((old, 31), (kept, 29)):
        then = time.time() - 86400 * days
        os.utime(part.folder / "meta.json", (then, then))
    run(DataSettings(path=data, count=3))  # used now
    assert not old.folder.exists()
    assert time.time() - (kept.folder / "meta.json").stat().st_mtime < 3600


def test_dropped_and_split_conversations(run, data, tokenizer, tmp_path):
    rows = [row(0), row(1, turns=30), row(2)]
    data = write(tmp_path / "d.jsonl", rows)
    for how, places in (("drop", [1, 3]), ("split_turns", None)):
        chat = {"max_length": 300, "too_long": how}
        [part] = run(data, chat=chat).parts
        examples, report = encoded(data, tokenizer, **chat)
        same(part, examples)
        assert part.report == report
        if places:
            assert [e.place for e in part] == [f"{data}:{n}" for n in places]
        else:
            assert sum(e.place == f"{data}:2" for e in part) > 1


def test_nothing_left_is_said_when_it_is_mixed(run, data):
    prepared = run(data, chat={"max_length": 5, "too_long": "drop"})
    assert len(prepared.parts[0]) == 0
    assert prepared.shown == []
    assert prepared.first_epoch(0) == []
    with pytest.raises(InputError, match="no example to train on"):
        prepared.mixture(0)


def test_documents_without_turns(run, tmp_path, tokenizer):
    data = write(tmp_path / "d.jsonl", [{"text": "say it again " * n} for n in (1, 40)])
    prepared = run(
        DataSettings(path=data, format="text"), chat={"max_length": 50}, system_prompts={"ratio": 1, "prompts": ["No."]}
    )
    encoder = Encoding(tokenizer, ChatSettings(max_length=50), frozenset()).encoder
    rows = enumerate(data.read_text().splitlines(), start=1)
    examples = [e for n, line in rows for e in encoder.encode(parse_row(json.loads(line), f"{data}:{n}", "text"))]
    same(prepared.parts[0], examples)
    assert len(examples) > 2


# -- system prompts

PROMPTS = ["Be brief.", "Be kind.", "Be loud."]


def with_system(rows, texts):
    """Rows with an explicit system message where a text is given."""
    system = [[{"role": "system", "content": text}] if text else [] for text in texts]
    return [{"messages": [*s, *r["messages"]]} for s, r in zip(system, rows, strict=True)]


def test_prompts_drawn_equal_prompts_written(run, data, tmp_path, tokenizer):
    prepared = run(data, system_prompts={"ratio": 0.5, "prompts": PROMPTS}, epochs=3, seed=4)
    [part] = prepared.parts
    mixture = prepared.mixture(4)
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    draws = PromptDraws(0.5, tuple(PROMPTS), seed=4, part=0, passes=3)
    seen = []
    for epoch in range(5):
        drawn = draws.of_pass(epoch, 0, 40)
        texts = [
            None if number == 0 or r["messages"][0]["role"] == "system" else PROMPTS[number - 1]
            for number, r in zip(drawn, rows, strict=True)
        ]
        expected, _ = encoded(write(tmp_path / "explicit.jsonl", with_system(rows, texts)), tokenizer)
        chosen = [mixture[i] for i in mixture.contents(epoch)]
        assert [e.tokens.tolist() for e in chosen] == [e.tokens for e in expected]
        assert [e.place for e in chosen] == [f"{data}:{n}" for n in range(1, 41)]
        seen.append(texts)
    assert len({tuple(texts) for texts in seen[:3]}) == 3
    assert seen[3:] == seen[:2]  # beyond what was prepared for, the passes come again
    assert 40 < len(part) < 120  # each row once for each prompt that it gets


@pytest.mark.parametrize(("ratio", "expected"), [(0.0, 0), (1.0, 34)])
def test_ratios_at_the_ends(run, data, ratio, expected, tokenizer):
    prepared = run(data, system_prompts={"ratio": ratio, "prompts": PROMPTS})
    texts = [tokenizer.decode(e.tokens) for e in prepared.parts[0]]
    assert sum(text.startswith("<|start|>system") for text in texts) == expected + 6  # six have one of their own
    assert sum(any(p in text for p in PROMPTS[1:]) for text in texts) <= expected


def test_a_draw_is_of_the_row_the_pass_the_part_and_the_seed():
    draws = PromptDraws(0.2, tuple(PROMPTS), seed=0, part=0, passes=2)
    whole = draws.of_pass(0, 0, 10_000)
    assert (draws.of_pass(0, 1234, 50) == whole[1234:1284]).all()
    assert 0.18 < (whole > 0).mean() < 0.22
    assert np.bincount(whole)[1:].min() > 550  # each of the three, about 667 times
    for other in (replace(draws, seed=1), replace(draws, part=1)):
        assert (other.of_pass(0, 0, 10_000) != whole).any()
    assert (draws.of_pass(1, 0, 10_000) != whole).any()
    assert (draws.of_pass(2, 0, 10_000) == whole).all()


def test_prompts_under_weights_are_drawn_for_every_pass(run, data, tmp_path, tokenizer):
    small = write(tmp_path / "e.jsonl", [row(i) for i in range(5)])
    prepared = run(
        data, small, mix="weights", total=30, system_prompts={"ratio": 0.5, "prompts": PROMPTS}, epochs=2, seed=1
    )
    assert [part.passes for part in prepared.parts] == [1, 6]  # 15 of 40, 15 of 5; for two epochs
    mixture = prepared.mixture(1)
    trained = [mixture[i] for epoch in range(2) for i in mixture.order(epoch)]
    places = [e.place for e in trained if e.place.startswith(str(small))]
    assert all(sorted(places[at : at + 5]) == [f"{small}:{n}" for n in range(1, 6)] for at in range(0, 30, 5))
    texts = {tokenizer.decode(e.tokens) for e in trained if e.place.startswith(str(small))}
    assert 10 <= len(texts) <= 20  # each of five with none and three prompts, in six passes


# -- where the data comes from, and goes


def test_a_cache_that_cannot_be_written_to(run, data, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(InputError, match=r"cache: prepared data cannot be written there \(.*set STROP_CACHE"):
        run(data)


def test_names_that_there_are_not(run):
    with pytest.raises(InputError, match="no data set named 'number'; known: numbers"):
        run(DataSettings(task="number"), named={"numbers": lambda count, seed: []})


def test_data_of_the_hub_is_told_by_its_commit(monkeypatch):
    commit = "0123456789abcdef0123456789abcdef01234567"
    part = DataSettings(hub="org/name", revision=commit, subset="main")
    assert data_identity(part)["commit"] == commit  # without asking

    def away(self, name, revision):
        raise OSError("no route to host")

    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", away)
    with pytest.raises(InputError, match=r"org/name: .*no route to host.*full hash"):
        data_identity(DataSettings(hub="org/name", revision="main"))


def test_evaluation_data_that_a_length_left_nothing_of_is_told(run, data):
    whole = run(data)
    longest = max(map(len, (example.tokens for part in whole.parts for example in part)))
    count = whole.report.conversations
    assert eval_data_note(whole, True, None) == ""
    nothing = run(data, chat={"max_length": 2, "too_long": "drop"})
    assert eval_data_note(nothing, False, 2) == (
        f"eval_data: {count} of {count} conversations were dropped (longer than max_length 2), so there is no eval_loss"
    )
    some = run(data, chat={"max_length": longest - 1, "too_long": "drop"})
    assert eval_data_note(some, True, longest - 1).startswith("eval_data: ")
    assert "eval_loss" not in eval_data_note(some, True, longest - 1)
