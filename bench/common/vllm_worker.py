"""vLLM's share of `generate.py`, run by the Python of an environment that has it: JSON in on stdin, JSON out."""

import json
import os
import sys

from generation import LETTERS, measured

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")  # GB, enough for every shape; else half of the machine's memory


def main() -> None:
    from vllm import LLM, SamplingParams

    asked = json.load(sys.stdin)
    settings = {"max_num_seqs": 256, "max_model_len": 2048, "distributed_executor_backend": "uni"}
    engine = LLM(asked["model"], dtype="bfloat16", skip_tokenizer_init=True, **settings)

    def run(several, count):
        engine.reset_prefix_cache()
        prompts = [{"prompt_token_ids": ids} for ids in several]
        sampling = {"n": asked["group"], "temperature": float(asked["group"] > 1), "ignore_eos": True}
        if asked["choice"]:
            sampling["allowed_token_ids"] = list(LETTERS)
        params = SamplingParams(max_tokens=count, detokenize=False, **sampling)
        answers = engine.generate(prompts, params, use_tqdm=False)
        return [list(one.token_ids) for answer in answers for one in answer.outputs]

    print("\n" + json.dumps(measured(asked, run)), flush=True)


if __name__ == "__main__":
    main()
