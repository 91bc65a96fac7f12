"""Tasks by name."""

from importlib import import_module

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
        name: A key of `TASKS`.
        match: `data.match`; concerns jsonl alone.
        unsafe: `unsafe_code_execution`; concerns humaneval alone.
    """
    task_class: type[Task] = getattr(import_module(f"pada_graph.tasks.{name}"), TASKS[name])
    settings = {"jsonl": (match,), "humaneval": (unsafe,)}
    return task_class(*settings.get(name, ()))
