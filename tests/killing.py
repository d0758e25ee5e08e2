"""Runs that are killed (SIGKILL) at exact places of their work and gone on with by the same command: `test_killed.py`.

    python tests/killing.py FOLDER [NAME …]

strop is loaded once; every run is a copy of this process, as in bench/chaos.py. The last line is a JSON object, place
-> what is not as it should be, sentences that are to be none.
"""

import json
import os
import re
import shutil
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "STROP_KERNELS": "0"}
sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

import torch
from common.chaos_kills import forked, left_over, load_all
from common.chaos_same import differences, half_visible
from common.chaos_stages import MODEL, REWARD, STAGES, Chaotic
from safetensors.torch import save_file

import strop.stages._training
from strop.common import folders
from strop.common.console import Steady
from strop.evals import in_training
from strop.evals.partial import Partial
from strop.model.names import resolve
from strop.model.settings import NewModel
from strop.rollout.gather import Gatherer
from strop.rollout.turns import Player
from strop.train import loop, weight_files

RUN, EXPORT = ["run", "recipe.yaml"], ["export", "runs/small", "--to", "exported"]
EVAL = ["eval", "model", "--tasks", "my:task=answers:path=asked.jsonl:grader=exact:max_tokens=6,"]
EVAL[-1] += "arc_easy:path=questions.jsonl,general_chat:count=4,text:path=text.jsonl"
EVAL += ["--samples", "2", "--out", "runs/small", "compute.dtype=float32"]
CALLS = """
from dataclasses import replace
from typing import Literal

from strop.environments.base import register
from strop.environments.tools import Tools


@register("calls")
class Calls(Tools):
    "Every first turn counts as a call of the calculator."

    kind: Literal["calls"]

    def step(self, turn):
        if turn.number == 1:
            call = {"function": {"name": "calculator", "arguments": {"expression": f"{len(turn.text)} * 7"}}}
            turn = replace(turn, message=replace(turn.message, tool_calls=(call,)), malformed="")
        return super().step(turn)
"""
DYING_REWARD = f"""
import os
import signal
from contextlib import suppress
from pathlib import Path

{REWARD.replace("def vowels", "def score")}

def vowels(samples):
    found = score(samples)
    if place := os.environ.get("DIES_IN_GRADING"):
        with Path(place).open("a") as file:
            file.write(".")
        if Path(place).stat().st_size >= 3:  # two calls a step, which may be at once
            with suppress(FileExistsError):
                os.mkdir(place + ".killed")
                os.kill(os.getppid(), signal.SIGKILL)
    return found
"""


def die() -> None:
    os.killpg(0, signal.SIGKILL)


def dies_in_call(owner, name: str, count: int, first=lambda *given: None) -> None:
    """Of ``owner.name``, for the ``count``-th time, after ``first`` with what it is given."""
    real, calls = getattr(owner, name), []

    def call(*given, **more):
        calls.append(1)
        if len(calls) == count:
            first(*given)
            die()
        return real(*given, **more)

    setattr(owner, name, call)


