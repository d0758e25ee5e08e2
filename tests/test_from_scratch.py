"""The chain from nothing at toy size: a tokenizer, pre-training in bits per byte, what `from` names."""

import io
import json
import math
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from strop.cli import main
from strop.rollout.talk.compare import short_names, show

ROOT = Path(__file__).parents[1]
NEW = "{model_type: llama, hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1, num_attention_heads: 2}"
QUIET = "train: {max_steps: 1, global_batch_size: 2, learning_rate: 1.0e-30, schedule: constant, weight_decay: 0}"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STROP_CACHE", str(tmp_path / "cache"))
    texts = [f"Text {i} says 你好 and {'more ' * (i % 3)}words, {i * 7}." for i in range(40)]
    Path("text.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    rows = [{"prompt": f"Say {i}, 请。", "completion": f"{i}!"} for i in range(12)]
    Path("chat.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def recipe(stages, model=f"{{new: {NEW}}}", more=""):
    Path("recipe.yaml").write_text(
        f"name: chain\nmodel: {model}\nchat: {{template: chatml}}\ncompute: {{dtype: float32}}\n{more}stages:\n{stages}"
    )
    return main(["run", "recipe.yaml"])


TOKENIZER = "  tok: {kind: tokenizer, vocab_size: 290, data: [{path: text.jsonl}, {path: chat.jsonl}]}\n"


def said(capsys):
    both = capsys.readouterr()
    return " ".join((both.out + both.err).split())


def test_a_tokenizer_is_trained_and_the_model_made_for_it(here, capsys):
    code = recipe(TOKENIZER + "  base: {kind: pretrain, data: [{path: text.jsonl}], train: {max_steps: 2}}\n")
    out = said(capsys)
    assert code == 0, out
    assert "290 tokens" in out
    tokenizer = AutoTokenizer.from_pretrained(here / "runs/chain/tok/tokenizer")
    assert len(tokenizer) == 290
    assert len(tokenizer("<|im_end|>")["input_ids"]) == 1
    turns = [{"role": role, "content": "x"} for role in ("system", "user", "assistant", "tool", "assistant")]
    text = tokenizer.apply_chat_template(turns, tokenize=False)
    assert [part.split("\n")[0] for part in text.split("<|im_start|>")[1:]] == [turn["role"] for turn in turns]
    for stage in ("tok", "base"):
        model = AutoModelForCausalLM.from_pretrained(here / f"runs/chain/{stage}/model")
        assert model.get_input_embeddings().weight.shape[0] == 290
    assert main(["run", "recipe.yaml"]) == 0
    assert "tok: done before with the same settings" in said(capsys)
    assert main(["run", "recipe.yaml", "stages.tok.vocab_size=330"]) == 2
    assert "vocab_size 290 → 330" in said(capsys)


def test_bits_per_byte_are_those_of_a_loop_over_the_held_out_texts(here):
    data, held = (f"[{{path: {name}.jsonl}}]" for name in ("text", "held"))
    stage = f"{{kind: pretrain, data: {data}, eval_data: {held}, train: {{max_steps: 2}}}}"
    texts = ["Text 90 says 你好.", "Words, more words."]
    Path("held.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    assert recipe(f"{TOKENIZER}  base: {stage}\n") == 0
    folder = here / "runs/chain/base"
    last = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()][-1]
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float64)
    nats = 0.0
    for text in texts:
        ids = torch.tensor([[*tokenizer(text)["input_ids"], tokenizer.eos_token_id]])
        logprobs = model(ids).logits[0].log_softmax(-1)
        nats -= sum(float(logprobs[i, ids[0, i + 1]]) for i in range(ids.shape[1] - 1))
    first = [
        len(tokenizer.decode(tokenizer(text)["input_ids"][:1]).encode()) for text in texts
    ]  # has nothing before it
    n_bytes = sum(len(text.encode()) for text in texts) - sum(first)
    assert last["eval_bits_per_byte"] == pytest.approx(nats / math.log(2) / n_bytes, rel=1e-5)


def test_pretraining_learns_every_token_of_a_conversation_and_sft_the_answers(here):
    data = "data: [{path: chat.jsonl}], train: {max_steps: 1}"
    assert recipe(f"{TOKENIZER}  mid: {{kind: pretrain, {data}}}\n  sft: {{kind: sft, {data}}}\n") == 0
    masks = [json.loads((here / f"runs/chain/{name}/stage.json").read_text())["mask"] for name in ("mid", "sft")]
    every, answers = ((mask["trained_tokens"], mask["tokens"]) for mask in masks)
    assert every[0] == every[1]
    assert answers[0] < answers[1] / 2


def weights(stage):
    return load_file(f"runs/chain/{stage}/model/model.safetensors")


def test_a_stage_goes_on_from_the_one_that_it_names(here, capsys):
    learns = "{kind: pretrain, data: [{path: text.jsonl}], train: {max_steps: 2, learning_rate: 0.1}}"
    still = f"{{kind: sft, from: one, data: [{{path: chat.jsonl}}], {QUIET}}}"
    evals = "evals: {stories: {count: 2}}\n"
    tail = "  measured: {kind: eval, from: one}\n  last: {kind: eval}\n"
    assert recipe(f"{TOKENIZER}  one: {learns}\n  two: {learns}\n  three: {still}\n{tail}", more=evals) == 0
    one, two, three = map(weights, ("one", "two", "three"))
    assert any(not torch.equal(one[name], two[name]) for name in one)
    assert all(torch.equal(one[name], three[name]) for name in one)
    states = [json.loads((here / f"runs/chain/{name}/stage.json").read_text()) for name in ("measured", "last")]
    assert [state["made_from"]["model.stage"] for state in states] == ["one", "three"]
    assert states[0]["metrics"]["stories_loss"] == states[1]["metrics"]["stories_loss"]
    capsys.readouterr()
    assert main(["run", "recipe.yaml"]) == 0  # from: is kept in config.yaml, and is no change
    assert main(["run", "runs/chain/three/config.yaml"]) == 0
    assert said(capsys).count("three: done before") == 2
    assert main(["run", "recipe.yaml", "stages.three.from=two"]) == 2
    assert "from one → two" in said(capsys)


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ("  sft: {kind: sft, from: bse, data: [{path: chat.jsonl}]}\n", "stages.sft: from: 'bse' is no earlier stage"),
        ("  e: {kind: eval, from: last}\n  last: {kind: sft, data: [{path: chat.jsonl}]}\n", "(tok)"),
        ("  again: {kind: tokenizer, from: tok, data: [{path: chat.jsonl}]}\n", "begins with the recipe's new model"),
    ],
)
def test_a_stage_that_is_not_there_is_refused_with_those_that_are(here, stages, expected, capsys):
    assert recipe(TOKENIZER + stages, more="evals: {stories: {}}\n") == 2
    assert expected in said(capsys)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            "vocab_size: 200, data: [{path: text.jsonl}]",
            "no room for the 256 bytes and 9 special tokens; set 265 or more",
        ),
        ("data: [{path: gone.jsonl}]", "gone.jsonl: there is no such file"),
        ("data: [{path: empty.jsonl}]", "empty.jsonl"),
        ("data: [{path: blank.jsonl}]", "the text is empty"),
        ("data: [{path: text.jsonl}], special_tokens: ['<|a|>', '<|a|>']", "give each once"),
        ("data: [{path: text.jsonl}], vocab: 3", "unknown key"),
    ],
)
def test_what_no_tokenizer_can_be_trained_on_is_refused_in_words(here, settings, expected, capsys):
    Path("empty.jsonl").write_text("")
    Path("blank.jsonl").write_text('{"text": ""}\n')
    assert recipe(f"  tok: {{kind: tokenizer, {settings}}}\n") == 2
    assert expected in said(capsys)


