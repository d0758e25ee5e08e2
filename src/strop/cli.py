"""The command line: parse, call, print. No logic.

Exit codes: 0 done; 1 a failure inside strop; 2 bad usage or bad input, readable lines with the mend; 3 a gate failed,
the doctor found an error, the inspector a row that it had to reject, or `--verify` other numbers; 130 or 143 stopped by
a signal with a checkpoint written.

With ``--json`` standard output holds one JSON object and nothing else, whatever happens (``{"error": …}`` where it is
only that); what is said for people goes to standard error.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext, redirect_stdout
from importlib.resources import files
from pathlib import Path
from typing import Any

from strop.common.command_line import VerbParser, new_parser, place, refuse_several, utf8
from strop.common.errors import STORAGE, Diverged, Elsewhere, Halted, InputError, Interrupted, blamed, ended_by
from strop.common.first_steps import EXAMPLES, FIRST_STEPS
from strop.common.stage_verbs import STAGE_VERBS
from strop.compare import verb as compare_verb
from strop.exporting import verb as exporting_verb
from strop.importing import verb as importing_verb
from strop.model.memory import keep_freed_memory, spin_shortly

DEMO_RECIPE = "code_basics.yaml"
Outcome = tuple[int, dict[str, Any] | None]
"""Exit code, and what ``--json`` prints; None where the verb has printed it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    spin_shortly()
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - closed (>&-), which makes it None
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what the encoding lacks is escaped, not a traceback
            stream.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    options.out = sys.stdout
    with redirect_stdout(sys.stderr) if options.json else nullcontext():
        code, result = _outcome(lambda: _called(options))
    said = json.dumps(result) + "\n" if options.json and result is not None else ""
    return code if code and not said else _outcome(lambda: _written(said, code), "standard output")[0]


def _called(options: argparse.Namespace) -> Outcome:
    if not getattr(options, "ranks", False):
        refuse_several()
    elif "WORLD_SIZE" in os.environ:
        from strop.runs.ranks import together  # with torch

        return together(lambda: options.run(options))
    return options.run(options)


def _written(said: str, code: int) -> Outcome:
    sys.stdout.write(said)
    sys.stdout.flush()
    return code, None


