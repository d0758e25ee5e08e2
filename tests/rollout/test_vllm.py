"""The vLLM engine against servers that replay what vLLM 0.32.0 answered (SmolLM2-135M, bfloat16, CPU), word for word.

``vllm_replies.json``: the reply to each request body; a request that was not recorded gets 400. Which weights an answer
is of is filled in, since it is what the server was told.
"""

import contextlib
import json
import os
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from strop.common.errors import InputError
from strop.rollout.engine import Request, SamplingParams, Score
from strop.rollout.engine_settings import EngineSettings, VllmSettings
from strop.rollout.vllm.client import ServerLost
from strop.rollout.vllm.engine import VllmEngine
from strop.rollout.vllm.process import vllm_server

REPLIES = json.loads((Path(__file__).parent / "vllm_replies.json").read_text())
PROMPTS = {"a": [1, 4093, 198, 9690, 30], "b": [1, 4093, 198]}
STOP = frozenset({2})
GENERATE = "/inference/v1/generate"


class Replay(ThreadingHTTPServer):
    """``faults``: path -> (status, text) instead of what was recorded; "hang" waits until the server is closed."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.weights, self.asked, self.faults, self.closed = "default", [], {}, threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self._answer(None)

    def do_POST(self):
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"] or 0)) or "null"))

    def _answer(self, body):
        server, path = self.server, self.path.partition("?")[0]
        server.asked.append((path, body))
        status, text = 200, "{}"
        if (path, "hang") in server.faults.items():
            server.closed.wait(10)
            return
        if path in server.faults and server.faults[path] is not None:
            status, text = server.faults[path]
        elif path == "/weight_info":
            text = json.dumps({"weight_version": server.weights})
        elif path == "/update_weight_version":
            server.weights = body["new_version"]
        elif path == "/reset_prefix_cache":
            text = '{"success":true}'
        elif path in ("/version", "/v1/models"):
            text = REPLIES[path]
        elif path == GENERATE:
            text = REPLIES.get(json.dumps(body, sort_keys=True))
            status, text = (400, '{"error":{"message":"not recorded"}}') if text is None else (200, text)
            text = re.sub(r'"version":"default"', f'"version":"{server.weights}"', text)
        with contextlib.suppress(BrokenPipeError):  # who asked may have gone
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

    def log_message(self, *args):
        pass


@pytest.fixture
def servers():
    made = [Replay(), Replay()]
    yield made
    for one in made:
        one.closed.set()
        one.shutdown()
        one.server_close()


def engine_of(servers, **settings):
    return VllmEngine([s.url for s in servers], STOP, **settings)


def ask(params, group=2):
    return [Request(PROMPTS[name], params, group, name) for name in PROMPTS]


def generated(server):
    return [body for path, body in server.asked if path == GENERATE][1:]  # after the first look


def test_tokens_and_logprobs_are_those_of_the_server(servers):
    engine = engine_of(servers[:1])
    assert engine.window == 8192
    finished = []
    rollouts = engine.generate(ask(SamplingParams(max_tokens=4)), on_finished=lambda i, r: finished.append(i))
    assert sorted(finished) == [0, 1, 2, 3]
    for rollout, body in zip(rollouts, sorted(generated(servers[0]), key=lambda b: -len(b["token_ids"])), strict=True):
        [choice] = json.loads(REPLIES[json.dumps(body, sort_keys=True)])["choices"]
        assert list(rollout.tokens) == choice["token_ids"]
        assert list(rollout.logprobs) == [place["logprob"] for place in choice["logprobs"]["content"]]
        assert rollout.plain_logprobs == rollout.logprobs
        assert rollout.finish_reason == ("stop" if rollout.tokens[-1] == 2 else "length")


def test_draws_have_a_seed_of_their_own_wherever_they_are_asked(servers):
    params = SamplingParams(max_tokens=4, temperature=0.7, top_p=0.9, seed=3)
    rollouts = engine_of(servers[:1]).generate(ask(params))
    assert len({body["sampling_params"]["seed"] for body in generated(servers[0])}) == 4
    assert engine_of(servers).generate(ask(params)[::-1]) == rollouts[2:] + rollouts[:2]
    assert {r.plain_logprobs for r in rollouts} == {()}  # vLLM tells of one distribution only


def test_texts_are_scored_in_windows_that_leave_a_token_for_the_draw(servers, monkeypatch):
    engine = engine_of(servers[:1])
    engine.window = 9

    def score(prompts, continuations):
        for prompt, [ids] in zip(prompts, continuations, strict=True):
            assert prompt
            assert len(prompt) + len(ids) <= 8
        return [[Score(tuple(-float(token) for token in ids), False)] for [ids] in continuations]

    monkeypatch.setattr(engine, "score", score)
    documents = [[5, 6, 7], list(range(30)), [5]]
    assert engine.score_documents(documents) == [tuple(-float(t) for t in one[1:]) for one in documents]


def test_likeliest_tokens_are_in_order(servers):
    for rollout in engine_of(servers[:1]).generate(
        ask(SamplingParams(max_tokens=4, temperature=1.0, seed=3, logprobs=2))
    ):
        assert all(len(top) == 2 and top[0][1] >= top[1][1] for top in rollout.top_logprobs)
        for token, logprob, top in zip(rollout.tokens, rollout.logprobs, rollout.top_logprobs, strict=True):
            assert dict(top).get(token, logprob) == logprob


def test_on_token_ends_an_answer_and_a_stop_string_is_found_in_the_text(servers):
    engine = engine_of(servers[:1], decode=lambda ids: "".join("x" if i == 2 else "o" for i, _ in enumerate(ids)))
    whole = engine.generate(ask(SamplingParams(max_tokens=4), 1)[:1])[0]
    told = []
    [cut] = engine.generate(
        ask(SamplingParams(max_tokens=4), 1)[:1], on_token=lambda i, t: told.append(t) or len(told) == 2
    )
    assert (cut.tokens, cut.finish_reason, tuple(told)) == (whole.tokens[:2], "cancelled", whole.tokens[:2])
    [stopped] = engine.generate([PROMPTS["a"]], SamplingParams(max_tokens=4, stop=("x",)))
    assert (stopped.tokens, stopped.finish_reason, stopped.text_end) == (whole.tokens[:3], "stop", 2)


def test_scores(servers):
    several = [[198, 9690], [30], [5138]]
    [[long, first, second]] = engine_of(servers[:1]).score([PROMPTS["a"]], [several])
    assert len(long.logprobs) == 2
    assert first.logprobs != second.logprobs
    assert not long.greedy
    assert first.total < 0


def test_a_prompt_stays_with_a_server_and_prompts_are_shared_out(servers):
    engine_of(servers).generate(ask(SamplingParams(max_tokens=4)))
    assert [{tuple(b["token_ids"]) for b in generated(s)} for s in servers] == [{tuple(p)} for p in PROMPTS.values()]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ((500, "engine died"), "answered 500"),
        ((200, "<html>"), "cannot read"),
        ((200, '{"choices":[{"token_ids":[5],"finish_reason":"length"}]}'), "log-probabilities"),
        ((200, '{"choices":[{"token_ids":[],"finish_reason":"abort"}]}'), "abort"),
        ("hang", "within 1 seconds"),
    ],
)
def test_a_lost_server_is_named_and_the_other_does_its_work(servers, fault, said):
    whole = engine_of(servers[1:]).generate(ask(SamplingParams(max_tokens=4)))
    lines = []
    engine = engine_of(servers, say=lines.append, timeout=1)
    servers[0].faults[GENERATE] = fault
    assert engine.generate(ask(SamplingParams(max_tokens=4))) == whole
    [line] = lines
    assert servers[0].url in line
    assert said in line
    servers[1].faults[GENERATE] = fault
    with pytest.raises(ServerLost, match="no server is left"):
        engine.generate(ask(SamplingParams(max_tokens=4)))


def test_no_server_at_all(servers):
    servers[0].shutdown()
    servers[0].server_close()
    with pytest.raises(ServerLost, match=servers[0].url):
        engine_of(servers[:1], timeout=2)


def test_a_server_that_lacks_something_is_refused_with_what_to_do(servers):
    one = servers[0]
    for path, fault, mend in [
        ("/version", (200, '{"version":"0.31.2"}'), r"runs vLLM 0\.31\.2.*vLLM 0\.32 has it"),
        (GENERATE, (403, '{"error":{"message":"disabled"}}'), "--enable-scale-out"),
        (GENERATE, (200, REPLIES[next(k for k in REPLIES if '"top_p"' in k)]), "processed_logprobs"),
    ]:
        one.faults = {path: fault}
        with pytest.raises(InputError, match=mend):
            engine_of([one])
    one.faults = {}
    engine = engine_of([one])
    one.faults = {"/reset_prefix_cache": (404, "{}")}
    with pytest.raises(InputError, match="VLLM_SERVER_DEV_MODE=1"):
        engine.sync()


def test_weights_are_loaded_into_every_server_and_their_version_is_checked(servers, tmp_path):
    written = []

    def save(folder):
        configured(folder)
        written.append(folder)

    engine = engine_of(servers, save=save, exchange=tmp_path, say=lambda line: None)
    engine.sync()
    for one in servers:
        paths = [path for path, _ in one.asked]
        steps = [
            "/pause",
            "/collective_rpc",
            "/reset_prefix_cache",
            "/update_weight_version",
            "/resume",
            "/weight_info",
        ]
        assert paths[-6:] == steps
        assert one.asked[-5][1]["kwargs"]["weights_path"] == str(written[0].resolve())
    before = engine.generate(ask(SamplingParams(max_tokens=4)))
    servers[0].weights = servers[1].weights = "another's"
    with pytest.raises(ServerLost, match="another's"):
        engine.generate(ask(SamplingParams(max_tokens=4)))
    assert len(before) == 4


def configured(folder, tied=False):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "tie_word_embeddings": tied}))


def test_a_head_that_is_the_embedding_is_not_loaded_by_halves(servers, tmp_path):
    configured(tmp_path, tied=True)
    with pytest.raises(InputError, match="keeps the old head"):
        engine_of(servers[:1], model=tmp_path)


def test_other_weights_than_the_model_s_are_replaced(servers, tmp_path):
    configured(tmp_path)
    engine_of(servers[:1], model=tmp_path)
    assert servers[0].weights.startswith("strop-")
    engine_of(servers[1:], model=Path("/models/smollm2"))
    assert servers[1].weights == "default"


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"temperature": 3.0}, "0.01 to 2"),
        ({"temperature": 0.001}, "0.01 to 2"),
        ({"temperature": 1.0, "min_p": 0.1, "top_p": 0.5}, "min_p"),
        ({"temperature": 1.0, "top_k": 5, "logprobs": 2}, "likeliest"),
    ],
)
def test_what_vllm_cannot_do_is_refused(servers, params, said):
    with pytest.raises(InputError, match=said):
        engine_of(servers[:1]).generate([PROMPTS["a"]], SamplingParams(**params))


def script(folder, text):
    file = folder / "python"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return VllmSettings(python=file)


def test_a_server_that_does_not_start_is_named_with_its_log_and_ended(tmp_path):
    process = vllm_server(tmp_path, script(tmp_path, "echo no such model >&2; exit 3"), tmp_path / "log", "x", 1, 1.0)
    with pytest.raises(InputError, match=r"exit status 3.*no such model"):
        process.wait(30)
    process.close()
    process = vllm_server(tmp_path, script(tmp_path, "sleep 600"), tmp_path / "log2", "x", 1, 1.0)
    with pytest.raises(InputError, match=r"within 2 seconds.*log2"):
        process.wait(2)
    process.close()


def test_the_server_ends_when_its_starter_closes_the_pipe(tmp_path):
    process = vllm_server(tmp_path, script(tmp_path, "echo $$; sleep 600"), tmp_path / "log", "x", 1, 1.0)
    until = time.monotonic() + 20
    while not ((tmp_path / "log").exists() and (tmp_path / "log").read_text()) and time.monotonic() < until:
        time.sleep(0.05)
    pid = int((tmp_path / "log").read_text())
    process.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.slow
@pytest.mark.skipif("STROP_VLLM_PYTHON" not in os.environ, reason="STROP_VLLM_PYTHON names no Python that has vLLM")
def test_the_real_thing_tells_the_model_s_own_log_probabilities_and_takes_new_weights(make_model_folder, tmp_path):
    import torch

    from strop.model.names import load_model, load_tokenizer, save_model
    from strop.model.policy import Policy
    from strop.model.precision import Compute
    from strop.rollout.torch_engine import TorchEngine

    sizes = {"hidden_size": 128, "intermediate_size": 64}  # heads of 32, which vLLM has
    folder = make_model_folder(["one two three"], tie_word_embeddings=False, **sizes)
    settings = VllmSettings(python=os.environ["STROP_VLLM_PYTHON"], args=["--enforce-eager"])
    process = vllm_server(folder, settings, tmp_path / "log", "float32", 8, 0.1)
    try:
        process.wait(600)
        engine = VllmEngine([process.url], frozenset({1}), model=folder)
        for scale in (1.0, 0.9):
            changed = load_model(folder)
            with torch.no_grad():
                for parameter in changed.parameters():
                    parameter.mul_(scale)
            save_model(changed, load_tokenizer(folder), tmp_path / f"{scale}")
            engine.load_weights(tmp_path / f"{scale}")
            mine = TorchEngine(Policy(changed, Compute(torch.device("cpu"), torch.float32)), frozenset({1}))
            request = Request([5, 6, 7], SamplingParams(max_tokens=12, temperature=1.0, seed=4), 2, "a")
            for rollout in engine.generate([request]):
                [[score]] = mine.score([[5, 6, 7]], [[rollout.tokens]])
                assert rollout.logprobs == pytest.approx(score.logprobs, abs=1e-3)
                [[told, one]] = engine.score([[5, 6, 7]], [[rollout.tokens, rollout.tokens[:1]]])
                assert told.logprobs == pytest.approx(score.logprobs, abs=1e-3)
                assert one.logprobs == pytest.approx(score.logprobs[:1], abs=1e-3)
    finally:
        process.close()


def test_a_recipe_says_where_vllm_is():
    with pytest.raises(ValueError, match=r"vllm\.python"):
        EngineSettings(engine="vllm")
    with pytest.raises(ValueError, match="engine: vllm"):
        EngineSettings(vllm={"url": ["http://a:1"]})
    with pytest.raises(ValueError, match="one of the two"):
        VllmSettings(python="python", url=["http://a:1"])
