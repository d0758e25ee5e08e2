"""llama.cpp's share of `generate.py`, run by the Python of an environment that has llama-cpp-python: JSON in, JSON out.

By its C functions, as its own examples use them: a sequence with keys and values of its own for each row, a group's and
a common beginning computed once and copied. Greedy tokens are numpy's argmax, which is faster than its sampler's.
"""

import ctypes
import json
import os
import sys

import llama_cpp as c
import numpy as np
from generation import LETTERS, measured

BATCH = 2048


class Rows:
    """A model with room for ``rows`` sequences of ``tokens`` tokens."""

    def __init__(self, path: str, rows: int, tokens: int):
        self._quiet = c.llama_log_callback(lambda level, text, data: None)
        c.llama_log_set(self._quiet, ctypes.c_void_p(0))
        c.llama_backend_init()
        self.model = c.llama_model_load_from_file(path.encode(), c.llama_model_default_params())
        settings = c.llama_context_default_params()
        settings.n_threads = settings.n_threads_batch = len(os.sched_getaffinity(0))
        settings.n_seq_max, settings.n_ctx = rows, rows * (-(-tokens // 256) * 256)
        settings.n_batch = BATCH
        self.context = c.llama_init_from_model(self.model, settings)
        if not self.context:
            raise SystemExit(f"llama.cpp cannot read {path}.")
        self.memory = c.llama_get_memory(self.context)
        self.batch = c.llama_batch_init(BATCH, 0, 1)
        self.vocabulary = c.llama_vocab_n_tokens(c.llama_model_get_vocab(self.model))

    def compute(self, entries: list[tuple[int, int, int, bool]]) -> list[int]:
        """``entries``: (token, position, row, whether its logits are wanted), at most BATCH; places of those logits."""
        batch = self.batch
        for i, (token, position, row, wanted) in enumerate(entries):
            batch.token[i], batch.pos[i], batch.logits[i] = token, position, wanted
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, row
        batch.n_tokens = len(entries)
        if code := c.llama_decode(self.context, batch):
            raise SystemExit(f"llama_decode returned {code}.")
        return [i for i, entry in enumerate(entries) if entry[3]]

    def logits(self, place: int) -> np.ndarray:
        return np.ctypeslib.as_array(c.llama_get_logits_ith(self.context, place), (self.vocabulary,))

    def copy(self, source: int, target: int) -> None:
        c.llama_memory_seq_cp(self.memory, source, target, -1, -1)


def main() -> None:
    asked = json.load(sys.stdin)
    prompts, group, choice = asked["prompts"], asked["group"], asked["choice"]
    longest = max(map(len, prompts))
    count = 32 if choice else len(prompts) * group
    rows = Rows(asked["gguf"], count + choice, longest + (0 if choice else asked["max_tokens"]))
    sampler = c.llama_sampler_init_dist(0) if group > 1 else None

    def choose(place: int) -> int:
        return c.llama_sampler_sample(sampler, rows.context, place) if sampler else int(rows.logits(place).argmax())

    def read(entries, take) -> list:
        """Compute in pieces of BATCH; what ``take`` says of each place whose logits are wanted."""
        found = []
        for begin in range(0, len(entries), BATCH):
            found += [take(place) for place in rows.compute(entries[begin : begin + BATCH])]
        return found

    def generate(several, new):
        c.llama_memory_clear(rows.memory, False)
        entries = [
            (token, i, at * group, i + 1 == len(ids)) for at, ids in enumerate(several) for i, token in enumerate(ids)
        ]
        # a group draws its first tokens from one row
        last = read(entries, lambda place: [choose(place) for _ in range(group)])
        for at in range(len(several)):
            for member in range(1, group):
                rows.copy(at * group, at * group + member)
        answers = [[token] for first in last for token in first]
        for step in range(new - 1):
            entries = [(answer[-1], len(several[row // group]) + step, row, True) for row, answer in enumerate(answers)]
            for answer, token in zip(answers, read(entries, choose), strict=True):
                answer.append(token)
        return answers

    def score(several, _):
        c.llama_memory_clear(rows.memory, False)
        columns = zip(*(ids[:-1] for ids in several), strict=False)
        common = next((i for i, column in enumerate(columns) if len(set(column)) > 1), min(map(len, several)) - 1)
        read([(token, i, count, False) for i, token in enumerate(several[0][:common])], None)
        answers = []
        for begin in range(0, len(several), count):
            some = several[begin : begin + count]
            for row in range(len(some)):
                c.llama_memory_seq_rm(rows.memory, row, -1, -1)
                rows.copy(count, row)
            entries = [
                (token, common + i, row, common + i + 1 == len(ids))
                for row, ids in enumerate(some)
                for i, token in enumerate(ids[common:])
            ]
            answers += read(entries, lambda place: [LETTERS[int(rows.logits(place)[list(LETTERS)].argmax())]])
        return answers

    print("\n" + json.dumps(measured(asked, score if choice else generate)), flush=True)


if __name__ == "__main__":
    main()
