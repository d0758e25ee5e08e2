"""What a stage that trained on its own rollouts leaves: curves, alarms, failures, and the rollouts themselves."""

import base64
import hashlib
import json
import re
import subprocess

import pytest
from pages import CHROMIUM, driven

from strop.common.errors import InputError
from strop.common.files import write_jsonl
from strop.report.curves import curves
from strop.report.files import read_run
from strop.report.page import page_of
from strop.report.rollouts import KeptAnswer, embed, runs

HOSTILE = "</script><script>document.title='broken'</script><img src=x onerror=alert(1)>\u2028"


def answer(text, reward, **more):
    tokens = [[piece, (reward or 0.0) - 0.5] for piece in (text[: len(text) // 2], text[len(text) // 2 :])]
    row = {"answer": text, "reward": reward, "parts": {"letters": reward}, "reasons": {}, "finish_reason": "stop"}
    return row | {"tokens": tokens, "right": reward == 1} | more


def prompt(name, *answers):
    return {
        "name": name,
        "messages": [{"role": "user", "content": f"Reverse {name}."}],
        "truth": "cba",
        "answers": answers,
    }


def logged(step, **more):
    row = {"step": step, "loss": 0.0, "entropy": 1.0, "reward": 0.1 * step, "reward_std": 0.1, "reward/letters": 0.5}
    row |= {"reward/letters_std": 0.1, "failed": 0.0, "rollout/groups": 2, "rollout/no_spread": 0.0, "seconds": 4.0}
    row |= {"rollout/pass_rate": 0.25, "rollout/group_pass_rate": 0.5, "rollout/stop_rate": 1.0, "rollout/length": 3.0}
    row |= {"seconds/rollout": 2.0, "seconds/reward": 1.0, "seconds/train": 1.0}
    return row | more


@pytest.fixture
def rl_run(tmp_path):
    """Two stages before the RL stage's are not there: its files alone make its part of the page."""
    stages = {"before": None, "after": None, "training": ["sft", "rl"]}
    warnings = ["rl: alarm length, at step 2: the mean length went up.", "sft: something else."]
    (tmp_path / "summary.json").write_text(json.dumps({"name": "x", "stages": stages, "warnings": warnings}))
    write_jsonl(tmp_path / "sft/metrics.jsonl", [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.5}])
    alarmed = {"alarm/length": 1.0}
    rows = [logged(1), logged(2, **alarmed), logged(3, **alarmed), logged(4, failed=0.25) | {"failed/letters": 0.25}]
    write_jsonl(tmp_path / "rl/metrics.jsonl", [*rows, {"step": 5, "loss": 0.1, "seconds": 4.0}, logged(6, **alarmed)])
    first = [
        prompt("one", answer("ab", 0.5), answer(HOSTILE, 1.0), answer("c", 0.0, finish_reason="length")),
        prompt("two", answer("x", None, parts={}, failures={"letters": "ValueError: not a string"}, right=False)),
    ]
    write_jsonl(tmp_path / "rl/rollouts/step-000001.jsonl", first)
    write_jsonl(tmp_path / "rl/rollouts/step-000004.jsonl", [prompt("three", answer("cba", 1.0), answer("abc", 1.0))])
    return tmp_path


def scripts(html):
    return dict(re.findall(r'<script(?: type="application/json" id="([\w-]+)")?>(.*?)</script>', html, re.DOTALL))


def visible_text(html):
    text = re.sub(r"<script.*?</script>|<style.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL)
    return " ".join(text.replace("\N{NO-BREAK SPACE}", " ").split())


def test_what_is_embedded(rl_run):
    found = scripts(page_of(read_run(rl_run)))
    assert json.loads(found["batches"]) == [
        {"stage": "rl", "step": 1, "shown": 2},
        {"stage": "rl", "step": 4, "shown": 1},
    ]
    entries = json.loads(found["rollouts-data"])
    assert [(one["in"], one["name"]) for one in entries] == [(0, "one"), (0, "two"), (1, "three")]
    best, middle, worst = entries[0]["answers"]
    assert [one["reward"] for one in (best, middle, worst)] == [1.0, 0.5, 0.0]
    assert best["runs"] == [[HOSTILE, 0.5, 2]]
    assert (best["right"], worst["right"], worst["cut"], "cut" in best) == (True, False, True, False)
    assert entries[1]["answers"][0]["failures"] == {"letters": "ValueError: not a string"}


TURNS = [
    {"role": "assistant", "tokens": 3, "calls": [{"name": "look", "arguments": {}}], "malformed": ""},
    {"role": "tool", "name": "look", "text": "forty-two"},
    {"role": "assistant", "tokens": 1},
]
"""Of the first turn's tokens an environment put the last one in."""


def test_turns_are_told_apart_with_calls_and_what_nobody_sampled(rl_run):
    tokens = [["ask", 0.5], ["ed", 0.5], ["in", None], ["42", 0.5]]
    used = answer("42", 1.0, tokens=tokens, turns=TURNS)
    write_jsonl(rl_run / "rl/rollouts/step-000005.jsonl", [prompt("four", used)])
    html = page_of(read_run(rl_run))
    [shown] = json.loads(scripts(html)["rollouts-data"])[-1]["answers"]
    assert shown["runs"] == [["asked", 0.5, 2], ["in", None, 1], ["42", 0.5, 1]]
    assert shown["tokens"] == 3
    assert shown["turns"] == [
        ["assistant", "", ['{"name": "look", "arguments": {}}'], "", 2],
        ["tool look", "forty-two", [], "", 0],
        ["assistant", "", [], "", 1],
    ]


def test_an_answer_is_data_and_only_the_pages_script_may_run(rl_run):
    html = page_of(read_run(rl_run))
    found = scripts(html)
    assert set(found) == {"batches", "rollouts-data", ""}
    assert "<img" not in html
    digest = base64.b64encode(hashlib.sha256(found[""].encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in html


def test_without_rollouts_there_is_no_script(rl_run):
    for path in (rl_run / "rl/rollouts").iterdir():
        path.unlink()
    html = page_of(read_run(rl_run))
    assert "<script" not in html
    assert "script-src" not in html
    assert "Reinforcement learning" in html


def test_what_does_not_fit_is_counted_and_every_step_has_its_share(rl_run):
    many = [prompt(f"p{number}", answer("abc", 1.0), answer("cab", 0.0)) for number in range(20)]
    for step in (11, 21, 31):
        write_jsonl(rl_run / f"rl/rollouts/step-{step:06d}.jsonl", many)
    whole = embed(rl_run, ["rl"])
    assert (whole.left_out, whole.partial, whole.all_prompts) == (0, [], 63)
    size = sum(len(text.encode()) for text in whole.entries)
    part = embed(rl_run, ["rl"], size // 2)
    assert sum(len(text.encode()) for text in part.entries) <= size // 2
    shown = [batch["shown"] for batch in part.batches]
    assert shown[0] > 0
    assert min(shown[2:]) >= 5
    assert max(shown[2:]) - min(shown[2:]) <= 1
    assert part.left_out == 63 - sum(shown)
    text = visible_text(page_of(read_run(rl_run), size // 2))
    assert f"{part.left_out} of 63 kept prompts are not on this page" in text
    assert f"{len(part.partial)} files of the run folder" in text
    assert "rl/rollouts/step-000031.jsonl" in text


def test_alarms_and_failures_stand_above_the_curves(rl_run):
    text = visible_text(page_of(read_run(rl_run)))
    own = text[text.index("Reinforcement learning") :]
    assert "Alarm length , steps 2–3, step 6. the mean length went up." in own
    assert "The reward letters failed in 1 of 5 batches, at worst for 25.0 % of the answers (step 4)" in own
    assert "ValueError: not a string" in own
    assert own.index("Alarm length") < own.index("right answers")


def test_curves_have_their_numbers_in_words(rl_run):
    steps = read_run(rl_run).sampled["rl"]
    drawn, still = curves("rl", [one.model_copy(update={"kl_old": 0.0}) for one in steps])
    found = {one["title"]: one for one in drawn}
    assert list(found)[:4] == ["reward", "reward: letters", "right answers", "groups that teach little"]
    assert "learning rate" not in found  # not logged
    assert still == ["KL divergence"]
    rates = {label: change for *_, label, change in found["right answers"]["keys"]}
    assert rates == {
        "answers that are right": "25.0\N{NO-BREAK SPACE}%",
        "groups with a right answer": "50.0\N{NO-BREAK SPACE}%",
    }
    # five batches of 2 + 1 + 1 seconds, and an update of 4 seconds without rollouts: 10, 5 and 9 of 24
    time = {label: share for *_, label, share in found["where the time goes"]["keys"]}
    assert [share[:2] for share in time.values()] == ["42", "21", "0\N{NO-BREAK SPACE}", "38"]
    assert 'aria-label="right answers over steps. answers that are right: 25.0' in found["right answers"]["chart"]


def test_the_spread_of_rewards_parts_and_advantages_is_drawn_where_it_was_logged(rl_run):
    def spread(name, low, middle, high):
        return {f"{name}_p10": low, f"{name}_p50": middle, f"{name}_p90": high}

    rows = [
        logged(step, **spread("reward", 0.0, 0.25, 0.1 * step), **spread("reward/letters", 0.5, 0.5, 0.5))
        | spread("rollout/advantage", -1.0, 0.0, 2.0) | {"reward/whole": 0.1} | spread("reward/whole", 0.0, 0.0, 1.0)
        for step in range(1, 5)
    ]  # fmt: skip
    write_jsonl(rl_run / "rl/metrics.jsonl", rows)
    drawn, _ = curves("rl", read_run(rl_run).sampled["rl"])
    found = {one["title"]: one for one in drawn}
    assert list(found)[:6] == [
        *("reward", "reward: letters", "reward: whole"),
        *("spread of the reward", "spread of the advantages", "spread of reward: whole"),
    ]
    assert "spread of reward: letters" not in found  # all the same
    said = {label: change for *_, label, change in found["spread of the advantages"]["keys"]}
    assert said == {
        "median of the tokens": "0",
        "four fifths of the tokens (10 to 90 %)": "\N{MINUS SIGN}1 to 2",
    }
    chart = found["spread of the reward"]["chart"]
    assert "spread of the reward over steps. median of the answers: 0.25; four fifths of the answers" in chart
    write_jsonl(rl_run / "rl/metrics.jsonl", rows[:1])
    alone, _ = curves("rl", read_run(rl_run).sampled["rl"])
    assert "spread of the reward" in {one["title"] for one in alone}


def test_the_loss_curve_is_that_of_conversations(rl_run):
    run = read_run(rl_run)
    assert [one.loss for one in run.steps["sft"]] == [2.0, 1.5]
    page = page_of(run)
    assert page.count("Training loss, held-out loss") == 2  # one chart, for a desk and for a phone
    assert page.index("Training: sft") < page.index("Reinforcement learning: rl")
    assert list(run.sampled) == ["rl"]


def test_no_number_and_half_a_character_do_not_break_the_data(rl_run):
    odd = answer("ab", float("nan"), reasons={"letters": "half \ud83d"}, tokens=[["ab", float("inf")]], right=False)
    (rl_run / "rl/rollouts/step-000001.jsonl").write_text(json.dumps(prompt("odd", odd)) + "\n")
    html = page_of(read_run(rl_run))
    html.encode()

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    [found, _] = json.loads(scripts(html)["rollouts-data"], parse_constant=refuse)
    [shown] = found["answers"]
    assert (shown["reward"], shown["runs"], shown["reasons"]) == (None, [["ab", None, 1]], {"letters": "half \ud83d"})


@pytest.mark.parametrize(
    ("tokens", "text", "expected"),
    [
        ([["a", 1.0], ["b", 1.0], ["c", -1.0]], "abc", [["ab", 1.0, 2], ["c", -1.0, 1]]),
        ([["\ufffd", 1.0], ["\ufffd", 1.0], ["<end>", 1.0]], "é", [["é<end>", 1.0, 3]]),
        ([], "", []),
    ],
)
def test_tokens_with_one_advantage_are_one_stretch(tokens, text, expected):
    assert runs(KeptAnswer(answer=text, tokens=tokens)) == expected


def test_a_file_that_is_not_what_its_name_promises_is_named(rl_run):
    write_jsonl(rl_run / "rl/rollouts/step-000004.jsonl", [{"name": "x"}])
    with pytest.raises(InputError, match=r"step-000004\.jsonl:1: messages"):
        page_of(read_run(rl_run))


@pytest.mark.skipif(CHROMIUM is None, reason="needs a headless Chromium")
def test_a_browser_shows_turns_and_what_a_tool_said(rl_run, tmp_path):
    tokens = [["ask", 0.5], ["ed", 0.5], ["in", None], ["42", 0.5]]
    write_jsonl(
        rl_run / "rl/rollouts/step-000005.jsonl", [prompt("four", answer("42", 1.0, tokens=tokens, turns=TURNS))]
    )
    page = tmp_path / "page.html"
    page.write_text(page_of(read_run(rl_run)), encoding="utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", f"file://{page}"]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    rendered = dom[dom.index('class="shown"') : dom.index('class="printed"')]
    assert '<pre class="observed">forty-two</pre>' in rendered
    assert '<span class="put" title="put in by the environment, not trained, 1 token">in</span>' in rendered
    assert "calls {" in rendered
    assert rendered.index("tool look") < rendered.index("42</span>")


@pytest.mark.skipif(CHROMIUM is None, reason="needs a headless Chromium")
def test_a_page_that_reads_itself_again_keeps_what_was_chosen_by_its_name(rl_run, tmp_path):
    """An item with several samples has one field more than others, and a new stage brings more; what nobody chose is
    the new page's choice."""
    row = {"name": "a", "prompt": "Say a.", "answer": "a", "verdict": "accepted", "values": {"accepted@1": 1.0}}
    write_jsonl(rl_run / "eval/evals/code_basics.jsonl", [row, row])
    summary = json.loads((rl_run / "summary.json").read_text())
    summary["stages"]["measured"] = "eval"
    (rl_run / "summary.json").write_text(json.dumps(summary))
    script = """setTimeout(() => {
      const form = document.querySelector("#prompts form"), { q, batch, outcome, cut } = form.elements;
      if (!sessionStorage.getItem("test")) {
        sessionStorage.setItem("test", document.querySelector("#items .shown select").value);
        outcome.value = "right";
        outcome.dispatchEvent(new Event("change", { bubbles: true }));
      } else {
        for (let timer = 1; timer < 100; timer++) clearInterval(timer);
        const newest = [...batch.options].at(-1).value;
        document.title = JSON.stringify([q.value, batch.value === newest, outcome.value, cut.checked]);
      }
    }, 300);"""
    live = {"title": "Running.", "lines": [], "refresh": 1, "written": "now", "stages": [], "stage": "rl"}
    html = page_of(read_run(rl_run), live=live)
    assert driven(tmp_path / "page.html", html, script) == ["", True, "right", False]


@pytest.mark.skipif(CHROMIUM is None, reason="needs a headless Chromium")
def test_sampled_text_is_as_black_as_other_text(rl_run, tmp_path):
    """Its advantage colours what is behind it; the green and red of items that got better and worse are not its."""
    script = """document.title = JSON.stringify([...document.querySelectorAll(".answers .adv")].map(
      (one) => getComputedStyle(one).color === getComputedStyle(document.body).color));"""
    told = driven(tmp_path / "page.html", page_of(read_run(rl_run)), script)
    assert told
    assert all(told)


@pytest.mark.skipif(CHROMIUM is None, reason="needs a headless Chromium")
def test_a_browser_shows_the_newest_group(rl_run, tmp_path):
    (rl_run / "rl/rollouts/step-000004.jsonl").unlink()
    page = tmp_path / "page.html"
    page.write_text(page_of(read_run(rl_run)), encoding="utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", f"file://{page}"]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert "2 of 2 prompts" in dom
    assert "<title>broken" not in dom
    rendered = dom[dom.index('class="shown"') : dom.index('class="printed"')]
    assert "&lt;img src=x onerror=alert(1)&gt;" in rendered
    assert 'title="advantage +0.5, 2 tokens"' in rendered
    assert "✓ right" in rendered
    assert rendered.index("reward 1<") < rendered.index("reward 0.5<") < rendered.index("reward 0<")
