"""``strop export``: what others load is what strop trained, with a card that says what it is; and verl's prompts."""

import hashlib
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
import yaml
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from strop.rollout.prompts import prompts_of
from strop.rollout.settings import PromptSettings


def logits(model):
    with torch.no_grad():
        return model(torch.arange(3, 40)[None]).logits


def test_a_run_becomes_a_model_with_a_card(export, trained, heard):
    done = export(trained.run, "--check")
    assert heard["check: transformers's answers"] == (4, 4)
    assert "export: the model's files" in heard
    assert done.code == 0, done.err
    assert done.account["check"] == {"transformers": {"prompts": 4, "same": 4, "ties": 0, "difference": None}}
    merged = AutoModelForCausalLM.from_pretrained(done.folder)
    adapted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(trained.base), trained.run / "sft/adapter")
    torch.testing.assert_close(logits(merged), logits(adapted), atol=1e-4, rtol=1e-4)
    card = (done.folder / "README.md").read_text()
    head = yaml.safe_load(card.split("---")[1])
    assert (head["library_name"], head["license"]) == ("transformers", "mit")
    content = hashlib.sha256(
        json.dumps([["chat.jsonl", hashlib.sha256(trained.data.read_bytes()).hexdigest()]]).encode()
    )
    for said in (
        f"of {trained.base}, trained by strop",
        "LoRA, rank 4",
        content.hexdigest(),
        "training (12 in all)",
        "| reverse_accuracy | 0.0",
        "(0.0–49.0",
        "Gate reverse_accuracy passed",
        f"base model {trained.base}: mit",
        "chat.jsonl: unknown",
        "strop run ",
        "global_batch_size: 4",
    ):
        assert said in card.replace("\\", ""), said


def test_a_smaller_format(export, trained):
    done = export(trained.run / "sft", "--dtype", "bfloat16", "--check")
    assert done.code == 0, done.err
    stored, own = load_file(done.folder / "model.safetensors"), load_file(trained.run / "sft/model/model.safetensors")
    assert stored.keys() == own.keys()
    assert all(torch.equal(tensor, own[name].bfloat16()) for name, tensor in stored.items())


def test_a_head_of_its_own(export, trained):
    done = export(trained.run, "--own-head", "--dtype", "float32", "--check")
    assert done.code == 0, done.err
    stored, own = load_file(done.folder / "model.safetensors"), load_file(trained.run / "sft/model/model.safetensors")
    assert stored.keys() == own.keys() | {"lm_head.weight"}
    assert torch.equal(stored["lm_head.weight"], own["model.embed_tokens.weight"])
    assert not json.loads((done.folder / "config.json").read_text())["tie_word_embeddings"]
    again = export(done.folder, "--own-head", to="again")
    assert again.code == 0, again.err
    assert (again.folder / "model.safetensors").read_bytes() == (done.folder / "model.safetensors").read_bytes()


def test_adapters_alone(export, trained):
    done = export(trained.run, "--format", "adapter", "--check")
    assert done.code == 0, done.err
    assert done.account["check"]["transformers"]["same"] == 4
    own = AutoModelForCausalLM.from_pretrained(trained.run / "sft/model")
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(trained.base), done.folder)
    torch.testing.assert_close(logits(model), logits(own), atol=1e-4, rtol=1e-4)
    assert yaml.safe_load((done.folder / "README.md").read_text().split("---")[1])["library_name"] == "peft"


def test_a_difference_is_found(export, trained, monkeypatch):
    """Of weights that are others, and of a template that is another."""
    import strop.exporting.folders as folders

    write = folders.write_model

    def spoilt(change):
        def writes(source, target, *how):
            rounded = write(source, target, *how)
            change(target)
            return rounded

        return writes

    def weights(target):
        file = target / "model.safetensors"
        save_file(
            {name: one.flip(0) if "down" in name else one for name, one in load_file(file).items()},
            file,
            {"format": "pt"},
        )

    monkeypatch.setattr(folders, "write_model", spoilt(weights))
    done = export(trained.run, "--check", to="a")
    assert done.code == 1
    assert "the answers part at token" in done.account["check"]["transformers"]["difference"]
    monkeypatch.setattr(folders, "write_model", spoilt(lambda to: (to / "chat_template.jinja").write_text("{{ 'x' }}")))
    done = export(trained.run, "--check", to="b")
    assert done.code == 1
    assert "the prompt differs at token 0" in done.account["check"]["transformers"]["difference"]


