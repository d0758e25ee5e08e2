"""The loop by hand, top down, out of strop's pieces: python examples/loop_by_hand.py [MODEL]"""

import sys

import torch

from strop.chat import ChatSettings, parse_conversation
from strop.data.batch import make_batch
from strop.model.names import resolve
from strop.model.precision import best_compute
from strop.objectives.sft import CrossEntropy
from strop.rollout.loaded import load
from strop.train.settings import TrainSettings
from strop.train.step import optimizer_step
from strop.train.weights import Weights

model = sys.argv[1] if len(sys.argv) > 1 else "smollm2-135m"
steps, learning_rate, batch_size = 6, 1e-4, 2

# model: the policy sees flat rows of sequences, and gives log-probabilities at the trained positions alone
compute = best_compute("auto", "auto")
loaded = load(resolve(model), ChatSettings(), compute, to_train=True)
policy = loaded.policy.train()

# data: conversations -> tokens with loss weights; the mask is proven, an unprovable one raises
rows = [("tea", "hot"), ("ice", "cold"), ("sun", "bright"), ("night", "dark")]
conversations = [
    parse_conversation({"prompt": f"How is {thing}?", "completion": answer}, f"row {number}")
    for number, (thing, answer) in enumerate(rows)
]
examples = [example for one in conversations for example in loaded.encoder.encode(one)]

# optimiser and objective: masters in float32 where the model computes in less
weights = Weights(policy, TrainSettings(learning_rate=learning_rate))
objective = CrossEntropy()

for step in range(steps):
    start = step * batch_size % len(examples)
    batch = make_batch(examples[start : start + batch_size])  # T tokens, no padding; the one shift of labels is here
    weights.optimizer.set_rates(1 - step / steps)  # linear decay
    told, norm = optimizer_step(weights, objective, [batch], max_grad_norm=1.0)
    print(
        f"step {step + 1} | loss {told['loss']:.4f} | norm {norm:.3f} | {len(batch.labels)}/{len(batch.tokens)} tokens"
    )

# the weights of the moment, as they are measured
weights.finish()
policy.eval()
with torch.no_grad():
    outputs = policy(make_batch(examples).to(compute.device), ("logprobs",))
print(f"loss on all {len(examples)}: {-outputs['logprobs'].mean():.4f}")
