"""What is told of a conversation that came out of the encoder: counts for the report, warnings for people."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from strop.chat.drift import MENDS, drift_words
from strop.chat.inspection import Inspection, Warning, segments
from strop.chat.losses import DROPPED

if TYPE_CHECKING:
    from strop.chat.work import Work


def inspection(work: "Work") -> Inspection:
    """The finished example with its text laid open; a truncated one is shown whole, the cut-off part untrained."""
    kept = len(work.example.tokens)
    weights = work.example.loss_weights + [0.0] * (len(work.tokens.ids) - kept)
    return Inspection(
        place=work.conversation.place,
        text=work.text,
        example=work.example,
        starts=work.tokens.starts,
        ends=work.tokens.ends,
        stops=[t.last - 1 for t in work.example.turns if t.ending in ("stop", "control") and weights[t.last - 1]],
        segments=list(segments(work.text, work.runs, work.tokens, weights, work.conversation)),
        warnings=list(_warnings(work)),
    )


def _warnings(work: "Work") -> Iterator[Warning]:
    for violation in work.found:
        yield Warning(violation.name, violation.message_index, violation.message)
    for turn in work.example.turns:
        if turn.drifted and work.settings.drift == "allow":
            yield Warning("drift", turn.message, drift_words(turn), MENDS.get(turn.mend, ""))
        if turn.ending == "control":
            token = work.encoder._text.controls[work.example.tokens[turn.last - 1]]
            yield Warning("inferred_stop", turn.message, f"ends with {token}, which is not in the stop set")
        elif turn.ending == "truncated":
            yield Warning("truncated", turn.message, "cut off by max_length, so it has no stop token")
        if turn.straddling:
            detail = f"{turn.straddling} tokens lie across the border of this turn and are trained"
            yield Warning("straddling", turn.message, detail)
    for loss in work.losses:
        yield Warning(loss.kind, loss.message, loss.detail, DROPPED[loss.kind][1])
    for string, count in Counter(work.tokens.control_strings).items():
        times = "1 time" if count == 1 else f"{count} times"
        detail = f"{string} stands {times} in message text, encoded as: {work.settings.control_tokens}"
        yield Warning("control_tokens", None, detail)


def count(work: "Work") -> None:
    """Add the finished example to the encoder's report."""
    report, example = work.encoder.report, work.example
    report.examples += 1
    report.tokens += len(example.tokens)
    report.trained_tokens += example.trained_tokens
    report.turns += len(example.turns)
    report.control_strings += len(work.tokens.control_strings)
    report.control_string_kinds.update(work.tokens.control_strings)
    for turn in example.turns:
        report.straddling_tokens += turn.straddling
        report.drift_turns += turn.drifted
        report.drift_tokens += turn.drift_tokens
        if turn.mend:
            report.drift_mends[turn.mend] += 1
        report.missing_stop += turn.ending == "none"
        report.truncated_turns += turn.ending == "truncated"
        if turn.ending == "control":
            report.inferred_stops[work.encoder._text.controls[example.tokens[turn.last - 1]]] += 1
    report.dropped_fields.update(loss.kind for loss in work.losses)
