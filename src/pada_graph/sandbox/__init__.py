"""Runs a generated function against tests, so that neither the host nor the verdict is within its reach.

A verdict takes two processes, each in a sandbox of its own (bubblewrap.py), joined by a socket. In the first the
solution is executed, which then answers calls of its entry point. In the second, which holds nothing that the solution
wrote, run the tests; their `candidate` sends its arguments over the socket, and only this process can write the
verdict. Plain data alone crosses (guest.py). So a solution can do nothing for its verdict but return values: exit
statuses, prints, atexit functions, frames, a replaced `check` or an `__eq__` that is always true change only its own
process. Official HumanEval (openai/human-eval, execution.py) and its descendants run both in one process, where code
that walks the frames can forge a pass.

Consequences: arguments are copies, so a function is judged by what it returns, not by what it does to its arguments
(no HumanEval test looks there); a result that is no plain data (a generator, an object of a class of its own) equals
nothing; threads can be started, child processes cannot; no file can be written.
"""

import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pada_graph.errors import InputError, StoppedError
from pada_graph.sandbox import bubblewrap

CPU_SECONDS = 5  # of the solution, and again of the tests
WALL_SECONDS = 10  # of both together; a verdict is there at most 2 s later
BUBBLEWRAP, NO_SANDBOX = "bubblewrap", "none (unsafe_code_execution)"  # the modes

_LIMITS = {  # soft and hard; set by guest.py before it runs anything
    "RLIMIT_CPU": (CPU_SECONDS, CPU_SECONDS),  # SIGKILL at once: the SIGXCPU of a lower soft limit can be ignored
    "RLIMIT_AS": (1 << 30, 1 << 30),
    "RLIMIT_FSIZE": (1 << 20, 1 << 20),
    "RLIMIT_NOFILE": (64, 64),
    "RLIMIT_NPROC": (64, 64),
    "RLIMIT_CORE": (0, 0),
}
_GRACE = 0.5  # seconds that a process has to end by itself once its work is done
_ERROR_LENGTH = 300
_ENVIRONMENT = {"PATH": "/usr/bin:/bin"}  # all of it: /proc/1/environ would show bwrap's own (bubblewrap issue 725)

_PROBE = """
import os, socket
def weaknesses():
    found = [path for path in ("/etc/passwd", "/home", "/root", "/proc/1", {canary!r}) if os.path.exists(path)]
    found += sorted(set(os.environ) - {{"PATH", "PWD", "LC_CTYPE"}})
    try:
        found.append("network: " + repr(socket.create_connection(("127.0.0.1", {port}), 1)))
    except OSError:
        pass
    try:
        found.append("processes: " + str(os.fork()))
    except PermissionError:
        pass
    return found + ["root"] * (os.getuid() == 0)
"""
_PROBE_TESTS = """
def check(candidate):
    assert candidate() == [], "in reach: " + ", ".join(candidate())
"""


@dataclass(frozen=True)
class Outcome:
    """How the tests ended."""

    passed: bool
    error: str  # why not, e.g. "AssertionError: "; the solution can put any text here, so trust it as little


def run_tests(solution: str, entry_point: str, head: str, tests: str, unsafe: bool = False) -> Outcome:
    """Run tests on a generated function; from any number of threads at once.

    Args:
        solution: The source that defines the function. Standard library only, the system's Python.
        entry_point: The function's name.
        head: Trusted source that is run before the tests, because they may call its helpers: HumanEval's prompt.
        tests: Source that defines `check(candidate)`, which raises if the function is wrong.
        unsafe: Run it all the same where no sandbox works.

    Returns:
        The outcome, after at most `WALL_SECONDS` + 2 s.

    Raises:
        InputError: there is no working sandbox here, and `unsafe` is false; says what to install or allow.
        StoppedError: the sandbox worked before, and cannot be started now.
    """
    return _run(solution, entry_point, head, tests, isolated=sandbox_mode(unsafe) == BUBBLEWRAP)


def sandbox_mode(unsafe: bool = False) -> str:
    """How generated code is run here, for the records of a run: `BUBBLEWRAP`, or `NO_SANDBOX` where none works.

    Raises:
        InputError: none works, and `unsafe` is false; says what to install or allow. Or programs are judged wrongly
            without one.
    """
    fault = _probe()
    if fault and not unsafe:
        raise InputError(
            f"HumanEval runs generated code, which is done only in a sandbox, and {fault} "
            "--unsafe-code-execution runs it without one: it can then do anything you can."
        )
    if fault and (wrong := _probe_unsafe()):
        raise InputError(
            f"HumanEval's programs are judged wrongly here without a sandbox ({wrong}), and {fault} Run it where "
            "bubblewrap works."
        )
    return NO_SANDBOX if fault else BUBBLEWRAP


