"""Python programs in the sandbox, each in a fresh process: nothing is kept from one call to the next."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from strop.sandbox import Limits, run_python
from strop.tools.base import Tool, register

_SHELL = """
import ast, sys
try:
    tree = ast.parse({code!r}, "program")
except SyntaxError as error:
    sys.exit(f"SyntaxError: {{error}}")
last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
names = {{"__name__": "__main__"}}
exec(compile(tree, "program", "exec"), names)
if last is not None:
    value = eval(compile(ast.Expression(last.value), "program", "eval"), names)
    if value is not None:
        print(repr(value))
"""


@register("python")
class Python(Tool):
    """What a program prints, and the value of its last line where that is an expression. Raises RuntimeError, with the
    end of what it wrote to stderr, for a program that fails or is stopped."""

    timed = False  # the sandbox ends it
    runs_programs = True
    name = "python"
    description = "Runs a Python program (standard library only) and gives what it prints."
    parameters = {"code": {"type": "string", "description": "the program"}}  # noqa: RUF012

    def call(self, arguments: Mapping[str, Any], seconds: float) -> str:
        limits = Limits(wall_seconds=seconds, cpu_seconds=max(1, math.ceil(seconds)))
        done = run_python(_SHELL.format(code=arguments["code"]), limits=limits)
        if done.status == "ok":
            return done.stdout.rstrip("\n")
        why = done.stderr.strip().rpartition("\n")[2] if done.status == "nonzero_exit" else done.detail
        raise RuntimeError("\n".join(filter(None, (done.stdout.rstrip("\n"), why or done.detail))))
