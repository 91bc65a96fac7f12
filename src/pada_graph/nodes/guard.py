"""The leakage guard as the nodes use it: what synthetic data may not repeat, what becomes of what does, and the books.

Held-out questions and their ids end here. What leaves is a draft's fate and one of the sentences below, which name no
row; which row it was stands in iteration_t/overlaps.jsonl, for the report.
"""

from collections.abc import Iterable
from typing import Literal

from typing_extensions import TypedDict

from pada_graph.leakage import Hit
from pada_graph.methods.base import Generating
from pada_graph.near_duplicates import NearDuplicates
from pada_graph.nodes.run import Run
from pada_graph.state import BatchOutcome, BatchState, Draft, Sample

# "ngram" and "embedding": a held-out row, repeated or rephrased; the others: the draft's own seed, another row of
# D_train, a sample accepted in an earlier round, another sample of this round.
Kind = Literal["ngram", "embedding", "seed", "train", "accepted", "round"]

TOO_CLOSE = "it is too close to well-known text; write something of your own"
HARDLY_NEW = "it hardly differs from the example it starts from; make it more different"
REPEATED = "it repeats a question that exists already; write a different one"


class Overlap(TypedDict):
    """One line of overlaps.jsonl: a sample or strategy that was dropped, and what it repeats."""

    iteration: int
    subject: Literal["sample", "strategy"]
    id: str  # of the sample; of the strategy's pattern
    attempt: int  # of the batch, that wrote the sample; 0 = first
    kind: Kind
    with_id: str  # the row that is repeated or given away
    similarity: float  # "embedding": cosine; the others: share of words in common


def screen_drafts(state: BatchState, run: Run) -> list[Draft]:
    """Mark the drafts that repeat training data or one another, or that give a validation or test row away."""
    if not isinstance(run.method, Generating):
        return state["drafts"]
    iteration = state["plan"]["iteration"]
    questions = {d["sample_id"]: run.rows.question(d["row"]) for d in state["drafts"] if d["row"] is not None}
    new = {d["sample_id"]: run.novelty(d["row"]) for d in state["drafts"] if d["row"] is not None}
    hits = dict(zip(questions, run.guard.check(list(questions.values())), strict=True))
    for draft in state["drafts"]:  # a new question may still come with a held-out answer
        if draft["row"] is not None and (
            id_ := run.rows.held_out_targets.find_run(run.rows.target_words(draft["row"]))
        ):
            hits[draft["sample_id"]] = Hit("ngram", id_, 1.0)
    known, train = run.known(iteration), run.rows.train
    batch = NearDuplicates(
        (d["sample_id"], run.novelty(d["row"])) for d in state.get("kept", []) if d["row"] is not None
    )
    screened: list[Draft] = []
    overlaps: list[Overlap] = []

    def drop(draft: Draft, kind: Kind, with_id: str, similarity: float) -> Draft:
        overlaps.append(_overlap(iteration, draft["sample_id"], state["attempt"], kind, with_id, similarity))
        if kind in ("ngram", "embedding"):
            return {**draft, "fate": "contaminated", "fault": TOO_CLOSE, "overlap": kind}
        return {**draft, "fate": "duplicate", "fault": HARDLY_NEW if kind == "seed" else REPEATED, "overlap": kind}

    for draft in state["drafts"]:
        id_ = draft["sample_id"]
        if id_ not in questions:
            screened.append(draft)
        elif match := known.find(new[id_]):
            kind: Kind = "accepted" if match.id not in train else "seed" if match.id == draft["seed_id"] else "train"
            screened.append(drop(draft, kind, match.id, match.similarity))
        elif hit := hits[id_]:
            screened.append(drop(draft, hit.kind, hit.id, hit.similarity))
        elif match := batch.find(new[id_]):
            screened.append(drop(draft, "round", match.id, match.similarity))
        else:
            batch.add(id_, new[id_])
            screened.append(draft)
    run.dir.write_jsonl(_file(run, iteration, f"{state['plan']['batch_id']}-{state['attempt']}"), overlaps)
    return screened


def quotable(text: str, run: Run) -> str:
    """The text as a generator may be told it: not if it quotes a validation or test row."""
    return TOO_CLOSE if run.rows.held_out_text.find_quoted(text) else text


def gives_away(text: str, iteration: int, pattern_id: str, run: Run) -> bool:
    """Whether a strategy quotes or rephrases a validation or test row, sentence by sentence."""
    hit = run.guard.check_prose(text)
    if hit is None and (id_ := run.rows.held_out_text.find_quoted(text)) is not None:
        hit = Hit("ngram", id_, 1.0)
    overlap = [_overlap(iteration, pattern_id, 0, hit.kind, hit.id, hit.similarity, "strategy")] if hit else []
    run.dir.write_jsonl(_file(run, iteration, pattern_id), overlap)
    return hit is not None


def close_round(
    iteration: int, outcomes: Iterable[BatchOutcome], pattern_ids: Iterable[str], samples: Iterable[Sample], run: Run
) -> set[str]:
    """Compare the batches of a round, which did not see one another, and write the round's overlaps.jsonl.

    Returns:
        Ids of the `samples` that repeat training data or an earlier one of them.
    """
    late = _late_repetitions(iteration, samples, run) if isinstance(run.method, Generating) else []
    names = [f"{o['batch_id']}-{attempt}" for o in outcomes for attempt in range(o["attempts"])]
    files = [_file(run, iteration, name) for name in (*pattern_ids, *names)]
    found = [line for file in files if run.dir.path(file).exists() for line in run.dir.read_jsonl(file)]
    run.dir.write_jsonl(f"{run.dir.iteration(iteration)}/overlaps.jsonl", [*found, *late])
    return {overlap["id"] for overlap in late}


def _late_repetitions(iteration: int, samples: Iterable[Sample], run: Run) -> list[Overlap]:
    known, fresh = run.known(iteration), NearDuplicates()
    late: list[Overlap] = []
    for sample in samples:
        question = run.novelty(sample["row"])
        if match := known.find(question) or fresh.find(question):  # what is known already was stopped in its batch
            attempt = sample["attempts"] - 1
            late.append(_overlap(iteration, sample["id"], attempt, "round", match.id, match.similarity))
        else:
            fresh.add(sample["id"], question)
    return late


def _file(run: Run, iteration: int, name: str) -> str:
    return f"{run.folder(iteration)}/overlaps/{name}.jsonl"


def _overlap(
    iteration: int,
    id_: str,
    attempt: int,
    kind: Kind,
    with_id: str,
    similarity: float,
    subject: Literal["sample", "strategy"] = "sample",
) -> Overlap:
    return {
        "iteration": iteration,
        "subject": subject,
        "id": id_,
        "attempt": attempt,
        "kind": kind,
        "with_id": with_id,
        "similarity": similarity,
    }
