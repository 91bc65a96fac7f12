"""Which cells a table has, and whether the data can fill them: looked at whole, before anything starts.

CONFIG is an ordinary run configuration; task, method, seed and train size come from the table. "{task}" in data.source
stands for each task's name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal, get_args

from pada_graph.config import RunConfig, TaskName
from pada_graph.config_file import parse_config
from pada_graph.data import load_splits
from pada_graph.errors import InputError
from pada_graph.reproduce import paper
from pada_graph.reproduce.cells import Cell
from pada_graph.rundir import RunDir
from pada_graph.tasks import get_task

Table = Literal["table1", "table2"]
TABLES: tuple[Table, ...] = ("table1", "table2")
ABLATIONS = {"no_patterns": "patterns", "no_train_errors": "train_errors", "no_quality": "quality"}  # -> section
TABLE2 = ("pada", *(f"pada-{ablation}" for ablation in ABLATIONS))

# What the data sets have where fewer rows than the paper's 1000, 500 and 500 are to be had, with data.overlap: drop.
_MOST: Mapping[str, Mapping[str, int]] = {
    "arc_challenge": {"validation_size": 298},
    "humaneval": {"train_size": 99, "validation_size": 32, "test_size": 32},
}


@dataclass(frozen=True)
class Grid:
    """A table's rows and columns, and its cells in the order in which they are run."""

    table: Table
    config: RunConfig
    variants: Sequence[str]
    tasks: Sequence[str]
    sizes: Sequence[int]
    seeds: Sequence[int]
    waves: Sequence[Sequence[Cell]]  # what the first wave makes, the second one takes over

    @property
    def cells(self) -> list[Cell]:
        """All cells."""
        return [cell for wave in self.waves for cell in wave]


def make_grid(
    table: Table,
    config: RunConfig,
    *,
    methods: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
    sizes: Sequence[int] | None = None,
    seeds: Sequence[int] | None = None,
) -> Grid:
    """The cells of a table; what is None is as in the paper.

    Vanilla comes first: its iteration 0 is every method's. HumanEval is part of the limited setting (300) alone.

    Raises:
        InputError: a name or size is unknown, or cells are impossible; names all of them.
    """
    if table == "table2" and methods is not None:
        raise InputError("--methods belongs to table1: table2 is pada against its ablations.")
    variants = TABLE2 if table == "table2" else _vanilla_first(methods or paper.METHODS)
    sizes = paper.SIZES if sizes is None else sizes
    if tasks is None:
        tasks = [
            task
            for task in (paper.TASKS if table == "table1" else paper.TASKS2)
            if task != "humaneval" or paper.LIMITED in sizes
        ]
    seeds = (0,) if seeds is None else seeds
    _check_words(methods or (), tasks, sizes)
    _check_once("--methods", variants)
    _check_once("--tasks", tasks)
    _check_once("--sizes", sizes)
    _check_once("--seeds", seeds)
    settings = [(task, size) for task, size in product(tasks, sizes) if task != "humaneval" or size == paper.LIMITED]
    rows = _all_rows(config, settings)
    waves: tuple[list[Cell], list[Cell]] = ([], [])
    for (task, size), seed, variant in product(settings, seeds, variants):
        cell = Cell(variant, size, _cell_config(config, task, size, seed, variant), rows[task, size])
        waves[variant != variants[0]].append(cell)
    return Grid(table, config, variants, tasks, sizes, seeds, waves)


def as_table(name: str) -> Table:
    """The table of that name.

    Raises:
        InputError: there is none.
    """
    for table in TABLES:
        if name == table:
            return table
    raise InputError(f"{name!r}: the tables are {' and '.join(TABLES)}.")


def words(text: str | None) -> list[str] | None:
    """What stands between the commas of an option; None where it is not given."""
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]


