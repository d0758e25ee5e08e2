"""Evaluations side by side: which items are compared, what is found, and in which words."""

import json

import pytest
from evaluations import PASS, answers, losses

from strop.cli import main
from strop.common.errors import InputError
from strop.compare.comparison import compare_sides
from strop.compare.flips import flips
from strop.evals.rates import rate_change
from strop.report.sides import read_side

N = 60
BASE = [1] * 20 + [0] * 40
BETTER = [0] * 2 + [1] * 18 + [1] * 14 + [0] * 26  # 14 gained, 2 lost


def plain(text):
    return text.replace("\N{NO-BREAK SPACE}", " ")


@pytest.fixture
def sides(evaluation):
    return evaluation("a", mine=answers(BASE)), evaluation("b", mine=answers(BETTER))


def compared(*folders, **how):
    first, *others = map(read_side, folders)
    return compare_sides(first, others, **how)


def test_items_are_paired_by_name_whatever_their_order(sides, evaluation):
    [one] = compared(sides[0], evaluation("c", mine=answers(BETTER)[::-1]))
    row = one.metrics[PASS]
    assert (row.gained, row.lost, row.change.n) == (14, 2, N)
    expected = rate_change(BASE, BETTER, range(N))
    assert (row.change.value, row.change.low, row.change.high) == (0.2, expected.low, expected.high)
    assert row.p == pytest.approx(2 * (1 + 16 + 120) / 2**16)
    assert row.finding == "better"


def test_the_other_way_round_is_worse_by_as_much(sides):
    [there], [back] = compared(*sides), compared(*sides[::-1])
    a, b = there.metrics[PASS], back.metrics[PASS]
    assert (b.finding, b.p, b.change.value) == ("worse", a.p, -a.change.value)
    assert b.change.low == pytest.approx(-a.change.high)


def test_the_same_numbers_under_two_names_are_tested_once(evaluation):
    def rows(solved):
        return [{**row, "values": {"accepted@1": float(one), "pass@1": float(one), "exec_success_rate": 1.0 - i % 2}}
                for i, (row, one) in enumerate(zip(answers(solved), solved, strict=True))]  # fmt: skip

    folders = evaluation("a", mine=rows(BASE)), evaluation("b", mine=rows(BETTER))
    [one] = compared(*folders)
    assert [row.metric.name for row in one.tested] == ["accepted@1", "exec_success_rate"]
    assert one.metrics["pass@1"].change == one.metrics["accepted@1"].change
    assert "mine: pass@1 is accepted@1 of every item, and is not tested a second time" in one.notes
    [named] = compared(*folders, metrics=["pass@1"])
    assert [row.metric.name for row in named.tested] == ["pass@1"]


def test_the_same_values_of_other_items_or_with_other_weights_are_other_numbers(evaluation):
    def rows(solved):  # by prompt, by instruction (`total` weighs it), and of either half of the items
        return [{**row, "total": 1 + i % 3, "values": {"ifeval_prompt_strict": float(one),
                 "ifeval_instruction_strict": float(one), f"half/{i % 2}": float(one)}}
                for i, (row, one) in enumerate(zip(answers(solved), solved, strict=True))]  # fmt: skip

    before, after = [1, 1, 0, 0] * 10, [1, 1, 0, 0] * 5 + [1, 1, 1, 1] * 5  # both halves alike
    state = {"tasks": {"ifeval": ["ifeval_prompt_strict", "ifeval_instruction_strict"]}}
    [one] = compared(evaluation("a", state, ifeval=rows(before)), evaluation("b", state, ifeval=rows(after)))
    tested = {row.metric.name for row in one.tested}
    assert tested == {"ifeval_prompt_strict", "ifeval_instruction_strict", "half/0", "half/1"}
    assert not any("second time" in note for note in one.notes)


def test_the_baseline_of_a_run_that_is_not_finished_is_said_to_be_one(sides, evaluation, tmp_path):
    evaluation("run/before", mine=answers(BETTER))
    [one] = compared(sides[0], tmp_path / "run")
    assert f"{tmp_path / 'run'} is not finished, and what is compared is its evaluation before" in one.notes
    (tmp_path / "run" / "summary.json").write_text("{}")
    assert not compared(sides[0], tmp_path / "run")[0].notes


def test_what_is_only_in_one_or_is_another_item_is_left_out_and_said(evaluation):
    ours, theirs = answers(BASE), answers(BETTER)[3:]
    theirs[0]["prompt"] = "another question"
    theirs[1]["total"] = 4
    theirs.append({**ours[0], "name": "new"})
    [one] = compared(evaluation("a", mine=ours), evaluation("b", mine=theirs))
    found = one.tasks["mine"]
    assert found.only == (["q0", "q1", "q2"], ["new"])
    assert found.other == {"another prompt": ["q3"], "another number of tests": ["q4"]}
    assert one.metrics[PASS].change.n == N - 5
    said = " ".join(one.notes)
    assert "3 items (the first: q0) are only in" in said
    assert "1 item (q3) is left out: another prompt under the same name" in said


