"""Text to token ids with offsets, such that text from messages never becomes a control token."""

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from strop.chat.origin import OWN_FIELDS, TEMPLATE, decode
from strop.chat.traced import plain, trace_of

# Two characters of Tangut, which no vocabulary is made for. A tokenizer that falls back to bytes tells them apart.
_RARE = ("\U00017000", "\U00017001")
# Private-use characters that stand for the template's control tokens while message text is encoded as ordinary text.
_ALIAS_BASE = 0xF0000
_ALIASES = re.compile("[\U000f0000-\U000ffffd]")


class ControlStringError(ValueError):
    """A message's text contains the string of a control token, and it must not, or cannot be told from the token; or it
    contains a character that has no token."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A tokenised text: ``ids[T]`` and the characters ``[starts[t], ends[t])`` that each id stands for.

    A control token stands for its own string, without the white space beside it that some swallow.
    """

    ids: list[int]
    starts: list[int]
    ends: list[int]
    controls: list[int]
    """Indices of the control tokens that the template wrote, ascending."""
    control_strings: list[str]
    """The control tokens' strings found in text from messages, as often as found."""

    def within(self, start: int, end: int) -> tuple[int, int]:
        """The tokens ``[first, last)`` that hold any character of ``[start, end)``."""
        return bisect_right(self.ends, start), bisect_left(self.starts, end)


