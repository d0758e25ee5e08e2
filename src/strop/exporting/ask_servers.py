"""llama.cpp and vLLM, where they are installed, as programs that are asked what an export answers: by their servers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from transformers import AutoConfig

from strop.common.folders import cache_folder
from strop.exporting.agreement import TIE, Reference
from strop.model.window import window
from strop.rollout.engine import SamplingParams
from strop.rollout.engine_settings import VllmSettings
from strop.rollout.vllm.client import Exchange, Reply
from strop.rollout.vllm.engine import VllmEngine
from strop.rollout.vllm.process import ServerProcess, vllm_server

LLAMA_SERVER = "llama-server"
CONTEXT = 4096
"""Tokens that llama.cpp's cache has room for: prompts are short, and the whole window of many models is gigabytes."""
LIKELIEST = 100
"""Of how many tokens llama.cpp is asked how likely they are."""
LOADING = 900.0
"""Seconds that a server may take to load the model; vLLM compiles it, too."""
ANSWERING = 600.0
CACHE_GB = 1.0
TIES = {"f32": TIE, "f16": 0.05, "bf16": 0.5}
"""Of llama.cpp: it rounds what is multiplied with 16-bit weights to the same format, which no other program does. Of
SmolLM2-135M's five likeliest tokens at 38 places, two were nearer or further apart than in float32 by at most 0.00002,
0.018 and 0.19."""


class Rendered(BaseModel):
    prompt: str


class Ids(BaseModel):
    tokens: list[int]


class Text(BaseModel):
    content: str


class Likely(BaseModel):
    id: int
    logprob: float


class Place(BaseModel):
    top_logprobs: list[Likely]


class Odds(BaseModel):
    completion_probabilities: list[Place]


class Llama:
    """llama.cpp's server at ``url``. Its methods raise ServerLost where it is lost, or answers something else."""

    name = "llama.cpp"

    def __init__(self, url: str, wanted: Reference, tie: float):
        self._url, self._wanted, self.tie = url, wanted, tie

    def prompt(self, text: str) -> list[int]:
        if self._wanted.templated:
            body = {"messages": [{"role": "user", "content": text}]}
            if self._wanted.variables:
                body["chat_template_kwargs"] = self._wanted.variables  # type: ignore[assignment]
            text = self._post(Rendered, "/apply-template", body).prompt
        return self._post(Ids, "/tokenize", {"content": text, "add_special": True, "parse_special": True}).tokens

    def greedy(self, prompt: Sequence[int], count: int) -> list[int]:
        return self._complete(Ids, prompt, n_predict=count, return_tokens=True).tokens

    def gap(self, ids: Sequence[int], ours: int, theirs: int) -> float:
        """As `Program.gap`; at least as much, where strop's token is none of the `LIKELIEST`."""
        [place] = self._complete(Odds, ids, n_predict=1, n_probs=LIKELIEST).completion_probabilities
        likely = {one.id: one.logprob for one in place.top_logprobs}
        least = min(likely.values())
        return abs(likely.get(ours, least) - likely.get(theirs, least))

    def decode(self, ids: Sequence[int]) -> str:
        return self._post(Text, "/detokenize", {"tokens": list(ids)}).content

    def _complete(self, kind: type[Reply], prompt: Sequence[int], **more: Any) -> Reply:
        body = {"prompt": list(prompt), "temperature": 0.0, "samplers": ["temperature"], "cache_prompt": False}
        return self._post(kind, "/completion", {**body, **more})

    def _post(self, kind: type[Reply], path: str, body: dict[str, Any]) -> Reply:
        return Exchange(self._url, "POST", path, body, timeout=ANSWERING).reply(kind)


class Vllm:
    """vLLM's server at ``url``, with ``engine`` of strop's on it."""

    name, tie = "vLLM", TIE

    def __init__(self, url: str, engine: VllmEngine, wanted: Reference):
        self._url, self._engine, self._wanted = url, engine, wanted

    def prompt(self, text: str) -> list[int]:
        body: dict[str, Any] = {"prompt": text}
        if self._wanted.templated:
            body = {"messages": [{"role": "user", "content": text}], "chat_template_kwargs": self._wanted.variables}
        return Exchange(self._url, "POST", "/tokenize", body, timeout=ANSWERING).reply(Ids).tokens

    def greedy(self, prompt: Sequence[int], count: int) -> list[int]:
        [rollout] = self._engine.generate([prompt], SamplingParams(max_tokens=count))
        return list(rollout.tokens)

    def gap(self, ids: Sequence[int], ours: int, theirs: int) -> float:
        [[one, other]] = self._engine.score([ids], [[[ours], [theirs]]])
        return abs(one.logprobs[0] - other.logprobs[0])

    def decode(self, ids: Sequence[int]) -> str:
        return self._wanted.tokenizer.decode(list(ids))


def built_server(folder: Path) -> Path | None:
    """llama.cpp's server in ``folder`` (its checkout, or its converter), where it is built; None where it is not."""
    root = folder.expanduser()
    root = root if root.is_dir() else root.parent
    places = (root / "build/bin", root / "bin", root)
    found = next(filter(None, (shutil.which(LLAMA_SERVER, path=str(place)) for place in places)), None)
    return None if found is None else Path(found)


@contextmanager
def open_llama(server: Path, file: Path, wanted: Reference, outtype: str) -> Iterator[Llama]:
    """``file`` in llama.cpp, on the CPU, in float32 as far as it computes so. Raises InputError where it does not
    start, or does not answer."""
    process = ServerProcess(
        "llama.cpp",
        lambda socket: [
            *(str(server.resolve()), "--model", str(file.resolve()), "--host", str(socket), "--device", "none"),
            *("--ctx-size", str(CONTEXT), "--parallel", "1", "--flash-attn", "off"),
            *("--cache-type-k", "f32", "--cache-type-v", "f32", "--jinja"),
        ],
        cache_folder() / "logs/llama.cpp.log",
    )
    with closing(process):
        process.wait(LOADING)
        yield Llama(process.url, wanted, TIES[outtype])


@contextmanager
def open_vllm(python: Path, folder: Path, wanted: Reference) -> Iterator[Vllm]:
    """The model in ``folder`` in vLLM of ``python``, in float32. Raises as `open_llama`."""
    held = window(AutoConfig.from_pretrained(folder, local_files_only=True)) or CONTEXT
    args = ["--enforce-eager", "--max-model-len", str(min(held, CONTEXT))]
    settings = VllmSettings(python=python, args=args, start_timeout=LOADING)
    process = vllm_server(folder, settings, cache_folder() / "logs/vllm.log", "float32", 4, CACHE_GB)
    with closing(process):
        process.wait(LOADING)
        with closing(VllmEngine([process.url], wanted.stop, timeout=ANSWERING)) as engine:
            yield Vllm(process.url, engine, wanted)
