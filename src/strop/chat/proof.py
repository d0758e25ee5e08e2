"""What must hold of every converted conversation, checked from the outside: no check trusts how the mask was made."""

from collections.abc import Iterator, Sequence

from strop.chat.codec import Codec, Rendered
from strop.chat.conversation import Conversation, Message
from strop.chat.drift import MENDS, drift_words, mend_of
from strop.chat.inspection import Encoded, Violation
from strop.chat.mask import TurnSpan, common_length, may_train, untrained_fields
from strop.chat.numbers import has_numbers, rounded
from strop.chat.origin import OWN_FIELDS, Run
from strop.chat.tokens import Tokens

_LEAST_LOST = 16
"""Shorter texts may well occur in a template by chance."""


def violations(codec: Codec, made: Encoded, audit: bool) -> Iterator[Violation]:
    """Every check of this file on an encoded conversation; ``audit``: the ids are compared too (see `audits`)."""
    rendered, settings = made.rendered, codec.settings
    text, messages, typed = rendered.text, rendered.messages, rendered.conversation.messages
    if _writes_numbers(messages):  # the library cannot print numbers as they were written, so both print them rounded
        messages = rounded(messages)
        text = codec.renderer.render(messages, rendered.inputs)
    yield from check_text(text, codec.renderer.reference(messages, rendered.inputs, tokenize=False))
    yield from check_origins(rendered.text, rendered.runs, rendered.conversation)
    yield from check_turns([t for t in made.turns if t.first >= t.last or any(made.weights[t.first : t.last])])
    everything = settings.train_on == "all"
    yield from check_fields(made.turns, rendered.runs, typed, untrained_fields(settings))
    allowed = may_train(typed, made.turns, settings.train_on)
    yield from check_foreign(rendered.tokens, made.weights, rendered.runs, allowed, everything)
    if made.turns or everything:  # a conversation that trains nothing is left out, and that is said
        yield from check_fraction(made.weights, settings.trained_fraction, everything)
    if audit:
        ids = codec.renderer.reference(rendered.messages, rendered.inputs, tokenize=True)
        yield from check_ids(rendered.tokens.ids, ids, rendered.tokens.starts)
    if settings.drift != "allow":
        for turn in (turn for turn in made.turns if turn.drifted):
            mend = MENDS[turn.mend or mend_of(codec, rendered, turn.message)]
            yield Violation("drift", f"{drift_words(turn)}; {mend}", turn.start, turn.end, turn.message)


def audits(codec: Codec, rendered: Rendered, number: int) -> bool:
    """Whether the ids of the conversation of this number (from 0) are compared with the tokenizer's own call, which
    makes other ids of control strings in messages and of numbers that are printed as they were written."""
    every = codec.settings.audit_every
    strings = rendered.tokens.control_strings
    return bool(every) and number % every == 0 and not (strings or _writes_numbers(rendered.messages))


def words(violation: Violation, rendered: Rendered) -> str:
    """What is said of a failed check where it stops the run."""
    shown = rendered.text[max(0, violation.start - 80) : max(violation.end, violation.start) + 40]
    shown = shown if len(shown) <= 320 else f"{shown[:200]} … {shown[-100:]}"
    waiver = "" if violation.name == "drift" else f" To go on regardless, add {violation.name} to chat.waive."
    return f"{rendered.conversation.place}: {violation.message}. The text there: {shown!r}.{waiver}"


def _writes_numbers(messages: Sequence[dict]) -> bool:
    return any(has_numbers(message.get("tool_calls", ())) for message in messages)


def check_text(text: str, expected: str) -> Iterator[Violation]:
    """The text is the tokenizer's own ``apply_chat_template`` text."""
    if text != expected:
        at = common_length(text, expected)
        theirs = expected[at : at + 40]
        where = f"from character {at} on, where that has {theirs!r};  please report the template"
        yield Violation("text_differs", f"the rendering differs from the tokenizer's own {where}", at, at + 40)


def check_ids(ids: Sequence[int], expected: Sequence[int], starts: Sequence[int]) -> Iterator[Violation]:
    """The ids are the tokenizer's own ``apply_chat_template`` ids."""
    if list(ids) != list(expected):
        at = common_length(ids, expected)
        place = starts[at] if at < len(starts) else (starts[-1] if starts else 0)
        what = f"token {at} differs from the tokenizer's own ids; make the encoder after the tokenizer's last change"
        yield Violation("ids_differ", what, place, place + 40)


