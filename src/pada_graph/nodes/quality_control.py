"""The Quality Control Agent (A.4): faults that need no judge, the judge's ratings, and what is to be written anew."""

from collections.abc import Sequence

from pydantic import BaseModel, Field

from pada_graph.accounting import check_identity, check_ids, count_fates
from pada_graph.methods.pada import strategy_text
from pada_graph.nodes.data_generation import asked_for, example_id
from pada_graph.nodes.guard import quotable, screen_drafts
from pada_graph.nodes.run import Run
from pada_graph.nodes.verification import verify_answers
from pada_graph.state import Attempt, BatchState, BatchUpdate, Draft, Review
from pada_graph.teacher.ask import ask_items

QUOTED = 200  # characters of a sample's question, or of a fault, in the feedback
WORST = 1.0  # the rating of a sample that could not be used at all


class Rating(BaseModel):
    """The judge's ratings in the error branch (Figure 7, A.4)."""

    sample_id: str
    utility: float = Field(ge=1, le=10, allow_inf_nan=False)
    relevance: float = Field(ge=1, le=10, allow_inf_nan=False)
    feedback: str | None = None


class PatternRating(Rating):
    """The judge's ratings in the pattern branch."""

    adherence: float = Field(ge=1, le=10, allow_inf_nan=False)


def quality_control(state: BatchState, run: Run) -> BatchUpdate:
    """Assess one batch on adherence, utility and relevance, and say what to improve (A.4).

    Drafts that repeat another row or a held-out one are faults before the judge is asked, and so are, if wanted, those
    whose answer it does not arrive at. The batch's score is the mean over the samples asked for, an unusable one
    counting as the worst rating; what the provider refused to write says nothing of the others and is left out.

    Where the batch passes but the reply lacked samples, they alone are written in the attempts that are left.

    Raises:
        StoppedError: the drafts are not those asked for.
    """
    quality = run.config.quality
    asked, refused = asked_for(state), set(state["refused"])
    drafts = screen_drafts(state, run)
    if run.method.quality_control and quality.verify_answers and not run.task.proves_answers:
        drafts = verify_answers(state, run, drafts)
    usable = [draft for draft in drafts if draft["row"] is not None and draft["fate"] == "ok"]
    reviews = _review(state, run, usable) if run.judged and usable else {}
    score: float | None = None
    if run.judged:
        drafts = [_unrated(d) if d["fate"] == "ok" and d["sample_id"] not in reviews else d for d in drafts]
        ratings = [
            reviews[d["sample_id"]]["score"] if d["sample_id"] in reviews else WORST
            for d in drafts
            if d["sample_id"] not in refused
        ]
        score = round(sum(ratings) / len(ratings), 3) if ratings else WORST
    good = [draft for draft in drafts if draft["fate"] == "ok" and _good(draft, reviews, score, run)]
    kept = [*state.get("kept", []), *good]
    again = [d for d in _to_write_anew(drafts, good, run) if d["sample_id"] not in refused]
    feedback = _feedback(again or drafts, reviews, quality.threshold, run)
    name = f"batch {state['plan']['batch_id']}, attempt {state['attempt'] + 1}"
    check_ids(name, asked, [draft["sample_id"] for draft in drafts])
    books = count_fates(["accepted" if d in good else "rejected" if d["fate"] == "ok" else d["fate"] for d in drafts])
    check_identity(name, books, len(asked))
    attempt: Attempt = {
        "attempt": state["attempt"],
        "score": score,
        "usable": len(usable),
        "feedback": feedback,
        "drafts": drafts,
        "reviews": list(reviews.values()),
        "books": books,
    }
    passed = len(good) == len(drafts) if quality.gate == "sample" else bool(good)
    run.emit(
        "quality_control",
        iteration=state["plan"]["iteration"],
        batch=state["plan"]["batch_id"],
        attempt=state["attempt"],
        score=attempt["score"],
        passed=passed,
        again=len(again),
        attempts_left=quality.max_regenerations - state["attempt"],
        **run.spent(),
    )
    return {
        "drafts": drafts,
        "kept": kept,
        "passed": passed,
        "open": [draft["sample_id"] for draft in again],
        "attempts_left": quality.max_regenerations - state["attempt"],
        "feedback": feedback,
        "history": [attempt],
    }


