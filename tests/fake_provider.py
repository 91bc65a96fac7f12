"""A teacher's provider on the loopback: OpenAI chat completions and Bedrock Converse, scripted and counted.

Both also stream: server-sent events for OpenAI, binary event-stream frames for Bedrock's ConverseStream.
"""

import hashlib
import json
import math
import struct
import sys
import threading
import time
import zlib
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
    stream: bool


@dataclass(frozen=True)
class Answer:
    """What to send back. `stop` is "stop", "length" or the dialect's own word."""

    text: str = ""
    stop: str = "stop"
    status: int = 200
    error: str = ""  # Bedrock's exception name, or OpenAI's error code; with status 200 and a stream: inside it
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0  # seconds before the answer
    drip: float = 0  # seconds before each byte of the body
    drop: bool = False  # close the connection without a word
    cut: int | None = None  # close the connection after so many bytes of the body
    length: int | None = None  # what to claim as content-length
    raw: bytes | None = None  # body to send instead


Script = Callable[[Request], Answer | str]


class TokenBucket:
    """A script that lets `rate` calls a second pass to another script, bursts up to `size`, and answers 429 to others.

    Retry-After is the time to the next token, in whole seconds as most providers write it.
    """

    def __init__(self, script: Script, rate: float, size: float | None = None):
        self.script, self.rate = script, rate
        self.size = self.tokens = size or rate
        self.throttled = 0
        self._filled = time.monotonic()
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Answer | str:
        with self._lock:
            now = time.monotonic()
            self.tokens = min(self.size, self.tokens + (now - self._filled) * self.rate)
            self._filled = now
            if self.tokens < 1:
                self.throttled += 1
                wait = math.ceil((1 - self.tokens) / self.rate)
                return Answer("slow", status=429, error="ThrottlingException", headers={"Retry-After": str(wait)})
            self.tokens -= 1
        return self.script(request)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256  # many clients may connect at once

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away: some tests kill them."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class FakeProvider:
    """Use as a context manager; `script` decides every answer, and `requests` and `counts` tell what was asked."""

    def __init__(self, script: Script, port: int = 0):
        self.script = script
        self.requests: list[Request] = []
        self.counts: Counter[str] = Counter()
        self.peak = 0  # most requests in flight at once
        self._flying = 0
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", port), self._handler())

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

    def _arrived(
        self, model: str, prompt: str, body: Mapping[str, Any], headers: Mapping[str, str], stream: bool
    ) -> Request:
        digest = hashlib.sha256(json.dumps([model, body], sort_keys=True).encode()).hexdigest()
        with self._lock:
            lower = {name.lower(): value for name, value in headers.items()}
            request = Request(model, prompt, body, lower, digest, self.counts[digest], stream)
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
                length = int(self.headers["Content-Length"])
                if len(raw := self.rfile.read(length)) < length:
                    return  # the client was killed while it sent
                body = json.loads(raw)
                bedrock = self.path.startswith("/model/")
                if bedrock:
                    model = unquote(self.path.split("/")[2])
                    prompt = "".join(part.get("text", "") for part in body["messages"][-1]["content"])
                    stream = self.path.endswith("/converse-stream")
                else:
                    model, prompt = body["model"], body["messages"][-1]["content"]
                    stream = bool(body.get("stream"))
                request = provider._arrived(model, prompt, body, self.headers, stream)
                try:
                    given = provider.script(request)
                    answer = Answer(given) if isinstance(given, str) else given
                    time.sleep(answer.delay)
                finally:
                    provider._left()
                if answer.drop:
                    self.close_connection = True
                    return
                self._send(answer, *_body(answer, request, bedrock), bedrock)

            def _send(self, answer: Answer, payload: bytes, kind: str, bedrock: bool) -> None:
                length = len(payload) if answer.length is None else answer.length
                headers = {"Content-Type": kind, "Content-Length": str(length), **answer.headers}
                if bedrock and answer.error and answer.status != 200:
                    headers["x-amzn-ErrorType"] = answer.error
                self.send_response(answer.status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                payload = payload[: answer.cut]
                if answer.drip:
                    for byte in payload:
                        time.sleep(answer.drip)
                        self.wfile.write(bytes([byte]))
                else:
                    self.wfile.write(payload)
                if answer.cut is not None or answer.length is not None:
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


def tokens(text: str) -> int:
    """What this provider charges for a text: its words."""
    return len(text.split())


def frame(event: str, payload: Mapping[str, Any], kind: str = "event") -> bytes:
    """One message of AWS' event-stream encoding: lengths and their checksum, headers, payload, checksum of it all."""
    names = {f":{kind}-type": event, ":content-type": "application/json", ":message-type": kind}
    headers = b"".join(
        struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", 7, len(value)) + value.encode()  # 7: a string
        for name, value in names.items()
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", len(headers) + len(body) + 16, len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + body
    return message + struct.pack(">I", zlib.crc32(message))


def _body(answer: Answer, request: Request, bedrock: bool) -> tuple[bytes, str]:
    """The answer's body and content type."""
    if answer.raw is not None:
        return answer.raw, "application/json"
    if answer.status != 200:
        return json.dumps(_refusal(answer, bedrock)).encode(), "application/json"
    if not request.stream:
        return json.dumps((_bedrock if bedrock else _openai)(answer, request)).encode(), "application/json"
    if bedrock:
        return _bedrock_stream(answer, request), "application/vnd.amazon.eventstream"
    return _openai_stream(answer, request), "text/event-stream"


def _refusal(answer: Answer, bedrock: bool) -> dict[str, Any]:
    if bedrock:
        return {"message": answer.text}
    return {"error": {"message": answer.text, "type": "error", "code": answer.error or None}}


def _openai_usage(answer: Answer, request: Request) -> dict[str, int]:
    sent, received = tokens(request.prompt), tokens(answer.text)
    return {"prompt_tokens": sent, "completion_tokens": received, "total_tokens": sent + received}


def _openai(answer: Answer, request: Request) -> dict[str, Any]:
    message = {"role": "assistant", "content": answer.text}
    return {
        "id": "fake",
        "object": "chat.completion",
        "created": 0,
        "model": request.model,
        "choices": [{"index": 0, "finish_reason": answer.stop, "message": message}],
        "usage": _openai_usage(answer, request),
    }


def _openai_stream(answer: Answer, request: Request) -> bytes:
    chunk = {"id": "fake", "object": "chat.completion.chunk", "created": 0, "model": request.model}
    deltas = [{"role": "assistant", "content": ""}, *({"content": piece} for piece in _pieces(answer.text))]
    choices: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": answer.stop})
    chunks = [{**chunk, "choices": [choice]} for choice in choices]
    chunks.append({**chunk, "choices": [], "usage": _openai_usage(answer, request)})
    if answer.error:
        chunks[-2:] = [_refusal(answer, bedrock=False)]
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


def _bedrock_usage(answer: Answer, request: Request) -> dict[str, int]:
    sent, received = tokens(request.prompt), tokens(answer.text)
    return {"inputTokens": sent, "outputTokens": received, "totalTokens": sent + received}


def _bedrock_stop(answer: Answer) -> str:
    return {"stop": "end_turn", "length": "max_tokens"}.get(answer.stop, answer.stop)


def _bedrock(answer: Answer, request: Request) -> dict[str, Any]:
    return {
        "output": {"message": {"role": "assistant", "content": [{"text": answer.text}]}},
        "stopReason": _bedrock_stop(answer),
        "usage": _bedrock_usage(answer, request),
        "metrics": {"latencyMs": 1},
    }


def _bedrock_stream(answer: Answer, request: Request) -> bytes:
    frames = [frame("messageStart", {"role": "assistant"})]
    for piece in _pieces(answer.text):
        frames.append(frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": piece}}))
    if answer.error:
        return b"".join([*frames, frame(answer.error, {"message": answer.text}, kind="exception")])
    frames += [
        frame("contentBlockStop", {"contentBlockIndex": 0}),
        frame("messageStop", {"stopReason": _bedrock_stop(answer)}),
        frame("metadata", {"usage": _bedrock_usage(answer, request), "metrics": {"latencyMs": 1}}),
    ]
    return b"".join(frames)


def _pieces(text: str) -> list[str]:
    return [text[start : start + 5] for start in range(0, len(text), 5)]
