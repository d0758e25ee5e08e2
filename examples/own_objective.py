"""Train with a loss of your own, the focal loss: python examples/own_objective.py [MODEL]"""

import sys

import strop

ROWS = [
    {"messages": [{"role": "user", "content": f"What is {a} + {b}?"}, {"role": "assistant", "content": str(a + b)}]}
    for a in range(2, 6)
    for b in range(3, 6)
]
GAMMA = 2.0


def focal(outputs, batch):
    """The loss of each trained token, [S]: -(1 - p)^gamma log p (Lin et al. 2017). Reduction is strop's."""
    logprobs = outputs["logprobs"]
    return -((1 - logprobs.exp()) ** GAMMA) * logprobs


focal.want = ("logprobs",)  # what of the policy's outputs it reads; this is the default


def main(model: str = "smollm2-135m") -> None:
    result = strop.sft(model, ROWS, objective=focal, name="focal", epochs=3, learning_rate=1e-4, global_batch_size=4)
    rows = [row for row in result.steps() if "loss" in row]
    for name in ("loss", "nll"):  # what is trained, and the plain loss beside it
        print(f"focal {name} {rows[0][name]:.3f} -> {rows[-1][name]:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