def half_a_checkpoint() -> None:
    """The second checkpoint: its weights are there and half of its optimiser, and a further step was trained."""
    real_step, begun, gone_on = loop.optimizer_step, threading.Event(), threading.Event()

    def step(*given):
        told = real_step(*given)
        if begun.is_set():
            gone_on.set()
        return told

    def half(taken, folder):
        save_file({name: tensor.contiguous() for name, tensor in taken.model.items()}, folder / weight_files.MODEL)
        torch.save(taken.optimizer, folder / weight_files.OPTIMIZER)
        os.truncate(folder / weight_files.OPTIMIZER, (folder / weight_files.OPTIMIZER).stat().st_size // 2)
        begun.set()
        if not gone_on.wait(60):
            os._exit(3)

    loop.optimizer_step = step
    dies_in_call(weight_files.Taken, "write", 2, half)


def a_measured_loss() -> None:
    """The second evaluation is computed, and not written down yet."""
    real = strop.stages._training.evaluation
    dies_in_call(strop.stages._training, "evaluation", 2, real)


def a_task() -> None:
    """The second measurement of tasks, in its second item."""

    class Dying(Steady):
        items = 0

        def advance(self, *given):
            Dying.items += 1
            if Dying.items == self.total_of_one + 2:
                die()
            super().advance(*given)

    Dying.total_of_one = 3
    in_training.Steady = Dying


def a_tool() -> None:
    """The second batch, in the environments' (tools') answers to the first turns."""
    dies_in_call(Player, "_steps", 3)


def a_step_while_turns_are_played() -> None:
    """The second step is trained while the third batch is between two turns."""
    real, real_step, real_gather = Player._steps, loop.optimizer_step, Gatherer.gather
    trained, batches, inside = [], [], threading.Event()

    def gather(gatherer, *given, **more):
        batches.append(1)
        return real_gather(gatherer, *given, **more)

    def steps(player, *given):
        found = real(player, *given)
        if len(batches) == 3:
            inside.set()
            threading.Event().wait(60)
        return found

    def step(*given):
        told = real_step(*given)
        trained.append(1)
        if len(trained) == 2 and inside.wait(60):
            die()
        return told

    Player._steps, loop.optimizer_step, Gatherer.gather = steps, step, gather


def a_reward() -> None:
    os.environ["DIES_IN_GRADING"] = str(Path("calls").resolve())


def an_item(kind: str, count: int, after: str = ""):
    """The ``count``-th item of an evaluation is done and not written down, but for ``after``."""

    def prepare() -> None:
        real, found = Partial.add, []

        def add(partial, what, index, value):
            found.append(what)
            if what == kind and found.count(kind) == count:
                partial._file.write(after)
                partial._file.flush()
                die()
            real(partial, what, index, value)

        Partial.add = add

    return prepare


def a_file_of(folder: str):
    """While the files of a folder of this name are written, the weights among them."""

    def prepare() -> None:
        def look(event, args):
            if event != "open" or not isinstance(args[0], str | os.PathLike) or not isinstance(args[2], int):
                return
            path, writes = Path(os.fsdecode(args[0])), args[2] & (os.O_WRONLY | os.O_RDWR)
            if writes and path.parent.name.startswith(f".{folder}.") and any(path.parent.glob("*.safetensors")):
                die()

        sys.addaudithook(look)

    return prepare


def a_name_of(folder: str):
    """When all is written, but not where it belongs."""

    def prepare() -> None:
        real = folders._move_into_place

        def move(scratch, target, **how):
            if target.name == folder:
                die()
            real(scratch, target, **how)

        folders._move_into_place = move

    return prepare


def small(stage: Chaotic, **given) -> Chaotic:
    rollout = {**stage.given["rollout"], "max_tokens": 40}
    train = {**stage.given["train"], "max_steps": 3, "tasks": [], "tasks_every": None}
    given = {**stage.given, "rollout": rollout, "train": train, **given}
    return replace(stage, given=given, files={**stage.files, "reward.py": DYING_REWARD, "calls.py": CALLS})


def with_tools() -> Chaotic:
    stage = small(STAGES["grpo"], environment={"kind": "calls", "tools": ["calculator"]})
    return replace(stage, recipe={"plugins": ["calls.py"], "chat": {"template": "chatml"}})


class Measured(Chaotic):
    """The model that is measured, and what is asked, in place of a recipe."""

    def write(self, folder: Path, model: Path) -> None:
        super().write(folder, model)
        (folder / "model").symlink_to(model)


def measured() -> Measured:
    asked = [{"prompt": f"Say {n}.", "answer": str(n)} for n in range(4)]
    choices = [
        {"label": label, "text": word} for label, word in zip("ABCD", ("tea", "rain", "iron", "bread"), strict=True)
    ]
    questions = [
        {"id": str(n), "question": {"stem": f"Which is {n}?", "choices": choices}, "answerKey": "ABCD"[n]}
        for n in range(4)
    ]
    files = {
        "asked.jsonl": asked,
        "questions.jsonl": questions,
        "text.jsonl": [{"text": f"tea {n} rain"} for n in range(4)],
    }
    return Measured(
        "eval",
        {"kind": "eval"},
        {name: "".join(json.dumps(row) + "\n" for row in rows) for name, rows in files.items()},
    )


PLACES = {
    "eval": (
        measured,
        {
            "answers": (an_item("answer", 4), EVAL),
            "verdicts": (an_item("judgement", 3), EVAL),
            "options": (an_item("scores", 3), EVAL),
            "losses": (an_item("loss", 3), EVAL),
            "texts": (an_item("text", 3), EVAL),
            "half a line": (an_item("answer", 4, '{"kind": "answer", "ind'), EVAL),
        },
    ),
    "sft": (
        lambda: STAGES["sft"],
        {
            "checkpoint": (half_a_checkpoint, RUN),
            "evaluation": (a_measured_loss, RUN),
            "tasks": (a_task, RUN),
            "model, its files": (a_file_of("model"), RUN),
            "model, its name": (a_name_of("model"), RUN),
            "export, its files": (a_file_of("exported"), EXPORT),
            "export, its name": (a_name_of("exported"), EXPORT),
        },
    ),
    "tools": (with_tools, {"rollouts": (a_tool, RUN), "grading": (a_reward, RUN)}),
    "ahead": (lambda: small(STAGES["grpo-ahead"]), {"rollouts": (a_step_while_turns_are_played, RUN)}),
}


def main(work: Path, only: list[str]) -> dict[str, list[str]]:
    os.environ["STROP_CACHE"] = str(work / "made")
    model, told = resolve(NewModel.model_validate(MODEL)), {}
    for name, (make, places) in PLACES.items():
        if only and name not in only:
            continue
        here, reference, stage = work / "here", work / f"{name}-whole", make()
        stage.write(here, model)
        for command in dict.fromkeys(tuple(command) for _, command in places.values()):
            ended = forked(here, list(command))
            if ended.code:
                raise RuntimeError(f"{name}: {command} ended with {ended.code}: {ended.said}")
        here.rename(reference)
        for place, (prepare, command) in places.items():
            if command == EXPORT:
                shutil.copytree(reference, here, ignore=shutil.ignore_patterns("exported"))
            else:
                stage.write(here, model)
            wrong = told[f"{name}: {place}"] = []
            killed = forked(here, command, prepare=prepare)
            if killed.code != -signal.SIGKILL:
                wrong.append(f"was not killed there, but ended with {killed.code}: {killed.last_line}")
            wrong += half_visible(here / "runs")
            wrong += ["exported is there"] if command == EXPORT and (here / "exported").exists() else []
            again = forked(here, command)
            wrong += [f"then it ended with {again.code}: {again.said}"] if again.code else []
            if command == EVAL and not re.search(r"going on; [1-9]\d* of \d+", again.said):
                wrong += [f"what was answered before was asked again: {again.said}"]
            for what in ("runs/small", "exported") if command == EXPORT else ("runs/small",):
                wrong += [f"{one['file']}: {one['what']}" for one in differences(reference / what, here / what)]
            wrong += [f"process {pid} is left over" for pid in left_over(here)]
            shutil.rmtree(here)
    return told


if __name__ == "__main__":
    load_all()
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2:])))
