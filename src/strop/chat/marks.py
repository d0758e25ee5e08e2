"""What rows and messages say of their own worth: whether they are trained, how much they weigh, that they are bad."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from strop.chat.field import Field, is_empty, kind_of, shown

TRAIN_NAMES = ("train", "trainable", "loss", "loss_mask", "train_on_turn")
"""What says whether a message is trained: true or false, 1 or 0."""
WEIGHT_NAMES = ("weight", "loss_weight")
"""What multiplies the loss of a message, or of a whole row."""
_WEIGHTS = (1e-6, 1e6)
"""Weights are float32 in a batch, and several may be multiplied."""
_WORDS = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False, "yes": True, "no": False}
# Of these, 0 and 1 are marks as well; of the others, whose names are less plain, only true and false are.
_NUMBERED = ("label", "kto_tag", "desirable", "is_desirable")
_MAY_BE_TEXT = ("chosen", "rejected", "correct", "bad")
"""Names that may as well hold an answer, which may be the word "False"."""
_GOOD = (
    *(*_NUMBERED, "chosen", "is_chosen", "accepted", "is_accepted", "preferred", "is_preferred"),
    *("correct", "is_correct", "is_good", "thumbs_up"),
)
_BAD = ("undesirable", "is_undesirable", "rejected", "is_rejected", "bad", "is_bad", "thumbs_down")


def trained(raw: Mapping[str, Any], at: Field) -> bool | None:
    """What the marks of `TRAIN_NAMES` say; None where there is none. Raises InputError where they disagree."""

    def read(value: Any, here: Field) -> bool:
        if isinstance(value, int | float) and value in (0, 1):  # true and false are
            return bool(value)
        found = shown(value) if isinstance(value, int | float) else kind_of(value)
        raise here.fail(f"expected true or false (or 1 or 0), found {found}")

    return agreed(raw, at, TRAIN_NAMES, read, "says the opposite of {first}; keep one of them")


def weight(raw: Mapping[str, Any], at: Field) -> float | None:
    """What `WEIGHT_NAMES` say; None where there is none. Raises InputError where they differ."""
    least, most = _WEIGHTS

    def read(value: Any, here: Field) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not (value == 0 or least <= value <= most):
            wanted = f"a finite number of at least 0 (0, or from {least:g} to {most:g})"
            raise here.fail(f"expected {wanted}, found {shown(value)}")
        return float(value)

    return agreed(raw, at, WEIGHT_NAMES, read)


def agreed(
    raw: Mapping[str, Any],
    at: Field,
    names: tuple[str, ...],
    read: Callable[[Any, Field], Any],
    words: str = "differs from {first}; keep one of them",
) -> Any:
    """What is said under any of the names, each of which ``read`` checks; None where nothing is. Raises InputError
    (``words``) where two differ."""
    found = {name: read(raw[name], at.item(name)) for name in names if name in raw and raw[name] is not None}
    if len(set(found.values())) > 1:
        raise at.item(list(found)[1]).fail(words.format(first=next(iter(found))))
    return next(iter(found.values()), None)


def from_word(value: Any) -> Any:
    """True or false where a text says so; all else as it is."""
    return _WORDS.get(value.strip().lower(), value) if isinstance(value, str) else value


def from_words(row: Mapping[str, Any]) -> dict[str, Any]:
    """The marks and weights of a row, with what text files can only hold as text (``False``, ``0.5``) as what it is."""
    result = {}
    for name in (*TRAIN_NAMES, *WEIGHT_NAMES):
        value = row.get(name)
        if isinstance(value, str) and name in TRAIN_NAMES:
            value = from_word(value)
        elif isinstance(value, str):
            with suppress(ValueError):
                value = float(value)
        if not is_empty(value):
            result[name] = value
    return result


def wanted(row: dict[str, Any]) -> dict[str, bool]:
    """The columns by which the row says whether its answer is wanted (``label: false``: it is not), none read yet;
    those whose values are no mark (``label: 3``) are not among them."""
    marks = {name: _mark(name, dict.get(row, name)) for name in (*_GOOD, *_BAD) if name in row}
    return {name: mark is (name in _GOOD) for name, mark in marks.items() if mark is not None}


def _mark(name: str, value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and name not in _MAY_BE_TEXT:
        word = value.strip().lower()
        return _WORDS.get(word) if name in _NUMBERED or not word[:1].isdigit() else None
    return bool(value) if name in _NUMBERED and isinstance(value, int | float) and value in (0, 1) else None
