"""What would a run gain if its stages overlapped? Read from the events of finished runs.

    python -m benchmarks.overlap RUN_DIR [RUN_DIR ...]     (of this machine)

The graph lets two things wait for each other that need not: the evaluation of D_train's rows, which generation alone
needs, could go on while the failures of validation are analysed. The most that this can save is the shorter of the two,
in every round; where both compute on the same processor it saves less.
"""

import json
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.measure import Row, save

from pada_graph.stages import STAGES


def rounds(events: list[dict[str, Any]]) -> dict[int, Counter[str]]:
    """Seconds of each round's train evaluation ("train") and pattern analysis ("analysis")."""
    found: dict[int, Counter[str]] = {}
    for before, after in pairwise(events):
        stage, seconds = STAGES.get(after["event"]), after["time"] - before["time"]  # a pause ends with "session"
        if stage == "prediction" and after["split"] == "train" and after["iteration"] is not None:
            found.setdefault(after["iteration"] + 1, Counter())["train"] += seconds
        elif stage == "pattern analysis":
            found.setdefault(after["iteration"], Counter())["analysis"] += seconds
    return found


def main() -> None:
    rows, packages = [], {}
    places = [Path(word) for word in sys.argv[1:]]
    if not places:
        sys.exit("Name the directories of finished runs: python -m benchmarks.overlap RUN_DIR [RUN_DIR ...]")
    for place in places:
        events = [json.loads(line) for line in (place / "events.jsonl").read_text().splitlines()]
        found = json.loads((place / "environment.json").read_text())
        del found["platform"]
        packages = {"revision": "not noted"} | found  # the run's own
        pauses = sum(
            after["time"] - before["time"] for before, after in pairwise(events) if after["event"] == "session"
        )
        whole = events[-1]["time"] - events[0]["time"] - pauses
        for number, took in sorted(rounds(events).items()):
            least = min(took["train"], took["analysis"])
            stages = f"train evaluation {took['train']:.1f} s, analysis {took['analysis']:.1f} s"
            name = f"{place.name}, round {number}: {stages}"
            rows.append(Row(name, "s, saved at most", least, whole, "whole run", least / whole))
    save("overlap", rows, packages)


if __name__ == "__main__":
    main()
