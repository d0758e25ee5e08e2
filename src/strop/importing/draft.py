"""A recipe in the making, and the account of it: what of the other program's settings became what, and what did not."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from strop.common.errors import InputError
from strop.config.aliases import ALIASES, NOT_NEEDED
from strop.importing._shell import is_unknown

OF_RECIPE = ("name", "model", "folder", "chat", "compute", "evals", "gates")
"""What stands at the top of a recipe; all else is the stage's."""


class To(NamedTuple):
    """A setting that has one of strop's for it: ``target``, by ``convert`` (which raises ValueError for no value of
    it). ``skip``: values that say nothing; ``null``: whether a null that is given is a value, not the default."""

    target: str
    convert: Callable[[Any], Any] = lambda value: value
    skip: tuple[Any, ...] = (None,)
    null: bool = False


class Off(NamedTuple):
    """A setting that strop has nothing for: why. ``neutral``: the values with which it changes nothing."""

    reason: str
    neutral: tuple[Any, ...] = (None, False)


class Needless(NamedTuple):
    """A setting that strop needs none for: why."""

    reason: str


Rule = To | Off | Needless
Rules = Mapping[str, Rule]


def same(kind: type[Off] | type[Needless], by_reason: Mapping[str, str]) -> dict[str, Rule]:
    """A table out of reasons and the names (between spaces) that each is for."""
    return {name: kind(reason) for reason, names in by_reason.items() for name in names.split()}


