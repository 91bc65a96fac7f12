"""An OpenAI chat-completions server on the loopback, for benchmarks; run in a process and an environment of its own.

    python -m benchmarks.loopback --port P --latency S [--rate R] [--told] [--malformed F] [--burst EVERY,LENGTH]

A prompt that holds "Row N" asks for row N and is answered {"answer": "N"} after `latency` seconds, in a fence if the
prompt has one, as the call of a tool if it offers one. What else comes:

- a prompt with the word POISON: status 400, always, as a provider's content filter says it;
- `rate`: calls a second, and as many at once; what is more gets status 429 with Retry-After in whole seconds;
- `burst`: the last LENGTH of every EVERY seconds are 429s;
- `malformed`: this share of the rows, always the same ones, is answered at first with words that are no JSON.

The x-ratelimit headers, which some clients pace themselves by, are generous; with `told` they say what `rate` is.

GET /stats counts since the start or the last POST /reset. After POST /reset?hold=N, N rows are answered and the others
kept waiting until POST /release: what a client that is killed meanwhile had been answered is then known exactly.
"""

import argparse
import asyncio
import json
import math
import re
import zlib
from collections import Counter
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiohttp import web

ROW = re.compile(r"\bRow (\d+)")
PLENTY = 10**12  # calls and tokens a minute


@dataclass
class Stats:
    """What was asked and answered."""

    requests: int = 0
    answered: int = 0  # with status 200, to a client that was still there
    throttled: int = 0
    poisoned: int = 0
    malformed: int = 0
    peak_in_flight: int = 0
    first: float = 0.0  # seconds: the first request for a row
    last: float = 0.0  # the last answer
    rows: Counter[int] = field(default_factory=Counter)  # row -> its usable answers

    def counts(self) -> dict[str, float]:
        """All of it, for JSON; `repeated` are usable answers beyond a row's first."""
        found = {name: value for name, value in vars(self).items() if name != "rows"}
        repeated = self.rows.total() - len(self.rows)
        return {**found, "wall": self.last - self.first, "rows": len(self.rows), "repeated": repeated}


