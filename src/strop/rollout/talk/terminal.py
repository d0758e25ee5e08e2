"""A conversation in the terminal: lines and commands in, answers out as they are made."""

import contextlib
import difflib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TextIO

from strop.chat import Message
from strop.common.errors import InputError
from strop.rollout.talk.speaker import Answer, Speaker

HELP = '''\
/system TEXT   give the model these instructions and start anew; without TEXT, none
/reset         forget the conversation so far
/help          show this
/exit          leave (so do Ctrl-D and a second Ctrl-C; the first one stops an answer)
//text         send /text, a line that begins with a slash
"""            begin a message of several lines; the same at the end of a line sends it'''
COMMANDS = ("/system", "/reset", "/help", "/exit")
FENCE = '"""'

# What a model writes may not steer the terminal: control characters other than tab and newline are not shown.
UNSHOWN = {code: None for code in [*range(32), *range(127, 160)] if chr(code) not in "\t\n"}
_DIM, _PLAIN = "\x1b[2m", "\x1b[22m"

Note = Callable[[str], None]


@dataclass
class Session:
    """The turns so far, the system turn first if there is one."""

    system: str | None = None
    turns: list[Message] = field(default_factory=list)

    @property
    def messages(self) -> list[Message]:
        return [*([Message("system", self.system)] if self.system else []), *self.turns]


def converse(
    speaker: Speaker, conversation: Session, read_line: Callable[[], str | None], stdout: TextIO, note: Note
) -> int:
    """Answer line after line, as turns of one conversation, until there are no more; returns the exit code."""
    interrupted = False  # by Ctrl-C, with no line read since
    while True:
        try:
            line = read_message(read_line)
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
        if line.startswith("/") and not line.startswith("//"):
            conversation = obey(line, conversation, note)
            continue
        turn = Message("user", unescaped(line))
        try:
            answer = _shown(speaker, [*conversation.messages, turn], stdout)
        except InputError as error:
            note(str(error))
            continue
        if _is_empty(answer):
            note("(no answer; the question is not kept)")
        else:
            conversation.turns += [turn, *answer.messages]
        interrupted = answer.ended == "interrupt"
        if interrupted:
            note("(stopped; Ctrl-C again or Ctrl-D leaves)")
        elif why := why_cut(answer, speaker):
            note(why)


def why_cut(answer: Answer, speaker: Speaker) -> str | None:
    """What to say of an answer that did not end by itself."""
    if answer.ended == "max_tokens":
        return f"(cut at {speaker.max_tokens} tokens; --max-tokens allows more)"
    if answer.ended == "turns":
        return "(cut: no turn is left to read what the tool said)"
    if answer.ended == "window":
        return f"(cut: the model's window of {speaker.window} tokens is full; /reset starts a new conversation)"
    return None


def unescaped(line: str) -> str:
    """What a line sends: one that begins with two slashes, with one."""
    return line[1:] if line.startswith("//") else line


def read_message(read_line: Callable[[], str | None]) -> str | None:
    """The next message: a line without the space around it, or all between two marks for several lines, as it is.

    None at the end of the input; what an open mark has gathered until there is a message.
    """
    line = read_line()
    if line is None or not line.strip().startswith(FENCE):
        return None if line is None else line.strip()
    first = line.strip().removeprefix(FENCE)
    if first.endswith(FENCE):
        return _guarded(first.removesuffix(FENCE))
    lines = [first] if first else []
    while (line := read_line()) is not None:
        if line.rstrip().endswith(FENCE):
            last = line.rstrip().removesuffix(FENCE)
            lines += [last] if last.strip() else []
            break
        lines.append(line)
    return _guarded("\n".join(lines))


def _guarded(text: str) -> str:
    """So that what stands between the marks is no command."""
    return "/" + text if text.startswith("/") else text


def obey(line: str, conversation: Session, note: Note) -> Session:
    """Carry out a line that starts with a slash; gives the conversation to go on with."""
    command, _, text = line.partition(" ")
    if command == "/system":
        system = text.strip() or None
        note("(new conversation with these instructions)" if system else "(new conversation without instructions)")
        return Session(system)
    if command == "/reset":
        note("(new conversation)")
        return Session(conversation.system)
    if command == "/help":
        note(HELP)
        return conversation
    close = difflib.get_close_matches(command, COMMANDS, n=1)
    note(
        f"There is no command {command};"
        + (f" did you mean {close[0]}?" if close else " /help lists them.")
        + " Two slashes send a line that begins with one."
    )
    return conversation


def line_reader(stdin: TextIO | None) -> Callable[[], str | None]:
    """A function that gives the next line without its end, or None at the end of the input."""
    if stdin is None and sys.stdin.isatty():
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  (gives input() line editing and a history where the platform has it)

        def ask() -> str | None:
            try:
                return input("> ")
            except EOFError:
                return None

        return ask
    source = sys.stdin if stdin is None else stdin
    if hasattr(source, "reconfigure"):
        source.reconfigure(encoding="utf-8", errors="replace")  # a stray byte in a pipe should not end the conversation

    def read() -> str | None:
        line = source.readline()
        return line.rstrip("\r\n") if line else None

    return read


def _shown(speaker: Speaker, messages: list[Message], stdout: TextIO) -> Answer:
    """The answer, written as it comes; on a terminal its reasoning is dimmed, elsewhere marked. What tools are asked
    for and say stands on lines of its own, or within the answer, dimmed on a terminal."""
    terminal = stdout.isatty()
    opening, closing = (_DIM, _PLAIN) if terminal else ("<think>\n", "\n</think>")
    thinking, at_start = False, True

    def write(text: str, thought: bool = False) -> None:
        nonlocal thinking, at_start
        if thought != thinking:
            stdout.write(opening if thought else f"{closing}\n")
            at_start = True
        thinking = thought
        stdout.write(text.translate(UNSHOWN) if terminal else text)
        stdout.flush()
        at_start = text.endswith("\n") if text else at_start

    def tell(text: str, within: bool = False) -> None:
        write("" if within or at_start else "\n")
        stdout.write(_DIM if terminal else "")
        write(text)
        stdout.write(_PLAIN if terminal else "")
        write("" if within else "\n")

    try:
        answer = speaker.answer(messages, write, partial(write, thought=True), tell)
        if not answer.turns:
            for call in answer.message.tool_calls:
                function = call["function"]
                write(f"\n(calls {function['name']} with {function['arguments']})")
    finally:
        write("")  # no more thought
    write("\n")
    return answer


def _is_empty(answer: Answer) -> bool:
    return not (answer.text or answer.reasoning or answer.message.tool_calls)
