"""The options of `strop compare`."""

from __future__ import annotations

import argparse
from typing import Any

from strop.common.command_line import place


def add(verbs: Any) -> argparse.ArgumentParser:
    """Add the verb to the command line's ``verbs``."""
    compare = verbs.add_parser(
        "compare",
        help="two or more evaluations on the same items: better, worse, or not to be told",
        example="strop compare runs/a runs/b --gate humaneval.pass@1:max_drop=0.05",
    )
    compare.add_argument(
        "folders",
        type=place,
        nargs="+",
        metavar="FOLDER",
        help="run, stage or evaluation folders; each is compared with the first",
    )
    compare.add_argument("--metric", action="append", default=[], metavar="NAME", help="test only this; repeatable")
    compare.add_argument(
        "--gate",
        action="append",
        default=[],
        metavar="METRIC:max_drop=X",
        help="exit with 3 where it fell further; also max_rise=X, X%%, undecided=fail; repeatable",
    )
    compare.add_argument(
        "--least", type=float, metavar="X", help="smallest change that matters, in the metric's unit (0.05 is 5 points)"
    )
    compare.add_argument("--flips", type=int, default=0, metavar="N", help="show N flipped items each way, with a diff")
    compare.add_argument("--md", action="store_true", help="print Markdown, for a pull request")
    compare.add_argument(
        "--html", type=place, metavar="FILE", help="write one page with every item, search and filters"
    )
    compare.add_argument("--blind", type=place, metavar="FILE", help="write a page for judging pairs blindly")
    compare.add_argument("--task", help="whose answers are judged (the first of both)")
    compare.add_argument("--count", type=int, default=50, help="how many pairs are judged (50)")
    compare.add_argument("--seed", type=int, default=0, help="draws the pairs and who is left (0)")
    compare.add_argument(
        "--votes", type=place, action="append", default=[], metavar="FILE", help="what was voted; repeatable"
    )
    compare.add_argument("--key", type=place, metavar="FILE", help="the key of the blind page (beside the votes)")
    compare.add_argument("--judge", metavar="MODEL", help="a model judges too: a folder, or with --judge-url a name")
    compare.add_argument(
        "--judge-url", metavar="URL", help="an OpenAI-compatible server, e.g. http://localhost:8000/v1"
    )
    compare.add_argument("--judge-out", type=place, metavar="FILE", help="keep the judge's votes, for --votes")
    compare.add_argument("--json", action="store_true", help="print everything as JSON on standard output")
    return compare