def test_the_same_last_turn_after_other_turns_or_with_other_options_is_another_item(evaluation):
    shots = [{**row, "asked": f"{row['asked']} after 5 others"} for row in answers(BETTER)]
    with pytest.raises(InputError, match=r"left out: other turns before the last one \(shots\), or other options"):
        compared(evaluation("a", mine=answers(BASE)), evaluation("b", mine=shots))


def test_pages_hold_such_items_apart(evaluation):
    [first], [shots], [older] = (answers([1], **{"asked": asked} if asked else {}) for asked in ("a", "b", ""))
    del older["asked"]
    one, other, unknown = (
        read_side(evaluation(name, mine=[row])).tasks["mine"]["q0"]
        for name, row in (("a", first), ("b", shots), ("c", older))
    )
    assert one.asks_the_same(one)
    assert not one.asks_the_same(other)
    assert one.asks_the_same(unknown)  # as far as it was kept
    assert unknown.asks_the_same(other)


def test_items_graded_by_another_reference_are_left_out(evaluation):
    ours = [{**row, "reference": "r"} for row in answers(BASE)]
    theirs = [{**row, "reference": "r"} for row in answers(BETTER)]
    theirs[2]["reference"] = "mended"
    [one] = compared(evaluation("a", mine=ours), evaluation("b", mine=theirs))
    assert one.tasks["mine"].other == {"another reference to be graded by": ["q2"]}


def test_what_an_older_strop_did_not_keep_is_not_claimed_to_be_the_same(evaluation):
    older = [{name: value for name, value in row.items() if name != "asked"} for row in answers(BASE)]
    [one] = compared(evaluation("a", mine=older), evaluation("b", mine=answers(BETTER)))
    assert len(one.tasks["mine"].pairs) == N
    assert f"of {N} items only the last turn of the prompt could be compared" in " ".join(one.notes)
    [new] = compared(evaluation("c", mine=answers(BASE)), evaluation("d", mine=answers(BETTER)))
    assert new.notes == []


def test_nothing_in_common_is_refused(evaluation):
    other = [{**row, "prompt": "other"} for row in answers(BASE)]
    with pytest.raises(InputError, match=r"mine: no item can be compared: .* another prompt"):
        compared(evaluation("a", mine=answers(BASE)), evaluation("b", mine=other))
    with pytest.raises(InputError, match=r"c measured mine, and .*d measured yours; measure a task with both"):
        compared(evaluation("c", mine=answers(BASE)), evaluation("d", yours=answers(BASE)))


def test_losses_of_another_tokenizer_are_no_comparison(evaluation):
    with pytest.raises(InputError, match="another tokenizer"):
        compared(evaluation("a", chat=losses([2.0] * 9)), evaluation("b", chat=losses([1.0] * 9, tokens=11)))


def test_other_settings_of_the_measurement_are_said(evaluation):
    states = [
        {"made_from": {"strop_version": v, "evals.mine.max_tokens": m, "evals.other.seed": m, "stage.kind": v}}
        for v, m in (("1", 64), ("2", 128))
    ]
    [one] = compared(*(evaluation(n, s, mine=answers(BASE)) for n, s in zip("ab", states, strict=True)))
    assert one.notes == [
        "mine: measured otherwise: evals.mine.max_tokens is 64 there and 128 here",
        "mine: measured otherwise: by strop 1 and 2, whose graders may differ; measure both with one version to be "
        "sure",
    ]


def test_too_few_items_are_said_with_how_many_would_do(evaluation):
    [one] = compared(evaluation("a", mine=answers([1, 0, 0, 1] * 3)), evaluation("b", mine=answers([1, 1, 0, 0] * 3)))
    row = one.metrics[PASS]
    assert row.finding == "untold"
    assert row.needed > 12
    assert plain(row.verdict.claim) == (
        f"{PASS} cannot be told with 12 items; {row.needed:,} would do to find a change of 5.0 points in 80 % of cases:"
    )


def test_six_losses_that_did_not_change_are_not_enough_to_say_so(evaluation):
    both = [losses([1.0 + n / 2 for n in range(count)]) for count in (6, 200)]
    few, more = (compared(*(evaluation(f"{s}{i}", chat=rows) for s in "ab"))[0] for i, rows in enumerate(both))
    assert [one.metrics["chat_loss"].finding for one in (few, more)] == ["untold", "no change"]
    assert few.metrics["chat_loss"].needed > 6