class Provider:
    """Answers requests; all state is in it."""

    def __init__(self, latency: float, rate: float, told: bool, malformed: float, burst: tuple[float, float] | None):
        self.latency, self.rate, self.malformed, self.burst = latency, rate, malformed, burst
        calls = round(rate * 60) if told else PLENTY
        self.headers = {
            "x-ratelimit-limit-requests": str(calls),
            "x-ratelimit-remaining-requests": str(calls),
            "x-ratelimit-limit-tokens": str(PLENTY),
            "x-ratelimit-remaining-tokens": str(PLENTY),
        }
        self.reset(None)

    def reset(self, hold: int | None) -> None:
        """Count from nothing, with a full bucket; answer `hold` rows, or all."""
        self.stats = Stats()
        self.flying = 0
        self.tokens, self.filled = self.rate, monotonic()
        self.spoilt: set[int] = set()  # rows that had their malformed answer
        self.hold = hold
        self.released = asyncio.Event()

    async def handle(self, request: "web.BaseRequest") -> "web.StreamResponse":
        """Any request."""
        if request.method == "POST" and request.path.endswith("/chat/completions"):
            return await self.chat(request)
        if request.path == "/reset":
            self.released.set()
            self.reset(int(request.query["hold"]) if "hold" in request.query else None)
        elif request.path == "/release":
            self.hold = None
            self.released.set()
        elif request.path == "/stats":
            return self.answer(self.stats.counts())
        elif request.path.endswith("/models"):
            return self.answer({"object": "list", "data": [{"id": "bench", "object": "model", "owned_by": "bench"}]})
        else:
            return self.answer({"error": {"message": "no such path", "type": "invalid_request_error"}}, 404)
        return self.answer({})

    async def chat(self, request: "web.BaseRequest") -> "web.StreamResponse":
        """A request for an answer."""
        stats = self.stats
        stats.requests += 1
        body = json.loads(await request.read())
        prompt = "\n".join(str(message["content"]) for message in body["messages"])
        found = ROW.search(prompt)
        row = int(found[1]) if found else None
        if row is not None and not stats.first:
            stats.first = monotonic()
        if wait := self.throttled():
            stats.throttled += 1
            error = {"message": "Rate limit reached.", "type": "requests", "code": "rate_limit_exceeded"}
            return self.answer({"error": error}, 429, {"Retry-After": str(math.ceil(wait))})
        self.flying += 1
        stats.peak_in_flight = max(stats.peak_in_flight, self.flying)
        try:
            await asyncio.sleep(self.latency)
            if self.hold is not None and stats.answered >= self.hold:
                await self.released.wait()
        finally:
            self.flying -= 1
        if "POISON" in prompt:
            stats.poisoned += 1
            error = {"message": "The content filter refused the prompt.", "code": "content_filter"}
            return self.answer({"error": {**error, "type": "invalid_request_error", "param": "prompt"}}, 400)
        if request.transport is None or request.transport.is_closing():
            return self.answer({})  # nobody is there to read it
        stats.answered += 1
        stats.last = monotonic()
        return self.answer(completion(body, prompt, *self.text(row, prompt, body)))

    def text(self, row: int | None, prompt: str, body: dict[str, Any]) -> tuple[str, bool]:
        """What the model says, and whether it is what was asked for."""
        if row is None:
            return json.dumps(example(body)), True
        if zlib.crc32(str(row).encode()) < self.malformed * 2**32 and row not in self.spoilt:
            self.spoilt.add(row)
            self.stats.malformed += 1
            return "Of course! The number that you asked for is the one in your question.", False
        self.stats.rows[row] += 1
        text = json.dumps({"answer": str(row)})
        return f"```json\n{text}\n```" if "```json" in prompt else text, True

    def throttled(self) -> float:
        """Seconds to wait; 0: the call may pass, and has."""
        now = monotonic()
        if self.burst:
            every, length = self.burst
            if (left := every - (now - (self.stats.first or now)) % every) <= length:
                return left
        if self.rate:
            self.tokens = min(self.rate, self.tokens + (now - self.filled) * self.rate)
            self.filled = now
            if self.tokens < 1:
                return (1 - self.tokens) / self.rate
            self.tokens -= 1
        return 0.0

    def answer(
        self, content: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None
    ) -> "web.StreamResponse":
        """A reply with the headers of a provider."""
        from aiohttp import web

        body = json.dumps(content).encode()
        return web.Response(
            body=body, status=status, headers={**self.headers, **(headers or {})}, content_type="application/json"
        )


def completion(body: dict[str, Any], prompt: str, text: str, usable: bool) -> dict[str, Any]:
    """A chat completion, as the call of a tool where one is offered; a token is charged for four characters."""
    sent, received = len(prompt) // 4 + 1, len(text) // 4 + 1
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    if body.get("tools") and usable:
        function = {"name": body["tools"][0]["function"]["name"], "arguments": text}
        message |= {"content": None, "tool_calls": [{"id": "call-0", "type": "function", "function": function}]}
    return {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": [{"index": 0, "finish_reason": "stop", "logprobs": None, "message": message}],
        "usage": {"prompt_tokens": sent, "completion_tokens": received, "total_tokens": sent + received},
    }


def example(body: dict[str, Any]) -> dict[str, Any]:
    """An object of the schema that is asked for: how clients find out that a server knows schemas."""
    schema = ((body.get("response_format") or {}).get("json_schema") or {}).get("schema") or {}
    kinds = {name: part.get("type") for name, part in schema.get("properties", {}).items()}
    return {name: 1 if kind in ("integer", "number") else "text" for name, kind in kinds.items()} or {"answer": "text"}


async def serve(provider: Provider, port: int) -> None:
    """Serve until the process ends."""
    from aiohttp import web

    runner = web.ServerRunner(web.Server(provider.handle, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    await asyncio.Event().wait()


def pair(text: str) -> tuple[float, float]:
    """EVERY,LENGTH."""
    every, length = map(float, text.split(","))
    return every, length


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency", type=float, required=True, help="seconds")
    parser.add_argument("--rate", type=float, default=0, help="calls a second; 0: as many as come")
    parser.add_argument("--told", action="store_true", help="say the rate in the headers")
    parser.add_argument("--malformed", type=float, default=0, help="share of the rows")
    parser.add_argument("--burst", type=pair, help="EVERY,LENGTH in seconds")
    given = vars(parser.parse_args())
    port = given.pop("port")

    async def run() -> None:
        await serve(Provider(**given), port)

    asyncio.run(run())


if __name__ == "__main__":
    main()
