"""A cell of a table: one run, known by a hash of all that its results depend on."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pada_graph.config import RunConfig
from pada_graph.errors import InputError
from pada_graph.methods import used_roles
from pada_graph.nodes.recorded_config import redacted, scoring_rule
from pada_graph.prompts import PROMPTS
from pada_graph.rundir import RunDir
from pada_graph.teacher.models import TRANSPORT

FOLDER = "cells"
RECORD = "cell.json"  # in the run directory of a finished cell
_NO_EFFECT = ("limits", "executor", "ray", "unsafe_code_execution")


@dataclass(frozen=True)
class Cell:
    """One variant on one task, with one train size and one seed."""

    variant: str  # a method, or METHOD-ABLATION
    size: int  # the setting of the table; HumanEval has fewer train rows in it
    config: RunConfig
    rows: Mapping[str, str]  # split -> sha256 of its rows as data/SPLIT.jsonl holds them

    @cached_property
    def inputs(self) -> str:
        """Sha256 of what decides the results: rows, prompts, and the configuration without what decides nothing."""
        raw = redacted(self.config.model_dump(mode="json", exclude={*_NO_EFFECT, "task_sha256"}))
        models = {role: _without_transport(model) for role, model in raw["models"].items()}
        texts = sorted(PROMPTS.glob("*.txt")) if used_roles(self.config) else []
        prompts = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in texts}
        if self.config.data.match != "judge":
            prompts.pop("answer_grading.txt", None)  # which nobody is asked
        own = raw.pop("prompts")
        raw |= {"prompts": own} if own else {}
        return _sha256({"rows": self.rows, "config": {**raw, "models": models}, "prompts": prompts})

    @cached_property
    def shared(self) -> str:
        """Sha256 of what decides the untuned model's answers and iteration 0: equal for all methods of one group."""
        config = self.config
        student = config.student.model_dump(mode="json")
        return _sha256({"rows": self.rows, "task": config.task, "student": student, "seed": config.seed,
                        **scoring_rule(config)})  # fmt: skip

    @cached_property
    def untuned(self) -> str:
        """Sha256 of what decides the untuned model's answers: equal for all train sizes, seeds and recipes."""
        config = self.config
        student = config.student.model_dump(mode="json", exclude={"lora", "training"})
        rows = {split: digest for split, digest in self.rows.items() if split != "train"}
        return _sha256({"rows": rows, "task": config.task, "student": student, **scoring_rule(config)})

    @property
    def name(self) -> str:
        """Name of the cell's run directory."""
        config = self.config
        return f"{config.task}-{self.variant}-n{config.data.train_size}-s{config.seed}-{self.inputs[:8]}"

    def place(self, out: Path) -> Path:
        """The cell's run directory."""
        return out / FOLDER / self.name

    def is_finished(self, out: Path) -> bool:
        """Whether a run with these inputs came to its end."""
        record = self.place(out) / RECORD
        return record.exists() and _read(record).get("inputs") == self.inputs

    def finish(self, out: Path) -> None:
        """Note that the run came to its end."""
        record = {"inputs": self.inputs, "shared": self.shared, "untuned": self.untuned, "rows": self.rows}
        RunDir(self.place(out)).write_json(RECORD, record)


def finished_with(out: Path, key: Literal["shared", "untuned"], digest: str) -> Iterator[Path]:
    """Run directories of the finished cells, of this table or another one, that have this digest in common."""
    for record in sorted((out / FOLDER).glob(f"*/{RECORD}")):
        if _read(record).get(key) == digest:
            yield record.parent


def _read(record: Path) -> dict[str, Any]:
    """What a finished cell left; nothing if the record is damaged, so that the cell counts as unfinished."""
    try:
        found = RunDir(record.parent).read_json(record.name)
    except InputError:
        return {}
    return found if isinstance(found, dict) else {}


def _without_transport(model: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in model.items() if name not in TRANSPORT}


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
