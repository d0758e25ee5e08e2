"""Whether another model reads the ids that the trained one reads and writes."""

from __future__ import annotations

from typing import Any

from strop.chat import fit_tokenizer
from strop.chat.saved import chat_of
from strop.common.errors import InputError
from strop.model.names import load_tokenizer, resolve
from strop.stages.base import Context


def check_same_tokens(name: str, context: Context, where: str, mend: str, tokenizer: Any = None) -> int:
    """How many ids both tokenizers name: those below it are tokens.

    ``name``: the other model, as the user called it; ``where``: the setting that did. ``tokenizer``: the trained
    model's; by default that of the model of the context. Raises InputError where an id is not the same token for both.
    """
    if tokenizer is None:
        tokenizer = load_tokenizer(context.model)
        chat, _ = chat_of(context.recipe.chat, context.model, tokenizer)
        fit_tokenizer(tokenizer, chat.template)
    own, other = tokenizer.get_vocab(), load_tokenizer(resolve(name)).get_vocab()
    if own != other:
        mine, theirs = ({i: token for token, i in names.items()} for names in (own, other))
        first = min(i for i in mine.keys() | theirs.keys() if mine.get(i) != theirs.get(i))
        said = [repr(names[first]) if first in names else "no token" for names in (mine, theirs)]
        raise InputError(
            f"stages.{context.name}.{where}: {name} has other tokens than the model that is trained: {first} is "
            f"{said[0]} for that and {said[1]} here ({len(own):,} and {len(other):,} tokens); {mend}"
        )
    return max(own.values()) + 1
