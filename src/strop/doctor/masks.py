"""The mask of every conversation: tokens, trained tokens, failed checks, and what the chat layer counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from strop.chat import ChatEncoder, ChatSettings, Inspection
from strop.chat.losses import DROPPED
from strop.common.errors import InputError
from strop.doctor.findings import Finding, Level, Tally
from strop.doctor.identity import Identity
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
        without_row: ids that the model's embedding has no row for; ``beyond`` counts their conversations.
    """

    def __init__(
        self,
        encoder: ChatEncoder,
        settings: ChatSettings,
        generation_stops: Collection[int] | None,
        names: dict[int, str],
        skip: bool = False,
        without_row: Collection[int] = (),
    ):
        self.without_row, self.beyond = frozenset(without_row), Tally()
        self.identity = Identity()
        self.encoder, self.settings = encoder, settings
        self.generation_stops, self.names = generation_stops, names
        self.tally, self.skip = Tally(), skip
        self.failed: dict[str, str] = {}
        """Place -> the first failed check of each conversation that training would stop at or leave out."""
        self.drift_tokens = 0
        self._stops: Counter[int] = Counter()
        self._mends: dict[str, Counter[str]] = {}
        """Kind -> the mends that were found for its cases, each tried out."""
        self._limits = sorted({*LIMITS, *({settings.max_length} if settings.max_length else ())})

    def look(self, row: ReadRow) -> None:
        """Encode one conversation and remember what was met; sets the row's lengths."""
        try:
            inspections = self.encoder.inspect(row.conversation)
        except InputError as error:
            self.failed[row.place] = str(error)
            row.refused = True
            self.tally.add("refused", row.place, str(error).removeprefix(f"{row.place}: "))
            return
        for inspection in inspections[:1]:
            self.identity.look(row, inspection)
        if self.without_row:
            for index in self.without_row & {token for i in inspections for token in i.example.tokens}:
                self.beyond.add(str(index), row.place)
        for inspection in inspections:
            weights = inspection.example.loss_weights
            row.tokens += len(weights)
            row.trained += inspection.example.trained_tokens
            for limit in self._limits:
                if len(weights) > limit:
                    rest = weights[limit:]
                    row.beyond[limit] = row.beyond.get(limit, 0) + len(rest) - rest.count(0.0)
            self._read_warnings(row, inspection)
            for turn in inspection.example.turns:
                self.drift_tokens += turn.drift_tokens
                if turn.ending == "stop" and turn.last > turn.first:
                    self._stops[inspection.example.tokens[turn.last - 1]] += 1
                    self._compare_stop(inspection.example.tokens[turn.last - 1], row)

    def _read_warnings(self, row: ReadRow, inspection: Inspection) -> None:
        for warning in inspection.warnings:
            self.tally.add(warning.kind, row.place, warning.detail)
            self._mends.setdefault(warning.kind, Counter()).update([warning.mend] if warning.mend else [])
            if self._level(warning.kind) == "error":
                self.failed.setdefault(row.place, f"{warning.kind}: {warning.detail}")

    def _compare_stop(self, token: int, row: ReadRow) -> None:
        if self.generation_stops is not None and token not in self.generation_stops:
            self.tally.add(f"foreign_stop {token}", row.place, self.names.get(token, str(token)))

    def _level(self, kind: str) -> Level:
        if kind in self.settings.waive:
            return "warning"
        if kind == "drift":
            return {"allow": "warning", "split": "note", "error": "error"}[self.settings.drift]
        if kind == "control_tokens":
            return "note" if self.settings.control_tokens == "text" else "warning"
        return _KINDS.get(kind, ("warning", "", ""))[0]

    def findings(self) -> list[Finding]:
        found = []
        for kind in self.tally.counts:
            if kind.startswith("foreign_stop"):
                found.append(self._foreign_stop(kind))
                continue
            _, message, mend = _KINDS.get(kind, ("warning", f"{{n}} × {kind}", "strop inspect shows the conversation"))
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
            found.append(self.tally.finding(kind, level, message, mend))
        return found

    def _foreign_stop(self, kind: str) -> Finding:
        token = int(kind.split()[1])
        return self.tally.finding(
            kind,
            "note",
            f"{{n}} trained ⟨turn ends|turns end⟩ with {self.names.get(token, token)!r}, which is not among the "
            "eos_token_id of the model's generation_config: strop puts it there when it saves, other trainers do not",
            "nothing here; elsewhere add its id to eos_token_id in generation_config.json",
            name="foreign_stop",
        )


def open_settings(settings: ChatSettings) -> ChatSettings:
    """The same conversion with nothing cut, split or dropped, so that lengths and drift are seen as they are."""
    return settings.model_copy(update={"max_length": None, "drift": "allow"})


def check_fractions(name: str, rows: Iterable[ReadRow]) -> list[Finding]:
    """Conversations of which next to nothing, or next to everything, is trained."""
    tally = Tally()
    for row in (r for r in rows if r.trained and r.messages):
        share = row.trained / row.tokens
        kind = "little_trained" if share < 0.01 else "nearly_all_trained" if share > 0.98 else None
        if kind:
            tally.add(kind, row.place, f"{row.trained:,} of {row.tokens:,} tokens")
    words = {"little_trained": "less than 1 %", "nearly_all_trained": "more than 98 %"}
    return [
        tally.finding(
            kind,
            "note",
            f"{{n}} ⟨conversation|conversations⟩ of {name} with {words[kind]} of the tokens trained",
            "strop inspect shows them; see that the template and the roles are what you mean",
        )
        for kind in words
        if tally.counts[kind]
    ]


def check_cut(rows: Sequence[ReadRow], settings: ChatSettings, encoder: ChatEncoder) -> list[Finding]:
    """What ``max_length`` does to the long ones. ``encoder`` has the run's own settings."""
    limit = settings.max_length
    long = [row for row in rows if limit and row.tokens > limit and row.messages]  # plain text goes on in a window
    if not long:
        return []
    tally, kept, failed = Tally(), 0, 0
    for row in long:
        tally.add("too_long", row.place, f"{row.tokens:,} tokens")
        if settings.too_long != "error":
            try:
                kept += sum(len(example.tokens) for example in encoder.encode(row.conversation))
            except InputError:
                failed += 1
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
    return [
        tally.finding(
            "too_long",
            level,
            f"{{n}} ⟨conversation is|conversations are⟩ longer than max_length ({limit}) {what}",
            mend,
        )
    ]


_KINDS: dict[str, tuple[Level, str, str]] = {
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
}
