"""Learn with an environment of your own, which answers between turns: python examples/tool_environment.py [MODEL]"""

import sys
from typing import ClassVar, Literal

import strop
from strop.environments.base import Environment, Observation, Turn

CAPITALS = {"france": "Paris", "japan": "Tokyo", "kenya": "Nairobi"}
ROWS = [{"prompt": f"Write LOOKUP {country}, then answer: what is its capital?"} for country in CAPITALS]


def lookup(text: str) -> str:
    """The tool: what stands after LOOKUP is looked up."""
    word = text.partition("LOOKUP ")[2].split(" ")[0].strip(".,").lower()
    return CAPITALS.get(word, "not found")


class Lookup(Environment):
    """A turn that asks gets an answer; the first one that does not ends the episode. Asking is rewarded once."""

    kind: Literal["lookup"] = "lookup"
    bonus: float = 0.2
    rewards: ClassVar[bool] = True

    def step(self, turn: Turn) -> Observation:
        if "LOOKUP " not in turn.text:
            return Observation(reward=0.0, done=True)
        found = [{"role": "user", "content": f"result: {lookup(turn.text)}"}]
        return Observation(found, reward=self.bonus if turn.number == 1 else 0.0, counts={"lookups": 1})


def main(model: str = "smollm2-135m") -> None:
    result = strop.grpo(
        model,
        ROWS,
        environment=Lookup(max_turns=3, bonus=0.5),
        rewards={
            "capital": lambda samples: [any(c in s.answer for c in ("Paris", "Tokyo", "Nairobi")) for s in samples]
        },
        name="lookup",
        rollout={"prompts_per_step": 2, "group_size": 4, "max_tokens": 24},
        max_steps=2,
    )
    print([round(row["rollout/turns"], 2) for row in result.steps() if "rollout/turns" in row], result.model)


if __name__ == "__main__":
    main(*sys.argv[1:])
