"""Grade a program by asserts, as HumanEval and MBPP do, where the expected values must enter the sandbox.

Covered: ``sys.exit(0)`` and ``os._exit(0)``, printing what a test runner would print, overridden builtins, objects
whose ``__eq__`` says yes, exceptions that end a loop of the tests, replies that are forged, and reading the tests off
the stack, the heap, a pipe or /proc: the asserts run in a process of their own on plain copies of what the program
returned (see ``_assert_harness``), the program is confined below it, and every outcome counts only with a nonce that
this process reads after the program has loaded.
Not covered: a program that knows the expected values, tests that compare what it returns with nothing but its own
objects, and attacks on the kernel. A program can stop or kill the tests'
process, which is a timeout or a runtime error.

Values are copied between program and tests: numbers, strings, lists, tuples (named ones too), dicts, sets, None,
builtin types, and of the standard library Fraction, Decimal, range, bytearray, deque, Counter, OrderedDict (defaultdict
as dict), views of dicts, dates, times and differences. Each side builds them anew of primitive data. What a call has
done to lists and the like that it was given, the tests see; so tests that compute what they expect from the same object
afterwards should copy it first, as in Python. Of the program's other objects the tests have a handle, which can be
called, iterated, indexed, measured, read, changed, entered and given back. It is equal to itself alone, but for objects
of classes that the tests name: those are compared and combined with each other (``a < b``, ``a + b``, ``-a``) as the
class says, never with values. Functions and iterators of the tests are called where they are. What the tests cannot
give (objects of their own classes, say) is a ``judge_fault``. Exceptions arrive as the builtin ones that they are, with
what they were made of where that is values; those that would end a loop of the tests (StopIteration, IndexError,
AttributeError) only where the tests wait for them and do not raise them. What the program prints, tests do not see.
"""

from __future__ import annotations

import ast
import marshal
import secrets
import signal
import sys
from collections.abc import Sequence
from functools import cache
from importlib import resources

from strop.common.errors import InputError
from strop.sandbox import Limits, framed, is_unsafe, run_python

from .code import SYNTAX_ERRORS, Judgement, execution_verdict
from .names import imported_name, missing_names
from .syntax import parse_program, syntax_error


@cache
def _harness(unsafe: bool) -> str:
    """The harness, compiled here and once, by the interpreter that runs it: each time anew it would take 4 ms. With
    ``unsafe`` it does not mind that nothing keeps program and tests apart."""
    lines = [f"UNSAFE = {unsafe}", "import marshal, sys"]
    for name in ("_assert_values", "_assert_program", "_assert_harness"):
        text = resources.files(__package__).joinpath(f"{name}.py").read_text(encoding="utf-8")
        code = f"marshal.loads(bytes.fromhex({marshal.dumps(compile(text, name, 'exec', dont_inherit=True)).hex()!r}))"
        if name == "_assert_harness":
            lines.append(f"exec({code})")
        else:  # as the modules that the harness imports
            lines.append(f"sys.modules['{__package__}.{name}'] = made = type(sys)('{name}')")
            lines.append(f"exec({code}, made.__dict__)")
    return "\n".join(lines)


def judge_asserts(
    program: str | None, names: Sequence[str], tests: str, limits: Limits | None = None, setup: str = ""
) -> Judgement:
    """Run the source ``tests`` (trusted), in which ``names`` stand for the functions of ``program`` (untrusted).

    ``setup`` is trusted source that the tests need and the program need not have, run before them. Modules of the
    standard library that the tests use and only the program imports are imported for them. One test in all:
    ``wrong_answer`` when an assert fails or chokes on a returned value, ``runtime_error`` when the program raises,
    exits, lacks a name or dies, ``timeout`` when it runs too long, ``judge_fault`` when the tests give it what cannot
    be handed over. The program may use ``limits.processes``; one more is allowed for the tests.
    """
    if program is None:
        return Judgement("no_code", 0, 1, "the answer has no Python program")
    if (error := syntax_error(program)) is not None:
        return Judgement("syntax_error", 0, 1, error, program=program)
    limits = limits or Limits()
    _check_confinement()
    return _judged(program, names, tests, limits, setup)


