"""A conversation with tools: what is shown as it happens, what the model reads, and whose tools they are."""

import io
import json

import pytest
from small_turns import call, make_encoder, make_tokenizer

from strop.chat import ChatEncoder, ChatSettings, Message, fit_tokenizer
from strop.chat.saved import FILE, chat_of, save_chat
from strop.cli import main
from strop.common.errors import InputError
from strop.config.recipe import stage_recipe
from strop.environments.base import read_environment
from strop.rollout.engine import Rollout
from strop.rollout.talk.compare import _said
from strop.rollout.talk.lending import lent
from strop.rollout.talk.pipe import answer_each, fields_of
from strop.rollout.talk.speaker import Speaker
from strop.rollout.talk.terminal import Session, converse

END = "<|end|>"
PRODUCT = call(expression="3*4")


class Says:
    """The next of the texts at each call, or the rest of one that was stopped; None in one is a Ctrl-C."""

    window = 400

    def __init__(self, encoder, *texts):
        self.encoder, self.texts, self.prompts, self.seeds = encoder, list(texts), [], []

    def generate(self, prompts, params, on_token):
        [prompt] = prompts
        self.prompts.append(self.encoder.tokenizer.decode(prompt))
        self.seeds.append(params.seed)
        text = self.texts.pop(0)
        ids = self.encoder.tokenizer.encode(text.removesuffix("^C"), add_special_tokens=False)[: params.max_tokens]
        for i, token in enumerate(ids):
            if on_token(0, token):
                self.texts.insert(0, self.encoder.tokenizer.decode(ids[i + 1 :]))
                return [Rollout(tuple(prompt), tuple(ids[: i + 1]), (), "cancelled")]
        if text.endswith("^C"):
            raise KeyboardInterrupt
        return [Rollout(tuple(prompt), tuple(ids), (), "stop" if ids[-1] in self.encoder.stop_ids else "length")]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def speaker(*texts, environment="tools", encoder=None, max_tokens=200):
    encoder = encoder or make_encoder()
    engine = Says(encoder, *texts)
    how = engine.window, max_tokens, 0.0, 1.0, read_environment(environment)
    return Speaker(engine, encoder, encoder.tokenizer.decode, *how), engine


def converses(lines, *texts, stdout=None, **how):
    one, engine = speaker(*texts, **how)
    out, notes, typed = stdout or io.StringIO(), [], iter([*lines, None])
    assert converse(one, Session(), lambda: next(typed), out, notes.append) == 0
    return out.getvalue(), notes, engine


def test_a_call_and_its_result_are_shown_as_they_happen_and_stay_in_the_conversation():
    texts = [f"Wait. {PRODUCT}{END}", f"It is 12.{END}", f"You are welcome.{END}"]
    out, notes, engine = converses(["3*4?", "Thanks"], *texts)
    shown = ["Wait. ", '(calls calculator with {"expression": "3*4"})', "(calculator: 12)", "It is 12."]
    assert out.splitlines() == [*shown, "You are welcome."]
    assert not notes
    again = f"<|user|>3*4?{END}\n<|assistant|>Wait. {PRODUCT}{END}\n<|tool|>12{END}\n<|assistant|>"
    assert engine.prompts[1] == again
    assert engine.prompts[2] == f"{again}It is 12.{END}\n<|user|>Thanks{END}\n<|assistant|>"
    assert len(set(engine.seeds[:2])) == 2  # a turn draws otherwise than the one before


def test_on_a_terminal_they_are_dimmed():
    out, _, _ = converses(["3*4?"], f"{PRODUCT}{END}", f"12.{END}", stdout=Terminal())
    assert out == (
        '\x1b[2m(calls calculator with {"expression": "3*4"})\x1b[22m\n\x1b[2m(calculator: 12)\x1b[22m\n12.\n'
    )


def test_a_call_that_cannot_be_read_is_shown_as_it_stands_and_answered():
    out, _, _ = converses(["?"], f"<call>{{calculator</call>{END}", f"Sorry.{END}")
    first, second, third = out.splitlines()
    assert first == "<call>{calculator</call>"
    assert second.startswith("(tool: error: a tool call that cannot be read")
    assert third == "Sorry."


