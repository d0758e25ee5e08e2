"""Training settings, the tokenizer's labels, and what a run needs."""

import json
import math
from types import SimpleNamespace

import pytest

from strop.common.errors import InputError
from strop.doctor.machine import (
    MEMORY_BAND,
    RETAINED,
    TIME_BAND,
    Adapted,
    ModelShape,
    check_memory,
    estimate,
    host_memory_gb,
    model_shape,
)
from strop.doctor.tokenizer import check_tokenizer
from strop.doctor.training import check_training
from strop.train.settings import TrainSettings

SMOLLM2_135M = ModelShape(parameters=134_515_008, width=576, layers=30, inner=1536, vocabulary=49_152)


def kinds(examples=1000, parameters=134_515_008, **settings) -> dict[str, str]:
    train = TrainSettings(**{"global_batch_size": 8, **settings})
    return {finding.kind: finding.level for finding in check_training(train, examples, parameters)}


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, {}),
        ({"learning_rate": 1e-3}, {}),
        ({"learning_rate": 3e-3}, {"learning_rate": "warning"}),
        ({"learning_rate": 1e-6}, {"learning_rate": "warning"}),
        ({"learning_rate": 1e-4, "parameters": 7_000_000_000}, {"learning_rate": "warning"}),
        ({"learning_rate": 2e-5, "parameters": 7_000_000_000}, {}),
        ({"learning_rate": 5e-5, "parameters": 70_000_000_000}, {"learning_rate": "warning"}),
        ({"learning_rate": 1.0, "parameters": None}, {}),
        ({"epochs": 6}, {"epochs": "warning"}),
        ({"global_batch_size": 100}, {"few_steps": "warning"}),
        ({"max_steps": 10}, {"few_steps": "warning"}),
        ({"global_batch_size": 8, "examples": 4, "epochs": 5}, {"batch_size": "warning", "few_steps": "warning"}),
        ({"warmup_ratio": 0}, {"warmup": "warning"}),
        ({"warmup_ratio": 0.5}, {"warmup": "warning"}),
    ],
)
def test_settings_outside_what_is_usual(changes, found):
    assert kinds(**changes) == found


@pytest.mark.parametrize(
    ("eos", "pad", "stops", "found"),
    [
        (2, 0, {2}, {}),
        (2, 2, {2}, {"pad_is_stop": "note"}),
        (2, 7, {2, 7}, {"pad_is_stop": "note"}),
        (2, None, {2}, {}),
        (None, 0, {5}, {"no_eos": "warning"}),
        (None, 0, set(), {"no_eos": "error"}),
    ],
)
def test_what_the_tokenizer_does_to_labels(eos, pad, stops, found):
    tokenizer = SimpleNamespace(eos_token_id=eos, pad_token_id=pad, pad_token="<pad>")
    assert {finding.kind: finding.level for finding in check_tokenizer(tokenizer, stops)} == found


def test_the_estimate_holds_for_the_run_that_was_measured():
    """550 conversations, 99,075 tokens: 6.0 minutes and 5.7 GB on two cores at 420 GFLOP/s."""
    lengths = [180] * 545 + [195] * 5
    train = TrainSettings(global_batch_size=4, micro_batch_tokens=2048)
    guess = estimate(SMOLLM2_135M, train, lengths, sum(lengths), 420e9, True, 25.0)
    assert guess.tokens == 99_075
    assert 1 / TIME_BAND < guess.minutes / 6.0 < TIME_BAND
    assert 1 / MEMORY_BAND < guess.memory_gb / 5.7 < MEMORY_BAND
    assert check_memory(guess) == []


@pytest.mark.parametrize(
    ("settings", "gb"),
    [
        ({"micro_batch_tokens": 2048}, 4.50),
        ({"micro_batch_tokens": 1024}, 3.36),
        ({"micro_batch_tokens": 1024, "optimizer": "adamw_8bit"}, 2.55),
        ({"micro_batch_tokens": 1024, "optimizer": "adamw_8bit", "gradient_checkpointing": True}, 2.33),
    ],
)
def test_the_estimate_holds_for_runs_with_kernels(settings, gb):
    """GSM8K, two cores at 420 GFLOP/s: 303 to 408 tokens a second; peak memory of bench-memory and bench-sft."""
    lengths = [233] * 1000
    guess = estimate(SMOLLM2_135M, TrainSettings(**settings), lengths, 233_000, 420e9, True, 25.0, kernels=True)
    seconds = 233_000 / (303 if "gradient_checkpointing" in settings else 375)
    assert 1 / TIME_BAND < guess.minutes * 60 / seconds < TIME_BAND
    assert 1 / 1.15 < guess.memory_gb / gb < 1.15


