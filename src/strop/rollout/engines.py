"""The one place that makes the engine which a recipe asks for."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from torch import get_num_threads

from strop.common.scratch import scratch_folder
from strop.model.merged import check_mergeable
from strop.model.own_head import shares_head
from strop.model.policy import Policy
from strop.model.window import window
from strop.rollout.engine import Engine
from strop.rollout.engine_settings import EngineSettings
from strop.rollout.loaded import Loaded
from strop.rollout.settings import RolloutSettings
from strop.rollout.torch_engine import TorchEngine
from strop.rollout.vllm.engine import VllmEngine, runs_own_head
from strop.rollout.vllm.process import vllm_server
from strop.rollout.worker_engine import WorkerEngine


@contextmanager
def open_engine(
    settings: EngineSettings,
    loaded: Loaded,
    model: Path,
    *,
    max_rows: int,
    cache_gb: float,
    log: Path,
    save: Callable[[Path], None] | None = None,
    exchange: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[TorchEngine | VllmEngine]:
    """An engine for ``loaded``, which was read from the folder ``model``; a server that it starts ends with it.
    ``save`` and ``exchange``: how servers get other weights, see `VllmEngine`.

    ``max_rows``: answers computed at once (by every server); ``cache_gb``: memory for keys and values; ``log``: where a
    started server's output goes. Raises InputError where there is no server that can do it.
    """
    decode = partial(loaded.tokenizer.decode, clean_up_tokenization_spaces=False)
    if settings.engine == "torch":
        yield TorchEngine(
            loaded.policy, loaded.stop_ids, max_rows=max_rows, cache_gb=cache_gb, decode=decode, int8=settings.int8
        )
        return
    with ExitStack() as stack:
        vllm, urls = settings.vllm, settings.vllm.url
        # Written for servers: what changes, and the template's tokens, which are in no folder.
        written = save is not None or bool(loaded.base.new)
        own_head = shares_head(loaded.policy.model.config) and (written or runs_own_head(urls))
        if loaded.base.new or own_head:
            seen = exchange or (log.parent if urls else None)  # by servers, as the run's folder has to be
            model = stack.enter_context(scratch_folder("strop-model-", seen)) / "model"
            loaded.save_plain(model)
        if vllm.python is not None:
            dtype = str(loaded.policy.compute.dtype).removeprefix("torch.")
            process = vllm_server(model, vllm, log, dtype, max_rows, cache_gb)
            stack.callback(process.close)
            say(f"vLLM starts; its log is {log}")
            process.wait(vllm.start_timeout)
            urls = [process.url]
        engine = VllmEngine(
            urls,
            loaded.stop_ids,
            model=model,
            decode=decode,
            at_once=max_rows,
            timeout=vllm.timeout,
            say=say,
            save=save,
            exchange=exchange,
            own_head=own_head,
        )
        stack.callback(engine.close)
        own = window(loaded.policy.model.config)
        if own is not None and engine.window < own:
            say(f"vLLM's window holds {engine.window:,} tokens, less than the model's own")
        yield engine


@contextmanager
def open_training_engine(
    settings: EngineSettings,
    rollout: RolloutSettings,
    loaded: Loaded,
    model: Path,
    make: Callable[[], Policy],
    *,
    max_rows: int,
    cache_gb: float,
    folder: Path,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[Engine]:
    """What samples for a training of ``loaded``: the trainer's own weights; with ``staleness`` a process of its own,
    for which ``make`` gives the same policy; or vLLM servers, which get their weights through the stage's ``folder``.

    Raises InputError for adapters that cannot be merged for vLLM.
    """
    if settings.engine == "vllm":
        exchange = folder / "exchange"
        shutil.rmtree(exchange, ignore_errors=True)  # of a run that was killed
        exchange.mkdir(parents=True)
        check_mergeable(loaded.policy.model)
        try:
            with open_engine(
                settings,
                loaded,
                model,
                max_rows=max_rows,
                cache_gb=cache_gb,
                log=folder / "vllm.log",
                save=loaded.save_plain,
                exchange=exchange,
                say=say,
            ) as engine:
                yield engine
        finally:
            shutil.rmtree(exchange, ignore_errors=True)
    elif rollout.staleness:
        threads = rollout.sampler_threads
        with WorkerEngine(
            loaded.policy, make, loaded.stop_ids, threads=threads, max_rows=max_rows, cache_gb=cache_gb
        ) as engine:
            say(f"threads: {get_num_threads()} to train, {engine.threads} for the process that samples ahead")
            yield engine
    else:
        yield TorchEngine(loaded.policy, loaded.stop_ids, max_rows=max_rows, cache_gb=cache_gb)
