"""The examples of docs/import.md give the recipes that stand there."""

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

DOCUMENT = (Path(__file__).parents[2] / "docs" / "import.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"`([\w.-]+)`[^\n]*:\n\n```\w+\n(.*?)\n```", re.DOTALL)


@pytest.mark.parametrize("program", ["LLaMA-Factory", "axolotl", "verl"])
def test_the_recipe_that_stands_there_comes_out(convert, tmp_path, monkeypatch, program):
    section = DOCUMENT.partition(f"### {program}\n")[2].partition("\n## ")[0].partition("\n### ")[0]
    blocks = dict(BLOCK.findall(section))
    wanted = yaml.safe_load(blocks.pop("recipe.yaml").replace("/home/you", str(tmp_path)))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "identity.json").write_text(json.dumps([{"instruction": "Hi", "input": "", "output": "Hello."}]))
    folder = tmp_path / "data" / "gsm8k"
    folder.mkdir(parents=True)
    row = {"prompt": [{"role": "user", "content": "1+1?"}], "reward_model": {"ground_truth": "2"}}
    pq.write_table(pa.Table.from_pylist([row] * 2048), folder / "train.parquet")
    file, text = blocks.popitem() if len(blocks) == 1 else ("lora.yaml", blocks.pop("lora.yaml"))
    for name, content in blocks.items():
        (tmp_path / name).write_text(content)
    done = convert(file, text)
    assert done.code == 0, done.err
    assert done.recipe == wanted
