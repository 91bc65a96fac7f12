"""Chat completions of OpenAI's client without its typed requests and responses, which LangChain has no use for.

To walk the types of a request and to build those of its response was the largest part of a call's processor time, in a
profile by hand; benchmarks/teacher_calls.py has what a call takes now. What stays is the client's: authentication,
time-outs and errors.
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.request import getproxies

if TYPE_CHECKING:
    from openai import OpenAI
    from openai._types import RequestOptions

RAW = "X-Stainless-Raw-Response"  # openai/_constants.py: the client returns the response with its headers
_OPTIONS = frozenset(("extra_headers", "extra_query", "extra_body", "timeout"))  # of a request, and not in its body


def use_plain_completions(chat: Any) -> None:
    """Let a ChatOpenAI of LangChain send its requests as they are, unless it streams or sets options of its own."""
    chat.client = Completions(_with_own_connections(chat), chat.client)


def _with_own_connections(chat: Any) -> "OpenAI":
    """Its client; with a connection for each thread, unless a proxy or settings ask for LangChain's own."""
    client: OpenAI = chat.root_client
    set_up = chat.http_client is not None or chat.http_socket_options is not None  # the former by a proxy's setting too
    proxied = {"http", "https", "all"} & getproxies().keys()
    if set_up or proxied or any(name.startswith("LANGCHAIN_OPENAI_TCP_") for name in os.environ):
        return client
    from openai import DefaultHttpxClient

    from pada_graph.teacher.connections import shared

    return client.copy(http_client=DefaultHttpxClient(transport=shared()))


class Completions:
    """Stands in for `openai.resources.chat.Completions`: all of it, but for raw replies that are not streamed."""

    def __init__(self, client: "OpenAI", typed: Any):
        self._typed = typed
        self.with_raw_response = RawCompletions(client, typed.with_raw_response)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._typed, name)


class RawCompletions:
    """Its `with_raw_response`."""

    def __init__(self, client: "OpenAI", typed: Any):
        self._client, self._typed = client, typed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._typed, name)

    def create(self, **payload: Any) -> Any:
        """Send a request; the reply has `headers` and `parse()`.

        Raises:
            openai.OpenAIError: as of the typed client.
        """
        if payload.get("stream") or _OPTIONS & payload.keys():
            return self._typed.create(**payload)
        options: RequestOptions = {"headers": {RAW: "true"}, "security": {"bearer_auth": True}}
        raw: Any = self._client.post("/chat/completions", cast_to=object, body=payload, options=options)
        return PlainReply(raw.http_response)


class PlainReply:
    """A reply as it came."""

    def __init__(self, response: Any):
        self.http_response = response

    @property
    def headers(self) -> Mapping[str, str]:
        """Of the response."""
        headers: Mapping[str, str] = self.http_response.headers
        return headers

    def parse(self) -> Any:
        """Its JSON, typed where LangChain looks at the type, in a refusal; of another kind of content the text.

        Raises:
            ValueError: the JSON is torn.
        """
        try:
            content = self.http_response.json()
        except ValueError:
            if "json" in self.headers.get("content-type", ""):
                raise
            return self.http_response.text
        if _is_refusal(content):
            from openai.types.chat import ChatCompletion

            return ChatCompletion.construct(**content)
        return content


def _is_refusal(content: Any) -> bool:
    try:
        return any(choice["message"].get("refusal") for choice in content["choices"])
    except (TypeError, KeyError, AttributeError):  # not a completion: LangChain says so
        return False
