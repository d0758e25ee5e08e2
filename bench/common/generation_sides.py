"""How strop, transformers, and programs in environments of their own are asked to generate the same."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from pathlib import Path

from common.generation import LETTERS, measured
from common.runs import Skipped

PREFIX, ITEM = 1000, 60


def asked(given: argparse.Namespace) -> dict:
    """``prompts`` (ids), ``group`` answers for each, of ``max_tokens`` tokens; ``choice``: one of LETTERS instead."""
    return {
        "prompts": prompts(given),
        "group": given.group,
        "max_tokens": given.max_tokens,
        "choice": given.shape == "choice",
    }


def prompts(given: argparse.Namespace) -> list[list[int]]:
    """As many prompts as the shape has; those of ``choice`` begin with the same PREFIX tokens."""
    from common.models import RANDOM

    count = given.prompts
    if given.model in RANDOM:
        from common.data import random_examples

        made = [e.tokens for e in random_examples(count, 64, RANDOM[given.model]["vocab_size"])]
    else:
        from common.data import conversations
        from strop.chat import ChatEncoder, ChatSettings, parse_conversation
        from strop.model.names import load_tokenizer

        encoder = ChatEncoder(load_tokenizer(given.model), ChatSettings())
        rows = conversations(given.data, count)
        messages = [parse_conversation(row, f"row {i}").messages for i, row in enumerate(rows)]
        made = [encoder.prompt(m[:-1]) for m in messages]
    made = [made[i % len(made)] for i in range(count)]
    if given.shape != "choice":
        return made
    flat = [token for ids in made * (PREFIX // 20) for token in ids]
    beginning = flat[: 40 if given.smoke else PREFIX]
    return [beginning + (ids * ITEM)[: ITEM - 1] + [5 + i % 50] for i, ids in enumerate(made)]


def strop(given: argparse.Namespace) -> dict:
    from common.clock import now, peak_memory_gb
    from common.models import make_model
    from strop.model.memory import keep_freed_memory
    from strop.model.policy import Policy
    from strop.model.precision import best_compute
    from strop.rollout.engine import Request, SamplingParams
    from strop.rollout.torch_engine import TorchEngine

    keep_freed_memory()
    compute, what = best_compute(), asked(given)
    engine = TorchEngine(Policy(make_model(given.model, compute.dtype), compute), frozenset({2}), max_rows=256)

    def run(several, count):
        engine.sync()  # nothing is known from the call before
        if what["choice"]:
            scores = engine.score(several, [[[letter] for letter in LETTERS]] * len(several))
            return [[max(zip((s.total for s in of), LETTERS, strict=True), key=lambda x: x[0])[1]] for of in scores]
        params = SamplingParams(max_tokens=count, temperature=float(given.group > 1), ignore_eos=True)
        return [list(r.tokens) for r in engine.generate([Request(p, params, given.group) for p in several])]

    return measured(what, run, now, peak_memory_gb)


def transformers(given: argparse.Namespace, batch: int) -> dict:
    """``generate``, and for ``choice`` the model's forward pass, on ``batch`` rows at a time, padded on the left."""
    import torch

    from common.clock import now, peak_memory_gb
    from common.models import make_model
    from strop.model.precision import best_compute

    compute, what = best_compute(), asked(given)
    model = make_model(given.model, compute.dtype)
    model.generation_config.eos_token_id = None  # nothing else ends an answer
    sampling = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0} if given.group > 1 else {}
    sampling = {"do_sample": False, "num_return_sequences": given.group, "pad_token_id": 0, **sampling}

    @torch.inference_mode()
    def run(several, count):
        answers: list[list[int]] = []
        each = max(1, batch // given.group)
        for begin in range(0, len(several), each):
            some = several[begin : begin + each]
            width = max(map(len, some))
            ids = torch.tensor([[0] * (width - len(p)) + list(p) for p in some], device=compute.device)
            mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in some], device=compute.device)
            if what["choice"]:
                logits = model(ids, attention_mask=mask, logits_to_keep=1).logits[:, -1, list(LETTERS)]
                answers += [[LETTERS[i]] for i in logits.argmax(-1).tolist()]
            else:
                made = model.generate(ids, attention_mask=mask, max_new_tokens=count, **sampling)
                answers += made[:, width:].tolist()
        return answers

    return measured(what, run, now, peak_memory_gb)


