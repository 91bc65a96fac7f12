"""The sandbox: verdicts that nothing can forge, nothing of the host in reach, every verdict in time."""

import ast
import json
import math
import os
import random
import shutil
import struct
import subprocess
import sys
import time
from collections import Counter, OrderedDict, deque, namedtuple
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pada_graph import sandbox
from pada_graph.errors import InputError, StoppedError
from pada_graph.sandbox import bubblewrap, guest, run_tests, sandbox_mode

needs_sandbox = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
CHECK = "def check(candidate):\n    assert candidate(2) == 4"
MARKER = f"marker-{os.getpid()}-{random.getrandbits(64)}"


@pytest.fixture
def short_limits(monkeypatch):
    """A CPU second for the solution, 3 s of wall time: what never ends need not take long to be stopped."""
    monkeypatch.setitem(sandbox._LIMITS, "RLIMIT_CPU", (1, 1))
    monkeypatch.setattr(sandbox, "WALL_SECONDS", 3)


@pytest.fixture
def fresh_probe():
    def forget():
        sandbox._probe.cache_clear()
        sandbox._probe_unsafe.cache_clear()

    forget()
    yield
    forget()


def command_lines():
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().decode(errors="replace"))
        except OSError:
            continue
    return found


@needs_sandbox
@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("return x + 3", "AssertionError"),
        ("return x.y", "AttributeError: 'int' object has no attribute 'y'"),
        ("return input()", "EOFError"),
        ("yield 4", "AssertionError:  (the function returned a generator)"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("import os; os._exit(7)", "ended early, status 7"),
        ("raise ValueError('z' * 10**6)", "ValueError: zzz"),
        ("raise ValueError('\\ud800')", "ValueError: ?"),
        ("raise UnicodeDecodeError('utf-8', b'', 0, 1, 'odd')", "Exception: 'utf-8' codec"),
        ("return 'x' * (2 << 30)", "MemoryError"),
        ("return 'x' * (1 << 25)", "no readable reply: ValueError: a message of 33554445 bytes"),
        ("open('/x', 'w')", "OSError: [Errno 30] Read-only file system"),
        ("return f(x)", "RecursionError"),
    ],
)
def test_a_wrong_function_fails_with_the_reason(body, error):
    outcome = run_tests(f"def f(x):\n    {body}", "f", "", CHECK)
    assert not outcome.passed
    assert outcome.error.startswith(error) or error in outcome.error
    assert len(outcome.error) <= 300


@needs_sandbox
@pytest.mark.parametrize(
    ("solution", "error"),
    [
        ("def f(:", "SyntaxError"),
        ("x = '\0'", "null bytes"),
        ("def g(x): return 4", "NameError: name 'f' is not defined"),
        ("f = 4", "TypeError: 'int' object is not callable"),
        ("raise KeyError('k')", "KeyError: 'k'"),
        ("\ud800", "UnicodeEncodeError"),
    ],
)
def test_a_solution_that_does_not_load_fails_with_the_reason(solution, error):
    outcome = run_tests(solution, "f", "", CHECK)
    assert not outcome.passed
    assert error in outcome.error


@needs_sandbox
@pytest.mark.parametrize(
    ("solution", "error"),
    [
        ("def f(x):\n    while True: pass", "TimeoutError: still computing after 5 s"),
        ("import time\ndef f(x): time.sleep(60)", "TimeoutError: still running after 3 s"),
    ],
)
def test_a_function_that_does_not_end_is_stopped_in_time(short_limits, solution, error):
    started = time.monotonic()
    assert run_tests(solution, "f", "", CHECK) == sandbox.Outcome(False, error)
    assert time.monotonic() - started < 3 + 2


@needs_sandbox
def test_the_tests_have_limits_too_and_cannot_pass_by_ending(short_limits):
    right = "def f(x): return 4"
    endless = run_tests(right, "f", "", "def check(f):\n    while True: f(2)").error or ""
    assert "still computing" in endless or "still running" in endless  # on a busy machine the wall clock comes first
    assert run_tests(right, "f", "", "def check(f):\n    import os; os._exit(0)").error.endswith(
        "ended early, status 0"
    )
    assert "SystemExit" in run_tests(right, "f", "", "raise SystemExit").error
    assert "KeyError" in run_tests(right, "f", "", "x = 1").error
    spam = "import os\ndef check(f):\n    for d in range(3, 4096):\n        try: os.write(d, b'[' * 4000)\n"
    spam += "        except OSError: pass"
    assert run_tests(right, "f", "", spam).error == "the tests left no readable verdict"


