"""Every operation gives the text that `str` gives, and each character keeps its origin."""

import json
import pickle

import pytest

from strop.chat.origin import MIXED, code, decode, runs
from strop.chat.template import ChatTemplate
from strop.chat.traced import Traced, concat, percent, plain, smear, trace_of

TEXT, TRACE = "  aB cß\nd  ", "aaabbbccddd"


@pytest.fixture
def traced() -> Traced:
    return Traced(TEXT, TRACE)


@pytest.mark.parametrize(
    ("operation", "trace"),
    [
        (lambda s: s[3:7], "bbbc"),
        (lambda s: s[::-1], "dddccbbbaaa"),
        (lambda s: s[-1], "d"),
        (lambda s: s.strip(), "abbbccd"),
        (lambda s: s.lstrip(), "abbbccddd"),
        (lambda s: s.rstrip(" d"), "aaabbbcc"),
        (lambda s: s + "x", TRACE + "\0"),
        (lambda s: "x" + s, "\0" + TRACE),
        (lambda s: s * 2, TRACE * 2),
        (lambda s: s.lower(), TRACE),
        (lambda s: s.title(), TRACE),
        (lambda s: s.replace("B", "xy"), "aaa\0\0bbccddd"),
        (lambda s: s.removeprefix("  "), TRACE[2:]),
        (lambda s: s.removesuffix(" "), TRACE[:-1]),
        (lambda s: s.center(15), "\0\0" + TRACE + "\0\0"),
        (lambda s: s.ljust(13), TRACE + "\0\0"),
        (lambda s: s.rjust(13, "."), "\0\0" + TRACE),
        (lambda s: s[:0].join(list(s)), TRACE),
        (lambda s: str(s), TRACE),
    ],
)
def test_text_as_str_does_and_origin_of_each_character(traced, operation, trace):
    assert operation(traced) == operation(TEXT)
    assert trace_of(operation(traced)) == trace


@pytest.mark.parametrize(
    "operation",
    [
        lambda s: s.split(),
        lambda s: s.split(" "),
        lambda s: s.split(" ", 1),
        lambda s: s.rsplit(None, 1),
        lambda s: s.rsplit(" ", 2),
        lambda s: s.splitlines(),
        lambda s: s.splitlines(True),
        lambda s: list(s.partition("c")),
        lambda s: list(s.rpartition(" ")),
        lambda s: list(s.partition("absent")),
        lambda s: list(s.rpartition("absent")),
    ],
)
def test_pieces_are_cut_out_of_text_and_trace_alike(operation):
    # With the text as its own trace, a piece's trace must be the piece.
    pieces = operation(Traced(TEXT, TEXT))
    assert pieces == operation(TEXT)
    assert [trace_of(piece) for piece in pieces] == [plain(piece) for piece in pieces]


def test_where_single_characters_cannot_be_told_all_get_the_blend():
    one, other = code(0, "content"), code(1, "content")
    assert trace_of(Traced("ß", one).upper()) == one * 2
    assert trace_of(Traced("a\tb", one + "\0" + one).expandtabs(4)) == one * 5
    assert trace_of(smear("xyz", Traced("a", one), Traced("b", other))) == MIXED * 3
    assert decode(trace_of(smear("xyz", Traced("a", one), {"k": [Traced("b", code(0, "name"))]}))[0]) == (0, "several")
    assert trace_of(smear("xyz", "a", 3)) == "\0\0\0"


def test_percent_and_concat():
    a, b = Traced("A", "a"), Traced("B", "b")
    assert trace_of(percent("%s-%s%%", (a, b))) == "a\0b\0"
    assert trace_of(percent("%(x)s|%(x)3s", {"x": a})) == "a\0aaa"
    assert trace_of("<%s>" % a) == "\0a\0"  # noqa: UP031
    assert concat(["x", "y"]) == "xy"
    assert trace_of(concat(["x", a, "y", b])) == "\0a\0b"


def test_is_a_string_to_everybody_else(traced):
    assert {traced: 1}[TEXT] == 1
    assert json.loads(json.dumps({"k": traced})) == {"k": TEXT}
    assert type(plain(traced)) is str
    assert trace_of(pickle.loads(pickle.dumps(traced))) == TRACE
    with pytest.raises(ValueError, match="a trace of 1"):
        Traced("ab", "a")


def test_runs_cover_the_trace():
    trace = "\0\0" + code(0, "content") * 3 + code(-1, "tools") + MIXED
    assert [tuple(run) for run in runs(trace)] == [
        (0, 2, None, "template"),
        (2, 5, 0, "content"),
        (5, 6, -1, "tools"),
        (6, 7, -2, "mixed"),
    ]


