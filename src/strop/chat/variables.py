"""Variables for the template that a row brings along: ``chat_template_kwargs``, or ``enable_thinking`` by itself."""

from typing import Any

from strop.chat.field import Field, Seen, kind_of

NAMES = ("chat_template_kwargs", "template_kwargs")
_FLAGS = ("enable_thinking", "thinking")
# What the rest of the row says, and what is not about the text.
_TAKEN = ("messages", "conversation", "tools", "documents", "chat_template", "tokenize", "return_dict")
_TAKEN = (*_TAKEN, "add_generation_prompt", "continue_final_message", "return_tensors", "padding", "truncation")


def template_variables(row: Seen, at: Field) -> dict[str, Any]:
    """The row's own variables; the settings' ``template_kwargs`` count where it says nothing. Raises InputError."""
    found: dict[str, Any] = {}
    for name in (name for name in NAMES if row.has(name)):
        here = at.item(name)
        given = here.mapping(here.json(row[name]))
        here.check_json(given)
        for variable, value in given.items():
            if variable in _TAKEN:
                raise here.item(variable).fail("is not the row's to say; drop it")
            if value is not None:  # tables have null where another row has a value
                found[variable] = value
    for name in _FLAGS:
        if isinstance(dict.get(row, name), bool):
            found.setdefault(name, row[name])
    if row.has("reasoning_effort"):
        effort = row["reasoning_effort"]
        if not isinstance(effort, str):
            raise at.item("reasoning_effort").fail(f"expected a string, found {kind_of(effort)}")
        found.setdefault("reasoning_effort", effort)
    return found
