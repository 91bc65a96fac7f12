"""A run keeps what is needed to follow its patterns: centroids in its directory, none in the state."""

import json

import numpy as np
import pytest
from langgraph.checkpoint.memory import InMemorySaver

from pada_graph import run
from pada_graph.evolution import evolution
from pada_graph.rundir import RunDir
from tests.fakes import FakeEmbedder, FakePredictor, fake_services, sums_config, write_sums


@pytest.fixture
def sums(tmp_path):
    return write_sums(tmp_path / "sums")


def test_each_round_leaves_its_centroids_and_the_end_their_tracks(sums, tmp_path):
    run(sums_config(sums, patterns__analysis_batch=4), tmp_path / "run", services=fake_services())
    directory = RunDir(tmp_path / "run")
    for t in (1, 2):
        analyses = {row["failure_id"]: row for row in directory.read_jsonl(f"iteration_{t}/analyses.jsonl")}
        clusters = directory.read_jsonl(f"iteration_{t}/clusters.jsonl")
        places = directory.read_jsonl(f"iteration_{t}/centroids.jsonl")
        assert [row["cluster"] for row in places] == [row["cluster"] for row in clusters]
        for cluster, place in zip(clusters, places, strict=True):
            members = [analyses[id_] for id_ in cluster["failure_ids"]]
            mean = FakeEmbedder().embed([f"{a['scenario_category']}: {a['error_cause']}" for a in members]).mean(axis=0)
            assert place["centroid"] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)
        drawn = directory.read_json(f"iteration_{t}/map.json")
        assert {(place["failure_id"], place["cluster"]) for place in drawn["places"]} == {
            (id_, row["cluster"]) for row in clusters for id_ in row["failure_ids"]
        }
        assert 0 < sum(drawn["explained"]) <= 1.000001
    found = directory.read_json("evolution.json")
    assert found == evolution(directory.root)
    assert [student["student"] for student in found["students"]] == [0, 1, 2]
    assert max(len(track["stages"]) for track in found["tracks"]) == 2
    assert "From iteration to iteration" in (tmp_path / "run/report.html").read_text()


def test_no_checkpoint_holds_a_centroid(sums, tmp_path):
    saver = InMemorySaver()
    run(sums_config(sums, iterations=1), tmp_path / "run", services=fake_services(), checkpointer=saver)
    number = json.loads((tmp_path / "run/iteration_1/centroids.jsonl").read_text().splitlines()[0])["centroid"][0]
    assert all(str(number)[:7] not in str(checkpoint) for checkpoint in saver.list(None))


def test_a_run_without_patterns_writes_no_tracks(sums, tmp_path):
    run(sums_config(sums, patterns__enabled=False), tmp_path / "run", services=fake_services())
    assert not (tmp_path / "run/evolution.json").exists()


def test_what_was_not_sampled_is_estimated(sums, tmp_path):
    settings = sums_config(sums, iterations=1, patterns__max_errors=4)
    run(settings, tmp_path / "run", services=fake_services(predictor=FakePredictor(known=2, per_row=0)))
    found = RunDir(tmp_path / "run").read_json("evolution.json")
    assert found["students"][0] == {"student": 0, "items": 12, "failed": 10, "analysed": 4}
    assert sum(track["stages"][0]["estimated"] for track in found["tracks"]) == pytest.approx(10, abs=0.05)
