"""A folder with data, and what ``strop import`` makes of a file in it."""

import json
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from strop.cli import main


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    (tmp_path / "chat.jsonl").write_text("".join(json.dumps({"messages": turns}) + "\n" for _ in range(4)))
    rows = [{"prompt": [{"role": "user", "content": f"{i}+1?"}], "data_source": "sums", "ability": "math",
             "reward_model": {"style": "rule", "ground_truth": str(i + 1)},
             "extra_info": {"question": f"{i}+1?", "answer": str(i + 1)}} for i in range(32)]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "train.parquet")


@pytest.fixture
def convert(tmp_path, capsys):
    """Write a file, import it, and give the exit code, the account and the recipe as it is in its file."""

    def call(name, text, *more):
        (tmp_path / name).write_text(text if isinstance(text, str) else yaml.safe_dump(text))
        code = main(["import", name, "--json", *more])
        out, err = capsys.readouterr()
        account, file = json.loads(out), tmp_path / "recipe.yaml"
        recipe = yaml.safe_load(file.read_text()) if file.is_file() else None
        stage = next(iter(recipe["stages"].values())) if recipe else None
        unmapped = {one["setting"]: one["reason"] for one in account.get("unmapped", [])}
        return SimpleNamespace(code=code, err=err, account=account, recipe=recipe, stage=stage, unmapped=unmapped)

    return call
