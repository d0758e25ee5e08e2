"""Chatting through pipes with a tiny model, and the parts that need no model at all."""

import io
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from strop.errors import InputError
from strop.model.names import save_model
from strop.talk import Conversation, Speaker, TextStream, _converse, talk

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


class ScriptedModel:
    """Stands in for a model: `generate` streams the prompt and then the next script's tokens; None is a Ctrl-C."""

    def __init__(self, tokenizer, *answers, window=1000):
        self.answers = [[*tokenizer.encode(text), END] if isinstance(text, str) else text for text in answers]
        self.prompts = []
        self.device = "cpu"
        self.generation_config = SimpleNamespace(eos_token_id=END)
        settings = SimpleNamespace(max_position_embeddings=window)
        self.config = SimpleNamespace(get_text_config=lambda: settings)

    def generate(self, prompt, attention_mask, generation_config, streamer):
        self.prompts.append(prompt[0].tolist())
        streamer.put(prompt)
        for token in self.answers.pop(0)[: generation_config.max_new_tokens]:
            if token is None:
                raise KeyboardInterrupt
            streamer.put(torch.tensor([token]))
        streamer.end()


def converse(model, tokenizer, lines, system=None, max_tokens=100):
    """What is written to (standard output, the notes, the exit code) when the user types `lines`; None is a Ctrl-C."""

    def read_line():
        line = next(typed)
        if line is None:
            raise KeyboardInterrupt
        return line or None

    typed = iter([*lines, ""])  # "" stands for the end of the input
    out, err = io.StringIO(), io.StringIO()
    speaker = Speaker(model, tokenizer, max_tokens, 0.0, 1.0)
    code = _converse(speaker, Conversation(system), read_line, out, Console(file=err))
    return out.getvalue(), err.getvalue(), code


class TestThroughPipes:
    def test_answers_are_the_models_own(self, folder, model, tokenizer):
        prompt = torch.tensor([tokenizer.encode("<|user|>hello<|end|><|assistant|>")])
        expected = model.generate(prompt, max_new_tokens=8, do_sample=False)[0, prompt.shape[1] :]
        speaker = Speaker(model, tokenizer, 8, 0.0, 1.0)
        shown = []
        answer = speaker.answer([{"role": "user", "content": "hello"}], shown.append)
        assert answer.text == "".join(shown) == tokenizer.decode(expected, skip_special_tokens=True)
        assert answer.text

    def test_one_answer_per_line_and_the_same_one_after_a_reset(self, folder, capsys):
        out = io.StringIO()
        assert talk(folder, max_tokens=4, stdin=io.StringIO("hello\n\n/reset\nhello\n"), stdout=out) == 0
        length = len(out.getvalue()) // 2
        assert out.getvalue()[:length] == out.getvalue()[length:]
        assert out.getvalue()[length - 1] == "\n"
        assert capsys.readouterr().out == ""

    def test_as_a_programme_that_is_fed_broken_text(self, folder):
        script = f"import sys; from strop.talk import talk; sys.exit(talk({str(folder)!r}, max_tokens=3))"
        done = subprocess.run([sys.executable, "-c", script], input=b"caf\xe9\n/exit\nnot read\n", capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        assert done.stdout.decode().endswith("\n")
        assert b"--max-tokens" in done.stderr

    def test_sampling_settings_out_of_range(self, folder):
        for wrong in ({"max_tokens": 0}, {"temperature": -1.0}, {"top_p": 0.0}):
            with pytest.raises(InputError, match="chat needs"):
                talk(folder, stdin=io.StringIO(), **wrong)

    def test_sampling_at_a_temperature(self, model, tokenizer):
        speaker = Speaker(model, tokenizer, 6, 1.5, 0.9)
        answers = set()
        for seed in range(8):
            torch.manual_seed(seed)
            answers.add(speaker.answer([{"role": "user", "content": "hi"}], lambda text: None).text)
        assert len(answers) > 1

    def test_a_tokenizer_without_a_template(self, folder, tmp_path, model, tokenizer):
        bare = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, eos_token="<|end|>")
        save_model(model, bare, tmp_path / "bare")
        with pytest.raises(InputError, match="no chat template"):
            talk(tmp_path / "bare", stdin=io.StringIO())


