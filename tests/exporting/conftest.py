"""A trained run, ``strop export`` of it, and a folder that is used as a checkout of llama.cpp."""

import hashlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from transformers import AutoTokenizer

from strop.cli import main


@pytest.fixture(scope="package")
def trained(tmp_path_factory, make_model_folder):
    """The folder of a finished run: measured, trained with LoRA, measured."""
    folder = tmp_path_factory.mktemp("work")
    model = make_model_folder(["Say one. user assistant Reverse"])
    (model / "README.md").write_text("---\nlicense: mit\n---\n")
    rows = [{"prompt": f"Say {i}.", "completion": str(i)} for i in range(12)]
    (folder / "chat.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "recipe.yaml").write_text(f"""\
name: tiny
model: {model}
folder: {folder}/runs/tiny
compute: {{dtype: float32}}
evals: {{reverse: {{count: 4, max_tokens: 2}}}}
gates: {{reverse_accuracy: {{max_drop: 0.9}}}}
stages:
  before: {{kind: eval}}
  sft:
    kind: sft
    data: [{{path: {folder}/chat.jsonl}}]
    train: {{global_batch_size: 4, learning_rate: 1e-2}}
    lora: {{r: 4}}
  after: {{kind: eval}}
""")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STROP_CACHE", str(folder / "cache"))
        assert main(["run", str(folder / "recipe.yaml")]) == 0
    return SimpleNamespace(run=folder / "runs/tiny", base=model, data=folder / "chat.jsonl", cache=folder / "cache")


@pytest.fixture
def export(tmp_path, trained, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STROP_CACHE", str(trained.cache))

    def call(source, *more, to="out"):
        code = main(["export", str(source), "--to", to, "--json", *more])
        out, err = capsys.readouterr()
        return SimpleNamespace(code=code, err=err, account=json.loads(out), folder=tmp_path / to)

    return call


CONVERTER = """\
import argparse, sys
sys.path[:0] = {path!r}

chktxt = {text!r}
def name(chkhsh):
    if chkhsh == "{mark}":
        # ref: https://example.org
        res = "gpt-2"
    return res

parser = argparse.ArgumentParser()
parser.add_argument("model"), parser.add_argument("--outfile"), parser.add_argument("--outtype")
args = parser.parse_args()
if args.outtype == "bad":
    sys.exit("no such type: bad")
from gguf_files import write_gguf
from pathlib import Path
from transformers import AutoModelForCausalLM, AutoTokenizer
write_gguf(Path(args.outfile), AutoModelForCausalLM.from_pretrained(args.model),
           AutoTokenizer.from_pretrained(args.model), "gpt-2")
"""


@pytest.fixture
def llama_cpp(tmp_path, trained):
    """A folder with a script that is called, and asked, as llama.cpp's converter is; it writes what that one does."""
    text = "12 and 345 \n\t are\n numbers 🚀"
    ids = AutoTokenizer.from_pretrained(trained.run / "sft/model").encode(text)

    def make(mark=None):
        mark = mark or hashlib.sha256(str(ids).encode()).hexdigest()
        (tmp_path / "llama.cpp").mkdir(exist_ok=True)
        script = CONVERTER.format(path=[str(Path(__file__).parents[1] / "model"), *sys.path], text=text, mark=mark)
        (tmp_path / "llama.cpp/convert_hf_to_gguf.py").write_text(script)
        return str(tmp_path / "llama.cpp")

    return make