def test_a_model_that_has_a_tokenizer_gets_no_other(here, model_folder, capsys):
    for model in (str(model_folder), f"{{new: {NEW}, tokenizer: {model_folder}}}"):
        assert recipe(TOKENIZER, model) == 2
        assert "a tokenizer is trained for a model that is made new" in said(capsys)


def test_too_few_pairs_make_a_smaller_vocabulary_and_say_so(here, capsys):
    stage = "  tok: {kind: tokenizer, vocab_size: 5000, special_tokens: ['<|x|>'], data: [{path: chat.jsonl}]}\n"
    assert recipe(stage) == 0
    assert "of 5,000 tokens, since no further pair stands in the data 2 times" in said(capsys)
    assert len(AutoTokenizer.from_pretrained(here / "runs/chain/tok/tokenizer")("<|x|>")["input_ids"]) == 1


def test_the_recipe_at_toy_size(here, capsys):
    counts = {"tokenizer": 5, "base": 4, "mid": 8}
    small = [f"stages.{name}.data.{i}.count=8" for name, n in counts.items() for i in range(n)]
    small += [f"stages.sft.data.parts.{i}.count=8" for i in range(8)]
    small += [f"evals.{name}.count=2" for name in ("stories", "stories_zh", "facts", "facts_zh", "sums", "sums_zh")]
    small += [
        f"evals.{name}.{what}" for name in ("simple_spelling", "spelling_bee") for what in ("count=2", "max_tokens=8")
    ]
    small += [f"evals.{name}.max_tokens=8" for name in ("facts", "facts_zh", "sums", "sums_zh")]
    small += [f"stages.{name}.train.max_steps=2" for name in ("base", "mid", "sft", "rl")]
    small += [
        "stages.rl.rollout.prompts_per_step=2",
        "stages.rl.rollout.group_size=2",
        "stages.rl.rollout.max_tokens=8",
    ]
    small += ["stages.rl.rollout.no_spread=keep", "stages.rl.train.warmup_steps=0", "stages.tokenizer.vocab_size=300"]
    small += ["model.new.num_hidden_layers=1", "model.new.hidden_size=32", "model.new.intermediate_size=32"]
    code = main(["run", str(ROOT / "recipes/from_scratch.yaml"), *small])
    out = said(capsys)
    assert code == 0
    summary = json.loads((here / "runs/from_scratch/summary.json").read_text())
    assert {"stories_bits_per_byte", "facts_zh_accuracy", "sums_accuracy", "simple_spelling_accuracy"} <= set(
        summary["change"]
    )
    assert "bits per byte:" in out
    assert "system prompts given:" in out
    assert main(["run", str(ROOT / "recipes/from_scratch.yaml"), *small]) == 0
    assert said(capsys).count("skipped.") == 8

    moe = ["name=moe", "model.new.model_type=qwen3_moe", "model.new.num_experts=4", "model.new.num_experts_per_tok=2"]
    moe += ["model.new.moe_intermediate_size=16"]
    moe += [f"stages.{name}.train.aux_loss=0.01" for name in ("base", "mid", "sft")]
    code = main(["run", str(ROOT / "recipes/from_scratch.yaml"), *small, *moe])
    assert code == 0, said(capsys)
    assert any("experts" in name for name in load_file("runs/moe/sft/model/model.safetensors"))


