"""What a proven mask costs: `make bench-prepare`.

    python bench/prepare.py [--data FILE.jsonl] [--model M] [--rows N] [--workers N] [--json] [--smoke]

Row to `Example` (validated, rendered with origins, tokenised, masked, every proof run) against the plain
`apply_chat_template(tokenize=True)` of the same messages, in turns in one process on one core, by CPU time. The mask is
what the plain call does not give. ``--workers N`` also times N processes, on the rows ten times over, their start
included.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections import deque
from collections.abc import Callable

from common.results import ratios, show
from common.runs import Variant, parse, parser

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one core, for both

OURS, THEIRS = "strop, row to proven example", "apply_chat_template"
VARIANTS = {OURS: Variant("strop"), THEIRS: Variant("transformers")}
COLUMNS = {"tokens_per_second": "tokens/s", "milliseconds": "ms per row", "fastest": "fastest ms"}


def main() -> None:
    made = parser(__doc__, rounds=7)
    made.set_defaults(rows=1000)
    made.add_argument("--workers", type=int, default=0)
    given = parse(made)
    results, extra = measure(given)
    show("prepare", given, results, VARIANTS, COLUMNS, {**extra, "ratios": ratios(results, OURS)})


def measure(given: argparse.Namespace) -> tuple[dict, dict]:
    from common.data import conversations

    from strop.chat import ChatEncoder, ChatSettings, parse_conversation
    from strop.data.encoding import CHUNK, Encoding, Job, encode_all

    tokenizer = tokenizer_of(given.model)
    data = conversations(given.data, given.rows)
    places = [f"row {i}" for i in range(len(data))]
    plain = [
        [{"role": m.role, "content": m.content} for m in parse_conversation(row, place).messages]
        for row, place in zip(data, places, strict=True)
    ]
    encoder = ChatEncoder(tokenizer, ChatSettings())

    def prepared() -> None:
        for first in range(0, len(data), CHUNK):
            rows = zip(data[first : first + CHUNK], places[first : first + CHUNK], strict=True)
            chunk = [parse_conversation(row, place) for row, place in rows]
            encoder.look_ahead(chunk)
            for conversation in chunk:
                encoder.encode(conversation)

    def templated() -> None:
        for messages in plain:
            tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)

    times: dict[str, list[float]] = {OURS: [], THEIRS: []}
    for _ in range(given.rounds):
        for name, work in ((THEIRS, templated), (OURS, prepared)):
            times[name].append(_seconds(work, time.process_time) / len(data))
    tokens = encoder.report.tokens / encoder.report.conversations
    results = {
        name: {
            "tokens_per_second": tokens / statistics.median(values),
            "milliseconds": statistics.median(values) * 1000,
            "fastest": min(values) * 1000,
        }
        for name, values in times.items()
    }
    extra = {}
    if given.workers:
        many = list(zip(places, data, strict=True)) * 10
        encoding = Encoding(tokenizer, ChatSettings(), frozenset())
        for count in (0, given.workers):
            took = _seconds(lambda n=count: deque(encode_all(many, encoding, Job(), n), 0), time.perf_counter)
            extra[f"{len(many)} rows, {count or 'no'} workers"] = f"{took:.1f} s"
    return results, extra


def tokenizer_of(model: str):
    """The model's; for ``tiny`` one of bytes alone with a plain template, made in memory."""
    from common.models import RANDOM

    if model not in RANDOM:
        from strop.model.names import load_tokenizer

        return load_tokenizer(model)
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    made = Tokenizer(models.BPE(letters, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|im_end|>")
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    return tokenizer


def _seconds(work: Callable[[], object], clock: Callable[[], float]) -> float:
    started = clock()
    work()
    return clock() - started


if __name__ == "__main__":
    main()
