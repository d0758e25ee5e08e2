"""What the package imports: neither torch nor transformers, and no two of its files each other."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import strop.chat


def test_the_package_needs_neither_torch_nor_transformers():
    code = "import strop.chat, sys; print(sorted({'torch', 'transformers', 'tokenizers', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def imported(file: Path) -> set[str]:
    """The package's modules that a file imports anywhere, in functions and for type checkers too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        found |= {name.split(".")[2] for name in names if name.startswith("strop.chat.")}
        if isinstance(node, ast.ImportFrom) and node.module == "strop.chat":
            found |= {alias.name for alias in node.names}
    return found


def test_no_two_files_import_each_other():
    files = [file for file in Path(strop.chat.__file__).parent.glob("*.py") if file.stem != "__init__"]
    order = list(TopologicalSorter({file.stem: imported(file) for file in files}).static_order())  # raises on a circle
    assert set(order) == {file.stem for file in files}
    assert order.index("codec") < order.index("encode")
