"""A connection of its own for every thread that asks OpenAI's client; imported where that is.

httpx2's pool looks at all of its connections, under one lock, for each request and each reply: with 64 threads a
seventh of a call's processor time (docs/performance.md).
"""

import socket
import threading
from weakref import WeakSet

import httpx2

KEPT = 5.0  # seconds that an unused connection is kept, as by OpenAI's client
# A router forgets a connection on which nothing is sent for some minutes, as while a long reply is being written.
_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}  # seconds, seconds, tries


class OwnConnections(httpx2.BaseTransport):
    """Sends each thread's requests through a transport that no other thread uses."""

    def __init__(self) -> None:
        self._trust = httpx2.create_ssl_context()  # read from files, so only once
        self._own = threading.local()
        self._open: WeakSet[httpx2.HTTPTransport] = WeakSet()  # a thread's goes with the thread

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send it.

        Raises:
            httpx2.TransportError: as httpx2's own transport does.
        """
        if not hasattr(self._own, "transport"):
            limits = httpx2.Limits(keepalive_expiry=KEPT)
            options = _socket_options()
            self._own.transport = httpx2.HTTPTransport(verify=self._trust, limits=limits, socket_options=options)
            self._open.add(self._own.transport)
        response: httpx2.Response = self._own.transport.handle_request(request)
        return response

    def close(self) -> None:
        """Close all that are open."""
        for transport in list(self._open):
            transport.close()


def _socket_options() -> list[tuple[int, int, int]]:
    named = [(getattr(socket, name, None), value) for name, value in _KEEPALIVE.items()]  # not every system has all
    options = [(socket.IPPROTO_TCP, option, value) for option, value in named if option is not None]
    return [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), *options]
