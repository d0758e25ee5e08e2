"""vLLM's share of `generate.py`, run by the Python of an environment that has it: JSON in on stdin, JSON out."""

import json
import os
import sys
import time

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "4")  # GB, as strop's cache_gb; else half of the machine's memory


def main() -> None:
    from vllm import LLM, SamplingParams

    asked = json.load(sys.stdin)
    engine = LLM(asked["model"], dtype="bfloat16", max_num_seqs=256, max_model_len=2048, skip_tokenizer_init=True)
    prompts = [{"prompt_token_ids": ids} for ids in asked["prompts"]]

    def run(count: int) -> int:
        engine.reset_prefix_cache()
        if asked["choice"]:
            engine.generate(prompts, SamplingParams(max_tokens=1, logprobs=20, detokenize=False), use_tqdm=False)
            return sum(map(len, asked["prompts"]))
        sampling = {"n": asked["group"], "temperature": float(asked["group"] > 1), "ignore_eos": True}
        params = SamplingParams(max_tokens=count, detokenize=False, **sampling)
        return sum(len(o.token_ids) for r in engine.generate(prompts, params, use_tqdm=False) for o in r.outputs)

    run(2)
    started = time.perf_counter()
    run(1)
    first = time.perf_counter()
    tokens = run(asked["max_tokens"])
    seconds = time.perf_counter() - first
    found = {"tokens_per_second": tokens / seconds, "trained_tokens_per_second": 0.0, "tokens_per_step": tokens}
    print("\n" + json.dumps(found | {"seconds_per_step": seconds, "first_token_seconds": first - started}))


if __name__ == "__main__":
    main()
