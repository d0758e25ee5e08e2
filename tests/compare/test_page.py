"""The page of a comparison: data stays data, only its own script may run, and the browser shows what is chosen."""

import base64
import gzip
import hashlib
import json
import re
import shutil
import subprocess

import pytest
from evaluations import answers, losses

from strop.compare.comparison import compare_sides
from strop.compare.page import render
from strop.report.items import Items
from strop.report.sides import read_side

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = "</script><script>document.title='broken'</script><img src=x onerror=alert(1)>\u2028"


@pytest.fixture
def comparisons(evaluation):
    rows = [answers(s) for s in ([1, 0, 0, 1], [1, 1, 0, 0], [1, 1, 1, 1])]
    rows[1][1] |= {"answer": f"the second {HOSTILE} says yes", "prompt": rows[0][1]["prompt"]}
    rows[1][2]["name"] = rows[0][2]["name"] = rows[2][2]["name"] = f"q2{HOSTILE}"
    sides = [read_side(evaluation(n, mine=r, talk=losses([2.0] * 3))) for n, r in zip("abc", rows, strict=True)]
    return sides, compare_sides(sides[0], sides[1:])


def scripts(html):
    return re.findall(r'<script(?: type="[\w/]+" (?:id|class)="([\w-]+)")?>(.*?)</script>', html, re.DOTALL)


def unpacked(text):
    return json.loads(gzip.decompress(base64.b64decode(text, validate=True)))


def entries(html):
    """What the list needs of each item, and its texts."""
    found = scripts(html)
    index = [one for name, text in found if name == "items-index" for one in unpacked(text)]
    texts = [one for name, text in found if name == "items-texts" for one in unpacked(text)]
    return list(zip(index, texts, strict=True))


def test_data_cannot_leave_its_place(comparisons):
    html = render(*comparisons)
    found = dict(scripts(html))
    assert set(found) == {"items-meta", "items-index", "items-texts", ""}
    assert "<img" not in html
    markup = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    assert not re.search(r"\b(src|href|action)=", markup.replace('href="#', ""))
    digest = base64.b64encode(hashlib.sha256(found[""].encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in html


def test_every_item_stands_once_with_the_answers_of_every_side(comparisons):
    found = entries(render(*comparisons))
    assert [(one["task"], len(one["sides"])) for one, _ in found] == [("mine", 3)] * 4 + [("talk", 3)] * 3
    [(only, texts)] = [one for one in found if one[0]["name"] == "q1"]
    assert only["values"] == [0.0, 1.0, 1.0]
    assert [side[0]["verdict"] for side in only["sides"]] == ["wrong_answer", "accepted", "accepted"]
    assert texts["sides"][1][0]["answer"] == f"the second {HOSTILE} says yes"


def test_texts_come_in_parts(comparisons, monkeypatch):
    whole = entries(render(*comparisons))
    monkeypatch.setattr("strop.report.items.PART_BYTES", 100)
    html = render(*comparisons)
    assert html.count('class="items-texts"') > 2
    assert entries(html) == whole


def test_every_sample_of_an_item_is_there(evaluation):
    rows = [*answers([1, 0]), *answers([0, 0])]
    items = Items([read_side(evaluation("a", mine=rows))])
    assert [part["count"] for part in items.verdicts()[0]["parts"]] == [1, 3]
    index, texts = unpacked(items.index), unpacked(next(items.texts))
    assert (index[0]["values"], [one["verdict"] for one in index[0]["sides"][0]]) == (
        [0.5],
        ["accepted", "wrong_answer"],
    )
    assert [one["answer"] for one in texts[0]["sides"][0]] == ["answer 0\nyes", "answer 0\nno"]


def test_another_prompt_under_the_same_name_is_an_item_of_its_own(evaluation):
    rows = answers([1]), answers([1])
    rows[1][0]["prompt"] = "another question"
    items = Items([read_side(evaluation(n, mine=r)) for n, r in zip("ab", rows, strict=True)])
    assert [[one is not None for one in entry.results] for entry in items.entries] == [[True, False], [False, True]]
    assert items.changes() == []


def test_what_does_not_fit_is_counted_and_what_changed_comes_first(comparisons):
    sides, found = comparisons
    html = render(sides[:2], found[:1], most_bytes=750)
    shown = {one["name"] for one, _ in entries(html)}
    assert shown == {"q1", "q3"}
    assert f"{7 - len(shown)} of 7 items are not on this page" in html
    assert all(str(file) in html for side in sides[:2] for file in side.files.values())


def in_browser(path, address):
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom"]
    command.append(f"file://{path}#{address}")
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.skipif(CHROMIUM is None, reason="needs a headless Chromium")
def test_a_browser_filters_and_marks_what_changed(comparisons, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(render(*comparisons), encoding="utf-8")
    dom = in_browser(page, "b=1&task=mine&kind=up")
    assert "1 of 7 items · 1 better · 0 worse" in dom
    assert re.search(r"<del>[^<]*no</del>", dom)
    assert "yes</ins>" in dom
    assert "<title>broken" not in dom
    dom = in_browser(page, "q=question%203&kind=")
    assert "1 of 7 items · 0 better · 0 worse" in dom
    assert "<mark>question 3</mark>" in dom
    dom = in_browser(page, "kind=&verdict=wrong_answer&of=0&b=1")
    assert "2 of 7 items · 1 better · 0 worse" in dom
