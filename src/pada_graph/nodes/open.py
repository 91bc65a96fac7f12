"""Open the run a node belongs to."""

import dataclasses
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from pada_graph.config import ROLES, Models, RunConfig
from pada_graph.config_file import as_given, parse_config
from pada_graph.errors import InputError
from pada_graph.lock import hold
from pada_graph.nodes.recorded_config import CONFIG, record_environment, record_task
from pada_graph.nodes.run import Rows, Run
from pada_graph.rundir import RunDir
from pada_graph.services import Services, default_services
from pada_graph.state import PadaInput
from pada_graph.tasks import task_of_run
from pada_graph.teacher.secrets import is_secret, without_secrets

_lock = threading.RLock()
_open: dict[Path, Run] = {}  # one per run directory in use: services hold models and connections


def open_run(
    state: Mapping[str, Any],
    config: RunnableConfig,
    runtime: Runtime[RunConfig],
    services: Services | None,
    config_schema: type[RunConfig],
    session: UUID,
    start: bool,
    trial: bool,
) -> Run:
    """The run of this state. `start` makes it from context and input; afterwards the run directory is the authority.

    `configurable.run_dir` wins over the state's, so that a run directory may be moved and resumed. The directory is
    locked for `session`, see lock.py. A `trial` asks with the context's prompts, since it writes beside the run's own.

    Raises:
        InputError: another process or session is working on the run.
    """
    context = runtime.context or config_schema()
    moved = config.get("configurable", {}).get("run_dir")
    with _lock:  # a resumed fan-out opens the run from many threads at once
        if start:
            settings = resolve(state, context)
            root = Path(moved or state.get("run_dir") or default_run_dir(settings))
            hold(root, session, close_run)
            close_run(root)
            if not RunDir(root).path("data/manifest.json").exists():
                record_task(RunDir(root), settings)
            _open[root.resolve()] = _make(settings, root, services)
        else:
            root = Path(moved or state["run_dir"])
            hold(root, session, close_run)
        if root.resolve() not in _open:
            stored = parse_config(RunDir(root).read_json(CONFIG), str(root / CONFIG))
            if trial:
                stored = stored.model_copy(update={"prompts": {**stored.prompts, **context.prompts}})
            else:
                _same_prompts(stored, context, root)
            run = _make(_with_keys(stored, context), root, services, trial)
            run.task.check()
            record_environment(run.dir, run.task.environment())
            _open[root.resolve()] = run
        run = _open[root.resolve()]
    return dataclasses.replace(run, stream=runtime.stream_writer)


def close_run(root: Path) -> None:
    """Let go of a run's services; the next node opens it afresh."""
    if (run := _open.pop(root.resolve(), None)) is not None:
        run.services.teacher.close()


def _same_prompts(stored: RunConfig, context: RunConfig, root: Path) -> None:
    """Prompts given in a form are never passed over in silence."""
    if context.prompts and context.prompts != stored.prompts:
        names = sorted(name for name in context.prompts if context.prompts[name] != stored.prompts.get(name))
        raise InputError(
            f"{root}: this run was started with other prompts ({', '.join(names) or 'more of its own'}). Choose a new "
            "run_dir for prompts that you changed, or leave them out. Studio's graphs pattern_analysis and "
            "synthesize_batch try them on this run."
        )


def _with_keys(stored: RunConfig, context: RunConfig) -> RunConfig:
    """The stored configuration, with what every session gives anew: API keys, and the risk of running code."""
    models = {}
    for role in ROLES:
        kept, given = getattr(stored.models, role), getattr(context.models, role)
        if without_secrets(given.model_dump(mode="json")) == without_secrets(kept.model_dump(mode="json")):
            models[role] = given  # with its secrets, however deep
        else:
            keys = {name: value for name, value in (given.model_extra or {}).items() if is_secret(name)}
            models[role] = kept.model_copy(update=keys) if given.model == kept.model else kept
    update = {"models": Models(**models), "unsafe_code_execution": context.unsafe_code_execution}
    return stored.model_copy(update=update)


def resolve(state: Mapping[str, Any], context: RunConfig) -> RunConfig:
    """The context's configuration with the input's scalars put in. What a form sends empty was not filled in."""
    given = {key: state[key] for key in PadaInput.__annotations__ if state.get(key) not in (None, "")}
    raw = as_given(context)
    if "task" in given:
        raw["task_sha256"] = None  # the context's file is another one
    raw |= {key: given[key] for key in ("task", "method", "seed") if key in given}
    if "train_size" in given:
        raw["data"]["train_size"] = given["train_size"]
    return parse_config(raw, "graph input")


def default_run_dir(config: RunConfig) -> str:
    """Where a run goes that names no directory."""
    return f"runs/{config.task_name.removesuffix('.py')}-{config.method}-n{config.data.train_size}-s{config.seed}"


def _make(config: RunConfig, root: Path, services: Services | None, trial: bool = False) -> Run:
    directory = RunDir(root)
    task = task_of_run(directory, config.task, config.task_sha256, config.data.match, config.unsafe_code_execution)
    services = services or default_services(config, root)
    return Run(config, directory, task, Rows(directory, task), services, _nobody, trial)


def _nobody(event: dict[str, Any]) -> None:
    pass
