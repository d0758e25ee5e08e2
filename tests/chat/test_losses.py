"""What a template does not print is said: every message, field and side input, whole or in part; and nothing else."""

import json
import re
from pathlib import Path

import published
import pytest

from strop.chat import ChatEncoder, ChatSettings, MaskReport, fit_tokenizer, parse_conversation
from strop.chat.losses import DROPPED
from strop.common.errors import InputError


def call(name: str = "add", number: int = 1, **arguments) -> dict:
    function = {"name": name, "arguments": arguments}
    return {"id": f"call_{number}00", "type": "function", "function": function}


SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "number", "maximum": 70}, "type": {"type": "string", "enum": ["whole", "real"]}},
    "required": ["a"],
}
TOOLS = [{"type": "function", "function": {"name": "add", "description": "Adds up.", "parameters": SCHEMA}}]
HEAD = "{{ '<|im_start|>' ~ m.role ~ '\n' }}"
TURN = "{% for m in messages %}" + HEAD + "BODY{{ '<|im_end|>\n' }}{% endfor %}"
PROMPT = "{{ '<|im_start|>assistant\n' if add_generation_prompt }}"


def template(body: str = "{{ m.content }}", before: str = "") -> str:
    return before + TURN.replace("BODY", body) + PROMPT


@pytest.fixture
def dropped(make_encoder):
    """``[(kind, message, what)]`` of what a template drops of a row."""

    def run(own: str, messages: list[dict], settings=None, **beside) -> list[tuple[str, int | None, str]]:
        encoder = make_encoder(own, **(settings or {}))
        found = encoder.inspect(parse_conversation({"messages": messages, **beside}, "f:1"))
        losses = [warning for one in found for warning in one.warnings if warning.kind.startswith("dropped_")]
        assert encoder.report.dropped_fields.total() == len(losses)
        for warning in losses:
            assert warning.detail.startswith("the template does not print ")
            assert warning.mend == DROPPED[warning.kind][1]
        said = [warning.detail.removeprefix("the template does not print ") for warning in losses]
        return [(w.kind, w.message, what) for w, what in zip(losses, said, strict=True)]

    return run


QUESTION = {"role": "user", "content": "What is 1 and 2?"}
ANSWER = {"role": "assistant", "content": "It is 3."}


@pytest.mark.parametrize(
    "body",
    [
        "{{ m.content }}",
        "{{ m.content | trim }}",
        "{{ m.content | upper }}",
        "{{ m.content | title }}",
        "{{ m.content | tojson }}",
        "{{ m.content | tojson | tojson }}",
        "{{ m.content | tojson(ensure_ascii=true) }}",
        "{{ [m.content] }}",
        "{{ m.content | e }}",
        "{{ m.content | indent(4) }}",
        "{{ m.content | wordwrap(9) }}",
        "{{ m.content | replace('\n', ' ') }}",
        "{{ m.content.split() | join(' ') }}",
        "{{ m.content ~ '|' ~ m.content }}",
        "{% for line in m.content.split('\n') %}{{ '> ' ~ line.strip() ~ '\n' }}{% endfor %}",
        "{{ {'role': m.role, 'content': m.content} | tojson }}",
        "{{ m | tojson }}",
    ],
)
@pytest.mark.parametrize(
    "text", ["one two", '  Ärger "q" <b>\n\tzwei — drei\\n 漢字 🙂\n', "🙂", "a", "<think>x</think>y", "&lt;"]
)
def test_what_is_only_written_differently_is_printed(dropped, body, text):
    assert (
        dropped(template(body), [{"role": "user", "content": text}, {"role": "assistant", "content": "x" + text}]) == []
    )


@pytest.mark.parametrize(
    ("body", "missing"),
    [
        ("{{ m.content[:4] }}", "is 1 and 2?"),
        ("{{ m.content.split(' and ')[-1] }}", "What is 1 and"),
        ("{{ m.content.split(' and ') | join(', ') }}", "and"),
        ("{{ m.content.rstrip('?') }}", "?"),
        ("{{ m.content.replace('is', '') }}", "is"),
        ("{{ m.content[:4] | upper }}", "hat is 1 and 2?"),  # as far as the case lets it be told
        ("{{ m.content | truncate(9, true) }}", "s 1 and 2?"),
    ],
)
def test_printed_in_part_is_not_printed(dropped, body, missing):
    own = template("{% if m.role == 'user' %}" + body + "{% else %}{{ m.content }}{% endif %}")
    what = f"all of the content of this user message: missing is {missing!r}"
    assert dropped(own, [QUESTION, ANSWER]) == [("dropped_content", 0, what)]