def test_results_within_the_text_are_dimmed_there_and_read_as_they_were():
    texts = [f"So 3*4=<<3*4=12, that.{END}", f"Yes.{END}"]
    encoder = make_encoder()
    out, _, engine = converses(["?", "Sure?"], *texts, environment="inline", encoder=encoder, stdout=Terminal())
    assert out == "So 3*4=<<3*4=\x1b[2m12>>\x1b[22m12, that.\nYes.\n"
    assert engine.prompts[1].endswith("<|assistant|>So 3*4=<<3*4=12>>")
    assert engine.prompts[2].endswith(f"So 3*4=<<3*4=12>>12, that.{END}\n<|user|>Sure?{END}\n<|assistant|>")

    tokenizer = make_tokenizer()
    fit_tokenizer(tokenizer, "nanochat")
    settings = ChatSettings(template="nanochat")
    encoder = ChatEncoder(tokenizer, settings, tokenizer.convert_tokens_to_ids(["<|assistant_end|>"]))
    environment = {"kind": "inline", "notation": "nanochat"}
    part = "<|python_start|>3*4<|python_end|>"
    one, engine = speaker(
        f"So {part}.<|assistant_end|>", "Yes.<|assistant_end|>", environment=environment, encoder=encoder
    )
    first = one.answer([Message("user", "?")], lambda text: None)
    assert first.text == f"So {part}<|output_start|>12<|output_end|>."
    one.answer([Message("user", "?"), *first.messages, Message("user", "Sure?")], lambda text: None)
    # Its marks are tokens there, as the model wrote and read them.
    marks = tokenizer.convert_tokens_to_ids(["<|python_start|>", "<|output_end|>"])
    ids = encoder.prompt([Message("user", "?"), *first.messages, Message("user", "Sure?")])
    assert [ids.count(mark) for mark in marks] == [1, 1]
    assert engine.prompts[-1] == tokenizer.decode(ids)


def test_through_a_pipe_the_answer_is_the_last_turn_and_json_has_all():
    one, _ = speaker(f"{PRODUCT}{END}", f"12.{END}")
    out, notes = io.StringIO(), []
    code, [found] = answer_each(one, [("3*4?", None)], out, notes.append)
    assert (code, out.getvalue()) == (0, "12.\n")
    assert notes == ['(calls calculator with {"expression": "3*4"})', "(calculator: 12)"]
    assert (found["answer"], found["finish_reason"]) == ("12.", "stop")
    assert [turn["role"] for turn in found["turns"]] == ["assistant", "tool", "assistant"]
    assert json.loads(json.dumps(found)) == found
    assert _said(found) == '[calculator({"expression": "3*4"})]\n[→ 12]\n12.'  # beside other models' answers


def test_budgets_end_an_answer_as_in_evaluation():
    one, engine = speaker(f"{PRODUCT}{END}", f"{PRODUCT}{END}", environment={"kind": "tools", "max_turns": 2})
    answer = one.answer([Message("user", "?")], lambda text: None)
    assert (answer.ended, fields_of(answer)["finish_reason"]) == ("turns", "turns")
    length = len(engine.encoder.tokenizer.encode(f"{PRODUCT}{END}", add_special_tokens=False))
    one, _ = speaker(f"{PRODUCT}{END}", "twelve and more", max_tokens=length + 6)
    answer = one.answer([Message("user", "?")], lambda text: None)
    assert (answer.ended, answer.text, answer.tokens) == ("max_tokens", "twelve", length + 6)


def test_ctrl_c_ends_the_answer_with_what_there_is():
    one, _ = speaker(f"{PRODUCT}{END}", "It i^C")
    said = []
    answer = one.answer([Message("user", "?")], said.append)
    assert (answer.ended, answer.text, "".join(said)) == ("interrupt", "It i", "It i")
    assert [turn.role for turn in answer.messages] == ["assistant", "tool", "assistant"]


