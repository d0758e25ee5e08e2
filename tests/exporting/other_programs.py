"""llama.cpp's and vLLM's servers in small: scripts that are started as those are, and answer what is asked of them by
``strop export --check``, computed by transformers and by strop's engine. ``WRONG`` in the environment says what they do
wrong: `prompt`, `answer`, `ends`, `starts` or `reply`."""

import argparse
import json
import os
import socket
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import torch

WRONG = os.environ.get("WRONG", "")


def script(place, program):
    """An executable at ``place`` that is this file as ``program`` (`llama` or `vllm`)."""
    place.parent.mkdir(parents=True, exist_ok=True)
    path = ":".join([str(Path(__file__).parent), str(Path(__file__).parent / "rollout"), *sys.path])
    place.write_text(f'#!/bin/sh\nPYTHONPATH={path} exec {sys.executable} {__file__} {program} "$@"\n')
    place.chmod(0o755)
    return place


class Llama:
    """Of a GGUF file; ends an answer at the tokenizer's own end, as llama.cpp does."""

    def __init__(self, options):
        from strop.model.gguf import convert
        from strop.model.names import load_model, load_tokenizer

        folder = convert(options.model)
        self.model, self.tokenizer = load_model(folder), load_tokenizer(folder)

    def likely(self, ids):
        with torch.inference_mode():
            return self.model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)

    def apply_template(self, body):
        text = self.tokenizer.apply_chat_template(body["messages"], tokenize=False, add_generation_prompt=True)
        return {"prompt": "x" + text if WRONG == "prompt" else text}

    def tokenize(self, body):
        return {"tokens": self.tokenizer(body["content"], add_special_tokens=False)["input_ids"]}

    def detokenize(self, body):
        return {"content": self.tokenizer.decode(body["tokens"])}

    def completion(self, body):
        assert body["temperature"] == 0
        ids, tokens, places = list(body["prompt"]), [], []
        while len(tokens) < body["n_predict"]:
            likely = self.likely(ids + tokens)
            top = likely.topk(min(len(likely), body.get("n_probs", 1)))
            tokens.append(int(likely.argmin() if WRONG == "answer" and len(tokens) == 2 else likely.argmax()))
            listed = zip(top.indices.tolist(), top.values.tolist(), strict=True)
            places.append({"id": tokens[-1], "top_logprobs": [{"id": i, "logprob": p} for i, p in listed]})
            if tokens[-1] == self.tokenizer.eos_token_id or (WRONG == "ends" and len(tokens) == 2):
                break
        return {"tokens": tokens if body.get("return_tokens") else [], "completion_probabilities": places}

    def reply(self, path, body):
        return {} if path == "/health" else getattr(self, path[1:].replace("-", "_"))(body)


class Vllm:
    """Of a model's folder."""

    def __init__(self, options):
        from strop.model.names import load_model, load_tokenizer
        from strop.model.policy import Policy
        from strop.model.precision import Compute
        from strop.rollout.torch_engine import TorchEngine

        self.folder, self.tokenizer = options.model, load_tokenizer(options.model)
        policy = Policy(load_model(options.model), Compute(torch.device("cpu"), torch.float32))
        self.engine = TorchEngine(policy, frozenset({10**6}))

    def reply(self, path, body):
        if path == "/tokenize":
            rendered = self.tokenizer.apply_chat_template(body["messages"], tokenize=False, add_generation_prompt=True)
            if WRONG == "reply":
                return {"ids": []}
            text = "x" + rendered if WRONG == "prompt" else rendered
            return {"tokens": self.tokenizer(text, add_special_tokens=False)["input_ids"]}
        if path == "/inference/v1/generate":
            from serving import answered

            return answered(self.engine, body, "default")
        return {
            "/version": {"version": "0.32.0"},
            "/v1/models": {"data": [{"root": str(self.folder), "max_model_len": 512}]},
            "/weight_info": {"weight_version": "default"},
        }.get(path, {})


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self._answer(None)

    def do_POST(self):
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"] or 0)) or "null"))

    def _answer(self, body):
        reply = self.server.program.reply(self.path.partition("?")[0], body)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(reply).encode())

    def address_string(self):
        return "local"


class OnSocket(HTTPServer):
    address_family = socket.AF_UNIX

    def server_bind(self):
        self.socket.bind(self.server_address)


if __name__ == "__main__":
    options = argparse.ArgumentParser(allow_abbrev=False)
    options.add_argument("--model", type=Path)
    options.add_argument("--host", "--uds", dest="socket")
    given, _ = options.parse_known_args(sys.argv[2:])
    if WRONG == "starts":
        sys.exit("cannot load the model")
    program = {"llama": Llama, "vllm": Vllm}[sys.argv[1]](given)
    server = OnSocket(given.socket, Handler)
    server.program = program
    server.serve_forever()