def test_a_rate_with_weights_has_an_interval_when_nothing_changed(evaluation):
    rows = answers([1] * 6, values={"ifeval_instruction_strict": 1.0})
    rows = [row | {"total": 1 + i % 3} for i, row in enumerate(rows)]
    state = {"tasks": {"ifeval": ["ifeval_instruction_strict"]}}
    [one] = compared(*(evaluation(name, state, ifeval=rows) for name in "ab"))
    row = one.metrics["ifeval_instruction_strict"]
    assert row.change.low < -0.2 < 0.2 < row.change.high
    assert row.first.low < 0.7
    assert row.finding == "untold"


def test_enough_items_without_a_change_are_no_significant_change(evaluation):
    same = [1, 0] * 400
    other = [0, 1, *same[2:]]
    [one] = compared(evaluation("a", mine=answers(same)), evaluation("b", mine=answers(other)))
    row = one.metrics[PASS]
    assert (row.finding, row.p) == ("no change", 1.0)
    assert row.needed <= 800
    # A finer change would need more than there are.
    [fine] = compared(*(s.folder.parent for s in (one.first, one.second)), least=0.001)
    assert fine.metrics[PASS].finding == "untold"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--least", "5"], f"least is 5, and {PASS} is a rate, from 0 to 1; 5 points is 0.05"),
        (["--gate", "mine.pass@1:max_drop=5"], f"max_drop is 5, and {PASS} is a rate, from 0 to 1; 5 points is 0.05"),
        (["--least", "nan"], "least is nan, and the smallest change that matters is a number above 0"),
        (["--least", "inf"], "least is inf, and"),
        (["--least", "0"], "least is 0, and"),
    ],
)
def test_points_are_no_rate(sides, capsys, asked, said):
    """Taken for a change of 500 points, they are never reached, and nothing fails."""
    assert main(["compare", *map(str, sides), *asked]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_loss_may_change_by_more_than_one(evaluation):
    ours, theirs = (evaluation(n, general_chat=losses([one] * 20)) for n, one in (("a", 3.0), ("b", 4.0)))
    [one] = compared(ours, theirs, least=2.0)
    assert one.metrics["general_chat_loss"].least == 2.0


def test_items_of_families_are_tested_by_family(evaluation):
    """All 40 items of 4 families got better: four swaps are 2 / 16, not 2 / 2^40."""
    rows = [[{**row, "family": f"f{i % 4}"} for i, row in enumerate(answers([one] * 40))] for one in (0, 1)]
    row = compared(evaluation("a", mine=rows[0]), evaluation("b", mine=rows[1]))[0].metrics[PASS]
    assert (row.p, row.change.groups, row.finding) == (2 / 16, 4, "untold")


def test_samples_of_one_item_are_one_item(evaluation):
    """Two samples of each: shares of 0, 1/2 and 1 are no right or wrong, and n is that of items."""
    ours, theirs = answers([0] * 20) + answers([0] * 20), answers([1] * 20) + answers([0, 1] * 10)
    row = compared(evaluation("a", mine=ours), evaluation("b", mine=theirs))[0].metrics[PASS]
    assert (row.change.n, row.change.value, row.gained) == (20, 0.75, None)


def test_what_is_of_an_item_as_a_whole_stands_with_its_first_sample(evaluation):
    def rows(solved):
        first, *more = (answers([one] * 10) for one in (solved, 0, 0))
        return [{**row, "values": row["values"] | {"mine_pass@3": 1.0 * solved}} for row in first] + more[0] + more[1]

    one = compared(evaluation("a", mine=rows(0)), evaluation("b", mine=rows(1)))[0].metrics
    assert (one["mine_pass@3"].second.value, one[PASS].second.value) == (1.0, pytest.approx(1 / 3))


def test_losses_weigh_tokens_and_fall_for_the_better(evaluation):
    before = [2.0 + 0.01 * i for i in range(30)]
    a, b = losses(before), losses([one - 0.2 - 0.001 * i for i, one in enumerate(before)])
    row = compared(evaluation("a", general_chat=a), evaluation("b", general_chat=b))[0].metrics["general_chat_loss"]
    assert row.finding == "better"
    assert row.change.value == pytest.approx(-0.2145)
    assert row.change.low < row.change.value < row.change.high < 0


def test_more_metrics_cost_what_holm_says(evaluation):
    def rows(solved):
        named = answers(solved)  # four metrics that are right of other items
        return [row | {"values": {f"mine_m{k}": named[i - k]["values"][PASS] for k in range(4)}}
                for i, row in enumerate(named)]  # fmt: skip

    a, b = evaluation("a", mine=rows([0] * 9)), evaluation("b", mine=rows([1] * 7 + [0] * 2))
    [one] = compared(a, b)
    assert {row.p for row in one.rows} == {2 / 128}
    assert {row.adjusted for row in one.rows} == {8 / 128}
    assert {row.finding for row in one.rows} == {"untold"}
    [named] = compared(a, b, metrics=["mine.m2"])
    assert (named.metrics["mine_m2"].adjusted, named.metrics["mine_m1"].p) == (2 / 128, None)
    twice = compared(a, b, evaluation("c", mine=rows([1] * 7 + [0] * 2)), metrics=["mine_m2"])
    assert {one.metrics["mine_m2"].adjusted for one in twice} == {4 / 128}


def test_kinds_of_failure_describe_and_are_not_tested(evaluation):
    def rows(solved):
        return [
            {**row, "values": {"accepted@1": float(one), "verdict/timeout": 1.0 - one}}
            for row, one in zip(answers(solved), solved, strict=True)
        ]

    [one] = compared(evaluation("a", code_basics=rows(BASE)), evaluation("b", code_basics=rows(BETTER)))
    assert [row.metric.name for row in one.tested] == ["accepted@1"]
    assert one.metrics["verdict/timeout"].change.value == pytest.approx(-0.2)


def test_flips_go_both_ways(sides):
    [found] = flips(compared(*sides)[0])
    assert [pair[0].name for pair in found.worse] == ["q0", "q1"]
    assert [pair[0].name for pair in found.better] == [f"q{i}" for i in range(20, 34)]


@pytest.mark.parametrize("inside", ["", "evals"])
def test_a_stage_and_its_evaluation_are_the_same(sides, inside):
    assert read_side(sides[0] / inside).folder == sides[0] / "evals"


def test_of_a_run_the_last_evaluation_counts(evaluation, tmp_path):
    evaluation("run/baseline", mine=answers(BASE))
    evaluation("run/eval", mine=answers(BETTER))
    with pytest.raises(InputError, match="holds several evaluations"):
        read_side(tmp_path / "run")
    (tmp_path / "run/summary.json").write_text(json.dumps({"stages": {"before": "baseline", "after": "eval"}}))
    assert read_side(tmp_path / "run").folder == tmp_path / "run/eval/evals"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"name": "q9", "val', r"mine.jsonl:2: not JSON"),
        ('{"values": {}}', r"mine.jsonl:2: is no item"),
        ('{"name": "q9"}', r"mine.jsonl:2: has no `values`"),
        ('{"name": "q9", "loss": 1.0, "tokens": 0}', r"mine.jsonl:2: has no `values`"),
    ],
)
def test_a_bad_row_is_named(evaluation, line, message):
    folder = evaluation("a", mine=answers([1]))
    with (folder / "evals/mine.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(InputError, match=message):
        read_side(folder)


def test_what_holds_no_evaluation_is_refused(tmp_path, sides):
    for folder, message in ((tmp_path / "no", "no such folder"), (tmp_path, "several evaluations|no evaluation")):
        with pytest.raises(InputError, match=message):
            read_side(folder)
    assert main(["compare", str(sides[0]), str(sides[0] / "evals")]) == 2
    assert main(["compare", str(sides[0])]) == 2


def test_the_command_line(sides, capsys):
    assert main(["compare", *map(str, sides), "--flips", "1"]) == 0
    out = plain(capsys.readouterr().out)
    assert f"{PASS} is better: +20.0 points" in out
    assert "14 gained and 2 lost of 60 items; p = 0.004." in out
    assert f"{PASS}: 2 got worse: q0, q1" in out
    assert "-yes\n+no" in out
    assert main(["compare", *map(str, sides), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["comparisons"][0]
    assert found["metrics"][PASS]["finding"] == "better"
    assert found["flipped"][PASS]["worse"] == ["q0", "q1"]
    assert main(["compare", *map(str, sides), "--md"]) == 0
    table = plain(capsys.readouterr().out)
    assert "| mine\\_pass@1 (n 60) | 33.3 % | 53.3 % | +20.0 points" in table
    assert "<details><summary>mine\\_pass@1: 14 got better, 2 got worse</summary>" in table


def test_where_nothing_flipped_there_is_nothing_to_unfold(evaluation, capsys):
    folders = [str(evaluation(name, mine=answers(BASE))) for name in "ab"]
    assert main(["compare", *folders, "--md"]) == 0
    out = capsys.readouterr().out
    assert "| +0 −0 |" in plain(out)
    assert "<details>" not in out


def test_names_from_data_do_not_become_markup(evaluation, capsys):
    rows = [[{**row, "name": f"<b>|`x`\x1b[31m{row['name']}"} for row in answers(s)] for s in (BASE, BETTER)]
    folders = [str(evaluation(name, mine=r)) for name, r in zip("ab", rows, strict=True)]
    assert main(["compare", *folders, "--md"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "&lt;b>\\|\\`x\\`" in out
