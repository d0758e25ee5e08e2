"""The short word of the doctor in a real (tiny) training run."""

import json
from pathlib import Path

import pytest
from broken_data import PROBLEM, conversation, sound_rows

from strop.cli import main
from strop.model.names import save_model


@pytest.fixture
def trainable(recipe, tokenizer, make_model):
    model = make_model(vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id, pad_token_id=2)
    save_model(model, tokenizer, Path("tiny"))
    return [str(recipe), "model=tiny", "evals.problems.max_tokens=4", "compute.dtype=float32"]


def write(*rows):
    Path("data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_training_run_begins_with_what_is_wrong(trainable, capsys):
    rows = sound_rows()
    write(*rows, rows[0], conversation(("user", PROBLEM), ("assistant", "Eighty-four in all.")))
    assert main(["run", *trainable, "stages.sft.train.epochs=1"]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("doctor: ")]
    assert [line.split(": ")[1] for line in said] == ["error", "warning"]
    assert "lighthouse" in said[0]
    assert "data.jsonl:22" in said[0]
    assert "data.jsonl:21" in said[1]


def test_a_training_run_with_nothing_wrong_begins_in_silence(trainable, capsys):
    write(*sound_rows())
    assert main(["run", *trainable]) == 0
    assert "doctor:" not in capsys.readouterr().out


@pytest.mark.parametrize("lora", [[], ["stages.sft.lora.r=4"]], ids=["whole", "adapters"])
def test_a_training_run_says_what_it_will_take_as_the_doctor_does(trainable, capsys, lora, monkeypatch):
    monkeypatch.setattr("strop.doctor.before_training.product_rate", lambda *_, **__: 1e9)
    write(*sound_rows())
    main(["doctor", *trainable, *lora, "stages.sft.train.epochs=3"])
    [by_doctor] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("estimate: ")]
    assert main(["run", *trainable, *lora, "stages.sft.train.epochs=3"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert by_doctor in said
    assert said.index(by_doctor) < next(i for i, line in enumerate(said) if line.startswith("sft step "))
