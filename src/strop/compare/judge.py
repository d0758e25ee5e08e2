"""A model as the judge of pairs, asked in both orders (Zheng et al. 2023, arXiv:2306.05685, position swap).

A vote counts only where both orders name the same answer; where they do not, the judge went by the position and the
vote is a tie. How often that was is reported, and so are replies without a verdict, which are no vote; one that was cut
off has none, whatever stands in it so far.
"""

from __future__ import annotations

import json
import os
import re
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

from strop.common.console import working
from strop.common.errors import InputError
from strop.common.files import write_jsonl
from strop.compare.blind import Chosen
from strop.compare.pairs import Pair
from strop.compare.votes import Rater, Vote
from strop.rewards.reasoning import opened_by, without_reasoning

Messages = list[dict[str, str]]
MAX_TOKENS = 512
AT_ONCE = 4
TIMEOUT = 300.0
WORK = "judge: replies"
PROMPT = """\
Two assistants answered the same request. Judge which answer serves it better: whether it is right, complete, and no \
longer than it needs to be. Neither the order of the answers nor their length may sway you.

[Request]
{prompt}

[Answer A]
{a}

[Answer B]
{b}

[End]
Explain in one or two sentences, then end with one line: [[A]] if answer A is better, [[B]] if answer B is better, \
[[C]] for a tie."""
VOTES = re.compile(r'\{"task": ')
"""How a file of votes begins."""
_STRAIGHT: dict[str, Vote] = {"A": "first", "B": "second", "C": "tie"}
_TURNED: dict[str, Vote] = {"A": "second", "B": "first", "C": "tie"}
_VERDICT = re.compile(r"\[\[\s*([ABC])\s*\]\]")


class Reply(NamedTuple):
    """``text``: empty where there is no reply. ``cut_off``: it ran into `MAX_TOKENS` or the model's window."""

    text: str
    cut_off: bool = False


Ask = Callable[[Sequence[Messages]], Iterable[Reply]]
"""Replies to conversations, in their order."""


@dataclass(frozen=True)
class Judged:
    """``rater``: the judge's votes. Of ``pairs`` asked about, ``consistent`` got the same vote in both orders,
    ``silent`` had a reply without a verdict (of these, ``cut_off`` had one that was cut off), and ``by_place`` went to
    the same place twice: to A, to B."""

    rater: Rater
    pairs: int
    consistent: int
    by_place: tuple[int, int]
    silent: int
    cut_off: int


def judge(chosen: Chosen, ask: Ask, name: str, out: Path | None = None) -> Judged:
    """Ask about every pair twice, sides swapped; ``out`` gets a vote a line with both replies.

    Raises what ``ask`` does, once the votes so far are in ``out``.
    """
    replies: list[Reply] = []
    try:
        replies.extend(ask([_messages(pair) for a, b in chosen.pairs for pair in ((a, b), (b, a))]))
    except InputError as error:
        done, rows = _judged(chosen, name, replies)
        if out is None or not done.rater.votes:
            raise
        write_jsonl(out, rows)
        kept = f"The votes on {len(done.rater.votes):,} of {len(chosen.pairs):,} pairs are in {out} (--votes)"
        raise InputError(f"{error} {kept}.") from None
    done, rows = _judged(chosen, name, replies)
    if out is not None:
        write_jsonl(out, rows)
    return done


def _judged(chosen: Chosen, name: str, replies: Sequence[Reply]) -> tuple[Judged, list[dict[str, Any]]]:
    """What came of the pairs that have both of their replies, in turn, and the rows of those with a vote."""
    votes: dict[str, Vote] = {}
    rows: list[dict[str, Any]] = []
    consistent, silent, cut_off, by_place = 0, 0, 0, [0, 0]
    answered = list(zip(chosen.pairs, replies[::2], replies[1::2], strict=False))
    for (first, _), *said in answered:
        straight, turned = map(verdict, said)
        if straight is None or turned is None:
            silent += 1
            cut_off += any(reply.cut_off for reply in said)
            continue
        orders = _STRAIGHT[straight], _TURNED[turned]
        same = orders[0] == orders[1]
        consistent += same
        if not same and straight == turned:
            by_place["AB".index(straight)] += 1
        votes[first.name] = orders[0] if same else "tie"
        row = {"task": chosen.task, "name": first.name, "said": [reply.text for reply in said]}
        rows.append(row | {"vote": votes[first.name], "orders": orders})
    places = by_place[0], by_place[1]
    return Judged(Rater(name, chosen.task, votes), len(answered), consistent, places, silent, cut_off), rows