@needs_sandbox
def test_the_tests_use_the_heads_helpers_and_know_the_function_by_its_name():
    head = 'def double(x):\n    return 2 * x\n\n\ndef f(x):\n    """Return double(x)."""\n'
    tests = "def check(candidate):\n    assert candidate(3) == f(x=3) == double(3)\n    assert f.__name__ == 'f'"
    assert run_tests(head + "    return double(x)", "f", head, tests).passed
    assert not run_tests("def double(x):\n    return 0\ndef f(x):\n    return double(x)", "f", head, tests).passed
    assert run_tests("def f(x):\n    return 2 * x", "f", "def double(x):\n    return 2 * x\n\ndef f(x):", tests).passed


@needs_sandbox
def test_a_test_can_expect_an_exception_of_a_builtin_type_and_nothing_else_passes_for_it():
    tests = "def check(f):\n    try:\n        f(2)\n        assert False\n"
    tests += "    except ValueError as error:\n        assert str(error) == 'two'"
    assert run_tests("class Own(ValueError): pass\ndef f(x): raise Own('two')", "f", "", tests).passed
    assert not run_tests("def f(x): raise KeyError('two')", "f", "", tests).passed
    catch_all = "def check(f):\n    try:\n        f(2)\n    except BaseException:\n        pass"
    assert not run_tests("import os\ndef f(x): os._exit(0)", "f", "", catch_all).passed
    assert not run_tests("import sys\ndef f(x): sys.exit(0)", "f", "", catch_all).passed
    assert not run_tests("def f(x): return 'x' * (1 << 25)", "f", "", catch_all).passed


@needs_sandbox
def test_arguments_are_copies():
    tests = "def check(f):\n    x = [2]\n    f(x)\n    assert x == [2]\n    f({1: x})"
    assert run_tests("def f(x): x.clear()", "f", "", tests).passed
    assert "a function is no plain data" in run_tests("def f(x): return x", "f", "", "def check(f): f(check)").error


@needs_sandbox
def test_verdicts_are_right_from_many_threads_at_once():
    functions = [f"def f(x): return {value}" for value in (4, 5)] * 8
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda solution: run_tests(solution, "f", "", CHECK).passed, functions))
    assert outcomes == [True, False] * 8


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        (10**5000, 10**5000),
        (-(2**70), -(2**70)),
        ({(1, None): {"a": [b"\xff"]}, True: {1.5, 2}}, {(1, None): {"a": [b"\xff"]}, True: {1.5, 2}}),
        (frozenset({1}), frozenset({1})),
        ("\ud800", "\ud800"),
        (1j, 1j),
        (Fraction(-1, 3), Fraction(-1, 3)),
        (Decimal("0.10"), Decimal("0.10")),
        (Counter("aab"), {"a": 2, "b": 1}),
        (OrderedDict(a=1), {"a": 1}),
        (Point(1, 2), (1, 2)),
        (deque([1]), deque([1])),
        (bytearray(b"x"), b"x"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_plain_data_crosses_and_equals_what_it_was(value, arrives):
    crossed = guest.decode(json.loads(json.dumps(guest.encode(value))))
    assert crossed == arrives == value
    assert type(crossed) is type(arrives)


def test_floats_cross_exactly():
    inf, nan, zero = guest.decode(json.loads(json.dumps(guest.encode([math.inf, math.nan, -0.0]))))
    assert inf == math.inf and math.isnan(nan) and math.copysign(1, zero) == -1


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
)


@given(plain)
def test_any_plain_data_crosses(value):
    assert guest.decode(json.loads(json.dumps(guest.encode(value)))) == value


@pytest.mark.parametrize("value", [object(), len, (i for i in ()), [object()], {"a": range(3)}, type])
def test_nothing_else_crosses(value):
    with pytest.raises(TypeError, match="is no plain data"):
        guest.encode(value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.tuples(st.sampled_from(["list", "set", "dict", "int", "bytes", "Decimal", "eval", "Fraction"]), inner)
        ),
    )
)
def test_hostile_code_gives_plain_data_or_an_exception(code):
    def types(value):
        inner = [*value.keys(), *value.values()] if isinstance(value, dict) else value
        deeper = inner if isinstance(inner, list | tuple | set | frozenset | deque) else ()
        return {type(value)}.union(*(types(item) for item in deeper))

    try:
        value = guest.decode(json.loads(json.dumps(code)))
    except Exception:
        return
    allowed = {type(None), bool, int, float, complex, str, bytes, list, tuple, set, frozenset, dict, deque}
    assert types(value) <= allowed | {Decimal, Fraction}


def test_the_guest_is_python_3_8():
    ast.parse(sandbox._guest_source(), feature_version=(3, 8))


def test_a_foreign_result_equals_nothing():
    assert guest.Foreign() != guest.Foreign()
    assert guest.Foreign() not in (0, "", None, [], True)


def test_without_bubblewrap_nothing_runs(monkeypatch, fresh_probe):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sandbox, "_run", lambda *_, **__: pytest.fail("the program was run"))
    with pytest.raises(InputError, match=r"bwrap.* is missing here.*apt-get install bubblewrap"):
        run_tests("", "f", "", CHECK)


