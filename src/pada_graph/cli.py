"""The command line: thin typer commands.

Exit status: 0 done, 1 stopped and resumable, 2 bad input, 130 or 143 interrupted and resumable.
"""

import json
import os
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from pada_graph.errors import InputError, StoppedError

if TYPE_CHECKING:
    from pada_graph.services import Progress
    from pada_graph.tracking import TrackerName

UNSAFE = "humaneval: run generated code without a sandbox where none works. It can do anything you can."
REBUILD = "Journal, graph state and files contradict each other: give up what was lost, go on with what is there."
TRACK = "Show the run there too (docs/watch.md). Off unless asked for."
COMMAS = "with commas between them."

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.callback()
def pada_graph() -> None:
    """Fine-tune a small language model on data written against its own failure patterns (PaDA-Agent)."""


@app.command()
def run(
    config: Annotated[Path, typer.Argument(help="YAML configuration; `pada-graph init DIR` writes one.")],
    run_dir: Annotated[Path | None, typer.Option(help="Where the run lives. Existing: the run goes on.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override: key.path=value, repeatable.")] = None,
    unsafe_code_execution: Annotated[bool, typer.Option("--unsafe-code-execution", help=UNSAFE)] = False,
    rebuild_state: Annotated[bool, typer.Option("--rebuild-state", help=REBUILD)] = False,
    json_: Annotated[bool, typer.Option("--json", help="Events on standard output, one JSON object a line.")] = False,
    track: Annotated[Literal["mlflow", "trackio"] | None, typer.Option(help=TRACK)] = None,
) -> None:
    """Run the loop, or go on with a run that stopped (same command)."""
    from pada_graph.live import write_json

    overrides = [*(set_ or []), *["unsafe_code_execution=true"] * unsafe_code_execution]
    if not json_:
        _run(config, overrides, run_dir, rebuild_state, track)
        return
    try:
        directory, metrics = _run(config, overrides, run_dir, rebuild_state, track, write_json)
    except (InputError, StoppedError) as error:
        kind = "refused" if isinstance(error, InputError) else "stopped"
        write_json({"event": kind, "time": round(time.time(), 3), "message": str(error)})
        raise
    write_json({"event": "result", "time": round(time.time(), 3), "run_dir": str(directory), "metrics": metrics})


def _run(
    config: Path,
    overrides: list[str],
    run_dir: Path | None,
    rebuild_state: bool,
    track: "TrackerName | None",
    write: "Progress | None" = None,
) -> tuple[Path, dict[str, Any]]:
    """Run and show it; with `write`, events go there, and all words to standard error."""
    from rich.console import Console

    from pada_graph.config_file import load_config
    from pada_graph.live import going_on, watching
    from pada_graph.nodes.open import default_run_dir
    from pada_graph.nodes.recorded_config import with_recorded_sizes
    from pada_graph.rundir import RunDir
    from pada_graph.runner import run as run_loop
    from pada_graph.stats import detectable_words
    from pada_graph.summary import print_summary
    from pada_graph.tracking import tracked

    console = Console(stderr=write is not None)
    settings = load_config(config, overrides)
    directory = run_dir or Path(default_run_dir(settings))
    settings = with_recorded_sizes(RunDir(directory), settings)
    console.print(detectable_words(settings.data.test_size), soft_wrap=True)
    title = f"{settings.method} on {settings.task_name} · {directory}"
    past = RunDir(directory).read_log("events.jsonl")
    opening = going_on(directory) if past else ""
    with ExitStack() as stack:
        shown = write or stack.enter_context(watching(console, settings, title, past, opening))
        tracker = stack.enter_context(tracked(track, directory)) if track else None

        def watch(event: dict[str, Any]) -> None:
            shown(event)
            if tracker:
                tracker(event)

        metrics = run_loop(settings, directory, watch=watch, rebuild_state=rebuild_state)
    if past and RunDir(directory).read_log("events.jsonl") == past:
        console.print(f"{directory} was finished before; nothing was run.", markup=False, soft_wrap=True)
    print_summary(console, metrics, directory)
    return directory, metrics