def verdict(reply: Reply) -> str | None:
    """The [[A]], [[B]] or [[C]] that a reply comes to, reasoning left out: that of its last line, or the one that it
    names at all; None where there is none, it names several, or it was cut off."""
    if reply.cut_off:
        return None
    lines = without_reasoning(reply.text).strip().splitlines()
    for part in (lines[-1:], lines):
        found = set(_VERDICT.findall("\n".join(part)))
        if found:
            return found.pop() if len(found) == 1 else None
    return None


def _messages(pair: Pair) -> Messages:
    a, b = pair
    return [{"role": "user", "content": PROMPT.format(prompt=a.prompt, a=a.answer, b=b.answer)}]


def served(url: str, model: str, key: str | None = None) -> Ask:
    """A judge behind an OpenAI-compatible server (``URL/chat/completions``), greedy, `AT_ONCE` requests at a time.

    ``key``: by default what ``OPENAI_API_KEY`` says. Raises InputError when the server refuses or does not answer.
    """
    key = key or os.environ.get("OPENAI_API_KEY")
    address = url.rstrip("/") + "/chat/completions"
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}

    def one(messages: Messages) -> Reply:
        body = {"model": model, "messages": messages, "temperature": 0, "max_tokens": MAX_TOKENS}
        request = urllib.request.Request(address, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
                choice = json.load(response)["choices"][0]
            return Reply(choice["message"]["content"] or "", choice.get("finish_reason") == "length")
        except (OSError, HTTPException, ValueError) as error:  # refused, too late, dropped on the way, no JSON
            raise InputError(f"{address}: {error}; is the server running, and the model's name {model!r}?") from None
        except (KeyError, IndexError, TypeError, AttributeError):
            raise InputError(f"{address}: the reply is no chat completion; give the address up to /v1.") from None

    def ask(conversations: Sequence[Messages]) -> Iterator[Reply]:
        with working(WORK, len(conversations), at_once=AT_ONCE) as work, ThreadPoolExecutor(AT_ONCE) as pool:
            for reply in pool.map(one, conversations):
                yield reply
                work.advance()

    return ask


def local(model: str) -> Ask:
    """A judge out of a folder (or another name of a model), greedy on strop's own engine.

    A prompt that fills the model's window gets no reply. Raises InputError where the model cannot be loaded.
    """
    from strop.chat import ChatSettings
    from strop.model.names import resolve
    from strop.model.precision import best_compute
    from strop.rollout.engine import SamplingParams
    from strop.rollout.loaded import load
    from strop.rollout.torch_engine import TorchEngine

    loaded = load(resolve(model), ChatSettings(), best_compute("auto", "auto"), name=model)
    loaded.encoder.require_template()
    engine = TorchEngine(loaded.policy, loaded.stop_ids)

    def ask(conversations: Sequence[Messages]) -> list[Reply]:
        prompts = [loaded.encoder.prompt(messages) for messages in conversations]
        fitting = [i for i, prompt in enumerate(prompts) if len(prompt) < engine.window]
        with working(WORK, len(fitting), at_once=engine.max_rows) as work:
            rollouts = engine.generate(
                [prompts[i] for i in fitting],
                SamplingParams(max_tokens=MAX_TOKENS),
                on_finished=lambda index, rollout: work.advance(),
            )
        replies = [Reply("")] * len(prompts)
        for i, rollout in zip(fitting, rollouts, strict=True):
            decode = partial(loaded.tokenizer.decode, clean_up_tokenization_spaces=False)
            opened = opened_by(decode(prompts[i][-16:]))  # what follows is reasoning until it is closed
            text = f"{opened}\n{decode(rollout.tokens)}" if opened else decode(rollout.tokens)
            replies[i] = Reply(text, rollout.finish_reason != "stop")
        return replies

    return ask
