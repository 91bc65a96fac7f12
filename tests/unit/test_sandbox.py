"""The sandbox: honest verdicts, nothing of the host in sight."""

import os
import shutil
import socket
import time
from pathlib import Path

import pytest

from pada_graph import sandbox
from pada_graph.errors import InputError
from pada_graph.sandbox import run_python

needs_sandbox = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")


@needs_sandbox
@pytest.mark.parametrize(
    "source", ["x = 1", "print('y' * 10**7)", "import sys\nsys.stdout.close()\nsys.stderr.close()"]
)
def test_a_program_that_reaches_its_end_passes(source):
    assert run_python(source) == sandbox.Outcome(True, "")


@needs_sandbox
@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("assert 1 == 2, 'no'", "AssertionError: no"),
        ("def f(:", "SyntaxError"),
        ("import sys\nsys.exit(0)", "SystemExit: 0"),
        ("import os\nos._exit(0)", "ended early"),
        ("input()", "EOFError"),
        ("x = '\0'", "null bytes"),
        ("x = 'a' * (2 << 30)", "MemoryError"),
        ("open('/tmp/x', 'w').write('y' * (2 << 20))", "File too large"),
        ("open('/usr/x', 'w')", "Read-only file system"),
        ("import os\nwhile True: os.fork()", "BlockingIOError"),
        (
            "import os\nfor fd in range(3, 64):\n  try: os.write(fd, b'passed')\n  except OSError: pass\nos._exit(0)",
            "ended early",
        ),
        ("import os\nfor fd in range(3, 64):\n  try: os.close(fd)\n  except OSError: pass", "ended early"),
        ("raise ValueError('z' * 10**6)", "ValueError: zzz"),
    ],
)
def test_a_program_that_does_not_reach_its_end_fails_with_the_reason(source, error):
    outcome = run_python(source)
    assert not outcome.passed
    assert error in outcome.error
    assert len(outcome.error) <= 300


@needs_sandbox
@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("while True: pass", "TimeoutError: still "),
        ("import time\ntime.sleep(60)", "TimeoutError: still running after 4 s"),
    ],
)
def test_a_program_that_does_not_end_is_stopped_in_time(source, error):
    started = time.monotonic()
    outcome = run_python(source, timeout=1)
    assert error in outcome.error
    assert time.monotonic() - started < 10


@needs_sandbox
def test_the_programs_children_die_with_it():
    source = "import os, time\nif os.fork() == 0:\n    time.sleep(60)\nos._exit(0)"
    started = time.monotonic()
    assert not run_python(source, timeout=5).passed
    assert time.monotonic() - started < 5


@needs_sandbox
def test_no_secret_of_the_caller_is_visible(monkeypatch, tmp_path):
    monkeypatch.setenv("SECRET_TOKEN", "canary-7351")
    (tmp_path / "secret").write_text("canary-7351")
    source = f"""
import os
texts = [repr(dict(os.environ))]
for name in os.listdir("/proc"):
    for leaf in ("environ", "cmdline"):
        try: texts.append(open(f"/proc/{{name}}/{{leaf}}").read())
        except (OSError, UnicodeDecodeError): pass
assert not any("canary-7351" in text for text in texts), "environment"
assert not os.path.exists({str(tmp_path / "secret")!r}), "file"
assert not os.path.exists({str(Path.home())!r}), "home"
assert os.getuid() != 0
"""
    assert run_python(source) == sandbox.Outcome(True, "")


@needs_sandbox
def test_the_network_is_out_of_reach():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        outcome = run_python(f"import socket\nsocket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 1)")
        assert "Error" in outcome.error
        with pytest.raises(TimeoutError):
            server.accept()


@needs_sandbox
def test_no_namespace_of_its_own_can_be_made():
    outcome = run_python("import ctypes\nassert ctypes.CDLL(None).unshare(0x10000000) == 0, 'refused'")
    assert outcome.error == "AssertionError: refused"


@needs_sandbox
def test_verdicts_stay_right_after_hostile_programs():
    run_python("import os, signal\nos.kill(-1, signal.SIGKILL)")
    run_python("import os\nwhile True: os.fork()")
    assert run_python("x = 1").passed
    assert not run_python("assert False").passed


@pytest.fixture
def fresh_probe():
    sandbox._probe.cache_clear()
    yield
    sandbox._probe.cache_clear()


def test_without_bubblewrap_nothing_runs(monkeypatch, fresh_probe):
    monkeypatch.setattr(shutil, "which", lambda tool: None)
    monkeypatch.setattr(sandbox, "_run", lambda *_: pytest.fail("the program was run"))
    with pytest.raises(InputError, match=r"bwrap.* is missing here.*apt-get install bubblewrap"):
        run_python("x = 1")


@pytest.mark.parametrize("verdict", [True, False])
def test_a_sandbox_that_judges_wrongly_is_refused(monkeypatch, fresh_probe, verdict):
    monkeypatch.setattr(shutil, "which", lambda tool: tool)
    monkeypatch.setattr(sandbox, "_run", lambda *_: sandbox.Outcome(verdict, "" if verdict else "bwrap: no permission"))
    expected = "a failing program passed" if verdict else "bwrap: no permission"
    with pytest.raises(InputError, match=f"does not isolate here \\({expected}\\)"):
        run_python("x = 1")


def test_only_a_root_caller_becomes_nobody(monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    assert sandbox._command()[0] == "bwrap"
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert sandbox._command()[:3] == ["setpriv", "--reuid", "65534"]
