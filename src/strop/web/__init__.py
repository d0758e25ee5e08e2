"""What strop's pages share: the look, the escaping, and a safe place for data."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from strop.common.visible import visible


def environment(folder: Path) -> jinja2.Environment:
    """A Jinja environment for the templates in ``folder`` that escapes what it prints.

    Its filter ``visible`` is for text from models and data; its globals ``base_style`` and
    ``browser_style`` are the look of every page, and of a browser of entries.
    """
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["visible"] = lambda text: visible(text.replace("\r\n", "\n"), strict=False)
    made.globals["browser_style"] = Markup(Path(__file__).with_name("browser.css").read_text(encoding="utf-8"))
    made.globals["base_style"] = Markup(Path(__file__).with_name("base.css").read_text(encoding="utf-8"))
    return made


def script_data(value: Any) -> Markup:
    """JSON for the inside of ``<script type="application/json">``: nothing in it can end or open a tag."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def browser_script(own: Path) -> str:
    """The script of a page with a browser of entries: what such pages share, then its ``own``."""
    return "\n".join(path.read_text(encoding="utf-8") for path in (Path(__file__).with_name("browser.js"), own))


def script_hash(source: str) -> str:
    """The hash by which a page's Content-Security-Policy lets this one script run, and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