@pytest.mark.parametrize(
    ("source", "text", "trace"),
    [
        ("{{ 'p' + x + 'q' }}", "pXxq", ".uu."),
        ("{{ 'p' ~ x ~ 1 ~ y }}", "pXx1Yy", ".uu.aa"),
        ("{{ '%s/%s' % (x, y) }}", "Xx/Yy", "uu.aa"),
        ("{{ '%s/%s'|format(x, y) }}", "Xx/Yy", "uu.aa"),
        ("{{ '{}/{b}'.format(x, b=y) }}", "Xx/Yy", "uu.aa"),
        ("{{ '{0}{0}'.format(x) }}", "XxXx", "uuuu"),
        ("{{ '{a}'.format_map({'a': x}) }}", "Xx", "uu"),
        ("{{ ', '.join([x, y]) }}", "Xx, Yy", "uu..aa"),
        ("{{ [x, y]|join('-') }}", "Xx-Yy", "uu.aa"),
        ("{{ [{'k': x}, {'k': y}]|join('', attribute='k') }}", "XxYy", "uuaa"),
        ("{{ 'a.b'.replace('.', x) }}", "aXxb", ".uu."),
        ("{{ x|replace('x', y) }}", "XYy", "uaa"),
        ("{{ (' ' + x + ' ')|trim }}", "Xx", "uu"),
        ("{{ x|upper }}{{ y|lower }}{{ x|title }}{{ y|capitalize }}", "XXyyXxYy", "uuaauuaa"),
        ("{{ (x ~ '\n' ~ y)|indent(2) }}", "Xx\n  Yy", "uu...aa"),
        ("{{ (x ~ '\n' ~ y)|indent(1, true) }}", " Xx\n Yy", ".uu..aa"),
        ("{{ x|tojson }}", '"Xx"', "uuuu"),
        ("{{ {'k': x}|tojson(indent=1) }}", '{\n "k": "Xx"\n}', "u" * 14),
        ("{{ [x] }}", "['Xx']", "uuuuuu"),
        ("{{ [x]|first }}{{ [x, y]|last }}{{ x|string }}", "XxYyXx", "uuaauu"),
        ("{{ [x, y]|map('upper')|join }}", "XXYY", "uuaa"),
        ("{{ x|reverse }}{{ x[0] }}{{ x[1:] }}", "xXXx", "uuuu"),
        ("{% for c in x %}{{ c }},{% endfor %}", "X,x,", "u.u."),
        ("{% macro f(z) %}<{{ z }}>{% endmacro %}{{ f(x) }}{{ f(y)|trim }}", "<Xx><Yy>", ".uu..aa."),
        ("{% set b %}<{{ x }}>{% endset %}{{ b }}{{ b|length }}", "<Xx>4", ".uu.."),
        ("{% set b | upper %}{{ y }}!{% endset %}{{ b }}", "YY!", "aa."),
        ("{% filter upper %}{{ x }}{% endfilter %}", "XX", "uu"),
        (
            "{% set n = namespace(t='') %}{% for s in [x, y] %}{% set n.t = n.t + s %}{% endfor %}{{ n.t }}",
            "XxYy",
            "uuaa",
        ),
        (
            "{% for s in [x, y, x] %}{% if loop.index0 % 2 %}{% continue %}{% endif %}{{ s }}{% endfor %}",
            "XxXx",
            "uuuu",
        ),
        ("{% for s in [x, y] %}{{ s }}{% break %}{% endfor %}", "Xx", "uu"),
        ("{% for s in [[x], y] recursive %}{{ loop(s) if s is not string else s }}{% endfor %}", "XxYy", "uuaa"),
        ("{% generation %}{{ x }}.{% endgeneration %}", "Xx.", "uu."),
        ("{% macro f() %}({{ caller() }}){% endmacro %}{% call f() %}{{ x }}!{% endcall %}", "(Xx!)", ".uu.."),
        ("{{ x|safe }}{{ x|e }}{{ (x ~ '<')|escape }}", "XxXxXx&lt;", "uuuu" + "u" * 6),
        ("{{ (x + 'abc defg')|wordwrap(4) }}", "Xxab\nc\ndefg", "u" * 11),
        ("{{ x ~ ('' if y else 'n') ~ (x == 'Xx') ~ none }}", "XxTrueNone", "uu........"),
    ],
)
def test_templates_keep_origins(source, text, trace):
    variables = {"x": Traced("Xx", code(0, "content") * 2), "y": Traced("Yy", code(1, "content") * 2)}
    rendered = ChatTemplate(source).render(variables)
    legend = {code(0, "content"): "u", code(1, "content"): "a", "\0": "."}
    assert rendered == text
    assert "".join(legend[origin] for origin in trace_of(rendered)) == trace