def numbers(option: str, text: str | None) -> list[int] | None:
    """The same, as whole numbers from 0 on.

    Raises:
        InputError: a word is none; names the option.
    """
    found = words(text)
    if wrong := [word for word in found or () if not (word.isascii() and word.isdecimal())]:
        raise InputError(f"{option}: whole numbers with commas between them are needed (found {', '.join(wrong)}).")
    return None if found is None else [int(word) for word in found]


def _vanilla_first(methods: Sequence[str]) -> list[str]:
    return sorted(methods, key=lambda method: method != "vanilla")


def _check_words(methods: Sequence[str], tasks: Sequence[str], sizes: Sequence[int]) -> None:
    known = {
        "--methods": (methods, get_args(RunConfig.model_fields["method"].annotation)),
        "--tasks": (tasks, get_args(TaskName)),
    }
    for option, (given, names) in known.items():
        if unknown := [name for name in given if name not in names]:
            raise InputError(f"{option}: unknown: {', '.join(unknown)}. Known: {', '.join(names)}.")
    if "humaneval" in tasks and paper.LIMITED not in sizes:
        raise InputError(
            f"--tasks: humaneval has too few rows for any setting but the limited one. Add {paper.LIMITED} to --sizes, "
            "or leave humaneval out."
        )


def _check_once(option: str, values: Sequence[object]) -> None:
    if not values or len(set(values)) < len(values):
        raise InputError(f"{option}: name each once, and at least one (found {', '.join(map(str, values)) or 'none'}).")


def _cell_config(config: RunConfig, task: str, size: int, seed: int, variant: str) -> RunConfig:
    """The run of one cell. Vanilla's does not hold what it never uses, so that its results serve any such setting."""
    method, _, ablation = variant.partition("-")
    raw = config.model_dump()
    if method == "vanilla":
        raw = {
            key: raw[key] for key in raw if key not in ("models", "patterns", "train_errors", "generation", "quality")
        }
        raw["iterations"] = 0
        if config.data.match == "judge":
            raw["models"] = {"judge": config.models.judge.model_dump()}
    raw |= {"task": task, "method": method, "seed": seed, "data": _data(config, task, size)}
    if ablation:
        raw[ABLATIONS[ablation]]["enabled"] = False
    return parse_config(raw, f"cell {task} {variant}")


def _data(config: RunConfig, task: str, size: int) -> dict[str, Any]:
    """The data of a cell. Of files of the user's own, sizes that nobody gave stay so: what is left out makes them less.

    Where `{task}` names them the sizes are the paper's unless given, so that all tasks have as many rows.
    """
    source, template = config.data.source.replace("{task}", task), "{task}" in config.data.source
    raw = {**config.data.model_dump(exclude_unset=not template), "source": source, "train_size": size}
    return raw | {key: min(raw.get(key, getattr(config.data, key)), most) for key, most in _MOST.get(task, {}).items()}


def _all_rows(config: RunConfig, settings: Sequence[tuple[str, int]]) -> dict[tuple[str, int], dict[str, str]]:
    """The sha256 of the splits of every task and size."""
    found: dict[tuple[str, int], dict[str, str]] = {}
    faults: dict[str, list[str]] = {}  # one message may concern several cells
    for task, size in settings:
        settled = parse_config(
            {**config.model_dump(), "task": task, "data": _data(config, task, size)}, f"{task} {size}"
        )
        try:
            worker = get_task(task, settled.data.match, config.unsafe_code_execution)
            worker.check()
            splits = load_splits(worker, settled.data)
        except InputError as error:
            faults.setdefault(str(error), []).append(f"{task} {size}")
            continue
        found[task, size] = {
            split: RunDir(Path()).jsonl(f"data/{split}.jsonl", rows)[1]["sha256"] for split, rows in splits.items()
        }
    if faults:
        lines = [f"{', '.join(places)}: {message}" for message, places in faults.items()]
        raise InputError("Nothing was started: these cells are impossible.\n" + "\n".join(lines))
    return found
