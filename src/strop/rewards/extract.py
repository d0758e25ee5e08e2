"""Find the program in a model's answer."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from .bare import bare_programs, is_idle
from .fences import code_blocks, lines_of, place_blocks
from .names import defined_names, missing_names, only_defines, used_names
from .reasoning import without_reasoning
from .syntax import clean, parse, parse_program

_READS = {"input", "stdin", "fileinput", "open", "read"}
_PRINTS = {"print", "stdout", "write"}
_BESIDE_A_PROGRAM = {
    *("bash", "sh", "shell", "zsh", "console", "terminal", "cmd", "powershell"),
    *("text", "txt", "plaintext", "plain", "output", "input", "json", "yaml", "markdown", "md"),
}
"""Languages of blocks that stand beside a program in any other."""
_MOST_COMPARED = 50


def extract_program(answer: str, names: Sequence[str] = ()) -> str | None:
    """The program that ``answer`` contains, or None.

    What the model thought before it answered does not count (see `without_reasoning`). Of fenced blocks, those
    labelled as Python count, otherwise those with no label, never those of other languages; without any that is Python,
    what stands bare in the text (see `bare_programs`). Of several:

    1. where ``names`` are wanted, what defines any of them goes first, and what imports them before the rest;
    2. what is Python goes before what is not, and a closed block before one that is cut off;
    3. what does nothing, or needs what an earlier whole program defines, is output or an example, and comes last;
    4. the last that defines the names (all rather than some) counts, or, where no names are wanted, the last that both
       reads input and prints;
    5. where there is none, the longest, because answers put usage examples after a program more often than they put a
       longer draft before it; but one that uses the names comes after those that do not.

    What needs imports or functions of earlier blocks that hold nothing else gets these put before it. The source is
    cleaned of what cannot be seen (see `clean`); nothing else of it is changed.
    """
    answer = without_reasoning(answer)
    blocks = [block for block in code_blocks(answer) if block.code.strip()]
    labelled = [block for block in blocks if block.python]
    chosen = labelled or [block for block in blocks if not block.language]
    candidates = [_Candidate(clean(block.code), block.closed) for block in chosen]
    if not labelled:
        working = [one for one in candidates if one.does_something]
        bare = () if working else bare_programs(_prose(answer), bodies=bool(names))
        candidates = working or [_Candidate(code, closed=True) for code in bare] or candidates
    return _choose(candidates, names) if candidates else None


def _prose(answer: str) -> str:
    """The answer without its blocks of languages that stand beside a program; nothing where it is in another."""
    kept, since = [], 0
    for start, end, block in place_blocks(answer):
        if block.language and block.code.strip():
            if block.language not in _BESIDE_A_PROGRAM:
                return ""
            kept.append(answer[since:start])
            since = end
    return "\n".join([*kept, answer[since:]])


class _Candidate:
    """A program or a part of one, with what its syntax tree says; nothing where it has none."""

    def __init__(self, code: str, closed: bool):
        self.code, self.closed = code, closed
        self.tree, error, _ = parse(code)
        self.valid = error is None
        tree = ast.Module([], []) if self.tree is None else self.tree
        self.does_something = self.valid and (self.tree is None or not all(map(is_idle, tree.body)))
        self.defines, self.missing = defined_names(tree), missing_names(tree)
        self.is_library = self.tree is not None and only_defines(tree)
        words = used_names(tree) | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        self.reads_and_prints = bool(words & _READS and words & _PRINTS)

    def defines_some(self, names: Sequence[str]) -> int:
        """Whether it defines any of the names: 2, or 1 if it but imports them, as tests from the program do."""
        if self.tree is None:
            return 2 * any(defines(self.code, name) for name in names)
        if not defined_names(self.tree, imports=False).isdisjoint(names):
            return 2
        return int(not self.defines.isdisjoint(names))


def _choose(candidates: list[_Candidate], names: Sequence[str]) -> str:
    ranked = []
    for index, one in enumerate(candidates):
        before = candidates[max(0, index - _MOST_COMPARED) : index]
        program = _with_libraries(one, before, names)
        is_example = any(not earlier.is_library and one.missing & earlier.defines for earlier in before)
        fits = (program.valid, program.closed, one.does_something and not is_example)
        length, how = len(one.code.strip()), one.defines_some(names)
        if not names:
            last = (1,) if program.reads_and_prints else (0, length)
        else:
            last = (program.defines.issuperset(names),) if how else (not one.missing & set(names), length)
        ranked.append(((how, *fits, *last, index), program.code))
    return max(ranked)[1]


def _with_libraries(block: _Candidate, before: list[_Candidate], names: Sequence[str]) -> _Candidate:
    """A block after those before it that define what it lacks and do nothing else.

    A block that defines some of the ``names`` lacks the others.
    """
    missing = set(block.missing)
    libraries: list[str] = []
    if block.defines_some(names):
        missing |= set(names) - block.defines
    for earlier in reversed(before):
        if earlier.is_library and earlier.defines & missing:
            libraries.insert(0, earlier.code)
            missing = (missing - earlier.defines) | earlier.missing
    return _Candidate(put_before("\n".join(libraries), block.code), block.closed) if libraries else block


def defines(code: str, name: str) -> bool:
    """Whether a module binds ``name``; judged by the text where it cannot be parsed."""
    tree = parse_program(code)
    if tree is not None:
        return name in defined_names(tree)
    name = re.escape(name)
    bound = rf"^[ \t]*(?:(?:async[ \t]+)?def|class)[ \t]+{name}\b|^{name}[ \t]*(?::[^=\n]+)?="
    return re.search(bound, code, re.MULTILINE) is not None


def put_before(head: str, code: str) -> str:
    """``code`` with ``head`` before it, but after its ``from __future__`` imports, which must come first."""
    tree = parse_program(code)
    statements = tree.body if tree is not None else ()
    ends = [s.end_lineno or s.lineno for s in statements if isinstance(s, ast.ImportFrom) and s.module == "__future__"]
    if not ends:
        return f"{head}\n{code}"
    lines, first = lines_of(code), max(ends)
    return "".join([*lines[:first], "" if lines[first - 1].endswith("\n") else "\n", f"{head}\n", *lines[first:]])
