"""Do clustering and the leakage guard cost more than the libraries they stand on?

    python -m benchmarks.clustering_guard [--times 5] [--rows 50,500,5000,50000]

Clustering: `clustering.cluster` (k-means for K of 1 to 10 and the elbow) on random unit vectors in 384 dimensions with
ten centres, beside scikit-learn's KMeans for the same K and nothing else. Guard: 1,000 new questions against so many
held-out ones, each compared with all of them, both by n-grams and by vectors made beforehand, beside datasketch's
MinHashLSH over the same texts' word 5-grams, which finds near-duplicates alone. Vectors and texts are made here by a
seed. scikit-learn runs in this process, with what importing the package sets.
"""

import argparse
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.measure import PAIRS, compared, in_turn, peer_python, process, save, seconds, versions
from benchmarks.peers.minhash import texts

from pada_graph.clustering import cluster
from pada_graph.leakage import LeakageGuard

if TYPE_CHECKING:
    import numpy as np

ANALYSES = (50, 500, 5000, 50_000)
QUICK = 500  # fewer rows are clustered so fast that more pairs are needed for a median that stands still
NEW = 1000
DATASKETCH = "datasketch==1.6.5"


def vectors(rows: int) -> "np.ndarray":
    """Unit vectors around ten centres."""
    import numpy as np

    rng = np.random.default_rng(0)
    centres = rng.normal(size=(10, 384))
    found = centres[rng.integers(10, size=rows)] + 0.8 * rng.normal(size=(rows, 384))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype("float32")


def kmeans(points: "np.ndarray") -> None:
    """The fits alone."""
    from sklearn.cluster import KMeans

    for k in range(1, min(10, len(points) - 1) + 1):
        KMeans(n_clusters=k, n_init=10, random_state=0).fit(points)


def minhash(count: int) -> float:
    """Seconds of datasketch on the same texts, in its own environment."""
    command = [peer_python("datasketch", DATASKETCH), "-m", "benchmarks.peers.minhash", count, NEW]
    return float(process(command).output.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--rows", default=",".join(map(str, ANALYSES)))
    given = parser.parse_args()
    rows = []
    train = texts(NEW, 3)  # what most of them say alike is left out of every comparison
    for count in map(int, given.rows.split(",")):
        points = vectors(count)
        took = in_turn(
            {
                "ours": lambda points=points: seconds(lambda: cluster(points, 2, 10, 0)),
                "peer": lambda points=points: seconds(lambda: kmeans(points)),
            },
            given.times * max(1, QUICK // count),
        )
        rows.append(
            compared(
                f"clustering {count:,} analyses", "s", took["ours"], peer=took["peer"], peer_name="sklearn's k-means",
                more_is_better=False, goal="<= 1.05 x", met=median(took["ours"]) <= 1.05 * median(took["peer"]),
            )
        )  # fmt: skip
        held_out, new = texts(count, 1), texts(NEW, 2)
        small = vectors(count + NEW)
        embedded = dict(zip([*held_out, *new], small, strict=True))

        def embed(asked: list[str], embedded: dict = embedded) -> "np.ndarray":
            import numpy as np

            return np.stack([embedded[text] for text in asked])

        def guard(held_out: list[str] = held_out, new: list[str] = new, embed: object = embed) -> None:
            named = {str(number): text for number, text in enumerate(held_out)}
            LeakageGuard(named, train, embed).check(new)

        took = in_turn(
            {
                "ours": lambda guard=guard: seconds(guard),
                "peer": lambda count=count: minhash(count),
            },
            given.times,
        )
        least = median(took["ours"]) <= median(took["peer"]) and (count != 5000 or median(took["ours"]) < 1)
        rows.append(
            compared(
                f"guard, {count:,} held-out x {NEW:,} new rows", "s", took["ours"], peer=took["peer"],
                peer_name="datasketch MinHashLSH", more_is_better=False,
                goal="not slower" + (", < 1 s" if count == 5000 else ""), met=least,
            )
        )  # fmt: skip
    packages = versions(("scikit-learn",)) | {"datasketch": DATASKETCH}
    kept = given.times >= PAIRS and given.rows == parser.get_default("rows")
    save("clustering_guard", rows, packages, kept=kept)


if __name__ == "__main__":
    main()
