"""Rows of verl's: a prompt for reinforcement learning with its result, and often an answer to train on."""

from collections.abc import Mapping
from typing import Any

from strop.chat.conversation import Message, read_message
from strop.chat.field import Field, Seen
from strop.chat.turns import given, read_turns


def is_verl(row: Mapping[str, Any]) -> bool:
    """Whether the row has verl's columns: a prompt, and what its reward is computed from."""
    return isinstance(row.get("reward_model"), Mapping) or ("data_source" in row and "extra_info" in row)


def verl(row: Seen, at: Field) -> list[Message]:
    """The prompt's messages and ``extra_info.answer``.

    Raises InputError for a row without such an answer: it is for reinforcement learning alone.
    """
    more = row.get("extra_info")
    answer = more.get("answer") if isinstance(more, Mapping) else None
    if not isinstance(answer, str) or not answer:
        raise at.item("extra_info.answer").fail(
            "verl's prompts have no answer here, so they are for reinforcement learning; to train on the bare results, "
            "set columns: {prompt: prompt, completion: reward_model.ground_truth}"
        )
    prompt = given(read_turns(row["prompt"], at.item("prompt")))
    return [*prompt, read_message({"role": "assistant", "content": answer}, at.item("extra_info.answer"))]