@pytest.mark.parametrize(
    ("role", "kind", "what"),
    [
        ("system", "dropped_system", "the content of this system message"),
        ("developer", "dropped_system", "the content of this developer message"),
        ("user", "dropped_content", "the content of this user message"),
        ("tool", "dropped_tool_result", "the content of this tool message"),
    ],
)
def test_a_message_that_is_left_out(dropped, role, kind, what):
    own = template("{{ m.content if m.content != 'lost' }}")
    assert dropped(own, [QUESTION, {"role": role, "content": "lost"}, ANSWER]) == [(kind, 1, what)]
    assert dropped(own, [QUESTION, {"role": role, "content": " \n"}, ANSWER]) == []  # nothing is lost of nothing


def test_an_untrained_answer_that_is_left_out(dropped):
    own = template("{{ m.content if m.content != 'lost' }}")
    lost = {"role": "assistant", "content": "lost", "train": False}
    assert dropped(own, [QUESTION, lost, QUESTION, ANSWER]) == [
        ("dropped_content", 1, "the content of this assistant message")
    ]


THINKS = "{{ '<think>' ~ m.reasoning_content ~ '</think>' if m.reasoning_content and loop.last }}{{ m.content }}"
STRIPS = (
    "{% if '</think>' in m.content and loop.last %}"
    "{{ '<think>\n' ~ m.content.split('</think>')[0].split('<think>')[-1].strip() }}"
    "{{ '\n</think>\n\n' ~ m.content.split('</think>')[-1].lstrip() }}"
    "{% else %}{{ m.content.split('</think>')[-1].lstrip() }}{% endif %}"
)


def test_reasoning_of_trained_and_untrained_turns(dropped):
    thought = {**ANSWER, "reasoning_content": "one and two"}
    messages = [QUESTION, {**thought, "train": False}, QUESTION, thought, QUESTION, thought]
    lost = [("dropped_reasoning", turn, "the reasoning_content") for turn in (1, 3)]
    assert dropped(template(THINKS), messages) == lost
    # An example for each trained turn: that of message 3 is printed in its own, that of message 1 in none.
    assert dropped(template(THINKS), messages, {"drift": "split"}) == lost[:1]
    assert dropped(template("{{ m.reasoning_content[:3] if m.reasoning_content }}{{ m.content }}"), messages[-2:]) == [
        ("dropped_reasoning", 1, "all of the reasoning_content: missing is 'and two'")
    ]


def test_thoughts_inside_content_that_a_template_strips(dropped):
    thought = {"role": "assistant", "content": "<think>\nadd them\n</think>\n\n3"}
    assert dropped(template(STRIPS), [QUESTION, thought]) == []  # its marks are the template's there
    missing = "all of the content of this assistant message: missing is '<think>\\nadd them\\n</think>'"
    assert dropped(template(STRIPS), [QUESTION, thought, QUESTION, thought]) == [("dropped_reasoning", 1, missing)]


CALLS = (
    "{{ m.content or '' }}{% for c in m.tool_calls or [] %}"
    "{{ '<tool_call>' ~ c.function.name ~ ' ' ~ ARGUMENTS ~ '</tool_call>' }}{% endfor %}"
)
JSON_CALLS = CALLS.replace("ARGUMENTS", "c.function.arguments | tojson")
FIRST_CALL = JSON_CALLS.replace("m.tool_calls or []", "(m.tool_calls or [])[:1]")


def calling(*calls: dict) -> list[dict]:
    return [QUESTION, {"role": "assistant", "content": "Look.", "tool_calls": list(calls)}]


