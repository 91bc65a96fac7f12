"""A round's batches as far as they are on file: from the round's own files, or from those of its batches meanwhile."""

from typing import Any

from typing_extensions import TypedDict

from pada_graph.rundir import RunDir


class RoundFiles(TypedDict):
    """What quality control left of one round; each list holds dictionaries as state.py describes them."""

    iteration: int
    closed: bool  # collect_batches has gathered them
    planned: int  # batches
    outcomes: list[Any]
    raw: list[Any]  # drafts of all attempts
    reviews: list[Any]
    accepted: list[Any]
    rejected: list[Any]


_FILES = {"raw": "synthetic_raw", "reviews": "reviews", "accepted": "synthetic_accepted", "rejected": "rejected"}


def read_rounds(run: RunDir) -> list[RoundFiles]:
    """Every round that has a finished batch or a plan, in order.

    Raises:
        InputError: a file is damaged.
    """
    rounds = [_closed(run, t) or _open(run, t) for t in run.iterations()]
    return [found for found in rounds if found["outcomes"] or found["planned"]]


def _closed(run: RunDir, t: int) -> RoundFiles | None:
    outcomes = run.rows_so_far(f"iteration_{t}/batches.jsonl")
    if not outcomes:
        return None
    rows = {key: run.rows_so_far(f"iteration_{t}/{name}.jsonl") for key, name in _FILES.items()}
    return _round(t, True, len(outcomes), outcomes, rows)


def _open(run: RunDir, t: int) -> RoundFiles:
    names = sorted(path.name for path in run.path(f"iteration_{t}/batches").glob("*.json"))
    files = [run.read_json(f"iteration_{t}/batches/{name}") for name in names if not name.startswith(".")]
    rows = {key: [row for file in files for row in file[key]] for key in _FILES}
    planned = len(run.rows_so_far(f"iteration_{t}/plan.jsonl"))
    return _round(t, False, planned, [file["outcome"] for file in files if "outcome" in file], rows)


def _round(t: int, closed: bool, planned: int, outcomes: list[Any], rows: dict[str, list[Any]]) -> RoundFiles:
    return {
        "iteration": t,
        "closed": closed,
        "planned": planned,
        "outcomes": outcomes,
        "raw": rows["raw"],
        "reviews": rows["reviews"],
        "accepted": rows["accepted"],
        "rejected": rows["rejected"],
    }
