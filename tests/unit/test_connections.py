"""OpenAI's client with a connection for each thread."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from pada_graph.teacher.connections import OwnConnections
from pada_graph.teacher.models import load_chat_model
from tests.fake_provider import Answer, FakeProvider

pytestmark = pytest.mark.usefixtures("no_cloud")


class Connections(ThreadingHTTPServer):
    """Answers "ok" and keeps connections; `used` has the client's port of every request."""

    daemon_threads = True

    def __init__(self) -> None:
        self.used: list[int] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.used.append(self.client_address[1])
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *arguments: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.scheme = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://localhost:{self.server_port}/"


@pytest.fixture
def server() -> Iterator[Connections]:
    with Connections() as made:
        threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield made
        made.shutdown()


def test_each_thread_keeps_a_connection_of_its_own(server: Connections) -> None:
    together = threading.Barrier(4)

    def ask(_: int) -> None:
        together.wait()
        for _again in range(3):
            assert client.get(server.url).text == "ok"

    with httpx2.Client(transport=OwnConnections()) as client, ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(4)))
    assert len(server.used) == 12 and len(set(server.used)) == 4
    assert all(server.used.count(port) == 3 for port in server.used)


def test_closing_the_client_closes_every_threads_connection(server: Connections) -> None:
    transport = OwnConnections()
    with ThreadPoolExecutor(2) as pool:
        with httpx2.Client(transport=transport) as client:
            list(pool.map(lambda _: client.get(server.url), range(2)))
            pools = [opened._pool for opened in transport._open]
            assert pools and all(each.connections for each in pools)
        assert not any(each.connections for each in pools)


def test_a_connection_that_the_server_closed_is_made_anew(server: Connections) -> None:
    with httpx2.Client(transport=OwnConnections()) as client:
        client.get(server.url)
        server.RequestHandlerClass.protocol_version = "HTTP/1.0"  # closes after each answer
        assert [client.get(server.url).text for _ in range(3)] == ["ok"] * 3
    assert len(set(server.used)) >= 3


def test_a_foreign_certificate_is_refused(server: Connections, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.scheme = "https"
    with httpx2.Client(transport=OwnConnections()) as client, pytest.raises(httpx2.ConnectError, match="certificate"):
        client.get(server.url)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with httpx2.Client(transport=OwnConnections()) as client:
        assert client.get(server.url).text == "ok"


def test_an_address_where_nobody_listens_is_the_clients_own_error() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with httpx2.Client(transport=OwnConnections()) as client, pytest.raises(httpx2.ConnectError):
        client.get(f"http://127.0.0.1:{port}/")


def test_chat_models_ask_by_it_and_keep_the_clients_settings() -> None:
    with FakeProvider(lambda request: "ok") as provider:
        chat: Any = load_chat_model(provider.openai(default_headers={"X-Own": "1"}, organization="o"))
        asking = chat.client.with_raw_response._client
        assert isinstance(asking._client._transport, OwnConnections)
        assert asking.timeout == chat.root_client.timeout and asking.max_retries == 0
        chat.invoke("hi")
        assert provider.requests[0].headers["x-own"] == "1"
        assert provider.requests[0].headers["openai-organization"] == "o"


def test_a_late_reply_is_the_typed_clients_error() -> None:
    with FakeProvider(lambda request: Answer("late", delay=3)) as provider:
        chat = load_chat_model(provider.openai(timeout=0.3))
        with pytest.raises(openai.APITimeoutError):
            chat.invoke("hi")


@pytest.mark.parametrize("settings", [{"http_socket_options": []}, {"openai_proxy": "http://127.0.0.1:9"}])
def test_settings_of_ones_own_keep_langchains_client(settings: dict[str, Any]) -> None:
    with FakeProvider(lambda request: "ok") as provider:
        chat: Any = load_chat_model(provider.openai(**settings))
    assert chat.client.with_raw_response._client is chat.root_client


def test_a_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeProvider(lambda request: "by the proxy") as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        model = proxy.openai().model_copy(update={"base_url": "http://provider.invalid/v1"})
        assert load_chat_model(model).invoke("hi").text == "by the proxy"
