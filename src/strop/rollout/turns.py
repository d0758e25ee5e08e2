"""Turns of a model and what an environment says between them, all trajectories of a batch together.

All trajectories that are at the same turn are generated in one call of the engine, whose prefix cache holds what they
have read so far; those that are done leave. What was sampled is never decoded and tokenised again: between two turns
the conversation is rendered by the model's own template, and where that text goes on from what was sampled, the new
part of it alone becomes ids. Where it does not (the template strips the reasoning of earlier turns, or spells a call
otherwise than the model did), the next turn reads the template's text, as it does when the model serves, and a new
segment begins: both are trained as they were sampled.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from strop.chat import ChatEncoder, Message
from strop.chat.codec import assistants
from strop.chat.origin import code
from strop.chat.parse import UNFINISHED, prompt_text, typed
from strop.chat.traced import concat, plain, relabel
from strop.common.errors import InputError, raised
from strop.common.registry import load_plugins, plugin_file
from strop.environments.base import Environment, Observation, Start, Step, Turn, observation_fault
from strop.rewards.timed import Failed, TimedWorkers
from strop.rollout.engine import Pauses, Request, Rollout, Sampler, SamplingParams
from strop.rollout.episodes import Episode, Opening
from strop.rollout.trajectory import ShownTurn


class Player:
    """Plays episodes of ``environment`` in the notation of ``encoder``.

    ``longest``: tokens that all segments of a trajectory may have together, so that one row of training holds them;
    None: what the model's window says. `close` ends the worker processes.
    """

    def __init__(self, encoder: ChatEncoder, environment: Environment, longest: int | None = None):
        self.encoder, self.environment, self.longest = encoder, environment, longest
        self.workers = TimedWorkers(environment.workers)
        self._schemas = environment.schemas()
        if not environment.timed:
            environment._pool = self.workers

    def close(self) -> None:
        self.workers.close()

    def decode(self, ids: Sequence[int]) -> str:
        # transformers would otherwise tidy the spaces of what some older tokenizers decode.
        return self.encoder.tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def opening(self, name: str, start: Start) -> Opening:
        """The prompt of an episode. Raises InputError where the environment cannot begin with it, or the template
        refuses it."""
        try:
            messages = self.environment.model_copy().reset(start)
        except InputError:
            raise
        except (Exception, SystemExit) as error:  # whatever anybody's code raises, of a row that is to be named
            kind = self.environment.kind
            raise InputError(
                f"the environment {kind} cannot begin with it ({raised(error)}); mend its reset, or the row."
            ) from error
        text, ids = self._rendered(messages)
        return Opening(name, start, ids, plain(text))

    def play(
        self,
        engine: Sampler,
        openings: Sequence[Opening],
        params: SamplingParams,
        group_size: int = 1,
        on_finished: Callable[[int, Episode], None] = lambda index, episode: None,
        on_turn: Callable[[Turn, Observation | None], None] = lambda turn, said: None,
    ) -> list[Episode]:
        """``group_size`` episodes of each opening, one opening after another. ``params.max_tokens``: tokens that the
        model may write in an episode, all turns together.

        What episode ``i`` of an opening draws depends on the seed, the opening's name and ``i``, and what the
        environment says. ``on_finished(index in the result, episode)`` is called as episodes end, and ``on_turn`` with
        each turn before it is answered (and None), and with the answer.
        """
        episodes = [
            Episode.of(one, i, self.environment.model_copy(), params.max_tokens)
            for one in openings
            for i in range(group_size)
        ]
        number = {id(one): n for n, one in enumerate(episodes)}
        active = episodes
        first = [
            Request(one.ids, replace(params, max_tokens=max(1, self._room(engine, episodes[n * group_size]))),
                    group_size, one.name)
            for n, one in enumerate(openings)
        ]  # fmt: skip
        rollouts = self._generate(engine, first, active)
        while active:
            for episode, rollout in zip(active, rollouts, strict=True):
                episode.take(rollout, self.decode, engine.stop_ids)
            self._answer([one for one in active if one.finish is None], on_turn)
            going = [one for one in active if one.finish is None]
            for episode in going:
                if self._room(engine, episode) < 1:
                    episode.end("length")
            for episode in active:
                if episode.finish is not None:
                    on_finished(number[id(episode)], episode)
            active = [one for one in going if one.finish is None]
            requests = [
                Request(tuple(one.ids), replace(params, max_tokens=self._room(engine, one)), 1, one.request_name)
                for one in active
            ]
            rollouts = self._generate(engine, requests, active) if active else []
        return episodes

    def _room(self, engine: Sampler, episode: Episode) -> int:
        return episode.room(engine.window, self.longest)

    def _generate(self, engine: Sampler, requests: list[Request], episodes: list[Episode]) -> list[Rollout]:
        if not self.environment.pauses:
            return engine.generate(requests)
        fresh: list[list[int]] = [[] for _ in episodes]
        may_end = self._may_pause - engine.stop_ids

        def pauses(index: int, token: int) -> bool:
            episode = episodes[index]
            fresh[index].append(token)
            if token not in may_end:
                return False
            return episode.environment.pause(self.decode([*episode.ids[episode.begin :], *fresh[index]]))

        return engine.generate(requests, on_token=Pauses(may_end, pauses))

    @cached_property
    def _may_pause(self) -> frozenset[int]:
        """The tokens after which the environment looks at all."""
        return frozenset(i for i in range(len(self.encoder.tokenizer)) if self.environment.may_pause(self.decode([i])))

    def said(self, episode: Episode) -> list[Message]:
        """What followed the prompt of an episode that ended. Not to be trained are turns with a call that cannot be
        read: as text it is not what the model wrote."""
        said, last = list(episode.messages[episode.asked :]), episode.message
        if last is None and len(episode.ids) > episode.begin:  # it was cut off
            last = self._written(episode) if self.environment.pauses else Message("assistant", episode.answer)
        said += [last] if last else []
        while said and said[-1].role != "assistant":  # there was no room to answer that
            said.pop()
        return said

    # -- between turns

    def _answer(self, episodes: list[Episode], on_turn: Callable[[Turn, Observation | None], None]) -> None:
        turns = [self._turn(one) for one in episodes]
        for turn in turns:
            on_turn(turn, None)
        for episode, turn, done in zip(episodes, turns, self._steps(episodes, turns), strict=True):
            if not turn.paused:
                episode.end_turn(turn.message.tool_calls, turn.malformed)
                episode.message = turn.message
            if isinstance(done, Failed):
                episode.fail(f"the environment {done.why}")
                continue
            if fault := observation_fault(done.observation):
                episode.fail(f"the environment {fault}")
                continue
            episode.environment, said = done
            on_turn(turn, said)
            episode.counts.update(said.counts)
            if said.reward is not None:
                episode.reward = (episode.reward or 0.0) + float(said.reward)
            if said.insert is not None:
                before, text, after = said.insert
                episode.insert(self._inserted(*said.insert), before + text + after)
            elif said.done:
                episode.end("stop")
            elif episode.number >= self.environment.max_turns:
                episode.counts["out_of_turns"] += 1
                episode.end("turns")
            else:
                self._go_on(episode, turn, said)

    def _turn(self, episode: Episode) -> Turn:
        if self.environment.pauses or episode.text is None:
            said = Message("assistant", episode.answer) if episode.paused else self._written(episode)
            return Turn(said, episode.answer, episode.number, paused=episode.paused)
        parsed = self.encoder.parse(episode.ids[episode.begin :], episode.messages, self._schemas)
        malformed = [note for note in parsed.notes if note != UNFINISHED] if self._schemas else []
        message = replace(parsed.message, train=not malformed)
        return Turn(message, episode.answer, episode.number, "; ".join(malformed))

    def _written(self, episode: Episode) -> Message:
        """The turn that ended, results that were put into it as parts of their own."""
        ids, weights = episode.ids[episode.begin :], episode.weights[episode.begin :]
        if ids and ids[-1] in self.encoder.stop_ids:
            ids = ids[:-1]
        written, end, before = [], 0, ""
        for own, tokens in groupby(weights[: len(ids)], key=bool):
            end += len(list(tokens))
            text = self.decode(ids[:end])  # of the first token alone some tokenizers drop the space
            written.append((text.removeprefix(before), own))
            before = text
        parts = self.environment.parts(written)
        if all(part.kind == "text" for part in parts):
            return Message("assistant", episode.answer)
        return Message("assistant", "".join(part.text for part in parts), parts=tuple(parts))

    def _steps(self, episodes: list[Episode], turns: list[Turn]) -> list[Step | Failed]:
        pairs = [(one.environment, turn) for one, turn in zip(episodes, turns, strict=True)]
        if self.environment.timed:
            plugin = plugin_file(type(self.environment))
            work = [_Work(plugin, pickle.dumps(pair)) for pair in pairs]
            return self.workers.map(_step, work, self.environment.seconds)
        with ThreadPoolExecutor(self.environment.workers) as threads:
            return list(threads.map(lambda pair: Step(pair[0], pair[0].step(pair[1])), pairs))

    def _go_on(self, episode: Episode, turn: Turn, said: Observation) -> None:
        """The prompt of the next turn."""
        if episode.text is None:
            raise InputError("the environment answers a text that is no conversation; use it with chat prompts.")
        for message in said.messages:
            name, content = str(message.get("name", "")), message.get("content")
            shown = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, default=str)
            episode.turns.append(ShownTurn(str(message["role"]), shown, name=name))
        before = [*episode.messages, turn.message]
        try:
            text, messages = self._after(before, said)
            whole, sampled = plain(text), self.decode(episode.ids[episode.begin :])
            same = whole.startswith(episode.text + sampled)
            new = text[len(episode.text + sampled) :] if same else text
            ids = self._ids(new, messages)
        except InputError as error:  # a character that the tokenizer has no token for
            episode.fail(f"said what cannot be read: {error}")
            return
        episode.messages, episode.message = messages, None
        episode.next_turn(whole, ids, same)

    def _after(self, before: list[Message], said: Observation) -> tuple[str, list[Message]]:
        """The whole text before the next turn, traced, and the messages. A template that takes no message of a tool
        where there was no call is given it as the user's."""
        given = [{**one, "train": False} if one["role"] == "assistant" else one for one in said.messages]
        try:
            return self._text([*before, *given])
        except InputError:
            if before[-1].tool_calls or not any(one["role"] == "tool" for one in given):
                raise
        return self._text([*before, *({"role": "user", "content": one["content"]} for one in given)])

    def _text(self, messages: list) -> tuple[str, list[Message]]:
        read, inputs = typed(messages, self._schemas, None, None)
        return prompt_text(self.encoder, read, inputs), read

    def _rendered(self, messages: list) -> tuple[str, list[int]]:
        text, read = self._text(messages)
        return text, self._ids(text, read)

    def _ids(self, text: str, messages: Sequence[Message]) -> list[int]:
        return self.encoder.tokens(text, assistants(messages), "prompt").ids

    def _inserted(self, before: str, text: str, after: str) -> list[int]:
        """A result as ids: its notation may be control tokens, its text never is."""
        return self.encoder.tokens(concat([before, relabel(text, code(0, "content")), after]), (), "result").ids


class _Work(NamedTuple):
    """An environment and a turn, packed until a plug-in's file is read."""

    plugin: Path | None
    work: bytes


def _step(job: _Work) -> Step:
    load_plugins([job.plugin] if job.plugin else [])
    environment, turn = pickle.loads(job.work)
    return Step(environment, environment.step(turn))
