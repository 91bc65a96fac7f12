"""Start a run, or go on with one: the compiled graph on the run directory's own checkpoints."""

import errno
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from langgraph.checkpoint.sqlite import SqliteSaver

from pada_graph.config import RunConfig
from pada_graph.consistency import CHECKPOINTS, OWN_THREAD, PLAIN, Saver, compare
from pada_graph.errors import StoppedError
from pada_graph.graph import build_graph
from pada_graph.heads import read_heads, record_checkpoint
from pada_graph.lock import locked, stop
from pada_graph.nodes.open import close_run, default_run_dir
from pada_graph.nodes.recorded_config import record_config, with_recorded_sizes
from pada_graph.rundir import RunDir
from pada_graph.services import Progress, Services
from pada_graph.stages import stage_seconds

_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)


def run(
    config: RunConfig,
    run_dir: Path | str | None = None,
    *,
    services: Services | None = None,
    watch: Progress | None = None,
    checkpointer: Saver | None = None,
    rebuild_state: bool = False,
) -> dict[str, Any]:
    """Run the whole loop and return metrics.json as a dict.

    With a run directory that exists the run goes on where it stopped; a finished one is not repeated.

    Args:
        config: the run; on an existing run only what docs/usage.md lists there may differ.
        run_dir: where the run lives; None: a name made from the config, under runs/.
        services: replaces models, training and prediction (tests).
        watch: gets every progress event.
        checkpointer: a LangGraph saver of your own, the same one when the run goes on; None: checkpoints.sqlite in the
            run directory.
        rebuild_state: where journal, graph state and files contradict each other, give up what was lost and go on with
            what is there; finished calls and whole adapters are not repeated.

    Raises:
        InputError: bad data or configuration, the directory belongs to another run or process, or its journal, graph
            state and files contradict each other.
        StoppedError: a provider, the disk or the training failed; call again to resume.
    """
    directory = RunDir(run_dir or default_run_dir(config))
    with locked(directory.root, close_run) as session:
        config = with_recorded_sizes(directory, config)
        record_config(directory, config, look=True)
        try:
            thread = _thread(directory.root, checkpointer)
            compare(config, directory, thread, checkpointer, services, rebuild_state)
            record_config(directory, config)
            with _saver(directory, checkpointer) as saver, _in_time(config, directory, session):
                _run_graph(directory, config, services, watch, saver, _thread(directory.root, checkpointer), session)
        except (OSError, sqlite3.Error) as error:
            if isinstance(error, OSError) and error.errno not in _OF_THE_DISK:
                raise
            raise StoppedError(
                f"{directory.root}: {error}. Free some space or mend the permissions, then run the same command again."
            ) from error
    metrics: dict[str, Any] = directory.read_json("metrics.json")
    return metrics


def _thread(root: Path, own: Saver | None) -> str:
    """The run's one thread; in a saver that runs may share, its name is no other run's."""
    recorded = read_heads(root).get("thread", OWN_THREAD)
    return recorded if own is None or recorded != OWN_THREAD else f"run-{uuid4()}"


@contextmanager
def _saver(directory: RunDir, own: Saver | None) -> Iterator[Saver]:
    if own is not None:
        yield own
        return
    with closing(sqlite3.connect(directory.path(CHECKPOINTS), check_same_thread=False)) as connection:
        yield SqliteSaver(connection, serde=PLAIN)


@contextmanager
def _in_time(config: RunConfig, directory: RunDir, session: UUID) -> Iterator[None]:
    """Stop the session once the run's sessions have taken `limits.max_hours`.

    Raises:
        StoppedError: they have already.
    """
    hours = config.limits.max_hours
    if hours is None or directory.path("metrics.json").exists():
        yield
        return
    reached = StoppedError(
        f"limits.max_hours: the run has taken {hours:g} hours. Raise it and run the same command again; nothing "
        "finished is lost."
    )
    events = directory.read_log("events.jsonl")
    left = 3600 * hours - (sum(stage_seconds(events, events[-1]["time"]).values()) if events else 0)
    if left <= 0:
        raise reached
    timer = threading.Timer(left, lambda: stop(session, reached))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _run_graph(
    directory: RunDir,
    config: RunConfig,
    services: Services | None,
    watch: Progress | None,
    saver: Saver,
    thread: str,
    session: UUID,
) -> None:
    graph = build_graph(services, saver)
    settings: Any = {
        "configurable": {"thread_id": thread, "run_dir": str(directory.root)},
        "max_concurrency": config.limits.concurrency + 1,  # one thread of langgraph's pool waits on the stream
        "recursion_limit": recursion_limit(config),
        "run_id": session,
    }
    state = graph.get_state(settings)
    if state.created_at and not state.tasks:
        return  # finished before
    directory.append("events.jsonl", {"event": "session", "time": round(time.time(), 3)})
    start = None if state.created_at else {"run_dir": str(directory.root)}
    stream: Any = graph.stream(
        start, settings, context=config, stream_mode=["custom", "checkpoints"], subgraphs=True, durability="sync"
    )
    for namespace, kind, event in stream:
        if kind == "custom" and watch:
            watch(event)
        elif kind == "checkpoints" and not namespace and (newest := saver.get_tuple(settings)):
            record_checkpoint(directory.root, thread, newest.config["configurable"]["checkpoint_id"])


def recursion_limit(config: RunConfig) -> int:
    """Supersteps that a run can need: eight a round outside, two an attempt inside, and the ends."""
    return 10 + max(8 * config.iterations, 2 * (config.quality.max_regenerations + 1))
