"""The pages of the verbs say what the program reads now, and every verb's help has an example."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "bench"))

import reference  # noqa: E402


@pytest.fixture(scope="module")
def pages():
    return reference.pages()


def test_the_pages_in_the_tree_are_those_that_the_settings_make(pages):
    kept = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs/verbs").glob("*.md")}
    kept["../papers.md"] = (ROOT / "docs/papers.md").read_text(encoding="utf-8")
    assert kept == pages, "make reference"


def test_every_verb_shows_an_example(pages):
    for name, text in pages.items():
        if name not in ("README.md", "../papers.md"):
            assert f"example: strop {name.removesuffix('.md')}" in text.split("```")[1], name


def test_a_setting_stands_with_its_section_default_and_words(pages):
    rows = dict(line.split("|")[1:3] for line in pages["grpo.md"].splitlines() if line.startswith("| `"))
    assert rows[" `rollout.temperature` "] == " `1` "
    assert rows[" `train.compile` "] == " `auto` "
    assert rows[" `train.gradient_checkpointing` "] == " `false` "
    assert rows[" `rollout.keep_every` "] == " `10` "
    assert " `kind` " not in rows
