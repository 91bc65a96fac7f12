"""OpenAI's client with a connection for each thread."""

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from pada_graph.teacher import connections
from pada_graph.teacher.connections import OwnConnections, shared
from pada_graph.teacher.models import load_chat_model
from tests.fake_provider import Answer, FakeProvider

pytestmark = pytest.mark.usefixtures("no_cloud")


class Server(ThreadingHTTPServer):
    """Answers "ok" and keeps connections, unless `hangs_up`; `used` has each request's thread and port."""

    daemon_threads = True

    def __init__(self) -> None:
        self.used: list[tuple[str, int]] = []
        self.open = 0  # connections
        self.hangs_up = False  # without a word, once it has answered
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.used.append((self.headers["X-Thread"], self.client_address[1]))
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")
                self.close_connection = server.hangs_up

            def setup(self) -> None:
                super().setup()
                server.open += 1

            def finish(self) -> None:
                super().finish()
                server.open -= 1

            def log_message(self, *arguments: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.scheme = "http"

    def ask(self, client: httpx2.Client) -> str:
        url = f"{self.scheme}://localhost:{self.server_port}/"
        return client.get(url, headers={"X-Thread": str(threading.get_ident())}).text


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield made
        made.shutdown()


def test_each_thread_keeps_a_connection_of_its_own(server: Server) -> None:
    together = threading.Barrier(4)

    def ask(_: int) -> None:
        together.wait()
        assert [server.ask(client) for _again in range(3)] == ["ok"] * 3

    with httpx2.Client(transport=OwnConnections()) as client, ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(4)))
    assert len(server.used) == 12
    assert len(set(server.used)) == 4 == len({thread for thread, _ in server.used}) == len({p for _, p in server.used})


def test_a_threads_connection_ends_with_the_thread(server: Server) -> None:
    with httpx2.Client(transport=OwnConnections()) as client:
        thread = threading.Thread(target=server.ask, args=(client,))
        thread.start()
        thread.join()
        assert server.ask(client) == "ok"  # this thread's own
        for _ in range(1000):
            if server.open == 1:
                break
            time.sleep(0.01)
        assert server.open == 1 and len(server.used) == 2


def test_a_connection_that_the_server_closed_is_made_anew(server: Server) -> None:
    server.hangs_up = True
    with httpx2.Client(transport=OwnConnections()) as client:
        for _ in range(3):
            assert server.ask(client) == "ok"
            for _ in range(1000):
                if server.open == 0:
                    break
                time.sleep(0.01)
            time.sleep(0.1)  # until it has hung up
    assert len({port for _, port in server.used}) == 3


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_foreign_certificate_is_refused(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
        server.ask(client)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with httpx2.Client(transport=OwnConnections()) as client:
        assert server.ask(client) == "ok"


def test_an_address_where_nobody_listens_is_httpx2s_own_error() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with httpx2.Client(transport=OwnConnections()) as client, pytest.raises(httpx2.ConnectError):
        client.get(f"http://127.0.0.1:{port}/")


def test_sockets_are_set_up_as_langchains_are(server: Server) -> None:
    from langchain_openai.chat_models._client_utils import _default_socket_options

    asked = dict.fromkeys((level, name) for level, name, _ in _default_socket_options())
    with httpx2.Client(transport=OwnConnections()) as client:
        url = f"http://localhost:{server.server_port}/"
        opened = client.get(url).extensions["network_stream"].get_extra_info("socket")
        ours = {option: opened.getsockopt(*option) for option in asked}
    assert ours == {(level, name): value for level, name, value in _default_socket_options()}
    assert len(ours) >= 5


def test_options_that_the_system_refuses_are_left_out() -> None:
    keepalive = (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    assert connections._accepted([keepalive, (socket.IPPROTO_TCP, 9999, 1)]) == [keepalive]


def test_chat_models_share_them_and_keep_the_clients_settings() -> None:
    with FakeProvider(lambda request: "ok") as provider:
        chat: Any = load_chat_model(provider.openai(default_headers={"X-Own": "1"}, organization="o"))
        asking = chat.client.with_raw_response._client
        assert asking._client._transport is shared()
        assert asking.timeout == chat.root_client.timeout and asking.max_retries == 0
        chat.invoke("hi")
        assert provider.requests[0].headers["x-own"] == "1"
        assert provider.requests[0].headers["openai-organization"] == "o"


def test_a_late_reply_is_the_typed_clients_error() -> None:
    with FakeProvider(lambda request: Answer("late", delay=3)) as provider:
        chat = load_chat_model(provider.openai(timeout=0.3))
        with pytest.raises(openai.APITimeoutError):
            chat.invoke("hi")


@pytest.mark.parametrize(
    "settings",
    [{"http_socket_options": []}, {"openai_proxy": "http://127.0.0.1:9"}, {"http_client": openai.DefaultHttpxClient()}],
)
def test_settings_of_ones_own_keep_langchains_client(settings: dict[str, Any]) -> None:
    with FakeProvider(lambda request: "ok") as provider:
        chat: Any = load_chat_model(provider.openai(**settings))
    assert chat.client.with_raw_response._client is chat.root_client


@pytest.mark.parametrize(
    ("name", "own"), [("LANGCHAIN_OPENAI_TCP_KEEPALIVE", False), ("ALL_PROXY", False), ("NO_PROXY", True)]
)
def test_the_environments_settings_keep_langchains_client(
    monkeypatch: pytest.MonkeyPatch, name: str, own: bool
) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:9" if name == "ALL_PROXY" else "0")
    with FakeProvider(lambda request: "ok") as provider:
        chat: Any = load_chat_model(provider.openai())
    assert (chat.client.with_raw_response._client is not chat.root_client) == own


def test_a_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeProvider(lambda request: "by the proxy") as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        model = proxy.openai().model_copy(update={"base_url": "http://provider.invalid/v1"})
        assert load_chat_model(model).invoke("hi").text == "by the proxy"
