"""strop's engine as a model of lm-evaluation-harness (extra ``lm-eval``), to check one's scores against the other's.

    python -m strop.evals.lm_eval_bridge --model strop --model_args pretrained=FOLDER --tasks arc_easy

takes every option of ``lm_eval``; from Python, importing this module registers the model ``strop``. Texts become ids as
lm-eval's own ``hf`` model does it (context and continuation encoded together, then split; a text that begins with the
BOS token gets no second one), so that only what computes differs.

Not covered: several ranks, images, seq2seq models, and ``think_end_token``. A prompt with its continuation has at most
as many tokens as the model's window: one less of context than ``hf`` takes at the very border.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

try:
    from lm_eval.api.model import TemplateLM
    from lm_eval.api.registry import register_model
    from lm_eval.models.utils import (
        handle_stop_sequences,
        has_bos_prefix,
        normalize_gen_kwargs,
        postprocess_generated_text,
    )
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
except ImportError as missing:
    raise ImportError(f"lm-eval is not installed ({missing}); run: pip install 'strop[lm-eval]'") from missing

from strop.chat import ChatSettings
from strop.common.errors import InputError
from strop.model.names import resolve
from strop.model.precision import best_compute
from strop.rollout.engine import Request, SamplingParams
from strop.rollout.loaded import load
from strop.rollout.torch_engine import TorchEngine

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

HARNESS_DEVICE = "cuda:0"
"""What the harness's command line says where the user said nothing."""
_DRAWN = ("temperature", "top_p", "top_k", "min_p")
_READ = {*_DRAWN, "until", "max_gen_toks", "do_sample"}
Pair = tuple[tuple[str, str], list[int], list[int]]
"""(context, continuation), and the ids of both."""