# -- whose tools


def test_what_is_named_goes_before_what_was_trained_with_and_a_folder_cannot_name_functions():
    encoder = make_encoder()
    assert lent(None, None, encoder) == (None, "")
    assert lent("inline", [], encoder) == (None, "")
    made, said = lent({"kind": "tools", "tools": ["calculator"], "max_turns": 2}, None, encoder)
    assert (made.kind, made.max_turns) == ("tools", 2)
    assert said == "lent as in the training: calculator (--no-tools goes without)"
    assert lent("inline", ["calculator"], encoder)[0].kind == "tools"
    assert lent("tools", ["inline"], encoder)[0].kind == "inline"
    made, said = lent({"kind": "tools", "tools": ["os:system"]}, None, encoder)
    assert made is None
    assert "os:system, which nobody here has named; lend it with --tool os:system" in said
    assert lent({"kind": "guess"}, None, encoder)[0] is None
    plain = ChatEncoder(make_tokenizer(template="{% for m in messages %}<|user|>{{ m.content }}<|end|>{% endfor %}"))
    assert "cannot be lent: " in lent("tools", None, plain)[1]
    for names, words in ((["abacus"], "no tool; there are calculator, python"), (["inline", "python"], "stands alone")):
        with pytest.raises(InputError, match=words):
            lent(None, names, encoder)
    with pytest.raises(InputError, match="this model's has none that can be read; take --tool inline"):
        lent(None, ["calculator"], plain)


def test_programs_need_a_sandbox(monkeypatch):
    def none():
        raise InputError("none works here")

    monkeypatch.setattr("strop.rollout.talk.lending.confinement", none)
    with pytest.raises(InputError, match="none works here"):
        lent(None, ["python"], make_encoder())
    environment = {"kind": "tools", "tools": ["python"]}
    assert lent(environment, None, make_encoder()) == (
        None,
        "the tools of the training cannot be lent: none works here",
    )


def test_a_recipe_says_what_is_lent_and_is_refused_where_there_is_none(model_folder):
    stage = {"kind": "sft", "data": ["a.jsonl"]}
    recipe = stage_recipe("sft", str(model_folder), stage, ["chat.environment={kind: inline, max_calls: 2}"])
    assert recipe.chat.environment == {"kind": "inline", "max_calls": 2}
    for given, words in (("abacus", "no kind of environment"), ("{kind: inline, tools: []}", "tools")):
        with pytest.raises(InputError, match=rf"(?s)chat\.environment: .*{words}"):
            stage_recipe("sft", str(model_folder), stage, [f"chat.environment={given}"])


def test_a_model_keeps_what_it_was_trained_with_and_its_next_stage_too(tmp_path):
    settings = ChatSettings(template="chatml", environment={"kind": "inline", "max_calls": 3})
    save_chat(tmp_path, settings)
    assert json.loads((tmp_path / FILE).read_text())["settings"]["environment"] == settings.environment
    tokenizer = make_tokenizer()
    fit_tokenizer(tokenizer, "chatml")
    found, notes = chat_of(ChatSettings(), tmp_path, tokenizer)
    assert (found.environment, notes) == (settings.environment, [])  # it changes nothing of what is measured


def test_the_verb_lends_and_refuses(model_folder, tmp_path, capsys):
    chat = ["chat", str(model_folder), "--prompt", "3*4?", "--max-tokens", "4"]
    assert main([*chat, "--tool", "abacus"]) == 2
    assert "'abacus' is no tool; there are calculator, python" in capsys.readouterr().err
    assert main([*chat, "--tool", "inline"]) == 0
    plain = capsys.readouterr().out
    assert main([*chat, "--no-tools"]) == 0
    assert capsys.readouterr().out == plain  # it never calculates
    with pytest.raises(SystemExit):
        main([*chat, "--no-tools", "--tool", "inline"])
    capsys.readouterr()
    assert main(["chat", "--compare", str(model_folder), str(model_folder), *chat[2:], "--tool", "inline"]) == 0
