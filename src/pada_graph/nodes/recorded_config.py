"""The configuration that a run directory holds: what is written down, and what may differ when a run goes on."""

import json
import sqlite3
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

from pada_graph import databases
from pada_graph.config import RunConfig
from pada_graph.config_file import parse_config
from pada_graph.errors import InputError
from pada_graph.prompts import shipped
from pada_graph.rundir import RunDir
from pada_graph.task_file import is_task_file, keep_copy, read_task_file
from pada_graph.teacher.models import TRANSPORT
from pada_graph.teacher.secrets import redact, without_secrets

CONFIG = "resolved_config.json"
FILLED_IN = ("train_size", "validation_size", "test_size", "overlap")  # keys of data, from the files (sizes.py)
LONGEST = 200  # characters of a value in a message


def record_config(directory: RunDir, config: RunConfig, look: bool = False) -> None:
    """Write the configuration of a new run, or check that a run goes on with the one it has.

    What has no effect may differ: everything before the data are written, limits, where students are trained and
    asked, how a model is reached, and a role that has not answered any call; and where the user's task file lies, as
    long as it is the same. With `look` nothing is written.

    Raises:
        InputError: another value differs; names its key, the recorded value and the given one. Or the task file cannot
            be read.
    """
    new = redacted(config.model_dump(mode="json"))
    if directory.path("data/manifest.json").exists():
        # Read as a configuration, so that a key which the version that wrote it did not know yet has its default.
        old = parse_config(directory.read_json(CONFIG), str(directory.path(CONFIG)))
        changed = changes(redacted(old.model_dump(mode="json")), new)
        used = _used_roles(directory) if changed else frozenset()
        same_file: set[str] = set()
        if is_task_file(old.task) and is_task_file(config.task):
            if "task_sha256" in changed:
                raise InputError(
                    f"{directory.root}: this run was started with the task file whose copy is there, as task.py; "
                    f"{config.task} is another one, or missing. Give it the same one, or choose another --run-dir."
                )
            same_file = {"task"}  # wherever it lies
        if binding := [key for key in changed if key not in same_file and not _may_change(key, used)]:
            words = ", ".join(f"{key}: {_values(*changed[key])}" for key in binding)
            raise InputError(
                f"{directory.root}: this run was started with another configuration ({words}). "
                "Resume it with the same one, or choose another --run-dir."
            )
        if not changed:
            return
    elif is_task_file(config.task):
        read_task_file(config.task, config.task_sha256)
    if not look:
        record_task(directory, config)
        directory.write_json(CONFIG, new)


def with_recorded_sizes(directory: RunDir, config: RunConfig) -> RunConfig:
    """A configuration to go on with: of files of the user's own, sizes that it leaves out are those of the run.

    The run's rows are in its directory; the files, of which these sizes were read, may have changed or be gone.
    """
    data = config.data
    if not directory.path("data/manifest.json").exists() or data.source == "hub" or data.source.startswith("builtin:"):
        return config
    recorded = parse_config(directory.read_json(CONFIG), str(directory.path(CONFIG))).data
    left_out = [name for name in FILLED_IN if name not in data.model_fields_set]
    sizes = data.model_copy(update={name: getattr(recorded, name) for name in left_out})
    return config.model_copy(update={"data": sizes})


def record_task(directory: RunDir, config: RunConfig) -> None:
    """Copy the user's task file into the run directory: from then on the run works from the copy."""
    if is_task_file(config.task):
        keep_copy(directory, config.task, config.task_sha256)


def record_environment(directory: RunDir, how: Mapping[str, str]) -> None:
    """Add what this session does otherwise than earlier ones to environment.json (HumanEval: another sandbox)."""
    known = directory.read_json("environment.json") if how else {}
    if new := {key: f"{known[key]}, later {value}" for key, value in how.items() if value not in known[key]}:
        directory.write_json("environment.json", {**known, **new})


def _used_roles(directory: RunDir) -> frozenset[str]:
    """Roles that answered a call, as far as the journal can be read: what is wrong with it, consistency.py says."""
    path = directory.path("teacher_calls.sqlite")
    with suppress(sqlite3.Error):
        if path.exists():
            with databases.read_only(path) as connection:
                finished = connection.execute("SELECT DISTINCT role FROM calls WHERE status = 'finished'")
                return frozenset(role for (role,) in finished)
    return frozenset()


def _may_change(key: str, used: Collection[str]) -> bool:
    section, role, name, *_ = [*key.split("."), "", ""]
    return section in ("limits", "executor", "ray", "unsafe_code_execution") or (
        section == "models" and (role not in used or name in TRANSPORT)
    )


def redacted(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration as it may be written down: keys and tokens of models are left out, at any depth."""
    return {**config, "models": {role: without_secrets(model) for role, model in config["models"].items()}}


def scoring_rule(config: RunConfig) -> dict[str, Any]:
    """What decides, beside the task, whether an output counts as right: equal where scores may be compared."""
    rule: dict[str, Any] = {"match": config.data.match}
    if config.data.match == "judge":
        judge = without_secrets(config.models.judge.model_dump(mode="json"))
        rule["judge"] = {name: value for name, value in judge.items() if name not in TRANSPORT}
        rule["prompt"] = config.prompts.get("answer_grading") or shipped("answer_grading")
    return rule


def _values(before: object, after: object) -> str:
    old, new = (_cut(json.dumps(value, ensure_ascii=False)) for value in (before, after))
    said = f"{old} is recorded, {new} is given"
    return redact(said, {})


def _cut(text: str) -> str:
    """Whole prompts do not fit into a message."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def changes(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """The values that differ, old and new, by dotted name; None where there is none."""
    found: dict[str, tuple[Any, Any]] = {}
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            found |= changes(before, after, f"{prefix}{key}.")
        elif before != after:
            found[f"{prefix}{key}"] = (before, after)
    return found
