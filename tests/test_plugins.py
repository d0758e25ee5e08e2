"""A task and a kind of stage in a file of the user's own: through pipeline, summary, doctor, inspector and report."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from strop.cli import main
from strop.common.registry import Registry, home_of
from strop.stages.base import STAGES
from strop.tasks.base import TASKS

PLUGIN = '''
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field

from strop.data.settings import DataField, as_mixture
from strop.rewards import Judgement
from strop.stages.base import Examined, Stage, StageResult
from strop.stages.base import register as register_stage
from strop.tasks.base import AnswerTask, Item, register
from strop.tasks.metrics import Metric
from strop.train.settings import TrainSettings


@dataclass
class Word:
    text: str


@register("shout")
class Shout(AnswerTask):
    metrics = (
        Metric("length", "letters of an answer", "number", 1, "How long answers are", value=lambda r: r.passed),
        Metric("kept", "answers at all", "rate", 1, "What should be kept", bound=0.5, lead=0, value=lambda r: 1.0),
    )
    runs_programs = True  # judged in worker processes, which must find this file

    def items(self):
        words = ("hello", "goodbye")[: self.settings.count]
        return [Item(w, w, [{"role": "user", "content": f"Shout {w}."}], Word(w.upper())) for w in words]

    @classmethod
    def grade(cls, item, answer):
        return Judgement("accepted" if answer == item.data.text else "wrong_answer", len(answer), 100)

    @classmethod
    def sets(cls):
        return {"shouts": lambda count, seed: [("shouts:1", {"prompt": "Shout a.", "completion": "A"})] * (count or 3)}


@register_stage("shrink")
class Shrink(Stage):
    """Every weight times a factor."""

    kind: Literal["shrink"]
    factor: float = Field(0.9, gt=0, description="What every weight is multiplied by.")
    data: DataField = Field(description="Conversations that are looked at.")
    trains: ClassVar[bool] = True

    def examined(self):
        return Examined(as_mixture(self.data), as_mixture([]), None, TrainSettings(), None)

    def run(self, context):
        import torch

        from strop.rollout.loaded import load

        loaded = load(context.model, context.recipe.chat, context.compute, name=context.model_name)
        with torch.no_grad():
            for weight in loaded.policy.parameters():
                weight.mul_(self.factor)
        loaded.save(context.folder)
        context.say(f"times {self.factor}")
        return StageResult(facts={"factor": self.factor}, warnings=["smaller now"])
'''


@pytest.fixture
def strop(tmp_path, model_folder, capsys, monkeypatch):
    """Call a verb in a folder with the plug-in and a recipe; what plug-ins register is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STROP_CACHE", str(tmp_path / "cache"))
    for registry in (STAGES, TASKS):
        list(registry)
        monkeypatch.setattr(registry, "_things", dict(registry._things))
    pools: dict = {}  # workers of another test know its plug-in
    monkeypatch.setattr("strop.rewards.pool._pools", pools)
    known = set(sys.modules)
    Path("mine.py").write_text(PLUGIN)
    Path("recipe.yaml").write_text(f"""\
name: plugged
model: {model_folder}
plugins: [mine.py]
compute: {{dtype: float32}}
evals: {{shout: {{max_tokens: 8}}}}
stages:
  before: {{kind: eval}}
  smaller: {{kind: shrink, factor: 0.5, data: [{{task: shouts}}]}}
  after: {{kind: eval}}
""")

    def call(*arguments):
        code = main([*arguments])
        out, err = capsys.readouterr()
        return SimpleNamespace(code=code, out=out, err=err)

    yield call
    for pool in pools.values():
        pool.shutdown()
    for name in set(sys.modules) - known:
        if name.startswith("strop_plugin_"):
            del sys.modules[name]


def test_through_pipeline_summary_and_report(strop):
    done = strop("run", "recipe.yaml")
    assert done.code == 0, done.err
    assert "times 0.5" in done.out
    summary = json.loads(Path("runs/plugged/summary.json").read_text())
    endings = {"shout_stop_rate", "shout_truncation_rate", "shout_answer_tokens"}
    assert set(summary["change"]) == {"shout_length", "shout_kept"} | endings
    assert summary["bounds"] == {"shout_kept": 0.5}
    assert summary["facts"] == {"smaller": {"factor": 0.5}}
    assert summary["warnings"] == ["smaller: smaller now"]
    items = [json.loads(line) for line in Path("runs/plugged/after/evals/shout.jsonl").read_text().splitlines()]
    assert [item["name"] for item in items] == ["hello", "goodbye"]
    assert all(item["verdict"] in ("accepted", "wrong_answer") and item["total"] == 100 for item in items)
    assert Path("runs/plugged/smaller/model/config.json").is_file()
    page = Path("runs/plugged/report.html").read_text()
    for words in ("How long answers are", "letters of an answer", "<h3>smaller</h3>", "<dt>factor</dt><dd>0.5</dd>"):
        assert words in page
    again = strop("run", "recipe.yaml")
    assert again.out.count("skipped") == 3
    changed = strop("run", "recipe.yaml", "stages.smaller.factor=0.25")
    assert changed.code == 2
    assert "factor 0.5 → 0.25" in changed.err
    Path("mine.py").write_text(PLUGIN + "\n")
    assert "mine.py: its content changed" in strop("run", "recipe.yaml").err
    Path("mine.py").unlink()
    sys.modules.pop(next(name for name in sys.modules if name.startswith("strop_plugin_")))
    assert strop("report", "runs/plugged").code == 0  # what the metrics are stands in the run