def _outcome(work: Callable[[], Outcome], place: str = "the run folder, or standard output") -> Outcome:
    """What ``work`` gives, or what is said where it is not done. ``place``: where it writes, if an error names none."""
    try:
        return work()
    except Elsewhere as error:
        return error.exit_code, None
    except (InputError, Diverged, Halted, Interrupted) as error:
        return _say(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _say("stopped.", 130)
    except SystemExit as error:  # of the user's own code
        return _say(ended_by(error), 2)
    except BrokenPipeError:  # whoever read the output has left, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1, {}
    except Exception as error:
        if isinstance(error, OSError) and error.errno in STORAGE:
            said = (
                f"{error.filename or place}: {STORAGE[error.errno]}; free space or choose another folder, then run the "
                "same command again. What was written before is whole."
            )
        elif (own := blamed(error)) is not None:  # of the user's own code
            said = own
        else:
            raise
        return _say(said, 2)


def _say(message: str, code: int) -> Outcome:
    for line in message.splitlines():
        print(f"strop: {line}", file=sys.stderr)
    return code, {"error": message, "exit_code": code}


def _parser() -> VerbParser:
    parser, verbs = new_parser(FIRST_STEPS, EXAMPLES)

    demo = verbs.add_parser(
        "demo", help="the built-in recipe code_basics: baseline, SFT, evaluation, report", example="strop demo"
    )
    _recipe_options(demo)
    _run_options(demo)
    demo.set_defaults(run=_run, recipe=None, verify=None, ranks=True)

    run = verbs.add_parser("run", help="run a recipe (YAML)", example="strop run recipes/code_basics.yaml")
    run.add_argument("recipe", type=place, help="path of the recipe; of a run folder, which is run as it was")
    run.add_argument(
        "--verify",
        type=int,
        metavar="N",
        help="of a finished run: do the first N steps of its trainings again, elsewhere, and compare (3: not the same)",
    )
    _recipe_options(run)
    _run_options(run)
    run.set_defaults(run=_run, ranks=True)

    for verb, (kind, what, settings) in STAGE_VERBS.items():
        asks = kind in ("rl", "sample")
        data = (
            "task:code_basics"
            if asks
            else "chat.jsonl"
            if kind in ("sft", "distill")
            else "text.jsonl"
            if kind == "pretrain"
            else "pairs.jsonl"
        )
        needed = " teacher=./large" if kind == "distill" else ""
        train = verbs.add_parser(verb, help=what, example=f"strop {verb} smollm2-135m --data {data}{needed}")
        train.add_argument("model", help="folder, run folder, hub id, .gguf file or smollm2-135m")
        train.add_argument(
            "--data", action="append", required=True, help="a file, folder, hub id or task:NAME; repeatable"
        )
        more = "rollout.group_size=16" if asks else "eval_data.fraction=0.1"
        own = {"sample": "keep=passing", "distill": "teacher=./large"}.get(kind, "train.learning_rate=1e-6")
        _recipe_options(train, example=f"{own} {more} chat.max_length=1024")
        _run_options(train)
        train.set_defaults(run=_train, kind=kind, verb=verb, settings=settings, ranks=True)

    doctor = verbs.add_parser(
        "doctor",
        help="what is wrong with a recipe's data and settings, before training",
        example="strop doctor my.jsonl --model smollm2-135m",
    )
    doctor.add_argument("target", type=place, help="a recipe (YAML), or a data file together with --model")
    _recipe_options(doctor, "print the findings as JSON on standard output")
    doctor.add_argument("--model", help="folder, hub id, .gguf file or smollm2-135m")
    doctor.add_argument("--fix", type=place, metavar="OUT", help="write the cleaned data to OUT (.jsonl)")
    doctor.set_defaults(run=_doctor)

    chat = verbs.add_parser(
        "chat",
        help="talk to a model or a run folder in the terminal, or compare what several answer",
        example="strop chat runs/code_basics",
        needs=lambda found: None if found.model or found.compare else "model",
    )
    chat.add_argument("model", nargs="?", help="folder, run folder, hub id, .gguf file or smollm2-135m")
    chat.add_argument(
        "--compare",
        nargs="+",
        metavar="MODEL",
        help="instead of one model: answers of several to the same prompts; a run folder stands for its stages' models",
    )
    chat.add_argument("--prompt", action="append", type=utf8, help="answer this and leave; repeatable")
    chat.add_argument(
        "--text", action="append", type=utf8, help="with --compare: go on from this text as it stands; repeatable"
    )
    chat.add_argument("--system", type=utf8, help="the system turn")
    chat.add_argument("--max-tokens", type=int, default=512, help="longest answer, in tokens (512)")
    chat.add_argument("--temperature", type=float, default=0.0, help="0 is greedy (default)")
    chat.add_argument("--top-p", type=float, default=1.0, help="keep the smallest set of this probability (1)")
    chat.add_argument("--keep", action="store_true", help="lines through a pipe are turns of one conversation")
    chat.add_argument("--int8", action="store_true", help="weights in 8 bits on a CPU: faster, and not quite the model")
    lent = chat.add_mutually_exclusive_group()
    lent.add_argument(
        "--tool",
        action="append",
        dest="tools",
        metavar="NAME",
        help="let the model call calculator, python or mine.py:function, or compute inline; repeatable "
        "(default: what it was trained with)",
    )
    lent.add_argument(
        "--no-tools", action="store_const", dest="tools", const=[], help="none, whatever the model was trained with"
    )
    chat.add_argument("--json", action="store_true", help="print prompts and answers as JSON on standard output")
    chat.set_defaults(run=_chat)

    inspect = verbs.add_parser(
        "inspect",
        help="show conversations as the model will see them, and what is trained",
        example="strop inspect my.jsonl --model smollm2-135m",
    )
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
    inspect.add_argument("--html", type=place, metavar="FILE", help="write one page with search and filters instead")
    _recipe_options(inspect, "one JSON object with every conversation on standard output", "chat.train_on=last")
    inspect.set_defaults(run=_inspect)

    evaluation = verbs.add_parser(
        "eval",
        help="measure models on tasks; the same command goes on where it was",
        example="strop eval smollm2-135m --tasks gsm8k:limit=200,arc_easy",
    )
    evaluation.add_argument(
        "models", nargs="*", metavar="MODEL", help="folder, run folder, hub id, .gguf file or smollm2-135m"
    )
    evaluation.add_argument(
        "--tasks",
        help="TASK:key=value:key=value,TASK … ('strop eval --tasks help' lists them); a value with commas or colons in "
        "quotes: 'text:path=\"a,b.txt\"'",
    )
    evaluation.add_argument("--samples", type=int, help="answers to each item; pass@k is then given")
    evaluation.add_argument("--temperature", type=float, help="0 is greedy (default); 0.8 with several samples")
    evaluation.add_argument("--max-tokens", type=int, help="longest answer, in tokens")
    evaluation.add_argument("--limit", type=int, dest="count", help="so many items of each task")
    evaluation.add_argument("--shots", type=int, help="worked examples before each item")
    evaluation.add_argument("--style", choices=("chat", "completion"), help="how items are put")
    evaluation.add_argument(
        "--out", type=place, dest="folder", metavar="FOLDER", help="run folder (default: runs/eval-MODEL-…)"
    )
    evaluation.add_argument(
        "--regrade", type=place, metavar="RUN", help="grade a run's kept answers again, without a model"
    )
    _recipe_options(evaluation, "one JSON object with every task's metrics on standard output", "compute.dtype=float32")
    _unsafe_option(evaluation)
    evaluation.set_defaults(run=_eval)

    importing = importing_verb.add(verbs)
    _recipe_options(importing, "print what was mapped and what was not as JSON on standard output", "model=./my-model")
    importing.set_defaults(run=_import)
    exporting_verb.add(verbs).set_defaults(run=_export)

    report = verbs.add_parser(
        "report",
        help="one page about a run, or about several side by side",
        example="strop report runs/a runs/b --open",
    )
    report.add_argument("folders", type=place, nargs="+", metavar="RUN", help="run folders; of several, also stages'")
    report.add_argument(
        "--out",
        type=place,
        dest="target",
        metavar="FILE",
        help="where to (RUN/report.html; of several beside the first)",
    )
    report.add_argument("--md", action="store_true", help="Markdown instead, for a pull request: printed, or in --out")
    report.add_argument("--open", action="store_true", help="open the page in a browser")
    report.add_argument("--json", action="store_true", help="print where it is as JSON on standard output")
    report.set_defaults(run=_report)

    runs = verbs.add_parser("runs", help="which runs there are, and what each is at", example="strop runs")
    runs.add_argument("folder", type=place, nargs="?", default=Path("runs"), help="a folder of runs, or a run (runs)")
    runs.add_argument("--json", action="store_true", help="print everything as JSON on standard output")
    runs.set_defaults(run=_runs)

    compare_verb.add(verbs).set_defaults(run=_compare)
    return parser


def _recipe_options(
    parser: argparse.ArgumentParser,
    json_help: str = "print the summary as JSON on standard output",
    example: str = "stages.sft.train.learning_rate=1e-4",
) -> None:
    parser.add_argument("overrides", nargs="*", default=[], metavar="key=value", help=f"e.g. {example}")
    parser.add_argument("--json", action="store_true", help=json_help)


def _unsafe_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--unsafe-local",
        action="append_const",
        dest="overrides_of_options",
        const="unsafe_local=true",
        default=[],
        help="run programs in answers without a sandbox, with all that you may do (unsafe_local: true in a recipe)",
    )


