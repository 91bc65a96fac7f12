"""A fork of the prepared Python does what a new Python would, and ends as one."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pada_graph.executors import fork_server, forks
from tests.faults.test_kills import children_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks are for Linux")

SCRIPT = """
import os, sys, time
print(sys.argv[1:], os.getppid() == int(sys.argv[1]), os.environ.get("COLOUR"), os.getcwd(), sys.stdin.read())
print("said", file=sys.stderr)
sys.stdout.flush()
time.sleep(float(sys.argv[2]))
sys.exit(int(sys.argv[3]))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a module, a server without the heavy libraries, and none left afterwards."""
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "datasets.py").write_text("raise ImportError")  # the first that the server imports
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(forks, "_running", forks._Running())
    yield tmp_path
    forks._running.end()


def start(folder, *arguments, **variables):
    with (folder / "err.txt").open("wb") as err:
        return forks.start(["-m", "script", forks.PARENT, *map(str, arguments)], err, {**os.environ, **variables})


def server():
    return forks._running.server._process.pid


def gone(pid, seconds=20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                time.sleep(0.05)
                continue
        return True
    return False


def test_a_fork_has_the_arguments_variables_folder_and_files_that_it_was_given(folder):
    for colour in ("red", "blue"):
        with start(folder, 0, 3, COLOUR=colour) as child:
            said = child.stdout.read().decode()
            assert child.wait(60) == 3
        assert said == f"['{server()}', '0', '3'] True {colour} {folder} \n"
        assert (folder / "err.txt").read_text() == "said\n"


def test_a_fork_is_what_a_new_python_is(folder):
    with start(folder, 0, 0, COLOUR="red") as child:
        forked = child.stdout.read().replace(str(server()).encode(), b"P")
    command = ["-m", "script", forks.PARENT, "0", "0"]
    with (folder / "err.txt").open("wb") as err, forks.plain(command, err, {**os.environ, "COLOUR": "red"}) as child:
        plain = child.stdout.read().replace(str(os.getpid()).encode(), b"P")
    assert forked == plain


def test_one_server_starts_all_and_another_is_needed_only_for_what_is_read_at_import(folder):
    first = start(folder, 0, 0)
    one = server()
    second = start(folder, 0, 0, COLOUR="green")
    assert server() == one
    running = start(folder, 3, 0)
    other = start(folder, 0, 0, OMP_NUM_THREADS="7")
    assert server() != one
    assert [child.wait(60) for child in (first, second, other)] == [0, 0, 0]
    assert running.wait(60) == 0  # the first server waited for it
    assert gone(one)


@pytest.mark.parametrize(("end", "status"), [("terminate", -signal.SIGTERM), ("kill", -signal.SIGKILL)])
def test_a_fork_ends_by_a_signal_with_that_status(folder, end, status):
    child = start(folder, 60, 0)
    assert child.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.1)
    getattr(child, end)()
    assert child.wait(60) == status
    assert gone(child.pid)
    getattr(child, end)()  # of an ended one: nothing


def test_a_server_that_was_killed_takes_its_child_for_killed_and_is_replaced(folder):
    child = start(folder, 60, 0)
    os.kill(server(), signal.SIGKILL)
    assert child.wait(60) == -signal.SIGKILL
    assert gone(child.pid)
    with start(folder, 0, 5) as child:
        assert child.wait(60) == 5


def test_server_and_forks_end_with_the_process_that_asked(folder):
    code = (
        "import os, sys, time\nfrom pada_graph.executors import forks\n"
        "child = forks.start(['-m', 'worker', forks.PARENT], sys.stderr.buffer, dict(os.environ))\n"
        "print(forks._running.server._process.pid, child.pid, flush=True)\ntime.sleep(60)"
    )
    (folder / "worker.py").write_text(
        "import sys, time\nfrom pada_graph.student.worker import end_with\nend_with(int(sys.argv[1]))\ntime.sleep(60)"
    )
    asker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    pids = [int(word) for word in asker.stdout.readline().split()]
    asker.kill()
    asker.wait()
    assert all(gone(pid) for pid in pids)


def test_a_request_of_a_process_that_has_ended_meanwhile_starts_nothing(folder):
    (folder / "datasets.py").write_text("import time\ntime.sleep(3)\nraise ImportError")
    (folder / "mark.py").write_text("open('started', 'w')")
    code = (
        "import os, sys\nfrom pada_graph.executors import forks\nprint(os.getpid(), flush=True)\n"
        "forks.start(['-m', 'mark', forks.PARENT], sys.stderr.buffer, dict(os.environ))"
    )
    asker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    asker.stdout.readline()
    deadline = time.monotonic() + 20
    while not (servers := children_of(asker.pid)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.5)  # the request waits in its socket
    asker.kill()
    asker.wait()
    assert all(gone(pid) for pid in servers)
    assert not (folder / "started").exists()


def test_a_fork_that_is_interrupted_ends_by_that_signal_and_words_of_an_exit_are_told(folder):
    child = start(folder, 60, 0)
    assert child.stdout.readline()  # it is at work
    os.kill(child.pid, signal.SIGINT)
    assert child.wait(60) == -signal.SIGINT
    (folder / "script.py").write_text("import sys\nsys.exit('no more')")
    assert start(folder).wait(60) == 1
    assert (folder / "err.txt").read_text() == "no more\n"


def test_a_fork_that_cannot_begin_ends_and_the_server_goes_on(folder, monkeypatch):
    with start(folder, 0, 0) as child:
        assert child.wait(60) == 0
    one = server()
    with monkeypatch.context() as patched:
        patched.setattr(forks.Path, "cwd", lambda: folder / "gone")
        assert start(folder, 0, 0).wait(60) == 1
    assert start(folder, 0, 4).wait(60) == 4
    assert server() == one


def test_where_there_may_be_a_gpu_each_is_a_new_process(folder, monkeypatch):
    monkeypatch.setattr(forks, "DEVICES", [folder])
    with start(folder, 0, 0) as child:
        assert isinstance(child, subprocess.Popen)
        assert child.wait(60) == 0


def test_a_forked_process_of_ours_leaves_its_parents_server_alone(folder):
    with start(folder, 0, 0) as child:
        assert child.wait(60) == 0
    pid = os.fork()
    if pid == 0:
        os._exit(int(forks._running.server is not None))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    before = server()
    with start(folder, 0, 4) as child:
        assert child.wait(60) == 4
    assert server() == before


def test_a_server_without_work_ends(folder, monkeypatch):
    import socket

    monkeypatch.setattr(fork_server, "IDLE_SECONDS", 0.1)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    began = time.monotonic()
    with ours, theirs:
        fork_server.serve(theirs, os.getppid())
    assert 0.1 <= time.monotonic() - began < 10
