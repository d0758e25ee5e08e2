"""Talk to a model in the terminal, or through a pipe: what `strop chat MODEL` runs."""

import contextlib
import difflib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import torch
from rich.console import Console
from transformers import GenerationConfig
from transformers.generation.streamers import BaseStreamer

from strop.chat import ChatEncoder, ChatSettings
from strop.errors import InputError
from strop.model.names import load_model, load_tokenizer, resolve, stop_token_ids
from strop.model.precision import best_compute

HELP = """\
/system TEXT   give the model these instructions and start anew; without TEXT, none
/reset         forget the conversation so far
/help          show this
/exit          leave (so do Ctrl-D and a second Ctrl-C; the first one stops an answer)"""
COMMANDS = ("/system", "/reset", "/help", "/exit")

# What a model writes may not steer the terminal: control characters other than tab and newline are not shown.
UNSHOWN = {code: None for code in [*range(32), *range(127, 160)] if chr(code) not in "\t\n"}


def talk(
    model_name: str | Path,
    system: str | None = None,
    max_tokens: int = 512,
    temperature: float = 0.0,
    top_p: float = 1.0,
    stdin: TextIO | None = None,
    stdout: TextIO | None = None,
) -> int:
    """Read lines, answer each as the next turn of one conversation, and return the exit code (0).

    Answers go to `stdout` as they are made, and nothing else does; everything said about the conversation goes to
    standard error. Without a terminal on `stdin` there are no prompts and no editing, one line is one user turn.
    The model runs on the device and in the number format of `strop.model.precision.best_compute`.

    Args:
        model_name: anything that `strop.model.names.resolve` understands.
        max_tokens: the longest answer, in tokens, the stop token included.
        temperature: 0 takes the most likely token each time.
        top_p: sample from the smallest set of tokens with at least this probability (in 0..1).

    Raises:
        InputError: there is no such model, or it has no chat template; a setting is out of its range.
    """
    if max_tokens < 1 or temperature < 0 or not 0 < top_p <= 1:
        raise InputError("chat needs max_tokens of at least 1, temperature of at least 0 and top_p in (0, 1].")
    folder = resolve(model_name)
    notes = Console(stderr=True, highlight=False)
    speaker = Speaker.load(folder, max_tokens, temperature, top_p)
    read_line = _reader(stdin)
    if stdin is None and sys.stdin.isatty():
        notes.print(f"{folder}\nWrite and press Enter; /help lists the commands.", style="dim", markup=False)
    return _converse(speaker, Conversation(system), read_line, stdout or sys.stdout, notes)


@dataclass
class Conversation:
    """The turns so far, the system turn first if there is one."""

    system: str | None = None
    turns: list[dict[str, str]] = field(default_factory=list)

    @property
    def messages(self) -> list[dict[str, str]]:
        return [{"role": "system", "content": self.system}, *self.turns] if self.system else list(self.turns)


