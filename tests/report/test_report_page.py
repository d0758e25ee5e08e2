"""The page as a whole: complete, self-contained, escaped, stable, and whole where stages are missing."""

import base64
import gzip
import json
import re
import subprocess
import sys

import pytest
from pages import CHROMIUM, SECTIONS, Checker, driven, texts

from strop.common.errors import InputError
from strop.common.files import write_jsonl
from strop.report import write_report
from strop.report.items import MOST_CHARACTERS
from strop.report.page import HERE


def page(folder) -> Checker:
    return Checker(write_report(folder).read_text(encoding="utf-8"))


def test_the_whole_page(run_folder):
    path = write_report(run_folder)
    assert path == run_folder / "report.html"
    read = page(run_folder)
    assert read.sections == SECTIONS
    assert "accepted@1 rose from 0.0 % to 21.0 %" in read.text
    assert "(95 % interval of the change +14.0 to +28.0 points, 100 items in 25 families)." in read.text
    assert "Forgetting stayed in bounds:" in read.text
    assert (
        "Of the 3 items of code_basics that were measured both times, 1 got better by accepted@1, 1 got worse"
        in read.text
    )
    assert "code_basics before · 3 answers 33.3 % 33.3 % 33.3 % accepted 1 syntax error 1 no code 1" in read.text
    assert "strop run " in read.text
    assert "sft/config.yaml folder=" in read.text
    assert "90,000 tokens trained, 45.0 % of all" in read.text
    assert "3 new counter <|im_end|> 2 kinds" in read.text
    assert "164 items" in read.text
    assert "164 families" not in read.text
    assert "together 16.3" in read.text
    assert "tokens per second 1,469" in read.text
    assert "data.jsonl:7 2 of its 7 tokens (28.6 %) are trained, 1 of them a stop token." in read.text
    assert "data.jsonl:8 1 of its 1 tokens (100.0 %) are trained" in read.text
    assert "weights 0.5" in read.text
    assert "held-out loss (1.900 → 1.100)" in read.text
    assert "seed: 17" in read.text


def test_it_needs_nothing_from_outside(run_folder):
    html = write_report(run_folder).read_text(encoding="utf-8")
    read = Checker(html)
    assert read.links  # the charts refer to their own shapes
    assert all(link.startswith("#") and link[1:] in read.ids for link in read.links)
    assert "://" not in html
    assert "@import" not in html
    assert not {"link", "img", "iframe"} & set(read.tags)
    assert len(read.ids) == len(set(read.ids))


def test_text_from_models_and_data_is_escaped(run_folder, summary):
    summary["notes"] = ["<img src=x onerror=alert(1)>"]
    summary["name"] = "<i>demo"
    summary["machine"]["cpu"] = "<u>cpu"
    summary["before"]["<s>metric"] = {"value": 1.0}
    summary["minutes"]["<s>stage"] = 1
    summary["mask"]["sft"]["<s>counter"] = "<s>many"
    (run_folder / "summary.json").write_text(json.dumps(summary))
    (run_folder / "sft" / "config.yaml").write_text("a: </pre><script>alert('settings')</script>")
    html = write_report(run_folder).read_text(encoding="utf-8")
    read = Checker(html)
    assert not {"img", "u", "s"} & set(read.tags)
    assert read.tags.count("script") == 4  # three of data, and the page's own
    assert "<script>alert('settings')</script>" in read.text
    assert texts(html)["sort-1"][0] == [{"answer": "<script>alert('answer')</script>", "detail": "", "stderr_tail": ""}]
    for shown in (
        "<img src=x onerror=alert(1)>",
        "<i>demo",
        "<u>cpu",
        "<s>metric",
        "<s>stage",
        "<s>counter",
        "<s>many",
    ):
        assert shown in read.text


def test_hostile_answers_are_data_whatever_is_in_them(run_folder):
    """Half a character, NUL, separators of lines, and an answer of a megabyte."""
    path = run_folder / "eval" / "evals" / "code_basics.jsonl"
    odd = "</script><!--\0\u2028\u202e\x1b[0m\r\n" + "x" * 10**6
    row = json.dumps(odd)[1:-1].replace("<!--", "<!--\\ud800")
    path.write_text(path.read_text().replace("answer to sort-1", row))
    html = write_report(run_folder).read_text(encoding="utf-8")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u2028\u202e]", html)
    assert "<!--" not in html
    assert len(html) < 10**6
    [shown] = texts(html)["sort-1"][1]
    assert shown["answer"] == odd.replace("<!--", "<!--\ud800")[:MOST_CHARACTERS]


