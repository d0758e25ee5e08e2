"""Blind pages, votes, judges: nothing gives the sides away, the key puts them right, and agreement by hand."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
from evaluations import answers
from pages import CHROMIUM, driven

from strop.cli import main
from strop.common.errors import InputError
from strop.compare.blind import choose, write_blind
from strop.compare.comparison import compare_sides
from strop.compare.judge import Reply, judge, local, served, verdict
from strop.compare.show import judge_text
from strop.compare.votes import Rater, agreement, cohens_kappa, read_votes, win_rate
from strop.report.sides import read_side


@pytest.fixture
def comparison(evaluation):
    """40 items; the second side says yes throughout, the first yes to the first ten only."""
    sides = [read_side(evaluation(n, mine=answers(s))) for n, s in (("a", [1] * 10 + [0] * 30), ("secret", [1] * 40))]
    return compare_sides(sides[0], sides[1:])[0]


def page_data(path):
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', path.read_text(), re.DOTALL)
    return json.loads(found[1])


def save_votes(page, path, choose_side):
    data = page_data(page)
    rows = [
        {"page": data["page"], "task": data["task"], "name": one["name"], "vote": choose_side(one["answers"])}
        for one in data["items"]
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_page_does_not_say_whose_an_answer_is(comparison, tmp_path):
    page = tmp_path / "page.html"
    key = write_blind(page, choose(comparison, None, 40, 3), comparison, 3)
    text = page.read_text()
    assert "secret" not in text
    assert "first" not in json.dumps(page_data(page))
    order = [one["left"] for one in json.loads(key.read_text())["order"]]
    assert 5 < order.count("first") < 25  # of 30, drawn
    assert len(page_data(page)["items"]) == 30  # ten have the same answer twice


@pytest.mark.skipif(CHROMIUM is None, reason="needs a headless Chromium")
def test_a_key_that_is_held_votes_once(comparison, tmp_path):
    page = tmp_path / "page.html"
    write_blind(page, choose(comparison, None, 30, 0), comparison, 0)
    script = """const press = (repeat) => dispatchEvent(new KeyboardEvent("keydown", { key: "1", repeat }));
    press(false); press(true); press(true);
    document.title = JSON.stringify(document.querySelector("#count").textContent);"""
    assert driven(page, page.read_text(encoding="utf-8"), script) == "1 of 30 judged"


def test_the_seed_draws_items_and_sides(comparison, tmp_path):
    keys = []
    for seed in (1, 1, 2):
        key = write_blind(tmp_path / "p.html", choose(comparison, "mine", 12, seed), comparison, seed)
        keys.append(json.loads(key.read_text())["order"])
    assert keys[0] == keys[1] != keys[2]


def test_the_key_puts_votes_right(comparison, tmp_path):
    """Whoever always takes the answer that says yes votes for the second side, wherever it stood."""
    page = tmp_path / "page.html"
    write_blind(page, choose(comparison, None, 30, 0), comparison, 0)
    votes = save_votes(page, tmp_path / "v.jsonl", lambda both: "left" if "yes" in both[0] else "right")
    found = win_rate(read_votes(votes), comparison.tasks["mine"].pairs)
    assert (found.second, found.first, found.ties) == (30, 0, 0)
    assert found.p == pytest.approx(2 / 2**30)
    assert found.share.low > 0.85
    # The same with the key by name, and not with another page's.
    (tmp_path / "else").mkdir()
    other = write_blind(tmp_path / "else/page.html", choose(comparison, None, 20, 1), comparison, 1)
    with pytest.raises(InputError, match="votes on another page"):
        read_votes(votes, other)
    assert read_votes(votes, tmp_path / "page.key.json").votes == read_votes(votes).votes


def test_a_win_rate_by_hand(comparison):
    names = [pair[0].name for pair in comparison.tasks["mine"].pairs]
    given = ["second"] * 9 + ["first"] * 3 + ["tie"] * 8
    found = win_rate(Rater("r", "mine", dict(zip(names, given, strict=False))), comparison.tasks["mine"].pairs)
    assert found.share.value == (9 + 4) / 20
    assert found.p == pytest.approx(2 * (1 + 12 + 66 + 220) / 2**12)  # binomial, 3 of 12
    with pytest.raises(InputError, match="1 votes are on items"):
        win_rate(Rater("r", "mine", {"other": "tie"}), comparison.tasks["mine"].pairs)


def test_the_last_of_several_votes_counts_and_bad_ones_are_named(tmp_path):
    path = tmp_path / "v.jsonl"
    path.write_text("".join(json.dumps({"task": "t", "name": "x", "vote": v}) + "\n" for v in ("first", "tie")))
    assert read_votes(path).votes == {"x": "tie"}
    for line, said in (
        ("{", "v.jsonl:1: is no vote"),
        ('{"task": "t", "name": "x", "vote": "left"}', "is no vote of this page"),
        ('{"task": "t", "name": "x", "vote": "left", "page": "p"}', "its key is not beside it"),
        ('{"task": "t", "name": "x", "vote": "left", "page": ["p"]}', "v.jsonl:1: is no vote"),
        ('{"task": "t", "name": "x\xe9", "vote": "tie"}', "v.jsonl: is not UTF-8"),
        ("", "holds no votes"),
    ):
        path.write_bytes(line.encode("latin-1"))
        with pytest.raises(InputError, match=said):
            read_votes(path)


@pytest.mark.parametrize(
    "order", ['[{"left": "first"}]', '[{"left": "first", "name": 1}]', '[{"left": "x"}]', "[1]", "1"]
)
def test_a_key_that_lacks_what_it_is_for_is_refused(tmp_path, order):
    votes, key = tmp_path / "v.jsonl", tmp_path / "v.key.json"
    votes.write_text('{"task": "t", "name": "x", "vote": "left", "page": "p"}')
    key.write_text(f'{{"page": "p", "task": "t", "order": {order}}}')
    with pytest.raises(InputError, match=r"v.key.json: is no key of a blind page"):
        read_votes(votes, key)


def test_kappa_by_hand():
    """Cohen 1960: agreement 0.70 where chance gives 0.50 is 0.40 of what is left."""
    assert cohens_kappa(np.array([[20, 5], [10, 15]])) == pytest.approx(0.4)
    assert cohens_kappa(np.eye(3) * 5) == 1.0
    assert cohens_kappa(np.array([[7.0, 0], [0, 0]])) is None
    names = [str(i) for i in range(50)]
    a = ["first"] * 25 + ["second"] * 25
    b = ["first"] * 20 + ["second"] * 5 + ["first"] * 10 + ["second"] * 15
    found = agreement(*(Rater(n, "t", dict(zip(names, v, strict=True))) for n, v in (("a", a), ("b", b))))
    assert (found.items, found.same, found.kappa) == (50, 0.7, pytest.approx(0.4))
    assert 0.1 < found.low < 0.4 < found.high < 0.7
    assert agreement(Rater("a", "t", {"x": "tie"}), Rater("b", "t", {"y": "tie"})) is None


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("[[A]]", "A"),
        ("First [[A]],\nno: **[[ B ]]**\n", "B"),
        ("[[C]], since both are right.\nSo it is.", "C"),
        ("<think>\nPerhaps [[A]] is better.\n</think>\nB is shorter.\n[[B]]", "B"),
        ("<think>\nPerhaps [[A]] is better, but let me look", None),
        ("I will answer with [[A]] or [[B]]", None),
        ("[[A]] is wrong and [[B]] is right.\nSo it is.", None),
        ("[[D]] A", None),
        ("", None),
    ],
)
def test_what_a_reply_ends_with_counts(reply, expected):
    assert verdict(Reply(reply)) == expected
    assert verdict(Reply(reply, cut_off=True)) is None


def test_a_judge_that_reads_wins_and_one_that_goes_by_place_ties(comparison):
    chosen = choose(comparison, None, 30, 0)

    def reads(conversations):
        first = ["yes" in c[0]["content"].split("[Answer B]")[0] for c in conversations]
        return [Reply("[[A]]" if yes else "[[B]]") for yes in first]

    found = judge(chosen, reads, "reader")
    assert (found.consistent, found.silent) == (30, 0)
    assert set(found.rater.votes.values()) == {"second"}
    found = judge(chosen, lambda conversations: [Reply("[[A]]")] * len(conversations), "first place")
    assert (found.consistent, found.by_place) == (0, (30, 0))
    assert set(found.rater.votes.values()) == {"tie"}
    found = judge(chosen, lambda conversations: [Reply("[[B]]"), *[Reply("hm")] * (len(conversations) - 1)], "silent")
    assert (found.silent, found.cut_off, found.rater.votes) == (30, 0, {})
    # A reply that was cut off may have gone on to say otherwise.
    found = judge(chosen, lambda c: [Reply("[[A]]", True), *[Reply("[[B]]")] * (len(c) - 1)], "cut off")
    assert (found.silent, found.cut_off, len(found.rater.votes)) == (1, 1, 29)
    assert "1 pairs without a verdict (1 with a reply that was cut off) are no votes" in judge_text(found)


class Handler(BaseHTTPRequestHandler):
    """``good`` takes the answer that says yes, ``long`` too, but is cut off; another model is refused."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == "/v1/chat/completions"
        if body["model"] not in ("good", "long"):
            self.send_error(404)
            return
        first = "yes" in body["messages"][0]["content"].split("[Answer B]")[0]
        text = f"Because. [[{'A' if first else 'B'}]]"
        reply = {
            "choices": [
                {"message": {"content": text}, "finish_reason": "length" if body["model"] == "long" else "stop"}
            ]
        }
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(reply).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with HTTPServer(("127.0.0.1", 0), Handler) as served_by:
        thread = threading.Thread(target=served_by.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{served_by.server_port}/v1"
        served_by.shutdown()
        thread.join()


def test_from_the_page_to_agreement_on_the_command_line(comparison, tmp_path, server, capsys, heard):
    folders = [str(side.folder) for side in (comparison.first, comparison.second)]
    page = tmp_path / "blind.html"
    assert main(["compare", *folders, "--blind", str(page), "--count", "30"]) == 0
    assert "10 items have the same answer twice" in capsys.readouterr().out
    votes = save_votes(page, tmp_path / "blind.votes.jsonl", lambda both: "left" if "yes" in both[0] else "tie")
    kept = str(tmp_path / "judge.jsonl")
    arguments = ["--votes", str(votes), "--judge", "good", "--judge-url", server, "--judge-out", kept]
    assert main(["compare", *folders, *arguments]) == 0
    assert heard["judge: replies"] == (60, 60)
    out = capsys.readouterr().out
    assert "the same vote in both orders on 30 of 30 pairs (100 %)" in out
    assert re.search(r"good: .*secret.* wins 30, .* wins 0, 0 ties", out)
    assert re.search(r"blind.votes.jsonl and good agree on \d+.\d % of 30 items; Cohen's kappa 0.00", out)
    # What the judge said is kept, and read again as votes without a key.
    assert main(["compare", *folders, "--votes", str(votes), "--votes", kept, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["votes"][1]["second"] == 30
    assert found["agreement"][0]["items"] == 30
    second = tmp_path / "second/blind.votes.jsonl"
    second.parent.mkdir()
    second.write_text(votes.read_text())
    two = ["--votes", str(votes), "--votes", str(second), "--key", str(page.with_suffix(".key.json"))]
    assert main(["compare", *folders, *two]) == 0
    assert f"{votes} and {second} agree on 100.0 % of 30 items" in " ".join(capsys.readouterr().out.split())
    assert main(["compare", *folders, "--votes", str(votes), "--votes", str(votes)]) == 2
    assert "blind.votes.jsonl is given twice; one rater's votes count once" in capsys.readouterr().err
    assert main(["compare", *folders, "--judge", "long", "--judge-url", server, "--count", "3"]) == 0
    assert "no pair of 3 got a verdict" in (said := capsys.readouterr().out)
    assert "(3 with a reply that was cut off), so it cannot judge" in said
    assert main(["compare", *folders, "--judge", "bad", "--judge-url", server]) == 2
    assert "is the server running" in capsys.readouterr().err


def test_a_model_in_a_folder_can_be_asked(comparison, model_folder):
    """The tiny model has nothing to say: that is counted, and is no vote."""
    found = judge(choose(comparison, None, 2, 0), local(str(model_folder)), "tiny")
    assert (found.pairs, found.silent, found.rater.votes) == (2, 2, {})


def test_no_server_is_one_readable_line(comparison):
    with pytest.raises(InputError, match=r"http://127.0.0.1:9/v1/chat/completions: .*is the server running"):
        judge(choose(comparison, None, 1, 0), served("http://127.0.0.1:9/v1", "m"), "m")


class Dropping(BaseHTTPRequestHandler):
    """Closes the connection, before a reply or in its middle."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.startswith("/half"):
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b'{"choices": [')

    def log_message(self, *_):
        pass


@pytest.mark.parametrize("place", ["none", "half"])
def test_a_server_that_drops_the_connection_is_one_readable_line(comparison, place):
    with HTTPServer(("127.0.0.1", 0), Dropping) as dropping:
        thread = threading.Thread(target=dropping.serve_forever, daemon=True)
        thread.start()
        with pytest.raises(InputError, match=rf"/{place}/chat/completions: .*is the server running"):
            judge(choose(comparison, None, 1, 0), served(f"http://127.0.0.1:{dropping.server_port}/{place}", "m"), "m")
        dropping.shutdown()
        thread.join()


def test_votes_before_the_server_went_away_are_kept(comparison, tmp_path):
    """Both replies on two pairs, one on the third."""

    def ask(conversations):
        for _ in range(5):
            yield Reply("[[C]]")
        raise InputError("the server is gone.")

    out = tmp_path / "votes.jsonl"
    with pytest.raises(InputError, match=r"^the server is gone. The votes on 2 of 30 pairs are in .*votes.jsonl"):
        judge(choose(comparison, None, 30, 0), ask, "m", out)
    chosen = choose(comparison, None, 30, 0)
    assert read_votes(out).votes == {pair[0].name: "tie" for pair in chosen.pairs[:2]}
    with pytest.raises(InputError, match=r"^the server is gone.$"):
        judge(chosen, ask, "m")


def test_answers_that_are_all_the_same_are_no_question(evaluation):
    sides = [read_side(evaluation(n, mine=answers([1] * 3))) for n in "ab"]
    with pytest.raises(InputError, match="all 3 answers are the same"):
        choose(compare_sides(sides[0], sides[1:])[0], None, 5, 0)
