"""Python processes that have the training libraries imported when they start: forks of one that has (Linux).

Importing them takes longer than training a small student on few rows, and each fine-tuning has its own process. The
first one of a Python process starts `fork_server`, which stays and forks itself at each request; it ends with the
process that started it, or after ten minutes without work. A fork runs the module that a new process would, with the
same arguments, environment, folder and files; exit handlers do not run. Where there may be a CUDA or ROCm device each
is a new process: neither survives a fork, and the libraries' import may have touched it.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from pathlib import Path
from typing import IO

PARENT = "{parent}"  # in a command: the process id of whoever starts it
# What libraries read when they are imported: another value needs another server.
READ_AT_IMPORT = (
    "ACCELERATE", "CUDA", "DO_NOT_TRACK", "GOMP_", "HF_", "HOME", "HUGGINGFACE_", "KMP_", "LANG", "LC_", "LD_",
    "MALLOC_", "MKL_", "OMP_", "OPENBLAS", "PYTHON", "PYTORCH", "SSL_", "TOKENIZERS", "TORCH", "TRANSFORMERS", "TRL_",
    "USE_", "XDG_",
)  # fmt: skip
DEVICES = [Path("/dev") / name for name in ("nvidiactl", "kfd", "dxg", "nvmap")]  # CUDA, ROCm, WSL, Jetson
LONGEST_REQUEST = 100_000  # bytes; a socket takes twice that


class Fork:
    """A child of the fork server, used as a `subprocess.Popen`.

    The server writes the exit status, a line, into a pipe. A server that dies without doing so was killed, and its
    child is killed too: nobody could tell any more when it ends.
    """

    def __init__(self, pid: int, status: IO[bytes], stdout: IO[bytes]):
        self.pid, self.stdout = pid, stdout
        self.returncode: int | None = None
        self._status = status

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; returns the exit status.

        Raises:
            subprocess.TimeoutExpired: it has not come within `timeout` seconds.
        """
        if self.returncode is None:
            if not wait([self._status.fileno()], timeout):
                raise subprocess.TimeoutExpired("fork", timeout or 0)
            line = self._status.readline()
            self._status.close()
            if not line:
                with suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)
            self.returncode = int(line) if line else -signal.SIGKILL
        return self.returncode

    def terminate(self) -> None:
        """Send SIGTERM if it still runs."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL if it still runs."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def __enter__(self) -> "Fork":
        return self

    def __exit__(self, *_: object) -> None:
        self.stdout.close()
        self.wait()


class _Server:
    """A fork server of this process."""

    def __init__(self, environment: Mapping[str, str]):
        self.imported_with = _read_at_import(environment)
        self.requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "pada_graph.executors.fork_server", str(os.getpid())]
        with theirs:
            self._process = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=dict(environment),
            )

    def fork(self, message: bytes, stderr: int) -> Fork | None:
        """Have it start a child; None if it cannot, or has ended."""
        with suppress(OSError), _pipe() as (stdout, write), _pipe() as (status, tell):
            socket.send_fds(self.requests, [message], [write.fileno(), stderr, tell.fileno()])
            write.close()
            tell.close()
            try:
                pid = status.readline()
            except BaseException:  # interrupted while it was waited for: nobody would look after the child
                self.kill()
                raise
            if pid:
                return Fork(int(pid), _kept(status), _kept(stdout))
        return None

    def kill(self) -> None:
        """End it now; its children see it."""
        self._process.kill()
        self._process.wait()


@contextmanager
def _pipe() -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Both ends of a pipe, closed afterwards."""
    read, write = os.pipe()
    with os.fdopen(read, "rb", buffering=0) as reading, os.fdopen(write, "wb", buffering=0) as writing:
        yield reading, writing


def _kept(file: IO[bytes]) -> IO[bytes]:
    """The same open file, not closed with the first."""
    return os.fdopen(os.dup(file.fileno()), "rb", buffering=0)


class _Running:
    """The fork server of this process, if it has one."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.server: _Server | None = None

    def fork(self, message: bytes, stderr: int, environment: Mapping[str, str]) -> Fork | None:
        """Have a server start a child; None if none can be had."""
        with self.lock:
            if self.server and self.server.imported_with != _read_at_import(environment):
                self.end()
            for _ in range(2):  # it may have ended, for want of work or killed
                self.server = self.server or _Server(environment)
                if child := self.server.fork(message, stderr):
                    return child
                self.end()
            return None

    def end(self) -> None:
        """Let the server go: it ends after its children."""
        if self.server:
            self.server.requests.close()
            self.server = None

    def forget(self) -> None:
        """In a fork of this process, whose server is the parent's."""
        self.end()
        self.lock = threading.Lock()


_running = _Running()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _running.forget())  # noqa: PLW0108 - tests put another there


def start(
    command: Sequence[str], stderr: IO[bytes], environment: Mapping[str, str]
) -> "Fork | subprocess.Popen[bytes]":
    """Start `python -m MODULE ...`, `command` being what follows `python`, with a pipe as stdout.

    Args:
        command: "-m", the module and its arguments; `PARENT` in one becomes the process id of whoever starts it.
        stderr: where its other output goes.
        environment: its environment variables.
    """
    request = {"command": list(command), "environment": dict(environment), "folder": str(Path.cwd())}
    message = json.dumps(request).encode()
    # A fork is not safe with Apple's libraries, and unknown to Windows.
    if sys.platform != "linux" or len(message) > LONGEST_REQUEST or any(device.exists() for device in DEVICES):
        return plain(command, stderr, environment)
    return _running.fork(message, stderr.fileno(), environment) or plain(command, stderr, environment)


def plain(command: Sequence[str], stderr: IO[bytes], environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """The same without the fork server."""
    words = [word.replace(PARENT, str(os.getpid())) for word in command]
    return subprocess.Popen(
        [sys.executable, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=dict(environment),
    )


def _read_at_import(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(READ_AT_IMPORT)}
