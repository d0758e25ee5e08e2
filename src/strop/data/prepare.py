"""A mixture's parts, read, encoded and proven, or taken from where that was done before."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path
from typing import Any

from strop.chat import MaskReport
from strop.chat.answers import Content
from strop.common.console import Steady, working
from strop.common.errors import InputError
from strop.common.folders import whole_folder
from strop.data.encoding import CHUNK, SHOWN, EncodedRows, Encoding, Job, PromptDraws, encode_all
from strop.data.files import data_files
from strop.data.groups import Group, stores_of
from strop.data.held_out import Division, Portion, divide
from strop.data.keys import ingredients, key_of
from strop.data.mixture import Mixture
from strop.data.prepared import Prepared, PreparedExample, is_whole, mark_used, sweep, write
from strop.data.readers import NamedSet, check_named, rows_of_part
from strop.data.settings import DataSettings, HeldOutSettings, MixtureSettings


@dataclass(frozen=True)
class PreparedData:
    """The parts of a mixture, in its order, and how many of them had been prepared before."""

    settings: MixtureSettings
    parts: tuple[Prepared, ...]
    reused: int
    division: Division | None = None
    """Which rows are held out, where a share of the training data is."""
    content: Content = "conversations"

    @property
    def report(self) -> MaskReport:
        """Counts over everything prepared: a conversation counts once for each system prompt that it is given."""
        total = MaskReport()
        for part in self.parts:
            total.merge(part.report)
        return total

    @property
    def shown(self) -> list[dict[str, Any]]:
        """``place``, ``pieces`` and ``stops`` of a few examples: the first of each part, then the second …"""
        return [one for turn in zip_longest(*(part.meta["shown"] for part in self.parts)) for one in turn if one][
            :SHOWN
        ]

    def mixture(self, seed: int) -> Mixture:
        return Mixture(stores_of(self.parts, self.content), self.settings, seed)

    def first_epoch(self, seed: int) -> list[PreparedExample] | list[Group]:
        """The examples (or groups) of the mixture's first epoch, for an evaluation; none where there is no example."""
        if not any(map(len, self.parts)):
            return []
        mixture = self.mixture(seed)
        return [mixture[index] for index in mixture.contents(0)]

    def notes(self, cache: Path) -> Iterator[str]:
        """Lines about how each part was read and what for, what was left out, and what had been prepared before."""
        yield from dict.fromkeys(note for part in self.parts for note in part.meta["notes"])
        for settings, part in zip(self.settings.parts, self.parts, strict=True):
            if kinds := ", ".join(f"{name} ({count:,})" for name, count in part.report.formats.most_common()):
                yield f"{settings.title}: {kinds}"
        if (prompts := self.settings.system_prompts) is not None:
            given, without = (sum(counts) for counts in zip(*(part.prompted() for part in self.parts), strict=True))
            yield (
                f"system prompts given: {given:,} of {without:,} conversations that have none, each one of "
                f"{len(prompts.prompts)}; drawn anew in each epoch, from the seed"
            )
        if self.division is not None:
            yield self.division.note()
        if skipped := sum(part.meta["skipped"] for part in self.parts):
            reasons = [reason for part in self.parts for reason in part.meta["first_skipped"]]
            yield f"bad rows skipped: {skipped:,}; the first: {reasons[0]}"
        if self.reused:
            which = "" if self.reused == len(self.parts) else f" for {self.reused} of {len(self.parts)} parts"
            yield f"prepared data reused{which} (from {cache}, which may be deleted at any time)"