@pytest.mark.parametrize("passes", [True, False])
def test_a_sandbox_that_judges_wrongly_is_refused(monkeypatch, fresh_probe, passes):
    monkeypatch.setattr(bubblewrap, "missing", lambda: "")
    outcome = sandbox.Outcome(passes, "" if passes else "AssertionError: in reach: /etc/passwd")
    monkeypatch.setattr(sandbox, "_run", lambda *_, **__: outcome)
    expected = "a failing program passed" if passes else "AssertionError: in reach: /etc/passwd"
    with pytest.raises(InputError, match=f"does not isolate here \\({expected}\\).*apt-get install.*Ubuntu 24.04"):
        sandbox_mode()


@needs_sandbox
@pytest.mark.parametrize(
    ("option", "weakness"),
    [
        (["--share-net"], "network: "),
        (["--ro-bind", "/etc", "/etc"], "/etc/passwd"),
        (["--setenv", "TOKEN", "x"], "TOKEN"),
    ],
)
def test_the_probe_finds_a_weakness(monkeypatch, fresh_probe, option, weakness):
    real = bubblewrap.command

    def weaker(syscalls):
        words = real(syscalls)
        at = words.index("--remount-ro")
        return [*words[:at], *option, *words[at:]]

    monkeypatch.setattr(bubblewrap, "command", weaker)
    with pytest.raises(InputError, match=f"in reach: .*{weakness}"):
        sandbox_mode()


@needs_sandbox
def test_the_probe_finds_a_missing_filter(monkeypatch, fresh_probe):
    allow_all = bubblewrap.syscall_filter()[-8:]
    monkeypatch.setattr(bubblewrap, "syscall_filter", lambda: allow_all)
    with pytest.raises(InputError, match=r"does not isolate here"):
        sandbox_mode()


@needs_sandbox
def test_a_sandbox_that_cannot_start_is_refused_at_the_probe_and_stops_a_run_later(monkeypatch, fresh_probe):
    broken = [*bubblewrap.command(0)[:-1], "--no-such-option"]
    sandbox_mode()
    monkeypatch.setattr(bubblewrap, "command", lambda _: broken)
    with pytest.raises(StoppedError, match=r"does not start here .*no-such-option"):
        run_tests("def f(x): return 4", "f", "", CHECK)
    sandbox._probe.cache_clear()
    with pytest.raises(InputError, match=r"no-such-option.*apt-get install bubblewrap"):
        sandbox_mode()


def test_only_a_root_caller_becomes_nobody(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda tool: tool)
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    assert bubblewrap.command(3)[0] == "bwrap"
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert bubblewrap.command(3)[:3] == ["setpriv", "--reuid", "65534"]


def filtered(architecture, number, argument=0):
    """What the filter returns for a system call: a machine for the five instructions that it uses."""
    data = struct.pack("<iIQQ", number, architecture, 0, argument)
    program = list(struct.iter_unpack("=HBBI", bubblewrap.syscall_filter()))
    at = accumulator = 0
    while True:
        code, if_true, if_false, constant = program[at]
        if code == 0x06:
            return constant
        if code == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, constant)
            at += 1
        else:
            holds = {0x15: accumulator == constant, 0x35: accumulator >= constant, 0x45: bool(accumulator & constant)}
            at += 1 + (if_true if holds[code] else if_false)


@pytest.mark.parametrize(
    ("machine", "architecture", "numbers"),
    [
        ("x86_64", 0xC000003E, {"clone": 56, "fork": 57, "unshare": 272, "keyctl": 250, "read": 0, "execve": 59}),
        ("aarch64", 0xC00000B7, {"clone": 220, "fork": 97, "unshare": 97, "keyctl": 219, "read": 63, "execve": 221}),
    ],
)
def test_the_filter_allows_threads_and_refuses_processes_on_each_machine(monkeypatch, machine, architecture, numbers):
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("", "", "", "", machine)))
    allowed, refused, absent, killed = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
    assert filtered(architecture, numbers["clone"], argument=0x003D0F00) == allowed  # pthread_create's flags
    assert filtered(architecture, numbers["clone"], argument=0x01200011) == refused  # fork's
    assert filtered(architecture, 435) == absent  # clone3
    for name in ("fork", "unshare", "keyctl"):
        assert filtered(architecture, numbers[name]) == refused
    for name in ("read", "execve"):
        assert filtered(architecture, numbers[name]) == allowed
    assert filtered(architecture, 0x40000000 + numbers["read"]) == refused  # the x32 numbers
    assert filtered(0x40000003, numbers["read"]) == killed  # 32-bit calls


def test_a_machine_without_a_filter_is_refused(monkeypatch):
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("", "", "", "", "riscv64")))
    assert "a processor of the kind x86_64 or aarch64" in bubblewrap.missing()