def test_gguf_by_the_converter(export, trained, llama_cpp):
    pytest.importorskip("gguf")
    done = export(trained.run, "--format", "gguf", "--outtype", "f32", "--llama-cpp", llama_cpp(), "--check")
    assert done.code == 0, done.err
    assert done.account["pre_tokenizer"] == "gpt-2"
    assert done.account["check"]["transformers"]["same"] == 4
    assert {path.name for path in done.folder.iterdir()} == {"out-f32.gguf", "README.md"}
    assert "llama-cli -m out-f32.gguf" in (done.folder / "README.md").read_text()


def test_gguf_that_the_converter_cannot_make(export, trained, llama_cpp, monkeypatch):
    done = export(trained.run, "--format", "gguf", "--llama-cpp", llama_cpp("0" * 64), "--outtype", "bad")
    assert done.code == 2
    assert "the converter does not know how this tokenizer splits text" in done.err
    assert "no such type: bad" in done.account["error"]
    assert not done.folder.exists()
    with monkeypatch.context() as patch:
        patch.setattr("strop.exporting.gguf.HOURS", 0.0001)
        done = export(trained.run, "--format", "gguf", "--llama-cpp", llama_cpp())
        assert done.code == 2
        assert "the converter did not end within 0.0001 hours; run `" in done.err
        assert not done.folder.exists()
    monkeypatch.setenv("PATH", "")
    done = export(trained.run, "--format", "gguf")
    assert done.code == 2
    assert f"convert_hf_to_gguf.py {trained.run}/sft/model --outfile out/out-f16.gguf --outtype f16`" in done.err


@pytest.mark.parametrize(
    ("source", "more", "message"),
    [
        ("{run}", ("--to", "{run}/sft/model"), "holds what is exported"),
        ("{run}", ("--to", "full"), "is there already; say --fresh to replace it"),
        ("{run}", ("--to", "other", "--fresh"), "holds files that are no model, which --fresh does not replace"),
        ("{run}", ("--to", "a-file/x"), "cannot be written"),
        ("{run}", ("--format", "adapter", "--own-head"), "--own-head is for --format hf; leave it out with adapter"),
        ("{run}", ("--outtype", "f32"), "--outtype is for --format gguf; leave it out with hf"),
        ("{base}", ("--format", "adapter"), "has no adapters beside it"),
        ("nowhere", (), "There is no model 'nowhere'"),
        ("{run}", ("--format", "gguf", "--llama-cpp", "full"), "holds no convert_hf_to_gguf.py"),
        ("{run}", ("--format", "gguf", "--outtype", "q8_0", "--check"), "weights in q8_0 are other ones"),
        ("no.jsonl", ("--format", "verl", "--to", "x.parquet"), "no.jsonl"),
        ("{data}", ("--format", "verl"), "give a name that ends in .parquet"),
        ("{data}", ("--format", "verl", "--to", "x.parquet"), "has no ground truth"),
        ("task:ifeval", ("--format", "verl", "--to", "x.parquet"), "ifeval"),
    ],
)
def test_bad_input_is_one_line(export, trained, tmp_path, source, more, message):
    for name in ("full/config.json", "other/mine.txt", "a-file"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    places = {"run": trained.run, "base": trained.base, "data": trained.data}
    done = export(source.format(**places), *(one.format(**places) for one in more))
    assert done.code == 2
    assert message in done.account["error"]
    assert len(done.err.splitlines()) == 1


@pytest.fixture
def damaged(trained, tmp_path):
    """A copy of the model that the run began with, to be damaged."""
    return Path(shutil.copytree(trained.base, tmp_path / "damaged"))


def lack_a_layer(folder):
    weights = load_file(folder / "model.safetensors")
    save_file({name: t for name, t in weights.items() if ".layers.0." not in name}, folder / "model.safetensors")


def have_a_layer_more(folder):
    weights = load_file(folder / "model.safetensors")
    more = {name.replace(".layers.0.", ".layers.7."): t.clone() for name, t in weights.items() if ".layers.0." in name}
    save_file(weights | more, folder / "model.safetensors")


def have_a_pickle_that_is_none(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"no pickle at all")


def have_a_template_that_does_not_compile(folder):
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endif %}")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lack_a_layer, "the weight files lack"),
        (have_a_layer_more, "layers.7"),
        (have_a_pickle_that_is_none, "its .bin files hold no weights"),
        (have_a_template_that_does_not_compile, "its chat template does not compile"),
    ],
)
def test_a_model_that_nobody_can_load_is_not_handed_on(export, damaged, damage, message):
    damage(damaged)
    done = export(damaged)
    assert done.code == 2
    assert message in done.account["error"]
    assert len(done.err.splitlines()) == 1
    assert not done.folder.exists()


