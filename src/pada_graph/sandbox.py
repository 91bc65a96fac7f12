"""Runs generated Python under bubblewrap: no network, no files but /usr, no secrets, all resources bounded.

A root caller first becomes nobody (setpriv): RLIMIT_NPROC means nothing to root, and only so can the program not make a
user namespace of its own. bwrap is started with an empty environment, because /proc/1/environ inside would show the
caller's (bubblewrap issue 725). The limits are set inside, by the runner, before the program starts.

The verdict is neither exit status nor output, which `sys.exit(0)` and a forged line would fake: a random nonce has to
arrive on a file the program is not told about, after its last statement. Residual risk: nonce and program share a
process, so a program that hunts for the nonce through its interpreter's frames can forge a pass. It gains a wrong
verdict, nothing else.
"""

import functools
import math
import os
import secrets
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pada_graph.errors import InputError

_PYTHON = "/usr/bin/python3"  # the system's: a home folder's Python is out of nobody's reach
_NOBODY = "65534"
_MEMORY = 1 << 30  # bytes of address space
_ERROR_LENGTH = 300
_PATIENCE = 4  # wall time over CPU time: a busy machine must not fail a right program
_INSTALL = "Install what the sandbox needs: apt-get install bubblewrap util-linux python3 (bubblewrap 0.8 or newer)."

# Reads "verdict-fd cpu-seconds memory nonce", a newline and the program from stdin; the names stay in the function.
_RUNNER = """
import os, resource, sys
def run():
    head, _, source = sys.stdin.buffer.read().decode().partition(chr(10))
    verdict, seconds, memory, nonce = head.split()
    verdict = int(verdict)
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    seconds, memory = int(seconds), int(memory)
    for limit, value in (
        (resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, 1 << 20), (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_NPROC, 64), (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    write = os.write
    try:
        exec(compile(source, "<program>", "exec"), {"__name__": "__main__"})
    except BaseException as error:
        write(verdict, ("- " + type(error).__name__ + ": " + str(error))[:300].encode(errors="replace"))
    else:
        write(verdict, nonce.encode())
run()
"""

_PROBE = """
import os, socket
assert not os.path.exists("/etc/passwd") and not os.path.exists("/home") and not os.path.exists("/root"), "host files"
assert [name for _, name in socket.if_nameindex()] == ["lo"], "network"
visible = {entry.partition(b"=")[0] for entry in open("/proc/1/environ", "rb").read().split(bytes(1)) if entry}
assert visible | {os.fsencode(name) for name in os.environ} <= {b"PATH", b"PWD", b"LC_CTYPE"}, "environment"
assert os.getuid() != 0, "root"
"""


@dataclass(frozen=True)
class Outcome:
    """How a program ended."""

    passed: bool  # it ran to its end
    error: str  # why not, e.g. "AssertionError: "; the program can put any text here, so trust it as little


def run_python(source: str, timeout: float = 5.0) -> Outcome:
    """Run a program and say whether it reached its end without an error.

    Args:
        source: The program. Standard library only.
        timeout: CPU seconds; a program that waits instead of computing is killed after four times that.

    Raises:
        InputError: there is no working sandbox here; names what to install or allow.
    """
    _probe()
    return _run(source, timeout)


@functools.cache
def _probe() -> None:
    """Check once that good programs pass, bad ones fail, and host files, network and environment are out of reach."""
    missing = [tool for tool in (*_tools(), _PYTHON) if shutil.which(tool) is None]
    if missing:
        raise InputError(f"Generated code runs only in a sandbox, and {', '.join(missing)} is missing here. {_INSTALL}")
    isolated, exits = _run(_PROBE, 10), _run("import sys; sys.exit(0)", 10)
    if not isolated.passed or exits.passed:
        raise InputError(
            "Generated code runs only in a sandbox, and bwrap does not isolate here "
            f"({isolated.error or 'a failing program passed'}). {_INSTALL} It needs unprivileged user namespaces: "
            "on Ubuntu 24.04, sysctl -w kernel.apparmor_restrict_unprivileged_userns=0; in a container, a security "
            "profile that allows them."
        )


def _tools() -> tuple[str, ...]:
    return ("bwrap", "setpriv") if os.getuid() == 0 else ("bwrap",)


def _command() -> list[str]:
    nobody = ["setpriv", "--reuid", _NOBODY, "--regid", _NOBODY, "--clear-groups", "--no-new-privs"]
    namespaces = "--unshare-all --unshare-user --disable-userns --cap-drop ALL --die-with-parent --new-session"
    files = "--ro-bind /usr /usr --ro-bind-try /lib /lib --ro-bind-try /lib64 /lib64 --proc /proc --dev /dev"
    temporary = f"--size {1 << 24} --tmpfs /tmp --chdir /tmp --hostname sandbox"
    bwrap = ["bwrap", *namespaces.split(), *files.split(), *temporary.split()]
    return [*(nobody if os.getuid() == 0 else []), *bwrap, _PYTHON, "-I", "-S", "-c", _RUNNER]


def _run(source: str, timeout: float) -> Outcome:
    nonce = secrets.token_hex(16)
    verdict = os.memfd_create("verdict")  # bounded by RLIMIT_FSIZE, and never blocks the program
    try:
        head = f"{verdict} {math.ceil(timeout)} {_MEMORY} {nonce}\n"
        with subprocess.Popen(
            _command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,  # bwrap's own: the program's goes nowhere
            pass_fds=[verdict],
            env={"PATH": "/usr/bin:/bin"},
            cwd=Path("/"),
        ) as process:
            try:
                _, stderr = process.communicate((head + source).encode(errors="replace"), timeout=_PATIENCE * timeout)
            except subprocess.TimeoutExpired:
                process.kill()  # the rest goes with it: --die-with-parent and a process namespace of its own
                return Outcome(False, f"TimeoutError: still running after {_PATIENCE * timeout:g} s")
        written = os.pread(verdict, 4096, 0).decode(errors="replace")
    finally:
        os.close(verdict)
    if written == nonce:
        return Outcome(True, "")
    if written.startswith("- "):
        return Outcome(False, written[2:_ERROR_LENGTH])
    if process.returncode == 128 + signal.SIGXCPU:
        return Outcome(False, f"TimeoutError: still computing after {math.ceil(timeout)} s")
    return Outcome(
        False, stderr.decode(errors="replace").strip()[:_ERROR_LENGTH] or f"ended early, status {process.returncode}"
    )
