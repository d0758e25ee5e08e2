"""What a source defines and what it uses, read off its syntax tree."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator

_BUILTINS = frozenset(dir(builtins))


def defined_names(tree: ast.Module, imports: bool = True) -> set[str]:
    """The names that the module itself binds: functions, classes, imports, assignments, also in its if, for, while,
    with, try and match statements; not those in its functions and classes."""
    return set(_bound(tree.body, imports))


def _bound(statements: Iterable[ast.stmt], imports: bool) -> Iterator[str]:
    open_nodes: list[ast.AST] = list(statements)
    while open_nodes:  # not by recursion: the tree may be deep
        node = open_nodes.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names if imports else ():
                yield alias.asname or alias.name.partition(".")[0]
        elif isinstance(node, ast.AnnAssign):
            if node.value is not None:
                open_nodes += [node.target, node.value]
        elif isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Store):
                yield node.id
        elif not isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            open_nodes += ast.iter_child_nodes(node)


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
    bound = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound.add(node.id)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            bound |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            bound.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            bound.add(node.rest)
    return used_names(tree) - bound


def returns_outside(tree: ast.Module) -> bool:
    """Whether there is a ``return`` outside of every function, which the parser takes and the compiler does not."""
    open_nodes: list[ast.AST] = [*tree.body]
    while open_nodes:
        node = open_nodes.pop()
        if isinstance(node, ast.Return):
            return True
        if isinstance(node, ast.stmt) and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            open_nodes += [
                n for n in ast.iter_child_nodes(node) if isinstance(n, ast.stmt | ast.excepthandler | ast.match_case)
            ]
        elif isinstance(node, ast.excepthandler | ast.match_case):
            open_nodes += node.body
    return False


def only_defines(tree: ast.Module) -> bool:
    """Whether it holds imports, functions, classes and assignments and does nothing else when it runs."""
    return all(_defines(statement) for statement in tree.body)


def _defines(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr):
        value = statement.value
        if isinstance(value, ast.Call):  # what contest programs begin with
            return isinstance(value.func, ast.Attribute) and value.func.attr == "setrecursionlimit"
        return isinstance(value, ast.Constant)
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    return isinstance(statement, kinds)


def after_future_imports(tree: ast.Module) -> int:
    """How many lines of the source its docstring and its ``from __future__`` imports take; 0 without such imports.

    Nothing but these may stand before them.
    """
    return max(
        (s.end_lineno for s in tree.body if isinstance(s, ast.ImportFrom) and s.module == "__future__"), default=0
    )
