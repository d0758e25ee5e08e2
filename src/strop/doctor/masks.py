"""The mask of every conversation: tokens, trained tokens, failed checks, and what the chat layer counts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress

from strop.chat import ChatEncoder, ChatSettings, Inspection
from strop.chat.losses import DROPPED
from strop.common.errors import InputError
from strop.doctor.findings import Finding, Kinds, Level, Tally
from strop.doctor.rows import ReadRow

LIMITS = (512, 1024, 2048, 4096)


class MaskCheck:
    """Looks at conversations one by one; afterwards `findings` says what was met.

    Args:
        encoder: made with `open_settings`, so that a failed check is counted and nothing is cut.
        settings: those of the run, which decide what a failed check means there.
        skip: whether the run leaves out conversations that fail one, instead of stopping.
        generation_stops: the model's ``generation_config.eos_token_id``; None where it has none.
        names: of token ids, for messages.
    """

    def __init__(
        self,
        encoder: ChatEncoder,
        settings: ChatSettings,
        generation_stops: Collection[int] | None,
        names: dict[int, str],
        skip: bool = False,
    ):
        self.encoder, self.settings, self.skip = encoder, settings, skip
        self.generation_stops, self.names = generation_stops, names
        self.tally = Tally()
        self.drift_tokens = 0
        self._mends: dict[str, Counter[str]] = defaultdict(Counter)
        """Kind -> the mends that were found for its cases, each tried out."""
        self._limits = sorted({*LIMITS, *({settings.max_length} if settings.max_length else ())})

    def look(self, row: ReadRow) -> list[Inspection]:
        """Encode one conversation and remember what was met; of one that is refused there is nothing to inspect."""
        try:
            inspections = self.encoder.inspect(row.conversation)
        except InputError as error:
            row.refused, row.failed = True, str(error)
            self.tally.add("refused", row.place, str(error).removeprefix(f"{row.place}: "))
            return []
        for inspection in inspections:
            example = inspection.example
            row.tokens += len(example.tokens)
            row.trained += example.trained_tokens
            for limit in self._limits:
                rest = example.loss_weights[limit:]
                row.beyond[limit] += len(rest) - rest.count(0.0)
            for warning in inspection.warnings:
                self.tally.add(warning.kind, row.place, warning.detail)
                self._mends[warning.kind].update([warning.mend] if warning.mend else [])
                if self._level(warning.kind) == "error":
                    row.failed = row.failed or f"{warning.kind}: {warning.detail}"
            for turn in example.turns:
                self.drift_tokens += turn.drift_tokens
                if turn.ending == "stop" and turn.last > turn.first and self.generation_stops is not None:
                    token = example.tokens[turn.last - 1]
                    if token not in self.generation_stops:
                        self.tally.add(f"foreign_stop {token}", row.place, self.names.get(token, str(token)))
        return inspections

    def _level(self, kind: str) -> Level:
        if kind in self.settings.waive:
            return "warning"
        if kind == "drift":
            levels: dict[str, Level] = {"allow": "warning", "split": "note", "error": "error"}
            return levels[self.settings.drift]
        if kind == "control_tokens":
            return "note" if self.settings.control_tokens == "text" else "warning"
        return _KINDS.get(kind, ("warning", "", ""))[0]

    def findings(self) -> list[Finding]:
        found = []
        for counted in self.tally.counts:
            kind, _, token = counted.partition(" ")
            _, message, mend = _KINDS.get(kind, ("warning", f"{{n}} × {kind}", "strop inspect shows the conversation"))
            if token:
                message = message.replace("{token}", repr(self.names.get(int(token), int(token))))
            if kind == "drift":
                message += f" ({self.drift_tokens:,} tokens)"
            level = self._level(kind)
            if kind in self.settings.waive:
                message += " (waived)"
            elif level == "error" and self.skip:
                level, message = "warning", f"{message}; training leaves them out"
            if mends := self._mends.get(kind):
                several = [f"{tried} (in {count:,})" for tried, count in mends.most_common()]
                mend = next(iter(mends)) if len(mends) == 1 else "; ".join(several)
            found.append(self.tally.finding(counted, level, message, mend, name=kind))
        return found


def open_settings(settings: ChatSettings) -> ChatSettings:
    """The same conversion with nothing cut, split or dropped, so that lengths and drift are seen as they are."""
    return settings.model_copy(update={"max_length": None, "drift": "allow"})


def check_fractions(name: str, rows: Iterable[ReadRow]) -> list[Finding]:
    """Conversations of which next to nothing, or next to everything, is trained."""
    tally = Tally()
    for row in (r for r in rows if r.trained and r.messages):
        share = row.trained / row.tokens
        if share < 0.01 or share > 0.98:
            kind = "little_trained" if share < 0.01 else "nearly_all_trained"
            tally.add(kind, row.place, f"{row.trained:,} of {row.tokens:,} tokens")
    mend = "strop inspect shows them; see that the template and the roles are what you mean"
    said = f"{{n}} ⟨conversation|conversations⟩ of {name} with"
    return tally.findings(
        {
            "little_trained": ("note", f"{said} less than 1 % of the tokens trained", mend),
            "nearly_all_trained": ("note", f"{said} more than 98 % of the tokens trained", mend),
        }
    )


def check_cut(rows: Sequence[ReadRow], settings: ChatSettings, encoder: ChatEncoder) -> list[Finding]:
    """What ``max_length`` does to the long ones. ``encoder`` has the run's own settings."""
    limit = settings.max_length
    long = [row for row in rows if limit and row.tokens > limit and row.messages]  # plain text goes on in a window
    if not long:
        return []
    tally, kept = Tally(), 0
    for row in long:
        tally.add("too_long", row.place, f"{row.tokens:,} tokens")
        if settings.too_long != "error":
            with suppress(InputError):
                kept += sum(len(example.tokens) for example in encoder.encode(row.conversation))
    total = sum(row.tokens for row in rows)
    over = sum(row.tokens for row in long)
    share = (over - min(kept, over)) / total
    what = {
        "error": "and training would stop at the first",
        "drop": f"and dropped: {share:.1%} of all tokens",
        "truncate": f"and cut: {share:.1%} of all tokens are lost, and turns that are cut have no stop token",
        "split_turns": f"and split by exchanges: {share:.1%} of all tokens are lost",
    }[settings.too_long]
    mend = {
        "error": f"raise chat.max_length to {max(row.tokens for row in long)}, or set chat.too_long",
        "truncate": "chat.too_long: split_turns keeps every stop token; drop loses whole conversations only",
    }.get(settings.too_long, "raise chat.max_length if the memory allows it")
    level: Level = "error" if settings.too_long == "error" else "warning" if share > 0.01 else "note"
    message = f"{{n}} ⟨conversation is|conversations are⟩ longer than max_length ({limit}) {what}"
    return tally.findings({"too_long": (level, message, mend)})


