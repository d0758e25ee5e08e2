"""The page of a comparison: data stays data, only its own script may run, and the browser shows what is chosen."""

import base64
import hashlib
import json
import re
import shutil
import subprocess

import pytest
from evaluations import answers, losses

from strop.compare.comparison import compare_sides
from strop.compare.page import render
from strop.report.sides import read_side

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = "</script><script>document.title='broken'</script><img src=x onerror=alert(1)>\u2028"


@pytest.fixture
def comparisons(evaluation):
    rows = [answers(s) for s in ([1, 0, 0, 1], [1, 1, 0, 0], [1, 1, 1, 1])]
    rows[1][1] |= {"answer": f"the second {HOSTILE} says yes", "prompt": rows[0][1]["prompt"]}
    rows[1][2]["name"] = rows[0][2]["name"] = rows[2][2]["name"] = f"q2{HOSTILE}"
    first, *others = (
        read_side(evaluation(n, mine=r, talk=losses([2.0] * 3))) for n, r in zip("abc", rows, strict=True)
    )
    return compare_sides(first, others)


def scripts(html):
    return dict(re.findall(r'<script(?: type="application/json" id="(\w+)")?>(.*?)</script>', html, re.DOTALL))


def test_data_cannot_leave_its_place(comparisons):
    html = render(comparisons)
    found = scripts(html)
    assert set(found) == {"meta", "data", ""}
    assert "<img" not in html
    markup = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    assert not re.search(r"\b(src|href|action)=", markup)
    digest = base64.b64encode(hashlib.sha256(found[""].encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in html


def test_every_item_of_every_comparison_is_there(comparisons):
    entries = json.loads(scripts(render(comparisons))["data"])
    assert [entry["at"] for entry in entries] == sorted(entry["at"] for entry in entries)
    assert len(entries) == 2 * (4 + 3)
    [flipped] = [entry for entry in entries if entry["in"] == 0 and entry["change"] > 0]
    assert (flipped["name"], flipped["values"], flipped["sides"][1]["answer"]) == (
        "q1", [0.0, 1.0], f"the second {HOSTILE} says yes",
    )  # fmt: skip


def test_what_does_not_fit_is_counted_and_what_flipped_comes_first(comparisons):
    html = render(comparisons[:1], most_bytes=600)
    entries = json.loads(scripts(html)["data"])
    assert {entry["name"] for entry in entries} == {"q1", "q3"}
    assert f"{7 - len(entries)} items are not on this page" in html


def in_browser(path, address):
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", f"file://{path}#{address}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.skipif(CHROMIUM is None, reason="needs a headless Chromium")
def test_a_browser_filters_and_marks_what_changed(comparisons, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(render(comparisons), encoding="utf-8")
    dom = in_browser(page, "in=0&task=mine&kind=up")
    assert "1 of 14 items · 1 better · 0 worse" in dom
    assert re.search(r"<del>[^<]*no</del>", dom)
    assert "yes</ins>" in dom
    assert "<title>broken" not in dom
    dom = in_browser(page, "in=1&q=question%203")
    assert "1 of 14 items · 0 better · 0 worse" in dom
    assert "<mark>question 3</mark>" in dom