def _run_options(parser: argparse.ArgumentParser) -> None:
    _unsafe_option(parser)
    parser.add_argument("--profile", action="store_true", help="trace a step of every training stage (train.profile)")
    parser.add_argument(
        "--allow-missing", action="store_true", help="go without data and evals that cannot be had, and say which"
    )
    parser.add_argument("--open", action="store_true", help="open the run's page in a browser; it follows the run")
    changed = parser.add_mutually_exclusive_group()
    for way, what in (
        ("continue", " since a stage's checkpoint, go on from it with the new ones"),
        ("fresh", ", do the stage again from the start; the old model stays until the new one is done"),
    ):
        said = f"where settings changed{what}"
        changed.add_argument(f"--{way}", dest="changed", action="store_const", const=way, default="stop", help=said)


def _run(options: argparse.Namespace) -> Outcome:
    from strop.common.console import make_console, say
    from strop.runs.replay import recipe_at

    console = make_console(stderr=options.json)
    path = options.recipe or Path(str(files("strop") / "recipes" / DEMO_RECIPE))
    recipe = recipe_at(path, _overrides(options), lambda text: say(console, text))
    if options.verify is None:
        return _run_recipe(recipe, options)
    from strop.runs.verify import verify

    keep_freed_memory()
    found = verify(recipe, options.verify, console)
    return (0 if found["same"] else 3), found


