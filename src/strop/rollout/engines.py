"""The one place that makes the engine which a recipe asks for."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from strop.model.names import save_model
from strop.model.window import window
from strop.rollout.engine_settings import EngineSettings
from strop.rollout.loaded import Loaded
from strop.rollout.torch_engine import TorchEngine
from strop.rollout.vllm.engine import VllmEngine
from strop.rollout.vllm.process import ServerProcess


@contextmanager
def open_engine(
    settings: EngineSettings,
    loaded: Loaded,
    model: Path,
    *,
    max_rows: int,
    cache_gb: float,
    log: Path,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[TorchEngine | VllmEngine]:
    """An engine for ``loaded``, which was read from the folder ``model``; a server that it starts ends with it.

    ``max_rows``: answers computed at once (by every server); ``cache_gb``: memory for keys and values; ``log``: where a
    started server's output goes. Raises InputError where there is no server that can do it.
    """
    decode = partial(loaded.tokenizer.decode, clean_up_tokenization_spaces=False)
    if settings.engine == "torch":
        rows = {"max_rows": max_rows, "cache_gb": cache_gb}
        yield TorchEngine(loaded.policy, loaded.stop_ids, **rows, decode=decode, int8=settings.int8)
        return
    with ExitStack() as stack:
        if loaded.base.new:  # the template's tokens are in the model that was loaded, and not in its folder
            model = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="strop-model-"))) / "model"
            with loaded.policy.plain() as network:
                save_model(network, loaded.tokenizer, model)
        vllm, urls = settings.vllm, settings.vllm.url
        if vllm.python is not None:
            dtype = str(loaded.policy.compute.dtype).removeprefix("torch.")
            process = ServerProcess(model, vllm, log, dtype, max_rows, cache_gb)
            stack.callback(process.close)
            say(f"vLLM starts; its log is {log}")
            process.wait(vllm.start_timeout)
            urls = [process.url]
        engine = VllmEngine(
            urls, loaded.stop_ids, model=model, decode=decode, at_once=max_rows, timeout=vllm.timeout, say=say
        )
        own = window(loaded.policy.model.config)
        if own is not None and engine.window < own:
            say(f"vLLM's window holds {engine.window:,} tokens, less than the model's own")
        yield engine
