"""Who may import whom, and which packages work without torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src/strop"

# Package -> packages of strop that it may import when it runs; imports for type checkers alone are free.
ALLOWED = {
    "chat": set(),
    "sandbox": set(),
    "model": set(),
    "objectives": set(),
    "config": set(),
    "data": {"chat"},
    "rewards": {"chat", "sandbox"},
    "tasks": {"chat", "data", "rewards", "sandbox"},
    "rollout": {"chat", "model", "rewards"},
    "train": {"data", "model", "objectives"},
    "evals": {"tasks", "rollout", "data", "model", "chat", "rewards"},
    "report": {"chat", "web"},
    "runs": {"train"},
    "doctor": {"chat", "data", "tasks"},
    "talk": {"chat", "console", "data", "model", "recipe", "rollout", "stages", "train"},
    "web": set(),
    "inspector": {"chat", "config", "data", "model", "named_sets", "recipe", "web"},
}
FOUNDATION = {"console", "errors", "files", "folders", "visible"}
WITHOUT_TORCH = [
    "chat",
    "sandbox",
    "rewards",
    "report",
    "inspector",
    "doctor",
    "data.encoding",
    "model.names",
    "model.window",
    "stages.base",
    "stages.eval",
    "stages.sft",
    "tasks",
    "tasks.code_basics",
    "tasks.humaneval",
    "config.recipe",
    "cli",
    "chat.settings",
    "data.settings",
    "data.step",
    "objectives.settings",
    "train.settings",
]


def imports(tree: ast.AST) -> set[str]:
    """Modules imported by a tree, those under ``if TYPE_CHECKING`` left out."""
    found: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        else:
            found |= imports(node)
    return found


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_a_package_imports_only_what_the_layout_names(package):
    for path in (SOURCE / package).rglob("*.py"):
        for name in imports(ast.parse(path.read_text())):
            if name.startswith("strop."):
                target = name.split(".")[1]
                assert target in ALLOWED[package] | FOUNDATION | {package}, f"{path} imports {name}"


def test_every_package_has_its_rule():
    assert {p.parent.name for p in SOURCE.glob("*/__init__.py")} == set(ALLOWED)


def test_no_module_of_model_imports_itself_through_others():
    """Imports inside of functions count too."""
    needs: dict[str, set[str]] = {}
    for path in (SOURCE / "model").rglob("*.py"):
        found = {name.rpartition(".") for name in imports(ast.parse(path.read_text()))}
        needs[path.stem] = {part for head, _, tail in found if head.startswith("strop.model") for part in (head, tail)}
        needs[path.stem] = {part.rpartition(".")[2] for part in needs[path.stem]}
    for start in needs:
        seen, left = set(), [start]
        while left:
            new = needs.get(left.pop(), set()) - seen
            seen |= new
            left += new
        assert start not in seen, f"{start} imports itself through others"


@pytest.mark.parametrize("module", WITHOUT_TORCH)
def test_works_without_torch(module):
    code = (
        f"import sys, importlib; importlib.import_module('strop.{module}'); "
        "print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