def prepare(
    settings: MixtureSettings,
    named: Mapping[str, NamedSet],
    encoding: Encoding,
    cache: Path,
    *,
    epochs: float = 1.0,
    seed: int = 0,
    division: Division | None = None,
    measured: bool = False,
    content: Content = "conversations",
) -> PreparedData:
    """Prepare every part for ``epochs`` epochs of the mixture, or find it in the folder ``cache``.

    ``named`` says what ``task`` may be. ``seed`` counts where system prompts are drawn. ``division``: only the rows
    that it leaves to train on, or those that it holds out where they are ``measured``. ``content``: what rows hold.

    Raises:
        InputError: for an unknown name, and what reading, parsing and the mask proof raise.
    """
    for part in settings.parts:
        check_named(part, named)
    sweep(cache)
    portions: Sequence[Portion | None] = [None] * len(settings.parts)
    if division is not None:
        portions = division.measured if measured else division.training
    passes, prompts = _passes(settings, named, epochs), settings.system_prompts
    parts, reused = [], 0
    for number, (part, portion) in enumerate(zip(settings.parts, portions, strict=True)):
        draws = None
        if prompts is not None and prompts.ratio > 0:
            draws = PromptDraws(prompts.ratio, tuple(prompts.prompts), seed, number, passes[number])
        job = Job(part.format, draws, settings.on_bad_row == "skip", content)
        made_from = ingredients(part, encoding, job, portion)
        folder = cache / key_of(made_from)
        if is_whole(folder):
            mark_used(folder)
            reused += 1
        else:
            _check_writable(cache)
            shutil.rmtree(folder, ignore_errors=True)  # only ever there when it is damaged
            bad: list[InputError] = []
            notes: list[str] = []
            with whole_folder(folder, _room(part), replace=False) as scratch:
                rows = rows_of_part(part, named, bad.append if job.skip else None, notes.append)
                rows = rows if portion is None else portion.of(rows)
                with working(f"{part.title}: rows tokenised and proven") as work:
                    encoded = _counted(encode_all(rows, encoding, job, settings.workers), work)
                    write(scratch, encoded, bad, made_from, notes)
        parts.append(Prepared(folder, draws))
    return PreparedData(settings, tuple(parts), reused, division, content)


def _counted(chunks: Iterable[EncodedRows], work: Steady) -> Iterator[EncodedRows]:
    for chunk in chunks:
        work.advance(CHUNK)
        yield chunk


def prepare_with_evaluation(
    settings: MixtureSettings,
    eval_data: MixtureSettings | HeldOutSettings,
    named: Mapping[str, NamedSet],
    encoding: Encoding,
    cache: Path,
    *,
    epochs: float = 1.0,
    seed: int = 0,
    content: Content = "conversations",
) -> tuple[PreparedData, PreparedData]:
    """What a stage trains on and what it is measured on: data of its own, or rows of the former that are held out.

    Raises what `prepare` and `strop.data.held_out.divide` raise.
    """
    if isinstance(eval_data, HeldOutSettings):
        for part in settings.parts:
            check_named(part, named)
        division, once = divide(settings, eval_data, named, content), measured_mixture(settings)
    else:
        division, once = None, eval_data
    how: dict[str, Any] = {"seed": seed, "division": division, "content": content}
    measured = prepare(once, named, encoding, cache, measured=True, **how)
    return prepare(settings, named, encoding, cache, epochs=epochs, **how), measured


def measured_mixture(settings: MixtureSettings) -> MixtureSettings:
    """The same parts, each of whose rows comes once."""
    parts = [part.model_copy(update={"epochs": 1.0, "weight": 1.0}) for part in settings.parts]
    return settings.model_copy(update={"parts": parts, "mix": "concatenate", "total": None})


def eval_data_note(prepared: PreparedData, any_left: bool, max_length: int | None) -> str:
    """What is to be said where conversations of ``eval_data`` were left out, or all of them; empty where none was."""
    if not prepared.parts:
        return ""
    dropped = prepared.report.left_out(max_length)
    if any_left:
        return f"eval_data: {dropped}" if dropped else ""
    return f"eval_data: {dropped or 'no conversation is left to measure'}, so there is no eval_loss"


def _check_writable(cache: Path) -> None:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        reason = "" if os.access(cache, os.W_OK) else "permission denied"
    except OSError as error:
        reason = error.strerror or str(error)
    if reason:
        raise InputError(f"{cache}: prepared data cannot be written there ({reason}); set STROP_CACHE to a folder.")


def _room(part: DataSettings) -> int:
    """Bytes that it takes, roughly: a token, four characters of text or so, becomes eight bytes."""
    if part.path is None:
        return 0
    return 2 * sum(file.stat().st_size for file in data_files(part.path, part.split, part.subset))


def _passes(settings: MixtureSettings, named: Mapping[str, NamedSet], epochs: float) -> list[int]:
    """How often each part is passed through in so many epochs, rounded up, where system prompts are to be drawn."""
    if settings.system_prompts is None:
        return [1] * len(settings.parts)
    if settings.mix == "concatenate":
        return [math.ceil(Fraction(str(epochs)) * Fraction(str(part.epochs))) for part in settings.parts]
    rows = [sum(1 for _ in rows_of_part(part, named, lambda error: None)) or 1 for part in settings.parts]
    # Shares are of examples, of which there may be more or fewer than rows; then some passes repeat earlier draws.
    total = epochs * (settings.total or sum(rows))
    weights = sum(part.weight for part in settings.parts)
    return [math.ceil(total * part.weight / weights / count) for part, count in zip(settings.parts, rows, strict=True)]