def test_answers_of_the_stages_stand_side_by_side(here, capsys):
    learns = "{kind: pretrain, data: [{path: text.jsonl}], train: {max_steps: 2, learning_rate: 0.1}}"
    assert recipe(f"{TOKENIZER}  one: {learns}\n  two: {learns}\n") == 0
    asked = ["--prompt", "Say 3.", "--prompt", "说 4。", "--text", "Text 9", "--max-tokens", "4"]
    capsys.readouterr()
    assert main(["chat", "--compare", "runs/chain", *asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [Path(name).name for name in found["models"]] == ["tok", "one", "two"]
    assert [row.get("prompt", row.get("text")) for row in found["compared"]] == ["Say 3.", "说 4。", "Text 9"]
    for row in found["compared"]:
        assert [answer["model"] for answer in row["answers"]] == found["models"]
    assert main(["chat", "runs/chain/two", "--prompt", "Say 3.", "--max-tokens", "4", "--json"]) == 0
    alone = json.loads(capsys.readouterr().out)["answers"][0]
    assert found["compared"][0]["answers"][2] == {
        "model": found["models"][2],
        **{k: v for k, v in alone.items() if k != "prompt"},
    }
    assert main(["chat", "--compare", "runs/chain/one", "runs/chain/two", *asked]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "> Say 3."
    assert sum(line.startswith(("one: ", "two: ")) for line in lines) == 6
    for wrong, expected in (
        (["--compare", "runs/chain/one", *asked], "two models or more"),
        (["--compare", "runs/chain", "--keep", *asked], "--keep is a conversation with one model"),
        (["runs/chain/one", "--text", "x"], "--text goes with --compare"),
    ):
        assert main(["chat", *wrong]) == 2
        assert expected in said(capsys)


def test_side_by_side_on_a_terminal_says_calls_cuts_and_faults_and_steers_nothing():
    call = {"function": {"name": "calculator", "arguments": {"expression": "1 + 2"}}}
    answers = [
        {"model": "runs/a/sft/model", "answer": "", "finish_reason": "stop", "tool_calls": [call]},
        {"model": "runs/a/rl/model", "answer": "red\x1b[31m", "finish_reason": "length"},
        {"model": "runs/b/rl/model", "error": "too long"},
    ]
    compared = [{"prompt": "1 + 2?", "answers": answers}]
    for width, row in ((150, "│ 1 + 2?"), (60, "> 1 + 2?")):
        out = io.StringIO()
        show(compared, Console(file=out, force_terminal=True, width=width, color_system=None))
        text = out.getvalue()
        assert row in text
        for part in ("a/sft", "a/rl", "b/rl", "(too long)", "red[31m …", "[calculator("):
            assert part in text
    assert short_names(["runs/a/sft/model", "runs/a/rl/model"]) == ["sft", "rl"]
    assert short_names(["one", "two"]) == ["one", "two"]
