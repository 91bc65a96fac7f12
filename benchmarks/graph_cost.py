"""What the graph, the journal and the run directory cost: our run against the same nodes in a plain Python loop.

    python -m benchmarks.graph_cost [--rows 300] [--times 5]

Two iterations of PaDA-Agent on the demo's word problems with builtin:tiny, really trained, and the rule-based teacher,
which answers at once. The loop calls the same node functions one after the other and follows the same edges, without
LangGraph, threads, journal, checkpoints or lock; it keeps in memory what a run writes to its directory, and ends with
the test split, without metrics and report. Both run in this process in turn, after one of each that is not counted.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measure import PAIRS, compared, in_turn, save, seconds, versions
from langgraph.types import Send

from pada_graph import RunConfig, routing, run
from pada_graph.demo.problems import KINDS, make_problem
from pada_graph.nodes import batch_end, collection, data_generation, evaluate, fine_tune, orchestrator, pattern_analysis
from pada_graph.nodes import quality_control as quality
from pada_graph.nodes.run import Rows, Run
from pada_graph.rundir import RunDir
from pada_graph.services import Reply, Services, default_services
from pada_graph.state import Artifact
from pada_graph.student import models
from pada_graph.tasks import get_task
from pada_graph.teacher.models import load_chat_model

GOAL = 1.3
ROWS = 300


class Memory(RunDir):
    """A run directory that is a dict; the training set alone becomes a file, which the trainer reads."""

    def __init__(self, root: Path):
        super().__init__(root)
        self.kept: dict[str, Any] = {}
        self.written: dict[str, Artifact] = {}

    def write_text(self, name: str, text: str) -> None:
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        self.path(name).write_text(text)

    def write_json(self, name: str, value: Any) -> None:
        self.kept[name] = value

    def read_json(self, name: str) -> Any:
        return self.kept[name]

    def write_jsonl(self, name: str, rows: Iterable[Any]) -> Artifact:
        self.kept[name] = list(rows)
        self.written[name] = {"path": name, "count": len(self.kept[name]), "sha256": str(len(self.written))}
        return self.written[name]

    def read_jsonl(self, name: str) -> list[Any]:
        return list(self.kept[name])

    def artifact(self, name: str) -> Artifact | None:
        return self.written.get(name)

    def stamp(self, name: str) -> tuple[int, ...] | None:
        return (id(self.kept[name]),) if name in self.kept else None

    def append(self, name: str, row: Any) -> None:
        pass


class BareTeacher:
    """The rule-based model asked directly."""

    def __init__(self, config: RunConfig):
        self._chat = load_chat_model(config.models.analyst)
        self.calls = 0

    def ask(self, role: str, prompt: str, *, item: str, attempt: int = 0) -> Reply:
        self.calls += 1
        return Reply(str(self._chat.invoke(prompt).text), "stop", 0, 0)

    def usage(self) -> dict[str, Any]:
        return {}


def merged(state: dict[str, Any], update: dict[str, Any]) -> dict[str, Any]:
    """Lists grow, other values are replaced, as the state's reducers do."""
    grown = {name: [*state.get(name, []), *value] for name, value in update.items() if name in GROWING}
    return {**state, **update, **grown}


GROWING = frozenset(("evaluations", "training_sets", "notes", "accounting", "outcomes", "patterns", "strategies",
                     "clusters", "clusterings", "analyses", "history"))  # fmt: skip


def loop(config: RunConfig, folder: Path, services: Services) -> None:
    """PaDA-Agent, a function call after the other."""
    directory = Memory(folder)
    task = get_task(config.task)
    one = Run(config, directory, task, Rows(directory, task), services, lambda event: None)
    state: dict[str, Any] = initialized(one)
    while True:
        state = merged(state, fine_tune.fine_tune(state, one))
        state = merged(state, evaluate.evaluate(state, one))
        state = merged(state, orchestrator.orchestrate(state, one))
        if state["stop_reason"]:
            break
        state = merged(state, analyse(state, one))
        state = merged(state, data_generation.plan_batches(state, one))
        batches = directory.read_jsonl(state["plan"]["path"])
        for send in sends(routing.fan_out_batches({**state, "batches": batches})):
            batch(send.arg, one)
        state = merged(state, collection.collect_batches(state, one))
        if state["stop_reason"]:
            break
    best = orchestrator.best_iteration(state["evaluations"])
    for iteration in (None, 0, best):
        evaluate.score_split(one, iteration, "test")


