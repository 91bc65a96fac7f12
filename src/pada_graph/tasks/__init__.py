"""Tasks by name, or by the file that holds one."""

from importlib import import_module

from pada_graph.rundir import RunDir
from pada_graph.task_file import COPY, is_task_file, read_copy, read_task_file
from pada_graph.tasks.base import Task

TASKS = {
    "arc_challenge": "ArcChallenge",
    "gsm8k": "Gsm8k",
    "hellaswag": "HellaSwag",
    "squad": "Squad",
    "humaneval": "HumanEval",
    "demo": "Demo",
    "jsonl": "Jsonl",
}


def get_task(name: str, match: str = "exact", unsafe: bool = False) -> Task:
    """The task of that name.

    Args:
        name: A key of `TASKS`, or a Python file of the user's.
        match: `data.match`; concerns jsonl alone.
        unsafe: `unsafe_code_execution`; concerns humaneval alone.

    Raises:
        InputError: the file cannot be read, or holds no task.
    """
    if is_task_file(name):
        from pada_graph.tasks.own import load_task

        return load_task(read_task_file(name), name)
    task_class: type[Task] = getattr(import_module(f"pada_graph.tasks.{name}"), TASKS[name])
    settings = {"jsonl": (match,), "humaneval": (unsafe,)}
    return task_class(*settings.get(name, ()))


def task_of_run(directory: RunDir, name: str, sha256: str | None, match: str = "exact", unsafe: bool = False) -> Task:
    """The task of a run: where it is a file, the copy in the run's own directory.

    Args:
        directory: The run.
        name: Its configuration's `task`.
        sha256: Its `task_sha256`.
        match: As for `get_task`.
        unsafe: As for `get_task`.

    Raises:
        InputError: the copy is missing, was changed, or holds no task.
    """
    if not is_task_file(name):
        return get_task(name, match, unsafe)
    from pada_graph.tasks.own import load_task

    return load_task(read_copy(directory, sha256), str(directory.path(COPY)))