@pytest.fixture
def no_bubblewrap(monkeypatch, fresh_probe):
    monkeypatch.setattr(bubblewrap, "missing", lambda: "bwrap")


def test_the_flag_names_the_mode_and_judges_the_same(no_bubblewrap, short_limits):
    with pytest.raises(InputError, match="bwrap is missing here"):
        sandbox_mode()
    assert sandbox_mode(unsafe=True) == "none (unsafe_code_execution)"
    assert run_tests("def f(x): return 4", "f", "", CHECK, unsafe=True) == sandbox.Outcome(True, "")
    assert "AssertionError" in run_tests("def f(x): return 5", "f", "", CHECK, unsafe=True).error
    assert "still computing" in run_tests("while True: pass", "f", "", CHECK, unsafe=True).error
    assert "MemoryError" in run_tests("x = 'x' * (2 << 30)", "f", "", CHECK, unsafe=True).error
    environment = "import os\ndef f(x): return sorted(os.environ)"
    assert "PATH" in run_tests(environment, "f", "", "def check(f): assert 0, f(2)", unsafe=True).error


def test_even_without_a_sandbox_no_environment_is_handed_on_and_no_child_stays(no_bubblewrap, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-7351")
    leaves_a_child = (
        "import os, subprocess, sys\n"
        f"subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60) # {MARKER}-child'])\n"
        "def f(x): return 4 if 'AWS_SECRET_ACCESS_KEY' not in os.environ else 0"
    )
    assert run_tests(leaves_a_child, "f", "", CHECK, unsafe=True).passed
    deadline = time.monotonic() + 2
    while (left := [line for line in command_lines() if f"{MARKER}-child" in line]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


def refusing(*names: str) -> str:
    """guest.py on a system that refuses these limits."""
    return sandbox._guest_source().replace(
        "\nmain()\n",
        f"""
real = resource.setrlimit
def setrlimit(kind, limit):
    if kind in [getattr(resource, name) for name in {names}]:
        raise ValueError("current limit exceeds maximum limit")
    real(kind, limit)
resource.setrlimit = setrlimit
main()
""",
    )


def test_without_a_sandbox_programs_are_judged_where_the_system_refuses_a_limit_of_memory(no_bubblewrap, monkeypatch):
    source = refusing("RLIMIT_AS")
    monkeypatch.setattr(sandbox, "_guest_source", lambda: source)  # macOS
    assert run_tests("def f(x): return 4", "f", "", CHECK, unsafe=True) == sandbox.Outcome(True, "")
    assert "AssertionError" in run_tests("def f(x): return 5", "f", "", CHECK, unsafe=True).error


@needs_sandbox
def test_in_the_sandbox_no_limit_may_be_refused(monkeypatch, fresh_probe):
    source = refusing("RLIMIT_AS")
    monkeypatch.setattr(sandbox, "_guest_source", lambda: source)
    with pytest.raises(InputError, match="does not isolate here"):
        sandbox_mode()


def test_without_a_sandbox_a_system_that_judges_every_program_wrong_is_refused(no_bubblewrap, monkeypatch):
    source = refusing("RLIMIT_CPU")
    monkeypatch.setattr(sandbox, "_guest_source", lambda: source)
    with pytest.raises(InputError, match=r"judged wrongly here .*status 1.*bwrap is missing.*where bubblewrap works"):
        sandbox_mode(unsafe=True)


def test_without_a_sandbox_a_system_that_passes_every_program_is_refused(no_bubblewrap, monkeypatch):
    monkeypatch.setattr(sandbox, "_run", lambda *_, **__: sandbox.Outcome(True, ""))
    with pytest.raises(InputError, match=r"judged wrongly here .*\(a failing program passed\)"):
        sandbox_mode(unsafe=True)


@needs_sandbox
def test_the_flag_changes_nothing_where_the_sandbox_works():
    assert sandbox_mode(unsafe=True) == sandbox_mode() == "bubblewrap"


@needs_sandbox
def test_no_process_outlives_a_killed_caller(tmp_path):
    marker = f"{MARKER}-killed"
    code = (
        "from pada_graph import sandbox\n"
        f"sandbox._guest_source = lambda source=sandbox._guest_source(): '# {marker}\\n' + source\n"
        "print('started', flush=True)\n"
        "sandbox.run_tests('import time\\ntime.sleep(60)', 'f', '', '')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(sandbox.__file__).parents[2])}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment) as caller:
        assert caller.stdout.readline() == b"started\n"
        deadline = time.monotonic() + 20
        while not any(f"# {marker}" in line and "bwrap" in line for line in command_lines()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        caller.kill()
    deadline = time.monotonic() + 5
    while (left := [line for line in command_lines() if f"# {marker}\n" in line]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []
