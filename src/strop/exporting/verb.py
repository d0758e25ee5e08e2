"""How ``strop export`` is written on the command line."""

from __future__ import annotations

import argparse
from typing import Any

from strop.common.command_line import place


def add(verbs: Any) -> argparse.ArgumentParser:
    """Its parser, added to those of the other verbs."""
    export = verbs.add_parser(
        "export",
        help="a model for others to load, with a card; or prompts with ground truth for verl",
        example="strop export runs/code_basics --to my-model --check",
    )
    export.add_argument("source", help="run folder, stage, model folder …; for verl a file, hub id or task:NAME")
    export.add_argument("--to", type=place, dest="target", required=True, metavar="FOLDER", help="where to")
    export.add_argument(
        "--format",
        choices=("hf", "adapter", "gguf", "verl"),
        default="hf",
        help="the whole model (hf), adapters alone, GGUF by llama.cpp, or verl's Parquet of prompts",
    )
    export.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help="hf: weights in this format")
    export.add_argument(
        "--own-head",
        action="store_true",
        help="hf: a head that is the embedding becomes a matrix of its own",
    )
    export.add_argument("--outtype", metavar="TYPE", help="gguf: f32, f16 (default), bf16, q8_0 …")
    export.add_argument(
        "--llama-cpp", type=place, metavar="DIR", help="gguf: a checkout of llama.cpp; --check asks what is built in it"
    )
    export.add_argument("--vllm", type=place, metavar="PYTHON", help="hf: --check asks vLLM too, of this Python")
    export.add_argument("--split", help="verl: what extra_info.split says (train)")
    export.add_argument("--count", type=int, help="verl: so many prompts")
    export.add_argument("--seed", type=int, help="verl: of generated prompts (0)")
    export.add_argument("--check", action="store_true", help="compare greedy answers with strop's engine in float32")
    export.add_argument("--fresh", action="store_true", help="replace what is there")
    export.add_argument("--json", action="store_true", help="print what was written as JSON on standard output")
    return export
