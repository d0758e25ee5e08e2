"""Reinforcement learning whose answers come from vLLM servers, or from what speaks as they do (serving.py)."""

import json
import os

import pytest
import torch
import yaml
from serving import CPU, Serving

from strop.common.console import make_console
from strop.common.errors import Halted, InputError
from strop.common.registry import load_plugins
from strop.config.recipe import load_recipe
from strop.model.names import load_model
from strop.model.policy import Policy
from strop.rollout.torch_engine import TorchEngine
from strop.runs.pipeline import run_recipe


@pytest.fixture(scope="module")
def untied(make_model_folder):
    return make_model_folder(["What is one and two?"], tie_word_embeddings=False)


@pytest.fixture
def serve():
    made = []

    def start(*given):
        made.append(Serving(*given))
        return made[-1]

    yield start
    for one in made:
        one.shutdown()
        one.server_close()


def recipe(here, model, url, *, steps=3, staleness=0, plugins=(), **stage):
    rows = [{"question": f"What is {i} and 1?", "answer": str(i + 1)} for i in range(4)]
    (here / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rollout = {"prompts_per_step": 2, "group_size": 4, "max_tokens": 6, "keep_every": 1, "staleness": staleness}
    given = {
        "kind": "rl", "data": [str(here / "sums.jsonl")], "rollout": rollout,
        "rewards": {"short": {"kind": "length", "most": 6, "slack": 6}, "stop": {"kind": "stop"}},
        "objective": {"preset": "dr_grpo", "entropy_coef": 1.0},
        "train": {"max_steps": steps, "learning_rate": 1e-2}, **stage,
    }  # fmt: skip
    vllm = {"engine": "vllm", "vllm": url if isinstance(url, dict) else {"url": [url]}}
    content = {
        "name": "small", "folder": str(here / "run"), "model": str(model), "compute": {"dtype": "float32"},
        "rollout": vllm, "stages": {"rl": given}, "plugins": list(plugins),
    }  # fmt: skip
    (here / "recipe.yaml").write_text(yaml.safe_dump(content))
    return load_recipe(here / "recipe.yaml")


def run(one, **how):
    return run_recipe(one, make_console(stderr=True), **how)


def rows_of(here):
    return [json.loads(line) for line in (here / "run/rl/metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("lora", [None, {"r": 4}], ids=["whole", "lora"])
@pytest.mark.parametrize("staleness", [0, 1])
def test_f20_f21_every_batch_is_sampled_by_the_weights_of_its_version(untied, serve, tmp_path, staleness, lora):
    server = serve(untied)
    run(recipe(tmp_path, untied, server.url, staleness=staleness, lora=lora))
    rows = rows_of(tmp_path)
    assert [row["rollout/version_lag"] for row in rows] == [min(i, staleness) for i in range(3)]
    for row in rows:
        assert (row["mismatch_max"] < 1e-4) == (row["rollout/version_lag"] == 0)
        assert row["correction_weight"] == pytest.approx(1, abs=1e-4 if row["rollout/version_lag"] == 0 else 0.5)
    assert len(server.loaded) == 4  # what it started with, and one for each batch
    first, *versions = server.loaded
    torch.testing.assert_close(versions[0], first)
    changed = {name for name in first if not torch.equal(versions[-1][name], first[name])}
    assert changed == {name for name in first if not lora or name.endswith("proj.weight")}
    kept = [json.loads(line) for line in (tmp_path / "run/rl/rollouts/step-000003.jsonl").read_text().splitlines()]
    assert {answer["version"] for one in kept for answer in one["answers"]} == {2 - staleness}
    assert not (tmp_path / "run/rl/exchange").exists()
    trained = load_model(tmp_path / "run/rl/model").state_dict()
    assert not torch.equal(trained["lm_head.weight"], versions[-1]["lm_head.weight"]) or lora


ENVIRONMENT = """
from typing import Literal

from strop.environments.base import Environment, Observation, register


@register("on and on")
class OnAndOn(Environment):
    kind: Literal["on and on"]

    def step(self, turn):
        return Observation([{"role": "user", "content": "And?"}])
"""


def test_turns_that_servers_sample_ahead_are_trained_as_they_were_sampled(untied, make_brief, serve, tmp_path):
    brief = make_brief(untied, range(200, 240))
    plugin = tmp_path / "on.py"
    plugin.write_text(ENVIRONMENT)
    load_plugins([plugin])
    rollout = {"prompts_per_step": 2, "group_size": 4, "max_tokens": 100, "staleness": 1}
    rewards = {"short": {"kind": "length", "most": 9, "slack": 99}}
    more = {"environment": "on and on", "rollout": rollout, "rewards": rewards}
    run(recipe(tmp_path, brief, serve(brief).url, steps=2, plugins=[str(plugin)], **more))
    first, second = rows_of(tmp_path)
    assert min(first["rollout/turns"], second["rollout/turns"]) > 1
    assert max(first["mismatch_max"], first["rollout/mismatch_max"]) < 1e-4
    assert second["rollout/version_lag"] == 1


@pytest.mark.parametrize("staleness", [0, 1])
def test_a_server_that_dies_stops_the_run_with_a_checkpoint(untied, serve, tmp_path, staleness):
    server = serve(untied, 25)  # in the fourth batch of eight, after the first look
    one = recipe(tmp_path, untied, server.url, steps=6, staleness=staleness)
    with pytest.raises(Halted, match=f"{server.url}.*no server is left.*goes on from the checkpoint"):
        run(one)
    [checkpoint] = (tmp_path / "run/rl/checkpoints").iterdir()
    assert checkpoint.name == "step-000003"
    server.dies = None
    run(one)
    assert [row["step"] for row in rows_of(tmp_path)] == [1, 2, 3, 4, 5, 6]


def test_adapters_that_are_not_added_are_refused_beforehand(untied, tmp_path):
    def refused(*given, words, **stage):
        with pytest.raises(InputError, match=words):
            run(recipe(tmp_path, *given, "http://127.0.0.1:9", **stage))
        assert not (tmp_path / "run/rl").exists()

    refused(untied, words=r"lora_magnitude|only plain LoRA", lora={"r": 4, "dora": True})
    refused(untied, words=r"only plain LoRA.*modules_to_save", lora={"r": 4, "modules_to_save": ["norm"]})


@pytest.mark.parametrize("lora", [None, {"r": 4}], ids=["whole", "lora"])
def test_a_head_that_is_the_embedding_reaches_servers_as_a_matrix_of_its_own(model_folder, serve, tmp_path, lora):
    from strop.cli import main

    assert main(["export", str(model_folder), "--own-head", "--to", str(tmp_path / "parted")]) == 0
    server = serve(tmp_path / "parted")
    run(recipe(tmp_path, model_folder, server.url, lora=lora))
    assert all(row["mismatch_max"] < 1e-4 for row in rows_of(tmp_path))
    first, *versions = server.loaded
    torch.testing.assert_close(versions[0], first)
    for one in versions:
        torch.testing.assert_close(one["lm_head.weight"], one["model.embed_tokens.weight"])
    assert torch.equal(first["lm_head.weight"], versions[-1]["lm_head.weight"]) == bool(lora)
    trained = json.loads((tmp_path / "run/rl/model/config.json").read_text())
    assert trained["tie_word_embeddings"]


def test_evaluations_after_such_a_training_get_the_trained_model(model_folder, serve, tmp_path):
    from strop.cli import main

    assert main(["export", str(model_folder), "--own-head", "--to", str(tmp_path / "parted")]) == 0
    server = serve(tmp_path / "parted")
    recipe(tmp_path, model_folder, server.url)
    content = yaml.safe_load((tmp_path / "recipe.yaml").read_text())
    content["stages"]["after"] = {"kind": "eval"}
    content["evals"] = {"reverse": {"count": 2, "max_tokens": 2}}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    run(load_recipe(tmp_path / "recipe.yaml"))
    trained = load_model(tmp_path / "run/rl/model").state_dict()
    for name, tensor in server.loaded[-1].items():
        torch.testing.assert_close(tensor, trained[name])
    assert not list((tmp_path / "run/after").glob("strop-model-*"))


def test_servers_whose_head_is_the_embedding_are_refused(model_folder, serve, tmp_path):
    one = serve(model_folder)
    with pytest.raises(InputError, match=r"whose head is its embedding.*strop export MODEL --own-head --to FOLDER"):
        run(recipe(tmp_path, model_folder, one.url))
    one.folder = tmp_path / "elsewhere"
    with pytest.raises(InputError, match=r"elsewhere, which cannot be read here.*in a folder that strop sees too"):
        run(recipe(tmp_path, model_folder, one.url))


def test_adapters_are_added_to_copies_of_the_weights(untied, tmp_path):
    from strop.chat import ChatSettings
    from strop.model.settings import LoraSettings
    from strop.rollout.loaded import load

    loaded = load(untied, ChatSettings(), CPU, to_train=True, lora=LoraSettings(r=4, rslora=True))
    with torch.no_grad():
        for name, parameter in loaded.policy.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)
    before = {name: tensor.clone() for name, tensor in loaded.policy.model.state_dict().items()}
    engine = TorchEngine(loaded.policy, loaded.stop_ids)
    mine = engine.score([[5, 6, 7]], [[[8, 9, 10], [4, 4]]])
    loaded.save_plain(tmp_path / "plain")
    theirs = TorchEngine(Policy(load_model(tmp_path / "plain"), CPU), loaded.stop_ids)
    told = theirs.score([[5, 6, 7]], [[[8, 9, 10], [4, 4]]])
    for a, b in zip(mine[0], told[0], strict=True):
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-4)
    without = TorchEngine(Policy(load_model(untied), CPU), loaded.stop_ids).score([[5, 6, 7]], [[[8, 9, 10]]])
    assert without[0][0].logprobs != pytest.approx(mine[0][0].logprobs, abs=1e-2)
    assert all(torch.equal(before[name], tensor) for name, tensor in loaded.policy.model.state_dict().items())
    engine.sync()
    assert engine.score([[5, 6, 7]], [[[8, 9, 10], [4, 4]]]) == mine  # it goes on, with its own attention


@pytest.mark.slow
@pytest.mark.skipif("STROP_VLLM_PYTHON" not in os.environ, reason="STROP_VLLM_PYTHON names no Python that has vLLM")
@pytest.mark.parametrize(("staleness", "tied"), [(0, False), (1, False), (0, True)])
def test_the_real_thing_samples_for_a_training(make_model_folder, tmp_path, staleness, tied):
    sizes = {"hidden_size": 128, "intermediate_size": 64}  # heads of 32, which vLLM has
    model = make_model_folder(["What is one and two?"], tie_word_embeddings=tied, **sizes)
    vllm = {"python": os.environ["STROP_VLLM_PYTHON"], "args": ["--enforce-eager", "--max-model-len", "256"]}
    one = recipe(tmp_path, model, vllm, steps=4, staleness=staleness, lora=None)
    one = one.model_copy(update={"compute": one.compute.model_copy(update={"cache_gb": 0.1, "max_rows": 8})})
    run(one)
    rows = rows_of(tmp_path)
    assert [row["rollout/version_lag"] for row in rows] == [min(i, staleness) for i in range(4)]
    for row in rows:
        assert (row["mismatch_max"] < 1e-3) == (row["rollout/version_lag"] == 0)
    assert rows[-1]["grad_norm"] > 0