def check_origins(text: str, runs: Sequence[Run], conversation: Conversation) -> Iterator[Violation]:
    """No message's text stands in what passes for the template's own text."""
    printed = {(run.message, run.field) for run in runs}
    missing = [
        (index, value.strip())
        for index, message in enumerate(conversation.messages)
        for field, value in (("content", message.content), ("reasoning_content", message.reasoning_content))
        if value and (index, field) not in printed and len(value.strip()) >= _LEAST_LOST
    ]
    if not missing:
        return
    template_text = "\0".join(text[run.start : run.end] for run in runs if run.message is None)
    for index, value in missing:
        if value in template_text:
            what = f"the template transforms message {index} in a way that loses track of it, so no mask can be trusted"
            at = text.find(value)
            yield Violation("lost_origin", f"{what}; please report the template", at, at + len(value), index)


def check_turns(turns: Sequence[TurnSpan]) -> Iterator[Violation]:
    """Every trained turn has tokens, is whole, and ends with a token that stops the model."""
    for turn in turns:
        if turn.first >= turn.last:
            name, what = "empty_turn", "the template prints nothing to learn for message {n}"
            mend = "drop the turn, set train: false on it, or use a template that prints it"
        elif turn.ending == "none":
            name, what = "missing_stop", "no stop token follows message {n}, so the model could not learn to stop"
            mend = "name the token that the template writes there in stop_tokens, or use another template"
        elif turn.cut:
            what = "the template writes a stop token inside message {n}, and what follows it is not trained"
            name, mend = "cut_turn", "split the message into two turns"
        else:
            continue
        yield Violation(name, f"{what.format(n=turn.message)}; {mend}", turn.start, turn.end, turn.message)


def check_fields(
    turns: Sequence[TurnSpan], runs: Sequence[Run], messages: Sequence[Message], off: frozenset[str]
) -> Iterator[Violation]:
    """What must not be trained inside a turn can be told from what must: no text is several of its fields at once."""
    trained = {turn.message for turn in turns}
    for run in runs:
        if run.field != "several" or run.message not in trained:
            continue
        message = messages[run.message]
        has = {part.kind for part in message.parts} | {
            name for name in ("reasoning_content", "tool_calls") if getattr(message, name)
        }
        if has & off:
            what = f"the template prints several fields of message {run.message} as one"
            which = f"its {' and '.join(sorted(has & off))} cannot be left untrained"
            mend = "train all of its fields, or set train: false on it"
            yield Violation("lost_origin", f"{what}, so {which}; {mend}", run.start, run.end, run.message)
            return


def check_foreign(
    tokens: Tokens, weights: Sequence[float], runs: Sequence[Run], writers: frozenset[int], everything: bool = False
) -> Iterator[Violation]:
    """No trained token holds a character of a user, a system prompt, a tool or the conversation's tools.

    ``writers``: the messages that may be trained. ``everything``: not only what they wrote, but their names too.
    """
    for run in runs:
        if run.message is None or (run.message == -2 and everything):
            continue
        if run.message in writers and (everything or run.field in (*OWN_FIELDS, "python_output")):
            continue
        first, last = tokens.within(run.start, run.end)
        for index in range(first, last):
            if weights[index] > 0:
                who = f"the {run.field} of message {run.message}" if run.message >= 0 else run.field
                what = f"a trained token holds text of {who}; use a template with a control token between the turns"
                message = run.message if run.message >= 0 else None
                yield Violation("foreign_trained", what, tokens.starts[index], tokens.ends[index], message)
                return


def check_fraction(
    weights: Sequence[float], bounds: tuple[float, float], everything: bool = False
) -> Iterator[Violation]:
    """The share of trained tokens lies strictly inside the bounds: neither nothing nor (unless so wished) all."""
    trained = len(weights) - weights.count(0.0)
    share = trained / len(weights) if weights else 0.0
    if not (bounds[0] < share < bounds[1] or (everything and share == bounds[1] == 1)):
        what = f"{trained} of {len(weights)} tokens are trained, a share of {share:.3f} and not within {bounds}"
        mend = "check the turns' train and weight, or widen trained_fraction"
        yield Violation("trained_fraction", f"{what}; {mend}", 0, 200)