_KINDS: Kinds = {
    "refused": (
        "error",
        "{n} ⟨conversation is|conversations are⟩ refused by the chat template or cannot be encoded",
        "mend the conversations or choose another chat.template (chatml has tools and takes every order of roles)",
    ),
    "text_differs": (
        "error",
        "{n} ⟨conversation renders|conversations render⟩ differently from the tokenizer's own template call",
        "please report the template; chat.waive: [text_differs] goes on regardless",
    ),
    "ids_differ": (
        "error",
        "{n} ⟨conversation gets|conversations get⟩ other ids than the tokenizer's own call gives",
        "load the tokenizer afresh; something changed it",
    ),
    "lost_origin": (
        "error",
        "in {n} ⟨conversation|conversations⟩ the template transforms a message so that its origin is lost",
        "please report the template; use another chat.template meanwhile",
    ),
    "empty_turn": (
        "error",
        "{n} trained ⟨turn prints|turns print⟩ nothing to learn",
        "drop the turns or set train: false on them",
    ),
    "cut_turn": (
        "error",
        "{n} trained ⟨turn holds a stop token in its|turns hold a stop token in their⟩ middle",
        "split each into two turns; what follows the stop token would not be learnt",
    ),
    "missing_stop": (
        "error",
        "{n} trained ⟨turn has|turns have⟩ no stop token at the end, so the model could not learn to stop",
        "name the token that the template writes there in chat.stop_tokens, or use another chat.template",
    ),
    "foreign_trained": (
        "error",
        "in {n} ⟨conversation|conversations⟩ a trained token holds text of somebody else",
        "use a template with a control token between the turns",
    ),
    "trained_fraction": (
        "error",
        "{n} ⟨conversation trains|conversations train⟩ nothing, everything, or a share outside chat.trained_fraction",
        "check the turns' train and weight, or widen chat.trained_fraction",
    ),
    "inferred_stop": (
        "warning",
        "{n} ⟨turn ends|turns end⟩ with a control token that is not in the stop set",
        "name it in chat.stop_tokens and in the model's generation_config, or generation runs past it",
    ),
    "drift": (
        "warning",
        "{n} trained ⟨turn is|turns are⟩ learnt after another prompt than inference would feed",
        "chat.drift: allow goes on regardless",
    ),
    **{kind: ("warning", message, mend) for kind, (message, mend) in DROPPED.items()},
    "control_tokens": (
        "note",
        "in {n} ⟨case|cases⟩ a conversation's text holds a control token's string",
        "strop encodes it as ordinary text by default; other tools make it the control token",
    ),
    "straddling": (
        "note",
        "in {n} ⟨turn|turns⟩ a token lies across the border of the turn and is trained",
        "nothing, as a rule; a template with a control token before the answer has none",
    ),
    "foreign_stop": (
        "note",
        "{n} trained ⟨turn ends|turns end⟩ with {token}, which is not among the eos_token_id of the model's "
        "generation_config: strop puts it there when it saves, other trainers do not",
        "nothing here; elsewhere add its id to eos_token_id in generation_config.json",
    ),
}
