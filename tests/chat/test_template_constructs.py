"""The constructs of published templates: transformers' text, and the exact origin of every character.

Those that `test_traced.py` has are not repeated. In the traces ``u`` is text of message 0, ``a`` of message 1 and ``.``
the template's own.
"""

# ruff: noqa: E501 (one case a line)

import re
from datetime import datetime

import pytest
from jinja2 import TemplateError
from transformers.utils.chat_template_utils import render_jinja_template

from strop.chat import parse_conversation
from strop.chat.origin import code
from strop.chat.template import ChatTemplate, TemplateFailure
from strop.chat.traced import relabel, trace_of
from strop.common.errors import InputError

USER, ANSWER = code(0, "content"), code(1, "content")
LEGEND = {USER: "u", ANSWER: "a", "\0": "."}
PLAIN = {
    "x": "Xx",
    "y": "Yy",
    "s": "  Aa bb\nCc  ",
    "call": {"name": "Ff", "args": {"é": 'q"', "n": 1.5, "on": True, "no": None, "deep": [{"k": "Zz"}]}},
    "turns": [{"role": "user", "t": "Xx"}, {"role": "assistant", "t": "Yy", "extra": 1}],
}
# Roles are the template's, as they are in conversations.
TRACED = {
    **{name: relabel(PLAIN[name], USER) for name in ("x", "s")},
    **{name: relabel(PLAIN[name], ANSWER) for name in ("y", "call")},
    "turns": [
        {"role": "user", "t": relabel("Xx", USER)},
        {"role": "assistant", "t": relabel("Yy", ANSWER), "extra": 1},
    ],
}


def library(source: str, **variables) -> str:
    rendered, _ = render_jinja_template([[{"role": "user", "content": ""}]], chat_template=source, **variables)
    return rendered[0]


