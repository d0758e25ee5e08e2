"""From a recipe to a conversation: what was trained is what speaks, out of a model, an adapter or a checkpoint."""

import json
import shutil
from types import SimpleNamespace

import pytest
import torch
import torch.distributed.checkpoint as dcp
from peft import PeftModel
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from strop.chat import BUILT_IN, ChatSettings
from strop.cli import main
from strop.common.errors import InputError
from strop.model.names import load_model, load_tokenizer, save_model
from strop.model.precision import best_compute
from strop.rollout.loaded import load
from strop.rollout.talk import talk
from strop.rollout.talk.loading import load_chat


@pytest.fixture(scope="module")
def base(tmp_path_factory, make_model):
    """A model whose tokenizer has neither a template nor its tokens."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=290, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(["Say one. user assistant"], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|endoftext|>")
    folder = tmp_path_factory.mktemp("models") / "base"
    model = make_model(vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=0, pad_token_id=None)
    save_model(model, tokenizer, folder)
    return folder


@pytest.fixture
def run(tmp_path, base, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STROP_CACHE", str(tmp_path / "cache"))
    (tmp_path / "base").symlink_to(base)
    rows = [{"prompt": f"Say {i}.", "completion": "one" if i % 2 else "two"} for i in range(8)]
    (tmp_path / "chat.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "recipe.yaml").write_text("""\
name: tiny
model: base
stages:
  sft:
    kind: sft
    data: [{path: chat.jsonl}]
    train: {global_batch_size: 4, learning_rate: 1e-2}
