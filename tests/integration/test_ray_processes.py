"""How Ray is started here, and that nothing of it outlives the process that started it."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

pytest.importorskip("trl")
pytest.importorskip("ray")

import psutil

from pada_graph.config import Ray
from pada_graph.errors import InputError
from pada_graph.executors.ray.cluster import connect
from tests.fakes import write_sums

PATIENCE = 30  # seconds for processes to end that are told to
ORPHANED = 180  # for those that have to find out: two agents of Ray try to reach the others for 60 s

# Started by a thread that ends, as a graph's node does; then a task is run, and the process waits.
START = """
import signal, threading, time
import ray
from pada_graph.config import Ray
from pada_graph.errors import InputError
from pada_graph.executors.ray.cluster import connect
thread = threading.Thread(target=connect, args=(Ray(),))
thread.start()
thread.join()
time.sleep(3)
handled = signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
store = ray.cluster_resources()["object_store_memory"]
from ray._common.usage.usage_lib import usage_stats_enabled
print(ray.get(ray.remote(lambda: "alive").remote(), timeout=60), store, usage_stats_enabled(), handled, flush=True)
print(ray._private.worker._global_node.get_session_dir_path(), flush=True)
try:
    connect(Ray(address="elsewhere:6379"))
except InputError as error:
    print(error, flush=True)
time.sleep(600)
"""


def ray_processes(mark):
    """Living processes that name `mark`, a session's folder, on their command line."""
    living = [p.info for p in psutil.process_iter(["cmdline", "status"]) if p.info["status"] != psutil.STATUS_ZOMBIE]
    return [info for info in living if mark in " ".join(info["cmdline"] or [])]


def descendants(process):
    return psutil.Process(process.pid).children(recursive=True)


def left(processes, patience=PATIENCE):
    """Which of them are still there after a while; one that nobody has buried yet is not."""
    until = time.monotonic() + patience
    while time.monotonic() < until and (processes := [process for process in processes if alive(process)]):
        time.sleep(0.2)
    return processes


def alive(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.slow
def test_a_ray_of_our_own_is_capped_reports_to_nobody_and_dies_with_its_process():
    environment = {name: value for name, value in os.environ.items() if name != "RAY_USAGE_STATS_ENABLED"}
    with subprocess.Popen([sys.executable, "-c", START], stdout=subprocess.PIPE, text=True, env=environment) as child:
        try:
            said, session = child.stdout.readline().split(), child.stdout.readline().strip()
            refused = child.stdout.readline()
            started = descendants(child)
            assert len(ray_processes(session)) >= 2  # raylet and GCS at least
        finally:
            child.kill()
    assert said == ["alive", str(200.0 * 2**20), "False", "True"]
    assert refused.startswith(
        "ray.address: this process computes on a Ray of its own already, and cannot join elsewhere"
    )
    assert left(started, ORPHANED) == []
    assert ray_processes(session) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_on_ray_with_every_process_of_it(number, tmp_path):
    write_sums(tmp_path / "sums")
    config = tmp_path / "run.yaml"
    config.write_text(
        "{task: jsonl, method: vanilla, iterations: 0, executor: ray, ray: {workers: 1}, "
        f"data: {{source: {tmp_path / 'sums'}, train_size: 20, validation_size: 12, test_size: 12, match: number}}, "
        "student: {model: 'builtin:tiny', training: {epochs: 5000}, inference: {max_new_tokens: 2}}}"
    )
    command = [sys.executable, "-m", "pada_graph", "run", str(config), "--run-dir", str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as child:
        log = tmp_path / "run/iteration_0/training_log.jsonl"
        try:
            while not (log.exists() and log.stat().st_size > 500):
                assert child.poll() is None, child.stderr.read()
                time.sleep(0.2)
            started = descendants(child)
            assert any(process.name() == "raylet" for process in psutil.Process(child.pid).children())
            child.send_signal(number)
            status, said = child.wait(PATIENCE), child.stderr.read()
        finally:
            child.kill()
    assert status == 128 + number
    assert "The same command goes on from here." in said
    assert left(started) == []


def test_an_address_without_a_cluster_is_told_at_once(unused_port):
    began = time.monotonic()
    with pytest.raises(InputError, match=rf"ray\.address: 127\.0\.0\.1:{unused_port} cannot be joined .*ray status"):
        connect(Ray(address=f"127.0.0.1:{unused_port}"))
    assert time.monotonic() - began < 30


@pytest.fixture
def unused_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_without_the_package_the_extra_is_named(monkeypatch):
    before = threading.enumerate()
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'pada-graph\[ray\]'"):
        connect(Ray())
    assert set(threading.enumerate()) <= set(before)
