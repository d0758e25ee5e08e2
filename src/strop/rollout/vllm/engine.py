"""Generation and scoring by vLLM servers, as `strop.rollout.engine.Engine`."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from strop.common.errors import InputError
from strop.common.scratch import scratch_folder
from strop.model.own_head import shares_head_in
from strop.rollout.answers import Answer, Decode
from strop.rollout.engine import (
    Finish,
    OnFinished,
    OnToken,
    Request,
    Rollout,
    SamplingParams,
    Score,
    as_requests,
    check_request,
    score_in_windows,
)
from strop.rollout.vllm.client import Exchange, Refused, ServerLost, connection_to
from strop.rollout.vllm.fleet import Fleet, Job, Server
from strop.rollout.vllm.protocol import (
    GENERATE,
    OPTIONS,
    Generated,
    Models,
    Version,
    WeightInfo,
    answer_body,
    check_params,
    drawn,
    filtered,
    option_scores,
    options_body,
    score_body,
    scored,
)

NEEDED = (0, 32)
"""The first version of vLLM that is known to have all: tokens in and out, and weights with a version in each answer."""
FIRST_WEIGHTS = "default"
"""What vLLM calls the weights that it started with."""


class VllmEngine:
    """Answers from the vLLM servers at ``urls``, which have to run with ``--enable-scale-out`` and ``--logprobs-mode
    processed_logprobs``, and with ``VLLM_SERVER_DEV_MODE=1`` where weights are to change.

    Requests with the same prompt go to the same server. Each computes at most ``at_once`` answers; one that takes
    longer than ``timeout`` seconds over an answer, dies or answers nonsense is lost: ``say`` is told, and the others do
    its work. ``model``: the folder of the weights that they should have; loaded into those that were started with
    others. ``save`` writes the weights of now into a folder, for `sync`; every server has to see that of ``exchange``.
    ``own_head``: the model's head is its embedding, and what is loaded has it as a matrix of its own, so that servers
    have to run such a model. (`Policy.plain` gives the model back its own attention for as long as it is saved.)
    """

    def __init__(
        self,
        urls: Sequence[str],
        stop_ids: frozenset[int],
        *,
        model: Path | None = None,
        decode: Decode | None = None,
        at_once: int = 128,
        timeout: float = 600.0,
        say: Callable[[str], None] = lambda line: None,
        save: Callable[[Path], None] | None = None,
        exchange: Path | None = None,
        own_head: bool = False,
    ):
        """Raises InputError for a server that cannot do what is needed, and ServerLost where none answers."""
        if not stop_ids or not urls:
            raise ValueError("an engine needs at least one stop token, and one server.")
        for url in urls:
            connection_to(url)
        self.stop_ids, self.decode = stop_ids, decode
        self._save, self._exchange, self._timeout, self._own_head = save, exchange, timeout, own_head
        self._fleet = Fleet([Server(url.rstrip("/")) for url in dict.fromkeys(urls)], at_once, timeout, say)
        self._name, self._updates = f"strop-{uuid.uuid4().hex[:8]}", 0
        windows: dict[Server, int] = {}
        others: list[Server] = []

        def look(server: Server) -> None:
            windows[server], same = self._look(server, model)
            others.extend([] if same else [server])

        self._fleet.each(look)
        self.window = min(windows[server] for server in self._fleet.servers)
        if others and model is not None:
            self._load(model, others)

    def generate(
        self,
        requests: Sequence[Request | Sequence[int]],
        params: SamplingParams | None = None,
        on_token: OnToken | None = None,
        on_finished: OnFinished | None = None,
    ) -> list[Rollout]:
        """See ``Engine``. Where something filters, ``plain_logprobs`` are empty: vLLM tells of one distribution only.

        An answer whose server is lost begins again elsewhere, with the same seed; one whose tokens ``on_token`` was
        told goes on with those, and draws its further ones otherwise. Raises InputError as `TorchEngine.generate`
        does, and for what `check_params` refuses.
        """
        requests = as_requests(requests, params)
        for request in requests:
            check_request(request, self.window, self.decode)
            check_params(request.params)
        first = list(accumulate((r.group_size for r in requests), initial=0))
        done: dict[int, Rollout] = {}

        def fresh(request: Request, sample: int, index: int) -> Answer:
            limit = min(request.params.max_tokens, self.window - len(request.prompt))
            return Answer(request, sample, index, limit, self.stop_ids, self.decode or (lambda ids: ""))

        def job(request: Request, sample: int, index: int) -> Job:
            answer = fresh(request, sample, index)
            stream = on_token is not None or bool(request.params.stop)

            def take(reply: Generated, url: str) -> bool:
                for choice in reply.choices:
                    for one in drawn(choice, answer, url):
                        reason = answer.take(*one)
                        ended = bool(on_token(index, one[0])) if on_token else False
                        if reason or ended:
                            keep(reason or "cancelled")
                            return True
                    if choice.finish_reason is not None:
                        raise ServerLost(f"{url} ended an answer for a reason of its own: {choice.finish_reason}")
                return False

            def keep(reason: Finish) -> None:
                rollout = answer.rollout(reason)
                done[index] = replace(rollout, plain_logprobs=()) if filtered(request.params) else rollout
                if on_finished:
                    on_finished(index, done[index])

            def lost() -> None:
                nonlocal answer
                answer = answer if on_token else fresh(request, sample, index)

            return Job(tuple(request.prompt), lambda: answer_body(answer, stream), take, lost, stream)

        self._fleet.run(job(r, s, i + s) for r, i in zip(requests, first, strict=False) for s in range(r.group_size))
        return [done[index] for index in range(first[-1])]

    def score(
        self, prompts: Sequence[Sequence[int]], continuations: Sequence[Sequence[Sequence[int]]]
    ) -> list[list[Score]]:
        """See `TorchEngine.score`. Options of one token are one request for all; other continuations are computed from
        the prompt's beginning each, and may take one token less than the window, since vLLM draws one more.
        """
        found: list[dict[int, Score]] = [{} for _ in continuations]
        jobs = []
        for prompt, several, row in zip(prompts, continuations, found, strict=True):
            if not all(several):
                raise InputError("a continuation has no tokens, so there is nothing to score.")
            for ids in several:
                check_request(Request(prompt), self.window - (len(ids) > 1), self.decode, ids)
            short = [i for i, ids in enumerate(several) if len(ids) == 1]
            jobs += [_options_job(prompt, several, short[i : i + OPTIONS], row) for i in range(0, len(short), OPTIONS)]
            jobs += [_score_job(prompt, ids, i, row) for i, ids in enumerate(several) if len(ids) > 1]
        self._fleet.run(jobs)
        return [[row[i] for i in range(len(several))] for several, row in zip(continuations, found, strict=True)]

    def score_documents(
        self, documents: Sequence[Sequence[int]], context: int | None = None
    ) -> list[tuple[float, ...]]:
        """See `TorchEngine.score_documents`; a window is a token shorter, as in `score`."""
        return score_in_windows(self, documents, self.window - 1, context)

    def sync(self) -> None:
        """The weights have changed: with ``save`` every server gets those of now, and all prefixes are forgotten."""
        if self._save is None:
            self._fleet.each(self._forget)
            return
        with scratch_folder("strop-weights-", self._exchange) as folder:
            self._save(folder / "model")
            self.load_weights(folder / "model")

    def release(self) -> None:
        """Nothing: a server's memory for keys and values is its own."""

    def close(self) -> None:
        """From any thread: end what is asked of the servers; nothing more can be."""
        self._fleet.close()

    def load_weights(self, folder: Path) -> None:
        """Every server takes the weights in ``folder`` (Hugging Face's layout), of a model with the same configuration.

        Answers tell which weights they are of, and this is checked. Raises InputError for a model whose head is its
        embedding, which vLLM does not load whole, and for a server that does not offer it; one where it fails is lost.
        """
        self._load(folder, self._fleet.servers)

    def _load(self, folder: Path, servers: Sequence[Server]) -> None:
        _check_loads(folder, servers[0].url)
        self._updates += 1
        version = f"{self._name}-{self._updates}"

        def load(server: Server) -> None:
            with self._paused(server):
                asked = {"method": "reload_weights", "kwargs": {"weights_path": str(folder.resolve())}}
                self._post(server, "/collective_rpc", asked)
                self._forget(server)
                self._post(server, "/update_weight_version", {"new_version": version})
            told = Exchange(server.url, "GET", "/weight_info", timeout=self._timeout).reply(WeightInfo).weight_version
            if told != version:
                raise ServerLost(f"{server.url} has the weights {told} after those of {version} were loaded")
            server.weights = version

        self._fleet.each(load, servers)

    @contextmanager
    def _paused(self, server: Server) -> Iterator[None]:
        """Nothing is computed meanwhile with some weights old and some new."""
        self._post(server, "/pause?mode=abort")
        try:
            yield
        finally:
            self._post(server, "/resume")

    def _forget(self, server: Server) -> None:
        if not (self._post(server, "/reset_prefix_cache") or {}).get("success"):
            raise ServerLost(f"{server.url} did not forget the prefixes that it knows")

    def _post(self, server: Server, path: str, body: Any = None) -> Any:
        try:
            return Exchange(server.url, "POST", path, body, self._timeout).json()
        except Refused as error:
            if error.status != 404:
                raise
            raise InputError(
                f"{server.url} does not offer {path.partition('?')[0]}, through which weights are changed and prefixes "
                "forgotten; start it with VLLM_SERVER_DEV_MODE=1 in its environment."
            ) from error

    def _look(self, server: Server, model: Path | None) -> tuple[int, bool]:
        """Its window, and whether it has the weights of ``model``. Raises InputError where it lacks something."""

        def ask(kind: Any, path: str, body: Any = None) -> Any:
            method = "GET" if body is None else "POST"
            try:
                return Exchange(server.url, method, path, body, self._timeout).reply(kind)
            except Refused as error:
                if error.status not in (403, 404):
                    raise
                more = "start it with --enable-scale-out" if path == GENERATE else "is it a vLLM server?"
                raise InputError(f"{error}; {more}.") from error

        version = ask(Version, "/version").version
        numbers = tuple(map(int, re.findall(r"\d+", version)[:2]))
        if numbers < NEEDED:
            raise InputError(
                f"{server.url} runs vLLM {version}, which lacks what strop needs (tokens in and out, with the version "
                f"of the weights in every answer); vLLM {'.'.join(map(str, NEEDED))} has it."
            )
        [card, *_] = ask(Models, "/v1/models").data
        if self._own_head:
            _check_own_head(server, card.root)
        token = min(self.stop_ids)
        sampling = {"max_tokens": 1, "logprobs": 0, "allowed_token_ids": [token], "detokenize": False}
        reply = ask(Generated, GENERATE, {"token_ids": [token], "sampling_params": sampling})
        places = [place for choice in reply.choices if choice.logprobs for place in choice.logprobs.content]
        spans = [span for choice in reply.choices for span in choice.weight_versions or ()]
        if not places or not spans:
            raise ServerLost(f"{server.url} answered without log-probabilities, or without the version of its weights")
        if places[0].logprob != 0:  # of the only token that may be drawn
            raise InputError(
                f"{server.url} tells log-probabilities of another distribution than tokens are drawn from; start it "
                "with --logprobs-mode processed_logprobs."
            )
        server.weights = spans[0].version
        same = model is None or (server.weights == FIRST_WEIGHTS and Path(card.root or "").resolve() == model.resolve())
        return card.max_model_len, same


