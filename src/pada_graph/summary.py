"""The end of a run in words and one table."""

from pathlib import Path
from typing import Any

from rich.console import Console

from pada_graph.accounting import identity
from pada_graph.compare import load_run, model_rows, print_models
from pada_graph.live import clock, score_table
from pada_graph.report import headline
from pada_graph.report.models import cut_off
from pada_graph.rundir import RunDir
from pada_graph.teacher.prices import dollars, total
from pada_graph.teacher.tally import reply_words


def cost_words(usd: float | None) -> str:
    """Dollars, or that nobody knows them."""
    return "cost unknown (limits.prices)" if usd is None else dollars(usd)


def print_summary(console: Console, metrics: dict[str, Any], directory: Path) -> None:
    """Print the tables of all models, what may be claimed, the accounting identity, and where the report is."""
    scores: dict[tuple[int | None, str], Any] = {
        (None, split): score for split, score in metrics["untuned"].items() if score and split != "test"
    }
    for entry in metrics["iterations"]:
        scores |= {(entry["iteration"], split): entry[split] for split in ("train", "validation") if entry[split]}
    console.soft_wrap = True  # sentences wrap where the terminal does, not at 80 columns of a log file
    console.print()
    console.print(score_table(scores))
    console.print("Accuracy with 95 % Wilson intervals. Test, only at the end, for untuned, iteration 0 and the best:")
    console.print()
    print_models(console, model_rows(1, load_run(directory)))
    console.print()
    console.print(headline(metrics), style="bold", markup=False)
    run = RunDir(directory)
    for warning in cut_off(run, metrics, run.read_json("resolved_config.json")):
        console.print(warning, markup=False)
    console.print(f"End: {metrics['stop_reason']}.", markup=False)
    if metrics["accounting"]["requested"]:
        console.print(f"Synthetic samples: {identity(metrics['accounting'])}")
        rounds = [entry for entry in metrics["iterations"] if entry.get("accounting")]
        for entry in rounds * (len(rounds) > 1):
            console.print(f"  round {entry['iteration']}: {identity(entry['accounting'])}")
    for role, usage in metrics["teacher"].items():
        console.print(
            f"{role}: {usage['calls']} calls, {usage['input_tokens']:,} tokens in, {usage['output_tokens']:,} out, "
            f"{cost_words(usage.get('usd'))}"
        )
    if metrics["teacher"]:
        bill = total([usage.get("usd") for usage in metrics["teacher"].values()])
        console.print(f"Teacher in all: {cost_words(bill)}")
    for role, counts in metrics.get("replies", {}).items():
        if words := reply_words(counts):
            console.print(f"Replies of the {role}: {words}, of {counts['replies']}")
    if unanswered := metrics.get("unanswered_calls"):
        console.print(f"Calls that were sent and brought no reply: {unanswered}; each may have been paid.")
    stages = ", ".join(f"{stage} {clock(seconds)}" for stage, seconds in metrics["seconds"].items())
    console.print(f"Time: {clock(sum(metrics['seconds'].values()))} ({stages})")
    for note in metrics["notes"]:
        console.print(f"Note: {note}", markup=False)  # may hold words of a model
    console.print(f"Report: {directory / 'report.html'}", markup=False)