@app.command()
def status(
    run_dir: Annotated[Path, typer.Argument(help="A run, finished or not.")],
    json_: Annotated[bool, typer.Option("--json", help="One JSON object instead of the panel.")] = False,
) -> None:
    """Say where a run stands, from another terminal or after a kill; disturbs nothing."""
    from rich.console import Console

    from pada_graph.live import print_status, read_status, write_json

    found = read_status(run_dir)
    if json_:
        write_json(found.as_json())
    else:
        print_status(found, Console())


@app.command()
def init(directory: Annotated[Path, typer.Argument(help="A new folder.")]) -> None:
    """Write a commented configuration and a small example data set to start from."""
    from pada_graph.starter import write_starter

    for path in write_starter(directory):
        typer.echo(path)


@app.command()
def score(
    file: Annotated[Path, typer.Argument(help='JSONL: {"task", "output", "gold"} a line.')],
    task: Annotated[Path | None, typer.Option(help="Python file of a task of your own; lines name it FILE.py.")] = None,
    unsafe_code_execution: Annotated[bool, typer.Option("--unsafe-code-execution", help=UNSAFE)] = False,
) -> None:
    """Score outputs: one {"correct", "parsed", "reason"} a line, in the same order; the total goes to stderr.

    The gold of each task: arc_challenge and hellaswag {"answer": "B", "choices": ["...", "..."]}; gsm8k "12" or the
    published answer that ends with "#### 12"; squad ["accepted answer", ...]; humaneval {"prompt", "entry_point",
    "test"}. Of --task: a row of its data.
    """
    from pada_graph.scoring import score_lines

    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: cannot be read as UTF-8 text ({error}).") from error
    correct = total = 0
    try:
        for result in score_lines(lines, str(file), unsafe_code_execution, task):
            typer.echo(json.dumps(result, ensure_ascii=False))
            correct, total = correct + result["correct"], total + 1
        typer.echo(f"{correct} of {total} correct ({correct / total:.1%})", err=True)
    except StoppedError as error:  # nothing to resume here
        raise InputError(str(error)) from error


@app.command()
def doctor(
    config: Annotated[Path | None, typer.Argument(help="YAML configuration; without one, the machine alone.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override: key.path=value, repeatable.")] = None,
    unsafe_code_execution: Annotated[bool, typer.Option("--unsafe-code-execution", help=UNSAFE)] = False,
) -> None:
    """Check machine, packages, data and models; each teacher model gets one short call."""
    from pada_graph.config_file import load_config
    from pada_graph.doctor import examine
    from pada_graph.methods import used_roles

    overrides = [*(set_ or []), *["unsafe_code_execution=true"] * unsafe_code_execution]
    settings = load_config(config, overrides) if config else None
    if settings and used_roles(settings):
        typer.echo("Each teacher model gets one short call, a few tokens; nothing is trained or written.")
    problems = 0
    for check in examine(settings):
        typer.echo(f"{'ok     ' if check.ok else 'problem'}  {check.name}: {check.text}")
        problems += not check.ok
    if problems:
        raise InputError(f"Problems: {problems}. The fixes stand beside them.")


