"""What a source defines and what it uses, read off its syntax tree."""

from __future__ import annotations

import ast
import builtins

_BUILTINS = frozenset(dir(builtins))
# What binds a name, and which of its fields holds it.
_BINDS = {
    **dict.fromkeys((ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler), "name"),
    **dict.fromkeys((ast.MatchAs, ast.MatchStar), "name"),
    ast.MatchMapping: "rest",
    ast.arg: "arg",
}


def defined_names(tree: ast.Module, imports: bool = True) -> set[str]:
    """The names that the module itself binds: functions, classes, imports, assignments, also in its if, for, while,
    with, try and match statements; not those in its functions and classes."""
    found: set[str] = set()
    open_nodes: list[ast.AST] = [*tree.body]
    while open_nodes:  # not by recursion: the tree may be deep
        node = open_nodes.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            if imports:
                found.add(imported_name(node))
        elif isinstance(node, ast.AnnAssign):
            if node.value is not None:
                open_nodes += [node.target, node.value]
        elif isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Store):
                found.add(node.id)
        elif not isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            open_nodes += ast.iter_child_nodes(node)
    return found


def imported_name(alias: ast.alias) -> str:
    """The name that an import binds."""
    return alias.asname or alias.name.partition(".")[0]


def used_names(tree: ast.Module) -> set[str]:
    """The names that are read anywhere in it."""
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def called_names(tree: ast.Module) -> set[str]:
    """The names that are called anywhere in it."""
    return {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}


def missing_names(tree: ast.Module) -> set[str]:
    """The names that are read somewhere and bound nowhere, builtins aside."""
    return free_names(tree) - _BUILTINS


def free_names(tree: ast.Module) -> set[str]:
    """The names that are read somewhere and bound nowhere, builtins among them."""
    used: set[str] = set()
    bound: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.alias):
            bound.add(imported_name(node))
        elif type(node) in _BINDS:
            bound.add(getattr(node, _BINDS[type(node)]))
    return used - bound


def returns_outside(tree: ast.Module) -> bool:
    """Whether there is a ``return`` outside of every function, which the parser takes and the compiler does not."""
    open_nodes: list[ast.AST] = [*tree.body]
    while open_nodes:
        node = open_nodes.pop()
        if isinstance(node, ast.Return):
            return True
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.expr | ast.pattern):
            open_nodes += ast.iter_child_nodes(node)
    return False


def only_defines(tree: ast.Module) -> bool:
    """Whether it holds imports, functions, classes and assignments and does nothing else when it runs."""
    return all(_defines(statement) for statement in tree.body)


def _defines(statement: ast.stmt) -> bool:
    if not isinstance(statement, ast.Expr):
        kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        return isinstance(statement, (*kinds, ast.Assign, ast.AnnAssign))
    called = getattr(statement.value, "func", None)  # what contest programs begin with
    return isinstance(statement.value, ast.Constant) or getattr(called, "attr", None) == "setrecursionlimit"
