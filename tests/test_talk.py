"""Chatting through pipes with a tiny model, and the parts that need no model at all."""

import io
import json
import subprocess
import sys
from os import environ

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import strop
from strop.chat import ChatEncoder, ChatSettings, Message
from strop.chat.saved import save_chat
from strop.cli import main
from strop.common.errors import InputError
from strop.model.names import load_model, load_tokenizer, save_model
from strop.model.policy import Policy
from strop.model.precision import best_compute
from strop.rollout.engine import Rollout, SamplingParams
from strop.rollout.talk import talk
from strop.rollout.talk.loading import load_chat
from strop.rollout.talk.speaker import Speaker
from strop.rollout.talk.stream import Apart, TextStream
from strop.rollout.talk.terminal import Session
from strop.rollout.talk.terminal import converse as hold
from strop.rollout.torch_engine import TorchEngine

TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CONTROLS = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
END = 0


@pytest.fixture(scope="module")
def tokenizer():
    """One token per byte, so every character outside ASCII spans several."""
    vocab = {token: index for index, token in enumerate(CONTROLS + sorted(pre_tokenizers.ByteLevel.alphabet()))}
    backend = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|end|>", additional_special_tokens=CONTROLS[1:], chat_template=TEMPLATE
    )


@pytest.fixture(scope="module")
def model(tokenizer):
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        initializer_range=0.5,
        eos_token_id=END,
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def folder(model, tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_model(model, tokenizer, folder)
    return folder


class ScriptedEngine:
    """Stands in for an engine: gives the next script's tokens; None in one is a Ctrl-C."""

    def __init__(self, tokenizer, *answers, window=1000):
        self.answers = [[*tokenizer.encode(text), END] if isinstance(text, str) else text for text in answers]
        self.prompts, self.sampling = [], []
        self.window = window

    def generate(self, prompts, params, on_token):
        [prompt] = prompts
        self.prompts.append(list(prompt))
        self.sampling.append(params)
        tokens = self.answers.pop(0)[: params.max_tokens]
        for token in tokens:
            if token is None:
                raise KeyboardInterrupt
            on_token(0, token)
        return [Rollout(tuple(prompt), tuple(tokens), (), "stop" if tokens[-1:] == [END] else "length")]


def speaker(engine, tokenizer, max_tokens=100, settings=None):
    encoder = ChatEncoder(tokenizer, settings or ChatSettings(), {END})
    return Speaker(engine, encoder, tokenizer.decode, engine.window, max_tokens)


def converse(engine, tokenizer, lines, system=None, max_tokens=100):
    """What is written to (standard output, the notes, the exit code) when the user types `lines`; None is a Ctrl-C."""

    def read_line():
        line = next(typed, ...)
        if line is None:
            raise KeyboardInterrupt
        return None if line is Ellipsis else line

    typed = iter([*lines, ...])  # ... stands for the end of the input
    out, notes = io.StringIO(), []
    code = hold(speaker(engine, tokenizer, max_tokens), Session(system), read_line, out, notes.append)
    return out.getvalue(), "\n".join(notes), code


class TestThroughPipes:
    def test_answers_are_those_that_are_measured(self, folder):
        """Token by token the greedy answer of the engine that evaluation uses, whatever the model asks for itself."""
        tokenizer = load_tokenizer(folder)
        ids = tokenizer.encode("<|user|>hello<|end|><|assistant|>")
        compute = best_compute()
        engine = TorchEngine(Policy(load_model(folder, compute.dtype), compute), frozenset({END}))
        [measured] = engine.generate([ids], SamplingParams(max_tokens=8))
        _, result = talk(folder, max_tokens=8, prompts=["hello"], as_json=True)
        [answer] = result["answers"]
        kept = [token for token in measured.tokens if token != END]
        assert answer["answer"] == tokenizer.decode(kept)
        assert answer["tokens"] == len(measured.tokens)
        assert answer["answer"]

    def test_a_models_own_penalties_change_nothing_and_are_named(self, folder, tmp_path, model, tokenizer, capsys):
        _, plain = talk(folder, max_tokens=12, prompts=["hello"], as_json=True)
        capsys.readouterr()
        save_model(model, tokenizer, tmp_path / "own")
        settings = {"eos_token_id": END, "repetition_penalty": 5.0, "do_sample": True, "temperature": 0.6, "top_k": 20}
        (tmp_path / "own" / "generation_config.json").write_text(json.dumps(settings))
        _, result = talk(tmp_path / "own", max_tokens=12, prompts=["hello"], as_json=True)
        assert result == plain
        said = capsys.readouterr().err
        assert "asks for repetition_penalty 5.0, temperature 0.6, top_k 20; not followed" in said

    def test_one_answer_per_line_each_a_conversation_of_its_own(self, folder, capsys):
        out = io.StringIO()
        code, result = talk(folder, max_tokens=4, stdin=io.StringIO("hello\n\nhello\n"), stdout=out)
        first, second = out.getvalue().splitlines()
        assert first == second
        assert code == 0
        assert [a["prompt"] for a in result["answers"]] == ["hello", "hello"]
        assert capsys.readouterr().out == ""

    def test_line_breaks_in_an_answer_are_written_out(self, tokenizer):
        from strop.rollout.talk.pipe import answer_each

        out = io.StringIO()
        engine = ScriptedEngine(tokenizer, "a\nb \\d", "c")
        code, answers = answer_each(
            speaker(engine, tokenizer), [("x", None), ("y", "Be brief.")], out, lambda text: None
        )
        assert out.getvalue() == "a\\nb \\\\d\nc\n"
        assert answers[0] == {
            "prompt": "x", "answer": "a\nb \\d", "reasoning": None, "finish_reason": "stop", "tokens": 7,
        }  # fmt: skip
        assert code == 0
        assert tokenizer.decode(engine.prompts[1]) == "<|system|>Be brief.<|end|><|user|>y<|end|><|assistant|>"

    def test_the_engine_says_why_an_answer_ended(self, tokenizer):
        ended = [
            speaker(ScriptedEngine(tokenizer, "ab"), tokenizer, most).answer([Message("user", "x")], print)
            for most in (3, 2)
        ]
        assert [(one.text, one.ended, one.tokens) for one in ended] == [("ab", "stop", 3), ("ab", "max_tokens", 2)]

    def test_what_cannot_be_answered_is_told_apart(self, tokenizer):
        from strop.rollout.talk.pipe import answer_each

        engine = ScriptedEngine(tokenizer, "fine", window=20)
        code, answers = answer_each(
            speaker(engine, tokenizer), [("x" * 40, None), ("y", None)], None, lambda text: None
        )
        assert code == 2
        assert "reads at most 20" in answers[0]["error"]
        assert answers[1]["answer"] == "fine"

    def test_an_answer_that_was_cut(self, tokenizer):
        from strop.rollout.talk.pipe import answer_each

        engine, notes = ScriptedEngine(tokenizer, "abcdef"), []
        _, [answer] = answer_each(speaker(engine, tokenizer, 3), [("x", None)], None, notes.append)
        assert (answer["answer"], answer["finish_reason"], answer["tokens"]) == ("abc", "length", 3)
        assert notes == ["(cut at 3 tokens; --max-tokens allows more)"]

    def test_kept_lines_are_turns_of_one_conversation(self, folder):
        out = io.StringIO()
        talk(folder, max_tokens=4, stdin=io.StringIO("hello\nhello\n"), stdout=out, keep=True)
        first, second = (out.getvalue()[i::2] for i in (0, 1))
        assert first != second

    def test_on_the_command_line(self, folder, capsys):
        assert main(["chat", str(folder), "--prompt", "a", "--prompt", "b", "--max-tokens", "3", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert [answer["prompt"] for answer in found["answers"]] == ["a", "b"]

    def test_as_a_programme_that_is_fed_broken_text_and_whose_output_knows_only_ascii(self, folder):
        script = f"import sys; from strop.rollout.talk import talk; sys.exit(talk({str(folder)!r}, max_tokens=9)[0])"
        done = subprocess.run(
            [sys.executable, "-c", script],
            input="日本 caf".encode() + b"\xe9\n/exit\nnot read\n",
            capture_output=True,
            env={**environ, "PYTHONIOENCODING": "ascii"},
        )
        assert done.returncode == 0, done.stderr.decode()
        assert len(done.stdout.decode("ascii").splitlines()) == 1
        assert b"--max-tokens" in done.stderr

    def test_sampling_settings_out_of_range(self, folder):
        for wrong in ({"max_tokens": 0}, {"temperature": -1.0}, {"top_p": 0.0}):
            with pytest.raises(InputError, match="chat needs"):
                talk(folder, stdin=io.StringIO(), **wrong)

    def test_sampling_at_a_temperature(self, folder):
        answers = set()
        for seed in range(8):
            torch.manual_seed(seed)
            _, result = talk(folder, max_tokens=6, temperature=1.5, top_p=0.9, prompts=["hi"], as_json=True)
            answers.add(result["answers"][0]["answer"])
        assert len(answers) > 1

    def test_a_tokenizer_without_a_template(self, folder, tmp_path, model, tokenizer):
        bare = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, eos_token="<|end|>")
        save_model(model, bare, tmp_path / "bare")
        with pytest.raises(InputError, match="no chat template"):
            talk(tmp_path / "bare", stdin=io.StringIO())


class TestTheWayItWasTrained:
    def test_saved_settings_and_instructions_are_used(self, model, tokenizer, tmp_path, capsys):
        own = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer.backend_tokenizer,
            eos_token="<|end|>",
            additional_special_tokens=CONTROLS[1:],
            chat_template=TEMPLATE.replace("<|assistant|>{% endif", "<|assistant|>{{ opening | default('') }}{% endif"),
        )
        settings = ChatSettings(template_kwargs={"opening": "Well, "}, stop_tokens=["<|user|>"])
        save_model(model, own, tmp_path / "m", lambda folder: save_chat(folder, settings, "Be brief."))
        voice = load_chat(tmp_path / "m")
        assert own.decode(voice.encoder.prompt([{"role": "user", "content": "hi"}])).endswith("<|assistant|>Well, ")
        assert voice.encoder.stop_ids == {END, own.convert_tokens_to_ids("<|user|>")}
        assert voice.system == "Be brief."
        talk(tmp_path / "m", prompts=["hi"], max_tokens=1, as_json=True)
        assert "instructions of the training are used: Be brief." in capsys.readouterr().err
        talk(tmp_path / "m", system="", prompts=["hi"], max_tokens=1, as_json=True)
        assert "instructions" not in capsys.readouterr().err

    def test_a_family_that_cannot_be_measured_still_speaks(self, tmp_path, tokenizer, capsys):
        from transformers import BloomConfig, BloomForCausalLM

        torch.manual_seed(0)
        config = BloomConfig(vocab_size=len(tokenizer), hidden_size=32, n_layer=1, n_head=2, eos_token_id=END)
        bloom = BloomForCausalLM(config).eval()
        save_model(bloom, tokenizer, tmp_path / "bloom")
        (tmp_path / "bloom" / "generation_config.json").write_text('{"eos_token_id": 0, "repetition_penalty": 9.0}')
        _, result = talk(tmp_path / "bloom", max_tokens=6, prompts=["hello"], as_json=True)
        ids = torch.tensor([tokenizer.encode("<|user|>hello<|end|><|assistant|>")])
        bloom.to(best_compute().dtype)
        expected = bloom.generate(ids, max_new_tokens=6, do_sample=False)[0, ids.shape[1] :]
        assert result["answers"][0]["answer"] == tokenizer.decode([t for t in expected.tolist() if t != END])
        assert "generated by transformers" in capsys.readouterr().err

        def draw(*prompts, samples=1):
            return strop.load(tmp_path / "bloom").generate(prompts, samples=samples, max_tokens=6, temperature=1.0)

        (one, two), others = draw("hello", "bye", samples=2)
        assert len({one, two, *others}) == 4
        assert draw("hello", "bye", samples=2) == [[one, two], others]
        assert draw("hello") == [[one]]  # its draws depend on nothing that is asked beside it


class TestConversation:
    def test_turns_add_up(self, tokenizer):
        engine = ScriptedEngine(tokenizer, "Paris.", "Two million.")
        out, _, code = converse(engine, tokenizer, ["Capital of France?", "How big?"], system="Be brief.")
        assert (out, code) == ("Paris.\nTwo million.\n", 0)
        assert tokenizer.decode(engine.prompts[1]) == (
            "<|system|>Be brief.<|end|><|user|>Capital of France?<|end|><|assistant|>Paris.<|end|>"
            "<|user|>How big?<|end|><|assistant|>"
        )

    def test_commands(self, tokenizer):
        engine = ScriptedEngine(tokenizer, "one", "two", "three")
        lines = ["a", "/system Speak French.", "b", "/reset", "c", "/help", "/rest", "/exit", "d"]
        out, notes, _ = converse(engine, tokenizer, lines)
        assert out == "one\ntwo\nthree\n"
        assert [tokenizer.decode(prompt) for prompt in engine.prompts] == [
            "<|user|>a<|end|><|assistant|>",
            "<|system|>Speak French.<|end|><|user|>b<|end|><|assistant|>",
            "<|system|>Speak French.<|end|><|user|>c<|end|><|assistant|>",
        ]
        assert "/system TEXT" in notes
        assert "There is no command /rest; did you mean /reset?" in notes

    def test_ctrl_c_stops_the_answer_and_keeps_what_was_said(self, tokenizer):
        engine = ScriptedEngine(tokenizer, [*tokenizer.encode("Well"), None], "Sure.")
        out, notes, code = converse(engine, tokenizer, ["Tell me all.", "Shorter?"])
        assert (out, code) == ("Well\nSure.\n", 0)
        assert "stopped" in notes
        assert "<|assistant|>Well<|end|><|user|>Shorter?" in tokenizer.decode(engine.prompts[1])

    def test_a_second_ctrl_c_leaves(self, tokenizer):
        engine = ScriptedEngine(tokenizer, [*tokenizer.encode("Well"), None], "not asked")
        out, _, code = converse(engine, tokenizer, ["Tell me all.", None, "still there?"])
        assert (out, code) == ("Well\n", 0)
        assert len(engine.prompts) == 1

    def test_two_ctrl_cs_with_a_line_between_do_not_leave(self, tokenizer):
        engine = ScriptedEngine(tokenizer, "one", "two")
        out, notes, _ = converse(engine, tokenizer, [None, "a", None, "b"])
        assert out == "one\ntwo\n"
        assert notes.count("Ctrl-C again or Ctrl-D leaves") == 2

    def test_a_cut_answer_says_so(self, tokenizer):
        out, notes, _ = converse(ScriptedEngine(tokenizer, "abcdef"), tokenizer, ["x"], max_tokens=3)
        assert out == "abc\n"
        assert "cut at 3 tokens" in notes

    def test_a_full_window_says_so_and_the_conversation_goes_on(self, tokenizer):
        engine = ScriptedEngine(tokenizer, "abcdef", "fine", window=20)
        out, notes, code = converse(engine, tokenizer, ["0123456789", "x" * 40, "/reset", "ok"])
        assert (out, code) == ("abcdef\nfine\n", 0)
        assert "the model reads at most 20; /reset starts a new one" in notes
        engine = ScriptedEngine(tokenizer, "abcdef", window=16)
        out, notes, _ = converse(engine, tokenizer, ["0123456789"])
        assert out == "abc\n"
        assert "window of 16 tokens is full" in notes

    def test_an_empty_answer_is_not_kept(self, tokenizer):
        engine = ScriptedEngine(tokenizer, "", "hello")
        _, notes, _ = converse(engine, tokenizer, ["a", "b"])
        assert "no answer" in notes
        assert tokenizer.decode(engine.prompts[1]) == "<|user|>b<|end|><|assistant|>"

    def test_a_line_that_begins_with_a_slash(self, tokenizer):
        engine = ScriptedEngine(tokenizer, "one", "two", "three")
        _, notes, _ = converse(engine, tokenizer, ["//etc/hosts?", "/reset", "///", "/usr"])
        assert tokenizer.decode(engine.prompts[0]) == "<|user|>/etc/hosts?<|end|><|assistant|>"
        assert tokenizer.decode(engine.prompts[1]) == "<|user|>//<|end|><|assistant|>"
        assert "There is no command /usr; /help lists them. Two slashes send" in notes

    def test_a_message_of_several_lines(self, tokenizer):
        engine = ScriptedEngine(tokenizer, "1", "2", "3", "4")
        lines = ['"""', "def f():", "    return 1", "", '"""', "/reset", '"""one line"""', "/reset", '"""/exit', 'x"""']
        converse(engine, tokenizer, [*lines, "/reset", '"""', "open at the end"])
        said = [
            tokenizer.decode(p).removeprefix("<|user|>").removesuffix("<|end|><|assistant|>") for p in engine.prompts
        ]
        assert said == ["def f():\n    return 1\n", "one line", "/exit\nx", "open at the end"]

    def test_answers_are_no_markup(self, tokenizer):
        out, _, _ = converse(ScriptedEngine(tokenizer, "[bold]x[/bold] [1]"), tokenizer, ["a"])
        assert out == "[bold]x[/bold] [1]\n"


class TestTextStream:
    def stream(self, tokenizer, ids):
        pieces = []
        stream = TextStream(tokenizer.decode, pieces.append)
        for token in ids:
            stream.push(token)
        return stream, pieces

    def test_characters_of_several_tokens_come_whole(self, tokenizer):
        text = "naïve 日本 🙂!"
        stream, pieces = self.stream(tokenizer, tokenizer.encode(text))
        assert pieces == list(text)
        assert stream.text == text

    def test_half_a_character_at_the_end_is_shown_as_such(self, tokenizer):
        stream, pieces = self.stream(tokenizer, tokenizer.encode("a🙂")[:-1])
        assert pieces == ["a"]
        stream.flush()
        assert stream.text == "a\ufffd"

    def test_broken_bytes_do_not_hold_back_what_follows(self, tokenizer):
        _, pieces = self.stream(tokenizer, [*tokenizer.encode("é")[:1], *tokenizer.encode("bc")])
        assert pieces == ["\ufffdb", "c"]

    def test_spaces_between_words_survive(self):
        """A sentencepiece-like decoder drops the blank before the first word that it is given."""
        backend = Tokenizer(models.WordLevel({"▁the": 0, "▁old": 1, "▁cat": 2}, unk_token="▁the"))
        backend.decoder = decoders.Metaspace()
        words = PreTrainedTokenizerFast(tokenizer_object=backend)
        stream = TextStream(words.decode, lambda text: None)
        for token in (0, 1, 2):
            stream.push(token)
        assert stream.text == "the old cat"

    def test_control_tokens_are_text(self, tokenizer):
        stream, _ = self.stream(tokenizer, tokenizer.encode("a<|user|>b"))
        assert stream.text == "a<|user|>b"


class TestReasoningApart:
    THINKING = (
        "{% for m in messages %}<|{{ m['role'] }}|>"
        "{% if m.reasoning_content %}<think>\n{{ m.reasoning_content }}\n</think>\n\n{% endif %}"
        "{{ m['content'] }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{{ opening | default('') }}{% endif %}"
    )

    def pieces(self, text, tail=""):
        thought, said = [], []
        apart = Apart(tail, thought.append, said.append)
        for character in text:
            apart.push(character)
        return "".join(thought), "".join(said), thought, said

    def test_a_block_of_reasoning(self):
        thought, said, pieces, _ = self.pieces("<think>\nhm < 3</thin\n</think>\n\nyes <b>")
        assert (thought, said) == ("hm < 3</thin", "yes <b>")
        assert len(pieces) > 3  # as it comes, not at its end

    def test_a_block_that_the_prompt_opened(self):
        assert self.pieces("hm\n</think>\n\nyes", "<|assistant|><think>\n")[:2] == ("hm", "yes")

    def test_messages_in_a_message(self):
        text = "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>yes"
        assert self.pieces(text)[:2] == ("hm", "yes")

    def test_no_reasoning(self):
        assert self.pieces("a [b] < c")[:2] == ("", "a [b] < c")

    @pytest.mark.parametrize(
        ("settings", "answer"), [({}, "<think>\nhm\n</think>\n\n"), ({"opening": "<think>\n"}, "hm\n</think>\n\n")]
    )
    def test_it_is_shown_apart_and_fed_back_as_the_template_has_it(self, tokenizer, settings, answer):
        own = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer.backend_tokenizer,
            eos_token="<|end|>",
            additional_special_tokens=CONTROLS[1:],
            chat_template=self.THINKING,
        )
        engine = ScriptedEngine(own, answer + "yes", "no")
        lines = iter(["a", "b", None])
        out = io.StringIO()
        one = speaker(engine, own, settings=ChatSettings(template_kwargs=settings))
        hold(one, Session(), lambda: next(lines), out, lambda text: None)
        assert out.getvalue().startswith("<think>\nhm\n</think>\nyes\n")
        first = own.decode(engine.prompts[0]) + answer + "yes<|end|>"
        assert own.decode(engine.prompts[1]).startswith(first + "<|user|>b")
