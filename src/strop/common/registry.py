"""Named things that are found by looking: a new one is a new file, and no other file names it.

A registry reads every module of its package (but for those whose names begin with ``_``) the first time that somebody
asks it; the modules register what they hold. Files elsewhere are read by `load_plugins`.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from inspect import getfile
from pathlib import Path
from types import ModuleType
from typing import Generic, TypeVar, get_args

from strop.common.calls import unlike
from strop.common.errors import USERS, InputError, line_in, raised
from strop.common.given import SUFFIX, read_given

Thing = TypeVar("Thing", bound=type)
_PLUGIN = USERS[0]


class Registry(Mapping[str, Thing], Generic[Thing]):
    """Classes by name, all of them of the class ``base``. ``what`` they are, for messages; ``package`` holds those that
    come with strop."""

    def __init__(self, what: str, package: str, base: type):
        self._what, self._package, self._base = what, package, base
        self._things: dict[str, Thing] = {}
        self._read = False

    def register(self, name: str) -> Callable[[Thing], Thing]:
        """A decorator. Raises InputError where another file has the name, or the class is not what all must be."""

        def add(thing: Thing) -> Thing:
            if not thing.__module__.startswith(f"{self._package}."):
                self._found()  # what comes with strop has its names first
            if lacking := sorted(getattr(thing, "__abstractmethods__", ())):
                raise InputError(f"{home_of(thing)}: the {self._what} {name!r} has no {', '.join(lacking)}; define it.")
            if not issubclass(thing, self._base):
                base = f"{self._base.__name__} of {self._base.__module__}"
                raise InputError(f"{home_of(thing)}: the {self._what} {name!r} is no subclass of {base}; make it one.")
            if (why := unlike(thing)) is not None:
                raise InputError(f"{home_of(thing)}: the {self._what} {name!r}: {why}.")
            kind = getattr(thing, "model_fields", {}).get("kind")
            if kind is not None and name not in get_args(kind.annotation):
                raise InputError(
                    f"{home_of(thing)}: the {self._what} {name!r} does not say so; write kind: Literal[{name!r}] in it."
                )
            known = self._things.get(name)
            if known is not None and not _given(known) and home_of(known) != home_of(thing):
                raise InputError(f"{home_of(thing)}: the {self._what} {name!r} is there already, in {home_of(known)}.")
            self._things[name] = thing
            return thing

        return add

    def __getitem__(self, name: str) -> Thing:
        return self._found()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._found()))  # whichever was imported first

    def __len__(self) -> int:
        return len(self._found())

    def _found(self) -> dict[str, Thing]:
        if not self._read:
            self._read = True  # before they are imported, since they register themselves
            for module in pkgutil.iter_modules(importlib.import_module(self._package).__path__):
                if not module.name.startswith("_"):
                    importlib.import_module(f"{self._package}.{module.name}")
        return self._things


def load_plugins(files: Iterable[Path]) -> None:
    """Run Python files that register tasks or kinds of stages, each once. Raises InputError, naming the file."""
    for file in map(Path, files):
        name = _PLUGIN + hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:16]
        if name in sys.modules:
            continue
        if file.suffix == SUFFIX and file.is_file():
            _load_given(file, name)
            continue
        if not file.is_file() or file.suffix != ".py":
            raise InputError(f"{file}: there is no such Python file; plugins are files that end in .py.")
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None  # a name that ends in .py has a loader
        assert spec.loader is not None
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:  # whatever the file raises is its own, and is to be read with its name
            del sys.modules[name]
            if isinstance(error, InputError):
                raise
            what, _, said = raised(error).partition(": ")
            place = f"{file}{line_in(spec.origin or '', error)}"
            raise InputError(f"{place}: the plugin raised {what} when it was read{said and f': {said}'}") from error


_GIVEN: dict[type, Path] = {}
"""The files of classes that a program handed in."""


def _load_given(file: Path, name: str) -> None:
    """A class that a program handed in (`strop.common.given`): registered, and to be found by its name here, as pickle
    looks for it in ``__main__`` of a worker too."""
    home, kind, thing = read_given(file)
    module = sys.modules.setdefault(thing.__module__, ModuleType(thing.__module__))
    known = getattr(module, thing.__name__, None)
    if known is None or known in _GIVEN:
        setattr(module, thing.__name__, thing)
    _GIVEN[thing] = file
    importlib.import_module(home).register(kind)(thing)
    sys.modules[name] = module


def _given(thing: type) -> bool:
    """Whether it is of the program itself, or was handed in by one: the next one of that name takes its place."""
    return thing.__module__ == "__main__" or thing in _GIVEN


def home_of(thing: type) -> str:
    """The file of a class, for messages; the name of its module where it has none."""
    try:
        return getfile(thing)
    except (TypeError, OSError):  # of a notebook
        return thing.__module__


def plugin_file(thing: type) -> Path | None:
    """The file of a class that `load_plugins` read; None for all others."""
    return _GIVEN.get(thing) or (Path(getfile(thing)) if thing.__module__.startswith(_PLUGIN) else None)
