"""Muon's five Newton-Schulz steps on this processor, in float32 and in bfloat16: milliseconds of processor time, the
median of 7, one thread. ``python bench/muon.py``"""

import time
from statistics import median

import torch

SHAPES = [(128, 128), (128, 384), (256, 768), (576, 576), (576, 1536), (1024, 1024)]


def newton_schulz(x: torch.Tensor) -> None:
    x = x / x.norm()
    for _ in range(5):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=-4.7750, alpha=2.0315), x, beta=3.4445)


def milliseconds(matrix: torch.Tensor) -> float:
    started = time.process_time()
    newton_schulz(matrix)
    return 1000 * (time.process_time() - started)


if __name__ == "__main__":
    torch.set_num_threads(1)
    print("shape            float32   bfloat16   ratio")
    for shape in SHAPES:
        exact = torch.randn(shape)
        pairs = [(milliseconds(exact), milliseconds(exact.bfloat16())) for _ in range(8)][1:]
        mine, other = (median(one) for one in zip(*pairs, strict=True))
        print(f"{shape!s:14} {mine:9.2f} {other:10.2f} {other / mine:7.2f}")
