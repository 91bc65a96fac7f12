"""The server behind forks.py: `python -m pada_graph.executors.fork_server ASKER`, with a socket as stdin.

ASKER is the process that started it.

A request is one JSON message, {"command", "environment", "folder"}, with three open files: the child's stdout, its
stderr, and the pipe that is told its process id and exit status. Nothing here computes or starts a thread, so that a
fork is whole.
"""

import json
import os
import runpy
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import Any

from pada_graph.executors.forks import LONGEST_REQUEST, PARENT

IDLE_SECONDS = 600  # without a child, after which it ends
POLL_SECONDS = 0.05  # between two looks at its children


def serve(requests: socket.socket, asker: int) -> None:
    """Fork at every request; return when nothing was asked for long, or nobody can ask any more.

    A process that gave this one up still waits for its children. One that has ended does not: they end too, for they
    see that their parent has gone.
    """
    children: dict[int, int] = {}  # the pipe of each
    asked = True
    while asked or (children and os.getppid() == asker):
        if asked:
            ready, _, _ = select.select([requests], [], [], POLL_SECONDS if children else IDLE_SECONDS)
            asked = _fork(requests, children, asker) if ready else bool(children)
        else:
            time.sleep(POLL_SECONDS)
        for pid in list(children):
            ended, code = os.waitpid(pid, os.WNOHANG)
            if ended:
                status = children.pop(pid)
                _tell(status, os.waitstatus_to_exitcode(code))
                os.close(status)


def _fork(requests: socket.socket, children: dict[int, int], asker: int) -> bool:
    """Answer a request; False if nobody asks any more."""
    message, files, _, _ = socket.recv_fds(requests, LONGEST_REQUEST, 3)
    if not message or os.getppid() != asker:
        return False
    server = os.getpid()
    stdout, stderr, status = files
    try:
        pid = os.fork()
    except OSError:  # too many processes, or no memory: who asks sees the pipe closed
        for file in files:
            os.close(file)
        return True
    if pid == 0:
        try:
            requests.close()
            for pipe in (status, *children.values()):
                os.close(pipe)
            become(json.loads(message), stdout, stderr, server)
        finally:  # whatever befell it, as where the folder is gone: a child must not go on as a server
            os._exit(1)
    os.close(stdout)
    os.close(stderr)
    _tell(status, pid)
    children[pid] = status
    return True


def become(request: dict[str, Any], stdout: int, stderr: int, server: int) -> None:
    """Run the command in this process, as Python would, and end it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (stdout, 1), (stderr, 2)):
        os.dup2(source, target)
        os.close(source)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    _, module, *arguments = (word.replace(PARENT, str(server)) for word in request["command"])
    sys.argv = [module, *arguments]
    if not sys.flags.safe_path:
        sys.path[0] = request["folder"]
    status = 1
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def import_libraries() -> None:
    """Import what a fine-tuning needs; what is missing is found missing by the child, which says so."""
    with suppress(Exception):
        import datasets  # noqa: F401
        import peft  # noqa: F401
        import torch  # noqa: F401
        import transformers.models.auto.modeling_auto  # noqa: F401
        from trl import SFTTrainer  # noqa: F401


def _tell(pipe: int, number: int) -> None:
    with suppress(OSError):  # nobody listens any more
        os.write(pipe, f"{number}\n".encode())


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asked, which ends its children
    import_libraries()
    serve(socket.socket(fileno=os.dup(0)), int(sys.argv[1]))