def _good(draft: Draft, reviews: dict[str, Review], batch_score: float | None, run: Run) -> bool:
    """Whether a usable draft passes: with its batch, by itself where the gate looks at samples, or unjudged."""
    if batch_score is None:
        return True
    rating = reviews[draft["sample_id"]]["score"] if run.config.quality.gate == "sample" else batch_score
    return rating >= run.config.quality.threshold


def _to_write_anew(drafts: list[Draft], good: list[Draft], run: Run) -> list[Draft]:
    """What falls short where the gate looks at samples; else a failed batch whole, or of a passed one what is missing.

    Missing is what there is no usable sample for. What repeats other rows is no accident of a reply, and goes by the
    batch's score; a baseline has no such score, and asks for it again.
    """
    if run.method.quality_control and run.config.quality.gate == "batch" and good:
        return [draft for draft in drafts if draft["fate"] == "failed"]
    return [draft for draft in drafts if draft not in good]


def _review(state: BatchState, run: Run, drafts: list[Draft]) -> dict[str, Review]:
    """Ask the judge for its ratings; they are matched by id, and what stays unrated has no review."""
    plan, strategy = state["plan"], state["strategy"]
    originals = {seed["id"]: run.task.example(seed["row"]) for seed in state["seeds"]}
    by_id = {f"s{number}": draft for number, draft in enumerate(drafts, start=1)}

    def prompt(ids: Sequence[str]) -> str:
        pairs = [
            {
                "sample_id": id_,
                "original": originals[by_id[id_]["seed_id"]],
                "synthetic": run.task.example(by_id[id_]["row"] or {}),
            }
            for id_ in ids
        ]
        return run.render("quality_control", strategies=[strategy_text(strategy)] if strategy else [], pairs=pairs)

    answer = ask_items(
        run.services.teacher,
        "judge",
        item=f"t{plan['iteration']}/quality_control/{plan['batch_id']}",
        attempt=state["attempt"],
        ids=list(by_id),
        prompt=prompt,
        schema=PatternRating if strategy else Rating,
    )
    return {
        by_id[id_]["sample_id"]: _as_review(by_id[id_]["sample_id"], rating) for id_, rating in answer.found.items()
    }


def _as_review(sample_id: str, rating: Rating) -> Review:
    """Average the dimensions into the sample's score (A.4)."""
    adherence = rating.adherence if isinstance(rating, PatternRating) else None
    dimensions = [value for value in (adherence, rating.utility, rating.relevance) if value is not None]
    return {
        "sample_id": sample_id,
        "adherence": adherence,
        "utility": rating.utility,
        "relevance": rating.relevance,
        "score": sum(dimensions) / len(dimensions),
        "feedback": rating.feedback or "",
    }


def _unrated(draft: Draft) -> Draft:
    return {**draft, "fate": "failed", "fault": "the judge gave it no valid rating"}


def _feedback(drafts: list[Draft], reviews: dict[str, Review], threshold: float, run: Run) -> str:
    """What the next attempt is told: every fault, and the judge's words on every sample below the threshold.

    A sample is named by its example and its question, which the generator wrote itself; what overlaps held-out rows is
    not repeated.
    """
    lines = []
    for draft in drafts:
        review = reviews.get(draft["sample_id"])
        name = f"the sample based on {example_id(draft['sample_id'])}"
        if draft["row"] is not None and draft["fate"] != "contaminated":
            name += f", {_short(run.task.question(draft['row']))!r}"
        if draft["fault"]:
            lines.append(f"{name}: unusable, {quotable(_short(draft['fault']), run)}")
        elif review and not review["score"] >= threshold:
            lines.append(f"{name}: rated {review['score']:.1f} of 10. {quotable(review['feedback'], run)}")
    return "\n".join(dict.fromkeys(lines))


def _short(text: str) -> str:
    return text if len(text) <= QUOTED else f"{text[:QUOTED]}..."
