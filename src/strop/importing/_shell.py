"""Shell scripts: their commands as words, with what the script itself sets put in: variables, arrays, sums.

Nothing is run. What only a run would tell (``$(date)``, a variable that nobody sets) stays as it is written.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from strop.common.errors import InputError

_NEXT = (";", "&&", "||", "&")
_BEFORE = ("then", "do", "else", "{")
_DECLARE = ("export", "local", "readonly", "declare", "typeset")
_SET = re.compile(r"(?P<name>[A-Za-z_]\w*)(?P<more>\+?)=(?P<value>.*)", re.DOTALL)
_ARRAY = re.compile(
    rf"\s*(?:(?:{'|'.join(_DECLARE)})\s+(?:-\w+\s+)*)?(?P<name>[A-Za-z_]\w*)(?P<more>\+?)=\((?P<rest>.*)", re.DOTALL
)
_ELEMENTS = re.compile(r"\$\{(\w+)\[[@*]\]\}")
_ONE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")
_USED = re.compile("\ue000(\\d+)\ue001|\\$(\\w+)|\\$\\{")
_DEFAULT = re.compile(r"(\w+)(?::?[-=](.*))?", re.DOTALL)
_UNKNOWN = re.compile(r"\$(?:\{\w+(?:[:[}#%/^,=-]|$)|\w+|\()")
_SECRET = re.compile(r"TOKEN|KEY|SECRET|PASS|CREDENTIAL", re.IGNORECASE)
_LARGEST = 2**63


def is_unknown(value: Any) -> bool:
    """Whether it holds a shell variable that nobody sets, or what a command would print; of a list, in any element."""
    if isinstance(value, list):
        return any(is_unknown(one) for one in value)
    return isinstance(value, str) and _UNKNOWN.search(value) is not None


def commands(path: Path, text: str) -> Iterator[list[str]]:
    """The words of every command, without the assignments before it. Raises InputError for what is no shell."""
    shell, lines = _Shell(), _lines(text)
    for line in lines:
        if match := _ARRAY.fullmatch(line):
            body = match["rest"]
            while (end := _closing(body)) is None:
                following = next(lines, None)
                if following is None:
                    raise InputError(f"{path}: the list of {match['name']}=( has no end; close it with a ).")
                body += f"\n{following}"
            items = shell.words(path, body[:end])
            shell.arrays[match["name"]] = [*(shell.arrays.get(match["name"], []) if match["more"] else []), *items]
            continue
        while not _whole(line) and (following := next(lines, None)) is not None:  # a text over several lines
            line += f"\n{following}"
        for words in _apart(shell.words(path, line)):
            while words and words[0] in (*_DECLARE, *_BEFORE):
                words = [word for word in words[1:] if words[0] in _BEFORE or not word.startswith("-")]
            while words and (match := _SET.fullmatch(words[0])):  # also before a command: A=1 python …
                before = shell.variables.get(match["name"], "") if match["more"] else ""
                shell.variables[match["name"]] = before + match["value"]
                words = words[1:]
            if words:
                yield words


def _apart(words: list[str]) -> Iterator[list[str]]:
    """The commands of one line."""
    found: list[str] = []
    for word in words:
        if word in _NEXT:
            yield found
            found = []
        elif word.endswith(";"):
            yield [*found, word[:-1]]
            found = []
        else:
            found.append(word)
    yield found


class _Shell:
    """What a script has set so far."""

    def __init__(self) -> None:
        self.variables: dict[str, str] = {}
        self.arrays: dict[str, list[str]] = {}

    def words(self, path: Path, line: str) -> list[str]:
        """Of one command; those of an array, and of a variable that holds several settings, are words of their own."""
        held: list[str] = []
        try:
            parts = shlex.split(_hold(line, held), comments=True)
        except ValueError as error:
            raise InputError(f"{path}: {line.strip()[:60]!r} is no command that can be read ({error}).") from None
        found: list[str] = []
        for part in parts:
            if part.startswith(("$@", "$*", "${@", "${*")):
                continue
            array, one = _ELEMENTS.fullmatch(part), _ONE.fullmatch(part)
            if array and array[1] in self.arrays:
                found += self.arrays[array[1]]
                continue
            value = self.fill(part, held)
            several = one and value.startswith("--") and " " in value
            found += shlex.split(value) if several and _whole(value) else [value]
        return found

    def fill(self, text: str, held: list[str]) -> str:
        """With the variables that are known, and sums of them; others stay as they are written."""
        out, at = "", 0
        while match := _USED.search(text, at):
            out += text[at : match.start()]
            at = match.end()
            if match[1] is not None:
                out += self._held(held[int(match[1])])
            elif match[2] is not None:
                known = self._known(match[2])
                out += match[0] if known is None else known
            elif (end := _closes(text, at, "{}", depth=1)) is None:
                out += match[0]
            else:
                out += self._braced(text[at:end], held)
                at = end + 1
        return out + text[at:]

    def _braced(self, body: str, held: list[str]) -> str:
        """What stands between ``${`` and ``}``: a name, with or without a default, or all of an array."""
        if array := re.fullmatch(r"(\w+)\[[@*]\]", body):
            items = self.arrays.get(array[1])
            return f"${{{body}}}" if items is None else " ".join(items)
        if (match := _DEFAULT.fullmatch(body)) is None:
            return f"${{{body}}}"
        known = self._known(match[1])
        if known is not None and (known or ":" not in body):
            return known
        return f"${{{body}}}" if match[2] is None else self.fill(match[2], held)

    def _known(self, name: str) -> str | None:
        """By the script, or else by the environment, whose secrets are nothing for a recipe."""
        if name in self.variables:
            return self.variables[name]
        return None if _SECRET.search(name) else os.environ.get(name)

    def _held(self, text: str) -> str:
        """``$((1024 * 2))`` as its value; what a command would print as it is written."""
        if not (text.startswith("$((") and text.endswith("))")):
            return text
        inner: list[str] = []
        filled = self.fill(_hold(text[3:-2], inner), inner)
        value = _sum(filled, self.variables)
        return text if value is None else str(value)


def _sum(text: str, variables: Mapping[str, str], depth: int = 0) -> int | None:
    """Of whole numbers, as the shell reckons; None for what is none."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError):
        return None
    return _value(tree, variables, depth)