@pytest.mark.skipif(CHROMIUM is None, reason="needs a headless Chromium")
def test_in_a_browser_an_answer_is_text_and_nothing_of_it_runs(run_folder):
    attack = "</script><script>document.title='broken'</script><img src=x onerror=\"document.title='broken'\">"
    path = run_folder / "eval" / "evals" / "code_basics.jsonl"
    row = json.dumps(f"<!--{attack}\u202e\u2028" + "long " * 10**5)[1:-1]
    path.write_text(path.read_text().replace("answer to sort-1", row + "\\ud800"))
    page = f"file://{write_report(run_folder)}#item=0&kind="
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--virtual-time-budget=20000",
        "--dump-dom",
        page,
    ]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert "<title>demo" in dom
    shown = re.sub("</?(?:del|ins)>", "", dom[dom.index('class="shown"') :])
    assert "&lt;!--&lt;/script&gt;&lt;script&gt;document.title='broken'&lt;/script&gt;&lt;img src=x" in shown
    assert "‹U+202E›‹U+2028›" in shown
    assert "more characters, which are in the file alone" in shown


def test_what_is_no_number_is_left_out_of_the_items(run_folder):
    """As a task or a grader of one's own may give it: NaN is no JSON, and ended the whole browser."""
    path = run_folder / "eval" / "evals" / "code_basics.jsonl"
    first, *rest = path.read_text().splitlines()
    odd = {
        "values": {"accepted@1": float("nan")},
        "parts": {"tidy": float("inf"), "none": None, "ok": 0.5, "yes": True},
    }
    write_jsonl(path, [json.loads(first) | odd, *map(json.loads, rest)])
    html = write_report(run_folder).read_text(encoding="utf-8")
    [data] = re.findall('id="items-index">([^<]*)<', html)
    entries = json.loads(gzip.decompress(base64.b64decode(data)), parse_constant=pytest.fail)
    [one] = [entry for entry in entries if entry["name"] == "sort-1"]
    assert one["values"] == [0.0, None]
    assert one["sides"][1][0]["parts"] == {"ok": 0.5, "yes": 1.0}


@pytest.mark.skipif(CHROMIUM is None, reason="needs a headless Chromium")
def test_the_address_holds_the_item_that_the_keys_went_to(run_folder, tmp_path):
    script = """setTimeout(() => {
      const list = document.querySelector("#items .list");
      const go = (key) => list.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
      const at = () => new URLSearchParams(location.hash.slice(1)).get("item");
      go("Home"); const first = at(); go("ArrowDown");
      document.title = JSON.stringify([first, at()]);
    }, 500);"""
    html = write_report(run_folder).read_text(encoding="utf-8")
    assert driven(tmp_path / "page.html", html, script) == ["0", "2"]  # of those that changed


def test_what_is_written_on_colours_can_be_read():
    """Contrasts of at least 4.5 to 1 (WCAG 2.2, 1.4.3), in the light and in the dark, also on the strongest advantage
    (70 % of its colour over the panel)."""
    light: dict[str, str] = {}
    dark: dict[str, str] = {}
    for file in ("../web/base.css", "report.css"):
        roots = re.findall(r":root \{(.*?)\}", (HERE / file).read_text(), re.DOTALL)[:2]  # then for paper
        for colours, root in zip((light, dark), roots, strict=True):
            colours |= dict(re.findall(r"--([\w-]+): (#\w{6})", root))
    for colours in (light, dark):
        verdicts = [name for name in colours if name.startswith("verdict-")]
        assert len(verdicts) == 7
        on = [(colours[name], colours["on-verdict"]) for name in verdicts]
        behind = [mixed(colours[f"{way}-behind"], colours["panel"], 0.7) for way in ("up", "down")]
        on += [(colour, colours["ink"]) for colour in behind]
        on += [(colours["panel"], colours[name]) for name in ("dim", "better", "worse", "down-text")]
        for back, text in on:
            low, high = sorted((luminance(back), luminance(text)))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (back, text)


