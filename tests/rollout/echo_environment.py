"""An environment for tests, in a file that loads nothing heavy: it is read in the worker processes."""

import time
from typing import ClassVar, Literal

from strop.environments.base import Environment, Observation


class Echo(Environment):
    """Answers every turn with its text, twice, with a reward of 0.25 for it; ``bye`` ends it."""

    kind: Literal["echo"] = "echo"
    rewards: ClassVar[bool] = True

    def step(self, turn):
        if turn.text == "raise":
            raise KeyError("no such thing")
        if turn.text == "hang":
            time.sleep(100)
        said = {"role": "user", "content": turn.message.content * 2}
        return Observation([said], reward=0.25, done=turn.text == "bye")