""")

    def call(*arguments):
        code = main(["run", "recipe.yaml", *arguments])
        out, err = capsys.readouterr()
        return SimpleNamespace(code=code, out=out, err=err, stage=tmp_path / "runs/tiny/sft")

    return call


def answers(model, *prompts, **settings):
    _, result = talk(model, prompts=list(prompts), as_json=True, **{"max_tokens": 12, **settings})
    return [(answer["answer"], answer["finish_reason"]) for answer in result["answers"]]


def test_adapters_on_a_base_without_the_tokens_learn_to_stop(run, capsys, tmp_path):
    """And so does everything that is made of them: the merged model, the adapters on their base, a run from these."""
    done = run("chat.template=chatml", "stages.sft.lora.r=8", "stages.sft.train={epochs: 40, learning_rate: 2e-2}")
    assert done.code == 0, done.err
    assert "among them the rows of 8 tokens" in " ".join(done.out.split())
    wanted = [("one", "stop"), ("two", "stop")]
    assert answers("runs/tiny", "Say 1.", "Say 2.") == wanted
    assert answers("runs/tiny/sft/adapter", "Say 1.", "Say 2.") == wanted
    base = AutoModelForCausalLM.from_pretrained("base", dtype=torch.float32)
    rows = load_model(done.stage / "model").get_input_embeddings().weight.shape[0]
    base.resize_token_embeddings(rows, mean_resizing=False)
    plain = PeftModel.from_pretrained(base, done.stage / "adapter")
    tokens = torch.tensor([[5, 9, rows - 8, 20, rows - 7]])
    merged = load_model(done.stage / "model")
    torch.testing.assert_close(merged(tokens).logits, plain(tokens).logits, atol=1e-3, rtol=1e-4)
    shutil.move(done.stage / "adapter", "alone")  # with no merged model beside it
    assert answers("alone", "Say 1.", "Say 2.") == wanted
    again = run("model=alone", "name=again", "stages.sft.train={max_steps: 1, learning_rate: 1e-9}")
    assert again.code == 0, again.err
    assert answers("runs/again", "Say 1.", "Say 2.") == wanted


@pytest.mark.parametrize("template", sorted(BUILT_IN))
def test_each_formats_stop_token_has_a_row_of_its_own_after_a_step(run, template):
    done = run(f"chat.template={template}", "stages.sft.lora.r=2", "stages.sft.train.max_steps=2")
    assert done.code == 0, done.err
    tokenizer = load_tokenizer(done.stage / "model")
    weight = load_model(done.stage / "model").get_input_embeddings().weight
    built_in = BUILT_IN[template]
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in built_in.tokens}
    stop = weight[ids.pop(built_in.stop)]
    assert all((weight[index] - stop).norm() > 1e-3 for index in ids.values())
    assert json.loads((done.stage / "model" / "strop_chat.json").read_text())["settings"] == {"template": template}


def test_a_stage_goes_on_with_the_chat_settings_of_its_model(run):
    done = run(
        "chat.template=minimind", "chat.template_kwargs={open_thinking: true}", "stages.sft.train.max_steps=1",
        "stages.sft.data={parts: [{path: chat.jsonl}], system_prompts: {ratio: 1, prompts: [Be brief.]}}",
    )  # fmt: skip
    assert done.code == 0, done.err
    said: list[str] = []
    loaded = load(done.stage / "model", ChatSettings(), best_compute(), say=said.append)
    assert loaded.chat.template == "minimind"
    assert loaded.chat.template_kwargs == {"open_thinking": True}
    prompt = loaded.tokenizer.decode(loaded.encoder.prompt([{"role": "user", "content": "hi"}]))
    assert prompt.endswith("<|im_start|>assistant\n<think>\n")
    assert 'saved with the model are used: template_kwargs {"open_thinking": true}' in "\n".join(said)
    other = ChatSettings(template_kwargs={"open_thinking": False})
    load(done.stage / "model", other, best_compute(), say=said.append)
    assert 'the model was trained with template_kwargs {"open_thinking": true}' in "\n".join(said)
    saved = json.loads((done.stage / "model" / "strop_chat.json").read_text())
    assert saved["system"] == "Be brief."


@pytest.mark.parametrize("lora", [None, {"r": 4}])
def test_a_stopped_run_speaks_from_its_newest_checkpoint(run, capsys, lora):
    options = [f"stages.sft.lora={json.dumps(lora)}"] if lora else []
    done = run("chat.template=chatml", "stages.sft.train.checkpoint_every=1", "stages.sft.train.epochs=2", *options)
    assert done.code == 0, done.err
    whole = answers("runs/tiny", "Say 1.", max_tokens=3)
    (done.stage / "model").rename("finished")
    shutil.rmtree(done.stage / "adapter", ignore_errors=True)
    newest = sorted((done.stage / "checkpoints").iterdir())[-1]
    (newest / "checkpoint.json").unlink(missing_ok=True)
    with pytest.raises(InputError, match="does not say which model it belongs to; run the same `strop run` command"):
        load_chat("runs/tiny")
    record = {"step": 4, "steps": 6, "base": "base", "lora": lora, "chat": {"template": "chatml"}}
    (newest / "checkpoint.json").write_text(json.dumps(record))
    capsys.readouterr()
    for name in ("runs/tiny", newest):
        assert answers(name, "Say 1.", max_tokens=3) == whole
        said = capsys.readouterr().err
        assert "stopped at step 4 of 6: talking to its newest checkpoint, " in said
        assert "step-000004; strop run" in said
    (done.stage / "model").symlink_to("../../../finished")
    assert answers("runs/tiny", "Say 1.", max_tokens=3) == whole
    assert "checkpoint" not in capsys.readouterr().err


def test_a_stopped_run_whose_ranks_share_its_weights_speaks_too(run):
    """Its checkpoint has ``shards`` in the place of the two files of weights, as `write_shards` leaves them."""
    done = run("chat.template=chatml", "stages.sft.train.checkpoint_every=1", "compute.dtype=float32")
    whole = answers("runs/tiny", "Say 1.", max_tokens=3)
    (done.stage / "model").rename("finished")
    newest = sorted((done.stage / "checkpoints").iterdir())[-1]
    masters = {f"master.{name}": tensor for name, tensor in load_file(newest / "model.safetensors").items()}
    dcp.save({**masters, "steps": torch.ones(len(masters))}, checkpoint_id=newest / "shards", no_dist=True)
    for name in ("model.safetensors", "optimizer.pt"):
        (newest / name).unlink()
    assert answers("runs/tiny", "Say 1.", max_tokens=3) == answers(newest, "Say 1.", max_tokens=3) == whole


def test_a_stopped_run_of_a_new_model_speaks_from_anywhere(run, capsys, tmp_path, monkeypatch):
    """No name leads to a model that was made new, nor a relative path from elsewhere: checkpoints do."""
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    new = json.dumps({"new": {"model_type": "llama", **shape}})
    for name, model in (("new", new), ("old", "base")):
        done = run(f"model={model}", f"name={name}", "chat.template=chatml", "stages.sft.train.checkpoint_every=1")
        assert done.code == 0, done.err
        whole = answers(f"runs/{name}", "Say 1.", max_tokens=3)
        shutil.rmtree(tmp_path / "runs" / name / "sft/model")
        (tmp_path / "elsewhere").mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert answers(f"../runs/{name}", "Say 1.", max_tokens=3) == whole
        assert "talking to its newest checkpoint" in capsys.readouterr().err
        monkeypatch.chdir(tmp_path)


def test_a_tokenizer_that_does_not_belong_to_the_model(run, base, tmp_path, capsys):
    tokenizer = load_tokenizer(base)
    tokenizer.add_tokens(["<|end|>"], special_tokens=True)
    tokenizer.eos_token = "<|end|>"
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}<|end|>{% endfor %}"
    shutil.copytree(base, "oov")
    tokenizer.save_pretrained("oov")
    done = run("model=oov")
    assert done.code == 2
    assert "oov: its tokenizer has 1 token without a row in the model (<|end|> is" in done.err
    assert len(done.err.splitlines()) == 1
    assert main(["chat", "oov", "--prompt", "hi"]) == 2
    assert main(["doctor", "chat.jsonl", "--model", "oov"]) == 3
    assert "1 error" in capsys.readouterr().out


def test_a_stop_token_that_was_never_trained_is_said_and_can_be(run, base, capsys):
    tokenizer = load_tokenizer(base)
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}<|endoftext|>{% endfor %}"
    model = load_model(base)
    with torch.no_grad():
        model.get_input_embeddings().weight[0] = model.get_input_embeddings().weight[7]
    save_model(model, tokenizer, "same")
    done = run("model=same", "stages.sft.lora.r=2", "stages.sft.train.max_steps=1")
    said = " ".join(done.out.split())
    assert "<|endoftext|>: its row of the embedding is that of token 7" in said
    assert 'set lora.train_tokens: ["<|endoftext|>"]' in said
    lora = "stages.sft.lora={r: 2, train_tokens: <|endoftext|>}"
    done = run("model=same", lora, "stages.sft.train.max_steps=1", "name=b")
    assert done.code == 0, done.err
    assert "among them the rows of 1 tokens" in " ".join(done.out.split())
    assert "its row of the embedding" not in done.out
    done = run("model=same", "stages.sft.lora={r: 2, train_tokens: <|end|>}", "name=c")
    assert done.code == 2
    assert "lora.train_tokens: the tokenizer has no token '<|end|>'" in done.err
