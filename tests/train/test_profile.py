"""A traced step: its file, its summary, and nothing changed by it."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.autograd import DeviceType

from strop.chat import Example
from strop.data.source import PackedSource
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.objectives.sft import CrossEntropy
from strop.train.loop import train
from strop.train.profile import OTHER, kind_of, summary, times
from strop.train.settings import TrainSettings
from strop.train.weights import Weights

FLOAT32 = Compute(torch.device("cpu"), torch.float32)


def run(model, folder, **settings):
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randint(3, 97, (n,), generator=generator).tolist() for n in (9, 12, 7, 15)]
    rows = [Example(tokens, [0.0] * 2 + [1.0] * (len(tokens) - 2), "", (), ()) for tokens in drawn]
    source = PackedSource(rows, global_batch_size=1, micro_batch_tokens=40)
    settings = TrainSettings(**settings)
    train(Weights(Policy(model, FLOAT32), settings), source, CrossEntropy("token_mean"), settings, folder)
    return model.state_dict()


def test_one_step_is_traced_and_the_result_is_the_same(tmp_path, make_model, capsys):
    plain = run(make_model(), tmp_path / "plain")
    assert not (tmp_path / "plain/trace.json").exists()
    traced = run(make_model(), tmp_path / "traced", profile=True)
    assert all(torch.equal(traced[name], value) for name, value in plain.items())
    events = json.loads((tmp_path / "traced/trace.json").read_text())["traceEvents"]
    assert any("mm" in event.get("name", "") for event in events)
    printed = capsys.readouterr().out.split("train step 1/4")[2]
    assert printed.count("profile: a step of") == 1
    assert printed.index("step 2/4") < printed.index("profile:") < printed.index("step 3/4")
    assert "matrix products" in printed


def test_a_run_shorter_than_that_traces_its_last_step(tmp_path, make_model):
    run(make_model(), tmp_path, profile=True, max_steps=2)
    assert (tmp_path / "trace.json").is_file()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("aten::mm", "matrix products"),
        ("nvjet_tst_128x256_64x4_2x1_v_bz_coopA_TNT", "matrix products"),
        ("aten::_flash_attention_forward", "attention"),
        ("aten::_fused_adamw_", "optimiser"),
        ("aten::copy_", "copies and casts"),
        ("ncclDevKernel_AllReduce_Sum_bf16_RING_LL", "communication"),
        ("triton_red_fused_mul_0", "compiled code"),
        ("aten::mul", "element by element"),
        ("aten::embedding", OTHER),
    ],
)
def test_kinds_of_work(name, kind):
    assert kind_of(name) == kind


def test_on_cuda_the_kernels_count_and_not_what_started_them():
    """As torch tells a product: the operation with its kernel's time, a range around it, and the kernel itself."""

    def event(key, kind, device, cpu=0.0, range_of_ours=False):
        made = SimpleNamespace(key=key, device_type=kind, count=2, is_user_annotation=range_of_ours)
        return SimpleNamespace(**vars(made), self_device_time_total=device, self_cpu_time_total=cpu)

    kernel = "nvjet_tst_128x256_64x4_2x1_v_bz_coopA_TNT"
    events = [
        event("aten::mm", DeviceType.CPU, 3e6, 1e3),
        event("cudaLaunchKernel", DeviceType.CPU, 0.0, 5e3),
        event("Optimizer.step#AdamW.step", DeviceType.CUDA, 4e6, range_of_ours=True),
        event(kernel, DeviceType.CUDA, 3e6),
    ]
    profiler = SimpleNamespace(key_averages=lambda: events)
    assert times(profiler, torch.device("cuda")) == {kernel: (3.0, 2)}
    assert times(profiler, torch.device("cpu")) == {"aten::mm": (1e-3, 2), "cudaLaunchKernel": (5e-3, 2)}


def test_the_summary_adds_up():
    found = {"aten::mm": (3.0, 10), "aten::addmm": (1.0, 2), "aten::mul": (1.0, 5)}
    lines = summary(found, 6.0, Path("trace.json")).splitlines()
    assert lines[0] == "profile: a step of 6.00 s, 5.00 s of it in operations; trace: trace.json"
    assert lines[1].split() == ["80.0", "%", "4.000", "s", "matrix", "products"]
    assert lines[2].split() == ["3.000", "s", "aten::mm", "×", "10"]
    assert lines[4].split()[0] == "20.0"
