"""An environment for tests, in a file that loads nothing heavy: it is read in the worker processes."""

import time
from typing import ClassVar, Literal

from strop.environments.base import Environment, Observation

WRONG = {
    "nothing": None,
    "nan": Observation(reward=float("nan")),
    "word": Observation(reward="much"),
    "huge": Observation(reward=10**400),
    "no messages": Observation(None),
    "text": Observation("hello"),
    "no role": Observation([{"content": "hello"}]),
    "list": Observation([["user", "hello"]]),
    "insert": Observation(insert=("a", "b")),
    "counts": Observation(counts={"tries": "two"}),
    "no insert": Observation(insert=3),
    "no counts": Observation(counts=None),
    "taken": Observation(counts={"calls": 1, "length": 1000}),
}
"""By what is said: what an environment must not give."""


class Echo(Environment):
    """Answers every turn with its text, twice, with a reward of 0.25 for it; ``bye`` ends it."""

    kind: Literal["echo"] = "echo"
    rewards: ClassVar[bool] = True

    def step(self, turn):
        if turn.text == "raise":
            raise KeyError("no such thing")
        if turn.text == "hang":
            time.sleep(100)
        if turn.text in WRONG:
            return WRONG[turn.text]
        said = {"role": "user", "content": turn.message.content * 2}
        return Observation([said], reward=0.25, done=turn.text == "bye")
