"""Loss curves of 2 and 4 ranks beside that of one process over 50 steps, and memory per rank with FSDP2.

A two-layer model of random weights on random rows (CPU, gloo): it is arithmetic that is compared, not speed.
``python bench/ranks.py [--steps 50] [--ranks 2 4]``
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as processes
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from strop.chat import Example
from strop.data.source import PackedSource
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.objectives.sft import CrossEntropy
from strop.train.settings import TrainSettings
from strop.train.shards import make_weights
from strop.train.step import optimizer_step
from strop.train.world import World

VOCABULARY = 97
DTYPES = (torch.float32, torch.bfloat16)


def curve(world: World, dtype: torch.dtype, parallel: str, steps: int) -> tuple[list[float], int]:
    """The loss of every step, and this rank's bytes of weights, gradients and moments after the last."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4}
    model = LlamaForCausalLM(
        LlamaConfig(vocab_size=VOCABULARY, num_key_value_heads=2, tie_word_embeddings=True, **sizes)
    )
    policy = Policy(model, Compute(torch.device("cpu"), dtype), probe=False)
    weights = make_weights(policy.train(), TrainSettings(learning_rate=1e-3), parallel, world)
    drawn = torch.Generator().manual_seed(1)
    rows = []
    for _ in range(64):
        first = int(torch.randint(0, VOCABULARY, (1,), generator=drawn))
        tokens = [(first + 3 * i) % VOCABULARY for i in range(int(torch.randint(8, 40, (1,), generator=drawn)))]
        rows.append(Example(tokens, [0.0] * 2 + [1.0] * (len(tokens) - 2), "row", (), ()))
    ranks = {"rank": world.rank, "world_size": world.size}
    source = PackedSource(rows, global_batch_size=16, micro_batch_tokens=80, epochs=100, **ranks)
    losses = []
    for _ in range(steps):
        told, _ = optimizer_step(weights, CrossEntropy("token_mean"), source.next_step().batches, 1.0, world)
        losses.append(told["loss"])
    held = [t for p in (*policy.parameters(), *weights.named.values()) for t in (p, p.grad)]
    held += [t for part in weights.optimizer._parts.values() for one in part.state.values() for t in one.values()]
    local = [getattr(t, "_local_tensor", t) for t in held if isinstance(t, Tensor)]
    return losses, sum({s.data_ptr(): s.nbytes() for s in (t.untyped_storage() for t in local)}.values())


def a_rank(rank: int, size: int, place: Path, steps: int) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{place / 'store'}", rank=rank, world_size=size)
    world, found = World.current(), {}
    for dtype in DTYPES:
        for parallel in ("replicate", "shard"):
            losses, n_bytes = curve(world, dtype, parallel, steps)
            found[str(dtype), parallel] = losses, max(world.gather(n_bytes))
    if rank == 0:
        torch.save(found, place / "found.pt")
    dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 4])
    given = parser.parse_args()
    torch.set_num_threads(1)
    alone = {str(dtype): curve(World(), dtype, "replicate", given.steps) for dtype in DTYPES}
    print("| ranks | format | parallel | largest relative difference of the loss | at the end | memory per rank |")
    print("|---|---|---|---|---|---|")
    for size in given.ranks:
        with tempfile.TemporaryDirectory() as folder:
            processes.spawn(a_rank, (size, Path(folder), given.steps), nprocs=size)
            found = torch.load(Path(folder) / "found.pt")
        for (dtype, parallel), (losses, n_bytes) in found.items():
            one, own = alone[dtype]
            apart = max(abs(a - b) / b for a, b in zip(losses, one, strict=True))
            name = dtype.removeprefix("torch.")
            print(
                f"| {size} | {name} | {parallel} | {apart:.1e} | {losses[-1]:.4f} ({one[-1]:.4f}) "
                f"| {n_bytes / own:.2f} |"
            )


if __name__ == "__main__":
    main()