@app.command()
def plan(
    config: Annotated[Path, typer.Argument(help="YAML configuration.")],
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override: key.path=value, repeatable.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Say what a run will ask for: calls, tokens and dollars of each role, and the student's tokens."""
    from rich.console import Console

    from pada_graph import plan as planning
    from pada_graph.config_file import load_config
    from pada_graph.hub import settle

    settings = load_config(config, set_)
    settle(settings)
    found = planning.make_plan(settings)
    if as_json:
        typer.echo(json.dumps(planning.as_json(found), indent=2, ensure_ascii=False))
    else:
        planning.print_plan(Console(), settings, found)


@app.command()
def preview(
    config: Annotated[Path, typer.Argument(help="YAML configuration.")],
    run_dir: Annotated[Path | None, typer.Option(help="A new folder to keep it all; else nothing stays.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override: key.path=value, repeatable.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Print every call, its prompt and reply whole.")] = False,
    rows: Annotated[bool, typer.Option("--rows", help="Only the train rows; no teacher is asked.")] = False,
    unsafe_code_execution: Annotated[bool, typer.Option("--unsafe-code-execution", help=UNSAFE)] = False,
) -> None:
    """Show three train rows as they are trained, then carry a handful of failures through to three scored samples."""
    import tempfile
    import time
    from contextlib import nullcontext

    from rich.console import Console

    from pada_graph import preview as previewing
    from pada_graph.config_file import load_config
    from pada_graph.hub import settle
    from pada_graph.live import describe

    console = Console()

    def watch(event: dict[str, Any]) -> None:
        if event["event"] not in ("fine_tune", "training", "predicting", "score"):
            console.print(describe(event), style="dim", markup=False, highlight=False, soft_wrap=True)

    settings = load_config(config, [*(set_ or []), *["unsafe_code_execution=true"] * unsafe_code_execution])
    settle(settings)
    previewing.print_train_rows(console, settings)
    if rows:
        return
    started = time.monotonic()
    with nullcontext(run_dir) if run_dir else tempfile.TemporaryDirectory(prefix="pada-preview-") as folder:
        found = previewing.run_preview(settings, Path(folder), watch=watch)
        previewing.print_preview(console, settings, found, time.monotonic() - started, full=full)


@app.command()
def report(run_dir: Annotated[Path, typer.Argument(help="A run, finished or not.")]) -> None:
    """Write report.html of a run anew from its directory, also while it goes on."""
    from pada_graph.report import build_report

    typer.echo(build_report(run_dir))


@app.command()
def compare(
    directories: Annotated[list[Path], typer.Argument(help="Finished runs; the first of each task is the baseline.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write one self-contained page to this file too.")] = None,
) -> None:
    """Compare finished runs: accuracies, and which differences are more than noise."""
    from rich.console import Console

    from pada_graph.compare import compare_runs, print_comparison, write_page

    comparison = compare_runs(directories)
    if html:
        write_page(directories, comparison, html)
    if as_json:
        typer.echo(json.dumps(comparison, indent=2, ensure_ascii=False))
    else:
        print_comparison(Console(), comparison)


@app.command()
def export(
    run_dir: Annotated[Path, typer.Argument(help="A finished run.")],
    out: Annotated[Path, typer.Argument(help="A new folder.")],
    iteration: Annotated[int | None, typer.Option(help="The model. Default: the one chosen on validation.")] = None,
    merged: Annotated[bool, typer.Option(help="Write the merged model too.")] = True,
    dtype: Annotated[str | None, typer.Option(help="Of the merged weights: bfloat16 or float32.")] = None,
    push_to_hub: Annotated[
        str | None, typer.Option(help="Upload to OWNER/NAME, -lora and -data; the same command goes on with it.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="New repositories can be seen by everybody.")] = False,
) -> None:
    """Export the adapter, the merged model and the synthetic data, each with its card."""
    from pada_graph.export import export_run, print_exported, push

    exported = export_run(run_dir, out, iteration=iteration, merged=merged, dtype=dtype, name=push_to_hub)
    print_exported(exported)
    for place in push(exported, push_to_hub, private=not public) if push_to_hub else ():
        typer.echo(place)


@app.command()
def reproduce(
    table: Annotated[str, typer.Argument(help="table1: methods against each other. table2: pada and its ablations.")],
    config: Annotated[Path, typer.Argument(help="YAML configuration of every run; {task} in data.source is its task.")],
    methods: Annotated[str | None, typer.Option(help=f"table1: {COMMAS} Default: the paper's four.")] = None,
    tasks: Annotated[str | None, typer.Option(help=f"{COMMAS} Default: the paper's.")] = None,
    sizes: Annotated[str | None, typer.Option(help=f"Train rows, {COMMAS} Default: 1000,600,300.")] = None,
    seeds: Annotated[str, typer.Option(help=f"Training seeds, {COMMAS}")] = "0",
    out: Annotated[Path | None, typer.Option(help="Where cells and tables go. Default: runs/TABLE.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override: key.path=value, repeatable.")] = None,
    unsafe_code_execution: Annotated[bool, typer.Option("--unsafe-code-execution", help=UNSAFE)] = False,
) -> None:
    """Repeat a table of the paper, or go on with it: one run directory a cell, statistics, the paper's figures."""
    from rich.console import Console

    from pada_graph import reproduce as reproducing
    from pada_graph.config_file import load_config
    from pada_graph.live import describe
    from pada_graph.reproduce.grid import as_table, numbers, words

    console = Console()

    def watch(event: dict[str, Any]) -> None:
        if event["event"] in ("fine_tune", "score", "collect_batches"):
            console.print(f"  {describe(event)}", style="dim", markup=False, highlight=False, soft_wrap=True)

    settings = load_config(config, [*(set_ or []), *["unsafe_code_execution=true"] * unsafe_code_execution])
    console.print("Reading the data of every cell.", style="dim")
    result = reproducing.reproduce(
        as_table(table),
        settings,
        out,
        methods=words(methods),
        tasks=words(tasks),
        sizes=numbers("--sizes", sizes),
        seeds=numbers("--seeds", seeds),
        say=lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True),
        watch=watch,
    )
    reproducing.print_tables(console, result)
    folder = out or Path("runs") / table
    console.print(
        f"\nTables: {folder}/{table}.md, .csv, .tex, .json; {folder}/report.html", markup=False, soft_wrap=True
    )
    if missing := result["missing"]:
        raise StoppedError(f"{len(missing)} of {len(result['cells'])} cells are missing; the reasons stand above.")


def _interrupted(number: int, _: Any) -> NoReturn:
    """SIGINT or SIGTERM: leave at once.

    An exception would wait for every teacher call and prediction in flight. Files are whole or absent, finished calls
    are in the journal, and a training child ends with its parent, as Ray's processes do.
    """
    if sys.stdout.isatty():
        sys.stdout.write("\x1b[?25h\n")  # the live display hides the cursor
        sys.stdout.flush()
    word = "Interrupted" if number == signal.SIGINT else "Terminated"
    os.write(2, f"{word}{_what_stays()}\n".encode())
    if cluster := sys.modules.get("pada_graph.executors.ray.cluster"):
        cluster.kill()
    os._exit(128 + number)


def _what_stays() -> str:
    """How a command that stopped ends its message: `run` and `reproduce` alone can go on."""
    goes_on = sys.argv[1:2] in (["run"], ["reproduce"])
    return "; everything finished is kept. The same command goes on from here." if goes_on else "."


def main() -> NoReturn:
    """Entry point: turn errors into one clear message and an exit status."""
    signal.signal(signal.SIGTERM, _interrupted)
    signal.signal(signal.SIGINT, _interrupted)
    try:
        app(standalone_mode=False)
    except InputError as error:
        _stop(2, str(error))
    except StoppedError as error:
        _stop(1, f"{error}\nStopped{_what_stays()}")
    except BrokenPipeError:  # the reader, `head` perhaps, has seen enough
        os._exit(0)
    except typer.Exit as leave:
        sys.exit(leave.exit_code)
    except Exception as error:
        if type(error).__module__.startswith(("click", "typer")):  # usage errors carry their own text
            error.show()  # type: ignore[attr-defined]
            sys.exit(2)
        raise
    sys.exit(0)


def _stop(status: int, message: str) -> NoReturn:
    typer.echo(message, err=True)
    sys.exit(status)
