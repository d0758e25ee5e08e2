"""The page of `strop inspect --html`: data stays data, offsets are JavaScript's, the filters do what they say."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from strop.inspector import page, run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Reader(HTMLParser):
    """The scripts of a page by id, and every attribute that could make a browser fetch something."""

    def __init__(self, html: str):
        super().__init__(convert_charrefs=True)
        self.scripts: dict[str, str] = {}
        self.fetched: list[str] = []
        self.tags: list[str] = []
        self._open: str | None = None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append(tag)
        self.fetched += [value for name, value in attrs if name in ("src", "href", "action", "data", "srcset")]
        if tag == "script":
            self._open = given.get("id", "code")
            self.scripts[self._open] = ""

    def handle_data(self, data):
        if self._open is not None:
            self.scripts[self._open] += data

    def handle_endtag(self, tag):
        if tag == "script":
            self._open = None


@pytest.fixture
def write_page(inspect, data, tmp_path):
    def write(*rows, options=()):
        code, out, _ = inspect(data(*rows), "--html", tmp_path / "page.html", *options)
        assert code == (3 if "{bad" in rows else 0)
        return (tmp_path / "page.html").read_text(encoding="utf-8"), out

    return write


def entries(html: str) -> list[dict]:
    return json.loads(Reader(html).scripts["data"])


def test_data_cannot_leave_its_place(write_page, turns, hostile):
    user, assistant = turns
    html, _ = write_page(*[[user(text), assistant(text)] for text in hostile])
    read = Reader(html)
    assert set(read.scripts) == {"meta", "data", "code"}
    assert read.fetched == []
    assert not {"img", "svg", "link", "iframe"} & set(read.tags)
    assert [hostile[one["index"]] in one["text"] for one in entries(html)] == [True] * len(hostile)


def test_only_its_own_script_may_run(write_page, turns):
    user, assistant = turns
    html, _ = write_page([user("hi"), assistant("hello")])
    digest = base64.b64encode(hashlib.sha256(Reader(html).scripts["code"].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html
    assert "default-src 'none'" in html


def test_offsets_count_as_javascript_does(write_page, turns):
    user, assistant = turns
    html, _ = write_page([user("🙂 hi"), assistant("a🙂b")])
    [one] = entries(html)
    units = one["text"].encode("utf-16-le")

    def cut(start, end):
        return units[2 * start : 2 * end].decode("utf-16-le")

    starts = [start for start, *_ in one["segments"]]
    assert "".join(cut(a, b) for a, b in zip(starts, [*starts[1:], len(units) // 2], strict=True)) == one["text"]
    at, shown = 0, []
    for step, length in zip(one["steps"], one["lengths"], strict=True):
        at += step
        shown.append(cut(at, at + length))
    assert [shown[stop] for stop in one["stops"]] == ["<|im_end|>"]
    assert shown.count("🙂") == 8  # four byte tokens each, all of which are the character


def test_what_is_said_about_each_conversation(write_page, turns):
    user, assistant = turns
    html, out = write_page([user("hi"), assistant("<|im_end|>", weight=0.5)], "{bad", [user("hi"), assistant("x")])
    first, second = entries(html)
    assert (first["index"], second["index"]) == (0, 2)
    assert [kind for kind, _, _ in first["warnings"]] == ["control_tokens"]
    assert sum(count for count, weight in first["weights"] if weight == 0.5) == first["trained"]
    assert first["roles"] == ["assistant", "user"]
    assert "1 of 3 rows rejected" in html
    assert "data.jsonl:2: not JSON" in html
    assert "2 conversations. Open it in a browser." in out


def test_a_page_is_bounded_and_says_so(write_page, turns, monkeypatch):
    user, assistant = turns
    rows = [[user("hi"), assistant("hello " * 50)] for _ in range(20)]
    monkeypatch.setattr(run, "MOST_CONVERSATIONS", 15)
    html, out = write_page(*rows)
    assert len(entries(html)) == 15
    assert "the rest of the data was not read" in out
    assert "The data goes on" in html
    html, out = write_page(*rows, options=["--count", 3])
    assert (len(entries(html)), "The data goes on" in html) == (3, False)
    monkeypatch.setattr(page, "MOST_BYTES", 9000)
    html, out = write_page(*rows)
    assert 1 < len(entries(html)) < 15
    assert "The data goes on" in html


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
def test_the_filters_in_a_browser(write_page, turns, hostile, tmp_path):
    user, assistant = turns
    rows = [[user(text), assistant("fine")] for text in hostile]
    rows.append([{"role": "system", "content": "be"}, user("long " * 3000), assistant("ok", weight=0.5)])
    write_page(*rows)

    def dump(view: str) -> str:
        flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
        command = [
            CHROMIUM,
            *flags.split(),
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--window-size=1200,900",
            "--virtual-time-budget=4000",
            "--dump-dom",
            f"file://{tmp_path / 'page.html'}#{view}",
        ]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout

    def count(html: str) -> str:
        return re.search(r'id="count"[^>]*>([^<]*)', html)[1]

    def text(html: str) -> str:
        found = re.search(r'<div id="text".*?>(.*)</div>\s*<button', html, re.DOTALL)[1]
        return re.sub(r"<[^>]*>", "", found)

    everything = dump("i=2")
    assert count(everything).startswith("8 conversations")
    assert everything.count('class="row"') == 8
    assert "<title>broken out" not in everything
    assert "&lt;/script&gt;&lt;script&gt;document.title" in text(everything)
    warned = dump("warn=1")
    assert count(warned).startswith("1 of 8 conversations")
    assert count(warned).endswith("1 with warnings")
    found = dump("q=MARKUP&t=9")
    assert count(found).startswith("1 of 8 conversations")
    assert 'class="r-user hit"' in found
    assert "token 9 · id" in found
    longest = dump("sort=longest")
    assert re.search(r'class="say">([^<]{4})', longest)[1] == "long"
    assert 'role="option" aria-selected="true" aria-posinset="1"' in longest
    assert "more tokens" in longest
    assert count(dump("role=system")).startswith("1 of 8 conversations")
    assert "No conversation passes these filters." in dump("q=nowhere+to+be+found")
