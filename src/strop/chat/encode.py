"""Conversations to examples: render → mask → prove → example."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import accumulate, takewhile
from typing import Any

from strop.chat.codec import Codec, Rendered, assistants, render
from strop.chat.conversation import Conversation, LeftOut, Message, by_turn, only_trained
from strop.chat.drift import is_looked_at, mend_of
from strop.chat.inspection import Encoded, Example, Inspection, Violation, build_example, inspection
from strop.chat.mask import is_rewritten, loss_weights, trains, turn_span, turn_weights
from strop.chat.notes import MaskReport
from strop.chat.parse import Given, Objects, Parsed, Variables, parse_answer, prompt_text, typed
from strop.chat.proof import audits, violations, words
from strop.chat.template import TemplateFailure
from strop.chat.text import Text, encode_text
from strop.chat.thoughts import is_orphan, with_thoughts_apart
from strop.common.errors import InputError


class ChatEncoder(Codec):
    """Turns conversations into tokens and loss weights, and messages into the prompt that inference feeds.

    Made as a `Codec` is. ``report`` counts what was met.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.report = MaskReport()
        self._ahead: dict[int, tuple[Conversation, Rendered]] = {}  # what `look_ahead` did, by the conversation's id

    def encode(self, conversation: Conversation | Text | LeftOut) -> list[Example]:
        """Tokens and loss weights of a conversation, proven.

        One example, as a rule; several where ``drift: split`` or ``too_long: split_turns`` cut it up; none where
        ``too_long`` had it dropped (or cut down to nothing trained), or where it says itself that it is not trained. Of
        plain text, one for each ``max_length`` (or ``window``) tokens.

        Raises:
            InputError: when the template refuses the conversation, or a check fails that the settings do not waive.
        """
        return [made.example for made in self._encode(conversation, strict=True)]

    def inspect(self, conversation: Conversation | Text | LeftOut) -> list[Inspection]:
        """The same, laid open: one `Inspection` for every example; failed checks are among the warnings. Raises
        InputError when the template refuses the conversation, or its text cannot be encoded."""
        found = self._encode(conversation, strict=False)
        return [made if isinstance(made, Inspection) else inspection(self, made) for made in found]

    def look_ahead(self, conversations: Iterable[Conversation | Text | LeftOut]) -> None:
        """Render and tokenise conversations that are handed to `encode` next (those very objects).

        `encode` does as much by itself; done for a hundred at a time it is about a quarter quicker, because the
        tokenizer and the rest no longer push each other out of the caches, and it is done on all cores.
        """
        found = []
        for conversation in (one for one in conversations if isinstance(one, Conversation)):
            with suppress(TemplateFailure, InputError):  # `encode` will say so, when it is this one's turn
                found.append((conversation, render(self, self._read(conversation))))
        encodings = self.text_encoder.backend_encodings([rendered.text for _, rendered in found])
        for (_, rendered), encoding in zip(found, encodings, strict=True):
            rendered.encoding = encoding
        self._ahead = {id(pair[0]): pair for pair in found}  # the conversation is held, so no other has its id

    def prompt(
        self, messages: Given, tools: Objects = None, documents: Objects = None, template_kwargs: Variables = None
    ) -> list[int]:
        """The ids that inference feeds to have the next assistant turn written, made the way training makes them."""
        read, inputs = typed(messages, tools, documents, template_kwargs)
        return self.tokens(prompt_text(self, read, inputs), assistants(read), "prompt").ids

    def parse(
        self,
        answer: str | Sequence[int],
        messages: Given,
        tools: Objects = None,
        documents: Objects = None,
        template_kwargs: Variables = None,
        finished: bool | None = None,
    ) -> Parsed:
        """The message that was generated after `prompt` of ``messages``: see `strop.chat.parse.parse_answer`."""
        return parse_answer(self, answer, *typed(messages, tools, documents, template_kwargs), finished)

    # -- the way of a conversation

    def _encode(self, conversation: Conversation | Text | LeftOut, strict: bool) -> list[Encoded] | list[Inspection]:
        """``strict``: a failed check raises; otherwise it is kept, and the example is made all the same."""
        self.report.tell(conversation)
        if isinstance(conversation, LeftOut):
            return []
        if isinstance(conversation, Text):
            return self._encode_text(conversation)
        _, rendered = self._ahead.pop(id(conversation), (None, None)) if strict else (None, None)
        self.report.conversations += 1
        self._note(conversation)
        if not trains(conversation.messages, self.settings):
            self.report.notes["untrained"] += 1
            if strict:
                return []
        try:
            return list(self._examples(rendered or render(self, self._read(conversation)), strict))
        except TemplateFailure as error:
            raise self.refusal(conversation, error) from error

    def _examples(self, rendered: Rendered, strict: bool) -> Iterator[Encoded]:
        settings, messages = self.settings, rendered.conversation.messages
        turns = [turn_span(self, rendered, i, weight) for i, weight in turn_weights(messages, settings).items()]
        trained = [turn.message for turn in turns]
        split = settings.drift == "split" and rendered.part != "turn"
        if split and any(is_rewritten(rendered, turn) for turn in turns):
            # Of a turn before the trained one only what it is served with is there, so it is judged by its own example.
            since = [0, *(turn + 1 for turn in trained)]
            parts = zip(by_turn(rendered.conversation, trained), since, strict=False)
            yield from self._each(rendered, parts, "turn", strict)
            return
        if not strict or is_looked_at(self.report.conversations - 1):  # for people, and for some of a run's rows
            turns = [replace(t, mend=mend_of(self, rendered, t.message)) if t.drifted else t for t in turns]
        silent = rendered.writers - set(trained) if settings.train_on == "all" else ()
        weighed: Counter[str] = Counter()
        others = (turn_span(self, rendered, i, 0.0) for i in sorted(silent))
        weights = loss_weights(self, rendered, [*turns, *others], weighed)
        given = rendered.text, rendered.tokens, weights, turns, rendered.conversation.place
        limit, length = settings.max_length, len(rendered.tokens.ids)
        too_long = None if limit is None or length <= limit else settings.too_long
        if too_long == "truncate" and any(weights[1:limit]):  # the first token is never a target
            self.report.truncated += 1
            cut = build_example(*given, limit)
            yield self._proven(Encoded(rendered, turns, weights, cut, weighed=weighed), strict)
        elif too_long == "split_turns" and limit is not None and rendered.part != "length":
            yield from self._each(rendered, self._pieces(rendered, trained, limit), "length", strict)
        elif too_long in (None, "error"):
            made = Encoded(rendered, turns, weights, build_example(*given), weighed=weighed)
            if too_long:
                mend = "raise max_length, or set too_long to drop, truncate or split_turns"
                self._fail(made, "too_long", f"has {length} tokens and max_length is {limit}; {mend}", strict)
            yield self._proven(made, strict)
        else:
            self.report.too_long_dropped += 1

    def _proven(self, made: Encoded, strict: bool) -> Encoded:
        """With every check run: violations that the settings waive are counted, others raise, or are kept."""
        report, length = self.report, len(made.example.tokens)
        if self.reads is not None and length > self.reads:  # known before the rest of the data is encoded
            mend = f"set chat.max_length: {self.reads}, and chat.too_long to drop, truncate or split_turns"
            what = f"has {length:,} tokens and the model reads at most {self.reads:,}; {mend}"
            self._fail(made, "too_long_for_model", what, strict)
        audit = audits(self, made.rendered, report.conversations - 1)
        for violation in list(violations(self, made, audit)):
            if violation.name in self.settings.waive:
                report.waived[violation.name] += 1
            elif strict:
                raise InputError(words(violation, made.rendered))
            made.found.append(violation)
        report.audited += audit
        report.count(made, self.controls)
        return made

    def _fail(self, made: Encoded, name: str, what: str, strict: bool) -> None:
        if strict:
            raise InputError(f"{made.rendered.conversation.place}: the conversation {what}")
        made.found.append(Violation(name, f"the conversation {what}", 0, len(made.rendered.text)))

    def _encode_text(self, document: Text) -> list[Inspection]:
        tokens, cut = encode_text(self, document)
        windows = list(cut)
        self.report.conversations += 1
        self.report.count_strings(tokens.control_strings)
        for shown in windows:
            self.report.count_example(shown.example)
        self.report.split += len(windows) > 1
        return windows

    def _read(self, conversation: Conversation) -> Conversation:
        """The conversation with reasoning that only ends (``…</think>``) apart, where the template prints reasoning."""
        if not any(map(is_orphan, conversation.messages)) or not self.renderer.prints_reasoning(conversation):
            return conversation
        return with_thoughts_apart(conversation)

    def _note(self, conversation: Conversation) -> None:
        """Count what can only be told with the template at hand."""
        if orphans := sum(map(is_orphan, conversation.messages)):
            known = self.renderer.prints_reasoning(conversation)
            self.report.notes["orphan_think" if known else "orphan_think_kept"] += orphans
        for name in self.renderer.unknown_variables(conversation):
            self.report.notes[f"variable:{name}"] += 1

    # -- its parts

    def _each(
        self, rendered: Rendered, parts: Iterable[tuple[Conversation, int]], part: str, strict: bool
    ) -> Iterator[Encoded]:
        """``parts``: each with the number of its first message that no part before it has."""
        self.report.split += not rendered.part  # a conversation counts once, however often it is cut
        for conversation, since in parts:
            yield from self._examples(render(self, conversation, part, since), strict)

    def _pieces(self, rendered: Rendered, trained: Sequence[int], limit: int) -> Iterator[tuple[Conversation, int]]:
        """What `_by_length` makes of it; pieces that train nothing are left out."""

        def fits(piece: Conversation) -> bool:
            return len(render(self, piece).tokens.ids) <= limit

        conversation = only_trained(rendered.conversation, trained)
        pieces, lost = _by_length(conversation, rendered.message_lengths(), limit, fits)
        self.report.exchanges_dropped += sum(trains(piece.messages, self.settings) for piece in lost)
        kept = [piece for piece in pieces if trains(piece.messages, self.settings)]
        repeated = _opening(rendered.conversation.messages)
        return ((piece, number and repeated) for number, piece in enumerate(kept))


