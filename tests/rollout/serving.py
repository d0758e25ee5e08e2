"""A server that speaks as vLLM 0.32 does and computes what it says, with the weights that it was told to load."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import torch

from strop.model.names import load_model
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.rollout.engine import Request, SamplingParams
from strop.rollout.torch_engine import TorchEngine

CPU = Compute(torch.device("cpu"), torch.float32)


def answered(engine, body, version):
    """The reply to ``/inference/v1/generate``, by ``engine`` with its weights of this ``version``."""
    given = body["sampling_params"]
    params = SamplingParams(
        given["max_tokens"],
        given.get("temperature", 1.0),
        seed=given.get("seed", 0),
        stop_token_ids=tuple(given.get("stop_token_ids", ())),
        allowed_token_ids=given.get("allowed_token_ids"),
    )
    [one] = engine.generate([Request(body["token_ids"], params)])
    content = [{"token_id": t, "logprob": p} for t, p in zip(one.tokens, one.logprobs, strict=True)]
    choice = {"token_ids": one.tokens, "logprobs": {"content": content}, "finish_reason": one.finish_reason}
    return {"choices": [choice | {"weight_versions": [{"version": version}]}]}


class Serving(ThreadingHTTPServer):
    """``loaded``: the weights that it was told to load, as their files said; ``dies``: after so many answers."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, folder, dies=None, port=0):
        super().__init__(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.folder, self.dies, self.answers = folder, dies, 0
        self.version, self.loaded, self.lock = "default", [], threading.Lock()
        self.load(folder)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def load(self, folder):
        model = load_model(folder)
        self.loaded.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        self.engine = TorchEngine(Policy(model, CPU), frozenset({10**6}))

    def answer(self, body):
        with self.lock:
            self.answers += 1
            self.engine.release()  # what others had computed would round this one another way, as they came
            return answered(self.engine, body, self.version)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self._answer(None)

    def do_POST(self):
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"] or 0)) or "null"))

    def _answer(self, body):
        server, path = self.server, self.path.partition("?")[0]
        if server.dies is not None and server.answers >= server.dies:
            return  # the connection ends without a word
        reply = {}
        if path == "/version":
            reply = {"version": "0.32.0"}
        elif path == "/v1/models":
            reply = {"data": [{"root": str(server.folder), "max_model_len": 512}]}
        elif path == "/weight_info":
            reply = {"weight_version": server.version}
        elif path == "/update_weight_version":
            server.version = body["new_version"]
        elif path == "/reset_prefix_cache":
            reply = {"success": True}
        elif path == "/collective_rpc":
            server.load(Path(body["kwargs"]["weights_path"]))
        elif path == "/inference/v1/generate":
            reply = server.answer(body)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(reply).encode())

    def log_message(self, *args):
        pass