class TextEncoder:
    """A private copy of a fast tokenizer's backend, so that nobody's truncation or padding settings reach it.

    ``tokenizer`` is a transformers fast tokenizer. The control tokens are all its added tokens, special or not, except
    those of white space only and those named in ``ordinary``.
    """

    def __init__(self, tokenizer: Any, ordinary: Collection[str] = ()):
        source = tokenizer.backend_tokenizer
        self._load: Callable[[str], Any] = type(source).from_str
        self._backend = self._load(source.to_str())
        self._backend.no_truncation()
        self._backend.no_padding()
        self._backend.encode_special_tokens = False
        self.controls: dict[int, str] = {
            index: token.content
            for index, token in tokenizer.added_tokens_decoder.items()
            if token.content not in ordinary and (token.special or token.content.strip())
        }
        # The id of all characters outside of the vocabulary; None where it has bytes for them, or leaves them out.
        first, second = map(self._ids, _RARE)
        self._unknown = first[-1] if first and first == second else tokenizer.unk_token_id
        self._leaves_out = not first and not second

    def _ids(self, text: str) -> list[int]:
        return self._backend.encode(text, add_special_tokens=False).ids

    def backend_encodings(self, texts: Sequence[str]) -> list[Any]:
        """The backend's encoding of each text, for `encode`: quicker than one by one, and on all cores."""
        return self._backend.encode_batch(texts, add_special_tokens=False)

    def encode(
        self,
        text: str,
        policy: str = "text",
        writers: Collection[int] = (),
        may_write: Collection[str] = (),
        encoding: Any = None,
    ) -> Tokens:
        """Encode a rendered text (`Traced` where it came from messages) without adding special tokens.

        Args:
            policy: what to do with control strings in text from messages: ``text``, ``error`` or ``keep``.
            writers: indices of the assistant messages; strings in ``may_write`` stay tokens in their own text.
            encoding: the backend's of the plain text, where it is there already.

        Raises:
            ControlStringError: under ``error``, or where the vocabulary makes the token from ordinary text too.
        """
        trace, text = trace_of(text), plain(text)
        encoding = encoding or self._backend.encode(text, add_special_tokens=False)
        ids = encoding.ids
        kept, foreign = [], []
        controls = self.controls
        self._check_known(text, trace, ids, encoding.offsets)
        hits = sorted(index for token in controls.keys() & set(ids) for index in _places(ids, token))
        offsets = encoding.offsets
        for index in hits:
            start, end = self._core(text, controls[ids[index]], offsets[index])
            if trace[start:end].strip(TEMPLATE):
                origins = map(decode, set(trace[start:end]))
                own = all(message in writers and field in OWN_FIELDS for message, field in origins)
                written = own and controls[ids[index]] in may_write
                foreign.append((index, start, end, written))
            else:
                kept.append((index, start, end))
        found = [controls[ids[index]] for index, _, _, written in foreign if not written]
        if found and policy == "error":
            raise ControlStringError(f"the text contains {found[0]!r}, which is a control token of this tokenizer")
        if found and policy == "text":
            tokens = [*kept, *(hit[:3] for hit in foreign if hit[3])]
            ids, offsets, kept = self._encode_aliased(text, trace, sorted(tokens), ids)
        starts, ends = map(list, zip(*offsets, strict=True)) if ids else ([], [])
        for index, start, end in kept:
            starts[index], ends[index] = start, end
        return Tokens(ids, starts, ends, [index for index, _, _ in kept], found)

    def _check_known(self, text: str, trace: str, ids: list[int], offsets: list[tuple[int, int]]) -> None:
        """Raises `ControlStringError` for a character of a message that has no token. The unknown token's own string is
        a control string like others."""
        at = self._left_out(text, trace, offsets) if self._leaves_out else None
        if at is None and self._unknown in ids:
            spelled = self.controls.get(self._unknown)
            for start, end in (offsets[index] for index in _places(ids, self._unknown)):
                if trace[start:end].strip(TEMPLATE) and text[start:end].strip() != spelled:
                    at = self._unknown_at(text, start, end)
                    break
        if at is not None:
            raise ControlStringError(_unknown_words(text, trace, at))

    def _left_out(self, text: str, trace: str, offsets: list[tuple[int, int]]) -> int | None:
        """Where the first character of a message stands that was left out; white space may go."""
        at = 0
        for start, end in (*offsets, (len(text), len(text))):
            if text[at:start].strip():  # within a word, the offsets after it are off by what was left out
                first = next((i for i in range(at, 0, -1) if text[i - 1].isspace()), 0)
                last = next((i for i in range(start, len(text)) if text[i].isspace()), len(text))
                own = (i for i in range(first, last) if trace[i] != TEMPLATE and not text[i].isspace())
                found = next((i for i in own if not self._ids(text[i])), None)
                if found is not None:
                    return found
            at = max(at, end)
        return None

    def _unknown_at(self, text: str, start: int, end: int) -> int:
        """Which character of an unknown token is the unknown one: the token may hold a whole word."""
        return next((at for at in range(start, end) if self._unknown in self._ids(text[at])), start)

    @staticmethod
    def _core(text: str, content: str, offsets: tuple[int, int]) -> tuple[int, int]:
        """Where the token's own string stands: offsets also hold the white space that some added tokens swallow."""
        start = text.find(content, *offsets)
        return offsets if start < 0 else (start, start + len(content))

    @cached_property
    def _aliased(self) -> tuple[Any, dict[int, str], dict[int, int]]:
        """The backend with every control token's string replaced by one private character.

        Returns the backend, the character of each id, and the true id of each of the aliases' ids.
        """
        aliases = {index: chr(_ALIAS_BASE + number) for number, index in enumerate(self.controls)}
        state, normalizer = json.loads(self._backend.to_str()), self._backend.normalizer
        for token in state["added_tokens"]:
            token["content"] = alias = aliases.get(token["id"], token["content"])
            if normalizer is not None and alias and not normalizer.normalize_str(alias):
                token["normalized"] = False  # BERT's drops private characters, so it must not come to see them
        backend = self._load(json.dumps(state))
        return backend, aliases, {backend.token_to_id(alias): index for index, alias in aliases.items()}

    def _encode_aliased(self, text: str, trace: str, tokens: list[tuple[int, int, int]], ids: list[int]):
        """Encode with the control tokens at ``tokens`` (index into ``ids``, start, end) and no others."""
        if _ALIASES.search(text):
            raise ControlStringError("the text mixes control strings with characters from U+F0000 on; remove either")
        backend, aliases, true_ids = self._aliased
        pieces, at = [], 0
        origin: list[int] = []  # origin[i]: where the i-th character of the aliased text stands in `text`
        for index, start, end in tokens:
            pieces += [text[at:start], aliases[ids[index]]]
            origin += range(at, start + 1)
            at = end
        pieces.append(text[at:])
        origin += range(at, len(text) + 1)
        encoding = backend.encode("".join(pieces), add_special_tokens=False)
        result, offsets, kept = [], [], []
        for index, (token, (start, end)) in enumerate(zip(encoding.ids, encoding.offsets, strict=True)):
            # A token ends where its last character does, and that character may be an alias of several.
            span = (origin[start], origin[end - 1] + 1 if end > start else origin[start])
            if token in true_ids:
                token = true_ids[token]
                span = (span[0], origin[end])
                where = self._core(text, self.controls[token], span)
                if not trace[where[0] : where[1]].strip(TEMPLATE):
                    kept.append((index, *where))
            elif token == self._unknown and text[slice(*span)].strip() != self.controls.get(token):
                raise ControlStringError(_unknown_words(text, trace, self._unknown_at(text, *span)))
            elif token in self.controls:
                raise ControlStringError(
                    f"the text contains {self.controls[token]!r}, which this vocabulary makes of ordinary text too; "
                    "remove it from the data"
                )
            result.append(token)
            offsets.append(span)
        return result, offsets, kept


def _places(ids: list[int], token: int) -> Iterator[int]:
    """The indices of a token; by ``list.index``, which is many times quicker than a loop over all ids."""
    at = -1
    for _ in range(ids.count(token)):
        at = ids.index(token, at + 1)
        yield at


def _unknown_words(text: str, trace: str, at: int) -> str:
    """What is said of the character at ``at``: itself, and its place in the message that it is from."""
    message, field = decode(trace[at])
    where = field if message is None or message < 0 else f"messages[{message}].{field}"
    place = "the template's own text" if message is None else f"{where}, at character {trace[:at].count(trace[at])}"
    start, end = at, at + 1
    while start > max(at - 20, 0) and trace[start - 1] == trace[at]:
        start -= 1
    while end < min(at + 20, len(text)) and trace[end] == trace[at]:
        end += 1
    return (
        f"the tokenizer has no token for {text[at]!r} (U+{ord(text[at]):04X}) in {place} ({text[start:end]!r}); "
        "take it out of the data, or use a model whose tokenizer has it"
    )