CONSTRUCTS = [
    # joining
    ("{{ x ~ y ~ 1.0 ~ true ~ none }}", "XxYy1.0TrueNone", "uuaa..........."),
    ("{{ ('<' + x) + ('>' ~ (y + '!')) }}", "<Xx>Yy!", ".uu.aa."),
    ("{% set t = '' %}{% set t = t + x %}{% set t = t + y %}{{ t }}", "XxYy", "uuaa"),
    ("{{ '%s: %-4s|%05.1f|%d' % (x, y, 2.25, 7) }}", "Xx: Yy  |002.2|7", "uu..aaaa........"),
    ("{{ '%(b)s%(a)s' % {'a': x, 'b': y} }}", "YyXx", "aauu"),
    ("{{ '-' * 3 + x * 2 }}", "---XxXx", "...uuuu"),
    ("{{ (x, y)|join(' & ') }}{{ []|join(x) }}", "Xx & Yy", "uu...aa"),
    # pieces
    ("{{ s[2:4] }}{{ s[-4:-2] }}{{ x[::-1] }}{{ y[0] }}{{ y[:1] }}", "AaCcxXYY", "uuuuuuaa"),
    ("{{ s.strip() }}|{{ s.lstrip()[:2] }}|{{ s.rstrip()[-2:] }}", "Aa bb\nCc|Aa|Cc", "uuuuuuuu.uu.uu"),
    ("{{ x.strip('x') }}{{ y.lstrip('Y') }}{{ y.rstrip('y') }}", "XyY", "uaa"),
    ("{{ ('<t>' + x + '</t>' + y).split('</t>')[-1] }}", "Yy", "aa"),
    ("{{ ('<t>' + x + '</t>' + y).split('</t>')[0].split('<t>')[-1] }}", "Xx", "uu"),
    ("{{ s.split()|join('+') }}", "Aa+bb+Cc", "uu.uu.uu"),
    ("{{ (x ~ ',' ~ y ~ ',' ~ x).split(',', 1)[1] }}", "Yy,Xx", "aa.uu"),
    ("{{ (x ~ ',' ~ y ~ ',' ~ x).rsplit(',', 1)[0] }}", "Xx,Yy", "uu.aa"),
    ("{{ s.strip().splitlines()[1] }}{{ (x ~ '\n' ~ y).splitlines(true)[0] }}", "CcXx\n", "uuuu."),
    ("{{ (x ~ '=' ~ y).partition('=')[2] }}{{ (x ~ '=' ~ y).rpartition('=')[0] }}", "YyXx", "aauu"),
    ("{{ (x ~ y).removeprefix('Xx') }}{{ (x ~ y).removesuffix('Yy') }}", "YyXx", "aauu"),
    ("{{ s|trim }}{{ ('##' ~ x ~ '##')|trim('#') }}", "Aa bb\nCcXx", "uuuuuuuuuu"),
    ("{% for l in s.strip().split('\n') %}{{ loop.index }}{{ l }}{% endfor %}", "1Aa bb2Cc", ".uuuuu.uu"),
    # replaced and changed
    ("{{ (x ~ '|' ~ y).replace('|', '--') }}{{ x.replace('x', '') }}", "Xx--YyX", "uu..aau"),
    ("{{ (x ~ '..' ~ y)|replace('.', '!', 1) }}", "Xx!.Yy", "uu..aa"),
    ("{{ x.upper() }}{{ y.lower() }}{{ x.title() }}{{ y.capitalize() }}{{ x.swapcase() }}", "XXyyXxYyxX", "uuaauuaauu"),
    ("{{ x|upper ~ y|lower ~ (x|capitalize) ~ (y|title) }}", "XXyyXxYy", "uuaauuaa"),
    ("{{ x.center(4) }}{{ y|center(4) }}", " Xx  Yy ", ".uu..aa."),
    ("{{ s.strip()|indent(1) }}", "Aa bb\n Cc", "uuuuuu.uu"),
    ("{{ (x ~ '\r\n\n' ~ y)|indent(2, true) }}{{ (x ~ '\n\n')|indent('>', blank=true) }}", "  Xx\n\n  YyXx\n>\n>", "..uu....aauu...."),
    # asked
    ("{{ y if x.startswith('X') and not x.endswith('!') }}{{ 'in' if 'x' in x }}", "Yyin", "aa.."),
    ("{{ x is string and call is mapping and turns is iterable and z is not defined }}", "True", "...."),
    ("{{ z|default(x) }}{{ none|default(y, true) }}{{ x|default('no') }}", "XxYyXx", "uuaauu"),
    ("{{ x if x == 'Xx' else y }}{{ y if x|length > 5 else x }}", "XxXx", "uuuu"),
    # JSON
    ("{{ call.args.deep[0].k|tojson }}{{ 'é'|tojson(ensure_ascii=true) }}", '"Zz""\\u00e9"', "aaaa........"),
    ("{{ {'é': x}|tojson(ensure_ascii=true, indent=2) }}", '{\n  "\\u00e9": "Xx"\n}', "u" * 20),
    ("{{ {'b': y, 'a': 1}|tojson(sort_keys=true, separators=(',', ':')) }}", '{"a":1,"b":"Yy"}', "a" * 16),
    ("{{ 1.5|tojson }}{{ true|tojson }}{{ none|tojson }}{{ [1, {}]|tojson }}", "1.5truenull[1, {}]", "." * 18),
    # mappings
    (
        "{% for k, v in call.args.items() %}{{ k }}={{ v|tojson if v is not string else v }};{% endfor %}",
        'é=q";n=1.5;on=true;no=null;deep=[{"k": "Zz"}];',
        "a.aa.a.....aa......aa......aaaa.aaaaaaaaaaaaa.",
    ),
    ("{% for k, v in call.args|items if v is string %}{{ k }}{{ v }}{% endfor %}", 'éq"', "aaa"),
    ("{% for k, v in call.args|dictsort if v is number and v is not boolean %}{{ k }}{{ v }}{% endfor %}", "n1.5", "a..."),
    ("{{ call['name'] }}{{ call.get('name') }}{{ call.get('no', x) }}{{ call.args.keys()|first }}", "FfFfXxé", "aaaauua"),
    # sequences
    ("{{ turns|map(attribute='t')|join(',') }}", "Xx,Yy", "uu.aa"),
    ("{{ turns|map(attribute='t')|map('upper')|list|last }}", "YY", "aa"),
    ("{{ (turns|selectattr('role', 'equalto', 'user')|first).t }}", "Xx", "uu"),
    ("{{ (turns|rejectattr('role', '==', 'user')|list)[0].t }}{{ (turns|selectattr('extra', 'defined')|list)[0].t }}", "YyYy", "aaaa"),
    ("{{ [x, '', y]|select|join }}{{ [x, '', y]|reject('equalto', '')|join('/') }}", "XxYyXx/Yy", "uuaauu.aa"),
    ("{{ [y, x]|sort|join }}{{ [x, x, y]|unique|join }}{{ [x, y]|reverse|join }}", "XxYyXxYyYyXx", "uuaauuaaaauu"),
    ("{{ turns[1:][0].t }}{{ turns[-1]['t'] }}{{ turns|length }}", "YyYy2", "aaaa."),
    ("{% for m in turns[::-1] %}{{ m.t }}{{ '' if loop.last else ',' }}{% endfor %}", "Yy,Xx", "aa.uu"),
    ("{{ x|list|join('.') }}{{ y|list|reverse|join }}", "X.xyY", "u.uaa"),
    ("{% for a, b in [(x, y), (y, x)] %}{{ a ~ b }}{% else %}no{% endfor %}", "XxYyYyXx", "uuaaaauu"),
    # state
    ("{% set n = namespace(seen=[], t='') %}{% for m in turns %}{% set n.seen = n.seen + [m.t] %}{% endfor %}{{ n.seen|join }}", "XxYy", "uuaa"),
    ("{% set n = namespace(dict(a=x)) %}{{ n.a }}{% set n.a = y %}{{ n.a }}", "XxYy", "uuaa"),
    ("{% set a, b = y, x %}{{ a }}{{ b }}{% with c = a %}{{ c }}{% endwith %}", "YyXxYy", "aauuaa"),
    ("{% set b %}{{ x }}-{% endset %}{{ b.strip('-') ~ b|trim('-') }}", "XxXx", "uuuu"),
    # macros
    ("{% macro f(a, b='!', c=none) %}{{ a }}{{ b }}{{ c or '' }}{% endmacro %}{{ f(x) }}{{ f(b=y, a=x, c=y) }}", "Xx!XxYyYy", "uu.uuaaaa"),
    ("{% macro f(a) %}{{ a }}{{ varargs|join }}{{ kwargs.k }}{% endmacro %}{{ f(x, y, k=x) }}", "XxYyXx", "uuaauu"),
    ("{% macro f() %}<{{ caller(x) }}>{% endmacro %}{% call(v) f() %}{{ v }}{{ y }}{% endcall %}", "<XxYy>", ".uuaa."),
    ("{% macro f(v) %}{% for i in v %}{% if i is string %}{{ i }}{% else %}({{ f(i) }}){% endif %}{% endfor %}{% endmacro %}{{ f([x, [y, [x]]]) }}", "Xx(Yy(Xx))", "uu.aa.uu.."),
    # loops and tags
    ("{% for m in turns if m.role != 'system' %}{% if loop.first %}{% continue %}{% endif %}{{ m.t }}{% break %}{% endfor %}", "Yy", "aa"),
    ("{% for m in turns %}{{ loop.previtem.t if loop.previtem }}{{ loop.nextitem.t if loop.nextitem }}{% endfor %}", "YyXx", "aauu"),
    ("{% generation %}{{ y }}{% if true %}{{ '|' }}{% endif %}{% endgeneration %}{{ x }}", "Yy|Xx", "aa.uu"),
    ("{%- if x -%}  {{- x -}}  {%- endif -%}{# nothing #}{% raw %}{{ x }}{% endraw %}", "Xx{{ x }}", "uu......."),
    ("a\n  {% if x %}\n{{ x }}\n  {% endif %}\nb", "a\nXx\nb", "..uu.."),
    ("{% filter upper|replace('Y', 'Z') %}{{ y }}{{ x }}{% endfilter %}", "ZZXX", "..uu"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "text", "trace"), CONSTRUCTS)
