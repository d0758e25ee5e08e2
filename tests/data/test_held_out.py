"""`eval_data: {fraction: …}`: whole rows, by content, never trained on."""

import json

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from strop.chat import ChatSettings
from strop.common.errors import InputError
from strop.data.encoding import Encoding
from strop.data.held_out import divide
from strop.data.prepare import measured_mixture, prepare_with_evaluation
from strop.data.settings import DataSettings, HeldOutSettings, MixtureSettings
from strop.stages.sft import SftStage


def row(n, **more):
    return {"prompt": f"question {n}", "completion": f"answer {n}", **more}


def part(path, rows, **settings):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return DataSettings(path=path, **settings)


def numbers(part, portion):
    from strop.data.readers import rows_of_part

    return [int(row["prompt"].split()[1]) for _, row in portion.of(rows_of_part(part, {}))]


def test_a_tenth_is_held_out_and_the_rest_trained(tmp_path):
    mixture = MixtureSettings(parts=[part(tmp_path / "d.jsonl", map(row, range(100)))])
    found = divide(mixture, HeldOutSettings(fraction=0.1), {})
    held, kept = (numbers(mixture.parts[0], side[0]) for side in (found.measured, found.training))
    assert len(held) == 10
    assert sorted(held + kept) == list(range(100))
    assert found.note() == "eval_data: 10 rows held out (fraction 0.1, seed 0), 90 to train on"
    other = divide(mixture, HeldOutSettings(fraction=0.1, seed=1), {})
    assert numbers(mixture.parts[0], other.measured[0]) != held


def test_neither_order_nor_weights_nor_other_columns_decide(tmp_path):
    one = MixtureSettings(parts=[part(tmp_path / "a.jsonl", map(row, range(40)))])
    turned = [row(n, id=n) for n in reversed(range(40))]
    two = MixtureSettings(parts=[part(tmp_path / "b.jsonl", turned, weight=3)], mix="weights", total=7)
    settings = HeldOutSettings(fraction=0.25)
    first, second = (set(numbers(m.parts[0], divide(m, settings, {}).measured[0])) for m in (one, two))
    assert first == second
    assert len(first) == 10


def test_copies_of_held_out_rows_are_not_trained_on(tmp_path):
    a = part(tmp_path / "a.jsonl", [row(n, id=i) for i, n in enumerate([*range(20), *range(20)])])
    b = part(tmp_path / "b.jsonl", map(row, range(20, 40)))
    c = part(tmp_path / "c.jsonl", map(row, range(40)))
    mixture = MixtureSettings(parts=[a, b, c])
    found = divide(mixture, HeldOutSettings(fraction=0.1), {})
    held = [n for p, portion in zip(mixture.parts, found.measured, strict=True) for n in numbers(p, portion)]
    kept = [n for p, portion in zip(mixture.parts, found.training, strict=True) for n in numbers(p, portion)]
    assert len(held) == len(set(held))
    assert not set(held) & set(kept)
    assert sorted(set(held + kept)) == list(range(40))
    assert found.equal == 100 - len(held) - len(kept)
    assert f"; {found.equal} more are equal to one of them and left out of training" in found.note()


def test_there_must_be_something_to_divide(tmp_path):
    mixture = MixtureSettings(parts=[part(tmp_path / "d.jsonl", [row(1), row(1)])])
    with pytest.raises(InputError, match="has 1 different rows, so no share of it can be held out"):
        divide(mixture, HeldOutSettings(fraction=0.1), {})
    mixture = MixtureSettings(parts=[part(tmp_path / "d.jsonl", [row(1), row(2)])])
    assert len(divide(mixture, HeldOutSettings(fraction=0.9), {}).training[0].rows) == 1


def test_a_stage_says_it_by_fraction():
    stage = SftStage(kind="sft", data=[{"path": "d.jsonl"}], eval_data={"fraction": 0.1})
    assert stage.held_out == HeldOutSettings(fraction=0.1, seed=0)
    assert stage.eval_mixture.parts == []
    assert SftStage.model_validate(json.loads(stage.model_dump_json())) == stage
    for wrong in ({"fraction": 0}, {"fraction": 1}, {"fraction": 0.1, "parts": []}):
        with pytest.raises(ValueError, match=r"fraction|parts"):
            SftStage(kind="sft", data=[{"path": "d.jsonl"}], eval_data=wrong)


def tokenizer():
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<|start|>", "<|end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        ["question answer"], trainers.BpeTrainer(special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    )
    template = "{% for m in messages %}<|start|>{{ m.role }}: {{ m.content }}<|end|>{% endfor %}"
    template += "{% if add_generation_prompt %}<|start|>assistant: {% endif %}"
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|end|>", chat_template=template)


def test_prepared_halves_have_no_row_in_common(tmp_path):
    encoding = Encoding(tokenizer(), ChatSettings(), frozenset())
    rows = [*map(row, range(30)), row(3)]
    mixture = MixtureSettings(parts=[part(tmp_path / "d.jsonl", rows, epochs=2)])

    def both(seed=0, epochs=1.0):
        settings = HeldOutSettings(fraction=0.2, seed=seed)
        return prepare_with_evaluation(mixture, settings, {}, encoding, tmp_path / "cache", epochs=epochs, seed=5)

    train, held = both()
    places = [{p.place(i) for i in range(len(p))} for p in (train.parts[0], held.parts[0])]
    assert len(places[1]) == len(held.first_epoch(0)) == 6
    assert not places[0] & places[1]
    assert len(places[0] | places[1]) in (30, 31)  # 30 where the row that stands twice is held out
    assert any("6 rows held out" in note for note in train.notes(tmp_path))
    assert both(epochs=3.0)[0].reused == 1
    assert both(seed=1)[0].reused == 0
    assert measured_mixture(mixture).parts[0].epochs == 1