def test_a_stage_that_logs_steps_and_has_no_train_settings_is_verified(strop):
    log = """        (context.folder / "metrics.jsonl").write_text(f'{{"step": 1, "loss": {self.factor}}}\\n')\n"""
    Path("mine.py").write_text(PLUGIN.replace("        loaded.save(", f"{log}        loaded.save("))
    assert strop("run", "recipe.yaml").code == 0
    verified = strop("run", "runs/plugged", "--verify", "1", "--json")
    assert verified.code == 0, verified.err
    [found] = json.loads(verified.out)["stages"]
    assert (found["stage"], found["same"], found["rows"]) == ("smaller", True, 1)


def test_through_doctor_and_inspector(strop):
    examined = strop("doctor", "recipe.yaml", "--json")
    [stage] = json.loads(examined.out)["stages"].values()
    assert stage["sets"][0]["rows"] == 3
    assert stage["evaluation_items_compared"] == 2
    shown = strop("inspect", "recipe.yaml", "--count", "1")
    assert "Shout a." in shown.out


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("1 / 0", "mine.py:1: the plugin raised ZeroDivisionError when it was read: division by zero"),
        ("import sys; sys.exit(0)", "mine.py:1: the plugin raised SystemExit when it was read: sys.exit(0)"),
        ("exit()", "mine.py:1: the plugin raised SystemExit when it was read: sys.exit(None)"),
        (
            PLUGIN.replace("        import torch\n", "        raise SystemExit(0)\n", 1),
            "mine.py:55: raised SystemExit: sys.exit(0), which would end strop too; return there, or raise an error",
        ),
        (
            PLUGIN.replace("        return Judgement(", "        exit(3)\n        return Judgement(", 1),
            "mine.py:35: raised SystemExit: sys.exit(3), which would end strop too; return there, or raise an error",
        ),
        ("def f(:", "mine.py:1: the plugin raised SyntaxError when it was read"),
        (
            PLUGIN.replace("        return Judgement(", "        return 1 / 0\n        return Judgement(", 1),
            "mine.py:35: grade raised ZeroDivisionError: division by zero; mend it, and run the same command again.",
        ),
        (
            PLUGIN.replace("runs_programs = True", "").replace("item.data.text", "item.data.txt"),
            "mine.py:35: grade raised AttributeError: 'Word' object has no attribute 'txt'; mend it",
        ),
        (
            PLUGIN.replace("        return Judgement(", "        return True\n        return Judgement(", 1),
            "mine.py: grade of Shout gave True; it is to give a Judgement of strop.rewards, whose verdict is no_code, ",
        ),
        *(
            (
                PLUGIN.replace("len(answer), 100)", f"len(answer), 100, parts={{'tidy': {part}}})"),
                f"mine.py: grade of Shout gave {said} as the part 'tidy' of its Judgement; give a finite number.",
            )
            for part, said in (("float('nan')", "nan"), ("None", "None, which is no number"))
        ),
        (
            PLUGIN.replace("    @classmethod\n    def grade(cls", "    def grade(self"),
            "mine.py: the task 'shout': grade is of an object; write @classmethod above it.",
        ),
        (
            PLUGIN.replace("def grade(cls, item, answer)", "def grade(cls, answer)"),
            "the task 'shout': grade takes (answer), and is called with (item, answer); let it take these.",
        ),
        (
            PLUGIN.replace("    def run(self, context)", "    def run(self)"),
            "the kind of stage 'shrink': run takes (self), and is called with (self, context); let it take these.",
        ),
        (
            PLUGIN.replace("    def run(self", "    leaves = 'rows.jsonl'\n\n    def run(self"),
            "smaller/rows.jsonl (leaves says so), and it is not there; let its run write it, or leave leaves out",
        ),
        (
            PLUGIN.replace("loaded.save(context.folder)", "pass"),
            "smaller/model (trains says so), and it is not there; let its run write it, or leave trains out",
        ),
        (PLUGIN.replace("    metrics = (", "    none = ("), "mine.py: the task 'shout' has no metrics; give it some."),
        (PLUGIN.replace('"wrong_answer"', '"false"'), "it is to give a Judgement of strop.rewards, whose verdict is "),
        (
            PLUGIN.replace("        words = (", "        return [{'name': 'hello'}]\n        words = (", 1),
            "evals.shout: an item is {'name': 'hello'}, where its items are of the class Item.",
        ),
        (
            PLUGIN.replace("        words = (", "        raise KeyError('word')\n        words = (", 1),
            "mine.py:30: items raised KeyError: 'word'; mend it, and run the same command again.",
        ),
        (
            PLUGIN.replace("        import torch", "        raise OSError('gone')\n        import torch", 1),
            "mine.py:55: run raised OSError: gone",
        ),
        (
            PLUGIN.replace("        import torch", "        return {}\n        import torch", 1),
            "smaller: run of the kind shrink gave {}; it is to give a StageResult.",
        ),
        (
            PLUGIN.replace("    def run(self", "    def inputs(self, recipe):\n        return 5\n\n    def run(self"),
            "inputs of the kind shrink gave 5; it is to give values by name, {} for none.",
        ),
        (
            PLUGIN.replace("class Shrink(Stage)", "class Shrink"),
            "mine.py: the kind of stage 'shrink' is no subclass of Stage of strop.stages.base; make it one.",
        ),
        (
            PLUGIN.replace('kind: Literal["shrink"]', 'kind: Literal["grow"]'),
            "mine.py: the kind of stage 'shrink' does not say so; write kind: Literal['shrink'] in it.",
        ),
        (PLUGIN.replace('"shout"', '"humaneval"'), "mine.py: the task 'humaneval' is there already, in "),
        (PLUGIN.replace("def run(self", "def walk(self"), "mine.py: the kind of stage 'shrink' has no run; define it."),
        (PLUGIN.replace("def items(self", "def all(self"), "mine.py: the task 'shout' has no items; define it."),
        (PLUGIN.replace('"shrink"', '"sft"'), "mine.py: the kind of stage 'sft' is there already, in "),
    ],
)
def test_a_plugin_that_cannot_be_used_is_named_with_its_file(strop, content, said):
    Path("mine.py").write_text(content)
    done = strop("run", "recipe.yaml")
    assert done.code == 2
    assert said in done.err