def test_text_is_the_library_s_and_origins_are_exact(source, text, trace):
    rendered = ChatTemplate(source).render(TRACED)
    assert rendered == library(source, **PLAIN) == text
    assert "".join(LEGEND[origin] for origin in trace_of(rendered)) == trace


def conversation(row):
    return {"conversation" if name == "messages" else name: value for name, value in row.items()}


def test_variables_that_are_nobody_s_message(make_tokenizer, make_encoder):
    source = (
        "{{ bos_token }}{% if documents %}{% for d in documents %}[{{ d.title }}]{% endfor %}{% endif %}"
        "{% if tools %}{{ tools|tojson(indent=1) }}{% endif %}{{ strftime_now('%Y') }}{{ 'on' if enable_thinking }}"
        "{% for m in messages %}{{ '<|im_start|>' ~ m.role ~ ':' ~ m.content ~ '<|im_end|>' }}{% endfor %}"
        "{{ '<|im_start|>assistant:' if add_generation_prompt }}"
    )
    row = {
        "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}],
        "tools": [{"type": "function", "function": {"name": "add", "description": "sums up"}}],
        "documents": [{"title": "T1"}],
    }
    kwargs = {"enable_thinking": True}
    encoder = make_encoder(source, template_kwargs=kwargs)
    [found] = encoder.inspect(parse_conversation(row, "x"))
    year = f"{datetime.now():%Y}"
    assert re.match(re.escape('<s>[T1][\n {\n  "type"'), found.text)
    assert f"]{year}on<|im_start|>user:hi<|im_end|>" in found.text
    expected = make_tokenizer(source).apply_chat_template(**conversation(row), tokenize=False, **kwargs)
    assert found.text == expected
    assert [(s.role, s.field) for s in found.segments if s.text == "T1"] == [("documents", "documents")]
    for_all = make_encoder(source, template_kwargs={**kwargs, "documents": [{"title": "T2"}]})
    assert for_all.inspect(parse_conversation(row, "x"))[0].text == found.text.replace("T1", "T2")
    assert parse_conversation({**row, "documents": ["a.pdf"]}, "x").documents == ()  # a column of somebody's own
    assert [(s.role, s.field) for s in found.segments if "sums up" in s.text] == [("tools", "tools")]
    assert "".join(s.text for s in found.segments if s.trained) == "yes<|im_end|>"


