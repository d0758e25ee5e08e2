"""Tool calls as OpenAI writes them, with arguments that remember the text that they were given as."""

from collections.abc import Mapping
from typing import Any

from strop.chat.field import Field


class Written(dict):
    """Arguments that were given as JSON text, ``text``: templates that print text get that, to the letter."""

    def __init__(self, values: Mapping[str, Any], text: str):
        super().__init__(values)
        self.text = text

    def __reduce__(self) -> tuple:
        return Written, (dict(self), self.text)


def read_calls(raw: Any, at: Field) -> tuple[dict[str, Any], ...]:
    """A list of calls, or its JSON text, each with ``function.arguments`` as a mapping. Raises InputError."""
    if raw is None:
        return ()
    calls = []
    for index, call in enumerate(at.sequence(at.json(raw, as_written=True))):
        here = at.item(index)
        # {"name", "arguments"} alone is a common short form of {"type": "function", "function": {…}}.
        call = dict(here.mapping(call))
        if "function" not in call:
            call = {"type": "function", "function": call}
        function = dict(here.item("function").mapping(call["function"]))
        here.item("function").item("name").text(function.get("name"))
        given, there = function.get("arguments"), here.item("function").item("arguments")
        if given is None or given == "":
            function["arguments"] = {}
        else:
            values = there.mapping(there.json(given, as_written=True))
            function["arguments"] = Written(values, there.text(given)) if isinstance(given, str) else dict(values)
        calls.append({**call, "function": function})
        here.check_json(calls[-1])
    return tuple(calls)