class Speaker:
    """A model, its tokenizer and how to sample from it: messages in, an answer out, piece by piece."""

    def __init__(self, model, tokenizer, max_tokens: int, temperature: float, top_p: float):
        self.model = model
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.encoder = ChatEncoder(tokenizer, ChatSettings(), stop_token_ids(tokenizer, model.generation_config))
        self.stop_ids = self.encoder.stop_ids
        self.window = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        sampling = {"do_sample": False}
        if temperature > 0:  # top_k=0: transformers would otherwise keep only the 50 most likely tokens
            sampling = {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": 0}
        self.sampling = GenerationConfig(
            **sampling,
            eos_token_id=sorted(self.stop_ids),
            pad_token_id=min(self.stop_ids, default=0),
        )

    @classmethod
    def load(cls, folder: Path, max_tokens: int, temperature: float, top_p: float) -> "Speaker":
        compute = best_compute()
        tokenizer = load_tokenizer(folder)
        if tokenizer.chat_template is None:
            raise InputError(f"{folder}: its tokenizer has no chat template, so it cannot hold a conversation.")
        model = load_model(folder, dtype=compute.dtype, device=compute.device)
        return cls(model, tokenizer, max_tokens, temperature, top_p)

    def answer(self, messages: list[dict[str, str]], show: Callable[[str], None]) -> "Answer":
        """Generate the next turn, calling `show` with each new piece of text; Ctrl-C ends it with what there is.

        Raises:
            InputError: the conversation leaves no room for an answer in the model's window.
        """
        ids = self.encoder.prompt(messages)
        room = self.max_tokens if self.window is None else self.window - len(ids)
        if room < 1:
            raise InputError(
                f"The conversation has grown to {len(ids)} tokens and the model reads at most {self.window}; "
                "/reset starts a new one."
            )
        limit = min(self.max_tokens, room)
        stream = TextStream(self.tokenizer.decode, self.stop_ids, show)
        prompt = torch.tensor([ids], device=self.model.device)  # [1, T]
        self.sampling.max_new_tokens = limit
        ended = "stop"
        try:
            self.model.generate(
                prompt, attention_mask=torch.ones_like(prompt), generation_config=self.sampling, streamer=stream
            )
        except KeyboardInterrupt:
            ended = "interrupt"
        stream.flush()
        if ended == "stop" and not stream.stopped:
            ended = "max_tokens" if limit == self.max_tokens else "window"
        return Answer(stream.text, ended)


@dataclass(frozen=True)
class Answer:
    """The text of one turn and why it ended: `stop`, `max_tokens`, `window` or `interrupt`."""

    text: str
    ended: str


class TextStream(BaseStreamer):
    """Turns tokens into text as they come, never showing half a character.

    One character may span several tokens, and decoding its first ones alone gives U+FFFD; so text is held back while
    it ends in U+FFFD. A token may also read differently without the one before it (a leading space, say), so new text
    is the difference between decoding two windows that start at the same, earlier token.
    """

    def __init__(self, decode: Callable[..., str], stop_ids: frozenset[int], show: Callable[[str], None]):
        self.decode = decode
        self.stop_ids = stop_ids
        self.show = show
        self.ids: list[int] = []
        self.window_start = 0  # decoding starts here,
        self.shown_to = 0  # and the text of the tokens before this one has been shown
        self.text = ""
        self.stopped = False  # a stop token has come
        self._prompt_seen = False

    def put(self, value: torch.Tensor) -> None:
        """Take the prompt on the first call (`generate` sends it) and new tokens on the others."""
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        for token in value.flatten().tolist():
            self.push(token)

    def end(self) -> None:
        """`generate` is done; `flush` is called in any case, also after an interrupt."""

    def push(self, token: int) -> None:
        """Take one token and show the text that it completes."""
        if token in self.stop_ids:
            self.stopped = True
            return
        self.ids.append(token)
        text = self._pending()
        if text and not text.endswith("\ufffd"):
            self._emit(text)

    def flush(self) -> None:
        """Show what was held back, complete or not."""
        if text := self._pending():
            self._emit(text)

    def _pending(self) -> str:
        seen = self.decode(self.ids[self.window_start : self.shown_to], skip_special_tokens=True)
        return self.decode(self.ids[self.window_start :], skip_special_tokens=True)[len(seen) :]

    def _emit(self, text: str) -> None:
        self.window_start, self.shown_to = self.shown_to, len(self.ids)
        self.text += text
        self.show(text)


def _converse(
    speaker: Speaker, conversation: Conversation, read_line: Callable[[], str | None], stdout: TextIO, notes: Console
) -> int:
    def note(text: str) -> None:
        notes.print(text, style="dim", markup=False, soft_wrap=True)

    def show(text: str) -> None:
        stdout.write(text.translate(UNSHOWN) if stdout.isatty() else text)
        stdout.flush()

    interrupted = False  # by Ctrl-C, with no line read since
    while True:
        try:
            line = read_line()
        except KeyboardInterrupt:
            if interrupted:
                return 0
            interrupted = True
            note("\nCtrl-C again or Ctrl-D leaves.")
            continue
        interrupted = False
        if line is None or line == "/exit":
            return 0
        if not line:
            continue
        if line.startswith("/"):
            conversation = _obey(line, conversation, note)
            continue
        turn = {"role": "user", "content": line}
        try:
            answer = speaker.answer([*conversation.messages, turn], show)
        except InputError as error:
            note(str(error))
            continue
        show("\n")
        if answer.text:
            conversation.turns += [turn, {"role": "assistant", "content": answer.text}]
        else:
            note("(no answer; the question is not kept)")
        if answer.ended == "max_tokens":
            note(f"(cut at {speaker.max_tokens} tokens; --max-tokens allows more)")
        elif answer.ended == "window":
            note(f"(cut: the model's window of {speaker.window} tokens is full; /reset starts a new conversation)")
        elif answer.ended == "interrupt":
            interrupted = True
            note("(stopped; Ctrl-C again or Ctrl-D leaves)")


def _obey(line: str, conversation: Conversation, note: Callable[[str], None]) -> Conversation:
    """Carry out a line that starts with a slash; gives the conversation to go on with."""
    command, _, text = line.partition(" ")
    if command == "/system":
        system = text.strip() or None
        note("(new conversation with these instructions)" if system else "(new conversation without instructions)")
        return Conversation(system)
    if command == "/reset":
        note("(new conversation)")
        return Conversation(conversation.system)
    if command == "/help":
        note(HELP)
        return conversation
    close = difflib.get_close_matches(command, COMMANDS, n=1)
    note(f"There is no command {command};" + (f" did you mean {close[0]}?" if close else " /help lists them."))
    return conversation


def _reader(stdin: TextIO | None) -> Callable[[], str | None]:
    """A function that gives the next line, stripped, or None at the end of the input."""
    if stdin is None and sys.stdin.isatty():
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  (gives input() line editing and a history where the platform has it)

        def ask() -> str | None:
            try:
                return input("> ").strip()
            except EOFError:
                return None

        return ask
    source = sys.stdin if stdin is None else stdin
    if hasattr(source, "reconfigure"):
        source.reconfigure(encoding="utf-8", errors="replace")  # a stray byte in a pipe should not end the conversation

    def read() -> str | None:
        line = source.readline()
        return line.strip() if line else None

    return read