def _check_loads(folder: Path, url: str) -> None:
    """Raise InputError for a model that vLLM does not load whole into the running server at ``url``."""
    if shares_head_in(folder):
        raise InputError(
            f"{url} has other weights than {folder}, whose head is its embedding: vLLM 0.32 (its build for CPUs, where "
            "this was seen) keeps the old head of such a model when weights are loaded; start the server with this "
            "model instead."
        )


def runs_own_head(urls: Sequence[str]) -> bool:
    """Whether the first server that answers runs a model whose head is a matrix of its own, in a folder that is seen
    here. What is wrong with a server is told where it is used."""
    for url in urls:
        try:
            [card, *_] = Exchange(url, "GET", "/v1/models").reply(Models).data
            return card.root is not None and not shares_head_in(Path(card.root))
        except (ServerLost, OSError, ValueError):
            continue
    return False


def _check_own_head(server: Server, root: str | None) -> None:
    """Raise InputError for a server whose model's head is its embedding, or cannot be seen."""
    mend = "start it with what `strop export MODEL --own-head --to FOLDER` writes, in a folder that strop sees too."
    why = "a head that is the embedding is not loaded whole while a server runs"
    try:
        shared = shares_head_in(Path(root or ""))
    except (OSError, ValueError) as error:
        raise InputError(f"{server.url} runs {root}, which cannot be read here, and {why}: {mend}") from error
    if shared:
        raise InputError(f"{server.url} runs {root}, whose head is its embedding, and {why}: {mend}")


def _options_job(
    prompt: Sequence[int], several: Sequence[Sequence[int]], which: list[int], row: dict[int, Score]
) -> Job:
    tokens = sorted({several[i][0] for i in which})

    def take(reply: Generated, url: str) -> bool:
        scores = option_scores(reply, tokens, url)
        for i in which:
            row[i] = scores[several[i][0]]
        return True

    return Job(tuple(prompt), lambda: options_body(prompt, tokens), take)


def _score_job(prompt: Sequence[int], ids: Sequence[int], place: int, row: dict[int, Score]) -> Job:
    def take(reply: Generated, url: str) -> bool:
        row[place] = scored(reply, ids, url)
        return True

    return Job(tuple(prompt), lambda: score_body(prompt, ids), take)