@dataclass
class Draft:
    """``given``: the other program's settings as its user wrote them; ``defaults``: those that it takes otherwise;
    ``written``: what a setting is called in the file, where it is read here under another name; ``null_is_default``:
    whether the program takes a null that is given for nothing given; ``words``: values as they are written.

    ``recipe`` and ``stage`` grow by `put`. Every name that is asked for counts as known.
    """

    source: str
    given: dict[str, Any]
    defaults: Mapping[str, Any]
    world: int | None = None
    written: Mapping[str, str] = field(default_factory=dict)
    null_is_default: bool = False
    words: Mapping[str, str] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    stage: dict[str, Any] = field(default_factory=dict)
    mapped: list[dict[str, Any]] = field(default_factory=list)
    unmapped: list[dict[str, Any]] = field(default_factory=list)
    not_needed: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)
    emptied: set[str] = field(default_factory=set)

    # -- what is given

    def called(self, name: str) -> str:
        """What its user calls a setting."""
        return self.written.get(name, name)

    def wrong(self, name: str, what: str) -> InputError:
        """What is raised for a value that is none of a setting."""
        return InputError(f"{self.source}: {self.called(name)}: {what}")

    def get(self, name: str, default: Any = None) -> Any:
        """Its value: as it is given, else the program's default; null counts as not given."""
        self.known.add(name)
        value = self.given.get(name)
        if is_unknown(value):
            self.leave(
                name, "its value is a shell variable that the script does not set, or what only a run would tell"
            )
            self.given[name] = value = None
        return self.defaults.get(name, default) if value is None else value

    def empty(self, name: str) -> bool:
        """Whether null is given for it, which is another value than the default there. It has none from then on."""
        self.get(name)
        if self.null_is_default or name in self.done or name not in self.given or self.given[name] is not None:
            return name in self.emptied
        self.defaults = {key: value for key, value in self.defaults.items() if key != name}
        self.emptied.add(name)
        return True

    def number(self, name: str, default: float | None = None) -> float | None:
        """Raises InputError where it is none."""
        value = self.get(name, default)
        try:
            return None if value is None else number(value)
        except ValueError as error:
            raise self.wrong(name, str(error)) from None

    def whole(self, name: str, default: int | None = None) -> int | None:
        """Raises InputError where it is no whole number."""
        value = self.get(name, default)
        try:
            return None if value is None else whole(value)
        except ValueError as error:
            raise self.wrong(name, str(error)) from None

    def amount(self, name: str) -> float:
        """Of a setting that the program has a default for. Raises InputError where it is no number."""
        value = self.number(name)
        if value is None:
            raise self.wrong(name, "expected a number, found none; give one.")
        return value

    def count(self, name: str, least: int | None = None) -> int:
        """Of a setting that the program has a default for. Raises InputError where it is no whole number, and where it
        is below ``least``."""
        value = self.whole(name)
        if value is None:
            raise self.wrong(name, "expected a whole number, found none; give one.")
        if least is not None and value < least:
            raise self.wrong(name, f"expected at least {least}, found {value}; correct it.")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        """Raises InputError where it is neither true nor false."""
        value = self.get(name, default)
        if not isinstance(value, bool):
            raise self.wrong(name, f"expected true or false, found {value!r:.60}; correct it.")
        return value

    def text(self, name: str) -> str | None:
        """As it is written, where that is known: ``no`` is a word here and not false, and 2025_06_01 is no number."""
        value = self.get(name)
        if value is None:
            return None
        if self.given.get(name) is not None and (word := self.words.get(self.called(name))) is not None:
            return word
        return ("yes" if value else "no") if isinstance(value, bool) else str(value)

    def texts(self, name: str) -> list[str]:
        """A list, or texts between commas."""
        value = self.get(name)
        if value is None:
            return []
        return [str(one).strip() for one in (value if isinstance(value, list) else str(self.text(name)).split(","))]

    # -- the account

    def put(self, target: str, value: Any, *names: str) -> None:
        """Set ``target`` (``train.epochs``); ``names``: the settings that say so, in the account where any is given."""
        *sections, last = target.split(".")
        place = self.recipe if target.partition(".")[0] in OF_RECIPE else self.stage
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
        for name in names:
            self._tell_null(name)
        self.done |= set(names)
        if names:
            values = {self.called(name): self.get(name) for name in names}
            told = {name: one for name, one in values.items() if one is not None} or values
            self.mapped.append(
                {
                    "setting": ", ".join(told),
                    "value": next(iter(told.values())) if len(told) == 1 else told,
                    "to": target,
                    "becomes": value,
                    "default": not any(self.given.get(name) is not None or name in self.emptied for name in names),
                }
            )

    def _tell_null(self, name: str) -> None:
        """Where null is given and there the default counts all the same."""
        default = self.defaults.get(name)
        null = not self.null_is_default and self.given.get(name, 0) is None
        if null and default is not None and name not in self.done:
            self.leave(name, f"strop needs a value: it is {default} here, which is theirs where nothing is said")

    def leave(self, name: str, reason: str) -> None:
        """It has no place in the recipe; said if it was given."""
        self._tell(self.unmapped, name, reason)

    def needless(self, name: str, reason: str) -> None:
        """The recipe needs nothing for it; said if it was given."""
        self._tell(self.not_needed, name, reason)

    def _tell(self, place: list[dict[str, Any]], name: str, reason: str) -> None:
        self.known.add(name)
        if name in self.given and name not in self.done:
            place.append({"setting": self.called(name), "value": self.given[name], "reason": reason})
        self.done.add(name)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def apply(self, rules: Rules) -> None:
        """All settings of a table that are given, or have a default that is to be mapped."""
        for name, rule in rules.items():
            if name in self.done:
                continue
            value = None if isinstance(rule, To) and rule.null and self.empty(name) else self.get(name)
            if isinstance(rule, To) and rule.convert is str:
                value = self.text(name)
            if isinstance(rule, Needless):
                self.needless(name, rule.reason)
            elif isinstance(rule, Off):
                off = value in rule.neutral if not isinstance(value, list | dict) else value in ([], {})
                self.needless(name, "as here" if value else "off, as here") if off else self.leave(name, rule.reason)
            elif value in rule.skip:
                self.needless(name, "the same here") if name in self.given else None
            else:
                try:
                    self.put(rule.target, rule.convert(value), name)
                except (ValueError, TypeError) as error:
                    raise self.wrong(name, str(error)) from None

    def finish(self, others: Iterable[str] = ()) -> None:
        """Whatever is left over of what was given: nobody knows it, or nobody read it here. ``others``: settings that
        the program has for its other stages."""
        others = set(others)
        known = self.known | others
        for name in self.given:
            if name in self.done:
                continue
            if name in NOT_NEEDED:
                self.needless(name, NOT_NEEDED[name])
            elif name in known and self.given[name] is None:
                self.needless(name, "null, as here")
            elif name in others:
                self.leave(name, "is of another stage than this one, so it is not read")
            elif name in self.known:
                self.leave(name, "it would not be read with the other settings")
            else:
                near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
                own = f"; strop's own setting of that kind is {ALIASES[name][0]}" if name in ALIASES else ""
                meant = f"; did you mean {near[0]}?" if near else own
                self.leave(name, f"is no setting that strop import knows of this program{meant}")


def names(text: str) -> frozenset[str]:
    """The names between the spaces of a text."""
    return frozenset(text.split())


class NoNumber(ValueError):
    """A value that is none; its text is a sentence for the user."""


def number(value: Any) -> float:
    """Raises NoNumber where it is none, and for infinity and NaN."""
    shown = f"{value!r:.60}" if not isinstance(value, int) else str(value)[:60]
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise NoNumber(f"expected a number, found {shown}; correct it.")
    try:
        found = float(value)
    except (ValueError, OverflowError):
        raise NoNumber(f"expected a number, found {shown}; correct it.") from None
    if not math.isfinite(found):
        raise NoNumber(f"expected a finite number, found {shown}; correct it.")
    return found


def whole(value: Any) -> int:
    """Raises NoNumber where it is no whole number."""
    if (found := number(value)) != int(found):
        raise NoNumber(f"expected a whole number, found {value!r:.60}; correct it.")
    return value if isinstance(value, int) else int(found)
