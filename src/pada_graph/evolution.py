"""How error patterns move from round to round (Appendix D, Figure 8 and Table 3), from the run directory alone.

Clusters of consecutive rounds are matched by the cosine of their centroids; a chain of matches is a track. The paper
does not say how its Figure 8 tells that a pattern of one iteration is that of another.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict

from pada_graph.rundir import RunDir
from pada_graph.state import Centroid, Cluster

if TYPE_CHECKING:
    import numpy as np

ALIKE = 0.65  # least cosine of one pattern in two rounds; docs/patterns.md says how it was chosen and what it misses


class Failures(TypedDict):
    """The validation failures of one student."""

    student: int  # iteration; round student + 1 analyses its failures
    items: int
    failed: int
    analysed: int  # those in a cluster; 0: nobody looked


class Stage(TypedDict):
    """One pattern in one round: a cluster, and what the analyst made of it."""

    round: int  # it analyses the failures of student round - 1
    cluster: int
    analysed: int  # failures in the cluster
    estimated: float  # failures of the student, if the analysed ones are divided like all of them
    similarity: float | None  # cosine to the stage before; None: the track begins here
    pattern_id: str | None  # None: the analyst named no pattern for this cluster; so are the four below
    category_name: str | None
    error_pattern: str | None
    strategy_name: str | None  # None too where no strategy was drafted or the leakage guard dropped it
    generation_approach: str | None


class Neighbour(TypedDict):
    """Of the clusters of the round before or after, the one nearest to a cluster that was matched with none."""

    track: int
    similarity: float  # cosine; the threshold or more: that cluster was matched with another


class Track(TypedDict):
    """One pattern through consecutive rounds.

    Where it is matched no further, a neighbour at or above the threshold says that it split from that track, or merged
    into it; without one it is new, or gone.
    """

    track: int  # 0, 1, ... by first round, the larger cluster first
    stages: list[Stage]
    before: Neighbour | None  # in the round before the first stage; None: that one grouped nothing, or is none
    after: Neighbour | None  # in the round after the last stage; likewise


class Evolution(TypedDict):
    """What evolution.json holds."""

    threshold: float  # least cosine of a match
    students: list[Failures]  # those with predictions on validation, in order
    tracks: list[Track]  # none if a needed centroid is not on file
    without_centroids: list[int]  # rounds that cannot be compared with their neighbours: of an earlier version


def evolution(run_dir: Path) -> Evolution:
    """Follow the patterns of a run, finished or not, over its rounds.

    Raises:
        InputError: a file is damaged, or the predictions that a round analysed are missing.
    """
    run = RunDir(run_dir)
    clusters: dict[int, list[Cluster]] = {t: run.rows_so_far(f"iteration_{t}/clusters.jsonl") for t in run.iterations()}
    clusters = {t: found for t, found in clusters.items() if found}
    centroids: dict[int, list[Centroid]] = {t: run.rows_so_far(f"iteration_{t}/centroids.jsonl") for t in clusters}
    lacking = [t for t in clusters if not centroids[t] and clusters.keys() & {t - 1, t + 1}]
    students = _students(run, clusters)
    tracks = [] if lacking else _tracks(run, clusters, centroids, {row["student"]: row for row in students})
    return {"threshold": ALIKE, "students": students, "tracks": tracks, "without_centroids": lacking}


def match(before: "np.ndarray", after: "np.ndarray", threshold: float = ALIKE) -> dict[int, tuple[int, float]]:
    """Match clusters of two rounds one to one, so that the sum of the matches' cosines is largest.

    A pair below the threshold counts nothing in that sum: two poor pairs must not break up a good one.

    Args:
        before: unit centroids, shape (k, dimension).
        after: unit centroids of the next round, shape (l, dimension).
        threshold: least cosine of a match.

    Returns:
        Row of `after` -> (row of `before`, cosine), for the matched ones.
    """
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    cosines = before @ after.T
    rows, columns = linear_sum_assignment(np.where(cosines >= threshold, cosines, 0), maximize=True)
    return {
        int(j): (int(i), float(cosines[i, j])) for i, j in zip(rows, columns, strict=True) if cosines[i, j] >= threshold
    }


def _students(run: RunDir, clusters: dict[int, list[Cluster]]) -> list[Failures]:
    students: list[Failures] = []
    for t in sorted({*run.iterations(), *(later - 1 for later in clusters)}):
        name = f"iteration_{t}/predictions_validation.jsonl"
        predictions = run.read_jsonl(name) if t + 1 in clusters else run.rows_so_far(name)
        if predictions:
            failed = sum(not prediction["correct"] for prediction in predictions)
            analysed = sum(len(cluster["failure_ids"]) for cluster in clusters.get(t + 1, []))
            students.append({"student": t, "items": len(predictions), "failed": failed, "analysed": analysed})
    return students


def _tracks(
    run: RunDir,
    clusters: dict[int, list[Cluster]],
    centroids: dict[int, list[Centroid]],
    students: dict[int, Failures],
) -> list[Track]:
    tracks: list[Track] = []
    last: dict[int, Track] = {}  # cluster of the round before -> its track
    for t in sorted(clusters):
        if t - 1 not in clusters:
            last = {}
        matches = _matches(centroids[t - 1], centroids[t]) if last else {}
        before = _nearest(centroids[t], centroids[t - 1], last) if last else {}
        here: dict[int, Track] = {}
        for stage in _stages(run, t, clusters[t], students[t - 1]):
            cluster = stage["cluster"]
            old, stage["similarity"] = matches.get(cluster, (None, None))
            if old is None:
                here[cluster] = {
                    "track": len(tracks),
                    "stages": [stage],
                    "before": before.get(cluster),
                    "after": None,
                }
                tracks.append(here[cluster])
            else:
                here[cluster] = last[old]
                last[old]["stages"].append(stage)
        after = _nearest(centroids[t - 1], centroids[t], here) if last else {}
        for cluster, track in last.items():
            if track["stages"][-1]["round"] < t:
                track["after"] = after[cluster]
        last = here
    return tracks


def _matches(before: list[Centroid], after: list[Centroid]) -> dict[int, tuple[int, float]]:
    """Cluster of the later round -> (cluster of the earlier one, cosine)."""
    found = match(_places(before), _places(after))
    return {after[j]["cluster"]: (before[i]["cluster"], round(cosine, 4)) for j, (i, cosine) in found.items()}


def _nearest(these: list[Centroid], others: list[Centroid], tracks: dict[int, Track]) -> dict[int, Neighbour]:
    """Cluster of `these` -> the nearest one of the `others`, whose clusters have these `tracks`."""
    cosines = _places(these) @ _places(others).T
    nearest = zip(these, cosines.argmax(axis=1), cosines.max(axis=1), strict=True)
    return {
        row["cluster"]: {"track": tracks[others[j]["cluster"]]["track"], "similarity": round(float(cosine), 4)}
        for row, j, cosine in nearest
    }


def _places(rows: list[Centroid]) -> "np.ndarray":
    import numpy as np

    return np.array([row["centroid"] for row in rows])


def _stages(run: RunDir, t: int, clusters: list[Cluster], failures: Failures) -> list[Stage]:
    """The round's clusters, largest first, with pattern and strategy, not yet matched."""
    patterns = {row["cluster"]: row for row in run.rows_so_far(f"iteration_{t}/patterns.jsonl")}
    strategies = {row["pattern_id"]: row for row in run.rows_so_far(f"iteration_{t}/strategies.jsonl")}
    stages: list[Stage] = []
    for cluster in sorted(clusters, key=lambda cluster: -len(cluster["failure_ids"])):
        pattern: dict[str, Any] = patterns.get(cluster["cluster"], {})
        strategy: dict[str, Any] = strategies.get(pattern.get("pattern_id"), {})
        size = len(cluster["failure_ids"])
        stages.append(
            {
                "round": t,
                "cluster": cluster["cluster"],
                "analysed": size,
                "estimated": round(failures["failed"] * size / failures["analysed"], 2),
                "similarity": None,
                "pattern_id": pattern.get("pattern_id"),
                "category_name": pattern.get("category_name"),
                "error_pattern": pattern.get("error_pattern"),
                "strategy_name": strategy.get("strategy_name"),
                "generation_approach": strategy.get("generation_approach"),
            }
        )
    return stages
