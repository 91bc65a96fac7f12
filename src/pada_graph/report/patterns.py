"""What the report says of error patterns: round by round, and from round to round (Figure 8 and Table 3)."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pada_graph.evolution import Evolution, Failures, Track, evolution
from pada_graph.report.texts import letters
from pada_graph.rundir import RunDir
from pada_graph.state import FailureMap

NOT_ANALYSED = ("?", -1)  # key and colour of failures that no round looked at


def error_patterns(run: RunDir, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Rounds, students, and the lines of Figure 8's table and of Table 3.

    Without centroids on file (`lacking` names the rounds) there is nothing but the rounds.
    """
    found = evolution(run.root)
    scores = {entry["iteration"]: entry for entry in metrics["iterations"]}
    students = [
        {
            **student,
            "exact": student["analysed"] == student["failed"],
            **{split: scores.get(student["student"], {}).get(split) for split in ("validation", "test")},
        }
        for student in found["students"]
    ]
    if not found["tracks"]:
        students = []
    return {
        "rounds": _rounds(run, found),
        "lacking": found["without_centroids"],
        "threshold": found["threshold"],
        "students": students,
        "unanalysed": [row["student"] for row in students if row["failed"] and not row["analysed"]],
        "lines": [_line(track, found) for track in found["tracks"]],
        "examples": _examples(found),
        "maps": _maps(run, found),
    }


def bars(patterns: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, int, float]], list[str]]]:
    """Figure 8's bars from what `error_patterns` returned: (iteration, segments, lines of text above).

    A segment is (key letter, colour number or -1 for "not analysed", height in failures).
    """
    drawn = []
    for place, student in enumerate(patterns["students"]):
        cells = [(line, line["cells"][place]) for line in patterns["lines"]]
        segments = [(line["key"], line["colour"], cell["estimated"]) for line, cell in cells if cell["kind"] == "count"]
        if student["failed"] and not student["analysed"]:
            segments = [(*NOT_ANALYSED, float(student["failed"]))]
        scored = [(short, student[split]) for short, split in (("val.", "validation"), ("test", "test"))]
        above = [f"{short} {100 * score['accuracy']:.1f} %" for short, score in scored if score]
        drawn.append((str(student["student"]), segments, [str(student["failed"]), *above]))
    return drawn


def _rounds(run: RunDir, found: Evolution) -> list[dict[str, Any]]:
    """Per round: its patterns with the key of their track, strategies, accepted samples, and analyses behind them."""
    tracks = {
        (stage["round"], stage["cluster"]): track["track"] for track in found["tracks"] for stage in track["stages"]
    }
    loose = 0  # without tracks no two patterns share a key
    rounds = []
    for t in run.iterations():
        strategies = run.rows_so_far(f"iteration_{t}/strategies.jsonl")
        samples = Counter(row["pattern_id"] for row in run.rows_so_far(f"iteration_{t}/synthetic_accepted.jsonl"))
        analyses = {row["failure_id"]: row for row in run.rows_so_far(f"iteration_{t}/analyses.jsonl")}
        members = {row["cluster"]: row["failure_ids"] for row in run.rows_so_far(f"iteration_{t}/clusters.jsonl")}
        patterns = []
        for pattern in sorted(run.rows_so_far(f"iteration_{t}/patterns.jsonl"), key=lambda pattern: -pattern["size"]):
            number = tracks.get((t, pattern["cluster"]), loose)
            loose += 1
            patterns.append(
                {
                    **pattern,
                    "key": letters(number),
                    "colour": number,
                    "strategies": [item for item in strategies if item["pattern_id"] == pattern["pattern_id"]],
                    "samples": samples[pattern["pattern_id"]],
                    "analyses": [analyses[i] for i in members.get(pattern["cluster"], []) if i in analyses][:5],
                }
            )
        if patterns:
            rounds.append({"iteration": t, "patterns": patterns, "analysed": sum(item["size"] for item in patterns)})
    return rounds


def _maps(run: RunDir, found: Evolution) -> list[dict[str, Any]]:
    """Per round with coordinates on file: (key, colour, x, y) of every analysed failure."""
    tracks = {
        (stage["round"], stage["cluster"]): track["track"] for track in found["tracks"] for stage in track["stages"]
    }
    maps = []
    for t in run.iterations():
        name = f"iteration_{t}/map.json"
        if run.path(name).exists():
            on_file: FailureMap = run.read_json(name)
            points = [
                (letters(number), number, place["x"], place["y"])
                for place in on_file["places"]
                for number in [tracks.get((t, place["cluster"]), place["cluster"])]
            ]
            maps.append({"iteration": t, "points": points, "explained": on_file["explained"]})
    return maps


def _line(track: Track, found: Evolution) -> dict[str, Any]:
    """One line of Figure 8's table: a track and its failures among those of every student."""
    stages = {stage["round"]: stage for stage in track["stages"]}
    first, last = min(stages), max(stages)
    rounds = {stage["round"] for other in found["tracks"] for stage in other["stages"]}

    def cell(student: Failures) -> dict[str, Any]:
        here = student["student"] + 1
        if here in stages:
            stage = stages[here]
            return {
                "kind": "count",
                "analysed": stage["analysed"],
                "estimated": stage["estimated"],
                "exact": student["analysed"] == student["failed"],
                "origin": _origin(track, found) if here == first and here - 1 in rounds else "",
            }
        if not student["analysed"]:
            return {"kind": "unknown" if student["failed"] else "none"}
        return {"kind": "end", "end": _end(track, found)} if here == last + 1 else {"kind": "none"}

    return {
        "key": letters(track["track"]),
        "colour": track["track"],
        "name": track["stages"][0]["category_name"],
        "cells": [cell(student) for student in found["students"]],
    }


def _origin(track: Track, found: Evolution) -> str:
    """Where a track that begins after the first round comes from."""
    near = track["before"]
    return f"split from {letters(near['track'])}" if near and near["similarity"] >= found["threshold"] else "new"


def _end(track: Track, found: Evolution) -> str:
    """What became of a track that ends before the last round."""
    near = track["after"]
    return f"merged into {letters(near['track'])}" if near and near["similarity"] >= found["threshold"] else "gone"


def _examples(found: Evolution) -> list[dict[str, Any]]:
    """Table 3: each track's first stage, and its last one where that is another. Nothing if only one round has any."""
    tracks = found["tracks"]
    if len({stage["round"] for track in tracks for stage in track["stages"]}) < 2:
        return []
    newest = max(track["stages"][-1]["round"] for track in tracks)
    return [
        {
            "key": letters(track["track"]),
            "colour": track["track"],
            "first": track["stages"][0],
            "last": track["stages"][-1] if len(track["stages"]) > 1 else None,
            "origin": _origin(track, found),
            "end": _end(track, found) if track["stages"][-1]["round"] < newest else "",
        }
        for track in tracks
    ]
