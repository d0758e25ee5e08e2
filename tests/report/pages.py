"""What the tests of pages share: a reader that fails on tags out of order, and the data of the items."""

import base64
import gzip
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

SECTIONS = ["results", "answers", "training-1", "how", "notes"]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
VOID = {"meta", "wbr", "br", "input"}


class Checker(HTMLParser):
    """Collects tags, ids and text, and fails on a tag that is closed out of order."""

    def __init__(self, html: str):
        super().__init__()
        self.open, self.tags, self.ids, self.links, self.words = [], [], [], [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        attributes = dict(attrs)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes[name] for name in ("href", "src", "xlink:href") if name in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).replace("\N{NO-BREAK SPACE}", " ").split())

    @property
    def sections(self) -> list[str]:
        return [name for name in self.ids if name in SECTIONS]


def texts(html: str) -> dict[str, list]:
    """The texts of each item's sides, by its name."""
    index, found = (
        json.loads(gzip.decompress(base64.b64decode(data, validate=True)))
        for data in re.findall(r'="items-(?:index|texts)">([^<]*)<', html)
    )
    return {one["name"]: text["sides"] for one, text in zip(index, found, strict=True)}


def driven(page, html: str, script: str):
    """What a reader's hands, played by ``script`` after the page's own, leave: the JSON that it puts into the title."""
    html = re.sub('<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)
    page.write_text(html.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom"]
    dom = subprocess.run([*command, f"file://{page}"], capture_output=True, text=True, timeout=120, check=True).stdout
    return json.loads(re.search("<title>(.*?)</title>", dom)[1].replace("&amp;", "&"))