@functools.cache
def _probe() -> str:
    """Check once that a good function passes, a bad one fails, and the host is out of reach; return what is amiss."""
    if missing := bubblewrap.missing():
        return f"{missing} is missing here. {bubblewrap.INSTALL}"
    with tempfile.NamedTemporaryFile() as canary, socket.create_server(("127.0.0.1", 0)) as server:
        program = _PROBE.format(canary=canary.name, port=server.getsockname()[1])
        try:
            isolated = _run(program, "weaknesses", "", _PROBE_TESTS, isolated=True)
            exits = _run("def f(): raise SystemExit(0)", "f", "", "def check(f): f()", isolated=True)
        except StoppedError as error:
            return f"{error} {bubblewrap.INSTALL} {bubblewrap.ALLOW}"
    if not isolated.passed or exits.passed:
        return (
            f"bwrap does not isolate here ({isolated.error or 'a failing program passed'}). "
            f"{bubblewrap.INSTALL} {bubblewrap.ALLOW}"
        )
    return ""


@functools.cache
def _probe_unsafe() -> str:
    """Check once that without a sandbox a good function passes and a bad one fails; return what is amiss."""
    tests = "def check(f): assert f() == 1"
    try:
        good, bad = (_run(f"def f(): return {value}", "f", "", tests, isolated=False) for value in (1, 2))
    except StoppedError as error:
        return str(error)
    return "a failing program passed" if bad.passed else good.error


def _run(solution: str, entry_point: str, head: str, tests: str, isolated: bool) -> Outcome:
    with ExitStack() as stack:
        answers, calls = (stack.enter_context(end) for end in socket.socketpair())
        ours, theirs = (stack.enter_context(end) for end in socket.socketpair())
        spared = [] if isolated else ["RLIMIT_AS"]  # macOS refuses it
        job = {"limits": _LIMITS, "spared": spared, "entry_point": entry_point}
        solving = {**job, "solution": solution, "channel": answers.fileno()}
        testing = {**job, "head": head, "tests": tests, "channel": calls.fileno(), "verdict": theirs.fileno()}
        candidate = stack.enter_context(_guest(solving, (answers,), isolated))
        tester = stack.enter_context(_guest(testing, (calls, theirs), isolated))
        for end in (answers, calls, theirs):
            end.close()  # so that each side notices when the other ends
        ours.settimeout(WALL_SECONDS)
        try:
            written = ours.recv(1 << 16)
        except TimeoutError:
            candidate.kill()
            tester.kill()
            return Outcome(False, f"TimeoutError: still running after {WALL_SECONDS} s")
        if not written:
            return Outcome(False, _ending(tester))
        try:
            verdict = json.loads(written)
            passed, error = verdict["passed"], verdict["error"]
        except (ValueError, TypeError, KeyError, RecursionError):  # hostile tests can write here, and gain nothing
            return Outcome(False, "the tests left no readable verdict")
        if error is None:
            return Outcome(False, _ending(candidate))
        return Outcome(passed is True, str(error)[:_ERROR_LENGTH].encode(errors="replace").decode())


class _Guest:
    """A started process, and what it or bwrap said before the program's own output was cut off."""

    def __init__(self, process: subprocess.Popen[bytes], stderr: BinaryIO):
        self.process = process
        self.stderr = stderr

    def end(self) -> int:
        """Give it a moment to end by itself, then kill it; return its status."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_GRACE)
        return self.kill()

    def kill(self) -> int:
        """Kill it with all that it started: bwrap takes its whole process namespace with it; return its status."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait()


@contextmanager
def _guest(job: dict[str, Any], channels: tuple[socket.socket, ...], isolated: bool) -> Iterator[_Guest]:
    """Start guest.py on a job; when the block is left, no process of it is."""
    with ExitStack() as stack:
        stdin, stderr = (stack.enter_context(_file(content)) for content in (json.dumps(job).encode(), b""))
        inherited = [channel.fileno() for channel in channels]
        if isolated:
            syscalls = stack.enter_context(_file(bubblewrap.syscall_filter())).fileno()
            inherited.append(syscalls)
            command, folder = bubblewrap.command(syscalls), "/"
        else:
            command, folder = [sys.executable], stack.enter_context(tempfile.TemporaryDirectory())
        try:
            process = subprocess.Popen(
                [*command, "-I", "-S", "-c", _guest_source()],
                stdin=stdin,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                pass_fds=inherited,
                env=_ENVIRONMENT,
                cwd=folder,
                start_new_session=True,
            )
        except OSError as error:
            raise StoppedError(f"the sandbox does not start here ({error}).") from error
        guest = _Guest(process, stderr)
        try:
            yield guest
        finally:
            guest.end()


@contextmanager
def _file(content: bytes) -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        yield file


@functools.cache
def _guest_source() -> str:
    return Path(__file__).with_name("guest.py").read_text(encoding="utf-8") + "\nmain()\n"


def _ending(guest: _Guest) -> str:
    """Why a process ended before its work was done.

    Raises:
        StoppedError: because it could not be started.
    """
    status = guest.end()
    guest.stderr.seek(0)
    if complaint := guest.stderr.read().decode(errors="replace").strip():
        raise StoppedError(f"the sandbox does not start here ({complaint[-_ERROR_LENGTH:]}).")
    if status in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return f"TimeoutError: still computing after {CPU_SECONDS} s"
    return f"the program ended early, status {status}"
