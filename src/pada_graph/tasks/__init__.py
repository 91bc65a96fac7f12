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


def get_task(name: str, match: str = "exact") -> Task:
    """The task of that name; `match` is data.match and concerns jsonl alone."""
    task_class: type[Task] = getattr(import_module(f"pada_graph.tasks.{name}"), TASKS[name])
    return task_class(match) if name == "jsonl" else task_class()  # type: ignore[call-arg]
