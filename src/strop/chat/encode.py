"""Conversations to examples: render once with origins, tokenise once, mask by provenance, prove it."""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from strop.chat import proof
from strop.chat.conversation import Conversation, Field, Message, read_message, read_tools
from strop.chat.example import Example, build_example, cut_example
from strop.chat.mask import Territory, Turn, common_length, loss_weights, territory, turn_end, turn_start
from strop.chat.origin import OWN_FIELDS, TEMPLATE, Run, runs
from strop.chat.rendering import Renderer, plain_messages, traced_messages, traced_tools
from strop.chat.report import MaskReport
from strop.chat.settings import ChatSettings
from strop.chat.template import TemplateFailure
from strop.chat.tokens import ControlStringError, TextEncoder, Tokens
from strop.chat.traced import plain, trace_of
from strop.errors import InputError

_TAIL_CACHE = 4096


class ChatEncoder:
    """Turns conversations into tokens and loss weights, and messages into the prompt that inference feeds.

    Args:
        tokenizer: a transformers fast tokenizer. Its backend is copied, so later changes to it are not seen.
        settings: see `ChatSettings`.
        stop_ids: ids that end a turn, besides the tokenizer's ``eos_token_id`` and the settings' ``stop_tokens``;
            hand in the model's ``generation_config.eos_token_id``.

    Raises:
        InputError: when there is no chat template, or it does not compile, or a token named in the settings is unknown.
    """

    def __init__(self, tokenizer: Any, settings: ChatSettings | None = None, stop_ids: Collection[int] = frozenset()):
        self.settings = settings or ChatSettings()
        self.report = MaskReport()
        self._renderer = Renderer(tokenizer, self.settings)
        named = _token_ids(tokenizer, self.settings.stop_tokens, "stop_tokens")
        for name in ("assistant_may_write", "ordinary_tokens"):
            _token_ids(tokenizer, getattr(self.settings, name), name)
        eos = tokenizer.eos_token_id
        self.stop_ids = frozenset({*stop_ids, *named, *(() if eos is None else (eos,))})
        self._text = TextEncoder(tokenizer, frozenset(self.settings.ordinary_tokens))
        self._tails: dict[str, list[int]] = {}

    def prompt(
        self, messages: Sequence[Message | Mapping[str, Any]], tools: Sequence[Mapping] | None = None
    ) -> list[int]:
        """The ids that inference feeds to have the next assistant turn written, made the way training makes them."""
        place = "prompt"
        typed = [
            message if isinstance(message, Message) else read_message(message, Field(place, f"messages[{index}]"))
            for index, message in enumerate(messages)
        ]
        listed = read_tools(tools, Field(place, "tools"))
        try:
            text = self._renderer.render(traced_messages(typed, plain_messages(typed)), traced_tools(listed), True)
        except TemplateFailure as error:
            raise InputError(f"{place}: the chat template refused these messages: {error}") from error
        return self._tokens(text, _assistants(typed), place).ids

    def encode(self, conversation: Conversation) -> Example | None:
        """Tokens and loss weights of a conversation, proven.

        Returns None only where ``on_too_long`` had the conversation dropped (or cut down to nothing trained).

        Raises:
            InputError: when the template refuses the conversation, or a check fails that the settings do not waive.
        """
        try:
            return _Work(self, conversation).run()
        except TemplateFailure as error:
            raise InputError(
                f"{conversation.place}: the chat template refused this conversation: {error}; "
                "mend the conversation or use another template"
            ) from error

    def _tokens(self, text: str, writers: Collection[int], place: str) -> Tokens:
        settings = self.settings
        try:
            return self._text.encode(text, settings.control_strings, writers, settings.assistant_may_write)
        except ControlStringError as error:
            raise InputError(f"{place}: {error}") from error

    def _tail_ids(self, tail: str, writers: Collection[int], place: str) -> list[int]:
        """The ids of the end of a prompt, from its last control token on: nearly always the same few strings."""
        if trace_of(tail).strip(TEMPLATE):
            return self._tokens(tail, writers, place).ids
        tail = plain(tail)
        if tail not in self._tails:
            if len(self._tails) >= _TAIL_CACHE:
                self._tails.clear()
            self._tails[tail] = self._tokens(tail, writers, place).ids
        return self._tails[tail]


