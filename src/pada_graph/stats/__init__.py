"""What one model scores, what two models differ by, what several seeds say: intervals and tests.

accuracy.py has one model on one split, pairs.py two models on the same items, seeds.py one training under several
seeds. docs/evaluation.md gives the reasons.
"""

from pada_graph.stats.accuracy import Described, describe, measures, score
from pada_graph.stats.pairs import (
    Paired,
    detectable_gain,
    detectable_words,
    holm,
    paired,
    verdict,
)
from pada_graph.stats.seeds import OverSeeds, over_seeds

__all__ = [
    "Described",
    "OverSeeds",
    "Paired",
    "describe",
    "detectable_gain",
    "detectable_words",
    "holm",
    "measures",
    "over_seeds",
    "paired",
    "score",
    "verdict",
]
