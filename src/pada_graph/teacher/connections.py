"""A connection of its own for every thread that asks OpenAI's client; imported where that is.

httpx2's pool looks at all of its connections, under one lock, for each request and each reply, which is felt with 64
of them (docs/performance.md).
"""

import functools
import socket
import threading

import httpx2

KEPT = 5.0  # seconds that an unused connection is good for, as with OpenAI's client
# As LangChain sets them: a router forgets a connection on which nothing is sent for some minutes, as while a long reply
# is being written, and a provider that is gone shows before the time-out.
_OPTIONS = {
    "TCP_KEEPIDLE": 60,  # seconds
    "TCP_KEEPALIVE": 60,  # the same on macOS
    "TCP_KEEPINTVL": 10,  # seconds
    "TCP_KEEPCNT": 3,  # tries
    "TCP_USER_TIMEOUT": 120_000,  # milliseconds
}


class OwnConnections(httpx2.BaseTransport):
    """Sends each thread's requests through a transport that no other thread uses, and that goes with the thread."""

    def __init__(self) -> None:
        self._trust = httpx2.create_ssl_context()  # read from files, so only once
        self._options = _accepted(_socket_options())
        self._own = threading.local()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send it.

        Raises:
            httpx2.TransportError: as httpx2's own transport does.
        """
        if not hasattr(self._own, "transport"):
            limits = httpx2.Limits(keepalive_expiry=KEPT)
            self._own.transport = httpx2.HTTPTransport(verify=self._trust, limits=limits, socket_options=self._options)
        response: httpx2.Response = self._own.transport.handle_request(request)
        return response


@functools.cache
def shared() -> OwnConnections:
    """The one of this process: however many models a thread asks, a provider's address has one connection for it."""
    return OwnConnections()


def _socket_options() -> list[tuple[int, int, int]]:
    here = [(getattr(socket, name), value) for name, value in _OPTIONS.items() if hasattr(socket, name)]
    return [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), *((socket.IPPROTO_TCP, *option) for option in here)]


def _accepted(options: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Those that this system knows: one that it refuses would end every connection."""
    found = []
    with socket.socket() as trial:
        for option in options:
            try:
                trial.setsockopt(*option)
            except OSError:
                continue
            found.append(option)
    return found
