"""Tools that the model calls in the notation of its template; an answer without a call ends the episode."""

from __future__ import annotations

import pickle
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import Field, PrivateAttr, field_validator

from strop.chat import ChatEncoder
from strop.chat.rendering import TemplateInputs
from strop.chat.syntax import syntax_of
from strop.common.errors import InputError
from strop.common.given import SUFFIX
from strop.common.registry import load_plugins, plugin_file
from strop.environments.base import Environment, Observation, Start, Turn, register
from strop.rewards.timed import Failed
from strop.tools.base import CallError, Tool, ToolResult
from strop.tools.functions import open_tool


@register("tools")
class Tools(Environment):
    """Calls are executed one after the other, and each is answered by a message of the role ``tool``.

    A call that cannot be read, names no tool or has wrong arguments is answered with what is wrong with it
    (``malformed``), one whose tool raises or hangs with that (``failed``), and after ``max_calls`` with there being no
    more (``exhausted``). Counted: ``calls``, all of them, and these.
    """

    kind: Literal["tools"]
    tools: list[str] = Field(["calculator"], min_length=1, description="calculator, python, or mine.py:function.")
    max_calls: int = Field(8, ge=1, description="Calls that are executed in a trajectory.")
    most_characters: int = Field(2000, ge=1, description="Characters that are kept of a tool's output.")
    timed: ClassVar[bool] = False
    _called: int = PrivateAttr(0)

    @field_validator("tools", mode="before")
    @classmethod
    def _one_or_several(cls, tools: Any) -> Any:
        return [tools] if isinstance(tools, str) else tools

    @cached_property
    def by_name(self) -> dict[str, Tool]:
        """Raises InputError for a tool that is not there, and for two of one name."""
        opened = [open_tool(name) for name in self.tools]
        for name, count in Counter(tool.name for tool in opened).items():
            if count > 1:
                raise InputError(f"environment.tools: {count} tools are called {name!r}; rename all but one.")
        return {tool.name: tool for tool in opened}

    def needs_sandbox(self) -> bool:
        return any(tool.runs_programs for tool in self.by_name.values())

    def files(self) -> list[Path]:
        places = [Path(name.rpartition(":")[0]) for name in self.tools]
        return [place for place in places if place.suffix in (".py", SUFFIX)]

    def schemas(self) -> list[dict[str, Any]]:
        return [tool.schema for tool in self.by_name.values()]

    def check(self, encoder: ChatEncoder) -> None:
        syntax = syntax_of(encoder, TemplateInputs(self.schemas()))
        if syntax.calls is None:
            why = syntax.why or "the template prints no tool calls"
            raise InputError(
                f"environment: kind tools reads calls in the notation of the chat template, and {why}; set "
                "chat.template: chatml, which has one, or environment.kind: inline, a calculator within the text."
            )

    def reset(self, start: Start) -> list[dict[str, Any]]:
        self._called = 0
        return super().reset(start)

    def step(self, turn: Turn) -> Observation:
        calls = turn.message.tool_calls
        if not calls and not turn.malformed:
            return Observation(done=True)
        results = [self._result(call["function"]) for call in calls]
        names = [call["function"]["name"] for call in calls]
        if turn.malformed and not calls:
            names, results = [""], [ToolResult(f"error: {turn.malformed}", "malformed")]
        counts = Counter({"calls": len(results)})
        counts.update(one.status for one in results if one.status != "ok")
        counts["exhausted"] += sum(one is _EXHAUSTED for one in results)
        messages = [
            {"role": "tool", "content": one.text, **({"name": name} if name else {})}
            for name, one in zip(names, results, strict=True)
        ]
        return Observation(messages, counts={name: n for name, n in counts.items() if n})

    def _result(self, function: dict[str, Any]) -> ToolResult:
        tool = self.by_name.get(function["name"])
        if tool is None:
            return ToolResult(f"error: there is no tool {function['name']!r}; there are {', '.join(self.by_name)}",
                              "malformed")  # fmt: skip
        if self._called >= self.max_calls:
            return _EXHAUSTED
        self._called += 1
        result = self._run(tool, dict(function["arguments"]))
        if len(result.text) > self.most_characters:
            cut = f"{result.text[: self.most_characters]}\n… ({len(result.text):,} characters in all)"
            return ToolResult(cut, result.status)
        return result

    def _run(self, tool: Tool, arguments: dict[str, Any]) -> ToolResult:
        try:
            tool.check(arguments)
            if not tool.timed:
                return ToolResult(tool.call(arguments, self.seconds))
        except CallError as error:
            return ToolResult(f"error: {error}", "malformed")
        except RuntimeError as error:
            return ToolResult(f"error: {error}", "failed")
        work = _Work(plugin_file(type(tool)), pickle.dumps((tool, arguments, self.seconds)))
        assert self._pool is not None  # whoever plays gives it
        [given] = self._pool.map(_call, [work], self.seconds)
        return ToolResult(f"error: {tool.name} {given.why}", "failed") if isinstance(given, Failed) else given


_EXHAUSTED = ToolResult("error: no calls are left; answer without one")


class _Work(NamedTuple):
    """A tool, its arguments and seconds, packed until a plug-in's file is read."""

    plugin: Path | None
    work: bytes


def _call(job: _Work) -> ToolResult:
    load_plugins([job.plugin] if job.plugin else [])
    tool, arguments, seconds = pickle.loads(job.work)
    try:
        return ToolResult(tool.call(arguments, seconds))
    except CallError as error:
        return ToolResult(f"error: {error}", "malformed")
