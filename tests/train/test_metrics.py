"""Memory that is said of a stage is that stage's."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from strop.train.metrics import peak_memory_gb, reset_peak_memory

PROGRAM = """
import torch
from strop.train.metrics import peak_memory_gb, reset_peak_memory
before = peak_memory_gb()
block = torch.ones(100_000_000)  # 0.4 GB, every page touched
during = peak_memory_gb()
del block
reset_peak_memory()
print(during - before, peak_memory_gb() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the peak is the process's")
def test_the_peak_of_a_stage_is_not_that_of_the_one_before():
    found = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    during, after = map(float, found.stdout.split())
    assert during == pytest.approx(0.4, abs=0.05)
    assert after < 0.1


def test_a_run_on_the_cpu_beside_a_gpu_tells_the_hosts_memory(monkeypatch):
    host, on_the_gpu = peak_memory_gb(), []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: sum(on_the_gpu))
    assert peak_memory_gb() >= host > 0
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)  # as asking for its random state does
    assert peak_memory_gb() >= host
    on_the_gpu.append(5_000_000_000)
    assert peak_memory_gb() == 5.0


def test_where_the_peak_cannot_be_reset_it_stays_the_process_s(monkeypatch):
    def read_only(self, *_, **__):
        raise PermissionError(13, "read-only")

    before = peak_memory_gb()
    monkeypatch.setattr(Path, "write_text", read_only)
    reset_peak_memory()
    assert peak_memory_gb() >= before > 0