def test_a_grader_may_give_numbers_of_other_libraries(strop):
    given = "np.int64(len(answer)), 100, parts={'tidy': True, 'short': np.float32(0.5)})"
    text = PLUGIN.replace("len(answer), 100)", given)
    Path("mine.py").write_text(f"import numpy as np\n{text}")
    done = strop("run", "recipe.yaml")
    assert done.code == 0, done.err
    [row, _] = map(json.loads, Path("runs/plugged/after/evals/shout.jsonl").read_text().splitlines())
    assert row["parts"] == {"tidy": 1.0, "short": 0.5}
    assert row["passed"] == len(row["answer"])


def test_without_its_plugin_a_kind_is_unknown(strop):
    text = Path("recipe.yaml").read_text()
    Path("recipe.yaml").write_text(text.replace("plugins: [mine.py]", "plugins: [other.py]"))
    assert "other.py: there is no such Python file" in strop("run", "recipe.yaml").err
    Path("recipe.yaml").write_text(text.replace("plugins: [mine.py]\n", ""))
    done = strop("run", "recipe.yaml")
    assert "there is no kind 'shrink'. The kinds are blind, distill, doctor, eval, " in done.err
    wrong = text.replace("factor: 0.5", "faktor: 0.5")
    Path("recipe.yaml").write_text(wrong)
    assert "unknown key 'stages.smaller.faktor'; did you mean 'factor'?" in strop("run", "recipe.yaml").err


def test_the_verb_measures_a_task_of_a_plugin_too(strop, model_folder):
    # By names of its own: the workers that grade live as long as this process, and know the other file's.
    Path("own.py").write_text(PLUGIN.replace('"shout"', '"whisper"').replace('"shrink"', '"shrivel"'))
    asked = ("eval", str(model_folder), "--tasks", "whisper:max_tokens=2")
    done = strop(*asked, "plugins=[own.py]")
    assert done.code == 0, done.err
    assert "whisper_kept" in done.out
    assert "gone.py: there is no such Python file" in strop(*asked, "plugins=[gone.py]").err


def test_plugins_that_an_override_names_are_the_ones_that_are_read(strop, model_folder):
    recipe = f"name: x\nmodel: {model_folder}\nplugins: [first.py]\nstages:\n  after: {{kind: eval}}\n"
    Path("recipe.yaml").write_text(recipe + "evals: {mutter: {max_tokens: 2}}\n")
    Path("first.py").write_text("raise ValueError('the file that the override replaces')\n")
    Path("second.py").write_text(PLUGIN.replace('"shout"', '"mutter"').replace('"shrink"', '"shrug"'))
    done = strop("run", "recipe.yaml", "plugins=[second.py]")
    assert done.code == 0, done.err
    assert "mutter_kept" in done.out
    assert "gone.py: there is no such Python file" in strop("run", "recipe.yaml", "plugins.0=gone.py").err
    asked = ("sft", str(model_folder), "--data", "task:reverse", "plugins=[gone.py]")
    assert "gone.py: there is no such Python file" in strop(*asked).err


def test_a_class_that_no_file_holds_is_named_by_its_module():
    """As in a notebook."""
    assert home_of(type("Mine", (), {"__module__": "__nowhere__"})) == "__nowhere__"
    assert Path(home_of(Registry)).name == "registry.py"
