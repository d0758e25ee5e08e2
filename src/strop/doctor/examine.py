"""The whole examination of one training stage: every check in turn, over every conversation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from rich.console import Console

from strop.chat import ChatEncoder, fit_tokenizer
from strop.chat.saved import chat_of
from strop.common.console import Steady, working
from strop.data.held_out import Division, divide
from strop.data.rows import OnBad, Row
from strop.data.settings import MixtureSettings
from strop.doctor.before_training import estimate_stage, evaluation_items, part_rows
from strop.doctor.findings import Finding, Tally, ordered
from strop.doctor.identity import Identity
from strop.doctor.languages import Languages, check_languages
from strop.doctor.lengths import Lengths, check_fit, kept_lengths, lengths_of
from strop.doctor.likeness import MOST_NEAR, Overlap, check_duplicates, check_overlap, contaminated
from strop.doctor.machine import Cost, check_memory, model_shape
from strop.doctor.masks import MaskCheck, check_cut, check_fractions, open_settings
from strop.doctor.placeholders import check_placeholders
from strop.doctor.rows import DataSet, read_set, readings, rejections
from strop.doctor.tokenizer import beyond, check_tokenizer, check_vocabulary
from strop.doctor.training import check_training
from strop.doctor.turns import check_answers, check_turns
from strop.model.names import load_generation_config, load_tokenizer, resolve, stop_token_ids
from strop.model.vocabulary import vocabulary_faults
from strop.model.window import window_of
from strop.tasks.base import named_sets

if TYPE_CHECKING:
    from strop.config.recipe import Recipe
    from strop.stages.base import Examined

EXIT_CODE = 3
"""Of `strop doctor` when there is an error among the findings."""


@dataclass(slots=True)
class Examination:
    """What was found."""

    sets: list[DataSet]
    findings: list[Finding]
    lengths: Lengths | None
    languages: Languages
    estimate: Cost | None
    overlap_items: int

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
            "findings": [asdict(finding) for finding in self.findings],
            "sets": [data.summary() for data in self.sets],
            "lengths": self.lengths and self.lengths.to_dict(),
            "remarks": self.remarks,
            "languages": asdict(self.languages),
            "estimate": self.estimate and self.estimate.to_dict(),
            "evaluation_items_compared": self.overlap_items,
        }


def examine(recipe: Recipe, stage: Examined, console: Console, settings_given: bool, whole: bool) -> Examination:
    """Run every check.

    ``settings_given``: whether somebody chose the training settings, so that they are worth a word; ``whole``: look
    at the rows that the stage holds out, too.

    Raises InputError when the model, the settings or a whole file cannot be used, or do not go together.
    """
    folder = resolve(recipe.model)
    tokenizer, generation = load_tokenizer(folder), load_generation_config(folder)
    faults = vocabulary_faults(folder, tokenizer, stop_token_ids(tokenizer, generation))
    settings, notes = chat_of(recipe.chat.model_copy(update=dict(stage.chat)), folder, tokenizer)
    for line in notes:
        console.print(line, soft_wrap=True, markup=False)
    grown = tokenizer.convert_tokens_to_ids(fit_tokenizer(tokenizer, settings.template))
    stop_ids, eos = stop_token_ids(tokenizer, generation), generation.eos_token_id
    shape, train = model_shape(folder), stage.train
    division = (
        None if whole or stage.held_out is None else divide(stage.mixture, stage.held_out, named_sets(), stage.content)
    )
    window = window_of(folder)
    sets, items = _sets(stage.mixture, division), evaluation_items(recipe, stage, division)
    rows = [row for data in sets for row in data.rows]
    encoder = ChatEncoder(tokenizer, open_settings(settings), stop_ids)
    if any(row.messages for row in rows):
        encoder.require_template()

    names = {index: token for token, index in tokenizer.get_vocab().items()}
    missing, used = beyond(names, grown, shape), Tally()
    skip = stage.mixture.on_bad_row == "skip"
    masks = MaskCheck(encoder, settings, ({eos} if isinstance(eos, int) else set(eos or ())) or None, names, skip)
    identity, overlap = Identity(), Overlap(items)
    with working("masks", len(rows)) as work:
        for row in work.through(rows):
            inspections = masks.look(row)
            if inspections:
                identity.look(row, inspections[0])
            for index in missing.keys() & {token for one in inspections for token in one.example.tokens}:
                used.add(str(index), row.place)
            if items:
                overlap.look(row.place, row.texts(), row.given())

    found = [Finding(f.kind, f.level, 1, f.message, f.mend, place=str(folder)) for f in faults]
    found += [*rejections(sets, skip), *readings(sets, encoder.report.notes), *masks.findings()]
    found += [*check_tokenizer(tokenizer, encoder.stop_ids), *check_vocabulary(missing, used, encoder.stop_ids, shape)]
    found += identity.findings(rows)
    for data in sets:
        found += check_fractions(data.name, data.rows)
    found += check_cut(rows, settings, ChatEncoder(tokenizer, settings, stop_ids))
    found += [*check_turns(rows), *check_answers(rows), *check_placeholders(rows, tokenizer.get_added_vocab())]
    with working("duplicates"):
        found += check_duplicates(rows, look_for_near=len(rows) <= MOST_NEAR)
    with working("overlap with evaluations"):
        matches = overlap.matches()
    found += check_overlap(matches)
    evaluated = contaminated(matches)
    for row in rows:
        row.gone = row.gone or evaluated.get(row.place, "")
    with working("languages"):
        languages, mismatches = check_languages(rows)
    found += mismatches

    room = min(train.micro_batch_tokens, window or train.micro_batch_tokens)
    kept = [[length for row in data.rows for length in kept_lengths(row, settings, room)] for data in sets]
    lengths = [length for of_set in kept for length in of_set]
    examples = round(sum(data.passes * len(of_set) for data, of_set in zip(sets, kept, strict=True)))
    tokens = sum(data.passes * sum(of_set) for data, of_set in zip(sets, kept, strict=True))
    estimate = estimate_stage(recipe, stage, folder, lengths, tokens) if lengths else None
    if not examples:
        found.append(Finding("no_examples", "error", 0, "nothing is left to train on", "look at what was rejected"))
    else:
        found += check_fit(rows, settings, train, window)
        if settings_given:
            found += check_training(train, examples, None if stage.lora else shape.parameters)
    found += check_memory(estimate) if estimate else []
    if division is not None:
        sets[0].remarks.append(division.note())
    return Examination(sets, ordered(found), lengths_of(rows), languages, estimate, len(items))


def _sets(mixture: MixtureSettings, division: Division | None) -> list[DataSet]:
    """Every part read to its end, rows that are held out aside, with how often its rows come in an epoch."""
    portions = [None] * len(mixture.parts) if division is None else division.training
    sets = []
    for part, portion in zip(mixture.parts, portions, strict=True):
        remarks: list[str] = []
        rows = partial(part_rows, part, say=remarks.append, portion=portion)
        with working(f"{part.title}: rows read") as work:
            sets.append(read_set(part.title, partial(_counted, work, rows), part.format, remarks))
    total = mixture.total or sum(len(data.rows) for data in sets)
    weights = sum(part.weight for part in mixture.parts)
    for part, data in zip(mixture.parts, sets, strict=True):
        by_weight = total * part.weight / weights / max(1, len(data.rows))
        data.passes = part.epochs if mixture.mix == "concatenate" else by_weight
    return sets


def _counted(work: Steady, rows: Callable[[OnBad], Iterable[Row]], on_bad: OnBad) -> Iterable[Row]:
    return work.through(rows(on_bad))
