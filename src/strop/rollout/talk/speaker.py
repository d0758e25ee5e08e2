"""A model that answers: messages in, the next turn out, piece by piece, by the engine that evaluation uses."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import torch

from strop.chat import ChatEncoder, Message
from strop.chat.rendering import TemplateInputs
from strop.chat.syntax import syntax_of
from strop.chat.text import document_ids
from strop.common.errors import InputError
from strop.environments.base import Environment, Observation, Start, Turn
from strop.rollout.engine import OnFinished, OnToken, Request, Rollout, Sampler, SamplingParams, as_requests
from strop.rollout.talk.stream import Apart, TextStream
from strop.rollout.turns import Player

Ended = Literal["stop", "max_tokens", "window", "interrupt", "turns"]
_TAIL = 64
"""Tokens at the end of a prompt that tell whether it opens the reasoning."""


@dataclass(frozen=True)
class Answer:
    """What was thought and said, and why it ended: ``stop``, ``max_tokens``, ``window``, ``interrupt``, or ``turns``
    where no turn is left.

    ``message`` is the last turn; with tools ``turns`` are all of them with the results between them, and ``written`` is
    the last one's text with what was put into it. ``tokens`` were generated.
    """

    message: Message
    ended: Ended
    tokens: int
    turns: tuple[Message, ...] = ()
    written: str | None = None

    @property
    def text(self) -> str:
        return (self.message.content if self.written is None else self.written) or ""

    @property
    def messages(self) -> list[Message]:
        """What goes on with the conversation."""
        return list(self.turns) or [self.message]

    @property
    def reasoning(self) -> str | None:
        return self.message.reasoning_content


class Tell(Protocol):
    """Shows what tools were asked for and said: on a line of its own, or within the answer."""

    def __call__(self, text: str, within: bool = False) -> None: ...


def _untold(text: str, within: bool = False) -> None:
    pass


class Speaker:
    """``window``: the most tokens that the model reads; None where nothing says so. ``environment``: what answers
    between its turns; `close` ends the processes of that."""

    def __init__(
        self,
        engine: Sampler,
        encoder: ChatEncoder,
        decode: Callable[..., str],
        window: int | None,
        max_tokens: int = 512,
        temperature: float = 0.0,
        top_p: float = 1.0,
        environment: Environment | None = None,
    ):
        self.engine, self.encoder, self.decode = engine, encoder, decode
        self.window, self.max_tokens = window, max_tokens
        self.temperature, self.top_p = temperature, top_p
        self.player = Player(encoder, environment) if environment else None
        self._calls: tuple[str, ...] = ()
        if environment and (schemas := environment.schemas()):
            syntax = syntax_of(encoder, TemplateInputs(schemas))
            self._calls = syntax.calls.marks if syntax.calls else ()

    def close(self) -> None:
        if self.player:
            self.player.close()

    def answer(
        self,
        messages: Sequence[Message],
        say: Callable[[str], None],
        think: Callable[[str], None] = lambda text: None,
        tell: Tell = _untold,
    ) -> Answer:
        """Generate the next turn, calling `say` and `think` with each new piece; Ctrl-C ends it with what there is.
        With tools: turns, until one calls none; ``max_tokens`` are of all of them.

        Raises:
            InputError: the conversation leaves no room for an answer in the model's window, or a tool's answer cannot
                be read.
        """
        if self.player:
            return self._played(self.player, messages, say, think, tell)
        ids = self.encoder.prompt(messages)
        apart = Apart(self.decode(ids[-_TAIL:], skip_special_tokens=False), think, say)
        stream = TextStream(self.decode, apart.push)
        ended, count = self._generate(ids, stream)
        message = self.encoder.parse(stream.text, messages, finished=ended == "stop").message
        apart.finish(message)
        return Answer(message, ended, count)

    def go_on(self, text: str) -> Answer:
        """What the model writes after ``text`` as it stands, without a template. Raises InputError as `answer`."""
        stream = TextStream(self.decode, lambda piece: None)
        ended, count = self._generate(document_ids(text, self.encoder), stream)
        return Answer(Message("assistant", stream.text), ended, count)

    def _generate(self, ids: list[int], stream: TextStream) -> tuple[Ended, int]:
        """Tokens into the stream; why they end, and how many they are."""
        sampling = self._sampling(len(ids))
        count = 0

        def on_token(_: int, token: int) -> None:
            nonlocal count
            count += 1
            if token not in self.encoder.stop_ids:
                stream.push(token)

        try:
            [rollout] = self.engine.generate([ids], sampling, on_token)
            full: Ended = "max_tokens" if sampling.max_tokens == self.max_tokens else "window"
            ended: Ended = "stop" if rollout.finish_reason == "stop" else full
        except KeyboardInterrupt:
            ended = "interrupt"
        stream.flush()
        return ended, count

    def _sampling(self, length: int) -> SamplingParams:
        """How to go on after ``length`` tokens."""
        room = self.max_tokens if self.window is None else self.window - length
        if room < 1:
            raise InputError(
                f"The conversation has grown to {length} tokens and the model reads at most {self.window}; "
                "/reset starts a new one."
            )
        seed = int(torch.randint(1 << 31, ()))
        return SamplingParams(min(self.max_tokens, room), self.temperature, self.top_p, seed=seed)

    def _played(
        self,
        player: Player,
        messages: Sequence[Message],
        say: Callable[[str], None],
        think: Callable[[str], None],
        tell: Tell,
    ) -> Answer:
        given: list[Any] = list(messages)  # strop's own environments hand them on as they are
        opening = player.opening("chat", Start("chat", given))
        sampling = replace(self._sampling(len(opening.ids)), max_tokens=self.max_tokens)
        heard = _Heard(self, say, think, tell, self._calls)
        try:
            [episode] = player.play(heard, [opening], sampling, on_turn=heard.turn)
        except KeyboardInterrupt:  # while a tool worked
            return Answer(Message("assistant", ""), "interrupt", heard.count)
        if episode.failure:
            raise InputError(f"the answer ended: {episode.failure}; ask again, or leave the tool out.")
        turns = player.said(episode)
        last = turns[-1] if turns else Message("assistant", "")
        heard.finish(last)
        ended: Ended = "turns" if episode.finish == "turns" else "stop"
        if heard.interrupted:
            ended = "interrupt"
        elif episode.finish == "length":
            ended = "max_tokens" if episode.left < 1 else "window"
        return Answer(last, ended, heard.count, tuple(turns), episode.answer if last.parts else None)


class _Heard:
    """A speaker's engine whose tokens are shown as they come, and Ctrl-C ends an answer as if there were no room."""

    def __init__(
        self,
        speaker: Speaker,
        say: Callable[[str], None],
        think: Callable[[str], None],
        tell: Tell,
        calls: Sequence[str],
    ):
        self.stop_ids, self.window = speaker.encoder.stop_ids, speaker.window or 1 << 30
        self._speaker, self._say, self._think, self._tell, self._calls = speaker, say, think, tell, calls
        self._apart: Apart | None = None  # of the turn in hand
        self._within = False
        self.count, self.interrupted, self._rounds = 0, False, 0

    def generate(
        self,
        requests: Sequence[Request | Sequence[int]],
        params: SamplingParams | None = None,
        on_token: OnToken | None = None,
        on_finished: OnFinished | None = None,
    ) -> list[Rollout]:
        """One request's answer, whatever its name draws: each round has a seed of its own."""
        [request] = as_requests(requests, params)
        speaker = self._speaker
        tokens: list[int] = []
        tail = list(request.prompt[-_TAIL:])
        if self._apart is None:
            text = speaker.decode(tail, skip_special_tokens=False)
            self._apart = Apart(text, self._think, self._said, self._calls)
        stream = TextStream(speaker.decode, self._apart.push, tail)

        def heard(index: int, token: int) -> bool | None:
            tokens.append(token)
            if token not in self.stop_ids:
                stream.push(token)
            return on_token(index, token) if on_token else None

        sampling = replace(request.params, seed=request.params.seed + self._rounds)
        self._rounds += 1
        try:
            return speaker.engine.generate([list(request.prompt)], sampling, heard)
        except KeyboardInterrupt:
            self.interrupted = True
            return [Rollout(tuple(request.prompt), tuple(tokens), (), "length")]
        finally:
            self.count += len(tokens)
            stream.flush()

    def turn(self, turn: Turn, said: Observation | None) -> None:
        """A turn as it is answered."""
        if said is None:
            if not turn.paused:
                self.finish(turn.message)
            for call in turn.message.tool_calls:
                arguments = json.dumps(dict(call["function"]["arguments"]), ensure_ascii=False)
                self._tell(f"(calls {call['function']['name']} with {arguments})")
            return
        if said.insert is not None and self._apart is not None:
            self._within = True
            self._apart.push("".join(said.insert))
            self._within = False
        for message in said.messages:
            self._tell(f"({message.get('name') or message['role']}: {message['content']})")

    def finish(self, message: Message) -> None:
        """The turn in hand is whole."""
        if self._apart is not None:
            self._apart.finish(message)
        self._apart = None

    def _said(self, text: str) -> None:
        if self._within:
            self._tell(text, within=True)
        else:
            self._say(text)
