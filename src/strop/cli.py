"""The command line: parse, call, print. No logic.

Exit codes: 0 done; 1 a failure inside strop; 2 bad usage or bad input, one readable line with the mend; 130 or 143
stopped by a signal with a checkpoint written.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from strop import __version__
from strop.errors import InputError, Interrupted

DEMO_RECIPE = "code_basics.yaml"
# What the place that was written to has to say about it; any other OSError is a failure inside.
_STORAGE = {
    errno.ENOSPC: "no space is left",
    errno.EDQUOT: "the quota is used up",
    errno.EROFS: "it is read-only",
    errno.EACCES: "permission was denied",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except InputError as error:
        return _say(error, 2)
    except Interrupted as error:
        return _say(error, 128 + error.signum)
    except KeyboardInterrupt:
        return _say("stopped.", 130)
    except BrokenPipeError:  # whoever read the output has left, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno not in _STORAGE:
            raise
        where = error.filename or "the run folder"
        return _say(
            f"{where}: {_STORAGE[error.errno]}; free space or choose another folder, then run the same command "
            "again. What was written before is whole.",
            2,
        )


def _say(message: object, code: int) -> int:
    print(f"strop: {message}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="strop", description="Post-training for language models: measure, train, measure again on the same items."
    )
    parser.add_argument("--version", action="version", version=f"strop {__version__}")
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB", parser_class=_VerbParser)

    demo = verbs.add_parser("demo", help="the built-in recipe code_basics: baseline, SFT, evaluation, report")
    _recipe_options(demo)
    demo.set_defaults(run=_run, recipe=None, profile=False)

    run = verbs.add_parser("run", help="run a recipe (YAML)")
    run.add_argument("recipe", type=Path, help="path of the recipe")
    _recipe_options(run)
    run.add_argument("--profile", action="store_true", help="trace a step of every training stage (train.profile)")
    run.set_defaults(run=_run)

    doctor = verbs.add_parser("doctor", help="what is wrong with a recipe's data and settings, before training")
    doctor.add_argument("target", type=Path, help="a recipe (YAML), or a data file together with --model")
    doctor.add_argument("overrides", nargs="*", metavar="key=value", help="as for `strop run`")
    doctor.add_argument("--model", help="folder, hub id, .gguf file or smollm2-135m")
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON on standard output")
    doctor.add_argument("--fix", type=Path, metavar="OUT", help="write the cleaned data to OUT (.jsonl)")
    doctor.set_defaults(run=_doctor)

    chat = verbs.add_parser("chat", help="talk to a model or a run folder in the terminal")
    chat.add_argument("model", help="folder, run folder, hub id, .gguf file or smollm2-135m")
    chat.add_argument("--system", help="the system turn")
    chat.add_argument("--max-tokens", type=int, default=512, help="longest answer, in tokens (512)")
    chat.add_argument("--temperature", type=float, default=0.0, help="0 is greedy (default)")
    chat.add_argument("--top-p", type=float, default=1.0, help="keep the smallest set of this probability (1)")
    chat.add_argument("--prompt", action="append", help="answer this and leave; repeatable")
    chat.add_argument("--keep", action="store_true", help="lines through a pipe are turns of one conversation")
    chat.add_argument("--json", action="store_true", help="print prompts and answers as JSON on standard output")
    chat.set_defaults(run=_chat)

    inspect = verbs.add_parser("inspect", help="show conversations as the model will see them, and what is trained")
    inspect.add_argument("data", help="a data file, a hub id, task:NAME, or a recipe (its first sft stage)")
    inspect.add_argument("--model", help="whose tokenizer, template and stop tokens (default: the recipe's model)")
    inspect.add_argument("--tokenizer", help="instead of --model: a folder with a tokenizer, or a tokenizer.json")
    inspect.add_argument("--template", help="a chat template to use instead: a Jinja file, or a name such as chatml")
    inspect.add_argument(
        "--stop", action="append", default=[], metavar="TOKEN", help="a further stop token; repeatable"
    )
    inspect.add_argument("--count", type=int, help="how many (5 in the terminal; all with --json; 5,000 with --html)")
    inspect.add_argument("--index", type=int, help="only this row, counted from 0")
    inspect.add_argument("--place", help="only rows whose place has this in it, e.g. :17 for line 17")
    inspect.add_argument("--only-warnings", action="store_true", help="only conversations with warnings")
    inspect.add_argument("--tokens", action="store_true", help="draw the borders of tokens")
    inspect.add_argument("--html", type=Path, metavar="FILE", help="write one page with search and filters instead")
    _recipe_options(inspect, "one JSON object per conversation on standard output", "chat.train_on=last")
    inspect.set_defaults(run=_inspect)

    report = verbs.add_parser("report", help="build a run's report.html again")
    report.add_argument("folder", type=Path, help="run folder")
    report.set_defaults(run=_report)
    return parser


class _VerbParser(argparse.ArgumentParser):
    """Takes ``key=value`` wherever it stands; argparse itself takes no positional argument after an option."""

    def parse_known_args(self, args=None, namespace=None):
        namespace, rest = super().parse_known_args(args, namespace)
        if hasattr(namespace, "overrides"):
            late = [text for text in rest if "=" in text and not text.startswith("-")]
            namespace.overrides = [*namespace.overrides, *late]
            rest = [text for text in rest if text not in late]
        return namespace, rest


def _recipe_options(
    parser: argparse.ArgumentParser,
    json_help: str = "print the summary as JSON on standard output",
    example: str = "stages.sft.train.learning_rate=1e-4",
) -> None:
    parser.add_argument("overrides", nargs="*", metavar="key=value", help=f"e.g. {example}")
    parser.add_argument("--json", action="store_true", help=json_help)


def _run(options: argparse.Namespace) -> int:
    from rich.console import Console

    from strop.config import load_config
    from strop.pipeline import run_recipe
    from strop.recipe import Recipe

    path = options.recipe or Path(str(files("strop") / "recipes" / DEMO_RECIPE))
    recipe = load_config(Recipe, path, options.overrides)
    if options.profile:
        recipe = recipe.profiled()
    summary = run_recipe(recipe, Console(stderr=options.json))
    if options.json:
        print(json.dumps(summary))
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from strop.checkup import doctor

    return doctor(options.target, options.overrides, options.model, options.json, options.fix)


def _chat(options: argparse.Namespace) -> int:
    from strop.talk import talk

    code, result = talk(
        options.model,
        system=options.system,
        max_tokens=options.max_tokens,
        temperature=options.temperature,
        top_p=options.top_p,
        prompts=options.prompt,
        as_json=options.json,
        keep=options.keep,
    )
    if options.json:
        print(json.dumps(result))
    return code


def _inspect(options: argparse.Namespace) -> int:
    from strop.inspector import Request, inspect

    given = {name: value for name, value in vars(options).items() if name != "run"}
    return inspect(Request(**given | {"stop": tuple(options.stop), "overrides": tuple(options.overrides)}))


def _report(options: argparse.Namespace) -> int:
    from strop.report import write_report

    print(write_report(options.folder))
    return 0
