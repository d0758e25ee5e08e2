"""How ``strop import`` is written on the command line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from strop.common.command_line import place


def add(verbs: Any) -> argparse.ArgumentParser:
    """Its parser, added to those of the other verbs."""
    importing = verbs.add_parser(
        "import",
        help="make a recipe of a configuration of TRL, LLaMA-Factory, axolotl or verl",
        example="strop import sft.yaml --out recipe.yaml",
    )
    importing.add_argument("file", type=place, help="YAML, JSON, or a shell script with the command line")
    importing.add_argument(
        "--from", dest="program", metavar="PROGRAM", help="trl, llamafactory, axolotl or verl; with its stage: trl:dpo"
    )
    importing.add_argument(
        "--out", type=place, dest="target", default=Path("recipe.yaml"), metavar="FILE", help="where to (recipe.yaml)"
    )
    importing.add_argument("--fresh", action="store_true", help="replace the file where it is there already")
    return importing
