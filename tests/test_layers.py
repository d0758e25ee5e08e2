"""Who may import whom: a rule for every module, no circle between files, and what works without torch."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src/strop"

# Package or module -> what of strop it may import when it runs, beside itself and `common`. The longest name that fits
# a module counts. Imports for type checkers alone are free.
READS = {"chat", "config", "data", "model.settings", "stages.base", "tasks", "train.settings"}
ALLOWED = {
    "common": set(),
    "chat": set(),
    "sandbox": set(),
    "web": set(),
    "config": set(),
    "model": set(),
    "objectives": set(),
    "data": {"chat"},
    "rewards": {"chat", "sandbox"},
    "tools": {"rewards", "sandbox"},
    "environments": {"chat", "rewards", "tools"},
    "tasks": {"chat", "data", "environments.base", "rewards", "sandbox", "tools"},
    "rollout": {"chat", "data", "environments.base", "model", "objectives", "rewards", "tasks"},
    "rollout.talk": {"chat", "data", "environments.base", "model", "sandbox", "train.checkpoint"},
    "train": {"data", "model", "objectives"},
    "evals": {"chat", "data", "environments.base", "model", "rewards", "rollout", "sandbox", "tasks"},
    "evals.gates": {"tasks"},
    "report": {"chat", "evals.gates", "tasks", "web"},
    "compare": {"evals.gates", "evals.intervals", "evals.rates", "report", "tasks", "web"},
    "compare.judge": {"chat", "model", "rewards", "rollout"},
    "stages.blind": {"compare", "report", "stages.base"},
    "stages": {
        "chat",
        "data",
        "doctor",
        "environments.base",
        "evals",
        "model",
        "objectives",
        "rewards",
        "rollout",
        "tasks",
        "train",
    },
    "config.recipe": {
        "chat",
        "data.settings",
        "environments.base",
        "evals.gates",
        "model.settings",
        "rollout.engine_settings",
        "stages.base",
        "tasks",
        "train.settings",
    },
    "runs": {"chat", "config", "data", "evals", "model", "report", "sandbox", "stages.base", "tasks", "train"},
    "doctor": {"chat", "data", "model", "tasks"},
    "doctor.command": READS | {"model"},
    "inspector": READS | {"model", "web"},
    "importing": {"chat", "config", "data"},
    "exporting": {"chat", "data", "model", "report", "rollout", "runs.stage_folder", "tasks"},
    "cli": {
        "compare",
        "config",
        "doctor",
        "exporting",
        "importing",
        "inspector",
        "model.memory",
        "report",
        "rollout.talk",
        "runs",
    },
    "api": {
        "compare",
        "config",
        "environments.base",
        "evals.gates",
        "report.sides",
        "rollout",
        "runs",
        "stages.base",
        "tasks.base",
    },
    "__main__": {"cli"},
    "__init__": set(),
}
WITHOUT_TORCH = [
    "api",
    "chat",
    "sandbox",
    "rewards",
    "tools.functions",
    "environments.base",
    "environments.tools",
    "report",
    "compare",
    "compare.report_command",
    "evals.gates",
    "exporting.command",
    "importing.command",
    "inspector",
    "doctor",
    "data.encoding",
    "model.names",
    "model.window",
    "stages.base",
    "stages.blind",
    "stages.distill",
    "stages.doctor",
    "stages.eval",
    "stages.preference",
    "stages.reward_model",
    "stages.rl",
    "stages.sample",
    "stages.sft",
    "tasks",
    "tasks.code_basics",
    "tasks.humaneval",
    "config.recipe",
    "cli",
    "chat.settings",
    "data.settings",
    "data.step",
    "report.live",
    "runs.listing",
    "objectives.distillation_settings",
    "objectives.policy_settings",
    "objectives.preference_settings",
    "objectives.settings",
    "rollout.engine_settings",
    "rollout.grading",
    "rollout.settings",
    "rollout.spawned",
    "rollout.turns",
    "train.settings",
]


def modules() -> dict[str, Path]:
    """Every module of strop by its name without ``strop.``; a package is its own name."""
    found = {}
    for path in SOURCE.rglob("*.py"):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return found


def statements(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Import statements anywhere in a tree, those under ``if TYPE_CHECKING`` left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        else:
            yield from statements(node)


@cache
def graph() -> dict[str, set[str]]:
    """For every module the modules of strop that it imports, wherever in the file."""
    known = modules()
    edges = {}
    for name, path in known.items():
        package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
        edges[name] = set()
        for node in statements(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            else:
                above = package[: len(package) - node.level + 1] if node.level else []
                base = ".".join([*(["strop", *above] if node.level else []), *([node.module] if node.module else [])])
                targets = [f"{base}.{alias.name}" for alias in node.names]
            for target in targets:
                parts = target.split(".")
                if parts[0] != "strop":
                    continue
                while len(parts) > 1 and ".".join(parts[1:]) not in known:
                    parts.pop()
                if len(parts) > 1 and ".".join(parts[1:]) != name:
                    edges[name].add(".".join(parts[1:]))
    return edges


def rule(module: str) -> tuple[str, set[str]]:
    parts = module.split(".")
    name = next(n for i in range(len(parts), 0, -1) if (n := ".".join(parts[:i])) in ALLOWED)
    return name, ALLOWED[name]


@pytest.mark.parametrize("module", sorted(modules()))
def test_a_module_imports_only_what_its_rule_names(module):
    name, allowed = rule(module)
    own = {name.split(".")[0], "common"} if module != "cli" else {"common"}
    for target in graph()[module]:
        inside = any(target == one or target.startswith(f"{one}.") for one in allowed | own)
        assert inside, f"{module} imports {target}; the rule of {name} does not name it"


def test_every_rule_is_of_a_module():
    assert set(ALLOWED) <= set(modules()) | {"__init__"}


def test_nothing_lies_loose_at_the_top():
    assert {path.name for path in SOURCE.glob("*.py")} == {"__init__.py", "__main__.py", "cli.py"}


def circles() -> list[list[str]]:
    """Modules that import each other, however far around (strongly connected components, Tarjan 1972)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        number[module] = lowest[module] = len(number)
        stack.append(module)
        for target in graph()[module]:
            if target not in number:
                visit(target)
            if target in stack:
                lowest[module] = min(lowest[module], lowest[target])
        if lowest[module] == number[module]:
            circle = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(circle) > 1:
                found.append(sorted(circle))

    for module in graph():
        if module not in number:
            visit(module)
    return found


def test_no_files_import_each_other_in_a_circle():
    assert circles() == []


def test_a_circle_would_be_found(monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "graph", lambda: {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})
    assert circles() == [["a", "b", "c"]]


def test_no_file_is_too_long_to_read_in_one_sitting():
    long = {name: lines for name, path in modules().items() if (lines := len(path.read_text().splitlines())) > 450}
    assert long == {}


IMPORTS = """
import importlib, sys
for module in sys.argv[1:]:
    before = set(sys.modules)
    importlib.import_module(f"strop.{module}")
    print(module, *sorted({"torch", "transformers", "matplotlib"} & (set(sys.modules) - before)))
"""


@pytest.fixture(scope="module")
def imported():
    """What each module was the first to load, in one process: what an earlier one had loaded is that one's."""
    command = [sys.executable, "-c", IMPORTS, *WITHOUT_TORCH]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return {module: loaded for module, *loaded in (line.split() for line in lines)}


@pytest.mark.parametrize("module", WITHOUT_TORCH)
def test_works_without_torch(module, imported):
    assert imported[module] == []


def test_errors_are_caught_under_either_name():
    from strop.errors import InputError as Known

    from strop.common.errors import InputError

    assert Known is InputError
