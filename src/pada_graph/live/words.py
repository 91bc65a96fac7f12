"""Events, scores and costs in words."""

from typing import Any

from rich.table import Table

from pada_graph.accounting import identity
from pada_graph.teacher.prices import dollars

Event = dict[str, Any]


def describe(event: Event) -> str:
    """One event in words."""
    name = "untuned" if event.get("iteration", 0) is None else f"iteration {event.get('iteration', 0)}"
    match event:
        case {"event": "start"}:
            return "checking data and models …"
        case {"event": "initialize", "task": task, "method": method}:
            return f"task {task}, method {method}: data checked and written"
        case {"event": "fine_tune", "train_rows": rows, "synthetic_rows": synthetic}:
            return f"{name}: fine-tuning on {rows} train rows and {synthetic} synthetic ones"
        case {"event": "training", "step": step, "steps": steps}:
            loss = f", loss {event['loss']:.3f}" if event.get("loss") is not None else ""
            return f"{name}: training step {step} of {steps}{loss}"
        case {"event": "predicting", "split": split, "done": done, "total": total}:
            return f"{name}: answering {split} {done} of {total}"
        case {"event": "score", "split": split}:
            return f"{name}: {split} accuracy {score_text(event)}"
        case {"event": "select_errors", "failures": failures, "selected": selected}:
            return f"{name}: analysing {selected} of {failures} validation failures"
        case {"event": "analyze_errors", "analysed": analysed, "failures": failures}:
            return f"{name}: {analysed} of {failures} failures of a batch analysed"
        case {"event": "cluster_analyses", "k": k, "method": method}:
            return f"{name}: {counted(k, 'cluster')} of failures" + f" ({method})" * bool(k > 1)
        case {"event": "pattern", "name": pattern, "size": size}:
            return f"{name}: pattern «{pattern}», {counted(size, 'failure')}"
        case {"event": "strategy", "name": strategy}:
            return f"{name}: strategy «{strategy}»"
        case {"event": "plan_batches", "batches": batches, "samples": samples}:
            words = counted(batches, "batch", "batches")
            return f"{name}: {counted(samples, 'sample')} to be written in {words}"
        case {"event": "quality_control", "batch": batch, "attempt": attempt, "score": score, "passed": passed}:
            verdict = "passed" if passed else "below the threshold"
            if passed and event.get("again"):
                verdict += f", {event['again']} missing"
            rating = "not judged" if score is None else f"{score:.1f} of 10"
            return f"{name}: batch {batch}, attempt {attempt + 1}: {rating}, {verdict}"
        case {"event": "batch", "batch": batch, "accepted": accepted, "requested": requested}:
            return f"{name}: batch {batch} closed, {accepted} of {requested} samples accepted"
        case {"event": "collect_batches"}:
            return f"{name}: {identity(event)}"
        case {"event": "finalize", "best_iteration": best, "stop_reason": reason}:
            return f"iteration {best} is best on validation; {reason}"
    return str(event["event"])


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number and what it counts: "1 cluster", "2 clusters"."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def spent_words(spent: Event) -> str:
    """What the teacher has cost so far; empty before its first call."""
    if not spent:
        return ""
    cost = "cost unknown" if spent["usd"] is None else dollars(spent["usd"])
    return f"{counted(spent['calls'], 'teacher call')}, {spent['tokens']:,} tokens, {cost}"


def score_table(scores: dict[tuple[int | None, str], Event]) -> Table:
    """Accuracy of the untuned model and of every iteration so far, on the splits that were scored."""
    splits = [split for split in ("train", "validation", "test") if any(key[1] == split for key in scores)]
    table = Table("model", *splits, box=None, pad_edge=False)
    for iteration in sorted({key[0] for key in scores}, key=lambda i: -1 if i is None else i):
        name = "untuned" if iteration is None else f"iteration {iteration}"
        cells = (scores.get((iteration, split)) for split in splits)
        table.add_row(name, *(score_text(cell) if cell else "" for cell in cells))
    return table


def score_text(score: Event) -> str:
    """An accuracy with its 95 % interval, in percent."""
    return f"{score['accuracy']:.1%} [{score['low']:.1%}, {score['high']:.1%}]".replace("%,", ",").replace("%]", "]")


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds, from one hour on as hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