def luminance(colour: str) -> float:
    """Relative luminance of sRGB."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def mixed(a: str, b: str, share: float) -> str:
    pairs = [(int(a[at : at + 2], 16), int(b[at : at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(share * one + (1 - share) * other):02x}" for one, other in pairs)


def test_equal_files_give_equal_bytes_and_nothing_is_left_behind(run_folder):
    first = write_report(run_folder).read_bytes()
    before = sorted(path.name for path in run_folder.iterdir())
    assert write_report(run_folder).read_bytes() == first
    assert sorted(path.name for path in run_folder.iterdir()) == before
    assert not [name for name in before if name.startswith(".")]


def test_a_failed_rewrite_keeps_the_old_page(run_folder):
    old = write_report(run_folder).read_bytes()
    (run_folder / "summary.json").write_text("{")
    with pytest.raises(InputError):
        write_report(run_folder)
    assert (run_folder / "report.html").read_bytes() == old


def test_without_training_its_sections_are_left_out(run_folder):
    for name in ("metrics.jsonl", "examples.json", "config.yaml"):
        (run_folder / "sft" / name).unlink()
    summary = json.loads((run_folder / "summary.json").read_text())
    summary["mask"], summary["notes"] = {}, []
    (run_folder / "summary.json").write_text(json.dumps(summary))
    assert page(run_folder).sections == ["results", "answers", "how"]


def test_the_barest_summary_makes_a_page(tmp_path):
    (tmp_path / "summary.json").write_text('{"name": "bare"}')
    read = page(tmp_path)
    assert read.sections == ["how"]
    assert "Nothing was measured in this run." in read.text
    assert "0.0" not in read.text


def test_unknown_numbers_are_dashes(tmp_path):
    before = {"accepted@1": {"value": float("nan"), "low": None, "high": None}}
    summary = {"name": "n", "before": before, "after": {"pass_ratio": {"value": 0.5}}, "minutes": {"sft": None}}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    read = page(tmp_path)
    assert "passed every test – – – –" in read.text
    assert "– → 50.0 %" in read.text
    assert "sft –" in read.text
    assert not re.search(r"\b0\.0|nan|None|inf\b", read.text)


def test_the_command_that_makes_the_page_again_is_whole(run_folder):
    odd = run_folder.rename(run_folder.parent / "a run")
    assert f"strop report '{odd}' makes it again" in page(odd).text


def test_a_users_own_task_is_in_the_table(run_folder, summary):
    for part in ("before", "after"):
        summary[part] = {f"mine_{name}": one for name, one in summary[part].items() if name != "general_chat_loss"}
    (run_folder / "summary.json").write_text(json.dumps(summary | {"change": {}}))
    html = write_report(run_folder).read_text(encoding="utf-8")
    assert "<code>mine_accepted@1</code>" in html
    assert "<code>mine_accepted@1</code>" in html
    assert "<code>mine_verdict/accepted</code>" not in html


def test_items_of_any_task_are_shown(run_folder):
    for stage in ("baseline", "eval"):
        folder = run_folder / stage / "evals"
        (folder / "code_basics.jsonl").rename(folder / "humaneval.jsonl")
    assert "Of the 3 items of humaneval that" in page(run_folder).text


def test_a_change_is_coloured_only_where_its_interval_excludes_zero(run_folder):
    html = write_report(run_folder).read_text(encoding="utf-8")
    rows = dict(re.findall(r'<th scope="row"><code>([^<]+)</code>.*?class="change (\w+)"', html, flags=re.DOTALL))
    assert rows["accepted@1"] == "better"
    assert rows["humaneval_pass@1"] == "unclear"
    assert rows["general_chat_loss"] == "worse"
    assert rows["verdict/wrong_answer"] == "moved"
    assert rows["verdict/no_code"] == "better"
    assert rows["verdict/timeout"] == "unknown"
    assert "verdict/accepted" not in rows  # the same number as accepted@1


def test_neither_torch_nor_pyplot_is_imported():
    unwanted = {"torch", "transformers", "matplotlib.pyplot"}
    code = f"import sys, strop.report; print({unwanted} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
