"""The same numbers on a GPU as on the CPU: what only a CUDA device can show. Run by bench/gpu.sh.

``STROP_GPU_TESTS=cpu`` runs them on the CPU, which shows that they can pass.
"""

import json
import os

import pytest
import torch

from strop.chat import Example
from strop.common.console import make_console
from strop.config.recipe import load_recipe
from strop.data.batch import make_batch
from strop.model.lora import add_lora
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.model.settings import LoraSettings
from strop.objectives.sft import CrossEntropy
from strop.rollout.engine import SamplingParams
from strop.rollout.torch_engine import TorchEngine
from strop.runs.pipeline import run_recipe
from strop.train.settings import SftTrainSettings
from strop.train.step import optimizer_step
from strop.train.weights import Weights
from strop.train.world import World

DEVICE = os.environ.get("STROP_GPU_TESTS", "cuda")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="needs a CUDA device"),
]
LENGTHS = (7, 2, 30, 12)


def prompts():
    draw = torch.Generator().manual_seed(0)
    return [torch.randint(3, 97, (length,), generator=draw).tolist() for length in LENGTHS]


def batch(sequences):
    return make_batch([Example(ids, [0.0, *[1.0] * (len(ids) - 1)], "t", (), ()) for ids in sequences])


def there(row):
    return row.to(torch.device(DEVICE))


def policy(make_model, device=DEVICE, dtype=torch.float32):
    return Policy(make_model().to(device), Compute(torch.device(device), dtype))


@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 2e-4), (torch.bfloat16, 0.15)])
def test_packed_sequences_have_the_log_probabilities_that_each_has_alone(make_model, dtype, within):
    one = policy(make_model, dtype=dtype)
    reference = make_model().double()
    told = one(there(batch(prompts())))["logprobs"].detach().cpu().double()
    expected = []
    for ids in prompts():
        logits = reference(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
        expected.append(logits.gather(1, torch.tensor(ids[1:])[:, None])[:, 0])
    torch.testing.assert_close(told, torch.cat(expected).detach(), atol=within, rtol=0)


@pytest.mark.parametrize("lora", [None, LoraSettings(r=4)])
@pytest.mark.parametrize("optimizer", ["adamw", "muon", "adamw_8bit"])
def test_steps_change_the_weights_as_on_the_cpu(make_model, optimizer, lora):
    found = {}
    for device in ("cpu", DEVICE):
        torch.manual_seed(0)
        model = make_model()
        model = add_lora(model, lora).network if lora else model
        weights = Weights(
            Policy(model.to(device), Compute(torch.device(device), torch.float32)),
            SftTrainSettings(learning_rate=1e-3, optimizer=optimizer),
        )
        weights.optimizer.set_rates(1.0)
        for _ in range(3):
            optimizer_step(weights, CrossEntropy(), [batch(prompts())], 1.0, World())
        found[device] = {name: tensor.cpu() for name, tensor in weights.wholes()}
    for name, tensor in found["cpu"].items():
        assert torch.allclose(found[DEVICE][name], tensor, atol=5e-4, rtol=0.02), name


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_engine_draws_from_what_the_trainer_computes(make_model, temperature):
    one = policy(make_model).eval()
    engine = TorchEngine(one, frozenset({2}), max_rows=3)
    rollouts = engine.generate(prompts(), SamplingParams(max_tokens=12, temperature=temperature))
    made = [
        Example([*r.prompt, *r.tokens], [0.0] * len(r.prompt) + [1.0] * len(r.tokens), "t", (), ()) for r in rollouts
    ]
    trainer = one(there(make_batch(made)), temperature=temperature or 1.0)["logprobs"].detach().cpu()
    sampler = torch.tensor([lp for r in rollouts for lp in r.logprobs])
    torch.testing.assert_close(sampler, trainer, atol=5e-4, rtol=0)


def chain(folder, model, device, dtype, compiled=False):
    """SFT, rewards and an evaluation; the losses of SFT and the rows of the others. Compiling takes the longest."""
    how = {"learning_rate": 1e-3, "compile": "auto" if compiled else False}
    content = {
        "name": "small", "model": str(model), "folder": str(folder), "compute": {"device": device, "dtype": dtype},
        "evals": {"code_basics": {"count": 2, "max_tokens": 4}, "general_chat": {"count": 2}},
        "stages": {
            "sft": {
                "kind": "sft", "data": [{"task": "code_basics", "count": 16}],
                "train": {"max_steps": 4, "global_batch_size": 4, **how},
            },
            "rl": {
                "kind": "rl", "data": [{"task": "code_basics", "count": 4}],
                "rollout": {"prompts_per_step": 2, "group_size": 2, "max_tokens": 6},
                "rewards": {"short": {"kind": "length", "most": 6, "slack": 6}},
                "train": {"max_steps": 2, **how},
            },
            "eval": {"kind": "eval"},
        },
    }  # fmt: skip
    folder.parent.mkdir(exist_ok=True)
    recipe = folder.with_suffix(".yaml")
    recipe.write_text(json.dumps(content))
    run_recipe(load_recipe(recipe), make_console(stderr=True))
    rows = {
        name: [json.loads(line) for line in (folder / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("sft", "rl")
    }
    return [row["loss"] for row in rows["sft"] if "loss" in row], rows["rl"]


def test_a_whole_recipe_learns_as_on_the_cpu(tmp_path, model_folder):
    losses, rl = chain(tmp_path / "here", model_folder, DEVICE, "float32")
    assert losses == pytest.approx(chain(tmp_path / "cpu", model_folder, "cpu", "float32")[0], rel=2e-3)
    assert all(row["mismatch_max"] < 1e-3 for row in rl)


def test_a_whole_recipe_in_bfloat16(tmp_path, model_folder):
    losses, rl = chain(tmp_path / "here", model_folder, DEVICE, "bfloat16", compiled=True)
    assert losses == pytest.approx(chain(tmp_path / "cpu", model_folder, "cpu", "float32")[0], rel=0.05)
    assert all(0 <= row["mismatch"] < 0.2 for row in rl)