def _run_recipe(recipe: Any, options: argparse.Namespace) -> Outcome:
    if options.profile:
        recipe = recipe.profiled()
    from strop.common.console import make_console
    from strop.runs.pipeline import run_recipe  # with torch, which takes seconds: a wrong recipe is refused before

    keep_freed_memory()
    summary = run_recipe(
        recipe,
        make_console(stderr=options.json),
        options.changed,
        open_page=options.open,
        allow_missing=options.allow_missing,
    )
    return (3 if summary["failed_gates"] else 0), summary


def _overrides(options: argparse.Namespace) -> list[str]:
    return [*options.overrides, *options.overrides_of_options]


def _train(options: argparse.Namespace) -> Outcome:
    from strop.config.recipe import stage_recipe

    stage = {"kind": options.kind, "data": options.data, **options.settings}
    return _run_recipe(stage_recipe(options.verb, options.model, stage, _overrides(options)), options)


def _doctor(options: argparse.Namespace) -> Outcome:
    from strop.doctor.command import doctor

    return doctor(options.target, options.overrides, options.model, options.fix)


def _chat(options: argparse.Namespace) -> Outcome:
    from strop.rollout.talk import compare_answers, talk

    names = ("system", "max_tokens", "temperature", "top_p", "int8", "keep", "tools")
    shared = {name: getattr(options, name) for name in names}
    if options.compare:
        return compare_answers(
            options.compare, options.model, prompts=options.prompt, texts=options.text, as_json=options.json, **shared
        )
    if options.text:
        raise InputError("--text goes with --compare; name two models: strop chat --compare A B --text TEXT.")
    return talk(options.model, prompts=options.prompt, as_json=options.json, **shared)


def _inspect(options: argparse.Namespace) -> Outcome:
    from strop.inspector import Request, inspect

    given = {name: value for name, value in vars(options).items() if name != "run"}
    return inspect(Request(**given | {"stop": tuple(options.stop), "overrides": tuple(options.overrides)})), None


def _eval(options: argparse.Namespace) -> Outcome:
    from strop.common.console import make_console

    models = [text for text in options.models if "=" not in text]
    overrides = [*(text for text in options.models if "=" in text), *_overrides(options)]
    shared = {
        name: getattr(options, name) for name in ("samples", "temperature", "max_tokens", "count", "shots", "style")
    }
    console = make_console(stderr=options.json)
    from strop.runs.evaluate import evaluation  # with torch

    keep_freed_memory()
    return 0, evaluation(
        models,
        options.tasks,
        {name: value for name, value in shared.items() if value is not None},
        overrides,
        options.folder,
        options.regrade,
        console,
    )


def _import(options: argparse.Namespace) -> Outcome:
    from strop.importing.command import import_recipe

    return 0, import_recipe(
        options.file, options.overrides, options.program, options.target, options.fresh, as_json=options.json
    )


def _export(options: argparse.Namespace) -> Outcome:
    from strop.exporting.command import Request, export

    given = {name: value for name, value in vars(options).items() if name not in ("run", "out")}
    return export(Request(**given))


def _report(options: argparse.Namespace) -> Outcome:
    from strop.compare.report_command import ReportRequest, report

    given = {name: value for name, value in vars(options).items() if name not in ("run", "out")}
    return 0, report(ReportRequest(**given))


def _runs(options: argparse.Namespace) -> Outcome:
    from strop.common.console import make_console
    from strop.runs.listing import runs_in, show

    found = runs_in(options.folder)
    show(found, options.folder, make_console(stderr=options.json))
    return 0, {"runs": found}


def _compare(options: argparse.Namespace) -> Outcome:
    from strop.compare.command import Request, compare

    return compare(Request(**{name: value for name, value in vars(options).items() if name not in ("run", "out")}))
