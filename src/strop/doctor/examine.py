"""The whole examination of one training stage: every check in turn, over every conversation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from strop.chat import ChatEncoder, ChatSettings
from strop.doctor.answers import check_answers
from strop.doctor.duplicates import MOST_NEAR, Twin, check_duplicates
from strop.doctor.findings import Finding, ordered
from strop.doctor.labels import check_tokenizer
from strop.doctor.languages import Languages, check_languages
from strop.doctor.lengths import Lengths, check_fit, lengths_of
from strop.doctor.machine import Cost, ModelShape, check_memory
from strop.doctor.masks import MaskCheck, check_cut, check_fractions, open_settings
from strop.doctor.overlap import EvalItem, Overlap, check_overlap, contaminated
from strop.doctor.placeholders import check_placeholders
from strop.doctor.rows import DataSet, ReadRow, readings, rejections
from strop.doctor.training import check_training
from strop.doctor.turns import check_turns
from strop.doctor.vocabulary import beyond, check_vocabulary

if TYPE_CHECKING:
    from strop.train.settings import TrainSettings

EXIT_CODE = 3
"""Of `strop doctor` when there is an error among the findings."""

Progress = Callable[[str, Iterable[ReadRow], int], Iterable[ReadRow]]
"""``(what, rows, total) -> rows``: shows how far a pass over rows is."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The tokenizer and what ends an answer. ``generation_stops``: generation_config's eos ids, None without one.

    ``shape``: of the model, where it is known; ``grown``: ids of tokens that strop adds to the model for the template;
    ``window``: the most tokens that the model reads, None where nothing says so.
    """

    tokenizer: Any
    stop_ids: frozenset[int]
    generation_stops: Collection[int] | None
    shape: ModelShape | None = None
    grown: frozenset[int] = frozenset()
    window: int | None = None


@dataclass(slots=True)
class Examination:
    """What was found. ``failed``: place -> the check that training would stop at; ``contaminated``: place -> why."""

    sets: list[DataSet]
    findings: list[Finding]
    lengths: Lengths | None
    languages: Languages | None
    estimate: Cost | None = None
    equal: list[Twin] = field(default_factory=list)
    alike: list[Twin] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    contaminated: dict[str, str] = field(default_factory=dict)
    overlap_items: int = 0

    @property
    def remarks(self) -> list[str]:
        """How the files are read, and what is left out of folders."""
        return list(dict.fromkeys(remark for data in self.sets for remark in data.remarks))

    @property
    def exit_code(self) -> int:
        return EXIT_CODE if any(finding.level == "error" for finding in self.findings) else 0

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "exit_code": self.exit_code,
            "findings": [finding.to_dict() for finding in self.findings],
            "sets": [set_summary(data) for data in self.sets],
            "lengths": self.lengths and self.lengths.to_dict(),
            "remarks": self.remarks,
            "languages": self.languages and asdict(self.languages),
            "estimate": self.estimate and self.estimate.to_dict(),
            "evaluation_items_compared": self.overlap_items,
        }


def set_summary(data: DataSet) -> dict[str, Any]:
    """One data set in numbers."""
    tokens, trained = sum(r.tokens for r in data.rows), sum(r.trained for r in data.rows)
    return {
        "name": data.name,
        "rows": data.read,
        "rejected": data.unusable,
        "left_out": len(data.left_out),
        "formats": dict(data.formats),
        "tokens": tokens,
        "trained_tokens": trained,
        "trained_fraction": trained / tokens if tokens else None,
        "longest": max((r.tokens for r in data.rows), default=0),
    }


def examine(
    sets: Sequence[DataSet],
    facts: ModelFacts,
    settings: ChatSettings,
    items: Sequence[EvalItem] = (),
    train: TrainSettings | None = None,
    parameters: int | None = None,
    guess: Callable[[list[int], float], Cost | None] = lambda lengths, tokens: None,
    skip_bad: bool = False,
    settings_given: bool = True,
    progress: Progress = lambda what, rows, total: rows,
) -> Examination:
    """Run every check.

    ``guess`` turns the lengths of the examples and the tokens of one epoch into the estimate of memory and time.
    ``skip_bad``: training leaves out rows that cannot be used, instead of stopping at them. ``settings_given``: whether
    somebody chose the training settings, so that they are worth a word.

    Raises InputError when the settings and the tokenizer do not go together (no template, an unknown stop token).
    """
    rows = [row for data in sets for row in data.rows]
    encoder = ChatEncoder(facts.tokenizer, open_settings(settings), facts.stop_ids)
    if any(row.messages for row in rows):
        encoder.require_template()
    names = {index: token for token, index in facts.tokenizer.get_vocab().items()}
    missing = beyond(names, facts.grown, facts.shape)
    masks = MaskCheck(encoder, settings, facts.generation_stops, names, skip_bad, missing)
    overlap = Overlap(items)
    for row in progress("masks", rows, len(rows)):
        masks.look(row)
        if items:
            overlap.look(row.place, row.texts())
    found = [
        *rejections(sets, skip_bad),
        *readings(sets, encoder.report.notes),
        *masks.findings(),
        *check_tokenizer(facts.tokenizer, encoder.stop_ids),
    ]
    found += check_vocabulary(missing, masks.beyond, encoder.stop_ids, facts.shape)
    found += masks.identity.findings(rows)
    for data in sets:
        found += check_fractions(data.name, data.rows)
    found += check_cut(rows, settings, ChatEncoder(facts.tokenizer, settings, facts.stop_ids))
    found += check_turns(rows)
    found += [*check_answers(rows), *check_placeholders(rows, facts.tokenizer.get_added_vocab())]
    matches = overlap.matches()
    duplicates, equal, alike = check_duplicates(rows, look_for_near=len(rows) <= MOST_NEAR)
    languages, mismatches = check_languages(rows)
    found += [*duplicates, *check_overlap(matches), *mismatches]
    room = train and min(train.micro_batch_tokens, facts.window or train.micro_batch_tokens)
    kept = [(data.passes, kept_lengths(data.rows, settings, room)) for data in sets]
    lengths = [length for _, of_set in kept for length in of_set]
    examples = round(sum(passes * len(of_set) for passes, of_set in kept))
    estimate = guess(lengths, sum(passes * sum(of_set) for passes, of_set in kept)) if lengths else None
    if not examples:
        found.append(Finding("no_examples", "error", 0, "nothing is left to train on", "look at what was rejected"))
    elif train is not None:
        found += check_fit(rows, settings, train, facts.window)
        if settings_given:
            found += check_training(train, examples, parameters)
    found += check_memory(estimate) if estimate else []
    return Examination(
        sets=list(sets),
        findings=ordered(found),
        lengths=lengths_of(rows),
        languages=languages,
        estimate=estimate,
        equal=equal,
        alike=alike,
        failed=masks.failed,
        contaminated=contaminated(matches),
        overlap_items=len(items),
    )


def kept_lengths(rows: Iterable[ReadRow], settings: ChatSettings, room: int | None = None) -> list[int]:
    """Tokens of the examples that training gets, as far as lengths tell: shorter or fewer, as ``too_long`` has it.

    ``room``: what windows over plain text are cut to where ``max_length`` is not set.
    """
    kept: list[int] = []
    for row in (row for row in rows if row.trained):
        limit = settings.max_length or (None if row.messages else room)
        if limit is None or row.tokens <= limit:
            kept.append(row.tokens)
        elif not row.messages or settings.too_long == "split_turns":  # about as many as it takes
            kept += [limit] * (row.tokens // limit) + [row.tokens % limit] * (row.tokens % limit > 0)
        elif settings.too_long == "truncate":
            kept.append(limit)
    return kept
