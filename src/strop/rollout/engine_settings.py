"""What a recipe may say about the engine that generates."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class VllmSettings(BaseModel):
    """A vLLM server that strop starts with ``python``, or those that run at ``url``."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    python: Path | None = Field(None, description="Python of an environment that has vLLM; strop starts a server.")
    url: list[str] = Field([], description="Servers that run already: http://host:port, or unix:/path/of/a/socket.")
    args: list[str] = Field([], description="Further arguments of the started server, as `vllm serve` takes them.")
    start_timeout: float = Field(900.0, gt=0, description="Seconds after which a server that does not start is ended.")
    timeout: float = Field(600.0, gt=0, description="Seconds after which a server without an answer counts as lost.")

    @model_validator(mode="after")
    def _one_way(self) -> VllmSettings:
        if self.python is not None and self.url:
            raise ValueError("python starts a server and url names running ones; give one of the two.")
        if self.args and self.url:
            raise ValueError("args are those of a server that strop starts, and url names running ones; drop one.")
        return self


class EngineSettings(BaseModel):
    """Which engine generates. ``torch`` computes with the loaded model itself."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    engine: Literal["torch", "vllm"] = Field("torch", description="What generates answers.")
    int8: bool = Field(
        False, description="engine: torch on a CPU: weights in 8 bits. One answer comes faster, and is another model's."
    )
    vllm: VllmSettings = Field(default_factory=VllmSettings, description="Where vLLM is, with engine: vllm.")

    @property
    def arithmetic(self) -> str:
        """Whose rounding the results have: a part of what they depend on."""
        return "int8" if self.int8 else self.engine

    @model_validator(mode="after")
    def _vllm_is_somewhere(self) -> EngineSettings:
        named = self.vllm.python is not None or self.vllm.url
        if self.engine == "vllm" and not named:
            raise ValueError(
                "engine vllm needs vllm.python, the Python of an environment that has vLLM (its requirements and "
                "strop's do not go into one), or vllm.url, the servers that run already."
            )
        if self.engine == "vllm" and self.int8:
            raise ValueError("int8 is of engine: torch; for vLLM's own formats see its arguments, vllm.args.")
        if self.engine != "vllm" and named:
            raise ValueError("vllm has settings and engine is torch; say engine: vllm, or drop them.")
        return self
