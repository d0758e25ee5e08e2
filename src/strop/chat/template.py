"""A chat template, compiled so that what it prints remembers its origin.

The environment is set up as transformers sets up its own (sandbox, whitespace, ``tojson``, ``raise_exception``,
``strftime_now``, loop controls, the ``generation`` tag), and differs in one thing: the places where Jinja turns values
into text and joins texts keep the traces of `strop.chat.traced`. The proof that the result is the same text is made on
every conversation, not here.
"""

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from jinja2 import Template, TemplateError, nodes, pass_eval_context
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.filters import do_title, make_attrgetter
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedFormatter
from jinja2.utils import Namespace

from strop.chat.numbers import dumps
from strop.chat.traced import Traced, brace_format, concat, percent, recased, smear, text_of, trace_of, traced

# Jinja lets Python's own errors through: `none + 'x'` in a template is a TypeError, not a TemplateError.
_TRACED = re.compile(r"(?:strop\.chat\.traced\.)?\bTraced\b")
_PYTHON_ERRORS = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)


class TemplateFailure(Exception):
    """A template that does not compile, or that refused a conversation; the message is the template's own."""


class ChatTemplate:
    """A compiled template: ``render(variables)`` gives its text, `Traced` where the variables were."""

    def __init__(self, source: str):
        try:
            self._template = _compiled(source)
        except (TemplateError, SyntaxError) as error:
            line = getattr(error, "lineno", None)
            raise TemplateFailure(f"{error}" + (f" (line {line})" if line else "")) from error

    def render(self, variables: Mapping[str, Any]) -> str:
        """Raises `TemplateFailure` with the template's message when it raises or trips over the data."""
        with template_failures():
            return self._template.render(variables)


@contextmanager
def template_failures() -> Iterator[None]:
    """What a template raises, or trips over, becomes a `TemplateFailure`."""
    try:
        yield
    except (TemplateError, *_PYTHON_ERRORS) as error:
        message = str(error) or type(error).__name__
        raise TemplateFailure(_TRACED.sub("str", message)) from error


@functools.lru_cache(maxsize=128)  # compiling takes longer than proving many a conversation
def _compiled(source: str) -> Template:
    return _environment().from_string(source)


@functools.cache
def _environment() -> "_OriginEnvironment":
    return _OriginEnvironment()


class _GenerationTag(Extension):
    """``{% generation %} … {% endgeneration %}`` prints its body: origins make the mark unnecessary."""

    tags = {"generation"}  # noqa: RUF012 (Jinja's own attribute)

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_print"), [], [], body).set_lineno(line)

    def _print(self, caller: Callable[[], str]) -> str:
        return caller()


class _OriginCode(CodeGenerator):
    """Jinja's code generator, but ``a ~ b`` joins with the environment's concatenation instead of a built-in one."""

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self.write("environment.concat(map(environment.finalize, (")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write(")))")


class _SafeNamespace(Namespace):
    """Jinja's namespace without underscored names, as transformers has it."""

    def __init__(*args, **kwargs):  # no `self`, so that a template may set a variable of that name
        self, *positional = args
        Namespace.__init__(self)
        for name, value in dict(*positional, **kwargs).items():
            self[name] = value

    def __setitem__(self, name, value):
        if isinstance(name, str) and name.startswith("_"):
            raise SecurityError(f"a namespace attribute may not start with an underscore: {name!r}")
        super().__setitem__(name, value)


class _Dict:
    """``dict`` for templates: what builds mappings, and nothing else of the type."""

    def __call__(self, *args, **kwargs):
        return dict(*args, **kwargs)

    def fromkeys(self, *args):
        return dict.fromkeys(*args)


class _OriginEnvironment(ImmutableSandboxedEnvironment):
    code_generator_class = _OriginCode
    concat = staticmethod(concat)
    intercepted_binops = frozenset({"%"})  # '%s' % (a, b) gives the tuple's strings no say, so it is done here

    def __init__(self):
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, loopcontrols], finalize=text_of
        )
        self.filters = {name: _tracked(function) for name, function in self.filters.items()} | {
            "tojson": _tojson,
            "join": _join,
            "replace": _replace,
            "indent": _indent,
            "title": lambda value: recased(do_title(value), value),
            "format": lambda value, *args, **kwargs: percent(str(value), kwargs or args),
            "string": text_of,
        }
        self.globals |= {
            "raise_exception": _raise_exception,
            "strftime_now": lambda form: datetime.now().strftime(form),
            "dict": _Dict(),
            "namespace": _SafeNamespace,
        }
        self.binop_table["%"] = lambda left, right: percent(left, right) if isinstance(left, str) else left % right

    def getattr(self, obj: Any, attribute: str) -> Any:
        # A literal's methods ('\n'.join(parts), '…'.format(x)) must give traced text too.
        return super().getattr(traced(obj) if type(obj) is str else obj, attribute)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        if super().wrap_str_format(value) is None:
            return None
        form, mapping_call = value.__self__, value.__name__ == "format_map"

        def format_with_origins(*args, **kwargs):
            if mapping_call:
                return brace_format(form, SandboxedFormatter(self), (), args[0])
            return brace_format(form, SandboxedFormatter(self), args, kwargs)

        return format_with_origins


def _tracked(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter of Jinja's whose plain text result carries on the origins of what went in."""

    @functools.wraps(function)  # also copies the mark that tells Jinja to pass the context
    def tracked(*args, **kwargs):
        result = function(*args, **kwargs)
        if not isinstance(result, str) or type(result) is Traced:
            return result
        kept = smear(result, *args, *kwargs.values())
        # `safe` and `escape` give Markup, which escapes what is added to it: it stays so where there are no origins.
        return kept if type(kept) is Traced else result

    return tracked


def _raise_exception(message: str):
    raise TemplateError(message)


def _tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False) -> str:
    text = dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
    return smear(text, value)


@pass_eval_context
def _join(eval_ctx: nodes.EvalContext, value, d="", attribute=None) -> str:
    if attribute is not None:
        value = map(make_attrgetter(eval_ctx.environment, attribute), value)
    return traced(str(d)).join(map(text_of, value))


def _replace(s, old, new, count=None) -> str:
    return traced(text_of(s)).replace(str(old), text_of(new), -1 if count is None else count)


def _indent(s, width=4, first=False, blank=False) -> str:
    margin = width if isinstance(width, str) else " " * width
    # Jinja appends a newline before it splits, so that a final one survives; every line end becomes "\n".
    pieces: list[str] = [margin] if first else []
    newline = ""
    for index, line in enumerate((traced(s) + "\n").splitlines(keepends=True)):
        [bare] = line.splitlines()
        if index:
            pieces += [newline, margin if bare or blank else ""]
        pieces.append(bare)
        newline = Traced("\n", trace_of(line)[len(bare)])
    return concat(pieces)