@pytest.mark.parametrize(
    "body",
    [
        JSON_CALLS,
        CALLS.replace("ARGUMENTS", "c.function.arguments"),
        CALLS.replace("ARGUMENTS", "(c.function.arguments | tojson) | tojson"),
        CALLS.replace("ARGUMENTS", "c.function.arguments | tojson(sort_keys=true, indent=2)"),
        "{{ m | tojson }}",
        # Key by key, numbers without an origin.
        CALLS.replace(
            "{{ '<tool_call>' ~ c.function.name ~ ' ' ~ ARGUMENTS ~ '</tool_call>' }}",
            "{{ c.function.name }}:{% for k, v in c.function.arguments.items() %}{{ k }}={{ v }};{% endfor %}",
        ),
    ],
)
def test_calls_that_are_printed(dropped, body):
    one = call(a=1, b=2.5, text='say "hi"\n漢字', deep={"x": [True, None, "y"]})
    assert dropped(template(body), calling(one, call(number=2, a=2), call(number=3, a=2))) == []


@pytest.mark.parametrize(
    ("body", "lost"),
    [
        ("{{ m.content }}", ["the tool call 'add'", "the tool call 'add' (number 2 of this turn)"]),
        (
            FIRST_CALL,
            ["the tool call 'add' (number 2 of this turn)"],
        ),
        (
            CALLS.replace("ARGUMENTS", "''"),
            [
                "all of the tool call 'add': missing is a ('a')",
                "all of the tool call 'add' (number 2 of this turn): missing is a ('a')",
            ],
        ),
        (
            CALLS.replace("ARGUMENTS", "c.function.arguments.items() | selectattr(1) | list | tojson"),
            ["all of the tool call 'add': missing is unit ('unit')"],
        ),
    ],
)
def test_calls_that_are_lost(dropped, body, lost):
    messages = calling(call(a=1, unit=None), call(number=2, a=2))
    assert dropped(template(body), messages) == [("dropped_tool_call", 1, what) for what in lost]


def test_a_call_like_the_one_before_it_counts_too(dropped):
    same = calling(call(a=1), call(number=2, a=1))
    lost = ("dropped_tool_call", 1, "the tool call 'add' (number 2 of this turn)")
    assert dropped(template(FIRST_CALL), same) == [lost]
    # The header of a result repeats the name of a call, and is not the call.
    echo = (
        "{% if m.role == 'assistant' %}" + FIRST_CALL + "{% else %}{{ m.content }}{% endif %}"
        "{{ messages[1].tool_calls[0].function.name if m.role == 'tool' }}"
    )
    result = {"role": "tool", "content": "3"}
    [found] = dropped(template(echo), [*same, result, result, ANSWER])
    assert found == lost