def test_raise_exception_is_the_templates_own_message():
    with pytest.raises(TemplateFailure, match=r"^Roles must alternate!$"):
        ChatTemplate("{{ raise_exception('Roles must ' ~ 'alternate!') }}").render({})


@pytest.mark.parametrize("source", ["{{ x.nope.further }}", "{{ x + 1 }}", "{{ none + x }}", "{{ turns.t[0].a.b }}"])
def test_what_trips_the_library_trips_strop(source):
    with pytest.raises((TemplateError, TypeError)):
        library(source, **PLAIN)
    with pytest.raises(TemplateFailure) as ours:
        ChatTemplate(source).render(TRACED)
    assert "Traced" not in str(ours.value)


# -- templates that lose track: the proof must say so

ANSWER_TEXT = "a longer answer that is not in any template"


@pytest.mark.parametrize(
    ("printed", "check"),
    [
        ("m.content.encode().decode()", "lost_origin"),
        ("m.content.encode('utf-16').decode('utf-16')", "lost_origin"),
        ("m.content|length", "empty_turn"),
        ("m.content|list|map('length')|join", "empty_turn"),
        ("{'a': '1', ' ': '_'}.get(m.content[0], '?')", "empty_turn"),
        ("m.content.encode().hex()", "empty_turn"),
        ("m.content == 'x'", "empty_turn"),
    ],
)
@pytest.mark.parametrize("content", [ANSWER_TEXT, "short"])
def test_a_template_that_loses_track_is_found_out(make_encoder, printed, check, content):
    template = (
        "{% for m in messages %}{{ '<|im_start|>' ~ m.role ~ '\n' }}"
        "{% if m.role == 'assistant' %}{{ " + printed + " }}{% else %}{{ m.content }}{% endif %}{{ '<|im_end|>\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    row = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": content}]}
    [found] = make_encoder(template).inspect(parse_conversation(row, "x"))
    kinds = {warning.kind for warning in found.warnings}
    assert {"empty_turn", *([check] if content == ANSWER_TEXT else [])} <= kinds
    assert not any(found.example.loss_weights)
    with pytest.raises(InputError):
        make_encoder(template).encode(parse_conversation(row, "x"))


def test_a_prompt_that_loses_track_is_found_out(make_encoder):
    # The user's text, untracked, inside the assistant's turn: as the template's own it would be trained.
    template = (
        "{% for m in messages %}{% if m.role == 'assistant' %}"
        "{{ '<|im_start|>assistant\n(' ~ messages[loop.index0 - 1].content.encode().decode() ~ ') ' ~ m.content ~ '<|im_end|>' }}"
        "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )  # fmt: skip
    row = {
        "messages": [{"role": "user", "content": "a question of some length"}, {"role": "assistant", "content": "yes"}]
    }
    with pytest.raises(InputError, match="loses track of it"):
        make_encoder(template).encode(parse_conversation(row, "x"))
