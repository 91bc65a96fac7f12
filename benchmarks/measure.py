"""How the benchmarks measure: ours and the peer in turn, medians, one table, one JSON file a script.

A figure is a rate (more is better) or a cost (less is better); `ratio` is ours over the peer's, `ratios` the lowest and
the highest of a single round, and `share_of_floor` how much of the floor's speed ours reaches, 1 being all of it.
"""

import functools
import hashlib
import json
import os
import platform
import re
import shlex
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import TypeVar

from rich.console import Console
from rich.table import Table

T = TypeVar("T")

OFF = {"HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PEERS = ROOT / "build" / "peers"
PAIRS = 5  # the least that a median is taken of
GIVEN = OFF | os.environ  # before the package set in it what it prefers: peers run as they come, but tell nobody
THREADS = ("OMP_", "GOMP_", "KMP_", "MKL_")  # what these variables begin with decides how fast CPUs compute
WIDTH = 165  # characters of the table where no terminal says otherwise


@dataclass(frozen=True)
class Row:
    """One question and its answer; `met` is None where there is no goal."""

    name: str
    unit: str
    ours: float | None
    peer: float | None = None
    peer_name: str = ""
    ratio: float | None = None
    floor: float | None = None
    share_of_floor: float | None = None
    goal: str = ""
    met: bool | None = None
    ratios: Sequence[float] = ()


def compared(
    name: str,
    unit: str,
    ours: float | Sequence[float],
    *,
    peer: float | Sequence[float] | None = None,
    peer_name: str = "",
    floor: float | None = None,
    more_is_better: bool = True,
    goal: str = "",
    met: bool | None = None,
) -> Row:
    """A row with its ratio and share of the floor worked out; of values of rounds in turn the medians count."""
    ratios: Sequence[float] = ()
    if isinstance(ours, Sequence) and peer is not None:
        others = peer if isinstance(peer, Sequence) else [peer] * len(ours)
        if all(others):
            single = [one / other for one, other in zip(ours, others, strict=True)]
            ratios = (min(single), max(single))
    ours, peer = _middle(ours), None if peer is None else _middle(peer)
    share = None if floor is None else (ours / floor if more_is_better else floor / ours)
    ratio = ours / peer if peer else None  # of nothing there is none
    return Row(name, unit, ours, peer, peer_name, ratio, floor, share, goal, met, ratios)


def _middle(values: float | Sequence[float]) -> float:
    """The median of rounds; what was read once is itself."""
    return median(values) if isinstance(values, Sequence) else values


def in_turn(sides: Mapping[str, Callable[[], T]], times: int = PAIRS, key: str = "") -> dict[str, list[T]]:
    """Run each side once, then each again, `times` times, so that all meet the machine in the same moods.

    Every second round begins at the other end: what comes first may find colder caches. Rounds that take many minutes
    have a `key`, which names them and what they depend on: those of an interrupted run of the same code and packages on
    such a CPU count. They are JSON-native then, and in build/rounds until `forget`.
    """
    path = _rounds(key) if key else None
    if path and (not REVISION or REVISION.endswith("-dirty")):  # nobody knows of which code those before are
        path.unlink(missing_ok=True)
    found = [json.loads(line) for line in path.read_text().splitlines()] if path and path.exists() else []
    if found:
        print(f"{len(found)} rounds were measured before: {path}", flush=True)
    for number in range(len(found), times):
        names = sorted(sides, key=list(sides).index, reverse=bool(number % 2))
        found.append({name: sides[name]() for name in names})
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a") as file:
                file.write(json.dumps(found[-1]) + "\n")
    return {name: [one[name] for one in found[:times]] for name in sides}


def forget(key: str) -> None:
    """Its result was shown: the next run begins anew."""
    for path in _rounds(key).parent.glob(f"{key}_*"):
        path.unlink()


def _rounds(key: str) -> Path:
    where = re.sub(r"\W+", "-", str(machine()["cpu"]))  # of another machine they are no part of this one's median
    return ROOT / "build" / "rounds" / f"{key}_{where}_{_installed()}_{REVISION}.jsonl"


@functools.cache
def _installed() -> str:
    """A digest of all packages here with their versions."""
    found = sorted(f"{package.name} {package.version}" for package in metadata.distributions())
    return hashlib.sha256("\n".join(found).encode()).hexdigest()[:8]


def seconds(work: Callable[[], object]) -> float:
    """How long `work` takes by the clock."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@dataclass(frozen=True)
class Process:
    """What a finished process took."""

    wall: float  # seconds
    cpu: float  # seconds, its own and its children's
    memory: float  # MB at its peak, of its largest process
    output: str


def as_given() -> None:
    """Take back what importing the package has set, for a peer that runs in this process; before torch is imported."""
    os.environ.clear()
    os.environ.update(GIVEN)


def process(command: list[str | Path], env: Mapping[str, str] | None = None) -> Process:
    """Run a command to its end, in the environment in which this process was started and `env`.

    Raises:
        RuntimeError: it failed; with the end of what it printed.
    """
    words, environment = [str(word) for word in command], {**GIVEN, **(env or {})}
    started = time.perf_counter()
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
    assert child.stdout is not None
    output = child.stdout.read().decode(errors="replace")
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{shlex.join(words)} ended with {child.returncode}:\n{output[-3000:]}")
    return Process(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output)


def peer_python(name: str, *packages: str) -> Path:
    """The Python of a peer's own virtual environment in build/peers, made if it is not there.

    Raises:
        RuntimeError: a package could not be installed; pip has said why.
    """
    folder = PEERS / name
    python = folder / "bin" / "python"
    ready, wanted = folder / "ready", "\n".join(packages)
    if not ready.exists() or ready.read_text() != wanted:
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        for package in packages:  # one by one: torch's version is fixed before anything asks for another
            if subprocess.run([*pip, package], check=False).returncode:
                raise RuntimeError(f"{name} cannot be measured: pip could not install {package} in {folder}")
        ready.write_text(wanted)
    return python


def machine() -> dict[str, object]:
    """What this was measured on."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found = {"cpu": cpu, "cores": os.cpu_count(), "memory_gb": round(memory / 2**30), "system": platform.system()}
    return found | {name: value for name, value in sorted(GIVEN.items()) if name.startswith(THREADS)}


def gpu(device: str) -> dict[str, object]:
    """The accelerator that was used, by its name."""
    if device == "cpu":
        return {}
    import torch

    return {"gpu": torch.cuda.get_device_name() if device == "cuda" else device}


def versions(names: Iterable[str]) -> dict[str, str]:
    """Installed versions of packages in this environment, Python's first."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}


def _revision() -> str:
    code = ("--", "src", "benchmarks", ":!benchmarks/results")

    def git(*words: str) -> str:
        command = ["git", "-C", str(ROOT), *words, *code]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    return git("log", "-1", "--format=%h") + ("-dirty" if git("diff", "HEAD", "--name-only") else "")


# The last that changed what is measured, with -dirty where it was changed since; empty outside a checkout.
REVISION = _revision()


def save(
    script: str, rows: list[Row], packages: dict[str, str], device: str = "cpu", part: str = "", kept: bool = True
) -> None:
    """Print the rows and write benchmarks/results/<script>.json, or <script>_<part>.json, in gpu/ for another device.

    What is not to be `kept`, a trial, is printed alone.
    """
    show(rows)
    if not kept:
        return
    folder = RESULTS if device == "cpu" else RESULTS / "gpu"
    folder.mkdir(parents=True, exist_ok=True)
    command = f"python -m benchmarks.{script} {shlex.join(sys.argv[1:])}".strip()
    content = {
        "machine": machine() | gpu(device),
        "versions": {"revision": REVISION} | packages,
        "command": command,
        "rows": [asdict(row) for row in rows],
    }
    (folder / f"{script}{part and f'_{part}'}.json").write_text(json.dumps(content, indent=1) + "\n")


def show(rows: list[Row]) -> None:
    """Print a table."""
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    table = Table()
    for heading in ("name", "unit", "ours", "peer", "", "ratio", "floor", "of floor", "goal", "met"):
        table.add_column(heading, justify="right" if heading in ("ours", "ratio", "floor", "of floor") else "left")
    for row in rows:
        numbers = [_number(value) for value in (row.ours, row.peer, row.ratio, row.floor)]
        if row.ratios:
            numbers[2] += f" ({' to '.join(map(_number, row.ratios))})"
        share = "" if row.share_of_floor is None else f"{row.share_of_floor:.0%}"
        met = {True: "yes", False: "no", None: ""}[row.met]
        table.add_row(
            row.name, row.unit, numbers[0], numbers[1], row.peer_name, numbers[2], numbers[3], share, row.goal, met
        )
    console.print(table)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
