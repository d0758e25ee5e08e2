"""Tokens added to a model: the rows' exact values, and a base model without a template trained, saved and served."""

import json

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, PhiConfig, PhiForCausalLM, PreTrainedTokenizerFast

from strop.chat import BUILT_IN, ChatEncoder, ChatSettings
from strop.cli import main
from strop.model.names import save_model
from strop.model.new_tokens import fit_embeddings, stop_at
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.rollout.engine import SamplingParams
from strop.rollout.torch_engine import TorchEngine

COMPUTE = Compute(torch.device("cpu"), torch.float32)


def matrices(model):
    head = model.get_output_embeddings()
    named = {"input": model.get_input_embeddings().weight, "output": head.weight, "bias": head.bias}
    return {name: parameter for name, parameter in named.items() if parameter is not None}


def exact_mean(values, rows):
    return values[rows].double().mean(0).float()


def phi(rows):
    """Untied, with an output bias."""
    torch.manual_seed(0)
    config = PhiConfig(
        vocab_size=rows,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=4,
        initializer_range=0.3,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = PhiForCausalLM(config).eval()
    torch.nn.init.normal_(model.lm_head.bias)
    return model


@pytest.mark.parametrize("kind", ["tied", "untied", "bias"])
@pytest.mark.parametrize("padding", [0, 1, 5])
def test_new_rows_are_the_mean_of_the_known_and_padding_is_used_first(make_model, kind, padding):
    known, new = 90, [90, 91, 92]
    rows = known + padding
    model = phi(rows) if kind == "bias" else make_model(vocab_size=rows, tie_word_embeddings=kind == "tied")
    before = {name: parameter.detach().clone() for name, parameter in matrices(model).items()}
    state = torch.get_rng_state()
    grown = fit_embeddings(model, range(known), new)
    assert torch.equal(torch.get_rng_state(), state)
    total = max(rows, known + len(new))
    assert grown == total - rows
    assert model.config.vocab_size == total
    assert (model.get_input_embeddings().weight is model.get_output_embeddings().weight) == (kind == "tied")
    assert matrices(model).keys() == before.keys()
    for name, parameter in matrices(model).items():
        assert len(parameter) == total
        assert torch.equal(parameter[:known], before[name][:known])
        assert torch.equal(parameter[known + len(new) :], before[name][known + len(new) :])  # padding beyond the new
        for row in new:
            torch.testing.assert_close(parameter[row], exact_mean(before[name], slice(known)), rtol=0, atol=1e-6)
            assert torch.equal(parameter[row], parameter[new[0]])
        assert parameter.requires_grad


def test_ids_with_gaps(make_model):
    model = make_model(vocab_size=40)
    old = model.get_input_embeddings().weight.detach().clone()
    known = [0, 1, 5, 9, 38]
    assert fit_embeddings(model, known, [7, 45]) == 6
    weight = model.get_input_embeddings().weight
    for row in (7, *range(40, 46)):  # rows that no token has are set as well: nothing random is left
        torch.testing.assert_close(weight[row], exact_mean(old, known), rtol=0, atol=1e-6)
    assert torch.equal(weight[[6, 8]], old[[6, 8]])


def test_nothing_new_changes_nothing(make_model):
    model = make_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert fit_embeddings(model, range(90), []) == 0
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_bfloat16(make_model):
    model = make_model(vocab_size=90).to(torch.bfloat16)
    old = model.get_input_embeddings().weight.detach().clone()
    fit_embeddings(model, range(90), [90])
    assert torch.equal(model.get_input_embeddings().weight[90], exact_mean(old, slice(90)).to(torch.bfloat16))


@pytest.mark.parametrize(
    ("listed", "ids", "expected"),
    [(2, {2}, 2), (2, {2, 9, 5}, [2, 5, 9]), ([7, 2], {2}, [7, 2]), (None, {5}, 5), (None, (), None)],
)
def test_where_the_saved_model_stops(make_model, listed, ids, expected):
    model = make_model()
    model.generation_config.eos_token_id = listed
    stop_at(model, ids)
    assert model.generation_config.eos_token_id == expected


# -- a base model, from a folder without a template to one that is served


@pytest.fixture
def base_folder(tmp_path, make_model):
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=alphabet, show_progress=False, special_tokens=["<|endoftext|>"]
    )
    bpe.train_from_iterator(["say one, say two, and one more"] * 3, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|endoftext|>")
    model = make_model(vocab_size=len(tokenizer) + 3, bos_token_id=0, eos_token_id=0, pad_token_id=0)
    save_model(model, tokenizer, tmp_path / "base")
    return tmp_path / "base"


@pytest.fixture
def train(tmp_path, base_folder, capsys, monkeypatch):
    """Run a recipe of one SFT stage; gives what was printed, and the folder of the trained model."""
    monkeypatch.chdir(tmp_path)
    rows = [{"prompt": f"say {word}", "completion": f"{word}!"} for word in ("one", "two")]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def call(template, epochs=1):
        (tmp_path / "recipe.yaml").write_text(f"""\
name: tiny
model: {base_folder}
chat: {{template: {template}}}
stages:
  sft:
    kind: sft
    data: [{{path: data.jsonl}}]
    train: {{global_batch_size: 2, learning_rate: 2e-2, epochs: {epochs}}}
""")
        assert main(["run", "recipe.yaml", "--fresh", "compute.dtype=float32"]) == 0
        return capsys.readouterr().out, tmp_path / "runs/tiny/sft/model"

    return call


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_base_model_learns_the_format_and_serves_as_it_trained(train, name, base_folder):
    out, folder = train(name, epochs=40)
    built_in = BUILT_IN[name]
    said = f"template {name}: {len(built_in.tokens)} tokens are new to the model ({', '.join(built_in.tokens)})"
    assert out.count(said) == 1
    # Everything below is what somebody without strop would do.
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    stop = tokenizer.convert_tokens_to_ids(built_in.stop)
    assert tokenizer.chat_template == built_in.text
    assert tokenizer.eos_token == "<|endoftext|>"
    assert model.generation_config.eos_token_id == [0, stop]
    old_size = len(AutoTokenizer.from_pretrained(base_folder))
    assert model.config.vocab_size == max(old_size + 3, len(tokenizer)) == model.lm_head.weight.shape[0]
    messages = [{"role": "user", "content": "say two"}]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt")["input_ids"]
    answer = model.generate(prompt, max_new_tokens=8, do_sample=False)[0, prompt.shape[1] :]
    assert tokenizer.decode(answer) == f"two!{built_in.stop}"
    # And strop's engine, from the same folder, sees the same prompt and stops at the same token.
    encoder = ChatEncoder(tokenizer, ChatSettings(), {0, stop})
    assert encoder.prompt(messages) == prompt[0].tolist()
    engine = TorchEngine(Policy(model, COMPUTE), encoder.stop_ids)
    [rollout] = engine.generate([encoder.prompt(messages)], SamplingParams(max_tokens=8, temperature=0.0))
    assert (list(rollout.tokens), rollout.finish_reason) == (answer.tolist(), "stop")


def test_a_template_file_and_its_stop_token_are_saved_too(train, tmp_path):
    text = (
        "{% for m in messages %}{{ m.role + ': ' + m.content }}{{ '\x04' if m.role == 'assistant' else '\n' }}"
        "{% endfor %}{{ 'assistant: ' if add_generation_prompt }}"
    )
    (tmp_path / "own.jinja").write_text(text.replace("\x04", "<|endoftext|>"))
    out, folder = train("own.jinja")
    assert "new to the model" not in out
    assert AutoTokenizer.from_pretrained(folder).chat_template == (tmp_path / "own.jinja").read_text()
    out, _ = train("own.jinja")
    assert "skipped" in out
    (tmp_path / "own.jinja").write_text(text.replace("\x04", " <|endoftext|>"))
    out, _ = train("own.jinja")
    assert "skipped" not in out  # another template is another input
