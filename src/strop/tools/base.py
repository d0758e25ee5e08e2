"""What a tool is: a name, a JSON schema for the template, and a call that gives text. One file each, by name.

A tool of one's own is a function, named as ``module:function`` or ``mine.py:function``, or a class in a plug-in that is
registered here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from strop.common.registry import Registry


class CallError(ValueError):
    """The call itself is wrong, in words for the model: a missing argument, an expression that is none."""


@dataclass(frozen=True)
class ToolResult:
    """``text`` is what the model reads; ``malformed``: the call was wrong; ``failed``: the tool raised or took too
    long."""

    text: str
    status: Literal["ok", "malformed", "failed"] = "ok"


class Tool(ABC):
    """``call`` gets the arguments of one call and the seconds that it may take, and gives text.

    It raises `CallError` for a wrong call; whatever else it raises is the tool's own failure. ``parameters``: JSON
    schemas of the arguments by name, all of them needed but those in ``optional``.
    """

    timed: ClassVar[bool] = True
    """Whether it is anybody's code, and is run in a worker process that is ended when its time is up."""
    runs_programs: ClassVar[bool] = False
    """Whether it needs a working sandbox."""
    name: str
    description: str
    parameters: Mapping[str, Mapping[str, Any]]
    optional: frozenset[str] = frozenset()

    @abstractmethod
    def call(self, arguments: Mapping[str, Any], seconds: float) -> str: ...

    @property
    def file(self) -> Path | None:
        """The file that it depends on, if any."""
        return None

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema that chat templates print."""
        properties = {name: dict(one) for name, one in self.parameters.items()}
        required = [name for name in properties if name not in self.optional]
        parameters = {"type": "object", "properties": properties, "required": required}
        function = {"name": self.name, "description": self.description, "parameters": parameters}
        return {"type": "function", "function": function}

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Raise CallError where arguments are missing, unknown, or no text where text is wanted."""
        missing = [name for name in self.parameters if name not in arguments and name not in self.optional]
        unknown = [name for name in arguments if name not in self.parameters]
        if missing or unknown:
            wrong = f"has no argument {unknown[0]!r}" if unknown else f"needs the argument {missing[0]!r}"
            raise CallError(f"{self.name} {wrong}; it takes {', '.join(self.parameters) or 'none'}")
        for name, value in arguments.items():
            if self.parameters[name].get("type") == "string" and not isinstance(value, str):
                raise CallError(f"{self.name}: {name} must be a string")


TOOLS: Registry[type[Tool]] = Registry("tool", "strop.tools", Tool)
register = TOOLS.register