def test_calls_after_a_late_system_message_that_a_template_puts_first(dropped):
    # As DeepSeek's template does: all system messages are printed before the conversation.
    first = "{% for m in messages if m.role == 'system' %}{{ m.content }}{% endfor %}"
    own = template("{% if m.role != 'system' %}" + JSON_CALLS + "{% endif %}", first)
    as_text = {"type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    messages = [*calling(call(a=1), as_text), {"role": "system", "content": "Be brief."}, QUESTION, ANSWER]
    assert dropped(own, messages) == []


def test_the_mend_for_a_lost_call_is_a_template_with_tools(make_encoder, make_tokenizer):
    row = parse_conversation(
        {"messages": [*calling(call(a=1)), {"role": "tool", "content": "3"}, ANSWER], "tools": TOOLS}, "f:1"
    )
    [found] = make_encoder(template()).inspect(row)
    assert [(w.kind, w.message) for w in found.warnings] == [("dropped_tools", None), ("dropped_tool_call", 1)]
    for warning in found.warnings:
        assert warning.mend == "use a template with tools (chat.template: chatml works)"
    tokenizer = make_tokenizer(template())
    fit_tokenizer(tokenizer, "chatml")
    [mended] = ChatEncoder(tokenizer, ChatSettings(template="chatml")).inspect(row)
    assert mended.warnings == []


def named(name: str, role: str = "user") -> list[dict]:
    return [{"role": role, "content": "hi", "name": name}, ANSWER]


def test_names(dropped):
    assert dropped(template(), named("Ann")) == [("dropped_name", 0, "the name 'Ann' of this user message")]
    assert dropped(template("{{ m.name ~ ': ' if m.name }}{{ m.content }}"), named("Ann")) == []
    assert dropped(template(), named("user")) == []
    result = {"role": "tool", "content": "3", "name": "add"}
    calls = template(JSON_CALLS)
    assert dropped(calls, [*calling(call(a=1)), result, ANSWER]) == []  # the call says what it is the result of
    assert dropped(calls, [*calling(call(a=1)), {**result, "name": "mul"}, ANSWER]) == [
        ("dropped_name", 2, "the name 'mul' of this tool message")
    ]


TOOL = "{% for t in tools or [] %}{{ '<|im_start|>system\n' ~ TEXT ~ '<|im_end|>\n' }}{% endfor %}"
BRIEF = "t.function.name ~ ': ' ~ t.function.description ~ ' ' ~ (t.function.parameters.properties | join(' ')) ~ ' '"


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("t | tojson", None),
        ("t", None),
        ("t | tojson(sort_keys=true, indent=1)", None),
        ("t.function | tojson | upper", None),
        ("'none'", "the tools"),
        ("t.function.name", "function.description of number 1 ('Adds up.')"),
        ("t.function.name ~ ' ' ~ t.function.description[:4]", "function.description of number 1 ('Adds up.')"),
        (BRIEF, "function.parameters.properties.a.maximum of number 1 (70)"),
        (BRIEF + " ~ 70", "function.parameters.properties.type.enum[0] of number 1 ('whole')"),
        (BRIEF + " ~ 70 ~ t.function.parameters.properties.type.enum", None),
    ],
)
def test_tools(dropped, text, missing):
    found = dropped(template(before=TOOL.replace("TEXT", text)), [QUESTION, ANSWER], tools=TOOLS)
    what = missing if missing in (None, "the tools") else f"all of the tools: missing is {missing}"
    assert found == ([("dropped_tools", None, what)] if what else [])


def test_documents(dropped):
    documents = [{"title": "One", "text": "Ein Text."}, {"title": "Two", "text": "Kein Text."}]
    assert dropped(template(), [QUESTION, ANSWER], documents=documents) == [
        ("dropped_documents", None, "the documents")
    ]
    before = "{% for d in documents or [] %}{{ d.title }} {{ d.text if loop.first }}{% endfor %}"
    assert dropped(template(before=before), [QUESTION, ANSWER], documents=documents) == [
        ("dropped_documents", None, "all of the documents: missing is text of number 2 ('Kein Text.')")
    ]


def test_parts_of_a_content(dropped):
    given = {"text": "see", "python": "1+1", "python_output": "2"}
    parts = [{"type": kind, "text": text} for kind, text in given.items()]
    prints = "{% for p in m.parts or [] %}{{ p.text if p.type != 'python_output' }}{% endfor %}"
    prints += "{{ m.content if not m.parts }}"
    messages = [QUESTION, {"role": "assistant", "content": parts}]
    assert dropped(template(), messages) == []
    assert dropped(template(prints), messages) == [
        ("dropped_content", 1, "the python_output of this assistant message")
    ]


def test_a_split_conversation_says_what_its_pieces_share_once(make_encoder):
    messages = [{"role": "system", "content": "lost"}, *[{**QUESTION}, {**ANSWER}] * 3]
    encoder = make_encoder(template("{{ m.content if m.content != 'lost' }}"), max_length=60, too_long="split_turns")
    assert len(encoder.encode(parse_conversation({"messages": messages, "tools": TOOLS}, "f:1"))) > 1
    assert encoder.report.dropped_fields == {"dropped_system": 1, "dropped_tools": 1}


# -- the published templates

_WORD = re.compile(r"\w+")
_KINDS = {"system": "dropped_system", "developer": "dropped_system", "tool": "dropped_tool_result"}


def words(value, key="") -> list[str]:
    """The words in a JSON value, the names of parameters and arguments among them."""
    if isinstance(value, str):
        return [] if key in ("type", "id") else _WORD.findall(value)
    if isinstance(value, dict):
        names = [name for name in value if key in ("properties", "arguments")]
        return [*names, *(word for name, item in value.items() if name != "required" for word in words(item, name))]
    return [word for item in value for word in words(item)] if isinstance(value, list) else []


