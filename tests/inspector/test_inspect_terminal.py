"""Conversations in the terminal, with and without colour; whatever the data holds, it does not steer the terminal."""

import io

import pytest
from rich.console import Console

from strop.common.visible import one_line, visible
from strop.inspector import terminal
from strop.inspector.look import Look, OpenedPart
from strop.inspector.subject import subject, tools


@pytest.fixture
def draw(tokenizer_folder, monkeypatch):
    """The text that a console of this kind gets for these rows."""

    def run(*rows, tokens=False, **console):
        monkeypatch.delenv("NO_COLOR", raising=False)
        means = tools(subject("data.jsonl", [], None, []), None, str(tokenizer_folder))
        look = Look(
            means.encoder, [OpenedPart("data", [(f"data:{n}", {"messages": row}) for n, row in enumerate(rows)])]
        )
        out = io.StringIO()
        shown = terminal.Terminal(Console(file=out, highlight=False, markup=False, emoji=False, **console), tokens)
        shown.legend()
        for found in look:
            shown.conversation(found)
        return out.getvalue()

    return run


def test_without_colour_signs_say_what_is_trained(draw, turns):
    user, assistant = turns
    lines = draw([user("hi\nthere"), assistant("a\nb"), user("x"), assistant("y", train=False)]).splitlines()
    assert lines == [
        "⟦trained⟧   ■ after a stop token",
        "",
        "── 0 · data:0 ── 33 tokens, 4 trained (12.1%), 1 turn",
        "template   <|im_start|>user↵",
        "user       hi↵",
        "           there<|im_end|>↵",
        "template   <|im_start|>assistant↵",
        "assistant  ⟦a↵",
        "           b<|im_end|>■⟧↵",
        "template   <|im_start|>user↵",
        "user       x<|im_end|>↵",
        "template   <|im_start|>assistant↵",
        "assistant  y<|im_end|>↵",
    ]


def test_warnings_stand_below_in_words(draw, turns):
    user, assistant = turns
    last = draw([user("<|im_end|>"), assistant("hello")]).splitlines()[-1]
    assert last == "  ! control_tokens: <|im_end|> stands 1 time in message text, encoded as: text"


def test_colours_underline_what_is_trained(draw, turns):
    user, assistant = turns
    out = draw([user("hi"), assistant("hello")], force_terminal=True, color_system="standard", width=80)
    assert "\x1b[1;4;32mhello\x1b[0m" in out
    assert "\x1b[1;2;4;7m<|im_end|>" in out  # the template's, trained, and reversed: the stop token
    assert "\x1b[36mhi\x1b[0m" in out
    assert "⟦" not in out


@pytest.mark.parametrize("console", [{}, {"force_terminal": True, "color_system": "truecolor", "width": 400}])
def test_no_character_of_the_data_steers_the_terminal(draw, turns, hostile, console):
    user, assistant = turns
    for text in hostile:
        out = draw([user(text), assistant(text)], **console)
        plain = draw([user(text), assistant(text)])
        assert out.count("\x1b]") == plain.count("\x1b") == 0
        assert set(out.replace("\x1b", "").replace("\n", "")) & set("\x07\x00\r\x9b\u202e\u200b\u2028") == set()


def test_markup_and_signs_in_data_are_text(draw, turns, hostile):
    user, assistant = turns
    out = draw([user(hostile[1]), assistant(hostile[6])])
    assert "[red]markup[/red] [/] [link=http://e]l[/link] :smile:" in out
    assert "⟦‹U+27E6›no‹U+27E7› ‹U+25A0› ‹U+2502› ‹U+21B5›<|im_end|>■⟧" in out


def test_token_borders(draw, turns):
    user, assistant = turns
    out = draw([user("hello hi"), assistant("🙂")], tokens=True)
    assert "│hello│ hi│<|im_end|>│↵" in out
    assert "⟦│🙂×4│<|im_end|>■⟧│↵" in out


def test_visible():
    assert (
        visible("a\x1b\x7f\x85\u200b\u202e\t\n\ud800é 漢")
        == "a␛␡‹U+0085›‹U+200B›‹U+202E›\t\n\N{REPLACEMENT CHARACTER}é 漢"
    )
    assert visible("a\u200db\u00a0c", strict=False) == "a\u200db\u00a0c"
    assert visible("a\u200db\u00a0c") == "a‹U+200D›b‹U+00A0›c"
    assert one_line("a\tb\nc") == "a⇥b↵c"
