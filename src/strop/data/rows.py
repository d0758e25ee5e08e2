"""What every reader gives, and how each says that it cannot."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import io
import shlex
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from strop.common.errors import InputError, NotReachable

Row = tuple[str, Mapping[str, Any]]
"""``(place, row)``; the place is ``file:line`` for JSON lines and ``file, row N``, counted from 1, for all else."""
OnBad = Callable[[InputError], None]
Say = Callable[[str], None]
"""Gets a sentence about what is read, or is not: a file left out, a separator, an index column."""


def silent(note: str) -> None:
    """A `Say` for who does not want to know."""


def refuse(error: InputError, on_bad: OnBad | None) -> None:
    """Hand a bad row's error to who wants to go on; raise it when nobody does."""
    if on_bad is None:
        raise error
    on_bad(error)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns what opening, unpacking and decoding a file raise into InputError."""
    try:
        yield
    except FileNotFoundError:
        raise NotReachable(
            f"{path}: there is no such file; check the path (it is relative to where you are)."
        ) from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: {not_utf8(path)}") from None
    except (EOFError, zlib.error) as error:
        raise InputError(f"{path}: damaged or not complete ({error}); get it again.") from error
    except OSError as error:
        reason = error.strerror or str(error).partition("\n")[0]
        raise InputError(f"{path}: cannot be read ({reason}); give a readable file.") from error


def not_utf8(path: Path) -> str:
    """What to say of a file whose text is not UTF-8."""
    try:
        with opened(path) as file:
            first = file.read(4)
    except OSError:
        first = b""
    wide = "UTF-16" if first[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else ""
    wide = "UTF-32" if first in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE) else wide
    was = f" but {wide}" if wide else ""
    name = path.name.removesuffix(path.suffix) if path.suffix.lower() in (".gz", ".zst") else path.name
    convert = f"iconv -f {wide or 'ITS-ENCODING'} -t UTF-8 {shlex.quote(name)}"
    return f"not UTF-8{was}; save the file as UTF-8, e.g. `{convert} > utf8-{shlex.quote(name)}`."


_SIGNS = {
    b"version https://git-lfs": ("", "a pointer of Git LFS and not the data; get them with `git lfs pull`"),
    b"\x1f\x8b": (".gz", "packed by gzip; let its name end with .gz"),
    b"\x28\xb5\x2f\xfd": (".zst", "packed by zstd; let its name end with .zst"),
    b"PK\x03\x04": ("", "a zip archive or a spreadsheet; unpack it, or save it as CSV"),
    b"PAR1": (".parquet", "a Parquet file; let its name end with .parquet"),
}
"""What a file begins with, the end of a name that says so, and what it is."""


def check_kind(path: Path) -> None:
    """Raises InputError where a file's first bytes are those of another kind than its name says."""
    with path.open("rb") as file:
        first = file.read(24)
    for sign, (ending, what) in _SIGNS.items():
        if first.startswith(sign) and path.suffix.lower() != ending:
            raise InputError(f"{path}: this is {what}.")


def opened(path: Path) -> io.BufferedReader | gzip.GzipFile:
    """A file's bytes, unpacked where its name ends with .gz or .zst. Raises InputError as `check_kind` does."""
    check_kind(path)
    kind = path.suffix.lower()
    if kind == ".zst":
        import pyarrow

        # Arrow unpacks zstd anyway, so no package is needed for that.
        return io.BufferedReader(pyarrow.CompressedInputStream(pyarrow.OSFile(str(path)), "zstd"), 1 << 20)
    return gzip.open(path) if kind == ".gz" else path.open("rb")