# -- cut to length


def _by_length(
    conversation: Conversation, lengths: Sequence[int], limit: int, fits: Callable[[Conversation], bool]
) -> tuple[list[Conversation], list[Conversation]]:
    """Pieces of consecutive exchanges, each after the system prompt, as long as they fit; every message is in one.

    An exchange is a user's message and all that follows until the next. ``lengths``: about how many tokens each
    message takes; ``fits`` says it exactly. Returns the pieces, and the exchanges that do not fit even alone.
    """
    messages = conversation.messages
    head = range(_opening(messages))
    exchanges: list[list[int]] = []
    for index in range(len(head), len(messages)):
        opens = messages[index].role == "user" and messages[index - 1].role != "user"
        if opens or not exchanges:
            exchanges.append([])
        exchanges[-1].append(index)
    room = limit - sum(lengths[i] for i in head)

    def piece(start: int, end: int) -> Conversation:
        members = [*head, *(i for exchange in exchanges[start:end] for i in exchange)]
        return replace(conversation, messages=tuple(messages[i] for i in members))

    pieces, lost, start = [], [], 0
    while start < len(exchanges):
        taken = accumulate(sum(lengths[i] for i in exchange) for exchange in exchanges[start:])
        guess = start + max(1, sum(1 for _ in takewhile(lambda length: length <= room, taken)))
        # The estimate may be a little too good, never by much: the template adds hardly more to fewer messages.
        end = next((end for end in range(guess, start, -1) if fits(piece(start, end))), None)
        if end is None:
            end = start + 1
            lost.append(piece(start, end))
        else:
            pieces.append(piece(start, end))
        start = end
    return pieces, lost


def _opening(messages: Sequence[Message]) -> int:
    """How many system messages lead a conversation; every piece of it begins with them."""
    return next((i for i, m in enumerate(messages) if m.role not in ("system", "developer")), len(messages))
