"""One door to the kernels: who may import them, what is installed where, and what an import must not do."""

import ast
from pathlib import Path

import pytest
import torch
from processes import in_a_process

from strop.model import accelerate
from strop.model.cpu.kernels import float32_kernels, kernels
from strop.model.policy import Policy
from strop.model.precision import Compute

SOURCE = Path(__file__).parents[2] / "src/strop"
CPU = torch.device("cpu")


def imported(path):
    """Full names of what a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = path.relative_to(SOURCE.parent).parts[: -node.level] if node.level else ()
            yield from (".".join([*above, *filter(None, [node.module]), alias.name]) for alias in node.names)


def test_nothing_but_the_door_imports_the_kernels():
    door, house = SOURCE / "model/accelerate.py", SOURCE / "model/cpu"
    knows = {
        path for path in SOURCE.rglob("*.py") if any(name.startswith("strop.model.cpu") for name in imported(path))
    }
    assert door in knows
    assert {path for path in knows - {door} if house not in path.parents} == set()


@pytest.mark.parametrize(
    ("dtype", "there", "said"),
    [
        (torch.bfloat16, kernels, "CPU kernels (AVX-512 BF16): attention, head, AdamW, gradient norm"),
        (torch.float32, float32_kernels, "CPU kernels (float32): attention, head"),
    ],
)
def test_what_is_installed_goes_by_the_number_format(dtype, there, said, make_model):
    if there() is None:
        pytest.skip("no kernels for it on this machine")
    policy = Policy(make_model(), Compute(CPU, dtype), probe=False)
    # per layer attention, two norms and a gated unit, and the last norm
    assert sum("forward" in vars(module) for module in policy.model.modules()) == 2 * 4 + 1
    assert str(policy.accelerated) == f"{said}, 5 norms, 2 gated units, 2 rotary embeddings"


def test_a_format_without_kernels_is_left_to_torch(make_model):
    policy = Policy(make_model().double(), Compute(CPU, torch.float64), probe=False)
    assert not any("forward" in vars(module) for module in policy.model.modules())
    assert str(policy.accelerated) == "no kernels: torch's own operations"


def test_somebodys_method_is_kept_and_ours_are_put_back(make_model):
    model = make_model().bfloat16()
    norm = model.model.layers[0].input_layernorm
    norm.forward = theirs = lambda x: x
    accelerate.install(model, Compute(CPU, torch.bfloat16))
    before = {module: vars(module).get("forward") for module in model.modules()}
    with accelerate.taken_out([model]):
        assert [m for m in model.modules() if "forward" in vars(m)] == [norm]
    assert {module: vars(module).get("forward") for module in model.modules()} == before
    assert norm.forward is theirs


LIBRARY = """
import os
os.environ.pop("GOMP_SPINCOUNT", None)
before = dict(os.environ)
import torch, strop, strop.cli, strop.runs.pipeline, strop.model.memory
from strop.model.cpu import allocator
from strop.model.policy import Policy
from strop.model.precision import best_compute
from transformers import LlamaConfig, LlamaForCausalLM
sizes = dict(vocab_size=9, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2)
Policy(LlamaForCausalLM(LlamaConfig(**sizes)), best_compute("cpu"))
changed = {n for n in set(os.environ) | set(before) if os.environ.get(n) != before.get(n)}
print(allocator.install.cache_info().currsize, changed & {"GOMP_SPINCOUNT", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"})
strop.model.memory.keep_freed_memory()
print(allocator.install.cache_info().currsize)
"""


def test_a_library_keeps_the_process_as_it_is_until_it_is_asked():
    asked = 0 if torch.accelerator.is_available() else 1
    assert in_a_process(LIBRARY).stdout.splitlines()[-2:] == ["0 set()", str(asked)]


@pytest.mark.parametrize(
    ("given", "expected"), [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None)]
)
def test_a_command_has_threads_spin_shortly_before_torch_is_loaded(given, expected):
    code = (
        "import os, sys; names = ('GOMP_SPINCOUNT', 'OMP_WAIT_POLICY');"
        f"[os.environ.pop(n, None) for n in names]; os.environ.update({given!r});"
        "from strop.cli import main; code = main(['report', 'nowhere']);"
        "print(code, os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)"
    )
    assert in_a_process(code).stdout.split() == ["2", str(expected), "False"]
