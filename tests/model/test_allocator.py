"""The region that CPU tensors live in; once installed it stays. Where its holes matter, a fresh process is asked."""

import random
import sys
import threading

import pytest
import torch
from processes import broken_compiler, in_a_child

from strop.model.cpu import allocator
from strop.model.cpu.build import SWITCH, compiler

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or compiler() is None, reason="the region needs Linux and a C++ compiler"
)
BLOCK = 1 << 20


@pytest.fixture(autouse=True)
def installed():
    assert allocator.install()


PLACES = """
import torch
from strop.model.cpu import allocator
assert allocator.install()
def block(mib=1):
    return torch.empty(mib << 20, dtype=torch.uint8)
def place(mib=1):
    return block(mib).data_ptr()
"""


def test_a_hole_serves_a_block_of_its_size():
    """glibc, asked for aligned memory, looks for a larger one."""
    code = """
kept = [block() for _ in range(3)]
hole, extent = kept[1].data_ptr(), allocator.region().extent
kept[1] = None
print(place() == hole, allocator.region().extent == extent)
"""
    assert in_a_child(PLACES + code).stdout == "True True\n"


def test_the_smallest_hole_that_is_large_enough_is_taken():
    code = """
kept = [block(mib) for mib in (4, 1, 3, 1)]
large, small = kept[0].data_ptr(), kept[2].data_ptr()
kept[0] = kept[2] = None
print(place(3) == small, place(2) == small, place(4) == large)
"""
    assert in_a_child(PLACES + code).stdout == "True True True\n"


def test_neighbours_become_one_hole():
    code = """
from itertools import permutations
for order in permutations((1, 2, 3)):
    kept = [block() for _ in range(5)]
    first, extent = kept[1].data_ptr(), allocator.region().extent
    for i in order:
        kept[i] = None
    print(place(3) == first, allocator.region().extent == extent)
    kept = None
"""
    assert in_a_child(PLACES + code).stdout == "True True\n" * 6


def test_the_last_hole_grows():
    code = """
kept, last = block(), block()
end, extent = last.data_ptr(), allocator.region().extent
del last
print(place(5) == end, allocator.region().extent == extent + (4 << 20))
"""
    assert in_a_child(PLACES + code).stdout == "True True\n"


def test_blocks_are_counted_and_aligned():
    before = allocator.region()
    kept = [torch.empty(BLOCK, dtype=torch.uint8), torch.empty(100_001, dtype=torch.uint8)]
    now = allocator.region()
    assert now.used - before.used == BLOCK + 100_032  # whole cache lines
    assert now.peak >= now.used
    assert all(tensor.data_ptr() % 64 == 0 for tensor in kept)
    del kept
    assert allocator.region().used == before.used


def test_small_blocks_stay_elsewhere():
    before = allocator.region().used
    kept = torch.empty(1000)
    assert allocator.region().used == before
    assert kept.numel() == 1000


def test_threads_find_what_they_wrote():
    before = allocator.region().used
    wrong = []

    def work(seed):
        draw = random.Random(seed)
        kept = []
        for turn in range(400):
            kept.append((seed * 1000 + turn, torch.full((draw.randint(1, 200_000),), seed * 1000 + turn)))
            if len(kept) > 20:
                number, tensor = kept.pop(draw.randrange(len(kept)))
                if not (tensor == number).all():
                    wrong.append(number)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert allocator.region().used == before


def test_more_than_there_is_raises_as_torch_does():
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator"):
        torch.empty(1 << 50, dtype=torch.uint8)


def test_the_profiler_sees_blocks():
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiled:
        kept = torch.empty(BLOCK, dtype=torch.uint8)
    assert sum(event.self_cpu_memory_usage for event in profiled.key_averages()) >= kept.numel()


def test_a_storage_can_grow():
    tensor = torch.arange(20_000)
    tensor.resize_(200_000)
    assert tensor[:20_000].equal(torch.arange(20_000))


def test_tensors_may_outlive_everything():
    code = (
        "import torch, sys; from strop.model.cpu.allocator import install; before = torch.zeros(1 << 20);"
        "assert install() and install(); sys.kept = [before, torch.zeros(1 << 20)]; print('done')"
    )
    assert in_a_child(code).stdout == "done\n"


def test_a_child_forked_while_others_allocate_can_allocate():
    code = """
import os, threading, torch
from strop.model.cpu.allocator import install
assert install()
stop = threading.Event()
def busy():
    while not stop.is_set():
        torch.empty(1 << 20)
threads = [threading.Thread(target=busy) for _ in range(3)]
[t.start() for t in threads]
codes = []
for _ in range(50):
    child = os.fork()
    if child == 0:
        os._exit(0 if torch.empty(1 << 20).numel() == 1 << 20 else 1)
    codes.append(os.waitpid(child, 0)[1])
stop.set()
print(codes == [0] * 50)
"""
    assert in_a_child(code).stdout == "True\n"


def test_the_switch_leaves_torch_as_it_is():
    code = "from strop.model.cpu.allocator import install; print(install())"
    assert in_a_child(code, **{SWITCH: "0"}).stdout == "False\n"


def test_a_compiler_that_fails_is_named_and_torch_goes_on(tmp_path):
    code = "import torch; from strop.model.cpu.allocator import install; print(install(), torch.zeros(1 << 20).sum())"
    done = in_a_child(code, CXX=broken_compiler(tmp_path), STROP_CACHE=str(tmp_path / "cache"))
    assert done.stdout == "False tensor(0.)\n"
    assert "no such instruction" in done.stderr
    assert "CXX" in done.stderr