def _judged(program: str, names: Sequence[str], tests: str, limits: Limits, setup: str) -> Judgement:
    nonce = secrets.token_hex(16)
    setup = "\n".join((*_borrowed_imports(program, setup + "\n" + tests, names), setup))
    frames = (program, " ".join(names), " ".join(_caught(setup + "\n" + tests)), setup, tests, nonce)
    given = _padded(framed(text.encode("utf-8", "surrogatepass") for text in frames))
    own = limits.model_copy(update={"processes": limits.processes + 1, "threads": limits.threads + 1})
    execution = run_python(_harness(is_unsafe()), given, own)

    def judged(verdict, detail="", passed=0):
        return Judgement(verdict, passed, 1, detail, execution.stderr, program)

    if (verdict := execution_verdict(execution)) is not None:
        return judged(verdict, execution.detail)
    # What stands there may be anybody's writing until the nonce says otherwise.
    outcome, _, rest = execution.stdout.partition("\n")
    returned_nonce, _, detail = rest.partition("\n")
    if not secrets.compare_digest(returned_nonce.encode(), nonce.encode()):
        return judged("runtime_error", "the tests did not finish")
    if outcome == "passed":
        return judged("accepted", passed=1)
    if outcome == "signal":
        if detail == str(int(signal.SIGXCPU)):
            return judged("timeout", f"used more than {limits.cpu_seconds} s of CPU time")
        return judged("runtime_error", f"ended by signal {detail}")
    if outcome == "fault":
        return judged("judge_fault", detail)
    if outcome == "failed":
        return judged("wrong_answer", detail)
    kind, _, message = detail.partition(": ")
    if kind in SYNTAX_ERRORS:
        return judged("syntax_error", message)
    if kind == "MemoryError":
        detail = f"needed more than {limits.memory_mb} MiB of memory"
    return judged("runtime_error", detail)


def _padded(given: bytes) -> bytes:
    """With zeros behind it, up to a power of 2 and 64 KiB at least: the size of its parent's input is what a program
    can ask for (``os.stat`` in /proc), and it would tell one problem's tests from another's."""
    return given.ljust(max(1 << 16, 1 << (len(given) - 1).bit_length()), b"\0")


@cache
def _check_confinement() -> None:
    """Once a process: an honest program passes. Raises InputError where the machine cannot keep program and tests
    apart, which would look like a fault of every program."""
    honest = _judged("def f(x): return x", ["f"], "assert f([1]) == [1]", Limits(), "")
    if not honest.accepted:
        raise InputError(
            f"programs cannot be judged by asserts here: an honest one ended with {honest.verdict} ({honest.detail} "
            f"{honest.stderr_tail[-200:]}); Linux 6.12 or later with Landlock is needed, or bubblewrap"
        )


def _caught(tests: str) -> list[str]:
    """Exceptions that the tests wait for, in ``except`` or as an argument (``assertRaises``), and never raise."""
    tree = parse_program(tests)
    waited: set[str] = set()
    raised: set[str] = set()
    for node in () if tree is None else ast.walk(tree):
        if isinstance(node, ast.ExceptHandler | ast.Raise):
            kinds = node.type if isinstance(node, ast.ExceptHandler) else node.exc
            names = {name.id for name in ast.walk(kinds) if isinstance(name, ast.Name)} if kinds else set()
            (waited if isinstance(node, ast.ExceptHandler) else raised).update(names)
        elif isinstance(node, ast.Call):
            waited |= {argument.id for argument in node.args if isinstance(argument, ast.Name)}
    return sorted(waited - raised)


def _borrowed_imports(program: str, tests: str, names: Sequence[str]) -> list[str]:
    """Imports that the tests leave to the program, of the standard library and by their own names: the tests get the
    modules themselves, not what the program has made of them."""
    tree, theirs = parse_program(program), parse_program(tests)
    if tree is None or theirs is None:
        return []
    wanted = missing_names(theirs) - set(names)
    found = []
    for node in tree.body if wanted else ():
        if isinstance(node, ast.ImportFrom) and not node.level:
            module = node.module
        elif isinstance(node, ast.Import):
            module = None
        else:
            continue
        for alias in node.names:
            top = (module or alias.name).partition(".")[0]
            # What stands under a name in the tests is not the program's to choose.
            own = alias.asname in (None, alias.name)
            if own and imported_name(alias) in wanted and top in sys.stdlib_module_names:
                found.append(ast.unparse(ast.ImportFrom(module, [alias], 0) if module else ast.Import([alias])))
    return found