def _value(node: ast.expr, variables: Mapping[str, str], depth: int) -> int | None:
    if isinstance(node, ast.Constant):
        return node.value if type(node.value) is int else None
    if isinstance(node, ast.Name):
        return _sum(variables[node.id], variables, depth + 1) if node.id in variables and depth < 9 else None
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        one = _value(node.operand, variables, depth)
        return -one if one is not None and isinstance(node.op, ast.USub) else one
    if not isinstance(node, ast.BinOp):
        return None
    a, b = _value(node.left, variables, depth), _value(node.right, variables, depth)
    if a is None or b is None:
        return None
    found = _reckoned(node.op, a, b)
    return found if found is not None and abs(found) < _LARGEST else None


def _reckoned(how: ast.operator, a: int, b: int) -> int | None:
    if isinstance(how, ast.Add | ast.Sub | ast.Mult):
        return a + b if isinstance(how, ast.Add) else a - b if isinstance(how, ast.Sub) else a * b
    if isinstance(how, ast.Pow):
        return a**b if 0 <= b < 64 and abs(a) < 2**32 else None
    if not isinstance(how, ast.Div | ast.Mod) or not b:
        return None
    whole = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)  # towards 0, as the shell does
    return whole if isinstance(how, ast.Div) else a - whole * b


def _lines(text: str) -> Iterator[str]:
    """Those that end in a backslash are joined; comments are left out."""
    kept = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    yield from re.sub(r"\\[ \t]*\n", " ", "\n".join(kept)).splitlines()


def _whole(text: str) -> bool:
    """Whether every quotation in it is closed."""
    try:
        shlex.split(_hold(text, []), comments=True)
    except ValueError:
        return False
    return True


def _hold(text: str, held: list[str]) -> str:
    """With marks in the places of sums and of commands, whose blanks and quotes would be taken for the line's own."""
    out, at, single, double = "", 0, False, False
    while at < len(text):
        one = text[at]
        if one == "'" and not double:
            single = not single
        elif one == '"' and not single:
            double = not double
        end = None
        if one == "#" and not single and not double and (at == 0 or text[at - 1].isspace()):
            line = text[at:].partition("\n")[0]  # a comment, whose apostrophes quote nothing
            out += line
            at += len(line)
            continue
        if not single and text.startswith("$(", at):
            end = _closes(text, at + 1, "()")
        elif not single and one == "`":
            end = text.find("`", at + 1)
        if end is not None and end > 0:
            inside = text[at + 1 : end]
            held.append(f"$({inside})" if one == "`" else f"${inside})")
            out += f"\ue000{len(held) - 1}\ue001"
            at = end + 1
        else:
            out += one
            at += 1
    return out


def _closes(text: str, at: int, pair: str, depth: int = 0) -> int | None:
    """Where the bracket of ``pair`` closes that opens at ``at``; with ``depth`` 1: that opened before it."""
    for n in range(at, len(text)):
        depth += {pair[0]: 1, pair[1]: -1}.get(text[n], 0)
        if not depth:
            return n
    return None


def _closing(body: str) -> int | None:
    """Where an array ends: the first bracket outside of quotations and comments."""
    held: list[str] = []
    single = double = comment = False
    marked = _hold(body, held)
    for n, one in enumerate(marked):
        if comment:
            comment = one != "\n"
        elif one == "'" and not double:
            single = not single
        elif one == '"' and not single:
            double = not double
        elif single or double:
            continue
        elif one == "#" and (n == 0 or marked[n - 1].isspace()):
            comment = True
        elif one == ")":
            before = re.sub("\ue000(\\d+)\ue001", lambda match: held[int(match[1])], marked[:n])
            return len(before)
    return None
