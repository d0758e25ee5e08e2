"""One conversation: render once with origins, tokenise once, mask by provenance, prove it."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from strop.chat import proof
from strop.chat.conversation import Conversation, Message
from strop.chat.drift import MENDS, drift_words, is_looked_at, mend_of
from strop.chat.example import Example, build_example, cut_example
from strop.chat.losses import Loss, losses
from strop.chat.mask import Turn, common_length, territory, turn_end, turn_start
from strop.chat.numbers import has_numbers, rounded
from strop.chat.origin import OWN_FIELDS, Run, runs
from strop.chat.outcome import count
from strop.chat.policy import loss_weights, may_train, trains_nothing, turn_weights, untrained_fields
from strop.chat.rendering import Beside, plain_messages, traced_beside, traced_messages
from strop.chat.split import by_length, by_turn, only_trained, opening
from strop.chat.template import TemplateFailure
from strop.chat.tokens import Tokens
from strop.chat.traced import plain, trace_of
from strop.errors import InputError

if TYPE_CHECKING:
    from strop.chat.encode import ChatEncoder


class Work:
    """One conversation on its way through the encoder.

    ``strict``: a failed check raises; otherwise it is kept, and the example is made all the same. ``part``: how it was
    cut out of a longer one; ``since``: the first message that is new in it.
    """

    def __init__(
        self, encoder: "ChatEncoder", conversation: Conversation, strict: bool = True, part: str = "", since: int = 0
    ):
        self.encoder, self.conversation, self.strict = encoder, conversation, strict
        self.part, self.since = part, since
        self.settings, self.renderer = encoder.settings, encoder._renderer
        self.messages = plain_messages(conversation.messages)
        self.beside = Beside.of(conversation)
        self.traced = traced_messages(conversation.messages, self.messages)
        self.traced_beside = traced_beside(self.beside)
        self.writers = assistants(conversation.messages)
        self.found: list[proof.Violation] = []
        self.rendered: str | None = None
        self.encoding: Any = None  # the backend's, of the rendered text

    def render(self) -> str:
        """The conversation's text with its origins. Raises `TemplateFailure`."""
        if self.rendered is None:
            self.rendered = self.renderer.render(self.traced, self.traced_beside)
        return self.rendered

    def tokenise(self) -> None:
        """The text, its runs of one origin, and its tokens. Raises `TemplateFailure`."""
        rendered = self.render()
        self.text, self.runs = plain(rendered), runs(trace_of(rendered))
        self.tokens = self.encoder._tokens(rendered, self.writers, self.conversation.place, self.encoding)

    def like(self, conversation: Conversation, part: str) -> "Work":
        """The same for another conversation."""
        return Work(self.encoder, conversation, self.strict, part)

    def spanned(self, message: int) -> Turn:
        """The turn of a message, with nothing else done. Raises `TemplateFailure`."""
        self.tokenise()
        return self.turn(message, 1.0)

    def run(self) -> Iterator["Work"]:
        """Itself with its ``example``, or the works that it was split into; nothing where it was dropped."""
        encoder, messages = self.encoder, self.conversation.messages
        self.tokenise()
        self.turns = [self.turn(i, weight) for i, weight in turn_weights(messages, self.settings).items()]
        trained = [turn.message for turn in self.turns]
        if self.settings.drift == "split" and self.part != "turn" and any(map(self.rewritten, self.turns)):
            # Of a turn before the trained one only what it is served with is there, so it is judged by its own example.
            since = [0, *(turn + 1 for turn in trained)]
            yield from self.each(zip(by_turn(self.conversation, trained), since, strict=False), "turn")
            return
        silent = self.writers - set(trained) if self.settings.train_on == "all" else ()
        spans = [*self.turns, *(self.turn(i, 0.0) for i in sorted(silent))]
        self.weights = loss_weights(
            self.text, self.tokens, spans, self.runs, messages, self.settings, encoder.inserted_ids
        )
        limit = self.settings.max_length
        if limit is None or len(self.tokens.ids) <= limit:
            self.finish(self.whole())
            yield self
        else:
            yield from self.shorten(limit)

    def each(self, parts: Iterable[tuple[Conversation, int]], part: str) -> Iterator["Work"]:
        """``parts``: each with the number of its first message that no part before it has."""
        self.encoder.report.split += not self.part  # a conversation counts once, however often it is cut
        for conversation, since in parts:
            yield from Work(self.encoder, conversation, self.strict, part, since).run()

    # -- the mask

    def turn(self, index: int, weight: float) -> Turn:
        land = territory(self.runs, index)
        if land is None:
            return Turn(index, 0, 0, 0, 0, "none", weight)
        prompt = self.prompt_text(index, True)
        start, same = turn_start(
            self.text, self.tokens, land, prompt, lambda: self.prompt_text(index, False), self.encode_template_text
        )
        end, ending = turn_end(self.tokens, land, self.encoder.stop_ids)
        if start >= end:
            return Turn(index, start, start, 0, 0, "none", weight)
        first, last = self.tokens.within(start, end)
        starts, ends = self.tokens.starts, self.tokens.ends
        drift = self.drift(index, first, start, same and start <= land.first_own, prompt)
        drifted = drift > 0 or prompt is None
        return Turn(
            index,
            start,
            end,
            first,
            last,
            ending,
            weight,
            drift_tokens=drift,
            drifted=drifted,
            mend=mend_of(self, index) if drifted and self.finds_mends else "",
            cut=_is_cut(self.text, self.runs, index, start, end),
            straddling=(starts[first] < start) + (ends[last - 1] > end and last - 1 > first),
        )

    @property
    def finds_mends(self) -> bool:
        """Whether it is found out what would mend a drift: for people who look, and for some of a run's rows."""
        looked_at = not self.strict or is_looked_at(self.encoder.report.conversations - 1)
        return looked_at and not (self.part == "turn" and self.settings.drift != "split")

    def prompt_text(self, index: int, add_generation_prompt: bool) -> str | None:
        """What inference renders before message ``index``; None where the template does not go without an answer."""
        try:
            return self.renderer.render(self.messages[:index], self.beside, add_generation_prompt)
        except TemplateFailure:
            return None

    def rewritten(self, turn: Turn) -> bool:
        """Whether the turn, or what is before it, is not what was served when it was the last: history is rewritten."""
        if turn.drifted or turn.first >= turn.last:
            return True
        if turn.message == len(self.messages) - 1:
            return False
        try:
            served = self.renderer.render(self.messages[: turn.message + 1], self.beside)
        except TemplateFailure:
            return False
        # A turn that stops at the next one's header has less text when it is the last.
        return not self.text[: turn.end].startswith(served[: turn.end])

    def encode_template_text(self, text: str) -> Tokens:
        return self.encoder._tokens(text, self.writers, self.conversation.place)

    def drift(self, index: int, first: int, start: int, same_text: bool, prompt: str | None) -> int:
        """How many tokens before the turn differ from the ids that inference would feed."""
        if prompt is None:
            return 0
        tokens = self.tokens
        if same_text:
            # Text is split at control tokens before anything else, so only what follows the last one can differ.
            last_control = bisect_left(tokens.controls, first) - 1
            since = tokens.controls[last_control] if last_control >= 0 else 0
            tail = self.rendered[tokens.starts[since] if last_control >= 0 else 0 : start]
            served = self.encoder._tail_ids(tail, self.writers, self.conversation.place)
            trained = tokens.ids[since:first]
        else:
            text = self.renderer.render(self.traced[:index], self.traced_beside, True)
            served = self.encoder._tokens(text, self.writers, self.conversation.place).ids
            trained = tokens.ids[:first]
        return _differing(served, trained)

    # -- the proof

    def prove(self) -> None:
        """Run every check and count the violations that the settings waive; others raise, or are kept in ``found``."""
        report = self.encoder.report
        for violation in [*self.violations(), *self.drift_violations()]:
            if violation.name in self.settings.waive:
                report.waived[violation.name] += 1
            elif self.strict:
                raise InputError(self.describe(violation))
            self.found.append(violation)

    def violations(self) -> Iterable[proof.Violation]:
        settings, report = self.settings, self.encoder.report
        text, messages = self.text, self.messages
        as_written = any(has_numbers(message.get("tool_calls", ())) for message in messages)
        if as_written:  # the library cannot print numbers as they were written, so both print them rounded
            messages = rounded(messages)
            text = self.renderer.render(messages, self.beside)
        yield from proof.check_text(text, self.renderer.reference(messages, self.beside, tokenize=False))
        yield from proof.check_origins(self.text, self.runs, self.conversation)
        yield from proof.check_turns(
            [t for t in self.turns if t.first >= t.last or not trains_nothing(t, self.weights)]
        )
        everything = settings.train_on == "all"
        yield from proof.check_fields(self.turns, self.runs, self.conversation.messages, untrained_fields(settings))
        allowed = may_train(self.conversation.messages, self.turns, settings.train_on)
        yield from proof.check_foreign(self.tokens, self.weights, self.runs, allowed, everything)
        if self.turns or everything:  # a conversation that trains nothing is left out, and that is said
            yield from proof.check_fraction(self.weights, settings.trained_fraction, everything)
        every = settings.audit_every
        if every and (report.conversations - 1) % every == 0 and not (self.tokens.control_strings or as_written):
            ids = self.renderer.reference(self.messages, self.beside, tokenize=True)
            yield from proof.check_ids(self.tokens.ids, ids, self.tokens.starts)
            report.audited += 1

    def drift_violations(self) -> Iterator[proof.Violation]:
        for turn in self.turns:
            if turn.drifted and self.settings.drift != "allow":
                mend = MENDS[turn.mend or mend_of(self, turn.message)]
                yield proof.Violation("drift", f"{drift_words(turn)}; {mend}", turn.start, turn.end, turn.message)

    def describe(self, violation: proof.Violation) -> str:
        shown = self.text[max(0, violation.start - 80) : max(violation.end, violation.start) + 40]
        shown = shown if len(shown) <= 320 else f"{shown[:200]} … {shown[-100:]}"
        waiver = "" if violation.name == "drift" else f" To go on regardless, add {violation.name} to chat.waive."
        return f"{self.conversation.place}: {violation.message}. The text there: {shown!r}.{waiver}"

    @cached_property
    def losses(self) -> list[Loss]:
        """What the template did not print."""
        return list(losses(self.text, self.runs, self.conversation, self.since))

    # -- the result

    def shorten(self, limit: int) -> Iterator["Work"]:
        """What ``too_long`` makes of an example that is longer than ``limit``."""
        place, report, how = self.conversation.place, self.encoder.report, self.settings.too_long
        if how == "error":
            message = (
                f"the conversation has {len(self.tokens.ids)} tokens and max_length is {limit}; "
                "raise max_length, or set too_long to drop, truncate or split_turns"
            )
            if self.strict:
                raise InputError(f"{place}: {message}")
            self.found.append(proof.Violation("too_long", message, 0, len(self.text)))
            self.finish(self.whole())
            yield self
        elif how == "truncate" and any(self.weights[1:limit]):  # the first token is never a target
            report.truncated += 1
            self.finish(cut_example(self.text, self.tokens, self.weights, self.turns, place, limit))
            yield self
        elif how == "split_turns" and self.part != "length":
            conversation = only_trained(self.conversation, [turn.message for turn in self.turns])
            pieces, lost = by_length(conversation, self.message_lengths(), limit, lambda c: self.fits(c, limit))
            report.exchanges_dropped += sum(map(self.trains, lost))
            repeated = opening(self.conversation.messages)
            kept = filter(self.trains, pieces)
            yield from self.each(((piece, n and repeated) for n, piece in enumerate(kept)), "length")
        else:
            report.too_long_dropped += 1

    def check_reads(self, length: int) -> None:
        """What the model cannot read whole is known before the rest of the data is encoded."""
        reads = self.encoder.reads
        if reads is None or length <= reads:
            return
        message = (
            f"the conversation has {length:,} tokens and the model reads at most {reads:,}; "
            f"set chat.max_length: {reads}, and chat.too_long to drop, truncate or split_turns"
        )
        if self.strict:
            raise InputError(f"{self.conversation.place}: {message}")
        self.found.append(proof.Violation("too_long_for_model", message, 0, len(self.text)))

    def message_lengths(self) -> list[int]:
        """About how many tokens each message takes, the template's text before it included."""
        lengths, at = [0] * len(self.messages), 0
        for message in range(len(self.messages)):
            end = max((run.end for run in self.runs if run.message == message), default=at)
            first, last = self.tokens.within(at, end) if end > at else (0, 0)
            lengths[message], at = last - first, max(at, end)
        return lengths

    def fits(self, conversation: Conversation, limit: int) -> bool:
        messages = traced_messages(conversation.messages, plain_messages(conversation.messages))
        text = self.renderer.render(messages, self.traced_beside)
        tokens = self.encoder._tokens(text, assistants(conversation.messages), conversation.place)
        return len(tokens.ids) <= limit

    def trains(self, conversation: Conversation) -> bool:
        return self.settings.train_on == "all" or bool(turn_weights(conversation.messages, self.settings))

    def whole(self) -> Example:
        return build_example(self.text, self.tokens, self.weights, self.turns, self.conversation.place)

    def finish(self, example: Example) -> None:
        self.check_reads(len(example.tokens))
        self.prove()
        self.example = example
        count(self)


def _is_cut(text: str, all_runs: Sequence[Run], message: int, start: int, end: int) -> bool:
    """Whether own text follows the turn's end, maybe after other messages, and does not just repeat what is in it."""
    return any(
        text[run.start : run.end] not in text[start:end]
        for run in all_runs
        if run.message == message and run.field in OWN_FIELDS and end <= run.start
    )


def assistants(messages: Sequence[Message]) -> frozenset[int]:
    return frozenset(index for index, message in enumerate(messages) if message.role == "assistant")


def _differing(served: list[int], trained: list[int]) -> int:
    """Tokens from the first difference on, in the longer of the two; 0 when they are equal."""
    if served == trained:
        return 0
    return max(len(served), len(trained)) - common_length(served, trained)
