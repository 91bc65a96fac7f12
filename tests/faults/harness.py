"""Starts `driver.py` against a provider whose answers depend on the prompt alone, and checks what is left behind."""

import contextlib
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from tests.fake_provider import FakeProvider, Request
from tests.fakes import FakeTeacher, write_sums
from tests.faults import driver

# A process of its own for every run, forked from one that has the imports behind it.
CONTEXT = multiprocessing.get_context("forkserver")
PRELOADED = """
pada_graph.runner pada_graph.live pada_graph.report.page pada_graph.executors.local rich.live tenacity sklearn.cluster
langgraph.checkpoint.sqlite langchain.chat_models langchain_openai openai.resources sklearn.metrics scipy.stats kneed
statsmodels.stats.contingency_tables matplotlib.backends.backend_svg
"""
CONTEXT.set_forkserver_preload(PRELOADED.split())
KILLED = -9
PATIENCE = 120  # seconds for one run; one takes a second or two


def answer(request: Request) -> str:
    """The temperature-0 teacher: a reply in form, one in four batches rated too low."""
    digest = hashlib.sha256(request.prompt.encode()).hexdigest()
    if request.prompt.startswith("Please analyze"):
        return json.dumps({"category_name": f"kind {digest[:6]}", "error_pattern": "goes wrong"})
    rating = 4.0 if digest[0] < "4" else 9.0
    return json.dumps(FakeTeacher(rating=lambda item, attempt: rating)._answer(request.prompt, digest, 0))


@dataclass
class Case:
    """One run directory, its provider, and the processes that worked on it in turn."""

    folder: Path
    provider: FakeProvider
    concurrency: int = 8
    config: dict[str, Any] = field(default_factory=dict)  # changes to the configuration
    spec: dict[str, Any] = field(default_factory=dict)  # for the driver
    rows: tuple[int, int, int] = (12, 8, 4)
    faulted: list[Request] = field(default_factory=list)  # requests that got no reply, by the script's own doing
    lost: Counter[str] = field(default_factory=Counter)  # those of them that may have been paid, by model
    kills: list[tuple[int, dict[str, Any]]] = field(default_factory=list)  # requests so far, the journal by key
    process: ForkServerProcess | None = None
    message: str = ""

    @property
    def run_dir(self) -> Path:
        return self.folder / "run"

    def start(self, fault: dict[str, Any] | None = None) -> ForkServerProcess:
        """Start the command; `finish` waits for it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        train, validation, test = self.rows
        data = self.folder / "sums"
        if not data.exists():
            write_sums(data, train, validation, test)
        config = {
            "task": "jsonl",
            "iterations": 2,
            "data": {"source": str(data), "train_size": train, "validation_size": validation, "test_size": test}
            | {"match": "number"},
            "generation": {"batch_size": 2},
            "patterns": {"analysis_batch": 3, "max_clusters": 3},
            "models": {
                role: self.provider.openai(role, temperature=0).model_dump()
                for role in ("analyst", "generator", "judge")
            },
            "limits": {"concurrency": self.concurrency},
            **self.config,
        }
        (self.folder / "config.yaml").write_text(json.dumps(config))
        spec = {"config": str(self.folder / "config.yaml"), "run_dir": str(self.run_dir), "fault": fault, **self.spec}
        self._words, words = CONTEXT.Pipe(duplex=False)
        self.process = CONTEXT.Process(target=_child, args=(spec, words))
        self.process.start()
        words.close()
        return self.process

    def finish(self) -> int:
        """Exit status of the process (negative: the signal that ended it); its message is in `message`."""
        assert self.process is not None
        chunks = []
        while chunk := os.read(self._words.fileno(), 65536):  # until every writer has gone
            chunks.append(chunk)
        self._words.close()
        self.message = b"".join(chunks).decode(errors="replace")
        self.process.join(PATIENCE)
        status = self.process.exitcode
        assert status is not None, "the run hangs"
        if status != 0:
            self.kills.append((len(self.provider.requests), {row["key"]: row for row in calls(self.run_dir)}))
        return status

    def run(self, fault: dict[str, Any] | None = None) -> int:
        """Start and finish."""
        self.start(fault)
        return self.finish()

    def kill_at_request(self, number: int, by: int = signal.SIGKILL) -> int:
        """Run, and let the provider send the process a signal when the n-th request of this run arrives, unanswered."""
        first = len(self.provider.requests)
        before = self.provider.script

        def script(request: Request) -> Any:
            if len(self.provider.requests) - first >= number and self.process is not None and self.process.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.process.pid, by)
            return before(request)

        self.provider.script = script
        try:
            return self.run()
        finally:
            self.provider.script = before


def _child(spec: dict[str, Any], words: Any) -> None:
    driver.main({**spec, "stderr": words.fileno()})


def calls(run_dir: Path) -> list[dict[str, Any]]:
    """The journal's rows, read from a copy: opening a database that lost its process would mend it."""
    with tempfile.TemporaryDirectory() as folder:
        for path in run_dir.glob("teacher_calls.sqlite*"):
            if not path.name.endswith("-shm"):
                shutil.copy(path, folder)
        file = Path(folder) / "teacher_calls.sqlite"
        if not file.exists():
            return []
        connection = sqlite3.connect(file)
        try:
            connection.row_factory = sqlite3.Row
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'calls'").fetchall():
                return []
            return [dict(row) for row in connection.execute("SELECT * FROM calls")]
        finally:
            connection.close()