def test_the_estimate_holds_for_runs_in_float32():
    """GSM8K in rows of 2048, 200 GFLOP/s: 175 tokens a second and 4.6 GB with kernels; 130 and 7.1 GB without."""
    for kernels, speed, gb in ((True, 175, 4.6), (False, 130, 7.1)):
        given = SMOLLM2_135M, TrainSettings(micro_batch_tokens=2048), [233] * 1000, 233_000, 200e9, False, 25.0
        guess = estimate(*given, kernels=kernels)
        assert 1 / TIME_BAND < guess.minutes * 60 / (233_000 / speed) < TIME_BAND
        assert 1 / 1.15 < guess.memory_gb / gb < 1.15


def test_the_estimate_holds_for_a_run_without_kernels():
    """GSM8K in rows of 1024 with STROP_KERNELS=0, two cores at 420 GFLOP/s: 216 tokens a second, 4.90 GB."""
    guess = estimate(SMOLLM2_135M, TrainSettings(micro_batch_tokens=1024), [233] * 1000, 233_000, 420e9, True, 25.0)
    assert 1 / TIME_BAND < guess.minutes * 60 / (233_000 / 216) < TIME_BAND
    assert 1 / 1.15 < guess.memory_gb / 4.90 < 1.15


def test_the_estimate_follows_the_settings():
    def of(total_gb=None, **settings):
        train = TrainSettings(**{"global_batch_size": 16, "micro_batch_tokens": 8192, **settings})
        return estimate(SMOLLM2_135M, train, [400] * 1000, 400_000, 400e9, True, total_gb)

    assert of(epochs=2).minutes == pytest.approx(2 * of().minutes)
    assert of(max_steps=10).tokens == 10 * 16 * 400
    assert of(micro_batch_tokens=1024).memory_gb < of().memory_gb
    assert of(gradient_checkpointing=True).memory_gb < of().memory_gb
    assert of(gradient_checkpointing=True).minutes > of().minutes
    least = 16 * SMOLLM2_135M.parameters / 1e9
    assert of(micro_batch_tokens=1).memory_gb > least
    assert [finding.level for finding in check_memory(of(total_gb=1.0))] == ["error"]
    assert [finding.level for finding in check_memory(of(total_gb=of().memory_gb))] == ["warning"]


def test_adapters_need_less_memory_and_two_thirds_of_the_products():
    def of(adapted=None, **settings):
        train = TrainSettings(micro_batch_tokens=1, **settings)
        return estimate(SMOLLM2_135M, train, [1] * 1000, 1000, 400e9, True, None, adapted)

    adapted = of(Adapted(trained=1_000_000, frozen_bytes=2))
    assert adapted.minutes == pytest.approx(of().minutes * 2 / 3, rel=1e-3)
    saved = RETAINED * (18 * SMOLLM2_135M.parameters - 18e6 - 2 * SMOLLM2_135M.parameters) / 1e9
    assert of().memory_gb - adapted.memory_gb == pytest.approx(saved)
    every, second = of(gradient_checkpointing=True), of(gradient_checkpointing=2)
    assert of().minutes < second.minutes < every.minutes


def test_the_size_of_a_model_comes_from_the_headers(model_folder):
    shape = model_shape(model_folder)
    assert shape == ModelShape(parameters=500 * 8 + 1000, width=8, layers=2, inner=16, vocabulary=500, rows=500)


def test_the_size_of_a_model_in_several_files_is_that_of_the_index(model_folder, tmp_path):
    weights = (model_folder / "model.safetensors").read_bytes()
    (tmp_path / "config.json").write_bytes((model_folder / "config.json").read_bytes())
    for name in ("a.safetensors", "b.safetensors", "adapter.safetensors"):
        (tmp_path / name).write_bytes(weights)
    assert model_shape(tmp_path).parameters is None
    index = {"weight_map": {"x": "a.safetensors", "y": "b.safetensors", "z": "a.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert model_shape(tmp_path).parameters == 2 * (500 * 8 + 1000)
    (tmp_path / "b.safetensors").write_bytes(weights[:20])
    with pytest.raises(InputError, match=r"b\.safetensors: not a readable"):
        model_shape(tmp_path)


def test_this_machine_has_memory():
    assert 0.1 < host_memory_gb() < 1e6
    assert math.isfinite(host_memory_gb())
