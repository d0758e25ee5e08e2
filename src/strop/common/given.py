"""Functions and classes that a program hands in, written to a file by value, so that worker processes can read them.

A function of a script, a notebook or a lambda has no name by which another process could import it. cloudpickle
writes it with what it refers to. The file's name holds a digest of its code, so the same code has the same file,
whichever process wrote it and on whatever line it stood.
"""

from __future__ import annotations

import hashlib
import pickle
import re
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from strop.common.errors import InputError, raised

SUFFIX = ".pkl"
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def write_given(folder: Path, thing: Any, name: str, beside: tuple[Any, ...] = ()) -> Path:
    """``folder/NAME-DIGEST.pkl`` with ``(*beside, thing)``, or with ``thing`` alone; one that is there stays.

    Raises InputError where ``thing`` needs what cannot leave this process (a lock, an open file, a generator …).
    """
    import cloudpickle

    module = _by_value(thing)
    path = folder / f"{name}-{digest_of(thing)}{SUFFIX}"
    if path.is_file():
        return path
    try:
        if module:
            cloudpickle.register_pickle_by_value(module)
        packed = cloudpickle.dumps((*beside, thing) if beside else thing)
        pickle.loads(packed)
    except (Exception, SystemExit) as error:  # whatever it refers to says in its own way that it cannot be packed
        raise InputError(
            f"{name} cannot be sent to the processes that would run it ({raised(error)}); make what it "
            "needs inside of it, or put it into a file of its own and name that: 'mine.py:NAME'."
        ) from error
    finally:
        if module:
            cloudpickle.unregister_pickle_by_value(module)
    folder.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}")
    scratch.write_bytes(packed)
    scratch.replace(path)
    return path


def read_given(path: Path) -> Any:
    """What `write_given` wrote. Raises InputError where it cannot be read here."""
    try:
        return pickle.loads(path.read_bytes())
    except (Exception, SystemExit) as error:  # its imports may raise anything
        raise InputError(f"{path}: cannot be read ({raised(error)}); hand it in again.") from error


def importable(thing: Any) -> str | None:
    """``module:name`` of a function that is installed, so that every process can import it; None of any other."""
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", "")
    file = getattr(_module(thing), "__file__", None) or ""
    installed = "site-packages" in Path(file).parts or (module or "").partition(".")[0] == "strop"
    return f"{module}:{name}" if installed and name.isidentifier() else None


def digest_of(thing: Any) -> str:
    """16 hexadecimal digits that depend on the code and what it refers to, and on neither places nor addresses."""
    text = hashlib.sha256()
    for part in _parts(thing, _module(thing), {}):
        text.update(part.encode("utf-8", "surrogateescape") + b"\0")
    return text.hexdigest()[:16]


def _module(thing: Any) -> types.ModuleType | None:
    import sys

    owner = thing if hasattr(thing, "__qualname__") else type(thing)
    return sys.modules.get(getattr(owner, "__module__", None) or "")


def _by_value(thing: Any) -> types.ModuleType | None:
    """The module that has to be told to cloudpickle; what is in ``__main__`` it always writes by value."""
    module = _module(thing)
    known = module is None or module.__name__ in ("__main__", "builtins") or importable(thing)
    return None if known else module


def _parts(value: Any, home: types.ModuleType | None, seen: dict[int, Any]) -> Iterator[str]:
    """``seen``: what was gone into, by its id; held, as the next thing might get the id of one that is gone."""
    if id(value) in seen:
        return
    own = getattr(value, "__module__", None) == getattr(home, "__name__", None)
    if isinstance(value, types.CodeType):
        yield from (value.co_name, value.co_code.hex(), *value.co_names, *value.co_varnames)
        for one in value.co_consts:
            yield from _parts(one, home, seen)
    elif isinstance(value, types.FunctionType) and own:
        seen[id(value)] = value
        yield from _parts(value.__code__, home, seen)
        cells = [cell.cell_contents for cell in value.__closure__ or () if cell is not None]
        read = {name: value.__globals__[name] for name in sorted(_names(value.__code__)) if name in value.__globals__}
        for one in (value.__defaults__, value.__kwdefaults__, *cells, read):
            yield from _parts(one, home, seen)
    elif isinstance(value, classmethod | staticmethod):
        yield from _parts(value.__func__, home, seen)
    elif isinstance(value, property):
        yield from _parts(value.fget, home, seen)
    elif isinstance(value, type) and own:
        seen[id(value)] = value
        yield from (value.__qualname__, *(base.__qualname__ for base in value.__bases__))
        for name, one in sorted(vars(value).items()):
            if not name.startswith("__") or name == "__init__" or callable(one):
                if name.startswith(("__pydantic", "_abc", "__private", "__signature")):
                    continue
                yield name
                yield from _parts(one, home, seen)
    elif isinstance(value, Mapping):
        seen[id(value)] = value
        for name, one in value.items():
            yield repr(name)
            yield from _parts(one, home, seen)
    elif isinstance(value, list | tuple):
        seen[id(value)] = value
        yield type(value).__name__
        for one in value:
            yield from _parts(one, home, seen)
    elif isinstance(value, set | frozenset):
        yield from sorted(map(repr, value))
    elif isinstance(value, types.ModuleType):
        yield value.__name__
    elif hasattr(value, "__qualname__"):
        yield f"{value.__module__}.{value.__qualname__}"
    elif type(value).__module__ == getattr(home, "__name__", None) and hasattr(value, "__dict__"):
        seen[id(value)] = value
        yield from _parts(type(value), home, seen)
        yield from _parts(vars(value), home, seen)
    else:
        yield _ADDRESS.sub("", repr(value))


def _names(code: types.CodeType) -> set[str]:
    """The global names that the code and the functions within it may read."""
    inner = (_names(one) for one in code.co_consts if isinstance(one, types.CodeType))
    return set(code.co_names).union(*inner)
