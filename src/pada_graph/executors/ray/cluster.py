"""Laptop to cluster is one address: start Ray on this machine, or join the cluster that `ray.address` names."""

import logging
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from pada_graph.config import Ray
from pada_graph.errors import InputError, StoppedError
from pada_graph.executors.local import DEFAULTS

OBJECT_STORE = 200 << 20  # bytes; uncapped it is a third of the memory. Rows travel as files, prompts as arguments
STARTS = 2
# Set only where the user has not: on a busy machine, or with Python on a network disk, workers start slowly.
PATIENCE = {"RAY_worker_register_timeout_seconds": "600", "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "600"}
REACH_SECONDS = 10  # for a first connection to the address
LOOK_SECONDS = 60  # for every machine to say what it sees

_starting = threading.Lock()
_joined: list[str | None] = []  # the `ray.address` that this process has joined by `connect`


@dataclass(frozen=True)
class Cluster:
    """What this process computes on."""

    address: str  # by which a child process joins it
    workers: int
    gpu: bool  # each worker has a GPU of its own
    cpus: int  # of each worker

    @property
    def resources(self) -> dict[str, float]:
        """What one worker reserves, in Ray's words."""
        return {"CPU": self.cpus, "GPU": 1} if self.gpu else {"CPU": self.cpus}


def connect(settings: Ray) -> Cluster:
    """Join the cluster, or start Ray here; a Ray that this process was given by its user is taken as it is.

    Raises:
        InputError: Ray is not installed, the address does not answer, or has fewer devices than `ray.workers`; or this
            process has joined another one.
        StoppedError: Ray cannot be started on this machine.
    """
    try:
        import ray
    except ImportError as error:
        raise InputError("executor: ray is not installed. Install it with: pip install 'pada-graph[ray]'") from error
    with _starting:
        if not ray.is_initialized():
            in_a_thread_that_stays(lambda: start() if settings.address is None else _join(settings.address))
            _joined[:] = [settings.address]
        elif _joined not in ([], [settings.address]):
            raise InputError(
                f"ray.address: this process computes on {_joined[0] or 'a Ray of its own'} already, and cannot join "
                f"{settings.address or 'another'}. Call ray.shutdown() first, or use a new process."
            )
    address = settings.address or ray.get_runtime_context().gcs_address
    totals = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = [int(total.get("GPU", 0)) for total in totals]
    cpus = [int(total.get("CPU", 0)) for total in totals]
    workers = settings.workers or sum(gpus) or 1
    if workers > (sum(gpus) or sum(cpus)):
        what = f"{sum(gpus)} GPUs" if sum(gpus) else f"{sum(cpus)} CPUs"
        raise InputError(f"ray.workers: {workers} workers need a device each, and {address} has {what}.")
    return Cluster(address, workers, gpu=bool(sum(gpus)), cpus=1 if sum(gpus) else _cpus_each(cpus, workers))


def _cpus_each(nodes: list[int], workers: int) -> int:
    """The most CPUs that each worker can have, no worker's being on two machines."""
    return next(n for n in range(max(nodes), 0, -1) if n == 1 or sum(cpus // n for cpus in nodes) >= workers)


def start(cpus: int | None = None) -> None:
    """Start Ray on this machine, with `cpus` CPUs or all of them; Ray gives up after 30 s, so it gets a second try."""
    import ray

    for name, value in (DEFAULTS | PATIENCE).items():
        os.environ.setdefault(name, value)  # Ray's processes inherit them
    failures: list[Exception] = []
    while len(failures) < STARTS:
        try:
            ray.init(
                address="local",
                num_cpus=cpus,
                include_dashboard=False,
                object_store_memory=OBJECT_STORE,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
            return
        except Exception as error:  # Ray raises that very class
            failures.append(error)
            ray.shutdown()
    raise StoppedError(
        f"Ray could not be started on this machine ({failures[-1]}). Free some memory and CPU, then run the same "
        "command again; its logs are in /tmp/ray/session_latest/logs."
    )


def kill() -> None:
    """End all that this process has started, at once, as a handler of signals needs it.

    Ray's processes end with this one by themselves, but two of its agents look for the others for a minute first.
    """
    import psutil

    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _join(address: str) -> None:
    import ray

    place = urlsplit(address if "//" in address else f"//{address}")
    try:
        if place.hostname and place.port:  # ray.init would try for a minute, and longer
            socket.create_connection((place.hostname, place.port), REACH_SECONDS).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:  # ConnectionError is an OSError
        raise InputError(
            f"ray.address: {address} cannot be joined ({str(error).partition(chr(10))[0]}). `ray status --address "
            f"{address}` shows whether a cluster is there; leave ray.address out for Ray on this machine."
        ) from error


def in_a_thread_that_stays(work: Callable[[], None]) -> None:
    """Call `work` in a thread that lives as long as this process.

    On Linux Ray's processes end with the thread that started them (PR_SET_PDEATHSIG), and the thread of a graph's node
    does not last. Outside of the main thread Ray also leaves the handler of SIGTERM alone.
    """
    done = threading.Event()
    failed: list[BaseException] = []

    def stay() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)
        done.set()
        if not failed:
            threading.Event().wait()

    threading.Thread(target=stay, name="ray", daemon=True).start()
    done.wait()
    if failed:
        raise failed[0]


def check_shared(folder: Path) -> None:
    """Make sure that every machine of the cluster sees `folder` and has pada-graph.

    Raises:
        InputError: names the machines that do not.
    """
    import ray

    folder.mkdir(parents=True, exist_ok=True)
    marker = folder.absolute() / f".seen-{uuid4().hex}"
    marker.touch()
    try:
        blind = unseen(marker)
    finally:
        marker.unlink()
    if blind:
        raise InputError(
            f"{folder.absolute()}: {'; '.join(blind)}. Every machine of the Ray cluster at "
            f"{ray.get_runtime_context().gcs_address} must see the run directory under the same path (NFS, EFS, "
            "Lustre) and have the same pada-graph installed. Choose a --run-dir on a shared file system."
        )


def unseen(marker: Path) -> list[str]:
    """What is wrong with the machines that do not see the file `marker`, one line each; needs no free CPU."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    look = ray.remote(num_cpus=0, max_retries=0)(_sees)
    asked = {
        look.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(
            str(marker)
        ): node["NodeManagerAddress"]
        for node in ray.nodes()
        if node["Alive"]
    }
    answered, silent = ray.wait(list(asked), num_returns=len(asked), timeout=LOOK_SECONDS)
    faults = [f"{asked[question]} does not answer within {LOOK_SECONDS} s" for question in silent]
    for question in answered:
        try:
            if not ray.get(question):
                faults.append(f"{asked[question]} does not see it")
        except ray.exceptions.RayError as error:  # pada_graph cannot be imported there, or the machine has gone
            faults.append(f"{asked[question]} cannot look: {str(error).strip().rpartition(chr(10))[2]}")
    return faults


def _sees(path: str) -> bool:
    return Path(path).exists()
