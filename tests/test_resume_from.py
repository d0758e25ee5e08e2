"""`train.resume`: from a checkpoint that is named, anew, or not at all where that would lose something."""

import json
import shutil
from types import SimpleNamespace

import pytest
from safetensors.torch import load_file

from strop.cli import main
from strop.runs.stage_folder import read_state
from strop.train import loop


@pytest.fixture
def run(tmp_path, model_folder, capsys, monkeypatch):
    """Train 12 rows for an epoch of three steps, each with a checkpoint that is kept."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STROP_CACHE", str(tmp_path / "cache"))
    rows = [{"prompt": f"Say {i}.", "completion": str(i)} for i in range(12)]
    (tmp_path / "chat.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def call(*arguments, name="first", model=model_folder):
        train = ["train.global_batch_size=4", "train.checkpoint_every=1", "train.keep_last=9", "compute.dtype=float32"]
        code = main(["sft", str(model), "--data", "chat.jsonl", f"name={name}", *train, *arguments])
        out, err = capsys.readouterr()
        return SimpleNamespace(code=code, out=out, err=err, stage=tmp_path / f"runs/{name}/sft")

    return call


def model(stage):
    return load_file(stage / "model/model.safetensors")


@pytest.mark.parametrize("path", ["sft/checkpoints/step-000002", "sft", ""])
def test_another_run_goes_on_from_a_named_checkpoint_and_equals_it(run, path):
    first = run()
    assert first.code == 0, first.err
    if path in ("sft", ""):  # the newest of a stage or a run
        shutil.rmtree(first.stage / "checkpoints/step-000003")
    second = run(f"train.resume=runs/first/{path}", name="second")
    assert second.code == 0, second.err
    assert "going on from step 2 of 3" in second.out
    a, b = model(first.stage), model(second.stage)
    assert all(a[name].equal(b[name]) for name in a)
    steps = [json.loads(line)["step"] for line in (second.stage / "metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3]


def test_what_may_change_is_taken_and_written_down_and_what_may_not_is_refused(run):
    run()
    at = "train.resume=runs/first/sft/checkpoints/step-000002"
    refused = run(at, "train.seed=1", name="seed")
    assert refused.code == 2
    assert "cannot go on from runs/first/sft/checkpoints/step-000002" in refused.err
    assert "train.seed 0 → 1" in refused.err
    assert not refused.stage.exists()
    taken = run(at, "train.learning_rate=5e-5", name="rate")
    assert taken.code == 0, taken.err
    [written] = read_state(taken.stage)["changes"]
    assert written["changed"] == [{"setting": "train.learning_rate", "before": 1e-4, "now": 5e-5}]


def test_another_model_is_refused_with_the_difference(run, tmp_path, make_model_folder):
    run()
    other = make_model_folder(["Say one."], hidden_size=64, max_position_embeddings=2048)
    at = "train.resume=runs/first/sft/checkpoints/step-000002"
    refused = run(at, name="other", model=other)
    assert refused.code == 2
    assert refused.err.count("\n") == 1
    assert "is of other data, seed, model, adapters or template: model." in refused.err
    assert not refused.stage.exists()
    more = tmp_path / "chat.jsonl"
    more.write_text(more.read_text() + '{"prompt": "a", "completion": "b"}\n')
    refused = run(at, name="data")
    assert refused.code == 2
    assert "data.0.content: its content changed" in refused.err
    assert not refused.stage.exists()


def test_other_micro_batches_train_on_the_same_samples_and_give_the_same_but_for_rounding(run, monkeypatch):
    seen, real = [], loop.optimizer_step

    def step(weights, objective, batches, *more):
        seen.append((len(batches), sorted(token for b in batches for token in b.tokens.tolist())))
        return real(weights, objective, batches, *more)

    monkeypatch.setattr(loop, "optimizer_step", step)
    whole = run("train.epochs=2")
    uninterrupted, seen[:] = list(seen), []
    at = "train.resume=runs/first/sft/checkpoints/step-000002"
    other = run(at, "train.epochs=2", "train.micro_batch_tokens=64", name="second")
    assert other.code == 0, other.err
    assert [tokens for _, tokens in seen] == [tokens for _, tokens in uninterrupted[2:]]
    assert all(now > before for (now, _), (before, _) in zip(seen, uninterrupted[2:], strict=True))
    [written] = read_state(other.stage)["changes"]
    assert written["changed"] == [{"setting": "train.micro_batch_tokens", "before": 2048, "now": 64}]
    told = [
        [json.loads(line) for line in (one.stage / "metrics.jsonl").read_text().splitlines()] for one in (whole, other)
    ]
    for before, now in zip(*told, strict=True):
        assert [now[name] for name in ("step", "tokens", "trained_tokens", "lr")] == [
            before[name] for name in ("step", "tokens", "trained_tokens", "lr")
        ]
        assert now["loss"] == pytest.approx(before["loss"], rel=1e-5)
        assert now["grad_norm"] == pytest.approx(before["grad_norm"], rel=1e-4)
    a, b = model(whole.stage), model(other.stage)
    for name in a:
        # A sum in another order may turn a gradient of about 0, and with it that weight's step of Adam.
        assert ((a[name] - b[name]).abs() > 1e-6).float().mean() < 0.01, name


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda place: None, "there is no folder"),
        (lambda place: place.mkdir(), "is empty"),
        (lambda place: (place.mkdir(), (place / "trainer_state.json").write_text("{}")), "transformers' Trainer"),
        (lambda place: (place.mkdir(), (place / "checkpoint.json").write_text("{}")), "of an earlier strop"),
    ],
)
def test_a_folder_that_is_none_is_refused_before_anything_is_touched(run, tmp_path, make, said):
    make(tmp_path / "there")
    refused = run("train.resume=there")
    assert refused.code == 2
    assert said in refused.err
    assert refused.err.count("\n") == 1
    assert not refused.stage.exists()


def test_a_missing_shard_is_named(run):
    first = run()
    (first.stage / "checkpoints/step-000002/model.safetensors").unlink()
    refused = run("train.resume=runs/first/sft/checkpoints/step-000002", name="second")
    assert refused.code == 2
    assert "step-000002/model.safetensors: is missing. This checkpoint is damaged; beside it are " in refused.err


def test_a_run_that_is_there_gives_way_only_when_that_is_asked_for(run, monkeypatch):
    first = run()
    monkeypatch.setattr("strop.train.loop.Health.finished", lambda totals: exec("raise SystemError('power')"))
    with pytest.raises(SystemError):
        run(name="cut")
    monkeypatch.undo()
    monkeypatch.chdir(first.stage.parents[2])
    for resume in ("none", "runs/first/sft"):
        refused = run(f"train.resume={resume}", name="cut")
        assert refused.code == 2
        assert "--fresh" in refused.err
    anew = run("train.resume=none", "--fresh", name="cut")
    assert anew.code == 0, anew.err
    assert "going on from" not in anew.out