class _Work:
    """One conversation on its way through the encoder."""

    def __init__(self, encoder: ChatEncoder, conversation: Conversation):
        self.encoder, self.conversation = encoder, conversation
        self.settings, self.renderer = encoder.settings, encoder._renderer
        self.messages = plain_messages(conversation.messages)
        self.tools = list(conversation.tools) or None
        self.traced = traced_messages(conversation.messages, self.messages)
        self.traced_tools = traced_tools(conversation.tools)
        self.writers = _assistants(conversation.messages)

    def run(self) -> Example | None:
        encoder, conversation = self.encoder, self.conversation
        rendered = self.renderer.render(self.traced, self.traced_tools)
        self.text, self.rendered = plain(rendered), rendered
        self.runs = runs(trace_of(rendered))
        self.tokens = encoder._tokens(rendered, self.writers, conversation.place)
        turns = [self.turn(i, m.loss_weight) for i, m in enumerate(conversation.messages) if m.loss_weight > 0]
        weights = loss_weights(self.tokens, turns, self.runs)
        waived = self.prove(turns, weights)
        self.prove_drift(turns)
        return self.fit(turns, weights, waived)

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
            return Turn(index, start, start, 0, 0, ending, weight)
        first, last = self.tokens.within(start, end)
        starts, ends = self.tokens.starts, self.tokens.ends
        drift = self.drift(index, first, start, same and start <= land.first_own, prompt)
        return Turn(
            index,
            start,
            end,
            first,
            last,
            ending,
            weight,
            drift_tokens=drift,
            drifted=drift > 0 or prompt is None,
            cut=_is_cut(self.text, self.runs, index, start, end, land),
            straddling=(starts[first] < start) + (ends[last - 1] > end and last - 1 > first),
        )

    def prompt_text(self, index: int, add_generation_prompt: bool) -> str | None:
        """What inference renders before message ``index``; None where the template does not go without an answer."""
        try:
            return self.renderer.render(self.messages[:index], self.tools, add_generation_prompt)
        except TemplateFailure:
            return None

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
            text = self.renderer.render(self.traced[:index], self.traced_tools, True)
            served = self.encoder._tokens(text, self.writers, self.conversation.place).ids
            trained = tokens.ids[:first]
        return _differing(served, trained)

    # -- the proof

    def prove(self, turns: list[Turn], weights: list[float]) -> list[str]:
        """Run every check; returns the names of the violations that the settings waive."""
        waived = []
        for violation in self.violations(turns, weights):
            if violation.name not in self.settings.waive:
                raise InputError(self.describe(violation))
            waived.append(violation.name)
        return waived

    def violations(self, turns: list[Turn], weights: list[float]) -> Iterable[proof.Violation]:
        expected = self.renderer.reference(self.messages, self.tools, tokenize=False)
        yield from proof.check_text(self.text, expected)
        yield from proof.check_origins(self.text, self.runs, self.conversation)
        yield from proof.check_turns(turns)
        yield from proof.check_foreign(self.tokens, weights, self.runs, self.writers)
        yield from proof.check_fraction(weights, self.settings.trained_fraction)
        every = self.settings.audit_every
        if every and self.encoder.report.conversations % every == 0 and not self.tokens.control_strings:
            ids = self.renderer.reference(self.messages, self.tools, tokenize=True)
            yield from proof.check_ids(self.tokens.ids, ids, self.tokens.starts)
            self.encoder.report.audited += 1

    def prove_drift(self, turns: list[Turn]) -> None:
        for turn in turns:
            if turn.drifted and self.settings.drift == "error":
                message = (
                    f"before message {turn.message} training sees {turn.drift_tokens} tokens that differ from what "
                    "inference feeds; use a template that keeps earlier turns as they were, train only the last turn, "
                    "or set chat.drift: report"
                )
                raise InputError(self.describe(proof.Violation("drift", message, turn.start, turn.end)))

    def describe(self, violation: proof.Violation) -> str:
        shown = self.text[max(0, violation.start - 80) : max(violation.end, violation.start) + 40]
        shown = shown if len(shown) <= 320 else f"{shown[:200]} … {shown[-100:]}"
        waiver = "" if violation.name == "drift" else f" To go on regardless, add {violation.name} to chat.waive."
        return f"{self.conversation.place}: {violation.message}. The text there: {shown!r}.{waiver}"

    # -- the result

    def fit(self, turns: list[Turn], weights: list[float], waived: list[str]) -> Example | None:
        place, limit, report = self.conversation.place, self.settings.max_length, self.encoder.report
        length = len(self.tokens.ids)
        if limit is None or length <= limit:
            example = build_example(self.text, self.tokens, weights, turns, place)
        elif self.settings.on_too_long == "error":
            raise InputError(
                f"{place}: the conversation has {length} tokens and max_length is {limit}; "
                "raise max_length, or set on_too_long to drop or truncate"
            )
        elif self.settings.on_too_long == "truncate" and any(weights[:limit]):
            report.truncated += 1
            example = cut_example(self.text, self.tokens, weights, turns, place, limit)
        else:
            report.conversations += 1
            report.too_long_dropped += 1
            return None
        self.count(example, waived)
        return example

    def count(self, example: Example, waived: list[str]) -> None:
        report = self.encoder.report
        report.conversations += 1
        report.tokens += len(example.tokens)
        report.trained_tokens += example.trained_tokens
        report.turns += len(example.turns)
        report.control_strings += len(self.tokens.control_strings)
        report.control_string_kinds.update(self.tokens.control_strings)
        report.waived.update(waived)
        printed = {(run.message, run.field) for run in self.runs}
        for turn in example.turns:
            report.straddling_tokens += turn.straddling
            report.drift_turns += turn.drifted
            report.drift_tokens += turn.drift_tokens
            report.missing_stop += turn.ending == "none"
            if turn.ending == "control":
                report.inferred_stops[self.encoder._text.controls[example.tokens[turn.last - 1]]] += 1
            message = self.conversation.messages[turn.message]
            for name in ("content", "reasoning_content", "tool_calls"):
                value = getattr(message, name)
                if value and (turn.message, name) not in printed and (turn.message, "several") not in printed:
                    report.dropped_fields[name] += 1


def _is_cut(text: str, all_runs: Sequence[Run], message: int, start: int, end: int, land: Territory) -> bool:
    """Whether own text follows the stop token that is not a repetition of what stands before it."""
    return any(
        text[run.start : run.end] not in text[start:end]
        for run in all_runs
        if run.message == message and run.field in OWN_FIELDS and end <= run.start < land.after
    )


def _assistants(messages: Sequence[Message]) -> frozenset[int]:
    return frozenset(index for index, message in enumerate(messages) if message.role == "assistant")


def _differing(served: list[int], trained: list[int]) -> int:
    """Tokens from the first difference on, in the longer of the two; 0 when they are equal."""
    if served == trained:
        return 0
    return max(len(served), len(trained)) - common_length(served, trained)


def _token_ids(tokenizer: Any, names: Sequence[str], setting: str) -> list[int]:
    vocabulary = tokenizer.get_vocab() if names else {}
    ids = []
    for name in names:
        index = vocabulary.get(name)
        if index is None:
            raise InputError(f"chat.{setting}: the tokenizer has no token {name!r}; check the spelling or drop it")
        ids.append(index)
    return ids
