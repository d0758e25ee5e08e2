"""Arithmetic, exact and bounded: what GSM8K's ``<<48/2=24>>`` and nanochat's python parts compute. No ``eval``."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from strop.tools.base import CallError, Tool, register

_LONGEST, _BITS, _DIGITS = 200, 2048, 6
_PLACES = 3
"""Of an exponent: 10^999 has 3,319 bits, and more than `_BITS` of them are refused."""
_OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_SIGNS: dict[type[ast.AST], Callable[[Fraction], Fraction]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_EXPONENT = re.compile(r"[eE][-+]?(\d+)$")
_PERCENT = re.compile(r"%(?!\s*[\d.(])")  # "20%", and not "7 % 3"
_WRITTEN = str.maketrans({"×": "*", "÷": "/", "−": "-", "$": None, "^": "~"})


def calculate(expression: str) -> str:
    """The value of an expression of numbers, ``+ - * / // % **`` and parentheses.

    Numbers are exact fractions (``0.1*3`` is ``0.3``); ``1,000``, ``$5`` and ``20%`` are read as GSM8K writes them. The
    value is written as an integer, or rounded to six decimals without zeros at the end. Raises CallError, in words for
    the model, for anything else, and for numbers of more than 2,048 bits.
    """
    if len(expression) > _LONGEST:
        raise CallError(f"the expression has {len(expression)} characters; at most {_LONGEST} are computed")
    text = _PERCENT.sub("/100", _THOUSANDS.sub("", expression.translate(_WRITTEN))).strip()
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise CallError(f"{expression.strip()!r} is no arithmetic expression") from None
    return written(_value(tree.body, text))


def written(value: Fraction) -> str:
    """An integer, or up to six decimals."""
    if value.denominator == 1:
        return str(value.numerator)
    text = f"{round(value * 10**_DIGITS):+0{_DIGITS + 2}d}"
    return f"{text[:-_DIGITS]}.{text[-_DIGITS:]}".lstrip("+").rstrip("0").rstrip(".") if text.strip("+-0") else "0"


def _value(node: ast.expr, text: str) -> Fraction:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return _bounded(_number((ast.get_source_segment(text, node) or "").replace("_", "")))
    if isinstance(node, ast.UnaryOp) and type(node.op) in _SIGNS:
        return _SIGNS[type(node.op)](_value(node.operand, text))
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left, text), _value(node.right, text)
        if isinstance(node.op, ast.Pow):
            return _power(left, right)
        if type(node.op) in _OPERATORS:
            if not right and type(node.op) in (ast.Div, ast.FloorDiv, ast.Mod):
                raise CallError("division by zero")
            return _bounded(Fraction(_OPERATORS[type(node.op)](left, right)))
    raise CallError("only numbers, + - * / // % ** and parentheses are computed")


def _number(spelled: str) -> Fraction:
    exponent = _EXPONENT.search(spelled)
    if exponent and len(exponent[1].lstrip("0")) > _PLACES:  # else it would be written out before it is looked at
        raise CallError("the result is too large")
    try:
        return Fraction(spelled)
    except ValueError:  # 0x10
        raise CallError(f"{spelled!r} is no decimal number") from None


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1:
        raise CallError("only whole exponents are computed")
    if abs(exponent) * max(base.numerator.bit_length(), base.denominator.bit_length()) > _BITS:
        raise CallError("the result is too large")
    if not base and exponent < 0:
        raise CallError("division by zero")
    return base ** int(exponent)


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > _BITS:
        raise CallError("the result is too large")
    return value


@register("calculator")
class Calculator(Tool):
    """`calculate` as a tool."""

    timed = False
    name = "calculator"
    description = "Computes an arithmetic expression of numbers, + - * / // % ** and parentheses."
    parameters = {"expression": {"type": "string", "description": "for example (3 + 4) * 12"}}  # noqa: RUF012

    def call(self, arguments: Mapping[str, Any], seconds: float) -> str:
        return calculate(arguments["expression"])
