"""How the command line is read: key=value anywhere, and mistakes answered with an example."""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from strop import __version__
from strop.common.errors import InputError

_REQUIRED = "the following arguments are required:"


def place(text: str) -> Path:
    """A file or a folder. Raises argparse.ArgumentTypeError for an empty name, which would mean where one is."""
    if not text:
        raise argparse.ArgumentTypeError("is empty; name a file or a folder (. is the one that you are in)")
    return Path(text)


def utf8(text: str) -> str:
    """An argument that a model is to read. Raises argparse.ArgumentTypeError for bytes that are no text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(
            "holds bytes that are not UTF-8; give text, or set the terminal to UTF-8"
        ) from None
    return text


class VerbParser(argparse.ArgumentParser):
    """Takes ``key=value`` wherever it stands, which argparse does not after an option; knows an example of itself.

    ``needs``: what of the arguments is missing (as argparse names it), where that depends on others.
    """

    def __init__(
        self,
        *args: Any,
        example: str | None = None,
        needs: Callable[[argparse.Namespace], str | None] = lambda found: None,
        **kwargs: Any,
    ) -> None:
        shown = {"epilog": f"example: {example}"} if example else {}
        super().__init__(*args, **{**shown, **kwargs})
        self.example, self.needs = example, needs

    def parse_known_args(self, args=None, namespace=None):
        namespace, rest = super().parse_known_args(args, namespace)
        if hasattr(namespace, "overrides"):
            late = [text for text in rest if "=" in text and not text.startswith("-")]
            namespace.overrides = [*namespace.overrides, *late]
            rest = [text for text in rest if text not in late]
        if rest:
            self.error(self._not_understood(rest))
        if missing := self.needs(namespace):
            self.error(f"{_REQUIRED} {missing}")
        return namespace, rest

    def _not_understood(self, rest: list[str]) -> str:
        """What to say of arguments that are none of this parser's."""
        name = next((text for text in rest if text.startswith("-")), "").partition("=")[0]
        options = [option for option in self._option_string_actions if option.startswith("--")]
        takes = ", ".join(str(action.metavar or action.dest) for action in self._actions if not action.option_strings)
        if not name:
            return f"nothing is known of {rest[0]!r}; what it takes besides options: {takes}"
        if near := difflib.get_close_matches(name.strip("-"), [option[2:] for option in options], n=1):
            return f"there is no option {name}; did you mean --{near[0]}?"
        settings = "; settings are written key=value, without dashes" if "key=value" in takes else ""
        return f"there is no option {name}, but {', '.join(sorted(options))}{settings}"

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, with the usage and an example; exit with 2."""
        if message.startswith(_REQUIRED):
            needed = message.removeprefix(_REQUIRED).strip().split(", ")
            helps: dict[str, str | None] = {}
            for action in self._actions:
                names = (*action.option_strings, action.dest, *([action.metavar] if action.metavar else []))
                helps |= {str(name): action.help for name in names}
            message = "give " + " and ".join(f"{name}: {helps.get(name, name)}" for name in needed)
        lines = [f"{self.prog}: {message}", *([f"example: {self.example}"] if self.example else [])]
        if "--json" in sys.argv:
            print(json.dumps({"error": lines[0], "exit_code": 2}))
        self.print_usage(sys.stderr)
        self.exit(2, "\n".join(lines) + "\n")


class _TopParser(VerbParser):
    """Without a verb: the first steps; with one that there is not: the nearest."""

    verbs: dict[str, Any]
    first_steps: str

    def parse_known_args(self, args=None, namespace=None):
        given = sys.argv[1:] if args is None else list(args)
        if not given:
            print(self.first_steps, end="")
            self.exit(0)
        if given[0].startswith("-") and given[0] not in self._option_string_actions:
            self.error(self._not_understood(given[:1]))
        if not given[0].startswith("-") and given[0] not in self.verbs:
            near = difflib.get_close_matches(given[0], self.verbs, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"the verbs are {', '.join(self.verbs)}."
            if given[0].endswith((".yaml", ".yml")):
                hint = f"to run a recipe: {self.prog} run {given[0]}"
            self.error(f"there is no verb {given[0]!r}; {hint}")
        return super().parse_known_args(given, namespace)


def new_parser(first_steps: str, examples: str) -> tuple[VerbParser, Any]:
    """(the parser, what verbs are added to)."""
    parser = _TopParser(
        prog="strop",
        description="Post-training for language models: measure, train, measure again on the same items.",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.first_steps = first_steps
    parser.add_argument("--version", action="version", version=f"strop {__version__}")
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB", parser_class=VerbParser)
    parser.verbs = verbs.choices
    return parser, verbs


def refuse_several() -> None:
    """Raise InputError where torchrun started several processes of a verb that works in one. (What a cluster sets for
    all of its programs alone means nothing.)"""
    if "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1":
        raise InputError("this verb works in one process, and torchrun started several; call it without torchrun.")
