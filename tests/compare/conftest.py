"""Evaluation folders of two models, as an eval stage leaves them."""

import json

import pytest


@pytest.fixture
def evaluation(tmp_path):
    """A function that writes a stage's folder with ``evals/<task>.jsonl`` and gives it."""

    def make(name, state=None, **tasks):
        folder = tmp_path / name
        for task, rows in tasks.items():
            path = folder / "evals" / f"{task}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        if state is not None:
            (folder / "stage.json").write_text(json.dumps(state))
        return folder

    return make
