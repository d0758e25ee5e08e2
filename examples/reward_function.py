"""Learn from a reward that is a Python function: python examples/reward_function.py [MODEL]"""

import sys

import strop

TOPICS = ["rain", "a river", "bread", "the moon"]
ROWS = [{"prompt": f"Say something about {topic}."} for topic in TOPICS]
VOWELS = set("aeiou")


def vowels(samples):
    """The answers to one prompt in, as many numbers out: here the share of letters that are vowels."""
    return [sum(c in VOWELS for c in one.answer) / max(1, len(one.answer)) for one in samples]


def main(model: str = "smollm2-135m") -> None:
    result = strop.grpo(
        model,
        ROWS,
        rewards={
            "vowels": vowels,
            "short": lambda samples: [-0.01 * one.tokens for one in samples],  # sent to the workers by value
        },
        name="vowels",
        rollout={"prompts_per_step": 2, "group_size": 4, "max_tokens": 24},
        max_steps=3,
        learning_rate=1e-5,
    )
    print([round(row["reward"], 3) for row in result.steps() if "reward" in row], result.model)


if __name__ == "__main__":
    main(*sys.argv[1:])
