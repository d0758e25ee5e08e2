"""Message trees, as OpenAssistant publishes them: of each, the best-ranked path from the prompt to an answer."""

from collections.abc import Mapping
from typing import Any

from strop.chat.conversation import Message, read_message
from strop.chat.field import Field

_ROLES = {"prompter": "user", "assistant": "assistant"}
_DEEPEST = 500


def tree(raw: Any, at: Field) -> list[Message]:
    """The path that takes the best-ranked reply everywhere, up to its last answer.

    Of an answer's replies, which are not ranked, it takes the first that was answered. Deleted messages, and those that
    reviewers turned down, are never on it. The messages beside it are noted (``branches``).
    """
    path, here = [], at.mapping(raw)
    where = at
    while here is not None and len(path) < _DEEPEST:
        path.append((here, where))
        index = _best(here.get("replies") or (), where.item("replies"))
        where = where if index is None else where.item("replies").item(index)
        here = None if index is None else here["replies"][index]
    while len(path) > 1 and path[-1][0].get("role") == "prompter":
        path.pop()
    messages = [_message(node, where) for node, where in path]
    if left := _size(raw) - len(messages):
        at.note("branches", left)
    return messages


def is_tree(prompt: Any) -> bool:
    return isinstance(prompt, Mapping) and "replies" in prompt and "text" in prompt


def is_tree_message(row: Mapping[str, Any]) -> bool:
    """Whether the row is one message of a tree, as flat files hold them."""
    return all(name in row for name in ("message_id", "parent_id", "text", "role"))


def _best(replies: Any, at: Field) -> int | None:
    usable = [
        (index, reply)
        for index, reply in enumerate(at.sequence(replies))
        if not at.item(index).mapping(reply).get("deleted") and reply.get("review_result") is not False
    ]

    # Ranks count from 0, the best; replies that nobody ranked come after the ranked, the answered ones first.
    def order(one: tuple[int, Mapping[str, Any]]) -> tuple:
        rank = one[1].get("rank")
        ranked = isinstance(rank, int | float) and rank == rank  # tables write a missing one as NaN
        return not ranked, rank if ranked else 0, not one[1].get("replies"), one[0]

    return min(usable, key=order, default=(None, None))[0]


def _message(node: Mapping[str, Any], at: Field) -> Message:
    role = node.get("role")
    if role not in _ROLES:
        raise at.item("role").fail(f"expected prompter or assistant, found {role!r}")
    return read_message({"role": _ROLES[role], "content": at.item("text").text(node.get("text"))}, at)


def _size(raw: Mapping[str, Any]) -> int:
    count, queue = 0, [raw]
    while queue:
        node = queue.pop()
        count += 1
        queue += node.get("replies") or ()
    return count
