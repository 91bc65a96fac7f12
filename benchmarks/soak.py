"""Kill a run at every moment, then torment it with random faults for an hour, and check what is left behind.

Run: python -m benchmarks.soak [--seconds 3600] [--seed N] [--every 1] [--case N] [--folder DIR]

First the matrix of fault row 12: SIGKILL at the n-th superstep, task, file and teacher call, for every n (--every 5:
every fifth), concurrency 1, 2 and 8. Then, for --seconds, random cases of --seed: each a run of two iterations that is
killed, stopped by signals and by a full disk up to six times, while the provider throttles, fails, hangs up, dribbles,
answers malformed, cut off, empty, refused, or with a validation row word for word. Case N of a seed is always the same
plan: `--seed S --case N` runs it alone. Student and embedder are fakes, but in every twentieth case the tiny student is
really trained; command, graph, journal, checkpoints and HTTP are real. The folder of a case that failed is kept.

After each case: the files and metrics.json are those of a run without kills; ids are conserved and unique; no finished
call was repeated; the ledger is the provider's count; no held-out text is in a training file; and
recompute_metrics.py, which shares no code with the package, finds every number of metrics.json again. Exits with 1 if
anything did not hold.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.recompute_metrics import disagreements
from tests.fake_provider import Answer, FakeProvider, Request, tokens
from tests.faults.harness import KILLED, Case, answer, calls, check_calls, check_rows, outcome
from tests.faults.test_kills import MOMENTS

POINTS = ("put", "put_writes", "start", "finish", "rename", "write_text", "append", "train")
TEXTS = 12  # kinds of weather: seeds of what the provider writes; each has its unbroken run


def matrix(folder: Path, every: int, tally: Counter[str]) -> None:
    """Fault row 12, all of it."""
    folder.mkdir(parents=True)
    with FakeProvider(answer) as provider:
        case = Case(folder / "unbroken", provider, spec={"counts": str(folder / "counts.json")})
        assert case.run() == 0, case.message
        expected = outcome(case.run_dir)
        counts = {**json.loads((folder / "counts.json").read_text()), "request": len(provider.requests)}
    for concurrency in (1, 2, 8):
        for point, when in MOMENTS:
            for nth in range(1, counts[point] + 1, every):
                place = folder / f"{concurrency}-{point}-{when}-{nth}"
                with FakeProvider(answer) as provider, counted(f"matrix {place.name}", place, tally):
                    case = Case(place, provider, concurrency)
                    if point == "request":
                        status = case.kill_at_request(nth)
                    else:
                        status = case.run({"at": point, "nth": nth, "when": when, "do": "kill"})
                    if status == 0:  # batches run at once commit fewer or more groups
                        tally["moments not reached"] += 1
                    else:
                        assert status == KILLED, case.message
                        assert case.run() == 0, case.message
                        tally["kills"] += 1
                    check(case, expected, tally)
            print(f"concurrency {concurrency}, {point} {when}: {dict(tally)}", flush=True)


class counted:
    """Count a case, print its failure with the place to look at, and drop its folder if all is well."""

    def __init__(self, name: str, folder: Path, tally: Counter[str]):
        self.name, self.folder, self.tally = name, folder, tally

    def __enter__(self) -> None:
        self.tally["cases"] += 1

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        if error is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        elif isinstance(error, Exception):
            self.tally["FAILED"] += 1
            print(
                f"FAILED {self.name}, left in {self.folder}\n{''.join(traceback.format_exception(error))}", flush=True
            )
        return isinstance(error, Exception)


def check(case: Case, expected: dict[str, Any] | None, tally: Counter[str]) -> None:
    """All invariants of a finished run."""
    check_calls(case)
    metrics = json.loads((case.run_dir / "metrics.json").read_text())
    rounds = len(list(case.run_dir.glob("iteration_*/synthetic_accepted.jsonl")))
    check_rows(case.run_dir, min(rounds, len(metrics["iterations"]) - 1))
    rows = calls(case.run_dir)
    for role, spent in metrics["teacher"].items():
        mine = [row for row in rows if row["role"] == role]
        assert spent["calls"] == len(mine)
        assert spent["output_tokens"] == sum(tokens(row["text"]) for row in mine)  # as the provider counts
    held_out = [row["prompt"] for split in ("validation", "test") for row in read(case.run_dir / f"data/{split}.jsonl")]
    for path in case.run_dir.glob("iteration_*/train.jsonl"):
        text = path.read_text()
        assert not [prompt for prompt in held_out if prompt in text], f"{path} holds a held-out row"
    different, _ = disagreements(case.run_dir)
    assert not different, different
    if expected is not None:
        found = outcome(case.run_dir)
        assert found == expected, [name for name in expected if found.get(name) != expected[name]]
    tally["requests"] += len(case.provider.requests)
    tally["refused requests"] += len(case.faulted)
    tally["calls"] += len(rows)
    tally["calls started again after a kill"] += sum(row["starts"] - 1 for row in rows)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


class Weather:
    """A provider's moods: what it writes depends on the prompt alone, whether it answers on chance."""

    def __init__(self, text: int, chance: random.Random | None, case: Case):
        self.text, self.chance, self.case = text, chance, case
        self.burst = 0

    def __call__(self, request: Request) -> Answer:
        if self.chance is not None and (refusal := self.refusal(self.chance.random())):
            self.case.faulted.append(request)
            self.case.lost[request.model] += refusal.drop
            return refusal
        delay = 0.3 if self.chance is not None and self.chance.random() < 0.03 else 0.0
        return Answer(**{"delay": delay, **self.written(request)})

    def refusal(self, dice: float) -> Answer | None:
        if self.burst or dice < 0.02:
            self.burst = (self.burst or 8) - 1
            return Answer("slow down", status=429, headers={"Retry-After": "1"})
        if dice < 0.05:
            return Answer("try later", status=503)
        return Answer(drop=True) if dice < 0.08 else None

    def written(self, request: Request) -> dict[str, str]:
        """The reply to a prompt: one in ten is no good."""
        text = answer(request)
        dice = random.Random(f"{self.text} {hashlib.sha256(request.prompt.encode()).hexdigest()}")
        match dice.choices(["good", "malformed", "cut", "empty", "refused", "planted"], [90, 2, 2, 1, 1, 4])[0]:
            case "malformed":
                return {"text": text.replace('"', "", 3)}
            case "cut":
                return {"text": text[: len(text) // 2], "stop": "length"}
            case "empty":
                return {"text": ""}
            case "refused":
                return {"text": "I cannot help with that.", "stop": "content_filter"}
            case "planted" if request.prompt.startswith("Please generate"):
                stolen = dice.choice(read(self.case.folder / "sums/validation.jsonl"))
                samples = [{**json.loads(text)[0], **stolen}, *json.loads(text)[1:]]
                return {"text": json.dumps(samples)}
        return {"text": text}


def plan(seed: str) -> dict[str, Any]:
    """What a case does, drawn from its seed."""
    chance = random.Random(seed)
    real = chance.random() < 0.05
    return {
        "text": chance.randrange(TEXTS),
        "real": real,
        "concurrency": chance.choice([1, 2, 3, 8, 16]),
        "blows": [blow(chance) for _ in range(chance.randint(1, 6))],
    }


def blow(chance: random.Random) -> dict[str, Any]:
    """One way for a process to end: at a point in its code, at a request, or after some seconds."""
    kind = chance.choice(["kill", "kill", "limit", "request", "later"])
    if kind == "request":
        return {"request": chance.randint(1, 30), "by": chance.choice([signal.SIGTERM, signal.SIGINT, signal.SIGKILL])}
    if kind == "later":
        return {"seconds": chance.random() * 8}
    when = chance.choice(["before", "after"])
    return {"fault": {"at": chance.choice(POINTS), "nth": chance.randint(1, 70), "when": when, "do": kind}}


def strike(case: Case, how: dict[str, Any]) -> int:
    """Run the command until the blow falls, or to its end."""
    if "request" in how:
        return case.kill_at_request(how["request"], how["by"])
    process = case.start(how.get("fault"))
    if "seconds" in how:
        timer = threading.Timer(how["seconds"], process.kill)
        timer.start()
        try:
            return case.finish()
        finally:
            timer.cancel()
    return case.finish()


def settings(case_plan: dict[str, Any]) -> dict[str, Any]:
    """The configuration's changes and the driver's: the same for a case and its unbroken run."""
    if not case_plan["real"]:
        return {}
    student = {"model": "builtin:tiny", "training": {"epochs": 3}, "lora": {"r": 4}}
    student["inference"] = {"max_new_tokens": 8}
    return {"config": {"student": student}, "spec": {"trainer": "local"}}


def random_case(folder: Path, seed: str, unbroken: dict[tuple[int, bool], Any], tally: Counter[str]) -> None:
    """One run, its blows, and its checks; the unbroken run of the same texts is made when it is first needed."""
    mine = plan(seed)
    key = (mine["text"], mine["real"])
    if key not in unbroken:
        place = folder / f"unbroken-{key[0]}{'-real' * key[1]}"
        with FakeProvider(answer) as provider:
            case = Case(place, provider, **settings(mine))
            provider.script = Weather(mine["text"], None, case)
            assert case.run() == 0, case.message
            check(case, None, tally)
            unbroken[key] = outcome(case.run_dir)
    with FakeProvider(answer) as provider, counted(f"{seed}: {mine}", folder / seed.replace("/", "-"), tally):
        case = Case(folder / seed.replace("/", "-"), provider, mine["concurrency"], **settings(mine))
        provider.script = Weather(mine["text"], random.Random(f"{seed} weather"), case)
        statuses = []
        for how in [*mine["blows"], *[{}] * 20]:
            statuses.append(strike(case, how))
            assert statuses[-1] in (0, 1, KILLED, 143, 130), case.message
            assert statuses[-1] != 1 or "The same command goes on from here." in case.message, case.message
            assert "Traceback" not in case.message, case.message
            if statuses[-1] == 0:
                break
        assert statuses[-1] == 0, f"{statuses}: {case.message}"
        tally.update(f"exit {status}" for status in statuses)
        check(case, unbroken[key], tally)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("SOAK_SECONDS", "3600")))
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--every", type=int, default=1, help="0: leave the matrix out")
    parser.add_argument("--case", type=int, help="run this random case alone")
    parser.add_argument("--folder", type=Path, help="where the runs go; default: a temporary folder")
    options = parser.parse_args()
    os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"
    folder = options.folder or Path(tempfile.mkdtemp(prefix="soak-"))
    print(f"seed {options.seed}; one case again: python -m benchmarks.soak --seed {options.seed} --case N", flush=True)
    tally: Counter[str] = Counter()
    if options.every and options.case is None:
        matrix(folder / "matrix", options.every, tally)
        print(f"matrix: {dict(tally)}", flush=True)
    unbroken: dict[tuple[int, bool], Any] = {}
    tally, number = Counter({"FAILED": tally["FAILED"]}), options.case or 0
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        random_case(folder, f"{options.seed}/{number}", unbroken, tally)
        number += 1
        if options.case is not None:
            break
        if number % 10 == 0:
            print(f"{number} cases: {dict(tally)}", flush=True)
    print(f"seed {options.seed}, {number - (options.case or 0)} random cases: {dict(tally)}", flush=True)
    return 1 if tally["FAILED"] else 0


if __name__ == "__main__":
    sys.exit(main())