@register_model("strop")
class StropLM(TemplateLM):
    """``pretrained``: whatever strop calls a model. ``dtype``: float32, bfloat16 or auto; ``max_rows`` and
    ``cache_gb``: what is computed at a time (strop batches by itself, so lm-eval's ``batch_size`` has no effect)."""

    def __init__(
        self,
        pretrained: str,
        dtype: str = "auto",
        device: str | None = None,
        max_rows: int = 128,
        cache_gb: float = 4.0,
        max_gen_toks: int = 256,
        add_bos_token: bool | None = None,
        seed: int = 0,
        batch_size: Any = None,
        max_batch_size: Any = None,
    ):
        super().__init__()
        if device == HARNESS_DEVICE and not torch.cuda.is_available():
            logging.getLogger(__name__).warning("there is no %s here; strop chooses the device", device)
            device = None
        compute = best_compute(device or "auto", dtype)
        self.loaded = load(resolve(pretrained), ChatSettings(), compute, name=pretrained, dtype=dtype)
        self.tokenizer = self.loaded.tokenizer
        self.engine = TorchEngine(
            self.loaded.policy, self.loaded.stop_ids, max_rows=max_rows, cache_gb=cache_gb, decode=self._decode
        )
        self.pretrained, self.max_gen_toks, self.add_bos_token, self.seed = (
            pretrained,
            max_gen_toks,
            add_bos_token,
            seed,
        )

    @property
    def eot_token_id(self) -> int:
        return self.tokenizer.eos_token_id

    @property
    def prefix_token_id(self) -> int:
        """What an empty context is: the BOS token, or EOS where there is none."""
        bos = self.tokenizer.bos_token_id
        return self.eot_token_id if bos is None else bos

    @property
    def max_length(self) -> int:
        """Tokens that the model is fed at most; the one that they predict has to fit the window too."""
        return self.engine.window - 1

    @property
    def tokenizer_name(self) -> str:
        return self.pretrained.replace("/", "__")

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        return self.tokenizer.apply_chat_template(
            chat_history,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        if add_special_tokens is None and has_bos_prefix(string, self.tokenizer.decode(self.prefix_token_id)):
            add_special_tokens = False
        if add_special_tokens is None:
            add_special_tokens = self.add_bos_token
        special = {} if add_special_tokens is None else {"add_special_tokens": add_special_tokens}
        return self.tokenizer.encode(string, **special)

    def _loglikelihood_tokens(self, requests: list[Pair], **_: Any) -> list[tuple[float, bool]]:
        """(Log-probability of the continuation, whether it is the greedy one) for each; contexts that several have in
        common are computed once. Raises InputError for a continuation that the window does not hold."""
        shared: dict[tuple[int, ...], list[int]] = {}
        for i, (_said, context, continuation) in enumerate(requests):
            room = self.engine.window - len(continuation)
            if room < 1:
                raise InputError(
                    f"a continuation has {len(continuation):,} tokens and the model's window holds "
                    f"{self.engine.window:,}; score it with loglikelihood_rolling."
                )
            shared.setdefault(tuple(context[-room:]), []).append(i)
        asked = [[requests[i][2] for i in several] for several in shared.values()]
        found: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
        for several, scores in zip(shared.values(), self.engine.score(list(shared), asked), strict=True):
            for i, score in zip(several, scores, strict=True):
                found[i] = score.total, score.greedy
                if requests[i][0] is not None:
                    self.cache_hook.add_partial("loglikelihood", requests[i][0], found[i])
        return found

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """The log-probability of whole texts; one that the window does not hold is read in lm-eval's own windows."""
        texts = [request.args[0] for request in requests]
        windows: list[Any] = []
        owner: list[int] = []
        for i, text in enumerate(texts):
            for window in get_rolling_token_windows(self.tok_encode(text), self.prefix_token_id, self.max_length, 1):
                windows.append((None, *make_disjoint_window(window)))
                owner.append(i)
        totals = [0.0] * len(texts)
        for i, (logprob, _) in zip(owner, self._loglikelihood_tokens(windows), strict=True):
            totals[i] += logprob
        for text, total in zip(texts, totals, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", (text,), total)
        return totals

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Answers up to a stop string, a stop token of the model or ``max_gen_toks``. Raises InputError for a setting
        of generation that strop does not have."""
        asked, stops = [], []
        for i, request in enumerate(requests):
            context, given = request.args
            params, until = self._params(given)
            prompt = self.tok_encode(context)[-(self.engine.window - params.max_tokens) :]
            asked.append(Request(prompt, params, name=str(i)))
            stops.append(until)
        texts = []
        for request, until, rollout in zip(requests, stops, self.engine.generate(asked), strict=True):
            text = self.tokenizer.decode(rollout.tokens, skip_special_tokens=True)
            texts.append(postprocess_generated_text(text, until, None))
            self.cache_hook.add_partial("generate_until", request.args, texts[-1])
        return texts

    def _params(self, given: dict[str, Any]) -> tuple[SamplingParams, list[str]]:
        """How to generate, and the strings that end a text."""
        settings = dict(normalize_gen_kwargs(given, self.max_gen_toks))
        if unknown := settings.keys() - _READ:
            raise InputError(f"generation_kwargs: strop has no {', '.join(sorted(unknown))}; leave it out.")
        if settings["max_gen_toks"] >= self.engine.window:
            raise InputError(
                f"max_gen_toks is {settings['max_gen_toks']:,} and the model's window holds {self.engine.window:,}, so "
                "no prompt would fit; lower it."
            )
        until = [stop for stop in settings["until"] if stop]
        drawn = {name: settings[name] for name in _DRAWN if name in settings} if settings["do_sample"] else {}
        params = SamplingParams(max_tokens=settings["max_gen_toks"], stop=tuple(until), seed=self.seed, **drawn)
        return params, handle_stop_sequences(until, eos=self.tokenizer.decode(self.eot_token_id))

    def _decode(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True)


def main() -> None:
    """``lm_eval`` with the model ``strop``."""
    from lm_eval.__main__ import cli_evaluate

    try:
        cli_evaluate()
    except InputError as error:
        print(f"strop: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
