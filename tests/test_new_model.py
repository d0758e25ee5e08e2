"""A recipe whose model is made new, from a configuration and a tokenizer."""

import json

import pytest

from strop.cli import main


@pytest.fixture
def recipe(tmp_path, model_folder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STROP_CACHE", str(tmp_path / "cache"))
    rows = [{"prompt": f"Say {i}.", "completion": str(i)} for i in range(8)]
    (tmp_path / "chat.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "recipe.yaml").write_text(f"""\
name: fresh
model:
  new: {{model_type: llama, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 4}}
  tokenizer: {model_folder}
  seed: 3
compute: {{dtype: float32}}
stages:
  sft: {{kind: sft, data: [{{path: chat.jsonl}}], train: {{global_batch_size: 4, learning_rate: 1e-2}}}}
""")


def test_it_is_trained_named_and_kept(recipe, tmp_path, capsys):
    assert main(["run", "recipe.yaml"]) == 0
    assert capsys.readouterr().out.startswith("fresh: a new llama on cpu")
    assert json.loads((tmp_path / "runs/fresh/summary.json").read_text())["model"] == "a new llama"
    assert json.loads((tmp_path / "runs/fresh/sft/model/config.json").read_text())["num_hidden_layers"] == 2
    assert main(["run", "recipe.yaml"]) == 0  # made once, so nothing changed
    assert "skipped" in capsys.readouterr().out
    assert main(["run", "recipe.yaml", "model.new.num_hidden_layers=3"]) == 2
    assert "choose:" in capsys.readouterr().err
    assert main(["doctor", "recipe.yaml"]) in (0, 3)
    assert main(["inspect", "recipe.yaml", "--count", "1"]) == 0


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model.new.hiden_size=8", "hiden_size is no field of a llama configuration; did you mean hidden_size"),
        ("model.new.model_type=lama", "transformers has no lama that generates or scores; did you mean llama"),
        ("model.new={hidden_size: 8}", "new: name the family, such as model_type: llama"),
        ("model.seeds=1", "unknown key 'model.seeds'; did you mean 'seed'?"),
        ("model=5", "expected a model's name, or {new: {"),
    ],
)
def test_what_cannot_be_made_is_refused_in_one_line(recipe, override, said, capsys):
    assert main(["run", "recipe.yaml", override]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1
