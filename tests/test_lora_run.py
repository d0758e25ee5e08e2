"""An SFT stage with adapters, from a recipe to a folder that serves; and what is refused before it starts."""

import json
from types import SimpleNamespace

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from strop.cli import main


@pytest.fixture(scope="module")
def model_folder(make_model_folder):
    return make_model_folder(["Say one. user assistant"])


@pytest.fixture
def run(tmp_path, model_folder, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STROP_CACHE", str(tmp_path / "cache"))
    rows = [{"prompt": f"Say {i}.", "completion": str(i)} for i in range(12)]
    (tmp_path / "chat.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "recipe.yaml").write_text(f"""\
name: tiny
model: {model_folder}
compute: {{dtype: float32}}
stages:
  sft:
    kind: sft
    data: [{{path: chat.jsonl}}]
    train: {{global_batch_size: 4, learning_rate: 1e-2}}
    lora: {{r: 4, dropout: 0.1}}
""")

    def call(*arguments):
        code = main(["run", "recipe.yaml", *arguments])
        out, err = capsys.readouterr()
        return SimpleNamespace(code=code, out=out, err=err, stage=tmp_path / "runs/tiny/sft")

    return call


def test_a_stage_leaves_the_merged_model_and_the_adapters(run, model_folder):
    done = run()
    assert done.code == 0, done.err
    assert "lora: 3,712 parameters are trained beside" in done.out
    base, merged = (AutoModelForCausalLM.from_pretrained(f) for f in (model_folder, done.stage / "model"))
    adapted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model_folder), done.stage / "adapter")
    tokens = torch.arange(3, 40)[None]
    torch.testing.assert_close(merged(tokens).logits, adapted(tokens).logits, atol=1e-4, rtol=1e-4)
    assert (merged(tokens).logits - base(tokens).logits).abs().max() > 0.01
    assert torch.equal(merged.model.embed_tokens.weight, base.model.embed_tokens.weight)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stages.sft.lora.targets=[q_prj]", "stages.sft.lora.targets: no module is called q_prj; did you mean q_proj"),
        ("stages.sft.lora.modules_to_save=[embed]", "called embed; did you mean embed_tokens or lm_head?"),
        ("stages.sft.lora.targets=all_linear", "no module is called all_linear; did you mean all-linear"),
        ("stages.sft.lora.targets=input_layernorm", "takes no adapter"),
        ("stages.sft.lora.targets=lm_head", "lm_head shares its matrix"),
        ("stages.sft.lora.r=17", "more than the rank of model.layers.0.self_attn.k_proj (16 × 32); set it to 16"),
        ("stages.sft.lora.quantize=4bit", "stages.sft.lora.quantize: 4bit needs a CUDA device"),
        ("stages.sft.lora.quantize=3bit", "stages.sft.lora.quantize: expected 4bit, found '3bit'"),
        ("stages.sft.lora.rank=3", "unknown key 'stages.sft.lora.rank'"),
        ("stages.sft.train.offload_optimizer=true", "stages.sft.train.offload_optimizer: this run computes on cpu"),
        ("chat.max_length=513", "set chat.max_length to 512 or less"),
    ],
)
def test_what_cannot_work_is_refused_before_a_model_is_loaded(run, override, message, monkeypatch):
    import strop.rollout.loaded

    monkeypatch.setattr(strop.rollout.loaded, "load_model", lambda *_: pytest.fail("a model was loaded"))
    done = run(override)
    assert done.code == 2
    assert message in " ".join(done.err.split())
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("match", "message"),
    [
        ("head", "stages.sft.train.groups: group 'head': no trained tensor is of that kind (there are embedding, "),
        ("q_porj", "stages.sft.train.groups: group 'q_porj' matches no trained tensor; the nearest names are q_proj"),
    ],
)
def test_groups_that_take_nothing_are_refused_before_a_model_is_loaded(run, match, message, monkeypatch):
    """Not after the evaluations that stand before the stage."""
    import strop.rollout.loaded

    monkeypatch.setattr(strop.rollout.loaded, "load_model", lambda *_: pytest.fail("a model was loaded"))
    done = run("stages.sft.lora=null", f"stages.sft.train.groups=[{{match: {match}, lr_scale: 2}}]")
    assert done.code == 2
    assert message in done.err


def test_a_conversation_longer_than_the_model_reads_is_refused(run, tmp_path):
    with (tmp_path / "chat.jsonl").open("a") as file:
        file.write(json.dumps({"prompt": "Say it.", "completion": "x" * 600}) + "\n")
    done = run()
    assert done.code == 2
    assert "chat.jsonl:13: the conversation has 617 tokens and the model reads at most 512" in done.err
    assert "set chat.max_length: 512" in done.err


def test_profiling_is_no_reason_to_train_again(run):
    first = run("--profile")
    assert first.code == 0, first.err
    assert "profile: a step of" in first.out
    assert (first.stage / "trace.json").is_file()
    assert "sft: done before" in run().out
