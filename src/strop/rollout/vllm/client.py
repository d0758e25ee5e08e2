"""HTTP to one vLLM server: every wait ends, and what goes wrong is said with the server's name."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from strop.common.errors import InputError
from strop.rollout.engine import EngineLost

Reply = TypeVar("Reply", bound=BaseModel)
CONNECT_SECONDS = 10.0
UNIX = "unix:"


class ServerLost(EngineLost):
    """A server that is not to be asked again: it died, hangs, or answers what strop cannot read."""


class Refused(InputError):
    """A server's answer that the request is wrong (HTTP 4xx, ``status``)."""

    def __init__(self, message: str, status: int):
        super().__init__(message)
        self.status = status


class _UnixConnection(HTTPConnection):
    def __init__(self, path: str, timeout: float):
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def connection_to(url: str, timeout: float = CONNECT_SECONDS) -> HTTPConnection:
    """Not connected yet. ``url``: ``http(s)://host:port`` or ``unix:/path``. Raises InputError for another."""
    if url.startswith(UNIX):
        return _UnixConnection(url.removeprefix(UNIX), timeout)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
        raise InputError(f"{url!r} is no server's address; write http://host:port, or unix:/path/of/its/socket.")
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    return kind(parts.hostname, parts.port, timeout=timeout)


class Exchange:
    """One request and its reply, within ``timeout`` seconds in all. ``cancel`` may come from another thread."""

    def __init__(self, url: str, method: str, path: str, body: Any = None, timeout: float = CONNECT_SECONDS):
        self.url, self.timeout = url, timeout
        self._request = (method, path, None if body is None else json.dumps(body))
        self._deadline = time.monotonic() + timeout
        self._socket: socket.socket | None = None
        self._cancelled = False

    def cancel(self) -> None:
        """End the wait; the server stops what it computes for this. Whoever waits gets a `ServerLost`."""
        self._cancelled = True
        if self._socket is not None:
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:  # it is closed already
                return

    def reply(self, model: type[Reply]) -> Reply:
        """The whole reply. Raises ServerLost, and Refused where the server says that the request is wrong."""
        return self._read(self._text(), model)

    def json(self) -> Any:
        """The same, whatever it holds; None where it is empty."""
        text = self._text()
        try:
            return json.loads(text) if text else None
        except ValueError as error:
            raise self._unreadable(error) from error

    def pieces(self, model: type[Reply]) -> Iterator[Reply]:
        """The reply as it comes, in server-sent events. Raises as `reply`."""
        try:
            response = self._open()
            self._check(response)
            while True:
                self._patience()
                line = response.readline()
                if not line or line == b"data: [DONE]\n":
                    return
                if line.startswith(b"data: "):
                    yield self._read(line.removeprefix(b"data: "), model)
        except (OSError, HTTPException) as error:
            raise self._lost(error) from error
        finally:
            self._close()

    def _text(self) -> bytes:
        try:
            response = self._open()
            self._check(response)
            self._patience()
            return response.read()
        except (OSError, HTTPException) as error:
            raise self._lost(error) from error
        finally:
            self._close()

    def _open(self) -> HTTPResponse:
        method, path, body = self._request
        connection = connection_to(self.url, min(CONNECT_SECONDS, self.timeout))
        connection.connect()
        self._socket = connection.sock
        if self._cancelled:
            raise OSError("cancelled")
        self._patience()
        headers = {"Content-Type": "application/json", "Connection": "close"}
        if key := os.environ.get("VLLM_API_KEY"):
            headers["Authorization"] = f"Bearer {key}"
        connection.request(method, path, body, headers)
        return connection.getresponse()

    def _patience(self) -> None:
        assert self._socket is not None  # it is open
        self._socket.settimeout(max(0.001, self._deadline - time.monotonic()))

    def _check(self, response: HTTPResponse) -> None:
        if response.status < 400:
            return
        self._patience()
        text = response.read().decode(errors="replace")
        said = f"{self.url} answered {response.status} to {self._request[1]}: {_message(text)}"
        raise ServerLost(said) if response.status >= 500 else Refused(said, response.status)

    def _read(self, text: bytes, model: type[Reply]) -> Reply:
        try:
            return model.model_validate_json(text)
        except ValidationError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: ValueError) -> ServerLost:
        what = str(error)
        if isinstance(error, ValidationError):
            first = error.errors(include_url=False)[0]
            what = f"{'.'.join(map(str, first['loc']))}: {first['msg']}".removeprefix(": ")
        return ServerLost(
            f"{self.url} answered to {self._request[1]} what strop cannot read ({what}); is it the right server?"
        )

    def _lost(self, error: Exception) -> ServerLost:
        if isinstance(error, TimeoutError):
            return ServerLost(f"{self.url} did not answer to {self._request[1]} within {self.timeout:g} seconds")
        return ServerLost(f"{self.url} cannot be reached or ended its answer early ({error or type(error).__name__})")

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()


def _message(text: str) -> str:
    """What an error reply says, of the forms that vLLM and its web framework have; at most 500 characters."""
    try:
        found = json.loads(text)
    except ValueError:
        return text[:500]
    found = found.get("error", found.get("detail", found)) if isinstance(found, dict) else found
    found = found.get("message", found) if isinstance(found, dict) else found
    return str(found)[:500]
