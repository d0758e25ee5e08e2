"""What an evaluation lacks is found before anything is trained or generated."""

import json
import shutil

import pytest

from strop.chat import ChatSettings
from strop.common.errors import InputError
from strop.evals.preflight import check_evals, check_sandbox
from strop.rewards import Judgement
from strop.tasks.base import TaskSettings
from strop.tasks.code_basics import generate
from strop.tasks.records import write_records


@pytest.fixture
def problems(tmp_path):
    path = tmp_path / "mine.jsonl"
    write_records(path, generate("test", 4, 0))
    return path


@pytest.fixture
def model(model_folder, tmp_path):
    """The small model with another window; its prompts have about a token for each byte."""

    def make(window):
        folder = tmp_path / f"model-{window}"
        shutil.copytree(model_folder, folder)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": window}))
        return folder

    return make


def mine(path, **settings):
    return {"mine": TaskSettings(path=path, **settings)}


def test_what_is_all_there_is_not_refused(model, problems):
    check_evals({**mine(problems), "general_chat": TaskSettings(count=3)}, ChatSettings(), model(2048))


def test_a_file_that_is_not_there(model, tmp_path):
    with pytest.raises(InputError, match=r"gone.jsonl: there is no such file"):
        check_evals(mine(tmp_path / "gone.jsonl"), ChatSettings(), model(2048))


def test_a_file_without_problems_is_refused_by_line(model, tmp_path):
    path = tmp_path / "gsm8k.jsonl"
    path.write_text('{"question": "1 + 1?", "answer": "2"}\n')
    with pytest.raises(InputError, match=r"gsm8k.jsonl"):
        check_evals({"gsm8k": TaskSettings(path=path)}, ChatSettings(), model(2048))


def test_prompts_of_which_none_fits_the_window(model, problems):
    lengths = r"each of its 4 prompts fills the model's window of 16 tokens \(the shortest has \d+\)"
    with pytest.raises(InputError, match=rf"^evals.mine: {lengths}"):
        check_evals(mine(problems), ChatSettings(), model(16))


def test_a_template_that_refuses_a_prompt_is_named_with_the_problem(model, problems):
    template = "{{ raise_exception('no user turns here') }}"
    with pytest.raises(InputError, match=r"^evals.mine, problem .*no user turns here"):
        check_evals(mine(problems), ChatSettings(template=template), model(2048))


def test_conversations_with_nothing_to_measure(model, tmp_path):
    path = tmp_path / "untrained.jsonl"
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello", "train": False}]
    path.write_text(json.dumps({"messages": turns}) + "\n")
    with pytest.raises(InputError, match=r"evals.general_chat: nothing is left to measure"):
        check_evals({"general_chat": TaskSettings(path=path)}, ChatSettings(), model(512))


def test_a_machine_without_a_sandbox_is_known_at_once(model, problems, monkeypatch):
    def refuse(*args):
        raise InputError("code is only judged inside a sandbox, which needs Linux 6.12")

    monkeypatch.setattr("strop.evals.preflight.judge_program", refuse)
    check_evals({"general_chat": TaskSettings(count=2)}, ChatSettings(), model(512))  # runs no programs
    with pytest.raises(InputError, match="inside a sandbox"):
        check_evals(mine(problems), ChatSettings(), model(2048))


def test_a_sandbox_in_which_a_right_program_fails_is_refused(monkeypatch):
    wrong = Judgement("runtime_error", 0, 1, "ended by signal 31")
    monkeypatch.setattr("strop.evals.preflight.judge_program", lambda *args: wrong)
    with pytest.raises(InputError, match=r"cannot be judged on this machine: .* runtime_error \(ended by signal 31\)"):
        check_sandbox()
