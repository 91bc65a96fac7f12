"""A task of the user's own: the one subclass of `Task` in a Python file. docs/tasks.md walks through one.

The file is run as it is, without a sandbox, like any program that its user starts. It stands alone: what it needs
beside the standard library and pada_graph has to be installed, not to lie beside it.
"""

import hashlib
import inspect
import sys
import traceback
from functools import lru_cache
from types import ModuleType

from pada_graph.errors import InputError
from pada_graph.tasks.base import Task

_NEEDED = ("name", "max_new_tokens", "generated_fields")  # what `Task` declares without a value


def load_task(source: bytes, place: str) -> Task:
    """Run a file's text and make its task.

    Args:
        source: The text.
        place: The file, for messages and tracebacks.

    Raises:
        InputError: it cannot be run, has not exactly one subclass of `Task`, or that one is not complete; names the
            file, the line where there is one, and the fix.
    """
    return _task_class(source, place)()


@lru_cache
def _task_class(source: bytes, place: str) -> type[Task]:
    module = _run(source, place)
    found = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, Task)]
    found = [task_class for task_class in found if task_class.__module__ == module.__name__]  # not what it imports
    if len(found) != 1:
        names = ", ".join(task.__name__ for task in found) or "none"
        raise InputError(
            f"{place}: a task file defines exactly one subclass of pada_graph.tasks.base.Task (found: {names}). "
            "docs/tasks.md has an example."
        )
    (task_class,) = found
    if missing := sorted(task_class.__abstractmethods__):
        raise InputError(
            f"{place}: class {task_class.__name__} lacks {', '.join(missing)}. Write them; pada_graph.tasks.base.Task "
            "says what each does."
        )
    if missing := [name for name in _NEEDED if not hasattr(task_class, name)]:
        raise InputError(
            f"{place}: class {task_class.__name__} has no {', '.join(missing)}. Set them as attributes of the class; "
            "pada_graph.tasks.base.Task says what each is."
        )
    if inspect.signature(task_class).parameters:
        raise InputError(
            f"{place}: class {task_class.__name__} is made without arguments. Take them out of its __init__."
        )
    return task_class


def _run(source: bytes, place: str) -> ModuleType:
    name = f"pada_graph_own_task_{hashlib.sha256(source).hexdigest()[:16]}"
    module = ModuleType(name)
    module.__file__ = place
    sys.modules[name] = module  # dataclasses and pickle look there
    try:
        exec(compile(source, place, "exec"), vars(module))  # the user's own program: docs/security.md
    except SyntaxError as error:
        raise InputError(
            f"{error.filename or place}, line {error.lineno or 1}: {error.msg}. Mend it: the file has to be Python."
        ) from error
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == place]
        raise InputError(
            f"{place}, line {lines[-1] if lines else 1}: {type(error).__name__}: {error}. Mend it, or install what is "
            "missing: the file has to run."
        ) from error
    return module