def absent(row: dict, text: str) -> set[tuple[str, int | None]]:
    """What is not whole in a text, by its words; each word of these conversations names the one place it is from."""

    def lost(value) -> bool:
        return not all(word in text for word in words(value))

    found = {(f"dropped_{name}", None) for name in ("tools", "documents") if lost(row.get(name, []))}
    for index, message in enumerate(row["messages"]):
        fields = {
            _KINDS.get(message["role"], "dropped_content"): message.get("content"),
            "dropped_reasoning": message.get("reasoning_content"),
            "dropped_tool_call": [one["function"] for one in message.get("tool_calls", [])],
        }
        found |= {(kind, index) for kind, value in fields.items() if value and lost(value)}
    return found


def other_conversations() -> dict[str, dict]:
    def say(role, content, **more):
        return {"role": role, "content": content, **more}

    calls = [published._call(n, {"place": f"arg_{n}"}) for n in (1, 2)]
    ask, answer = say("user", "user_1"), say("assistant", "answer_1")
    return {
        "tools": {"messages": [ask, answer], "tools": published.TOOLS},
        "documents": {"messages": [ask, answer], "documents": [{"title": "document_title", "text": "document_text"}]},
        "two systems": {"messages": [say("system", "system_1"), say("system", "system_2"), ask, answer]},
        "late system": {
            "messages": [ask, answer, say("system", "system_1"), say("user", "user_2"), say("assistant", "answer_2")]
        },
        "developer": {"messages": [say("developer", "developer_1"), ask, answer]},
        "both": {"messages": [say("system", "system_1"), say("developer", "developer_1"), ask, answer]},
        "two users": {"messages": [ask, say("user", "user_2"), answer]},
        "answer first": {"messages": [say("assistant", "answer_0"), ask, answer]},
        "question last": {"messages": [ask, answer, say("user", "user_2")]},
        "calls": {
            "messages": [
                ask,
                say("assistant", "answer_1", tool_calls=calls),
                *(say("tool", f"tool_{n}", tool_call_id=c["id"], name="look_up") for n, c in enumerate(calls)),
                say("assistant", "answer_2"),
            ],
            "tools": published.TOOLS,
        },
    }


@pytest.mark.parametrize("name", published.names())
def test_published_templates_lose_what_is_said_and_nothing_else(name):
    conversations = {**published.CONVERSATIONS, **{f"other: {k}": row for k, row in other_conversations().items()}}
    accepted = 0
    for kwargs in published.variables(name):
        settings = ChatSettings(
            audit_every=0, template_kwargs=kwargs, stop_tokens=list(published.TEMPLATES[name].stops)
        )
        encoder = ChatEncoder(published.tokenizer(name), settings)
        for kind, row in conversations.items():
            try:
                [found] = encoder.inspect(parse_conversation(row, "f:1"))
            except InputError:  # this template refuses the conversation
                continue
            accepted += 1
            said = [(w.kind, w.message) for w in found.warnings if w.kind.startswith("dropped_")]
            assert set(said) == absent(row, found.text), (kind, kwargs)
    assert accepted >= 7


def test_the_kinds_are_those_in_the_docs():
    docs = (Path(__file__).parents[2] / "docs/inspect.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(dropped_\w+)` \|", docs, re.MULTILINE)) == set(DROPPED)


def test_the_report_counts_and_names_what_was_lost(make_encoder):
    encoder = make_encoder(template("{{ m.content if m.content != 'lost' }}"))
    lost = {"role": "system", "content": "lost"}
    encoder.encode(parse_conversation({"messages": [lost, lost, QUESTION, ANSWER], "tools": TOOLS}, "f:1"))
    assert encoder.report.dropped_fields == {"dropped_system": 2, "dropped_tools": 1}
    assert "not printed by the template: dropped_system 2, dropped_tools 1" in str(encoder.report)
    again = MaskReport.from_dict(json.loads(json.dumps(encoder.report.to_dict())))
    assert again.dropped_fields == encoder.report.dropped_fields