def test_a_run_that_is_not_finished(export, trained, tmp_path):
    for stage, done in (("before", True), ("sft", False)):
        (tmp_path / "run" / stage).mkdir(parents=True)
        (tmp_path / "run" / stage / "stage.json").write_text(json.dumps({"done": done}))
    for source in ("run", "run/sft"):
        done = export(source)
        assert done.code == 2
        assert "is not finished" in done.err
        assert len(done.err.splitlines()) == 1


def test_an_export_is_replaced_when_told(export, trained):
    assert export(trained.run).code == 0
    assert export(trained.base, "--fresh").code == 0
    assert "Nothing is known of one" in (Path("out") / "README.md").read_text()


def test_prompts_for_verl_come_back_as_they_were(export, tmp_path):
    rows = [{"question": f"{i} + 1?", "answer": f"{i + 1}"} for i in range(3)]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = export("sums.jsonl", "--format", "verl", to="a.parquet")
    assert done.code == 0, done.err
    first = pq.read_table("a.parquet").to_pylist()
    assert first[0] == {
        "data_source": "sums.jsonl",
        "prompt": [{"role": "user", "content": "0 + 1?"}],
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": "1"},
        "extra_info": {"split": "train", "index": 0},
    }
    read = list(prompts_of(PromptSettings(path="a.parquet")))
    assert [(one.messages, one.truth) for one in read] == [
        ([{"role": "user", "content": row["question"]}], row["answer"]) for row in rows
    ]
    assert export("a.parquet", "--format", "verl", to="b.parquet").code == 0
    assert pq.read_table("b.parquet").to_pylist() == first


@pytest.mark.parametrize("extras", [[{"a": {}}], [{"a": 2**70}], [{"a": 1}, {"a": "x"}], [{"a": {"b": 1}}, {"a": "x"}]])
def test_rows_that_parquet_cannot_hold_are_refused_for_verl(export, tmp_path, extras):
    rows = [{"prompt": "1 + 1 = ?", "answer": "2", "extra_info": extra} for extra in extras]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = export("rows.jsonl", "--format", "verl", to="a.parquet")
    assert done.code == 2
    assert "a.parquet: Parquet cannot hold these rows (" in done.account["error"]
    assert not list(tmp_path.glob("*a.parquet*"))


def test_prompts_with_tools_are_refused_for_verl(export, tmp_path):
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
    (tmp_path / "calls.jsonl").write_text(json.dumps({"question": "1 + 1?", "answer": "2", "tools": [tool]}))
    done = export("calls.jsonl", "--format", "verl", to="a.parquet")
    assert done.code == 2
    assert "calls.jsonl:1: has tools beside its prompt" in done.account["error"]


def test_problems_for_verl_have_their_tests_in_the_ground_truth(export, tmp_path):
    row = {"name": "sum", "text": "### Prompt\n\nAdd.\n\n### Response\n\nprint(3)",
           "tests": {"input": ["1 2\n"], "output": ["3\n"]}}  # fmt: skip
    (tmp_path / "problems.jsonl").write_text(json.dumps(row) + "\n")
    done = export("problems.jsonl", "--format", "verl", "--split", "test", to="a.parquet")
    assert done.code == 0, done.err
    [written] = pq.read_table("a.parquet").to_pylist()
    assert json.loads(written["reward_model"]["ground_truth"]) == {"inputs": ["1 2\n"], "outputs": ["3\n"]}
    assert (written["ability"], written["prompt"][0]["content"]) == ("code", "Add.")
    assert written["extra_info"]["split"] == "test"