def initialized(one: Run) -> dict[str, Any]:
    from pada_graph.data import load_splits

    splits = load_splits(one.task, one.config.data)
    manifest = {split: one.dir.write_jsonl(f"data/{split}.jsonl", rows) for split, rows in splits.items()}
    one.dir.write_json("data/manifest.json", manifest)
    return {"run_dir": str(one.dir.root), "iteration": 0, "stop_reason": "", "notes": []}


def analyse(state: dict[str, Any], one: Run) -> dict[str, Any]:
    inner: dict[str, Any] = {"run_dir": state["run_dir"], "iteration": state["iteration"], "analyses": [], "notes": []}
    inner = merged(inner, pattern_analysis.select_errors(inner, one))
    for send in sends(routing.fan_out_failures(inner)):
        inner = merged(inner, pattern_analysis.analyze_errors(send.arg, one))
    inner = merged(inner, pattern_analysis.cluster_analyses(inner, one))
    for send in sends(routing.fan_out_clusters(inner)):
        named = pattern_analysis.categorize_pattern(send.arg, one)
        inner = merged(inner, named)
        for drafted in sends(routing.fan_out_patterns({**inner, **named})):
            inner = merged(inner, pattern_analysis.draft_strategy(drafted.arg, one))
    return {name: inner[name] for name in ("patterns", "strategies", "clusters") if name in inner}


def batch(state: dict[str, Any], one: Run) -> None:
    while True:
        state = merged(state, data_generation.generate_batch(state, one))
        state = merged(state, quality.quality_control(state, one))
        gate = routing.quality_gate(state)
        if gate != "generate_batch":
            break
    (batch_end.accept_batch if gate == "accept_batch" else batch_end.reject_batch)(state, one)


def sends(found: Any) -> list[Send]:
    return found if isinstance(found, list) else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help=f"other than {ROWS}: a trial, shown and not kept")
    parser.add_argument("--times", type=int, default=5)
    given = parser.parse_args()
    rules = {"model": "builtin:rules", "temperature": None}
    sizes = {"train": given.rows, "validation": given.rows // 2, "test": given.rows // 2}
    place = tempfile.TemporaryDirectory()
    data = Path(place.name) / "data"
    data.mkdir()
    rng = random.Random(0)
    kinds = sorted(KINDS)
    for split, count in sizes.items():
        problems = (make_problem(kinds[number % len(kinds)], rng) for number in range(3 * count))
        (data / f"{split}.jsonl").write_text("".join(json.dumps(problem) + "\n" for problem in problems))
    config = RunConfig.model_validate(
        {
            "task": "demo",
            "iterations": 2,
            "data": {
                "source": str(data),
                "overlap": "drop",
                **{f"{split}_size": count for split, count in sizes.items()},
            },
            "student": {"model": "builtin:tiny", "training": {"epochs": 2}, "inference": {"max_new_tokens": 16}},
            "models": dict.fromkeys(("analyst", "generator", "judge"), rules),
            "patterns": {"embedder": "builtin:minilm"},
        }
    )
    shared = default_services(config, Path(place.name) / "services")  # models loaded once for both
    asked = BareTeacher(config)
    bare = Services(asked, shared.embedder, shared.trainer, shared.predictor)
    teachers = []
    with place:
        folders = iter(Path(place.name) / str(number) for number in range(1000))

        def ours() -> None:
            from pada_graph.teacher.journaled import JournaledTeacher

            folder = next(folders)
            teacher = JournaledTeacher(config.models, config.limits, folder / "teacher_calls.sqlite")
            run(config, folder, services=Services(teacher, shared.embedder, shared.trainer, shared.predictor))
            teachers.append(teacher)

        def plain() -> None:
            folder = next(folders)
            folder.mkdir()
            loop(config, folder, bare)

        for warm_up in (plain, ours):
            started = time.perf_counter()
            warm_up()
            print(f"{warm_up.__name__}, not counted: {time.perf_counter() - started:.1f} s", flush=True)
        calls = sum(used["calls"] for used in teachers[0].usage().values())
        if calls != asked.calls:
            raise RuntimeError(f"the sides do not do the same: {calls} and {asked.calls} calls of the teacher")
        took = in_turn({"ours": lambda: seconds(ours), "plain": lambda: seconds(plain)}, given.times)
    row = compared(
        f"whole run, {given.rows} rows, two iterations", "s", took["ours"], peer=took["plain"],
        peer_name="the same nodes in a loop", more_is_better=False, goal=f"<= {GOAL} x",
        met=median(took["ours"]) <= GOAL * median(took["plain"]),
    )  # fmt: skip
    packages, kept = versions(("langgraph", "torch")), given.times >= PAIRS and given.rows == ROWS
    save("graph_cost", [row], packages, models.device(), kept=kept)


if __name__ == "__main__":
    main()
