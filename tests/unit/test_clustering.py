"""K-means with the elbow, and what happens where there is none."""

import numpy as np
import pytest
from sklearn.metrics import silhouette_score
from sklearn.metrics.pairwise import euclidean_distances

from pada_graph import clustering
from pada_graph.clustering import cluster
from pada_graph.errors import InputError


def blobs(centres: int, per_centre: int = 10, spread: float = 0.05, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    middle = np.linalg.qr(rng.normal(size=(64, centres)))[0].T
    points = np.repeat(middle, per_centre, axis=0) + spread * rng.normal(size=(centres * per_centre, 64)) / 8
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("k", [3, 4, 6])
@pytest.mark.parametrize("seed", range(3))
def test_clear_clusters_are_found_by_the_elbow(k, seed):
    found = cluster(blobs(k, seed=seed), 2, 10, seed)
    assert (found.k, found.method) == (k, "elbow")
    groups = [set(found.labels[start : start + 10]) for start in range(0, 10 * k, 10)]
    assert all(len(group) == 1 for group in groups) and len(set.union(*groups)) == k


def test_two_clusters_are_found_although_two_is_the_curves_first_allowed_point():
    assert cluster(blobs(2), 2, 10, 0).k == 2


def test_structureless_data_falls_back_to_the_silhouette():
    points = np.random.default_rng(0).normal(size=(50, 768)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    found = cluster(points, 2, 10, 0)
    assert found.method == "silhouette" and 2 <= found.k <= 10
    assert len(found.inertia) == 10 and all(isinstance(value, float) for value in found.inertia)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_fewer_than_four_analyses_are_one_cluster(count):
    found = cluster(blobs(1, count), 2, 10, 0)
    assert (found.k, found.method, found.labels) == (1, "single", [0] * count)


def test_identical_analyses_are_one_cluster():
    assert cluster(np.repeat(blobs(1, 1), 20, axis=0), 2, 10, 0).k == 1


def test_no_more_clusters_than_distinct_analyses():
    points = np.repeat(blobs(4, 1), 5, axis=0)
    found = cluster(points, 2, 10, 0)
    assert 2 <= found.k <= 3 and len(found.inertia) == 3


def test_vectors_that_are_not_finite_are_refused():
    points = blobs(3)
    points[4, 2] = np.nan
    with pytest.raises(InputError, match="not finite"):
        cluster(points, 2, 10, 0)


def structureless(count: int) -> np.ndarray:
    points = np.random.default_rng(1).normal(size=(count, 32)).astype(np.float32)
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def test_the_silhouette_is_scikit_learns():
    points = structureless(60)
    points[50:] = points[49]  # eleven alike: clusters without a width, and points on others of another cluster
    by_place = (points[:, :2] > 0) @ [1, 2]
    alone = np.r_[0, np.ones(59, dtype=int)]
    labelings = [np.arange(60) % 2, np.arange(60) % 5 + 7, by_place, alone, np.r_[np.zeros(49, dtype=int), [1] * 11]]
    distances = euclidean_distances(points).astype(float)
    for labels in labelings:
        assert clustering._silhouette(distances, labels) == pytest.approx(silhouette_score(points, labels), abs=1e-6)


def test_a_point_that_lies_on_all_of_two_clusters_counts_as_nothing_like_scikit_learns():
    distances = euclidean_distances(structureless(60)).astype(float)
    distances[49:, 49:] = 0
    distances[49:, :49], distances[:49, 49:] = distances[49, :49], distances[:49, 49:50]
    labels = np.repeat([0, 1, 2], [49, 5, 6])
    expected = silhouette_score(distances, labels, metric="precomputed")
    assert clustering._silhouette(distances, labels) == pytest.approx(expected, abs=1e-12)


def test_the_best_silhouette_chooses_k():
    points = structureless(60)
    labelings = {k: np.arange(60) % k for k in (2, 3, 5)} | {4: (points[:, :2] > 0) @ [1, 2]}
    expected = max(labelings, key=lambda k: silhouette_score(points, labelings[k]))
    assert clustering._best_silhouette(points, labelings) == expected == 4


def test_of_very_many_analyses_a_sample_decides_and_one_without_a_cluster_does_not_count(monkeypatch):
    points = blobs(2, 50)
    monkeypatch.setattr(clustering, "SILHOUETTE_SAMPLE", 30)
    rare = np.zeros(100, dtype=int)
    rare[np.setdiff1d(np.arange(100), np.random.default_rng(0).choice(100, 30, replace=False))[0]] = 1
    assert clustering._best_silhouette(points, {2: np.repeat([0, 1], 50), 3: rare}) == 2
    assert cluster(points, 2, 10, 0) == cluster(points, 2, 10, 0)
