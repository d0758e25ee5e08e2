"""Rows to examples, in this process or in several, always with the same result."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, islice
from typing import Any

import numpy as np

from strop.chat import ChatEncoder, ChatSettings, Conversation, Example, LeftOut, MaskReport, Message, Text, parse_row
from strop.chat.answers import Answered, Content, parse_answers
from strop.chat.inspection import Inspection
from strop.common.errors import InputError
from strop.common.processes import without_main
from strop.data.counter import uniform, words
from strop.data.rows import Row

CHUNK = 128
"""Rows that go to a process at a time."""
STUCK_SECONDS = 1800.0
"""In which a process has to be done with them; a second is usual."""
SHOWN = 4
"""Examples that are kept for people to look at: two pairs, say."""
SPAWN_FROM = 2048
"""Rows from which on processes are started: each takes a second or two until it works."""


@dataclass(frozen=True)
class Encoding:
    """All that decides how a conversation becomes tokens, in a form that other processes can be given."""

    tokenizer: Any
    settings: ChatSettings
    stop_ids: frozenset[int]
    window: int | None = None
    """Tokens of plain text in an example where ``max_length`` is not set."""
    reads: int | None = None
    """The most tokens that the model reads: a longer example is refused."""

    @cached_property
    def encoder(self) -> ChatEncoder:
        return ChatEncoder(self.tokenizer, self.settings, self.stop_ids, self.window, reads=self.reads)


@dataclass(frozen=True)
class PromptDraws:
    """Draws of a system prompt for the rows of one part of a mixture, anew each time the part is passed through.

    The prompt of a row is a function of (seed, part, pass, row). ``passes`` different ones are drawn; later passes
    repeat them in turn.
    """

    ratio: float
    prompts: tuple[str, ...]
    seed: int
    part: int
    passes: int

    def of_pass(self, number: int, first: int, count: int) -> np.ndarray:
        """``[count]`` for the rows from ``first`` on: 0 is no prompt, k the k-th one, counted from 1."""
        name = f"strop system prompt, seed {self.seed}, part {self.part}, pass {number % self.passes}"
        drawn = uniform(words(name, count, at=first)[:, :2])
        which: np.ndarray = 1 + (drawn[:, 1] * len(self.prompts)).astype(np.int32)
        return np.where(drawn[:, 0] < self.ratio, which, np.int32(0))

    def all(self, first: int, count: int) -> list[list[int]]:
        """For each of the rows, the different prompts (0: none) that it has in any pass, ascending."""
        drawn = np.stack([self.of_pass(number, first, count) for number in range(self.passes)])
        return [np.unique(drawn[:, row]).tolist() for row in range(count)]

    def given(self, conversation: Conversation, number: int) -> Conversation:
        """The conversation with the ``number``-th prompt, counted from 1, before it."""
        return replace(conversation, messages=(Message("system", self.prompts[number - 1]), *conversation.messages))


@dataclass(frozen=True)
class Job:
    """How the rows of one part are read: their format, the system prompts, whether bad ones are left out, and what they
    hold."""

    format: str = "auto"
    draws: PromptDraws | None = None
    skip: bool = False
    content: Content = "conversations"


@dataclass
class EncodedRows:
    """The examples of consecutive rows. N examples, T tokens in all of them, R rows.

    ``tokens [T]`` int32, ``weights [T]`` float32, ``lengths [N]``; ``rows [N]``, counted from the first row of the
    part; ``prompts [N]``, the system prompt given (0: none); ``values [N]``, what is said of a judged answer
    (`strop.chat.answers.Answered`), 0 for others. ``places`` and ``own_system`` are of the R rows.
    ``shown`` are the first examples token by token, at most `SHOWN`, for people to look at; ``skipped`` says what was
    wrong with the rows left out.
    """

    tokens: np.ndarray
    weights: np.ndarray
    lengths: list[int]
    rows: list[int]
    prompts: list[int]
    values: list[float]
    places: list[str]
    own_system: list[bool]
    report: MaskReport
    skipped: list[str]
    shown: list[dict[str, Any]]


def encode_rows(encoder: ChatEncoder, job: Job, first: int, rows: list[Row], ended: InputError | None) -> EncodedRows:
    """Parse, encode and prove ``rows``, of which ``first`` is the number of the first.

    Raises InputError, ``ended`` where the reading ended with it after these rows.
    """
    drawn = job.draws.all(first, len(rows)) if job.draws else [[0]] * len(rows)
    report = MaskReport()
    examples: list[tuple[int, int, Example, float]] = []
    skipped: list[str] = []
    own_system: list[bool] = []
    shown: list[dict[str, Any]] = []
    parsed = [_parse(job, place, row, prompts) for (place, row), prompts in zip(rows, drawn, strict=True)]
    said = (group for one in parsed if not isinstance(one, InputError) for _, group in one[1])
    encoder.look_ahead(conversation for group in said for conversation, _ in group)
    for number, one in enumerate(parsed, start=first):
        encoder.report = MaskReport(conversations=number)  # every n-th row is audited, whoever encodes it
        try:
            if isinstance(one, InputError):
                raise one
            own, groups = one
            found = [
                (number, prompt, example, value)
                for prompt, group in groups
                for example, value in _encoded(encoder, job, group)
            ]
        except InputError as error:
            if not job.skip:
                raise
            skipped.append(str(error))
            own_system.append(False)
            continue
        encoder.report.conversations -= number
        report.merge(encoder.report)
        own_system.append(own)
        examples += found
        if found and len(shown) < SHOWN:
            inspected = (example for _, group in groups for said, _ in group for example in encoder.inspect(said))
            shown += map(_as_shown, islice(inspected, SHOWN - len(shown)))
    if ended is not None:
        raise ended
    return EncodedRows(
        tokens=np.fromiter(chain.from_iterable(e.tokens for _, _, e, _ in examples), np.int32),
        weights=np.fromiter(chain.from_iterable(e.loss_weights for _, _, e, _ in examples), np.float32),
        lengths=[len(e.tokens) for _, _, e, _ in examples],
        rows=[number for number, _, _, _ in examples],
        prompts=[prompt for _, prompt, _, _ in examples],
        values=[value for _, _, _, value in examples],
        places=[place for place, _ in rows],
        own_system=own_system,
        report=report,
        skipped=skipped,
        shown=shown,
    )


def _as_shown(inspected: Inspection) -> dict[str, Any]:
    """``place``, ``pieces`` and ``stops`` of an example."""
    pieces, stops = inspected.pieces()
    return {"place": inspected.place, "pieces": pieces, "stops": stops}


Group = Sequence[tuple[Conversation | Text | LeftOut, float]]
"""A conversation, or the judged answers that belong together, each with what is said of it."""
Parsed = tuple[bool, list[tuple[int, Group]]]


def _parse(job: Job, place: str, row: Any, prompts: list[int]) -> Parsed | InputError:
    """Whether the row takes no system prompt from us, and what it holds with each of the prompts, by number."""
    try:
        if job.content == "conversations":
            read: Conversation | Text | LeftOut | list[Answered] = parse_row(row, place, job.format)
        else:
            read = parse_answers(row, place, job.format, job.content)
    except InputError as error:
        return error
    if isinstance(read, Text | LeftOut):
        return True, [(0, [(read, 0.0)])]
    group = [(read, 0.0)] if isinstance(read, Conversation) else list(read)
    own = any(m.role in ("system", "developer") for m in group[0][0].messages)
    if own or job.draws is None:
        return own, [(0, group)]
    return False, [(n, [(job.draws.given(c, n), value) for c, value in group] if n else group) for n in prompts]


def _encoded(encoder: ChatEncoder, job: Job, group: Group) -> list[tuple[Example, float]]:
    """The examples of a group. Of judged answers it is all of them, one example each, or none.

    Raises InputError for answers that are cut into several examples, and for a pair that no token tells apart.
    """
    found = [(encoder.encode(conversation), value) for conversation, value in group]
    first, last = group[0][0], group[-1][0]
    if job.content == "conversations" or not (isinstance(first, Conversation) and isinstance(last, Conversation)):
        return [(example, value) for examples, value in found for example in examples]
    place = first.place
    if any(len(examples) > 1 for examples, _ in found):
        raise InputError(
            f"{place}: the answer is cut into several examples, and can be judged as a whole only; set chat.drift: "
            "allow and chat.too_long: drop or truncate."
        )
    if not all(examples for examples, _ in found):
        encoder.report.notes["half_pair"] += len(found) > 1
        return []
    if len(found) == 2 and found[0][0][0].tokens == found[1][0][0].tokens:
        cut = " after it was cut to chat.max_length" if first.messages != last.messages else ""
        raise InputError(f"{place}: the chosen and the rejected answer are the same{cut}; drop the row.")
    return [(examples[0], value) for examples, value in found]


def encode_all(rows: Iterable[Row], encoding: Encoding, job: Job, workers: int) -> Iterator[EncodedRows]:
    """The rows in order, by chunks, with ``workers`` processes where there are many rows.

    Raises the InputError of the first bad row in the order of the rows (or of reading it), whatever the workers.
    """
    chunks = _chunks(rows)
    ahead = list(islice(chunks, SPAWN_FROM // CHUNK)) if workers else []
    if workers == 0 or len(ahead) * CHUNK < SPAWN_FROM:
        for chunk in chain(ahead, chunks):
            yield encode_rows(encoding.encoder, job, *chunk)
    else:
        yield from _in_processes(chain(ahead, chunks), encoding, job, workers)


Chunk = tuple[int, list[Row], InputError | None]


def _chunks(rows: Iterable[Row]) -> Iterator[Chunk]:
    """``(number of the first row, rows, what ended the reading after them)``."""
    first, ended = 0, None
    chunk: list[Row] = []
    try:
        for row in rows:
            chunk.append(row)
            if len(chunk) == CHUNK:
                yield first, chunk, None
                first, chunk = first + len(chunk), []
    except InputError as error:
        ended = error
    if chunk or ended:
        yield first, chunk, ended


def _in_processes(chunks: Iterable[Chunk], encoding: Encoding, job: Job, workers: int) -> Iterator[EncodedRows]:
    # Spawned, not forked: the tokenizer's and torch's threads do not survive a fork.
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(pickle.dumps((replace(encoding), job)),),  # without the encoder that it may hold
    )
    pending: deque[Future[EncodedRows]] = deque()
    try:
        for chunk in chunks:
            with without_main():  # a process is started with each of the first
                pending.append(pool.submit(_encode_here, *chunk))
            if len(pending) > 3 * workers:  # enough to keep everyone busy, and no more of the file in memory
                yield pending.popleft().result(STUCK_SECONDS)
        while pending:
            yield pending.popleft().result(STUCK_SECONDS)
    except BrokenProcessPool as error:
        raise InputError(
            f"a process that prepares the data ended before its time ({error}); memory may be short, "
            "so set data.workers lower, or to 0."
        ) from error
    except TimeoutError:
        for process in list(pool._processes.values()):
            process.kill()
        raise InputError(
            f"a process that prepares the data has worked on {CHUNK} rows for {STUCK_SECONDS / 60:.0f} minutes: it "
            "hangs, or the chat template does; look at the rows, or set data.workers to 0 to see where."
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


_here: tuple[ChatEncoder, Job]
"""Of a process that was started to encode."""


def _start(pickled: bytes) -> None:
    """In a new process. Unpickling a tokenizer imports transformers, not torch."""
    global _here
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to answer
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the workers share the cores already
    threading.Thread(target=_end_with_parent, daemon=True).start()
    encoding, job = pickle.loads(pickled)
    _here = encoding.encoder, job


def _end_with_parent() -> None:
    """A process whose parent was killed would otherwise wait for work forever."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


def _encode_here(first: int, rows: list[Row], ended: InputError | None) -> EncodedRows:
    return encode_rows(*_here, first, rows, ended)
