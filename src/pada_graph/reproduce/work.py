"""Run the cells that are missing: one after the other here, or side by side on Ray; a failure stops its cell alone."""

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pada_graph.config import RunConfig
from pada_graph.config_file import parse_config
from pada_graph.consistency import OWN_THREAD, compare
from pada_graph.errors import InputError, PadaError
from pada_graph.inheritance import FOLDERS, TRAIN_ANSWERS, UNTUNED, inherit
from pada_graph.live import clock, counted
from pada_graph.lock import locked
from pada_graph.nodes.recorded_config import CONFIG
from pada_graph.reproduce.cells import Cell, finished_with
from pada_graph.reproduce.grid import Grid, Table, make_grid
from pada_graph.reproduce.lines import one_line
from pada_graph.reproduce.output import write_outputs
from pada_graph.reproduce.tables import Result, make_result
from pada_graph.rundir import RunDir
from pada_graph.runner import run
from pada_graph.services import Progress, Services

FAILURES = "failures.json"  # name of a cell -> why its last attempt ended
LOG = "cells.log"

MakeServices = Callable[[RunConfig, Path], Services]


def reproduce(
    table: Table,
    config: RunConfig,
    out: Path | str | None = None,
    *,
    methods: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
    sizes: Sequence[int] | None = None,
    seeds: Sequence[int] | None = None,
    services: MakeServices | None = None,
    say: Callable[[str], None] = lambda line: None,
    watch: Progress | None = None,
) -> Result:
    """Fill one of the paper's tables; called again, run only what is missing.

    Args:
        table: "table1", methods against each other, or "table2", pada against its ablations.
        config: every cell's configuration but for task, method, seed and train size.
        out: where cells and tables go; None: runs/TABLE. Tables may share it, and then share cells.
        methods: Rows of table 1; None: the paper's.
        tasks: Columns; None: the paper's.
        sizes: Train rows; None: the paper's.
        seeds: Training seeds; None: 0.
        services: replaces models, training and prediction (tests).
        say: gets one line when a cell begins and one when it ends; they are in cells.log too.
        watch: gets every progress event of the cell at work.

    Returns:
        The tables, as TABLE.json holds them; `missing` names the cells that failed, and why.

    Raises:
        InputError: an option is wrong, cells are impossible (all are named, nothing was started), or another process
            works there.
        StoppedError: the tables cannot be written.
    """
    grid = make_grid(table, config, methods=methods, tasks=tasks, sizes=sizes, seeds=seeds)
    root = Path(out or f"runs/{table}")
    with locked(root):
        result = _tables(grid, root)
        for wave in grid.waves:
            todo = [cell for cell in wave if not cell.is_finished(root)]
            for cell, failure in _outcomes(grid, todo, root, services, _Log(root, say), watch):
                _note(root, cell, failure)
                result = _tables(grid, root)  # each time: a long grid is read while it grows
    return result


def _tables(grid: Grid, root: Path) -> Result:
    result = make_result(grid, root, _failures(root))
    write_outputs(root, result)
    return result


class _Log:
    """Tells a line to whoever listens, and to cells.log with its time."""

    def __init__(self, root: Path, say: Callable[[str], None]):
        self._root, self._say = root, say

    def __call__(self, line: str) -> None:
        self._say(line)
        with RunDir(self._root).path(LOG).open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {line}\n")


def _outcomes(
    grid: Grid, todo: Sequence[Cell], root: Path, services: MakeServices | None, log: _Log, watch: Progress | None
) -> Iterator[tuple[Cell, str | None]]:
    """Each cell as it ends, and why it failed, if it did."""
    names = [cell.name for cell in grid.cells]
    if grid.config.executor == "ray" and todo:
        from pada_graph.executors.ray import run_side_by_side

        ready = {}
        for cell in todo:
            try:
                _take_over(cell, root, None, log)
                ready[cell.place(root)] = cell
            except PadaError as error:
                yield _ended(cell, root, one_line(str(error)), log)
        log(f"{counted(len(ready), 'cell')} of {len(names)} begin side by side")
        for place, failure in run_side_by_side([(cell.config, place) for place, cell in ready.items()]):
            yield _ended(ready[place], root, failure and one_line(failure), log)
        return
    for cell in todo:
        failure = None
        log(f"{names.index(cell.name) + 1} of {len(names)}  {cell.name}  begins")
        try:
            made = services(cell.config, cell.place(root)) if services else None
            _take_over(cell, root, made, log)
            run(cell.config, cell.place(root), services=made, watch=watch)
        except PadaError as error:
            failure = one_line(str(error))
        except Exception as error:  # of any library: the other cells go on
            failure = one_line(f"{type(error).__name__}: {error}")
            log(traceback.format_exc())
        yield _ended(cell, root, failure, log)


def _ended(cell: Cell, root: Path, failure: str | None, log: _Log) -> tuple[Cell, str | None]:
    if failure is None:
        metrics = RunDir(cell.place(root)).read_json("metrics.json")
        tests = {entry["iteration"]: entry["test"] for entry in metrics["iterations"]}
        score = tests[metrics["best_iteration"]]
        cell.finish(root)
        took = clock(sum(metrics["seconds"].values()))
        what = f"{took}  {100 * score['accuracy']:.1f} % on test (iteration {metrics['best_iteration']})"
    else:
        what = f"failed: {failure}"
    log(f"{cell.name}  {what}")
    return cell, failure


def _take_over(cell: Cell, root: Path, services: Services | None, log: _Log) -> None:
    """Give a cell that has not begun the iteration 0 of a finished one, the one with most of it.

    Where there is none, the untuned model's answers may still be there, of another train size or seed. A donor is
    compared with its own graph state first, which names its files with their sha256.
    """
    place = cell.place(root)
    if (place / CONFIG).exists():
        return
    group = sorted(finished_with(root, "shared", cell.shared), key=lambda donor: not (donor / TRAIN_ANSWERS).exists())
    others = [donor for donor in finished_with(root, "untuned", cell.untuned) if donor not in group]
    for donor in [*group, *others]:
        try:
            config = parse_config(RunDir(donor).read_json(CONFIG), str(donor / CONFIG))
            compare(config, RunDir(donor), OWN_THREAD, None, services, False)
        except InputError as error:
            log(f"{cell.name}  takes nothing over from {donor.name}: {one_line(str(error))}")
        else:
            inherit(donor, place, FOLDERS if donor in group else [UNTUNED])
            return


def _note(root: Path, cell: Cell, failure: str | None) -> None:
    known = _failures(root)
    kept = {name: reason for name, reason in known.items() if name != cell.name}
    if failure is not None:
        kept[cell.name] = failure
    if kept != known:
        RunDir(root).write_json(FAILURES, kept)


def _failures(root: Path) -> dict[str, str]:
    found: dict[str, str] = RunDir(root).read_json(FAILURES) if (root / FAILURES).exists() else {}
    return found