def continuous(given: argparse.Namespace) -> dict:
    """transformers' ``generate_batch``: paged keys and values, prompts and decoding in one step."""
    import torch

    from common.clock import now, peak_memory_gb
    from common.models import make_model
    from strop.model.precision import best_compute

    try:
        from transformers import ContinuousBatchingConfig, GenerationConfig
    except ImportError:
        raise Skipped("this version of transformers has no ContinuousBatchingConfig.") from None
    compute, what = best_compute(), asked(given)
    if what["choice"]:
        raise Skipped("continuous batching generates, and has no scores of given answers.")
    model = make_model(given.model, compute.dtype)
    sampling = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0} if given.group > 1 else {}
    sampling = {"do_sample": False, "num_return_sequences": given.group, "pad_token_id": 0, **sampling}
    page, rows = 64, given.group * len(what["prompts"])
    tokens = max(map(len, what["prompts"])) + given.max_tokens
    # By itself it takes 0.6 of the machine's memory. Twice what the rows need: it starts none with few pages left.
    settings = {"page_size": page, "num_blocks": 2 * rows * -(-tokens // page), "max_batch_tokens": 1024}

    def run(several, count):
        generation = GenerationConfig(max_new_tokens=count, eos_token_id=-1, **sampling)
        with torch.no_grad():  # not inference_mode: its tensors are made in this thread and changed in another
            results = model.generate_batch(
                [list(p) for p in several],
                generation_config=generation,
                continuous_batching_config=ContinuousBatchingConfig(**settings),
            )
        errors = {r.error for r in results.values()} - {None}
        if errors or len(results) < given.group * len(several):
            raise Skipped(f"continuous batching failed here: {'; '.join(errors) or 'answers are missing'}.")
        return [list(r.generated_tokens) for r in results.values()]

    return measured(what, run, now, peak_memory_gb)


def vllm(given: argparse.Namespace) -> dict:
    """In one process: by itself it keeps a core for a second one that schedules, which is half of a machine of two."""
    from strop.model.names import resolve

    cores = sorted(os.sched_getaffinity(0))
    environment = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "OMP_NUM_THREADS": str(len(cores))}
    environment["VLLM_CPU_OMP_THREADS_BIND"] = ",".join(map(str, cores))
    openmp = Path(given.vllm).parents[1] / "lib/libiomp5.so"  # which its documentation wants loaded first
    if openmp.exists():
        environment["LD_PRELOAD"] = str(openmp)
    return _outside(given, given.vllm, "vllm", {"model": str(resolve(given.model))}, environment)


def llama(given: argparse.Namespace) -> dict:
    if not given.gguf:
        how = "make it with llama.cpp's convert_hf_to_gguf.py --outtype bf16"
        raise Skipped(f"llama.cpp reads GGUF files, and none is named: --gguf FILE ({how}).")
    return _outside(given, given.llama, "llama_cpp", {"gguf": str(given.gguf)}, {})


def _outside(given, python: str, module: str, extra: dict, environment: dict) -> dict:
    """By a script of its own in an environment of its own; what it says is kept for when it fails."""
    try:
        tried = subprocess.run([python, "-c", f"import {module}"], capture_output=True, text=True, check=False)
    except OSError as error:
        raise Skipped(f"{python} cannot be started: {error.strerror}.") from None
    if tried.returncode:
        raise Skipped(f"{python} has no {module} that can be loaded: {tried.stderr.strip().splitlines()[-1]}")
    script = Path(__file__).parent / f"{module.partition('_')[0]}_worker.py"
    ended = subprocess.run(
        [python, script],
        input=json.dumps(asked(given) | extra),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise SystemExit(ended.stderr[-2000:])
    return json.loads(next(line for line in reversed(ended.stdout.splitlines()) if line.startswith("{")))
