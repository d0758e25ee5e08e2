"""What a proven mask costs: `python bench/prepare_speed.py [FILE.jsonl] [--model M] [--rows N]`.

Row to `Example` (validated, rendered with origins, tokenised, masked, every proof run) against the plain
`apply_chat_template(tokenize=True)` of the same messages, in turns in one process on one core, by CPU time. Without a
file, the conversations are the code_basics training set. `--workers N` also times N processes, on the rows ten times
over, their start included.
"""

import argparse
import os
import statistics
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one core, for both

from strop.chat import ChatEncoder, ChatSettings, parse_conversation
from strop.data.encoding import CHUNK, Encoding, Job, encode_all
from strop.data.readers import read_jsonl
from strop.model.names import load_tokenizer
from strop.tasks.code_basics import generate

ROUNDS = 7


def rows(path: Path | None, count: int) -> list[dict]:
    if path is None:
        return [{"messages": record.messages()} for record in generate("train", count, seed=0)]
    found = [row for _, row in read_jsonl(path, count)]
    if "question" in found[0]:
        return [{"prompt": row["question"], "completion": row["answer"]} for row in found]
    return found


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("file", type=Path, nargs="?")
    arguments.add_argument("--model", default="smollm2-135m")
    arguments.add_argument("--rows", type=int, default=1000)
    arguments.add_argument("--workers", type=int, default=0)
    given = arguments.parse_args()
    tokenizer = load_tokenizer(given.model)
    data = rows(given.file, given.rows)
    conversations = [parse_conversation(row, f"row {i}") for i, row in enumerate(data)]
    plain = [[{"role": m.role, "content": m.content} for m in c.messages] for c in conversations]
    encoder = ChatEncoder(tokenizer, ChatSettings())

    def prepared() -> None:
        for first in range(0, len(data), CHUNK):
            chunk = [parse_conversation(row, f"row {first + i}") for i, row in enumerate(data[first : first + CHUNK])]
            encoder.look_ahead(chunk)
            for conversation in chunk:
                encoder.encode(conversation)

    def templated() -> None:
        for messages in plain:
            tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)

    ratios, times = [], []
    for _ in range(ROUNDS):
        taken = []
        for work in (templated, prepared):
            started = time.process_time()
            work()
            taken.append((time.process_time() - started) / len(data) * 1000)
        times.append(taken)
        ratios.append(taken[1] / taken[0])
    theirs, ours = (statistics.median(t[i] for t in times) for i in (0, 1))
    tokens = encoder.report.tokens / encoder.report.conversations
    print(f"{len(data)} conversations of {tokens:.0f} tokens, medians of {ROUNDS} rounds, one core:")
    print(f"  apply_chat_template        {theirs:6.3f} ms")
    print(f"  row to proven example      {ours:6.3f} ms")
    print(f"  ratio                      {statistics.median(ratios):6.2f}  ({min(ratios):.2f} to {max(ratios):.2f})")
    if given.workers:
        many = [(f"row {i}", row) for i, row in enumerate(data * 10)]
        encoding = Encoding(tokenizer, ChatSettings(), frozenset())
        alone, shared = (wall(lambda n=n: deque(encode_all(many, encoding, Job(), n), 0)) for n in (0, given.workers))
        print(f"  {len(many)} rows, wall time: {alone:.1f} s alone, {shared:.1f} s with {given.workers} workers")


def wall(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