class TestConversation:
    def test_turns_add_up(self, tokenizer):
        model = ScriptedModel(tokenizer, "Paris.", "Two million.")
        out, _, code = converse(model, tokenizer, ["Capital of France?", "How big?"], system="Be brief.")
        assert (out, code) == ("Paris.\nTwo million.\n", 0)
        assert tokenizer.decode(model.prompts[1]) == (
            "<|system|>Be brief.<|end|><|user|>Capital of France?<|end|><|assistant|>Paris.<|end|>"
            "<|user|>How big?<|end|><|assistant|>"
        )

    def test_commands(self, tokenizer):
        model = ScriptedModel(tokenizer, "one", "two", "three")
        lines = ["a", "/system Speak French.", "b", "/reset", "c", "/help", "/rest", "/exit", "d"]
        out, notes, _ = converse(model, tokenizer, lines)
        assert out == "one\ntwo\nthree\n"
        assert [tokenizer.decode(prompt) for prompt in model.prompts] == [
            "<|user|>a<|end|><|assistant|>",
            "<|system|>Speak French.<|end|><|user|>b<|end|><|assistant|>",
            "<|system|>Speak French.<|end|><|user|>c<|end|><|assistant|>",
        ]
        assert "/system TEXT" in notes
        assert "There is no command /rest; did you mean /reset?" in notes

    def test_ctrl_c_stops_the_answer_and_keeps_what_was_said(self, tokenizer):
        model = ScriptedModel(tokenizer, [*tokenizer.encode("Well"), None], "Sure.")
        out, notes, code = converse(model, tokenizer, ["Tell me all.", "Shorter?"])
        assert (out, code) == ("Well\nSure.\n", 0)
        assert "stopped" in notes
        assert "<|assistant|>Well<|end|><|user|>Shorter?" in tokenizer.decode(model.prompts[1])

    def test_a_second_ctrl_c_leaves(self, tokenizer):
        model = ScriptedModel(tokenizer, [*tokenizer.encode("Well"), None], "not asked")
        out, _, code = converse(model, tokenizer, ["Tell me all.", None, "still there?"])
        assert (out, code) == ("Well\n", 0)
        assert len(model.prompts) == 1

    def test_two_ctrl_cs_with_a_line_between_do_not_leave(self, tokenizer):
        model = ScriptedModel(tokenizer, "one", "two")
        out, notes, _ = converse(model, tokenizer, [None, "a", None, "b"])
        assert out == "one\ntwo\n"
        assert notes.count("Ctrl-C again or Ctrl-D leaves") == 2

    def test_a_cut_answer_says_so(self, tokenizer):
        out, notes, _ = converse(ScriptedModel(tokenizer, "abcdef"), tokenizer, ["x"], max_tokens=3)
        assert out == "abc\n"
        assert "cut at 3 tokens" in notes

    def test_a_full_window_says_so_and_the_conversation_goes_on(self, tokenizer):
        model = ScriptedModel(tokenizer, "abcdef", "fine", window=20)
        out, notes, code = converse(model, tokenizer, ["0123456789", "x" * 40, "/reset", "ok"])
        assert (out, code) == ("abcdef\nfine\n", 0)
        assert "the model reads at most 20; /reset starts a new one" in notes
        model = ScriptedModel(tokenizer, "abcdef", window=16)
        out, notes, _ = converse(model, tokenizer, ["0123456789"])
        assert out == "abc\n"
        assert "window of 16 tokens is full" in notes

    def test_an_empty_answer_is_not_kept(self, tokenizer):
        model = ScriptedModel(tokenizer, "", "hello")
        _, notes, _ = converse(model, tokenizer, ["a", "b"])
        assert "no answer" in notes
        assert tokenizer.decode(model.prompts[1]) == "<|user|>b<|end|><|assistant|>"

    def test_answers_are_no_markup(self, tokenizer):
        out, _, _ = converse(ScriptedModel(tokenizer, "[bold]x[/bold] [1]"), tokenizer, ["a"])
        assert out == "[bold]x[/bold] [1]\n"


class TestTextStream:
    def stream(self, tokenizer, ids):
        pieces = []
        stream = TextStream(tokenizer.decode, frozenset({END}), pieces.append)
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
        stream, pieces = self.stream(tokenizer, [*tokenizer.encode("é")[:1], *tokenizer.encode("bc")])
        assert pieces == ["\ufffdb", "c"]
        assert not stream.stopped

    def test_spaces_between_words_survive(self):
        """A sentencepiece-like decoder drops the blank before the first word that it is given."""
        backend = Tokenizer(models.WordLevel({"▁the": 0, "▁old": 1, "▁cat": 2}, unk_token="▁the"))
        backend.decoder = decoders.Metaspace()
        words = PreTrainedTokenizerFast(tokenizer_object=backend)
        stream = TextStream(words.decode, frozenset(), lambda text: None)
        for token in (0, 1, 2):
            stream.push(token)
        assert stream.text == "the old cat"

    def test_the_stop_token_is_noticed_and_not_shown(self, tokenizer):
        stream, pieces = self.stream(tokenizer, [*tokenizer.encode("a"), END])
        assert (pieces, stream.stopped) == (["a"], True)