def name(call: dict[str, Any] | Request) -> tuple[str, str]:
    """A call as journal and provider both know it."""
    if isinstance(call, Request):
        return call.model, call.prompt
    return call["model"].removeprefix("openai:"), call["prompt"]


def outcome(run_dir: Path) -> dict[str, Any]:
    """Everything a run decides: the sha256 of each data file, and metrics.json without its clock and lost replies."""
    files = sorted(run_dir.glob("data/*")) + sorted(run_dir.glob("iteration_*/*.jsonl")) + sorted(run_dir.glob("un*/*"))
    metrics = json.loads((run_dir / "metrics.json").read_text())
    del metrics["seconds"], metrics["unanswered_calls"]
    return {
        **{
            str(path.relative_to(run_dir)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in files
            if path.is_file() and "training_log" not in path.name
        },
        "metrics": metrics,
    }


def check_calls(case: Case) -> None:
    """No finished call was repeated; what a kill or the network lost was asked again, and the journal says so."""
    journal = calls(case.run_dir)
    assert all(row["status"] == "finished" for row in journal)
    assert asked(case).keys() == {name(row) for row in journal}
    for requests, before in [(0, {}), *case.kills]:
        started: Counter[tuple[str, str]] = Counter()  # from here on, as the journal says
        for row in journal:
            known = before.get(row["key"], {"starts": 0, "status": "started"})
            assert row["starts"] == known["starts"] or known["status"] != "finished", "a finished call was repeated"
            started[name(row)] += row["starts"] - known["starts"]
        late = asked(case, since=requests)
        assert all(late[call] <= started[call] for call in late), "asked more often than the journal knows"
    again = Counter({row["model"]: 0 for row in journal})
    for row in journal:
        again[row["model"]] += row["starts"] - 1
    at_kills = {model: count - case.lost[model.removeprefix("openai:")] for model, count in again.items()}
    assert max(at_kills.values()) <= case.concurrency * len(case.kills), f"calls were started again: {again}"


def asked(case: Case, since: int = 0) -> Counter[tuple[str, str]]:
    """How often the provider was asked each question, refused tries not counted."""
    refused = set(map(id, case.faulted))
    return Counter(name(request) for request in case.provider.requests[since:] if id(request) not in refused)


def check_rows(run_dir: Path, iterations: int = 2) -> None:
    """The last training file holds every train row and every accepted sample, once; the books are closed."""
    lines = [json.loads(line) for line in (run_dir / f"iteration_{iterations}/train.jsonl").read_text().splitlines()]
    ids = [line["id"] for line in lines]
    assert len(set(ids)) == len(ids)
    expected = [json.loads(line)["id"] for line in (run_dir / "data/train.jsonl").read_text().splitlines()]
    for iteration in range(1, iterations + 1):
        folder = run_dir / f"iteration_{iteration}"
        accepted, rejected = (
            [json.loads(line) for line in (folder / f"{file}.jsonl").read_text().splitlines()]
            for file in ("synthetic_accepted", "rejected")
        )
        requested = sum(json.loads(line)["requested"] for line in (folder / "batches.jsonl").read_text().splitlines())
        assert requested == len(accepted) + len(rejected)
        expected += [sample["id"] for sample in accepted]
    assert ids == expected
