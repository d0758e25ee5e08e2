"""What strop's pages share: the head, the look, the escaping, a safe place for data, and a browser of entries."""

from __future__ import annotations

import base64
import gzip
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import CodeType
from typing import Any

import jinja2
from jinja2.bccache import Bucket
from markupsafe import Markup

from strop.common.files import to_json
from strop.common.visible import visible

HERE = Path(__file__).parent


class _Compiled(jinja2.BytecodeCache):
    """Templates that this process has compiled, which takes half as long as drawing a page's charts."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, str], CodeType | None] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._codes.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._codes[bucket.key, bucket.checksum] = bucket.code


_compiled = _Compiled()


def render(
    folders: Sequence[Path],
    template: str,
    styles: Sequence[str] = (),
    scripts: Sequence[str] = (),
    filters: Mapping[str, Callable[[Any], Any]] | None = None,
    **values: Any,
) -> str:
    """A page that needs no other file and no network: ``template``, which extends ``base.html``, with files of
    ``folders`` (and of this one) as its ``styles`` and the one script that may run in it.

    What is printed is escaped; the filter ``visible`` is for text from models and data.
    """
    folders = [*folders, HERE]
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=_compiled,
    )
    made.filters["visible"] = lambda text: visible(text.replace("\r\n", "\n"), strict=False)
    made.filters.update(filters or {})
    script = "\n".join(_text(folders, name) for name in scripts)
    return made.get_template(template).render(
        style=Markup("\n".join(_text(folders, name) for name in ("base.css", *styles))),
        script=Markup(script),
        script_hash=_hash(script),
        **values,
    )


def script_data(value: Any) -> Markup:
    """JSON for the inside of ``<script type="application/json">``: nothing in it can end or open a tag."""
    text = to_json(value, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def packed(json: str) -> str:
    """JSON made small, for the inside of ``<script type="text/plain">`` and ``unpacked`` in browser.js: letters,
    digits, ``+``, ``/`` and ``=`` alone. Equal texts give equal ones."""
    return base64.b64encode(gzip.compress(json.encode(), 6, mtime=0)).decode()


def _text(folders: Sequence[Path], name: str) -> str:
    return next(path for folder in folders if (path := folder / name).is_file()).read_text(encoding="utf-8")


def _hash(source: str) -> str:
    """The hash by which a page's Content-Security-Policy lets this one script run, and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
