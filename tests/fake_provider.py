"""A teacher's provider on the loopback: OpenAI chat completions and Bedrock Converse, scripted and counted."""

import hashlib
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import unquote

from pada_graph.config import Model


@dataclass(frozen=True)
class Request:
    """One request as it arrived."""

    model: str
    prompt: str  # the user turn
    body: Mapping[str, Any]
    headers: Mapping[str, str]  # names in lower case
    sha256: str  # of model and body: the same question has the same hash
    nth: int  # how often that hash came before


@dataclass(frozen=True)
class Answer:
    """What to send back. `stop` is "stop", "length" or the dialect's own word."""

    text: str = ""
    stop: str = "stop"
    status: int = 200
    error: str = ""  # Bedrock's exception name, or OpenAI's error code
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0  # seconds before the answer
    drop: bool = False  # close the connection without a word
    raw: bytes | None = None  # body to send instead


Script = Callable[[Request], Answer | str]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256  # many clients may connect at once

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away: some tests kill them."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class FakeProvider:
    """Use as a context manager; `script` decides every answer, and `requests` and `counts` tell what was asked."""

    def __init__(self, script: Script):
        self.script = script
        self.requests: list[Request] = []
        self.counts: Counter[str] = Counter()
        self.peak = 0  # most requests in flight at once
        self._flying = 0
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), self._handler())

    def __enter__(self) -> "FakeProvider":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def openai(self, name: str = "fake", **settings: Any) -> Model:
        """A config.Model that asks this server as OpenAI."""
        return Model.model_validate(
            {"model": f"openai:{name}", "base_url": f"{self.url}/v1", "api_key": "not-a-real-key-0123", **settings}
        )

    def bedrock(self, name: str = "us.meta.fake-v1:0", **settings: Any) -> Model:
        """A config.Model that asks this server as Bedrock."""
        dummy = {
            "region_name": "us-east-1",
            "aws_access_key_id": "AKIAFAKEFAKEFAKEFAKE",
            "aws_secret_access_key": "not-a-real-secret-0123",
        }
        return Model.model_validate(
            {"model": f"bedrock_converse:{name}", "provider": "meta", "endpoint_url": self.url, **dummy, **settings}
        )

    def _arrived(self, model: str, prompt: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> Request:
        digest = hashlib.sha256(json.dumps([model, body], sort_keys=True).encode()).hexdigest()
        with self._lock:
            lower = {name.lower(): value for name, value in headers.items()}
            request = Request(model, prompt, body, lower, digest, self.counts[digest])
            self.counts[digest] += 1
            self.requests.append(request)
            self._flying += 1
            self.peak = max(self.peak, self._flying)
        return request

    def _left(self) -> None:
        with self._lock:
            self._flying -= 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                bedrock = self.path.startswith("/model/")
                if bedrock:
                    model = unquote(self.path.split("/")[2])
                    prompt = "".join(part.get("text", "") for part in body["messages"][-1]["content"])
                else:
                    model, prompt = body["model"], body["messages"][-1]["content"]
                request = provider._arrived(model, prompt, body, self.headers)
                try:
                    given = provider.script(request)
                    answer = Answer(given) if isinstance(given, str) else given
                    time.sleep(answer.delay)
                finally:
                    provider._left()
                if answer.drop:
                    self.close_connection = True
                    return
                payload = (
                    answer.raw
                    if answer.raw is not None
                    else json.dumps((_bedrock if bedrock else _openai)(answer, model, prompt)).encode()
                )
                headers = {"Content-Type": "application/json", "Content-Length": str(len(payload)), **answer.headers}
                if bedrock and answer.error:
                    headers["x-amzn-ErrorType"] = answer.error
                self.send_response(answer.status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


def tokens(text: str) -> int:
    """What this provider charges for a text: its words."""
    return len(text.split())


def _openai(answer: Answer, model: str, prompt: str) -> dict[str, Any]:
    if answer.status != 200:
        return {"error": {"message": answer.text, "type": "error", "code": answer.error or None}}
    sent, received = tokens(prompt), tokens(answer.text)
    return {
        "id": "fake",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [
            {"index": 0, "finish_reason": answer.stop, "message": {"role": "assistant", "content": answer.text}}
        ],
        "usage": {"prompt_tokens": sent, "completion_tokens": received, "total_tokens": sent + received},
    }


def _bedrock(answer: Answer, model: str, prompt: str) -> dict[str, Any]:
    if answer.status != 200:
        return {"message": answer.text}
    sent, received = tokens(prompt), tokens(answer.text)
    return {
        "output": {"message": {"role": "assistant", "content": [{"text": answer.text}]}},
        "stopReason": {"stop": "end_turn", "length": "max_tokens"}.get(answer.stop, answer.stop),
        "usage": {"inputTokens": sent, "outputTokens": received, "totalTokens": sent + received},
        "metrics": {"latencyMs": 1},
    }
